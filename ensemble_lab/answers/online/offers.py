"""What a bandit is told before it chooses: which models can be asked now, and at what price."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.by_model import by_model
from ensemble_lab.core.errors import shown

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
