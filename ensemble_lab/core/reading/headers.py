"""The role of each column of a table: by its name, never by its numbers."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from ensemble_lab.core.errors import check_known, nearest, shown
from ensemble_lab.core.states import MEASURES

CELL = ("correct", "answer", *MEASURES)
"""The fields that a table may have for one pair of item and model."""
PER_ITEM = ("truth", "group")
FEATURE = "feature:"
FIX = "give columns={'theirs': 'item', …} to name the columns"


class Role(NamedTuple):
    """The role of a column.

    Parameters
    ----------
    field : str
        ``"item"``, ``"model"``, a field of `CELL` or `PER_ITEM`, or ``"feature"``.
    name : str or None
        The model of a column in the wide form, or the name of a feature.
    bare : bool
        A column of the wide form that names its model only.
    """

    field: str
    name: str | None = None
    bare: bool = False


def roles(names: Sequence, columns: Mapping | None = None) -> dict:
    """Column to its `Role`; with `columns` only those that it names.

    Parameters
    ----------
    names : sequence
        The header: texts, or pairs of field and model as `pivot` makes them.
    columns : mapping, optional
        Name in the table to its name in `Outcomes.from_frame`.

    Raises
    ------
    ValueError
        A name that occurs twice, or an unknown name.
    """
    names = [name for name in names if not str(name).startswith("__index_level_")]  # pandas' own
    refuse_twice([str(name) for name in names if name != ""], "column")
    if columns is None:
        named = {name: _flat(name) for name in names}
        refuse_twice(list(named.values()), "column")
    else:
        named = _renamed(names, columns)
    targets = list(named.values())
    if "item" not in targets:
        above = "; the header is the first row" if "" in names else ""
        known = nearest("item", [name for name in targets if name])
        raise ValueError(f"there is no column 'item'{known} ({FIX}{above})")
    if "" in targets or any(name is None or name != name for name in names):
        raise ValueError("a column has no name; name it, or delete it")
    if "model" in targets:
        return {name: _in_long(target) for name, target in named.items()}
    return _in_wide(named)


def _renamed(names: Sequence, columns: Mapping) -> dict:
    if not isinstance(columns, Mapping):
        raise ValueError(f"columns is {shown(columns)}; give a mapping: columns={{'id': 'item'}}")
    for name, target in columns.items():
        check_known(name, names, "column", "table")
        if not isinstance(target, str):
            raise ValueError(f"columns makes {shown(name)} {shown(target)}; give a name as text")
    refuse_twice(list(columns.values()), "columns: the name")
    return dict(columns)


def _flat(name) -> str:
    """One text for a name: (field, model) and (model, field) are MODEL:FIELD."""
    if not isinstance(name, tuple):
        return str(name)
    parts = [str(part) for part in name if str(part) != ""]
    if len(parts) < 2:
        return "".join(parts)
    fields = [part in CELL for part in parts]
    if len(parts) > 2 or sum(fields) != 1:
        raise ValueError(
            f"column {shown(name)} is not a pair of a model and one of {', '.join(CELL)}; name it"
            " MODEL:FIELD"
        )
    field, model = parts if fields[0] else reversed(parts)
    return f"{model}:{field}"


def _in_long(target: str) -> Role:
    if target in ("item", "model", *CELL, *PER_ITEM):
        return Role(target)
    if target.startswith(FEATURE):
        return Role("feature", target[len(FEATURE) :])
    raise ValueError(
        f"unknown column {shown(target)}{nearest(target, (*CELL, *PER_ITEM))} (other facts"
        f" about an item are named {FEATURE}NAME; columns={{…}} leaves out what it does not name)"
    )


def _in_wide(named: Mapping) -> dict:
    found = {}
    for name, target in named.items():
        if target == "item" or target in PER_ITEM:
            found[name] = Role(target)
        elif target.startswith(FEATURE):
            found[name] = Role("feature", target[len(FEATURE) :])
        elif target in CELL:
            raise ValueError(
                f"column {shown(target)} belongs to the long form, which needs a column 'model'"
                f"{nearest('model', list(named.values()))}"
            )
        else:
            found[name] = _model_role(target)
    _refuse_one_cell_twice(found)
    return _without_misspelt(found, named)


def _refuse_one_cell_twice(found: Mapping) -> None:
    """Refuse ``a`` together with ``a:correct``: which of them counts is not clear."""
    first: dict = {}
    for name, role in found.items():
        cell = role.field, role.name
        if role.field in CELL and first.setdefault(cell, name) != name:
            raise ValueError(
                f"columns {shown(first[cell], 60)} and {shown(name, 60)} both give the correctness"
                f" of model {shown(role.name, 60)}; rename or drop one"
            )


def _model_role(target: str) -> Role:
    model, mark, field = target.rpartition(":")
    return Role(field, model) if mark and field in CELL else Role("correct", target, bare=True)


def _without_misspelt(found: dict, named: Mapping) -> dict:
    """Refuse ``a:corect``: one letter from a field, or of a model that has other columns."""
    models = {role.name for role in found.values() if role.field in CELL and not role.bare}
    for name, role in found.items():
        model, mark, field = named[name].rpartition(":")
        if role.bare and mark:
            slip = next((known for known in CELL if one_edit(field.casefold(), known)), None)
            if slip or (model in models and nearest(field, CELL).startswith("; did")):
                raise ValueError(
                    f"unknown column {shown(named[name])}{nearest(slip or field, CELL)} (a model of"
                    f" this name is written {shown(named[name] + ':correct')})"
                )
    return found


def one_edit(a: str, b: str) -> bool:
    """Whether inserting, deleting, changing or swapping at most one letter turns `a` into `b`."""
    if a == b:
        return True
    short, long = sorted((a, b), key=len)
    start = next((i for i, (x, y) in enumerate(zip(short, long, strict=False)) if x != y), None)
    if start is None or len(long) - len(short) > 1:
        return len(long) - len(short) == 1
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    rest = start + 1
    swapped = (
        short[start:][:2] == long[start:][:2][::-1] and short[start + 2 :] == long[start + 2 :]
    )
    return short[rest:] == long[rest:] or swapped


_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


def say(words: str) -> None:
    """Warn of a doubt about how a table was read; `listening` hears it too."""
    tell(words)
    warnings.warn(words, UserWarning, stacklevel=2)


def tell(words: str) -> None:
    """Say how a table was read to a caller that is `listening`, where there is no doubt."""
    said = _said.get()
    if said is not None and words not in said:
        said.append(words)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what is said about how a table is read."""
    said: list[str] = []
    token = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(token)


def refuse_twice(names: list[str], what: str) -> None:
    """Raise a `ValueError` for a name that occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} {shown(twice[0])} occurs twice; rename or drop one")
