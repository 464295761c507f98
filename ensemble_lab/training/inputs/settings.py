"""Checks of settings that all ensembles have; an error names the setting."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state, get_tags

from ensemble_lab.core.errors import shown


def check_count(count, what: str, kind: str) -> None:
    """Refuse what is not a whole number of 1 or more; True is refused too.

    Raises
    ------
    ValueError
        Its name, its value, and the rule.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{what}={shown(count)}: {kind}, as a whole number")


def check_instance(estimator, what: str) -> None:
    """Refuse a class, a list or a name where an estimator is expected.

    Raises
    ------
    ValueError
        The value, and the fix.
    """
    if isinstance(estimator, type):
        kind = estimator.__name__
        raise ValueError(f"{what} is the class {kind}: give an instance, {kind}()")
    if not hasattr(estimator, "fit"):
        raise ValueError(
            f"{what}={shown(estimator)} has no fit: give one estimator, such as a decision tree"
        )


def random_of(random_state) -> np.random.RandomState:
    """The random generator for scikit-learn's `random_state`.

    Raises
    ------
    ValueError
        It is of another type, such as one of numpy's newer generators.
    """
    try:
        return check_random_state(random_state)
    except ValueError:
        number = isinstance(random_state, Integral)
        what = f"={shown(random_state)}" if number else f" is a {type(random_state).__name__}"
        raise ValueError(
            f"random_state{what}: use a whole number from 0 to 2**32 - 1, a"
            " numpy.random.RandomState or None"
        ) from None


def takes_gaps(estimator) -> bool:
    """Whether an estimator declares that it reads NaN; False for other objects."""
    return (
        hasattr(estimator, "__sklearn_tags__")
        and not isinstance(estimator, type)
        and (get_tags(estimator).input_tags.allow_nan)
    )
