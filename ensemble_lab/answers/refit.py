"""Recipes for policies with an estimator inside that no file can hold: fit it again.

A random forest or a network of scikit-learn has no form but a pickle, which runs code when it is
opened. So the file names the class, its arguments and the table, with a checksum, and loading fits
the policy again.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.answers.toml import key, policy_of_kind, read_toml, settings_of, written
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.whole import write_whole

FORMAT, VERSION = "ensemble_lab.recipe", 1
CLASS = re.compile(r"sklearn(\.[a-z_]+)+\.[A-Z]\w+")
NEVER = ("memory", "func", "inverse_func")  # a folder of pickles, and code


def save_recipe(policy: Policy, path: Path, outcomes: Outcomes) -> list[Path]:
    """Write how to fit `policy` again: a TOML file, and the table beside it.

    Parameters
    ----------
    policy : Policy
        Of this package, with ``estimator`` and ``fitted`` among its fields.
    path : Path
        Such as ``advised.recipe.toml``.
    outcomes : Outcomes
        The items that it was fitted on.

    Raises
    ------
    ValueError
        A policy or an estimator that a recipe cannot name, or one whose fits differ: it has no
        ``random_state``.
    """
    known = {f.name for f in fields(policy)}
    if not {"estimator", "fitted"} <= known or policy.estimator is None:
        raise ValueError(
            f"{type(policy).__name__} has no estimator to fit again; save_policy keeps what it has"
        )
    bare = replace(policy, estimator=None, fitted=None, **_unlearned(policy))
    settings = settings_of(bare)
    if settings is None:
        raise ValueError(f"{shown(bare, 80)} has settings that TOML does not hold")
    tables: dict[str, dict] = {"": {"format": FORMAT, "version": VERSION}, "policy": settings}
    tables |= _estimator_tables(policy.estimator, "policy.estimator")
    table = path.with_name(f"{path.stem.removesuffix('.recipe')}.table.parquet")
    outcomes.to_parquet(table)
    import sklearn

    fitted = replace(bare, estimator=policy.estimator).fit(outcomes)
    tables["fit"] = {
        "table": table.name,
        "sha256": _checksum(table),
        "decisions": _decisions(fitted, outcomes),
        "scikit-learn": sklearn.__version__,
    }
    write_whole(path, written(tables))
    return [path, table]


def load_recipe(path: Path) -> Policy:
    """The policy of a file of `save_recipe`, fitted on its table.

    Raises
    ------
    ValueError
        A damaged file, another table than the one that was saved, or a class that is no estimator
        of scikit-learn.

    Warns
    -----
    UserWarning
        The policy decides otherwise than the saved one on its own table.
    """
    found = read_toml(path)
    if found.get("format") != FORMAT or found.get("version") != VERSION:
        raise ValueError("it is no recipe that this package reads; save the policy again")
    settings, fit = found.get("policy"), found.get("fit")
    if not isinstance(settings, Mapping) or not isinstance(fit, Mapping):
        raise ValueError("it needs the tables [policy] and [fit]; save the policy again")
    name = fit.get("table")
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"table is {shown(name, 60)}; give the name of a file beside the recipe")
    table = path.with_name(name)
    if not table.is_file():
        raise ValueError(f"its table {shown(name, 60)} is not beside it; copy it there")
    if _checksum(table) != fit.get("sha256"):
        raise ValueError(
            f"{shown(name, 60)} is not the table that was saved: its checksum differs; save the"
            " policy again"
        )
    settings = {k: v for k, v in settings.items() if k != "estimator"}
    policy = replace(policy_of_kind(settings), estimator=_estimator(found["policy"]["estimator"]))
    outcomes = Outcomes.read(table)
    policy = policy.fit(outcomes)
    if _decisions(policy, outcomes) != fit.get("decisions"):
        import sklearn

        warnings.warn(
            f"{excerpt(path.name, 60)}: fitted again, the policy decides otherwise than the saved"
            f" one; it was saved with scikit-learn {shown(fit.get('scikit-learn'), 20)}, and"
            f" {sklearn.__version__} is installed",
            stacklevel=3,
        )
    return policy


def _unlearned(policy: Policy) -> dict[str, Any]:
    """What a fit overwrites anyway, back at its default."""
    learned = ("labels", "by_probability", "scales")
    return {f.name: f.default for f in fields(policy) if f.name in learned}


def _estimator_tables(estimator: Any, where: str) -> dict[str, dict]:
    """The tables of an estimator and of those inside it."""
    made, changed = type(estimator), {}
    name = _public_name(made)
    default = {} if name.endswith(".Pipeline") else made().get_params(deep=False)
    table: dict[str, Any] = {"class": name}
    inner: dict[str, dict] = {}
    for parameter, value in estimator.get_params(deep=False).items():
        if value is None or (parameter in default and _same(value, default[parameter])):
            continue
        if parameter in NEVER:
            raise ValueError(f"{name} has {parameter}={shown(value, 40)}; leave it out to save it")
        changed[parameter] = value
    if "random_state" in default and not isinstance(changed.get("random_state"), int):
        raise ValueError(
            f"{name} has no random_state, so another fit would decide otherwise; give it one, such"
            " as random_state=0"
        )
    for parameter, value in changed.items():
        if hasattr(value, "get_params"):
            inner |= _estimator_tables(value, f"{where}.{key(parameter)}")
        elif parameter == "steps":
            table["steps"] = [step for step, _ in value]
            for step, part in value:
                inner |= _estimator_tables(part, f"{where}.{key(step)}")
        else:
            table[parameter] = value
    return {where: table} | inner


def _public_name(made: type) -> str:
    """The importable name of a class of scikit-learn, without its private modules."""
    parts = [part for part in made.__module__.split(".") if not part.startswith("_")]
    name = ".".join([*parts, made.__name__])
    if not CLASS.fullmatch(name) or not _is_estimator(name) or _class(name) is not made:
        raise ValueError(
            f"the estimator is of the class {excerpt(made.__name__, 40)}, which is none of"
            " scikit-learn; a recipe names no other code"
        )
    return name


def _estimator(table: Any) -> Any:
    if not isinstance(table, Mapping) or not isinstance(table.get("class"), str):
        raise ValueError(f"estimator is {shown(table, 60)}; it needs a class")
    name = table["class"]
    if not CLASS.fullmatch(name) or not _is_estimator(name):
        raise ValueError(f"{shown(name, 60)} is no estimator of scikit-learn")
    if unsafe := [one for one in NEVER if one in table]:
        raise ValueError(f"{excerpt(name, 60)} has {unsafe[0]}, which a recipe does not set")
    parts = {k: v for k, v in table.items() if k != "class"}
    if name.endswith(".Pipeline"):
        steps = parts.get("steps")
        if not isinstance(steps, list) or not all(step in parts for step in steps):
            raise ValueError(f"{excerpt(name, 60)} lacks its steps; save the policy again")
        return _class(name)([(step, _estimator(parts[step])) for step in steps])
    given = {k: _estimator(v) if isinstance(v, Mapping) else v for k, v in parts.items()}
    known = _class(name)().get_params(deep=False)
    for parameter in given:
        if parameter not in known:
            raise ValueError(f"{excerpt(name, 60)} has no parameter {shown(parameter, 40)}")
    return _class(name)(**given)


def _class(name: str) -> Any:
    module, _, made = name.rpartition(".")
    return getattr(importlib.import_module(module), made)


def _is_estimator(name: str) -> bool:
    from sklearn.base import BaseEstimator

    try:
        made = _class(name)
    except (ImportError, AttributeError):
        return False
    return isinstance(made, type) and issubclass(made, BaseEstimator) and hasattr(made, "fit")


def _same(value: Any, default: Any) -> bool:
    return (type(value) is type(default) and value is default) or (
        isinstance(value, bool | int | float | str) and value == default
    )  # fmt: skip


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _decisions(policy: Policy, outcomes: Outcomes) -> str:
    """A checksum of what a policy decides on its own table."""
    made = policy.decide(outcomes)
    digest = hashlib.sha256(np.ascontiguousarray(made.chosen, np.int64).tobytes())
    digest.update(np.packbits(made.called).tobytes())
    if made.answer is not None:
        digest.update(np.ascontiguousarray(made.answer, np.int64).tobytes())
    return digest.hexdigest()
