"""Folds: rows to learn from and rows to predict, for every fold or for a single split."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit, check_cv

from ensemble_lab.core.errors import shown

Splits = list[tuple[np.ndarray, np.ndarray]]


def splits_of(cv, X, y: np.ndarray, classes: np.ndarray | None) -> Splits:
    """Rows to learn from and rows to predict, for every fold; one pair where members are blended.

    Rows may be left out of all predictions, as the first of a time series are; no row is predicted
    twice.

    Parameters
    ----------
    cv : int, float, splitter, list of splits or None
        As in `StackingClassifier`.
    X : (n, d) array or data frame
    y : (n,) array
        Numbers, or codes of classes.
    classes : (k,) array, optional
        The classes in order, where `y` are their codes.

    Raises
    ------
    ValueError
        Fewer rows than folds, a share outside (0, 1), rows that are predicted twice or by a member
        that learned from them, rows that X does not have, or a class that is missing from what a
        member or the final model would learn from.
    """
    splits = [_rows(split, len(X)) for split in _split(_splitter(cv, y, classes), X, y)]
    if not splits:
        raise ValueError("cv gives no splits; where it is a generator, it is used up: give a list")
    judged = np.concatenate([rows for _, rows in splits])
    times = np.bincount(judged, minlength=len(X))
    if times.max() > 1:
        raise ValueError(
            f"cv={shown(cv, 40)} predicts row {times.argmax():d} twice: use folds, or a splitter or"
            " list of splits in which each row is predicted at most once"
        )
    for learned, rows in splits:
        if len(both := np.intersect1d(learned, rows)):
            raise ValueError(f"cv has row {both[0]:d} predicted by members that learned from it")
    for rows in [rows for rows, _ in splits] + [judged]:
        lacking = np.setdiff1d(np.arange(0 if classes is None else len(classes)), y[rows])
        if len(lacking):
            raise ValueError(
                f"class {shown(classes[lacking[0]])} is in no row of a fold: use fewer folds, a"
                " stratified splitter, or more rows of it"
            )
    return splits


def _splitter(cv, y: np.ndarray, classes):
    """The splitter, where `cv` may also be a number of folds or a share of the rows."""
    cv = 5 if cv is None else cv
    if isinstance(cv, Mapping):
        raise ValueError("cv is a mapping: give a list of splits, list(cv.values())")
    if isinstance(cv, str):
        raise ValueError(
            f"cv={shown(cv)}: use a number of folds or a share. For members that are fitted already"
            " put each in a sklearn.frozen.FrozenEstimator"
        )
    if isinstance(cv, bool) or (isinstance(cv, Integral) and cv < 2):
        raise ValueError(f"cv={shown(cv)}: use 2 folds or more, or a share of the rows such as 0.3")
    if isinstance(cv, Integral):
        most = len(y) if classes is None else np.bincount(y).max()
        if cv > most:
            of = "" if classes is None else f", at most {most:d} of one class"
            raise ValueError(
                f"cv={shown(cv)} folds are more than X has rows ({len(y)} samples{of}): use fewer,"
                " or a single split such as cv=0.3"
            )
    elif isinstance(cv, Real):
        if not 0 < cv < 1:
            raise ValueError(
                f"cv={shown(cv)} is not a share of the rows: use one in (0, 1), such as 0.3"
            )
        kind = ShuffleSplit if classes is None else StratifiedShuffleSplit
        cv = kind(1, test_size=cv, random_state=0)
    return check_cv(cv, y, classifier=classes is not None)


def _split(splitter, X, y: np.ndarray) -> list:
    try:
        return list(splitter.split(X, y))
    except TypeError:  # what scikit-learn wrapped does not give pairs
        raise ValueError(
            "cv is not a list of splits: each is a pair, the rows to learn from and the rows to"
            " judge"
        ) from None
    except ValueError as error:
        if "groups" not in str(error):
            raise
        kind = type(splitter).__name__
        raise ValueError(
            f"{kind} needs groups, which a stack does not know: give its splits, as in"
            f" cv=list({kind}(…).split(X, y, groups))"
        ) from error


def _rows(split, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows to learn from and to predict; masks of n rows are allowed."""
    try:
        pair = [np.asarray(rows) for rows in split]
        pair = [np.flatnonzero(rows) if rows.dtype == bool else rows for rows in pair]
        learned, judged = (rows.astype(int, casting="safe") for rows in pair)
    except (TypeError, ValueError):
        raise ValueError(
            "cv gives a split that is not a pair of row numbers: each is the rows to learn from and"
            " those to judge"
        ) from None
    for rows in (learned, judged):
        if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= n:
            raise ValueError(
                f"cv gives rows {shown(rows, 40)}, and X has rows 0 to {n - 1:d}: a split needs"
                " some of these on both sides"
            )
    return learned, judged
