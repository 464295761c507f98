"""Speed of routing: metrics, decisions and fits.

Run with ``python -m benchmarks routing --json benchmarks/results/routing.json``.
"""

from functools import partial

import numpy as np

from benchmarks.parts.compare import record, side_by_side
from ensemble_lab import metrics

ROUNDS = 5


def search_over_pairs(cost, quality):
    """AIQ as RouterBench defines it: at every cost the best line between any two settings.

    It has cubic time; the third loop, over costs, is NumPy's. From the lowest cost to the highest,
    and never falling: behind the best setting the height stays.
    """
    order = np.argsort(cost)
    x, y = cost[order], quality[order]
    best = y.copy()
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            line = y[i] + (y[j] - y[i]) / (x[j] - x[i]) * (x[i : j + 1] - x[i])
            np.maximum(best[i : j + 1], line, out=best[i : j + 1])
    best = np.maximum.accumulate(best)
    return float(np.sum(np.diff(x) * (best[1:] + best[:-1])) / 2 / (x[-1] - x[0]))


def aiq_vs_cubic(quick):
    """The hull by one sorted pass against the search over all pairs of settings."""
    points = 60 if quick else 500
    rng = np.random.default_rng(0)
    cost = rng.random(points)
    quality = np.sqrt(cost) * rng.random(points)  # many settings lie below the hull
    ours, theirs = (partial(aiq, cost, quality) for aiq in (metrics.aiq, search_over_pairs))
    differ = abs(ours() - theirs())
    if differ > 1e-9:
        raise ValueError(f"AIQ differs by {differ:.2g} from the search over all pairs")
    timed = side_by_side(ours, theirs, 1 if quick else ROUNDS)
    return record(
        "aiq-vs-cubic",
        1000 * timed.ours,
        1000 * timed.peer,
        "ms",
        goal="equal to 1e-9",
        peer_is="a search over all pairs of settings at every cost, as RouterBench defines AIQ",
        settings=points,
        difference=differ,
        spread=timed.spread,
    )


RECORDS = {"aiq-vs-cubic": aiq_vs_cubic}
