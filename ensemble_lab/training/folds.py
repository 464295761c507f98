"""Who judges whom: rows to learn from and rows to judge, for every fold or for a single split."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit, check_cv

Splits = list[tuple[np.ndarray, np.ndarray]]


def splits_of(cv, X: np.ndarray, y: np.ndarray, classes: int | None) -> Splits:
    """Rows to learn from and rows to judge, for every fold; one pair where members are blended.

    Parameters
    ----------
    cv : int, float, splitter or None
        As in `StackingClassifier`.
    X : (n, d) array
    y : (n,) array
    classes : int, optional
        k, where `y` are the codes of classes.

    Raises
    ------
    ValueError
        Fewer rows than folds, a share outside (0, 1), rows that are judged twice or never, or a
        class that is missing from what a member would learn from.
    """
    cv = 5 if cv is None else cv
    if isinstance(cv, Integral):
        most = len(X) if classes is None else np.bincount(y).max()
        if cv > most:
            of = "" if classes is None else f", at most {most} of one class"
            raise ValueError(
                f"cv={cv} folds are more than X has rows ({len(X)} samples{of}): use fewer, or a"
                " single split such as cv=0.3"
            )
    elif isinstance(cv, Real):
        if not 0 < cv < 1:
            raise ValueError(f"cv={cv} is no share of the rows: use one in (0, 1), such as 0.3")
        kind = ShuffleSplit if classes is None else StratifiedShuffleSplit
        cv = kind(1, test_size=cv, random_state=0)
    splits = list(check_cv(cv, y, classifier=classes is not None).split(X, y))
    judged = np.concatenate([rows for _, rows in splits])
    if len(splits) > 1 and not np.array_equal(np.sort(judged), np.arange(len(X))):
        raise ValueError(f"cv={cv} judges some rows twice or never: use folds, or a single split")
    for rows in [rows for rows, _ in splits] + [judged]:
        lacking = np.setdiff1d(np.arange(classes or 0), y[rows])
        if len(lacking):
            raise ValueError(
                f"class {lacking[0]} of 0 to {classes - 1} (in order) is in no row of a fold: use"
                " fewer folds, a stratified splitter, or more rows of it"
            )
    return splits
