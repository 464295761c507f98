"""Members that learn and predict: an error of one names it and the fix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.pipeline import Pipeline

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.training.inputs.rows import first_gap, first_text
from ensemble_lab.training.labels import places
from ensemble_lab.training.stages import fitted

# These give their parts codes 0 to k - 1 in place of the labels.
ENCODING = BaggingClassifier, StackingClassifier, VotingClassifier


def named_fit(who: str, member, X, y, names=None, rows=None, **how):
    """The fitted member.

    Parameters
    ----------
    who : str
        Such as ``member 'tree'``.
    member : estimator
        It is fitted itself, not a copy.
    X : (n, d) array or data frame
    y : (n,) array
    names : (d,) array, optional
        Of the columns.
    rows : (n,) array of int, optional
        The indices of these rows where they are a part of all rows.
    **how
        Further arguments of its `fit`.

    Raises
    ------
    ValueError
        It cannot learn from these rows: its name, why, and what may fix it.
    """
    try:
        return fitted(by_code(member, y), X, y, **how)
    except Exception as error:
        message = _reason(who, member, X, y, (names, rows), error)
        raise ValueError(excerpt(message, 300)) from error


def asked(who: str, member, method: str, X, names=None, rows=None):
    """The output of one of the fitted member's methods for rows X (n, d).

    Raises
    ------
    ValueError
        Rows have gaps, and the member takes none.
    """
    try:
        return getattr(member, method)(X)
    except ValueError as error:
        if "NaN" not in str(error) or not (place := first_gap(X, names, rows)):
            raise
        raise ValueError(excerpt(_takes_no_gaps(who, member, place), 300)) from error


def probabilities_of(who: str, member, X, classes: np.ndarray, names=None, rows=None) -> np.ndarray:
    """Probabilities (n, k) of all classes by a member, 0 for those that it has not met."""
    known = np.asarray(asked(who, member, "predict_proba", X, names, rows), float)
    proba = np.zeros((len(known), len(classes)))
    proba[:, places(classes, getattr(member, "classes_", classes), who)] = known
    return proba


def by_code(member, y):
    """The member with the labels in its settings replaced by the codes that its parts learn from.

    scikit-learn's votes, bags and stacks pass on codes, so a `class_weight` in one of their parts
    would apply to another class than it names.
    """
    if not (is_classifier(member) and hasattr(member, "get_params")):
        return member
    parts = {"": member, **member.get_params()}
    within = tuple(
        f"{name}__" if name else "" for name, part in parts.items() if isinstance(part, ENCODING)
    )
    torn = tuple(
        f"{name}__" if name else ""
        for name, part in parts.items()
        if isinstance(part, CalibratedClassifierCV) and part.ensemble is False
    )
    if not within + torn:
        return member
    codes = {label: code for code, label in enumerate(np.unique(y).tolist())}
    for name, value in parts.items():
        if (
            name.startswith(torn)
            and isinstance(value, Mapping)
            and [*codes] != [*range(len(codes))]
        ):
            raise ValueError(
                f"CalibratedClassifierCV(ensemble=False) gives its estimator labels and codes, and"
                f" {shown(name)} can name only one of them: use ensemble=True"
            )
        if not name.startswith(within):
            continue
        if name.endswith("class_weight") and isinstance(value, Mapping):
            # A label that y lacks gets no code.
            message = {codes.get(label, f"no {label}"): weight for label, weight in value.items()}
            member.set_params(**{name: message})
        elif name.endswith("pos_label") and isinstance(value, str | int) and value in codes:
            member.set_params(**{name: codes[value]})
    return member


def _reason(who: str, member, X, y, at: tuple, error: Exception) -> str:
    message = " ".join(str(error).split())
    if "NaN" in message and (place := first_gap(X, *at)):
        return _takes_no_gaps(who, member, place)
    who = f"{who} ({type(member).__name__})"
    if "could not convert string" in message and (place := first_text(X, *at)):
        return (
            f"{place}, and {who} takes none: encode it inside the member, as with a OneHotEncoder"
        )
    if is_classifier(member) and len(classes := np.unique(y)) == 1:
        return (
            f"{who} got rows of one class only, {shown(classes[0], 40)}, and failed to learn: give"
            " more rows of the others, larger draws, or a member whose fit takes sample_weight"
        )
    if "only supported for" in message and "frame" in message:
        return (
            f"{who} chooses columns by name, and here members get arrays: choose before, as in"
            " make_pipeline(columns, BaggingClassifier())"
        )
    return f"{who} failed to learn: {message if len(message) <= 160 else message[:159] + '…'}"


def _takes_no_gaps(who: str, member, place: str) -> str:
    name = type(member).__name__
    fix = f"make it make_pipeline(SimpleImputer(), {name}())"
    if isinstance(member, Pipeline):
        fix = "put a SimpleImputer at its start"
    return f"{place} of X is NaN, and {who} ({name}) takes no gaps: {fix}"
