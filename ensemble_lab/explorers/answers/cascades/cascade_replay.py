"""The numbers behind the cascade explorer: every threshold of a chain at once, kept for dragging.

Half of the items is for fitting (thresholds by label, the selector that chooses first, the
presets), and every number shown is of the other half. The mathematics are those of `answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from ensemble_lab.answers.cascades.cascade import Cascade, _levels, replied
from ensemble_lab.answers.cascades.sweep import exits, grid_sums, reached, sums_of_all
from ensemble_lab.answers.cascades.thresholds import Ladder, priced
from ensemble_lab.answers.routing.selectors import LearnedSelector
from ensemble_lab.core.frontier import pareto
from ensemble_lab.core.intervals import share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.unknown import mean_of_all, mean_of_known, model_means, share_known

LEVELS = np.round(np.linspace(0, 1.01, 102), 2)  # 1.01 is above every confidence: ask all
TRY, CHOOSE = "try first", "choose first"
# What a call of the last model is worth, in right answers: see `_label_plans`.
WORTHS = np.concatenate([[0.0], np.logspace(-2, 0.3, 50), [100.0]])
FEWEST_TO_SPLIT = 4
UNSURE = -9.0  # where there is no confidence: below every other, less any threshold
BARS, MOST_CUTS = 25, 200


@dataclass(frozen=True, eq=False)
class Sweep:
    """One chain of S models under every setting, (L,) * (S - 1).

    Means an item, how many items are `graded`, and the `gain` on the last model alone over the
    share of the items where `both` have a graded answer. `answered` has a row for each model;
    `passed` is the share that the first model passes on, or that is sent past it. `score` (n,) is
    compared with the first threshold; NaN where there is none.
    """

    accuracy: np.ndarray
    price: np.ndarray
    graded: np.ndarray
    gain: np.ndarray
    both: np.ndarray
    answered: np.ndarray
    passed: np.ndarray
    score: np.ndarray

    @property
    def coverage(self) -> np.ndarray:
        """Share of the items that are answered, (L,) * (S - 1)."""
        return self.answered.sum(axis=0)

    @cached_property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the accuracy, 95 %: its two ends, (L,) * (S - 1)."""
        return share_interval(self.accuracy, self.graded)


@dataclass(frozen=True, eq=False)
class Queue:
    """The n items of a chain in a row, the least sure first: what is before the cut goes on.

    `score` ascends, `own` is how right the first model's answer is. The chain is right on an item
    by `kept` where that stays, for the price `spent`, and by `passed`, for `paid`, where not.
    """

    score: np.ndarray
    own: np.ndarray
    kept: np.ndarray
    passed: np.ndarray
    spent: np.ndarray
    paid: np.ndarray

    @cached_property
    def cuts(self) -> np.ndarray:
        """Where the row can be cut: never between equals, and those without a score go on."""
        found = np.r_[0, np.flatnonzero(np.diff(self.score)) + 1, len(self.score)]
        return found[found >= np.searchsorted(self.score, UNSURE, side="right")]

    @cached_property
    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share passed on, accuracy and price at the cuts; evenly thinned where there are many."""
        cuts = self.cuts
        cuts = cuts[np.linspace(0, len(cuts) - 1, min(len(cuts), MOST_CUTS)).round().astype(int)]
        known = _front(~np.isnan(self.passed), ~np.isnan(self.kept), cuts)
        right = _front(np.nan_to_num(self.passed), np.nan_to_num(self.kept), cuts)
        with np.errstate(invalid="ignore"):
            n = len(self.score)
            return cuts / n, right / known, _front(self.paid, self.spent, cuts) / n

    def bars(self, cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges of the bars along the row, one of them at `cut`, and what is right, wrong there.

        As shares of the items in each bar. Equals are in one bar: no threshold parts them.
        """
        even, right, wrong = self._sums
        edges = np.unique(np.r_[even, cut])
        width = np.diff(edges)
        return edges / len(self.score), *(np.diff(sums[edges]) / width for sums in (right, wrong))

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evenly spaced places to cut, and how many are right, wrong before each place."""
        n, cuts = len(self.score), np.r_[0, self.cuts]
        near = np.abs(np.linspace(0, n, BARS + 1)[:, None] - cuts).argmin(axis=1)
        sums = (np.r_[0, np.cumsum(np.nan_to_num(each))] for each in (self.own, 1 - self.own))
        return cuts[near], *sums


def _front(front: np.ndarray, rest: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Sums of `front` before each cut and of `rest` behind it."""
    return np.r_[0, np.cumsum(front)][cuts] + np.r_[np.cumsum(rest[::-1])[::-1], 0][cuts]


@dataclass(frozen=True, eq=False)
class Price:
    """What is `paid` (n, m) for a call; None where each is worth 1, the small model's nothing.

    `factor` leads from there to the axis's unit.
    """

    paid: np.ndarray | None
    factor: float
    title: str
    unit: str
    word: str

    @classmethod
    def of(cls, outcomes: Outcomes, halves: Sequence[Outcomes]) -> Price:
        """Dollars where every model has some in both halves, else seconds, else calls.

        A gap in them makes the mean of every setting that asks there unknown, and so it is said.
        """
        forms = {
            "cost": (1e4, "cost (USD per 10,000 items)", "USD per 10,000", "price"),
            "latency": (1e3, "latency (ms an item)", "ms an item", "time"),
        }
        for name, form in forms.items():
            values = getattr(outcomes, name)
            if values is not None and not any(
                np.isnan(getattr(half, name)).all(axis=0).any() for half in halves
            ):
                return cls(values, *form)
        return cls(None, 1.0, "calls beyond the small model, an item", "calls an item", "calls")


class Replay:
    """Sweeps over one table, each computed when first asked for.

    Parameters
    ----------
    outcomes : Outcomes
    selector : LearnedSelector, optional
        Whose estimator chooses first; by default a logistic regression.
    chosen : bool
        Whether thresholds came with a policy: nobody knows on which items they were fitted.
    """

    def __init__(self, outcomes: Outcomes, selector: LearnedSelector | None = None, chosen=False):
        self.outcomes, self.chosen = outcomes, chosen
        self.halved = len(outcomes) >= FEWEST_TO_SPLIT
        self.price = Price.of(outcomes, outcomes.split() if self.halved else (outcomes,))
        self.template = selector
        kept = ("halves", "sweep", "selector", "label_plans", "by_label", "facts", "queue")
        for name in kept:
            setattr(self, name, lru_cache(maxsize=64)(getattr(self, f"_{name}")))
        self.fit, self.shown = self.halves(outcomes.models[0])

    def _halves(self, small: str) -> tuple[Outcomes, Outcomes]:
        """The half for fitting and the half that is shown, with the price as their cost."""
        table = self.outcomes
        paid = self.price.paid
        if paid is None:
            bigger = np.array([model != small for model in table.models])
            paid = np.broadcast_to(bigger, table.correct.shape) * 1.0
        elif small != table.models[0]:
            return self.halves(table.models[0])
        table = replace(table, cost=paid)
        fit, shown = table.split() if self.halved else (table, table)
        return fit.filled("cost", absent=True), shown  # as `BudgetCascade` fits

    def _sweep(self, order: tuple[str, ...], mode: str, fitted: bool = False) -> Sweep:
        table = self.halves(order[0])[0 if fitted else 1]
        if mode == CHOOSE:
            score = self.predicted(order, fitted)
            counts = np.searchsorted(LEVELS, score, side="right")[None]
        else:
            score = table.confidence[:, table.columns(order[:1])[0]]
            counts = reached(order, table, LEVELS)
        right, spent, who = self.exits(order, mode, table)
        gain, both = _means(counts, right - table.correct[:, table.columns(order[-1:])[0]])
        accuracy, graded = _means(counts, right)
        later = np.broadcast_to(np.arange(len(order))[:, None] > 0.0, who.shape)
        return Sweep(
            accuracy=accuracy,
            price=sums_of_all(counts, spent, len(LEVELS)) / len(table),
            graded=graded,
            gain=gain,
            both=both / len(table),
            answered=np.stack([_means(counts, (who == s) * 1.0)[0] for s in range(len(order))]),
            passed=_means(counts, later * 1.0)[0],
            score=score,
        )

    def exits(self, order, mode: str, table: Outcomes):
        """Correctness, price and who answers (S, n) for stopping at each stage."""
        columns = table.columns(order)
        stage = np.full(table.correct.shape, np.nan)
        stage[:, columns] = np.arange(len(order))
        if mode == CHOOSE:  # only the chosen one is asked, and whatever it says stands
            return table.correct[:, columns].T, table.cost[:, columns].T, stage[:, columns].T
        return (
            exits(order, table, table.correct, cumulative=False),
            exits(order, table, table.cost, cumulative=True),
            exits(order, table, stage, cumulative=False),
        )

    def prices(self, small: str) -> np.ndarray:
        """Mean price (m,) of each model's call in the axis's unit; NaN where one is unknown."""
        table = self.halves(small)[1]
        return self.price.factor * model_means(table.cost, table.absent)

    def _facts(self, order: tuple[str, ...], mode: str, able: bool) -> tuple:
        """What does not depend on a threshold: the last six attributes of `View`."""
        table = self.halves(order[0])[1]
        right, spent, _ = self.exits(order, mode, table)
        known = np.where(np.isnan(right), -1.0, right)
        best, graded = (known.argmax(axis=0), np.arange(len(table))), known.max(axis=0) >= 0
        oracle = self.price.factor * mean_of_all(spent[best]), mean_of_known(known[best][graded])
        columns = table.columns(order).tolist()
        own = table.correct[:, columns[0]]
        rank = ranking(self.sweep(order, mode).score, own) if able else float("nan")
        chance = _chance(table, order)
        return columns, table.accuracy(), self.prices(order[0]), oracle, chance, rank

    # -- choose first ---------------------------------------------------------------------------

    def _selector(self, small: str, big: str) -> LearnedSelector | None:
        """Fitted on the fitting half; None where the small model is never or always right."""
        template = self.template or LearnedSelector(small, big)
        try:
            return replace(template, small=small, big=big).fit(self.fit)
        except ValueError:
            return None

    def predicted(self, order, fitted: bool) -> np.ndarray:
        """(n,) predicted probability that the small model is right."""
        table, selector = self.halves(order[0])[0 if fitted else 1], self.selector(*order)
        if selector is None:  # nothing to learn: the share that it gets right
            return np.full(len(table), np.nan_to_num(self.fit.select(models=order[:1]).accuracy()))
        return selector.chance(table)

    # -- a threshold for each label -------------------------------------------------------------

    def _label_plans(self, order: tuple[str, ...]) -> tuple[list[Cascade | None], np.ndarray]:
        """Cascades with a threshold a label, and which of them (L,) * (S - 1) replaces a setting.

        A right answer is worth 1 and money some price: one plan for each such price. A uniform
        setting gives way to the plan that is the most right for no more money, on the fitting
        half; position 0, None, is the uniform setting itself, where no plan is better.
        """
        ladder = Ladder.of(order, self.halves(order[0])[0])
        scale = max(ladder.spent[-1].mean(), 1e-12)
        start = ladder.plan((2.0,) * (len(order) - 1))
        plans = [priced(start, ladder, lam / scale) for lam in WORTHS]
        uniform = self.sweep(order, TRY, True)
        best = np.zeros(uniform.accuracy.shape, int)
        most = uniform.accuracy.copy()
        for i, plan in enumerate(plans, start=1):
            better = (plan.cost <= uniform.price * (1 + 1e-9)) & (plan.accuracy > most)
            best, most = np.where(better, i, best), np.where(better, plan.accuracy, most)
        return [None, *(Cascade(order, plan.thresholds) for plan in plans)], best

    def _by_label(self, order: tuple[str, ...]) -> Sweep:
        """The sweep in which each setting has given way to its plan by label."""
        uniform = self.sweep(order, TRY)
        plans, best = self.label_plans(order)
        names = ("accuracy", "price", "graded", "gain", "both", "passed")
        parts = {name: getattr(uniform, name).copy() for name in names}
        answered = uniform.answered.copy()
        shown = self.halves(order[0])[1]
        columns = shown.columns(order)
        for i in np.unique(best[best > 0]):
            decision, here = plans[i].decide(shown), best == i
            parts["accuracy"][here], parts["price"][here] = decision.accuracy, decision.mean_cost
            parts["graded"][here] = (~np.isnan(decision.correct)).sum()
            more = decision.correct - shown.correct[:, columns[-1]]
            parts["gain"][here], parts["both"][here] = mean_of_known(more), share_known(more)
            parts["passed"][here] = decision.called[:, columns[1]].mean()
            answered[:, here] = (decision.chosen[:, None] == columns).mean(axis=0)[:, None]
        return replace(uniform, **parts, answered=answered)

    # -- the items in a row ---------------------------------------------------------------------

    def _queue(self, order, mode: str, at: tuple[int, ...], per_label: bool) -> Queue:
        """The shown items, the least sure first, for a second threshold, or by label for all."""
        table = self.halves(order[0])[1]
        column = table.columns(order[:1])[0]
        if mode == CHOOSE:
            score = self.sweep(order, mode).score
        else:
            sure = np.where(replied(table, column), table.confidence[:, column], np.nan)
            level = 0.0
            if per_label:  # each item by how far it is from its own label's threshold
                level = _levels(self.policy(order, mode, at, True).thresholds[0], table, column)
            score = np.nan_to_num(sure - level, nan=UNSURE)
        right, spent, _ = self.exits(order, mode, table)
        stays = reached(order, table, LEVELS)[1] > at[1] if len(order) == 3 else False
        passed, paid = (np.where(stays, part[1], part[-1]) for part in (right, spent))
        own = table.correct[:, column]
        return Queue(*_sorted(score, own, right[0], passed, spent[0], paid))

    # -- one setting ----------------------------------------------------------------------------

    def policy(self, order, mode: str, at: tuple[int, ...], per_label: bool) -> Policy | None:
        """The policy that one setting stands for; None where there was nothing to learn."""
        levels = tuple(LEVELS[list(at)].tolist())
        if len(order) == 1:
            return Cascade(order)
        if mode == CHOOSE:
            selector = self.selector(*order)
            return None if selector is None else replace(selector, threshold=min(levels[0], 1.0))
        plans, best = self.label_plans(order) if per_label else ([None], np.zeros(()))
        plan = plans[int(best[at])] if per_label else None
        return plan or Cascade(order, levels)


def _means(counts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the known exit values (S, n) under every setting, and how many are known."""
    known = ~np.isnan(values)
    filled, size = np.where(known, values, 0.0), len(LEVELS)
    total, many = grid_sums(counts, filled, size), grid_sums(counts, known.astype(float), size)
    with np.errstate(invalid="ignore"):
        return total / many, many


def _chance(table: Outcomes, order) -> float:
    """An oracle over as many guessers, where it is known between how many answers they guess."""
    options = table.features.get("n_options")
    if options is None and table.truth is not None:
        options = len(np.unique(table.truth[table.truth >= 0]))  # answers that are ever right
    try:
        return float(table.select(models=order).chance_oracle(options))
    except ValueError:  # nobody knows how many options there were
        return float("nan")


def ranking(score: np.ndarray, right: np.ndarray) -> float:
    """How often a right answer has a higher score than a wrong one (AUC); ties count half.

    NaN where all are right or all wrong, or no score is known.
    """
    known = ~np.isnan(score) & ~np.isnan(right)
    score, right = score[known], right[known] >= 0.5
    _, place, many = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(many) - (many - 1) / 2  # of each level, ties sharing the middle
    won, pairs = rank[place][right].sum(), right.sum() * (~right).sum()
    return float((won - right.sum() * (right.sum() + 1) / 2) / pairs) if pairs else float("nan")


# -- what is looked at --------------------------------------------------------------------------


class View:
    """One setting with its numbers, of the shown half; prices are in the axis's unit.

    `sweep`, `queue` and `cut` are None and `at` is empty where nothing says which items are hard,
    or there is one model. `accuracy` and `price` are (m,) of the single models, those of the chain
    in `columns`; `oracle` is (price, accuracy), `chance` the accuracy of an oracle over guessers,
    `rank` how often a right answer has a higher score than a wrong one.
    """

    def __init__(self, replay: Replay, order: tuple[str, ...], mode: str, at, per_label: bool):
        self.replay, self.order, self.mode, self.at = replay, order, mode, at[: len(order) - 1]
        self.by_label = bool(self.at) and per_label and mode != CHOOSE
        self.sweep = self.queue = self.cut = None
        if self.at:  # look-ups, once the chain was swept
            self.sweep = replay.by_label(order) if self.by_label else replay.sweep(order, mode)
            first, level = (self.at[0], 0.0) if self.by_label else (0, LEVELS[self.at[0]])
            self.queue = replay.queue(order, mode, (first, *self.at[1:]), self.by_label)
            self.cut = int(np.searchsorted(self.queue.score, level))
        self.columns, self.accuracy, self.price, self.oracle, self.chance, self.rank = replay.facts(
            order, mode, bool(self.at)
        )

    @property
    def point(self) -> tuple[float, float]:
        """Price and accuracy."""
        if self.sweep is None:
            return np.nan, np.nan
        paid = self.replay.price.factor * float(self.sweep.price[self.at])
        return paid, float(self.sweep.accuracy[self.at])

    @property
    def interval(self) -> tuple[float, float]:
        """Of the accuracy, 95 %."""
        if self.sweep is None:
            return np.nan, np.nan
        return tuple(float(end[self.at]) for end in self.sweep.interval)

    @property
    def share(self) -> float:
        """Of the items, how many are passed on by the first model, or sent past it."""
        return np.nan if self.sweep is None else float(self.sweep.passed[self.at])

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share passed on, accuracy and price along the first threshold."""
        if self.sweep is None:
            return (np.array([]),) * 3
        if not self.by_label:
            share, right, paid = self.queue.curve
            return share, right, self.replay.price.factor * paid
        place, factor = (slice(None), *self.at[1:]), self.replay.price.factor
        parts = self.sweep.passed, self.sweep.accuracy, factor * self.sweep.price
        return _sorted(*(part[place] for part in parts))

    def frontier(self) -> tuple[np.ndarray, np.ndarray]:
        """Price and accuracy along the only threshold; of two, the settings worth having."""
        if self.sweep is None or len(self.order) == 2:
            return self.curve()[2], self.curve()[1]
        kept, paid = efficient(self.sweep), self.replay.price.factor * self.sweep.price
        return _sorted(*(part.ravel()[kept] for part in (paid, self.sweep.accuracy)))

    def answered(self) -> list[float]:
        """Per cent of the items that each model of the chain answered."""
        if self.sweep is None:
            return [0.0] * len(self.order)
        return (100 * self.sweep.answered[(slice(None), *self.at)]).tolist()


def _sorted(first: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    row = np.argsort(first, kind="stable")
    return first[row], *(other[row] for other in others)


def efficient(sweep: Sweep) -> np.ndarray:
    """Which settings, as one row, no other that answers as many beats in price and accuracy."""
    # Shares are sums of shares: the last digits are no difference.
    parts = sweep.price, sweep.accuracy, np.round(sweep.coverage, 9)
    return pareto(*(part.ravel() for part in parts))
