"""The frontier: every setting of a policy, with its accuracy and its cost."""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.intervals import share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes

if TYPE_CHECKING:
    import pandas as pd


def frontier(
    policy: Policy,
    outcomes: Outcomes,
    *,
    against: str | None = None,
    intervals: bool = False,
    **grid,
) -> pd.DataFrame:
    """Every setting of `policy` on `outcomes`: accuracy, coverage, cost, latency and calls an item.

    Parameters
    ----------
    policy : Policy
        Fitted where it needs to be.
    outcomes : Outcomes
    against : {"cost", "latency", "calls"}, optional
        What the Pareto set trades accuracy for; by default the first of the three that is known,
        with a warning where the outcomes have a cost or latency but no setting's mean is known.
    intervals : bool
        Add ``low`` and ``high``, the 95 % interval of each accuracy.
    **grid
        Field name to its values, a list or anything that can be read as one; several fields make
        all combinations. For a `Cascade`, ``thresholds`` takes levels, and every stage takes each
        of them.

    Returns
    -------
    pandas.DataFrame
        One row a setting. ``accuracy`` is that of the items answered, and ``coverage`` their share.
        ``pareto`` is True where no other setting that answers at least as many items is as accurate
        for less, or more accurate for the same; of equal settings the first is marked. A mean cost
        or latency is NaN where that of one call is not known (`Outcomes.filled`). Such a setting is
        not in the Pareto set and does not exclude another.

    Raises
    ------
    KeyError
        A field that the policy does not have.
    ValueError
        A value out of its range, or no value for a field.

    Warns
    -----
    UserWarning
        A setting leaves items without an answer.

    Examples
    --------
    >>> table = Outcomes(models=["small", "big"], items=[0, 1], correct=[[1, 1], [0, 1]],
    ...                  confidence=[[0.9, 1], [0.4, 1]], cost=[[1, 10], [1, 10]])
    >>> from ensemble_lab.answers.cascades.cascade import Cascade
    >>> cascade = Cascade(("small", "big"), (0.5,))
    >>> frontier(cascade, table, thresholds=[0, 0.5])[["accuracy", "cost", "pareto"]]
       accuracy  cost  pareto
    0       0.5   1.0    True
    1       1.0   6.0    True
    """
    import pandas as pd

    if isinstance(policy, type) or not hasattr(policy, "sweep"):
        what = f"the class {policy.__name__}" if isinstance(policy, type) else shown(policy)
        raise ValueError(f"policy is {what}; give a policy, such as Cascade(order, (0.5,))")
    check_outcomes(outcomes)
    known = [f.name for f in fields(policy)]
    for name in grid:
        check_known(name, known, "field", type(policy).__name__)
    columns = policy.sweep(outcomes, {name: _listed(grid[name], name) for name in grid})
    graded = columns.pop("graded")
    table = pd.DataFrame(columns)
    spent = table[_axis(table, outcomes, against)]
    if (fewest := table["coverage"].min()) < 1:
        some = (table["coverage"] < 1).sum()
        warnings.warn(
            f"{some} of {len(table)} settings leave items without an answer (coverage from"
            f" {fewest:.3g}): their accuracy is that of the items they answer, so compare settings"
            " of equal coverage",
            stacklevel=2,
        )
    measures = (spent, table["accuracy"], table["coverage"])
    table["pareto"] = pareto(*(column.to_numpy(float) for column in measures))
    if intervals:
        table["low"], table["high"] = share_interval(table["accuracy"], graded)
    return table


def _listed(values, name: str) -> list:
    listed = several(values, name)
    if not listed:
        raise ValueError(f"{name} has no values to try; give at least one")
    return listed


def _axis(table: pd.DataFrame, outcomes: Outcomes, against: str | None) -> str:
    """The measure that accuracy is traded for: `against`, else the first known one."""
    axes = ("cost", "latency", "calls")
    if against is not None and against not in axes:
        raise ValueError(f"against={shown(against)}; it is one of {', '.join(axes)}: choose one")
    recorded = [name for name in axes if getattr(outcomes, name, True) is not None]
    wanted = against or recorded[0]
    if table[wanted].notna().any():
        return wanted
    instead = next(name for name in axes if table[name].notna().any())
    if wanted not in recorded:
        raise ValueError(
            f"against={shown(wanted)}: there is no {wanted} here; try against={shown(instead)}"
        )
    why = (
        f"no setting's mean {wanted} is known, as some calls have none: outcomes.filled()"
        " fills such gaps with the model's mean"
    )
    if against is not None:
        raise ValueError(f"against={shown(against)}: {why}, or try against={shown(instead)}")
    warnings.warn(f"{why}; pareto is against {instead} here", stacklevel=3)
    return instead


def pareto(spent: np.ndarray, accuracy: np.ndarray, coverage=1.0) -> np.ndarray:
    """(n,) bool: no other point is at least as accurate for at most as much, and better in one.

    Another point counts only where its `coverage` is at least as high, as the items that it leaves
    out may be the hard ones. Of equal points the first is marked. A point whose spend or accuracy
    is NaN is not marked.
    """
    coverage = np.broadcast_to(coverage, accuracy.shape)
    if len(accuracy) and (coverage < coverage.max()).any():
        return _pareto_of_three(spent, accuracy, coverage)
    order = np.lexsort((-accuracy, spent))
    best_before = np.concatenate([[-np.inf], np.fmax.accumulate(accuracy[order])[:-1]])
    kept = np.zeros(len(order), bool)
    kept[order] = accuracy[order] > best_before
    return kept & ~np.isnan(spent)


def _pareto_of_three(spent: np.ndarray, accuracy: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """`pareto` where coverages differ."""
    known = ~np.isnan(spent) & ~np.isnan(accuracy)
    front: list[int] = []
    # A point that beats another, or an equal one that is listed first, comes first in this order.
    for i in np.lexsort((-coverage, -accuracy, spent)):
        beaten = (accuracy[front] >= accuracy[i]) & (coverage[front] >= coverage[i])
        if known[i] and not beaten.any():
            front.append(i)
    return np.isin(np.arange(len(accuracy)), front)
