"""Class labels of any kind: the classes, and their codes.

Members learn from the labels themselves, so that settings which name a class (`class_weight`,
`pos_label`, …) mean that class. Their outputs are put in the order of the ensemble's `classes_` by
their own `classes_`.
"""

from __future__ import annotations

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from ensemble_lab.core.errors import shown


def encoded(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes (k,) in order, and the code (n,) of every label.

    Raises
    ------
    ValueError
        Labels that are not classes, or all equal.
    """
    if y.dtype.kind == "f" and (y != np.floor(y)).any():
        row = int((y != np.floor(y)).argmax())
        raise ValueError(
            f"Unknown label type: y is {y[row]:g} in row {row}, and classes are not fractions; for"
            " numbers use a regressor"
        )
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y has one class only, {shown(classes[0])}: a classifier needs two or more"
        )
    return classes, codes.reshape(-1)


def places(classes: np.ndarray, labels, who: str) -> np.ndarray:
    """Code (n,) of every label among `classes` (k,), which are in order.

    Raises
    ------
    ValueError
        A label that is none of them, predicted by `who`.
    """
    labels = np.asarray(labels)
    if len(labels) and isinstance(labels.flat[0], str) == isinstance(classes.flat[0], str):
        codes = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
        unknown = labels[classes[codes] != labels]
    else:
        codes, unknown = np.zeros(0, int), labels  # a text is not a number
    if len(unknown):
        raise ValueError(f"{who} gives {shown(unknown[0])}, which is none of {shown(classes)}")
    return codes
