"""Teachers of any kind: what they say about rows, checked, in one order of classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from sklearn.base import clone

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.training.inputs.named import asked, named_fit
from ensemble_lab.training.inputs.settings import check_instance
from ensemble_lab.training.inputs.targets import probabilities
from ensemble_lab.training.labels import places


def listed(teacher) -> list:
    """The teachers, one or several, each able to give probabilities.

    Raises
    ------
    ValueError
        None, a class, or a model without `predict_proba`, such as a regressor.
    """
    teachers = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    for one in teachers or [teacher]:
        if not hasattr(one, "predict_proba") and not hasattr(one, "fit"):
            raise ValueError(
                f"teacher={shown(one, 60)}: give a classifier, a list of them, or Outcomes with"
                " probabilities, not in a list"
            )
        if isinstance(one, type) or not hasattr(one, "predict_proba"):
            check_instance(one, "teacher")
            raise ValueError(
                f"teacher {type(one).__name__} has no predict_proba: give a"
                " classifier that has, or put one into a CalibratedClassifierCV"
            )
    return teachers


def is_fitted(teacher) -> bool:
    """Whether a classifier knows its classes; a list, whether all do."""
    if isinstance(teacher, list | tuple):
        return all(map(is_fitted, teacher))
    return hasattr(teacher, "classes_") and not isinstance(teacher, type)


def learned(teachers: list, X: np.ndarray, y: np.ndarray, names) -> list:
    """Those that are fitted as they are, of the others fitted copies.

    Raises
    ------
    ValueError
        One that cannot learn, or that is no estimator and does not know its classes.
    """
    for i, one in enumerate(teachers):
        if not is_fitted(one) and not hasattr(one, "get_params"):
            raise ValueError(
                f"teacher {i:d}, a {type(one).__name__}, has no classes_: set it to the classes in"
                " the order of its probabilities"
            )
    return [
        one if is_fitted(one) else named_fit(f"teacher {i:d}", clone(one), X, y, names)
        for i, one in enumerate(teachers)
    ]


def classes_of(teachers: list) -> np.ndarray:
    """The classes (k,) that all teachers know, in order.

    Raises
    ------
    ValueError
        Teachers that know other classes than each other, several outputs, or one class.
    """
    for i, one in enumerate(teachers):
        if one.classes_ is None:
            raise ValueError(f"classes_ of teacher {i:d} is None: set it to its classes in order")
        if any(np.ndim(label) for label in one.classes_):
            raise ValueError(f"teacher {i:d} has several outputs: give teachers of one output")
    first, *others = (np.unique(one.classes_) for one in teachers)
    for i, other in enumerate(others, start=1):
        if not np.array_equal(other, first):
            raise ValueError(
                f"teacher 0 knows the classes {shown(first, 60)}, and teacher {i:d}"
                f" {shown(other, 60)}: all must know the same"
            )
    if len(first) < 2:
        raise ValueError(f"the teacher knows one class only, {shown(first[0])}: give two or more")
    return first


def said(teachers: list, classes: np.ndarray, X, frame, names) -> np.ndarray:
    """Probabilities (n, t, k) of the classes by every teacher.

    A teacher that has learned from a data frame gets `frame`, and others the array `X`.

    Raises
    ------
    ValueError
        A teacher that cannot answer these rows, or whose probabilities are none, or not one for
        each row and class: named with its row.
    """
    found = []
    for i, one in enumerate(teachers):
        who = f"teacher {i:d}"
        rows = frame if hasattr(one, "feature_names_in_") else X
        try:
            said = asked(who, one, "predict_proba", rows, names)
        except ValueError as error:
            why = " ".join(str(error).split())
            raise ValueError(excerpt(f"{who} cannot answer these rows: {why}", 300)) from error
        said = probabilities(said, f"what {who} says")
        if said.shape != (len(X), len(one.classes_)):
            raise ValueError(
                f"what {who} says has the shape {said.shape}: it must be {len(X):d} rows times"
                f" {len(one.classes_):d} classes, those of its classes_"
            )
        proba = np.zeros((len(said), len(classes)))
        proba[:, places(classes, one.classes_, who)] = said
        found.append(proba)
    return np.stack(found, axis=1)


def said_before(outcomes: Outcomes, X, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels (k,) of recorded answers, in order, and the models' probabilities (n, t, k).

    Raises
    ------
    ValueError
        No probabilities, other items than the n rows, or a model that did not answer one.
    """
    if outcomes.probability is None:
        raise ValueError(
            "these outcomes have no probabilities: give a table that has, or a classifier"
        )
    if len(outcomes) != n:
        raise ValueError(
            f"the outcomes have {len(outcomes):d} items and X {n:d} rows: give"
            " outcomes.take(rows) for the rows that are learned from"
        )
    index = getattr(X, "index", None)
    if isinstance(index, pd.Index) and _differ(index.tolist(), outcomes.items.tolist()):
        raise ValueError(
            "the outcomes' items are other rows than those of X, or in another order: give"
            " outcomes.select(items=X.index), or X.reset_index(drop=True) if positions are meant"
        )
    said = [
        probabilities(outcomes.probability[:, j], f"what {shown(name, 40)} says")
        for j, name in enumerate(outcomes.models)
    ]
    classes, order = np.unique(np.array(outcomes.labels), return_index=True)
    return classes, np.stack(said, axis=1)[..., order]


def _differ(rows: list, items: list) -> bool:
    """Whether both have names, which differ; one that only counts its rows has none."""
    unnamed = list(range(len(rows))) in (rows, items)
    return rows != items and (not unnamed or Counter(rows) == Counter(items))
