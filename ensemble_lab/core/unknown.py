"""The rule for unknown prices and times: a mean is unknown as soon as one of its values is.

Unknown values are often different from the others: a call without a price may have failed, or its
model may be too new for the price list. A mean over the known values would be an estimate that
looks exact. `Outcomes.filled` makes that estimate on request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import check_known
from ensemble_lab.core.required import require

if TYPE_CHECKING:
    from ensemble_lab.core.outcomes import Outcomes

FILLABLE = ("cost", "latency", "tokens")


def mean_of_all(values: np.ndarray | None) -> float:
    """Mean of `values` (n,); NaN where one of them is unknown, or there is none."""
    return float("nan") if values is None or not len(values) else float(np.mean(values))


def mean_of_known(values: np.ndarray | None) -> float:
    """Mean of the known `values` (n,); NaN without any."""
    return float("nan") if values is None else mean_of_all(values[~np.isnan(values)])


def share_known(values: np.ndarray | None) -> float:
    """Share of `values` (n,) that are known; 0 where none are recorded."""
    return 0.0 if values is None or not len(values) else float(1 - np.isnan(values).mean())


def model_means(values: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Mean (m,) of each column of `values` (n, m) over the items that the model has.

    NaN where one of them is unknown, and for a model without any. A pair with only this value
    counts as recorded.
    """
    return _means(values, ~absent | ~np.isnan(values))


def filled(outcomes: Outcomes, names: tuple[str, ...], absent: bool) -> Outcomes:
    """See `Outcomes.filled`."""
    for name in names:
        check_known(name, FILLABLE, "field", "fields that can be filled")
        require(outcomes, name, "filled")
    names = names or tuple(n for n in ("cost", "latency") if getattr(outcomes, n) is not None)
    parts: dict = {}
    for name in names:
        values = getattr(outcomes, name)
        unknown = np.isnan(values)
        gaps = unknown if absent or not unknown.any() else unknown & ~outcomes.absent
        if gaps.any():
            parts[name] = np.where(gaps, _means(values, ~unknown), values)
            if name == "cost":
                parts["cost_is_estimated"] = True
    return replace(outcomes, **parts) if parts else outcomes


def _means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    total = np.where(counted, values, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / counted.sum(axis=0)
