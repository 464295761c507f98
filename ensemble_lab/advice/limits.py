"""Budgets, latencies, risks and loads: their values, and what to say where none is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real

import numpy as np

from ensemble_lab.advice.scores import Scores
from ensemble_lab.advice.sums import Weighed
from ensemble_lab.core.errors import check_known, shown

SLACK = 1 + 1e-6  # the matrix has 32 bits: a budget's last digits are not exact


def check_limits(budget, latency, risk) -> None:
    """Refuse limits that are no numbers above 0, and a risk outside (0, 0.5]."""
    for name, limit, unit in (("budget", budget, "USD"), ("latency", latency, "seconds")):
        known = isinstance(limit, Real) and not isinstance(limit, bool)
        if limit is not None and (not known or not 0 <= limit < np.inf):
            raise ValueError(f"{name}={shown(limit)}; give {unit} an item, a number from 0 up")
    known = isinstance(risk, Real) and not isinstance(risk, bool)
    if risk is not None and (not known or not 0 < risk <= 0.5):
        raise ValueError(f"risk={shown(risk)}; give a chance above 0 and up to 0.5, such as 0.05")


def check_load(rate, servers, models: Sequence[str]) -> None:
    """Refuse a rate that is no number above 0, and servers that are no whole numbers from 1 up."""
    known = isinstance(rate, Real) and not isinstance(rate, bool)
    if rate is not None and (not known or not 0 < rate < np.inf):
        raise ValueError(f"rate={shown(rate)}; give requests a second, a number above 0")
    if isinstance(servers, Mapping):
        for name in servers:
            check_known(name, models, "servers", "models")
    counts = servers.values() if isinstance(servers, Mapping) else [servers]
    for count in counts:
        if servers is not None and (
            not isinstance(count, Integral) or isinstance(count, bool) or not 1 <= count <= 10**6
        ):
            raise ValueError(
                f"servers={shown(servers)}; give a whole number from 1 to 1,000,000, or one for"
                " each model: {name: number}"
            )


def too_tight(scores: Scores, whole: Weighed, budget, latency) -> str:
    """Why no candidate is within the limits."""
    _, cost, times = whole.means()
    for name, limit, mean, unit, rest in (
        ("budget", budget, cost[0], "USD", "the cheapest candidate"),
        ("latency", latency, times[0], "seconds", "the quickest candidate"),
    ):
        if limit is None:
            continue
        if np.isnan(mean).all():
            return f"{name}={limit:g} cannot be kept: no {name.replace('budget', 'cost')} is known"
        least = int(np.nanargmin(mean))
        if not mean[least] <= limit * SLACK:
            return (
                f"a {name} of {limit:g} {unit} an item is below {rest},"
                f" {shown(scores.names[least])} at {mean[least]:.4g}; raise it"
            )
    return (
        f"no candidate keeps a budget of {budget:g} USD and a latency of {latency:g} s; raise one"
    )
