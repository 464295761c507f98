"""Settings that all ensembles have, refused by name where they are none."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state, get_tags

from ensemble_lab.core.errors import shown


def check_count(count, what: str, kind: str) -> None:
    """Refuse what is no whole number of 1 or more; True is none.

    Raises
    ------
    ValueError
        Its name, what it is, and the rule.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{what}={shown(count)}: {kind}, as a whole number")


def check_instance(estimator, what: str) -> None:
    """Refuse a class, a list or a name where an estimator is expected.

    Raises
    ------
    ValueError
        What it is, and the fix.
    """
    if isinstance(estimator, type):
        kind = estimator.__name__
        raise ValueError(f"{what} is the class {kind}: give an instance, {kind}()")
    if not hasattr(estimator, "fit"):
        raise ValueError(
            f"{what}={shown(estimator)} has no fit: give one estimator, such as a decision tree"
        )


def random_of(random_state) -> np.random.RandomState:
    """The generator that scikit-learn's `random_state` means.

    Raises
    ------
    ValueError
        It is none, such as one of numpy's newer generators.
    """
    try:
        return check_random_state(random_state)
    except ValueError:
        raise ValueError(
            f"random_state is a {type(random_state).__name__}: use a whole number from 0 up, a"
            " numpy.random.RandomState or None"
        ) from None


def takes_gaps(estimator) -> bool:
    """Whether an estimator says that it reads NaN; what is none says nothing."""
    return (
        hasattr(estimator, "__sklearn_tags__")
        and not isinstance(estimator, type)
        and (get_tags(estimator).input_tags.allow_nan)
    )
