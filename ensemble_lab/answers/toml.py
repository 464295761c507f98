"""Policies in TOML: settings that people read and change, and that the gateway takes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ensemble_lab import answers
from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.policy import Policy

PLAIN = (bool, int, float, str)
BARE = re.compile(r"[A-Za-z0-9_-]+")


def kinds(of: type = Policy) -> dict[str, type]:
    """Every policy class of this level by its name; with `of=OnlinePolicy` those that learn."""
    exported = {name: getattr(answers, name) for name in answers.__all__}
    return {
        name: made
        for name, made in exported.items()
        if isinstance(made, type) and issubclass(made, of)
    }


def policy_of_kind(table: Mapping[str, Any], of: type = Policy) -> Any:
    """The policy of a table with its ``kind`` and its settings.

    Raises
    ------
    ValueError
        No such kind or setting: the nearest is named. A setting that it needs is not given. A kind
        that learns while it answers, where one that is fitted is wanted.
    """
    known, kind = kinds(of), table.get("kind")
    if of is Policy and kind in list(kinds(OnlinePolicy)):
        raise ValueError(
            f"{kind} learns from the grades of its replies, so it needs a program that grades them:"
            " load_learner(path) continues it there"
        )
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"no policy {shown(kind, 40)}{nearest(kind, known)}")
    settings = {key: value for key, value in table.items() if key != "kind"}
    names = tuple(known[kind].__dataclass_fields__)
    for key in settings:
        if key not in names:
            raise ValueError(f"{kind} has no setting {shown(key, 40)}{nearest(key, names)}")
    for name, one in known[kind].__dataclass_fields__.items():
        needed = one.init and one.default is MISSING and one.default_factory is MISSING
        if needed and name not in settings:
            raise ValueError(f"{kind} has no {name}; give it")
    return known[kind](**{key: _setting(value, of) for key, value in settings.items()})


def settings_of(policy: Policy | OnlinePolicy) -> dict[str, Any] | None:
    """The table that `policy_of_kind` reads as an equal policy; None where it holds more.

    A learned part, such as a router's, is more than settings: `save_policy` keeps it.
    """
    of = OnlinePolicy if isinstance(policy, OnlinePolicy) else Policy
    if kinds(of).get(type(policy).__name__) is not type(policy):
        return None
    table: dict[str, Any] = {"kind": type(policy).__name__}
    for f in fields(policy):
        value = getattr(policy, f.name)
        if value is None and f.default is None:
            continue
        if f.default is not MISSING and type(value) is type(f.default) and value == f.default:
            continue
        if isinstance(value, OnlinePolicy):  # such as the bandit that a budget is spent by
            value = settings_of(value)
        elif not _is_plain(value):
            value = None
        if value is None:
            return None
        table[f.name] = value
    return table


def read_toml(path: Path) -> dict[str, Any]:
    """A parsed TOML file.

    Raises
    ------
    ValueError
        Not TOML: the line.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"it is not TOML: {error}") from None
    except RecursionError:
        raise ValueError("it is not TOML of this package: its lists are nested too deep") from None


def written(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables as TOML text; a name is a dotted path whose parts are written with `key`.

    Raises
    ------
    ValueError
        A value that TOML does not have.
    """
    parts = []
    for name, table in tables.items():
        lines = [f"[{name}]"] if name else []
        lines += [f"{key(field)} = {_value(value)}" for field, value in table.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def key(name: str) -> str:
    """A key of a table: bare where TOML allows it, else in quotes."""
    return name if BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)  # inf and nan are spelled so in TOML too
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    raise ValueError(f"{shown(value, 60)} cannot be written as TOML; give text, numbers or lists")


def _text(value: str) -> str:
    # JSON's escapes are TOML's, but for this character, which TOML does not take as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return type(value) in PLAIN


def _setting(value: Any, of: type) -> Any:
    """The value of a setting; a table with a kind is a bandit within a bandit."""
    if of is OnlinePolicy and isinstance(value, Mapping) and "kind" in value:
        return policy_of_kind(value, of)
    return _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
