"""Advice: whether it keeps its promise, and how long it takes.

Run with ``python -m benchmarks advise --json benchmarks/results/advise.json``.
"""

from itertools import product

from benchmarks.parts.compare import record
from benchmarks.parts.covering import DRAWS, SIZES, TABLES, all_draws, summed


def coverage(quick):
    """Promise and truth of accuracy and mean cost, of the policy that is returned."""
    draws = 3 if quick else DRAWS
    found = all_draws(TABLES[:1] if quick else TABLES, SIZES, draws)
    parts = {
        f"{name}, {n} rows": summed(some)
        for name, n in product(TABLES, SIZES)
        if (some := [one for one in found if (one["table"], one["n"]) == (name, n)])
    }
    total = summed(found)
    return record(
        "coverage",
        max(abs(part["points_too_high"][0]) for part in parts.values()),
        max(abs(part["points_too_high_naive"][0]) for part in parts.values()),
        "points between the mean promise and the truth, in the worst of the tables",
        goal="coverage 91 to 98 %, mean promise within 0.3 points of the truth",
        peer_is="the accuracy on the rows of the fit of the policy that is best there",
        draws=total["draws"] // len(parts),
        together=total,
        tables=parts,
        pairs_are="mean and its standard error",
    )


RECORDS = {"coverage": coverage}
