"""The out-of-fold matrix: what every candidate did on rows that it was not fitted on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ensemble_lab.advice.columns import clock, clusters
from ensemble_lab.advice.folds import UNUSED, folds_of, training_rows
from ensemble_lab.advice.pool import Candidate
from ensemble_lab.core.decision import Decision
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes

MOST_FITTED = 20_000  # rows of a fit: more change no policy here, and take minutes


@dataclass(frozen=True, eq=False)
class Scores(Frozen):
    """What c candidates did on n rows, each judged by a fit on other rows.

    Parameters
    ----------
    names : tuple of str, length c
    correct : ndarray (n, c)
        In [0, 1]; NaN where a candidate gave no answer or the row was not judged.
    cost, latency : ndarray (n, c) or None
        USD and seconds, where recorded.
    fold : ndarray of int (n,)
        -1 for rows that no fold judges: the first block of a split forward in time.
    cluster : ndarray of int (n,) or None
        The cluster of each row; rows of one cluster are in one fold and are drawn together.
    refused : mapping of str to str
        Candidates that could not be fitted or replayed, each with the reason.
    stopped : bool
        Whether Ctrl-C ended the scoring before all candidates were done.
    paid : ndarray (c, m) or None
        Mean USD an item that each candidate paid to each model of the table: its cost, split.
    """

    names: tuple[str, ...]
    correct: np.ndarray
    cost: np.ndarray | None
    latency: np.ndarray | None
    fold: np.ndarray
    cluster: np.ndarray | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False
    paid: np.ndarray | None = None

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, view(value))

    def __len__(self) -> int:
        return len(self.fold)

    def __repr__(self) -> str:
        stopped = ", stopped early" if self.stopped else ""
        return f"Scores({len(self)} rows x {len(self.names)} candidates{stopped})"


def score(
    outcomes: Outcomes,
    candidates: Sequence[Candidate],
    folds: int = 5,
    cluster=None,
    time=None,
    seed: int = 0,
    *,
    most_fitted: int = MOST_FITTED,
    progress: bool = True,
) -> Scores:
    """Judge every candidate on rows that it was not fitted on.

    One level of folds is enough, as all choices of a candidate are made in its fit. Ctrl-C keeps
    the candidates that are done.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models, graded.
    candidates : sequence of Candidate
    folds : int
        From 2 up.
    cluster : str or array-like (n,), optional
        Rows of one cluster are in one fold: the name of a feature, ``"group"``, or one value a row.
    time : str or array-like (n,), optional
        A clock: each block of time is judged by a fit on earlier blocks, and online policies are
        replayed in this order. The first block is not judged.
    seed : int
        Of the folds.
    most_fitted : int
        A fit reads at most so many rows, drawn at random.
    progress : bool
        Whether a bar is shown.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        Fewer rows or clusters than folds, or a clock that cannot be read.
    KeyboardInterrupt
        Before the first candidate was done.
    """
    from tqdm.auto import tqdm

    if sys.platform == "emscripten":
        tqdm.monitor_interval = 0  # its monitor is a thread, which a browser has not
    check_outcomes(outcomes)
    n, rng = len(outcomes), np.random.default_rng(checked_seed(seed))
    cluster, time = clusters(outcomes, cluster), clock(outcomes, time)
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= n // 2:
        raise ValueError(
            f"folds={shown(folds)} of {n} rows; give a whole number from 2 to {n // 2}"
        )
    groups = n if cluster is None else int(cluster.max()) + 1
    if groups < folds:
        raise ValueError(
            f"cluster has {groups} different values and there are {folds} folds; give a column with"
            " more values, or fewer folds"
        )
    fold = folds_of(n, folds, rng, cluster, time)
    parts = _Parts(outcomes, fold, cluster, time, most_fitted, rng)
    kept: dict[str, list] = {}
    refused: dict[str, str] = {}
    stopped = False
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two candidates are called {shown(twice)}; give each its own name")
    with tqdm(candidates, desc="candidates", unit="", delay=2, disable=not progress) as bar:
        try:
            for candidate in bar:
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of fits that do not converge
                        kept[candidate.name] = parts.judged(candidate)
                except (ValueError, LookupError, ArithmeticError) as error:
                    refused[candidate.name] = excerpt(str(error), 200)
        except KeyboardInterrupt:
            if not kept:
                raise
            stopped = True
    if not kept:
        name, why = next(iter(refused.items()))
        raise ValueError(f"no candidate can be judged here; {shown(name)}: {why}")
    *columns, paid = [None if part[0] is None else np.stack(part, axis=-1)
                      for part in zip(*kept.values(), strict=True)]  # fmt: skip
    paid = None if paid is None else paid.T
    return Scores(tuple(kept), *columns, fold, cluster, refused, stopped, paid)


class _Parts:
    """The table cut into training and judged rows, once for all candidates."""

    def __init__(self, outcomes, fold, cluster, time, most_fitted, rng):
        self.outcomes, self.fold, self.time = outcomes, fold, time
        self.judged_rows, self.training, self.tests = [], [], []
        for k in range(int(fold.max()) + 1):
            rows = np.flatnonzero(training_rows(fold, k, cluster, time is not None))
            if len(rows) > most_fitted:
                rows = np.sort(rng.choice(rows, most_fitted, replace=False))
            here = np.flatnonzero(fold == k)
            if not len(rows) and cluster is not None and (fold < k).any():
                raise ValueError(
                    f"every row before block {k + 2} of the time is of a cluster that this block"
                    " has too, so nothing can be learned for it; give cluster or time, not both, or"
                    " clusters that last a shorter time"
                )
            if not len(rows) or not len(here):
                raise ValueError(
                    f"fold {k} has {len(here)} rows to judge and {len(rows)} to learn from; give a"
                    " clock or clusters with more different values"
                )
            self.judged_rows.append(here)
            self.training.append(outcomes.take(rows))
            self.tests.append(outcomes.take(here))

    def judged(self, candidate: Candidate) -> list[np.ndarray | None]:
        """Correctness, cost and latency (n,) of a candidate; NaN in rows that are not judged.

        The last array (m,) has what it paid to each model, the mean over the judged rows.
        """
        outcomes = self.outcomes
        found = [np.full(len(outcomes), np.nan, np.float32), *(
            None if measure is None else np.full(len(outcomes), np.nan, np.float32)
            for measure in (outcomes.cost, outcomes.latency)
        )]  # fmt: skip
        paid = None if outcomes.cost is None else np.zeros(len(outcomes.models), np.float32)
        judged = self.fold != UNUSED
        if isinstance(candidate.policy, OnlinePolicy):
            order = np.arange(len(outcomes)) if self.time is None else np.argsort(
                self.time, kind="stable")  # fmt: skip
            decision = candidate.policy.decide(outcomes.take(order))
            _store(found, order, decision)
            _pay(paid, decision.called, outcomes.cost, order, judged)
        elif candidate.family == "single":  # nothing is learned, and 5,000 models are quick
            column = outcomes.columns(candidate.policy.order)[0]
            for values, known in zip(
                found, (outcomes.correct, outcomes.cost, outcomes.latency), strict=True
            ):
                if values is not None:
                    values[:] = known[:, column]
            if paid is not None:
                paid[column] = outcomes.cost[judged, column].mean()
        else:
            for rows, train, test in zip(self.judged_rows, self.training, self.tests, strict=True):
                decision = fitted(candidate.policy, train).decide(test)
                _store(found, rows, decision)
                _pay(paid, decision.called, outcomes.cost, rows, judged)
        for values in found:
            if values is not None:
                values[~judged] = np.nan
        return [*found, paid]


def fitted(policy: Policy | OnlinePolicy, outcomes: Outcomes) -> Policy | OnlinePolicy:
    """The policy fitted on `outcomes`; an online policy learns while it answers."""
    return policy if isinstance(policy, OnlinePolicy) else policy.fit(outcomes)


def _store(found: list, rows: np.ndarray, decision: Decision) -> None:
    measured = (decision.correct, decision.cost, decision.latency)
    for values, known in zip(found, measured, strict=True):
        if values is not None:
            values[rows] = known


def _pay(paid, called: np.ndarray, cost, rows: np.ndarray, judged: np.ndarray) -> None:
    """Add to `paid` (m,) what the calls in `rows` cost, as a share of the mean over all judged."""
    if paid is None:
        return
    called = called & judged[rows, None]
    for j in np.flatnonzero(called.any(axis=0)):  # a price of NaN counts only where it is paid
        paid[j] += cost[rows[called[:, j]], j].sum() / judged.sum()
