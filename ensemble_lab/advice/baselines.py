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

CHEAPER = 0.8  # of the price of the advised one: less of a saving is not worth a word
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


def bargain_of(scores: Scores, frontier: pd.DataFrame, chosen: str) -> str:
    """The cheapest allowed candidate within one standard error, at most 80 % of the price.

    The error is that of their difference on the same rows, or on the same clusters of rows.
    """
    mine = scores.names.index(chosen)
    most = CHEAPER * frontier["cost"].iloc[mine]
    if not most > 0:  # nothing is cheaper than what costs nothing, or than what is not known
        return ""
    within = frontier[frontier["allowed"] & (frontier["cost"] <= most)]
    for name in within.sort_values(["cost", "accuracy"], ascending=[True, False])["candidate"]:
        lead, error = _lead(scores, mine, scores.names.index(name))
        if lead <= error * (1 + 1e-9):  # one row apart is one error apart, to the last digit
            return name
    return ""


def _lead(scores: Scores, one: int, other: int) -> tuple[float, float]:
    """By how much a candidate is more accurate than another, and the standard error of that."""
    apart = scores.correct[:, one].astype(float) - scores.correct[:, other]
    known = ~np.isnan(apart)
    if not known.any():
        return math.inf, 0.0
    lead = apart[known].mean()
    away = apart[known] - lead
    if scores.cluster is not None:
        away = np.bincount(scores.cluster[known], away)
    units = len(np.unique(scores.cluster[known])) if scores.cluster is not None else len(away)
    return float(lead), float(np.sqrt(units / max(units - 1, 1) * (away**2).sum()) / known.sum())


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
