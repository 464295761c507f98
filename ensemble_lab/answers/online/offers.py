"""What a bandit is told: which models can be asked, at what price, and what a reply was worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from numbers import Real

import numpy as np

from ensemble_lab.core.by_model import by_model
from ensemble_lab.core.errors import shown

LARGEST = sys.float_info.max  # also of whole numbers, which have no infinity
MOST = 1e12  # USD of a reply: its products with weights and item numbers stay finite


def flags(available, models: Sequence[str]) -> np.ndarray:
    """The flags of m models as an array, (m,); those of a series are found by name.

    Raises
    ------
    ValueError
        Not a True or False for each model.
    """
    found = by_model(available, models, "available")
    if found.shape != (len(models),) or any(type(one) is not bool for one in found.tolist()):
        raise ValueError(
            f"available is {shown(available)}; give True or False for each of {len(models)} models"
        )
    return found.astype(bool)


def usd(prices, models: Sequence[str]) -> np.ndarray:
    """The prices of m models as an array, (m,); those of a series are found by name.

    Raises
    ------
    ValueError
        Not a price for each model, or one that is negative, above 1e12 or unknown.
    """
    found = by_model(prices, models, "prices")
    try:
        found = np.zeros(0) if found.dtype.kind in "bcmM" else found.astype(float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (len(models),) or not ((found >= 0) & (found <= MOST)).all():
        raise ValueError(
            f"prices are {shown(prices)}; give USD from 0 up to 1e12 for each of {len(models)}"
            " models"
        )
    return found


def check_amounts(grade, cost, latency) -> None:
    """Refuse a grade outside 0 to 1, and a negative or infinite cost or latency; NaN is unknown."""
    for name, value in (("grade", grade), ("cost", cost), ("latency", latency)):
        known = isinstance(value, float | Real) and not isinstance(value, bool)
        if not known or value < 0 or value > LARGEST:
            raise ValueError(f"{name} is {shown(value)}; give a number from 0 up, or NaN")
    if grade > 1:
        raise ValueError(f"grade is {shown(grade)}; grades lie between 0 and 1")
