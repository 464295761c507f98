"""Policies in files: settings and what was learned as JSON, never as code."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab import answers
from ensemble_lab.answers.routing.cached import _Cache
from ensemble_lab.answers.routing.features import Space
from ensemble_lab.answers.routing.groups import Means
from ensemble_lab.answers.routing.heuristics import _Lengths
from ensemble_lab.answers.routing.labels import _Cells
from ensemble_lab.answers.routing.neighbours import Stored
from ensemble_lab.answers.routing.router import Fitted
from ensemble_lab.core.errors import excerpt, nearest, shown
from ensemble_lab.core.policy import Policy

FORMAT, VERSION = "ensemble_lab.policy", 1
MOST_BYTES = 2**28  # of a file
DTYPES = ("bool", "int32", "int64", "float32", "float64")
STATES = {made.__name__: made for made in (_Cache, _Cells, _Lengths, Fitted, Means, Space, Stored)}
# What prediction reads of a fitted estimator; the rest is of use to `fit` alone.
LEARNED = {
    "Pipeline": ("sklearn.pipeline", ()),
    "StandardScaler": ("sklearn.preprocessing", ("mean_", "scale_")),
    "LogisticRegression": ("sklearn.linear_model", ("coef_", "intercept_", "classes_")),
    "Ridge": ("sklearn.linear_model", ("coef_", "intercept_")),
    "KMeans": ("sklearn.cluster", ("cluster_centers_",)),
}
# Fields that hold more than plain values.
DEEP = ("fitted", "cache", "of", "estimator")
# Shapes by letters: m models, d features, D features and groups, g groups, n questions.
SHAPES = {
    "Fitted": {"price": "m"},
    "Space": {"mean": "d", "spread": "d"},
    "Means": {"overall": "m", "by_group": "gm", "count": "gm"},
    "Stored": {"points": "nD", "grades": "nm"},
    "_Cache": {"answer": "n"},
    "_Cells": {"edges": "e"},
    "_Lengths": {"seen": "s", "place": "m"},
    # Of estimators: r rows of coefficients, k classes.
    "KMeans": {"cluster_centers_": "gD"},
    "LogisticRegression": {"coef_": "rD", "intercept_": "r", "classes_": "k"},
    "Ridge": {"coef_": "D"},
    "StandardScaler": {"mean_": "D", "scale_": "D"},
}
# What the routers learn: a class, the shape of an array, "names", or a list of one for each model.
FORMS: dict[str, Any] = {
    "RandomRouter": None,
    "LengthRouter": "_Lengths",
    "GroupRouter": ("names", "Means"),
    "ClusterRouter": ("Space", "KMeans", "Means"),
    "QualityRouter": ("Space", ["predictor"]),
    "GapRouter": ("Space", ["predictor"]),
    "FactorRouter": ("Space", "D", "Dm", "m"),
    "NeighbourRouter": ("Stored", "Means", "names"),
    "SimilarityRouter": "Stored",
    "EloRouter": ("Stored", "1m"),
    "DynamicSelection": "Stored",
    "LabelRouter": "_Cells",
}


def save_policy(policy: Policy, path: str | os.PathLike) -> None:
    """Write a policy, fitted or not, to a JSON file that `load_policy` reads.

    Learned parts of scikit-learn are kept as their arrays: logistic and ridge regression, k-means,
    standard scaling, and pipelines of them.

    Parameters
    ----------
    policy : Policy
    path : path of a file
        Replaced at once where it exists.

    Raises
    ------
    ValueError
        A class, a policy that is not of this package, or a part that is not plain numbers, by name.
    """
    if isinstance(policy, type):
        raise ValueError(f"{policy.__name__} is a class; save an instance, {policy.__name__}(…)")
    path, about = _path(path), {"format": FORMAT, "version": VERSION}
    if type(policy).__name__ not in _policies() or not isinstance(policy, Policy):
        raise ValueError(
            f"{shown(policy)} is no policy of this package, so a file cannot name it; keep the"
            " program that makes it"
        )
    about["policy"] = _written(policy, type(policy).__name__)
    if '"coef_"' in (text := json.dumps(about, allow_nan=False)) or '"Pipeline"' in text:
        about["scikit-learn"] = _sklearn_version()
        text = json.dumps(about, allow_nan=False)
    whole = path.with_name(path.name + ".part")
    whole.write_text(text + "\n", "utf-8")
    os.replace(whole, path)


def load_policy(path: str | os.PathLike) -> Policy:
    """The policy in a file of `save_policy`, or the only one in a TOML file of `Advice.save`.

    It decides as the saved one did. Nothing in the file is run: it names classes of a fixed list,
    numbers and texts. A recipe names an estimator of scikit-learn, which is fitted again.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Not such a file, or one that is damaged, newer, or made to do harm: the place in it.
    """
    path = _path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {shown(str(path), 150)}; write one with save_policy(policy, path)"
        )
    try:
        return _policy_in_toml(path) if path.suffix == ".toml" else _policy_in(path)
    except RecursionError:
        why = "it is nested too deep"
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        why = excerpt(str(error.args[0] if error.args else error), 200)
    raise ValueError(f"{shown(path.name, 40)} is no policy that can be loaded: {why}") from None


def _policy_in_toml(path: Path) -> Policy:
    """A recipe, or the one policy of a gateway's settings."""
    from ensemble_lab.answers.refit import FORMAT as RECIPE
    from ensemble_lab.answers.refit import load_recipe
    from ensemble_lab.answers.toml import policy_of_kind, read_toml

    found = read_toml(path)
    if found.get("format") == RECIPE:
        return load_recipe(path)
    policies = found.get("policies")
    if not isinstance(policies, Mapping) or len(policies) != 1:
        names = list(policies) if isinstance(policies, Mapping) else []
        raise ValueError(f"its policies are {shown(names, 60)}; load a file with exactly one")
    (table,) = policies.values()
    if not isinstance(table, Mapping) or ("kind" in table) == ("file" in table):
        raise ValueError("its policy has neither kind nor file, or both; give one of them")
    if "kind" in table:
        return policy_of_kind({k: v for k, v in table.items() if k not in ("features", "labels")})
    named = table["file"]
    if not isinstance(named, str) or not (path.parent / named).is_file():
        raise ValueError(f"its file {shown(named, 60)} is not beside it; copy it there")
    inner = path.parent / named
    return load_recipe(inner) if inner.suffix == ".toml" else _policy_in(inner)


def _policy_in(path: Path) -> Policy:
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES >> 20} MB; fit on fewer questions")
    try:
        found = json.loads(path.read_bytes(), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8; save the policy again") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON in line {error.lineno}; save the policy again") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError("it was not written by save_policy; save the policy again")
    if found.get("version") != VERSION:
        raise ValueError(
            f"its version is {shown(found.get('version'))} and this package reads {VERSION};"
            " install a newer ensemble_lab, or save the policy again"
        )
    _check_fields(
        found, {"format", "version", "policy"} | ({"scikit-learn"} & set(found)), "the file"
    )
    if "scikit-learn" in found and found["scikit-learn"] != _sklearn_version():
        raise ValueError(
            f"it was fitted with scikit-learn {shown(found['scikit-learn'])} and"
            f" {_sklearn_version()} is installed: install that version, or fit again"
        )
    policy = _read(found["policy"], "policy")
    if not isinstance(policy, Policy):
        raise ValueError(f"policy is {shown(found['policy'], 60)}; save a policy")
    return policy


def _written(value: Any, where: str) -> Any:
    """A value as JSON holds it."""
    name = type(value).__name__
    if value is None or isinstance(value, bool | np.bool_ | str):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {shown(value)}, which a policy's file does not hold")
        return float(value)
    if isinstance(value, np.ndarray):
        kind = str(value.dtype)
        if kind not in DTYPES or not np.isfinite(value).all():
            raise ValueError(f"{where} is an array of {kind}, or with gaps; it cannot be saved")
        return {"array": kind, "shape": list(value.shape), "data": value.ravel().tolist()}
    if STATES.get(name) is type(value) or isinstance(value, Policy):
        parts = {f: getattr(value, f) for f in _names(type(value))}
    elif name in LEARNED and type(value) is _estimator(name):
        parts = {k: v for k, v in value.get_params(deep=False).items() if k != "memory"}
        parts |= {k: getattr(value, k) for k in LEARNED[name][1] if hasattr(value, k)}
    elif isinstance(value, Mapping):
        return {"map": [[_written(p, where) for p in pair] for pair in value.items()]}
    elif type(value) in (tuple, list):
        made = [_written(part, f"{where}[{i}]") for i, part in enumerate(value)]
        return {"tuple": made} if isinstance(value, tuple) else made
    else:
        raise ValueError(
            f"{where} is a {excerpt(name, 40)}, which cannot be saved; learned parts that can are"
            f" {', '.join(LEARNED)}"
        )
    return {
        "class": name,
        "fields": {k: _written(v, f"{where}.{k}") for k, v in parts.items()},
    }


def _read(value: Any, where: str, deep: bool = True) -> Any:
    """The value that `_written` wrote."""
    if isinstance(value, list):
        return [_read(part, f"{where}[{i}]", deep) for i, part in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; every number is finite")
    if not isinstance(value, dict):
        return value
    kind = next(iter(value), "")
    if kind == "tuple" and set(value) == {"tuple"}:
        return tuple(_read(_list(value["tuple"], where), where, deep))
    if kind == "map" and set(value) == {"map"}:
        pairs = [_list(pair, where, 2) for pair in _list(value["map"], where)]
        return {_read(k, where, False): _read(v, where, deep) for k, v in pairs}
    if kind == "array" and deep:
        return _array(value, where)
    if kind != "class" or not deep:
        raise ValueError(f"{where} is {shown(value, 60)}, which is not expected there")
    _check_fields(value, {"class", "fields"}, where)
    name, parts = value["class"], value["fields"]
    if not isinstance(name, str) or not isinstance(parts, dict):
        raise ValueError(f"{where} is {shown(value, 60)}; it needs the name of a class and fields")
    where = f"{where} ({excerpt(name, 40)})"
    if name in _policies():
        return _policy(_policies()[name], parts, where)
    if name in STATES:
        _check_fields(parts, set(_names(STATES[name])), where)
        return STATES[name](**{k: _read(v, f"{where}.{k}") for k, v in parts.items()})
    if name in LEARNED:
        return _predictor(name, parts, where)
    raise ValueError(
        f"no class {shown(name, 40)}{nearest(name, [*_policies(), *STATES, *LEARNED])}"
    )


def _policy(made: type, parts: dict, where: str) -> Policy:
    _check_fields(parts, set(_names(made)), where)
    read = {k: _read(v, f"{where}.{k}", k in DEEP) for k, v in parts.items()}
    fitted, dims = read.get("fitted"), {}
    if made.__name__ in FORMS:
        if fitted is not None:
            _check("Fitted", fitted, dims, f"{where}.fitted")
            _check(FORMS[made.__name__], fitted.state, dims, f"{where}.fitted.state")
    elif fitted is not None:
        _check("predictor", fitted, dims, f"{where}.fitted")
    if read.get("cache") is not None:
        inner = getattr(read["of"], "fitted", None)
        if isinstance(inner, Fitted):
            dims["m"] = len(inner.models)
        _check("_Cache", read["cache"], dims, f"{where}.cache")
    return made(**read)


def _predictor(name: str, parts: dict, where: str) -> Any:
    made = _estimator(name)
    known = {k for k in made().get_params(deep=False)} if name != "Pipeline" else {
        "steps", "transform_input", "verbose"
    }  # fmt: skip
    learned = set(LEARNED[name][1])
    _check_fields(parts, known | (learned if learned & set(parts) else set()), where)
    read = {k: _read(v, f"{where}.{k}") for k, v in parts.items()}
    estimator = made(**{k: v for k, v in read.items() if k in known and k != "n_jobs"})
    if name == "Pipeline":
        steps = [_list(list(step), where, 2) for step in _list(read["steps"], where)]
        if not steps or not all(type(step).__name__ in LEARNED for _, step in steps):
            raise ValueError(f"{where}.steps are no steps of {', '.join(LEARNED)}")
        if len({getattr(step, "n_features_in_", None) for _, step in steps}) > 1:
            raise ValueError(f"{where}.steps take different numbers of features")
        return estimator
    if not learned & set(parts):
        return estimator
    dims: dict[str, int] = {}
    for attribute in learned:
        setattr(estimator, attribute, read[attribute])
    for attribute, shape in SHAPES[name].items():
        _check(shape, read[attribute], dims, f"{where}.{attribute}")
    estimator.n_features_in_ = dims["D"]
    if name == "KMeans":
        estimator._n_threads = 1
    elif name == "Ridge" and not isinstance(read["intercept_"], float):
        raise ValueError(f"{where}.intercept_ is {shown(read['intercept_'], 40)}; give a number")
    elif name == "LogisticRegression" and dims["r"] != (dims["k"] if dims["k"] > 2 else 1):
        raise ValueError(f"{where} has {dims['k']} classes and {dims['r']} rows of coefficients")
    return estimator


def _check(form: Any, value: Any, dims: dict[str, int], where: str) -> None:
    """Whether a learned value has its form; `dims` are the lengths found so far."""
    name = type(value).__name__
    if form is None or isinstance(form, tuple | list):
        if isinstance(form, list):
            form = form * dims["m"]
        if type(value) is not (type(form) if form is not None else type(None)) or (
            form is not None and len(value) != len(form)
        ):
            raise ValueError(f"{where} is {shown(value, 60)}, which this policy does not learn")
        for i, part in enumerate(form or ()):
            _check(part, value[i], dims, f"{where}[{i}]")
    elif form == "names":
        if value is not None and not isinstance(value, tuple):
            raise ValueError(f"{where} is {shown(value, 60)}; give a tuple of names")
        if value:
            _same("g", len(value), dims, where)
    elif form == "predictor":
        if name not in LEARNED and not isinstance(value, float):
            raise ValueError(f"{where} is {shown(value, 60)}; nothing predicts with it")
        if name in LEARNED and "D" in dims:
            _same("D", value.n_features_in_, dims, where)
    elif form in STATES or form in LEARNED:
        if name != form:
            raise ValueError(f"{where} is {shown(value, 60)}; a {form} belongs there")
        if form == "Fitted":
            dims["m"] = len(value.models)
        if form == "Space":
            dims["d"], dims["D"] = len(value.names), len(value.names) + len(value.groups)
        for attribute in ("space", "questions", "means"):
            if hasattr(value, attribute):
                inner = {"space": "Space", "questions": "Stored", "means": "Means"}[attribute]
                _check(inner, getattr(value, attribute), dims, f"{where}.{attribute}")
        if form == "_Cells":
            dims["e"] = dims["g"] // max(len(value.labels), 1) - 1
        if form == "_Cache" and np.max(value.answer, initial=-1) >= len(value.labels):
            raise ValueError(f"{where}.answer has a code beyond its {len(value.labels)} labels")
        for attribute, shape in SHAPES[form].items():
            if getattr(value, attribute) is not None or attribute != "price":
                _check(shape, getattr(value, attribute), dims, f"{where}.{attribute}")
    else:
        shape = np.shape(value) if isinstance(value, np.ndarray) else None
        if shape is None or len(shape) != len(form):
            raise ValueError(f"{where} needs an array of {len(form)} dimensions")
        for letter, length in zip(form, shape, strict=True):
            _same(letter, length, dims, where)


def _same(letter: str, length: int, dims: dict[str, int], where: str) -> None:
    right = int(letter) if letter.isdigit() else dims.setdefault(letter, length)
    if right != length:
        raise ValueError(f"{where} has length {length} where {right} is right")


def _array(value: dict, where: str) -> np.ndarray:
    _check_fields(value, {"array", "shape", "data"}, where)
    kind, shape = value["array"], tuple(_list(value["shape"], where))
    data = _list(value["data"], where)
    if kind not in DTYPES or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{where} is an array of {shown(kind, 20)} and shape {shown(shape, 40)}")
    types = {"b": (bool,), "i": (int,), "f": (int, float)}[np.dtype(kind).kind]
    if not all(type(number) in types and math.isfinite(number) for number in data):
        raise ValueError(f"{where} holds what is no finite number of {kind}")
    if math.prod(shape) != len(data):
        raise ValueError(f"{where} has {len(data)} numbers for the shape {shown(shape, 40)}")
    with np.errstate(over="ignore"):
        made = np.array(data, kind).reshape(shape)
    if not np.isfinite(made).all():
        raise ValueError(f"{where} holds a number beyond {kind}")
    made.flags.writeable = False
    return made


def _list(value: Any, where: str, length: int | None = None) -> list:
    if not isinstance(value, list) or length not in (None, len(value)):
        raise ValueError(f"{where} holds {shown(value, 60)} where a list is expected")
    return value


def _check_fields(found: Mapping, known: set[str], where: str) -> None:
    for what, names in (("no", known - set(found)), ("an unknown", set(found) - known)):
        if names:
            raise ValueError(f"{where} has {what} field {shown(min(names), 40)}")


def _names(made: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(made)) if is_dataclass(made) else made._fields


def _policies() -> dict[str, type]:
    exported = {name: getattr(answers, name) for name in answers.__all__}
    return {
        name: made
        for name, made in exported.items()
        if isinstance(made, type) and issubclass(made, Policy) and not made.__abstractmethods__
    }


def _estimator(name: str) -> type:
    return getattr(importlib.import_module(LEARNED[name][0]), name)


def _sklearn_version() -> str:
    import sklearn

    return ".".join(sklearn.__version__.split(".")[:2])


def _no_number(text: str) -> None:
    raise ValueError(f"it holds {text}; every number is finite")


def _path(path: str | os.PathLike) -> Path:
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ValueError(f"path is {shown(path)}; give the path of a JSON file")
    return Path(path)
