"""What a bandit is told before it chooses: which models can be asked now, and at what price."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.errors import shown


def flags(available, m: int) -> np.ndarray:
    """The flags of m models as an array, (m,).

    Raises
    ------
    ValueError
        Not a True or False for each model.
    """
    found = np.asarray(available)
    if found.shape != (m,) or found.dtype != bool:
        raise ValueError(
            f"available is {shown(available)}; give True or False for each of {m} models"
        )
    return found


def usd(prices, m: int) -> np.ndarray:
    """The prices of m models as an array, (m,).

    Raises
    ------
    ValueError
        Not a price for each model, or one that is negative, infinite or unknown.
    """
    try:
        found = np.asarray(prices, float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (m,) or not (found >= 0).all() or np.isinf(found).any():
        raise ValueError(f"prices are {shown(prices)}; give USD from 0 up for each of {m} models")
    return found
