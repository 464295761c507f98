"""A leaderboard with a hidden half: policies are ranked on one half, and the other is opened once.

The best of many policies looks better than it is, as some of its lead is luck. The hidden half had
no say in the choice, so the score of the winner there is honest: once. Who opens it, changes a
policy and opens it again has chosen by it. Nothing can forbid that where the data are at hand, so
each opening is noted in a file, and said.

References
----------
Blum and Hardt, The Ladder: a reliable leaderboard for machine learning competitions, ICML 2015.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ensemble_lab.advice.folds import folds_of
from ensemble_lab.advice.limits import SLACK, check_limits
from ensemble_lab.core.errors import shown
from ensemble_lab.core.intervals import checked_seed, share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes, require

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1


class Score(NamedTuple):
    """Accuracy with its 95 % interval, and USD an item; NaN where not known."""

    accuracy: float
    low: float
    high: float
    cost: float


@dataclass(frozen=True)
class Entry:
    """A policy on the board, with its score on the public half."""

    name: str
    policy: Policy
    score: Score
    within: bool

    def __repr__(self) -> str:
        right, low, high, cost = self.score
        price = "" if math.isnan(cost) else f", {1e4 * cost:.4g} USD per 10,000 items"
        over = "" if self.within else ": over the budget, not ranked"
        return f"{self.name}: {right:.1%} [{low:.1%}, {high:.1%}]{price}{over}"


class Leaderboard:
    """Ranks policies on a public half of a table, and opens the hidden half once.

    On the public half each policy is fitted on four fifths and judged on the last one, five times.
    On the hidden half it is judged as fitted on the whole public half. So enter policies that are
    not fitted: one that was fitted on public rows before is judged on these same rows. An item
    without an answer counts as wrong.

    This is an honour system. A policy sees no truth when it decides, but its author can load the
    whole table.

    Parameters
    ----------
    outcomes : Outcomes
        n graded items by m models.
    budget : float, optional
        Most USD an item, in the mean. An entry above it, or of unknown price, is not ranked.
    seed : int
        Which half is which, and the folds.
    path : str or Path
        A file of JSON lines: each opening, with its time and entries. The openings are counted by
        the items of the hidden half.

    Attributes
    ----------
    public : Outcomes
        The half to work with.
    entries : tuple of Entry

    Raises
    ------
    TypeError, ValueError
        No outcomes; fewer than 20 items; items without a grade; a budget that is no price, or a
        table without prices; a seed or path that is none.

    Examples
    --------
    >>> from ensemble_lab.answers.cascades.cascade import Cascade
    >>> table = Outcomes(models=["small", "big"], items=range(40), cost=[[1, 10]] * 40,
    ...                  correct=[[1, 1]] * 30 + [[0, 1]] * 10)
    >>> board = Leaderboard(table, budget=5)
    >>> board.enter("big", Cascade(("big",)))
    big: 100.0% [83.9%, 100.0%], 1e+05 USD per 10,000 items: over the budget, not ranked
    """

    def __init__(
        self,
        outcomes: Outcomes,
        *,
        budget: float | None = None,
        seed: int = 0,
        path: str | os.PathLike = "leaderboard.jsonl",
    ):
        check_outcomes(outcomes)
        check_limits(budget, None, None)
        if budget is not None:
            require(outcomes, "cost", "a budget")
        if len(outcomes) < 20:
            raise ValueError(
                f"{len(outcomes)} items make no two halves to rank on; give 20 or more"
            )
        if ungraded := int(np.isnan(outcomes.correct).any(axis=1).sum()):
            raise ValueError(
                f"{ungraded} of {len(outcomes)} items lack a grade of some model; leave them out"
            )
        if isinstance(path, bool) or not isinstance(path, str | os.PathLike) or not str(path):
            raise TypeError(f"path={shown(path)}; give the name of a file")
        self.seed, self.budget, self.path = checked_seed(seed), budget, Path(path)
        self.public, self._hidden = outcomes.split(0.5, self.seed)
        self.entries: tuple[Entry, ...] = ()
        items = "\n".join(sorted(map(repr, self._hidden.items.tolist())))
        self._half = hashlib.sha256(items.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    def enter(self, name: str, policy: Policy) -> Entry:
        """Score a policy on the public half.

        Raises
        ------
        TypeError, ValueError
            A name that is no text, is empty or was entered before; what is no policy, or one with a
            `decide` of its own: only `choose` is sure to see no truth. Answers without a grade.
        """
        if not isinstance(name, str) or not name.strip():
            raise TypeError(f"name={shown(name)}; give a text")
        if name in [entry.name for entry in self.entries]:
            raise ValueError(f"{shown(name)} was entered before; give another name")
        if not isinstance(policy, Policy):
            what = policy.__name__ if isinstance(policy, type) else shown(policy)
            raise TypeError(f"policy={what}; give a policy, such as MajorityVote()")
        if type(policy).decide is not Policy.decide:
            kind = type(policy).__name__
            raise ValueError(f"{kind} has a `decide` of its own, which may see what is right;"
                             " write `choose` instead")  # fmt: skip
        fold = folds_of(len(self.public), 5, np.random.default_rng(self.seed))
        right, cost = np.empty(len(fold)), np.full(len(fold), np.nan)
        for k in range(5):
            rows = np.flatnonzero(fold == k)
            learned = policy.fit(self.public.take(np.flatnonzero(fold != k)))
            right[rows], cost[rows] = _judged(learned, self.public.take(rows))
        if unknown := int(np.isnan(right).sum()):
            raise ValueError(f"{shown(name)}: {unknown} of its answers cannot be graded; give"
                             " outcomes with a truth")  # fmt: skip
        score = _score(right, cost)
        entry = Entry(name, policy, score, self._within(score.cost))
        self.entries += (entry,)
        return entry

    def table(self) -> pd.DataFrame:
        """The entries on the public half, the best first.

        Returns
        -------
        pandas.DataFrame
            One row an entry: ``rank`` (missing where over the budget), ``accuracy``, ``low``,
            ``high``, ``cost`` and ``within`` (the budget). Of equally accurate ones the cheaper one
            comes first.
        """
        import pandas as pd

        rows = [{**one.score._asdict(), "within": one.within} for one in self.entries]
        found = pd.DataFrame(rows, [one.name for one in self.entries],
                             [*Score._fields, "within"])  # fmt: skip
        found = found.astype(dict.fromkeys(Score._fields, float) | {"within": bool})
        found = found.sort_values(["within", "accuracy", "cost"], ascending=[False, False, True],
                                  kind="stable")  # fmt: skip
        ranks = pd.array([i + 1 if one else None for i, one in enumerate(found["within"])], "Int64")
        found.insert(0, "rank", ranks)
        return found

    def openings(self) -> int:
        """How often this hidden half was opened, by the file.

        Raises
        ------
        ValueError
            The file cannot be read.
        """
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeError):
            raise ValueError(f"{shown(str(self.path))} cannot be read; give another path") from None
        count = 0
        for number, line in enumerate(lines, 1):
            try:
                one = json.loads(line)
                known = one["version"] == VERSION and isinstance(one["half"], str)
            except (ValueError, TypeError, KeyError, RecursionError):
                known = False
            if not known:
                raise ValueError(
                    f"{shown(self.path.name)}, line {number}, is no opening of this version: nobody"
                    " can say how often this half was opened; give another path"
                )
            count += one["half"] == self._half
        return count

    def open(self) -> pd.DataFrame:
        """Score all entries on the hidden half too, and note that it was opened.

        The opening is written before a score is worked out, so an interrupted one counts.

        Returns
        -------
        pandas.DataFrame
            That of `table`, in its order, with ``hidden``, ``hidden_low``, ``hidden_high``,
            ``hidden_cost`` and ``opened_before``: how often the half was opened before. The scores
            are honest where it is 0, and for the entry that the public half chose: the best of the
            hidden scores is again the best of many.

        Warns
        -----
        UserWarning
            The half was opened before.

        Raises
        ------
        ValueError
            Nothing was entered, or the file cannot be read or written.
        """
        if not self.entries:
            raise ValueError("nothing was entered; enter a policy before you open the hidden half")
        before = self.openings()
        when = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"version": VERSION, "half": self._half, "when": when,
                "entries": [entry.name for entry in self.entries]}  # fmt: skip
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError:
            raise ValueError(f"{shown(str(self.path))} cannot be written, so the half stays closed;"
                             " give another path") from None  # fmt: skip
        if before:
            times = f"{before} time{'s' * (before > 1)}"
            warnings.warn(f"this half was opened before, {times}: what was chosen since then may be"
                          " chosen by it, so its scores are no longer honest",
                          stacklevel=2)  # fmt: skip
        found = self.table()
        scores = {one.name: _score(*_judged(one.policy.fit(self.public), self._hidden))
                  for one in self.entries}  # fmt: skip
        for column, field in (("hidden", "accuracy"), ("hidden_low", "low"),
                              ("hidden_high", "high"), ("hidden_cost", "cost")):  # fmt: skip
            found[column] = [getattr(scores[name], field) for name in found.index]
        found["opened_before"] = before
        return found

    def _within(self, cost: float) -> bool:
        return self.budget is None or bool(cost <= self.budget * SLACK)

    def __repr__(self) -> str:
        halves = f"{len(self.public):,} public items, {len(self._hidden):,} hidden"
        return f"Leaderboard({halves}, {len(self.entries)} entries)"


def _judged(policy: Policy, outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    """Correctness (n,), 0 without an answer, and cost (n,), NaN where not known."""
    decision = policy.decide(outcomes)
    right = np.where(decision.abstained, 0.0, decision.correct)
    return right, np.full(len(right), np.nan) if decision.cost is None else decision.cost


def _score(right: np.ndarray, cost: np.ndarray) -> Score:
    mean = float(right.mean())
    low, high = share_interval(mean, len(right))
    return Score(mean, float(low), float(high), float(cost.mean()))
