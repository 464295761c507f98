"""Class labels of any kind, as codes from 0 on."""

from __future__ import annotations

import numpy as np
from sklearn.utils.multiclass import check_classification_targets


def encoded(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes (k,) in order, and the code (n,) of every label.

    Raises
    ------
    ValueError
        Labels that are no classes, or all the same.
    """
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y has one class only, {classes.tolist()[0]!r}: a classifier needs two or more"
        )
    return classes, codes.reshape(-1)
