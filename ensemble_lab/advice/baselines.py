"""What an advice is held against: rivals, a random mixture, the chance oracle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.advice.scores import Scores
from ensemble_lab.advice.selection import Selection
from ensemble_lab.core.outcomes import Outcomes

if TYPE_CHECKING:
    import pandas as pd

POWER = 7.85  # (1.96 + 0.84)²: a difference that is found at 5 % four times in five


def frontier_of(scores: Scores, found: Selection, families: dict[str, str]) -> pd.DataFrame:
    """One row a candidate; the columns of `Advice.frontier`."""
    import pandas as pd

    return pd.DataFrame(
        {
            "candidate": scores.names,
            "family": [families[name] for name in scores.names],
            "accuracy": found.means,
            "low": found.low,
            "high": found.high,
            "cost": found.costs,
            "cost_low": found.cost_low,
            "cost_high": found.cost_high,
            "latency": found.latencies,
            "chosen_in": found.shares,
            "allowed": found.allowed,
        }
    )


def rival_of(scores: Scores, found: Selection, chosen: int) -> int | None:
    """The allowed candidate that was chosen most often beside `chosen`, else the most accurate."""
    others = [j for j in range(len(scores.names)) if j != chosen and found.allowed[j]]
    return max(others, key=lambda j: (found.shares[j], found.means[j]), default=None)


def needed_rows(scores: Scores, chosen: int, rival: int) -> float:
    """Rows that would tell two candidates apart; infinite where they are equally accurate."""
    apart = scores.correct[:, chosen].astype(float) - scores.correct[:, rival]
    apart = apart[~np.isnan(apart)]
    lead = apart.mean() if len(apart) else 0.0
    return math.inf if lead == 0 else math.ceil(POWER * apart.var() / lead**2)


def mixture_at(found: Selection, singles: list[int], cost: float) -> float:
    """The height of the upper hull of the single models at `cost`."""
    x, y = found.costs[singles], found.means[singles]
    if np.isnan(x).any() or np.isnan(cost):
        return math.nan
    below, above = x <= cost * (1 + 1e-6), x > cost * (1 + 1e-6)
    best = y[below].max(initial=-np.inf)
    for a, b in zip(x[below], y[below], strict=True):
        rise = b + (y[above] - b) * (cost - a) / (x[above] - a)
        best = max(best, rise.max(initial=-np.inf))
    return float(best) if np.isfinite(best) else math.nan


def chance_oracle_of(outcomes: Outcomes) -> float:
    """`Outcomes.chance_oracle`, NaN where the number of options is not known."""
    if "n_options" not in outcomes.features and len(outcomes.labels) < 2:
        return math.nan
    return outcomes.chance_oracle()
