"""Arguments of `record` and `run`, read with certainty or refused before any call."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping
from typing import Any

from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.recordings.recording import item_name, name_in_utf8
from ensemble_lab.core.reply import Model, exact


class Named(dict):
    """Items by name.

    Attributes
    ----------
    by : str
        Where the names come from: ``"place"`` (0, 1, …), ``"name"`` (a mapping) or ``"index"``
        (a pandas Series).
    """

    def __init__(self, pairs, by: str):
        super().__init__(pairs)
        self.by = by


def named_models(models) -> dict[str, Model]:
    """Models by name, each of them callable."""
    if not isinstance(models, Mapping):
        kind = type(models).__name__
        raise TypeError(f"models is {kind}; name them: {{'small': model, …}}")
    named = {}
    for name, model in models.items():
        if not isinstance(name, str):
            raise TypeError(f"the model name {shown(name)} is {type(name).__name__}; make it str")
        if not callable(model):
            raise TypeError(
                f"model {shown(name, 40)} is {shown(model)} ({type(model).__name__}), which cannot"
                " be called; give a function of one item, or what load(…) returns"
            )
        if inspect.iscoroutinefunction(model):
            raise TypeError(
                f"model {shown(name, 40)} is asynchronous; give"
                " lambda item: asyncio.run(model(item))"
            )
        named[exact(name_in_utf8(name, "model"), "model name")] = model
    return named


def named_items(items) -> Named:
    """Items by name; see `record`."""
    if isinstance(items, Mapping):
        if {"role", "content"} <= items.keys() or "input_ids" in items:
            what = "one message" if "role" in items else "what a tokenizer returns"
            raise ValueError(f"items is {what}; one item is given as a list: [[message]], [text]")
        return _checked(items.keys(), items.values(), "name")
    if _has_index(items):
        return _checked(items.index.tolist(), items.tolist(), "index")
    rows = getattr(items, "ndim", 1) > 1 and not hasattr(items, "columns")
    if rows and getattr(items.dtype, "kind", "f") not in "OUST":  # feature vectors, images
        things = list(items)
    else:
        things = several(items, "items")
    if things and all(_is_message(thing) for thing in things):
        raise ValueError(
            "items is one chat, a list of messages; give [chat], or [[message] for message in chat]"
        )
    return _checked(range(len(things)), things, "place")


def facts_of(items: Named, truth, features, group) -> dict:
    """Facts about each item, by its name."""
    facts: dict = {item: {} for item in items}
    for what, values in {"truth": truth, "group": group}.items():
        for item, value in _by_item(what, values, items).items():
            facts[item][what] = value
    for name, values in _features(features).items():
        for item, value in _by_item(f"feature {shown(name, 40)}", values, items).items():
            facts[item].setdefault("features", {})[name] = value
    return facts


def one_row(features) -> dict:
    """The features of one item by name."""
    if features is None:
        return {}
    if hasattr(features, "columns") or hasattr(features, "column_names"):
        raise ValueError("features is a data frame; give one row of it: frame.iloc[0]")
    if _has_index(features):
        features = dict(zip(features.index.tolist(), features.tolist(), strict=True))
    if not isinstance(features, Mapping):
        raise TypeError(f"features is {type(features).__name__}; give {{'length': 12, …}}")
    return {
        _feature_name(name): exact(v, f"feature {shown(name, 40)}") for name, v in features.items()
    }


def first_of(features) -> dict:
    """The features of one item, from what a function gave for a list of one."""
    if not isinstance(features, Mapping):
        raise TypeError(
            f"features gave {shown(features)}; such a function gives a list or array for each name,"
            " {'question_chars': [12], …}"
        )
    return {name: several(values, f"feature {name}")[0] for name, values in features.items()}


def known_labels(labels) -> tuple[Hashable, ...]:
    """Labels, each once; empty where none are given."""
    if labels is None:
        return ()
    found = tuple(exact(label, "label") for label in several(labels, "labels"))
    if None in found:
        raise ValueError("a label is missing; None stands for no answer")
    for i, label in enumerate(found):
        if label in found[:i]:
            raise ValueError(f"label {shown(label)} is there more than once; keep one of each")
    return found


def _checked(names, things, by: str) -> Named:
    fix = "; reset_index(drop=True) names them 0, 1, …" if by == "index" else ""
    named: dict = {}
    written: set = set()
    for name, thing in zip(names, things, strict=True):
        try:
            name = item_name(name)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}{fix}") from None
        if name in named:
            raise ValueError(f"item {shown(name)} is there more than once{fix or '; rename one'}")
        if str(name) in written:
            raise ValueError(
                f"items are named {shown(str(name))} as text and as a number, which a table cannot"
                " distinguish; rename one"
            )
        written.add(str(name))
        named[name] = thing
    return Named(named, by)


def _by_item(what: str, values, items: Named) -> dict:
    """Item to value wherever there is a value."""
    if values is None:
        return {}
    if isinstance(values, Mapping):
        named = {_bare(key): value for key, value in values.items()}
    elif _has_index(values):
        named = _by_index(what, values, items)
    else:
        named = _by_place(what, several(values, what), items)
    found = {}
    for item in items:
        check_known(item, named, "item", what)
        found[item] = exact(named[item], what, f" for item {shown(item, 40)}")
    return {item: value for item, value in found.items() if value is not None}


def _by_place(what: str, values: list, items: Named) -> dict:
    if len(values) != len(items):
        raise ValueError(f"{what} has {len(values)} entries for {len(items)} items")
    return dict(zip(items, values, strict=True))


def _by_index(what: str, series, items: Named) -> dict:
    """The values of a pandas Series, by its index where that names the items, else by order."""
    index, values = series.index.tolist(), series.tolist()
    try:
        named = dict(zip(index, values, strict=True))
    except TypeError:
        named = {}  # an index without names
    default, names = index == list(range(len(index))), list(items)
    if len(named) == len(index) and items.keys() <= named.keys():
        if index == names or items.by == "index" or (items.by == "name" and not default):
            return named
        if len(index) == len(names):
            raise ValueError(
                f"{what} may go by its index or by its order, which differ; give {what}.to_dict()"
                f" or {what}.tolist()"
            )
    if default or len(index) != len(items):
        return _by_place(what, values, items)
    raise ValueError(
        f"the index of {what} does not name each item once (there is an item"
        f" {shown(names[0], 40)}); give {what}.tolist() to go by order"
    )


def _features(features) -> Mapping:
    if features is None or isinstance(features, Mapping):
        features = features or {}
        return {_feature_name(name): values for name, values in features.items()}
    columns = getattr(features, "column_names", getattr(features, "columns", None))
    if columns is None:
        raise TypeError(f"features is {type(features).__name__}; give {{'length': [12, …], …}}")
    columns = [_feature_name(name) for name in columns]
    for i, name in enumerate(columns):
        if name in columns[:i]:
            raise ValueError(f"features has column {shown(name)} twice; keep one")
    return {name: features[name] for name in columns}


def _feature_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the feature name {shown(name)} is {type(name).__name__}; make it str")
    return exact(name_in_utf8(name, "feature"), "feature name")


def _has_index(values) -> bool:
    """Whether this is a pandas Series, found out without importing pandas."""
    return hasattr(values, "iloc") and not hasattr(values, "columns")


def _bare(key):
    try:
        return exact(key, "name")
    except (TypeError, ValueError):
        return key  # no item has such a name


def _is_message(thing) -> bool:
    return isinstance(thing, Mapping) and {"role", "content"} <= thing.keys()
