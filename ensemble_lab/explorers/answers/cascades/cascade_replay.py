"""The numbers behind the cascade explorer: every threshold of a chain at once, kept for dragging.

Half of the items is for fitting (thresholds by label, the selector that chooses first, the
presets), and every number shown is of the other half. The mathematics are those of `answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.answers.cascades.sweep import exits, grid_sums, reached, sums_of_all
from ensemble_lab.answers.cascades.thresholds import Ladder, priced
from ensemble_lab.answers.routing.selectors import LearnedSelector
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.unknown import mean_of_known, share_known

LEVELS = np.round(np.linspace(0, 1.01, 102), 2)  # 1.01 is above every confidence: ask all
TRY, CHOOSE = "try first", "choose first"
# What a call of the last model is worth, in right answers: see `_label_plans`.
WORTHS = np.concatenate([[0.0], np.logspace(-2, 0.3, 50), [100.0]])
FEWEST_TO_SPLIT = 4


@dataclass(frozen=True, eq=False)
class Sweep:
    """One chain of S models under every setting.

    Parameters
    ----------
    accuracy, price, graded : ndarray (L,) * (S - 1)
        Means an item, and how many items are graded.
    gain, both : ndarray (L,) * (S - 1)
        How much more is right than with the last model alone, on the share of the items where both
        have a graded answer.
    answered, asked : ndarray (S, *(L,) * (S - 1))
        Share of the items on which each model gave the answer, and was asked.
    score : ndarray (n,) or None
        What is compared with the first threshold; NaN where there is none.
    """

    accuracy: np.ndarray
    price: np.ndarray
    graded: np.ndarray
    gain: np.ndarray
    both: np.ndarray
    answered: np.ndarray
    asked: np.ndarray
    score: np.ndarray | None

    @property
    def coverage(self) -> np.ndarray:
        """Share of the items that are answered, (L,) * (S - 1)."""
        return self.answered.sum(axis=0)


@dataclass(frozen=True, eq=False)
class Price:
    """What is paid for a call: dollars, else seconds, else calls.

    Parameters
    ----------
    paid : ndarray (n, m) or None
        None: a call is worth 1, the small model's nothing.
    factor : float
        From an item's price to the axis's unit.
    title, unit : str
        Of the axis; `unit` reads well after a number.
    word : str
        ``"price"``, ``"time"`` or ``"calls"``.
    """

    paid: np.ndarray | None
    factor: float
    title: str
    unit: str
    word: str


def price_of(outcomes: Outcomes, halves: Sequence[Outcomes]) -> Price:
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
            return Price(values, *form)
    return Price(None, 1.0, "calls beyond the small model, an item", "calls an item", "calls")


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

    def __init__(
        self, outcomes: Outcomes, selector: LearnedSelector | None = None, chosen: bool = False
    ):
        self.outcomes, self.chosen = outcomes, chosen
        self.halved = len(outcomes) >= FEWEST_TO_SPLIT
        self.price = price_of(outcomes, outcomes.split() if self.halved else (outcomes,))
        self.template = selector
        self.halves = lru_cache(maxsize=128)(self._halves)
        self.sweep = lru_cache(maxsize=128)(self._sweep)
        self.selector = lru_cache(maxsize=128)(self._selector)
        self.label_plans = lru_cache(maxsize=16)(self._label_plans)
        self.by_label = lru_cache(maxsize=16)(self._by_label)
        self.once = lru_cache(maxsize=256)(self._once)
        self.fit, self.shown = self.halves(outcomes.models[0])

    def _halves(self, small: str) -> tuple[Outcomes, Outcomes]:
        """The half for fitting and the half that is shown, with the price as their cost."""
        table = self.outcomes
        paid = self.price.paid
        if paid is None:
            free = np.array(table.models) == small
            paid = np.broadcast_to(np.where(free, 0.0, 1.0), table.correct.shape)
        elif small != table.models[0]:
            return self.halves(table.models[0])
        table = replace(table, cost=paid)
        fit, shown = table.split() if self.halved else (table, table)
        return fit.filled("cost", absent=True), shown  # as `BudgetCascade` fits

    def half(self, small: str, fitted: bool = False) -> Outcomes:
        """One of the two, as seen from a small model."""
        return self.halves(small)[0 if fitted else 1]

    def _sweep(self, order: tuple[str, ...], mode: str, fitted: bool = False) -> Sweep:
        table = self.half(order[0], fitted)
        if len(order) == 1:
            counts, score = np.zeros((0, len(table)), int), None
        elif mode == CHOOSE:
            score = self.predicted(order, fitted)
            counts = np.searchsorted(LEVELS, score, side="right")[None]
        else:
            score = table.confidence[:, table.columns(order[:1])[0]]
            counts = reached(order, table, LEVELS)
        right, spent, who = self.exits(order, mode, table)
        gain, both = _means(counts, right - table.correct[:, table.columns(order[-1:])[0]])
        stage = np.arange(len(order))[:, None]
        asked = [stage == s if mode == CHOOSE else stage >= s for s in range(len(order))]
        return Sweep(
            accuracy=_means(counts, right)[0],
            price=_means_of_all(counts, spent),
            graded=_means(counts, right)[1],
            gain=gain,
            both=both / len(table),
            answered=np.stack([_means(counts, (who == s) * 1.0)[0] for s in range(len(order))]),
            asked=np.stack([_means(counts, np.broadcast_to(a * 1.0, who.shape))[0] for a in asked]),
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

    def _once(self, made: Callable, order: tuple[str, ...], mode: str):
        """What `made` makes of this replay and chain, kept."""
        return made(self, order, mode)

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
        table, selector = self.half(order[0], fitted), self.selector(*order)
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
        ladder = Ladder.of(order, self.half(order[0], True))
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
        names = ("accuracy", "price", "graded", "gain", "both")
        parts = {name: getattr(uniform, name).copy() for name in names}
        answered, asked = uniform.answered.copy(), uniform.asked.copy()
        shown = self.half(order[0])
        columns = shown.columns(order)
        for i in np.unique(best[best > 0]):
            decision, here = plans[i].decide(shown), best == i
            parts["accuracy"][here], parts["price"][here] = decision.accuracy, decision.mean_cost
            parts["graded"][here] = (~np.isnan(decision.correct)).sum()
            more = decision.correct - shown.correct[:, columns[-1]]
            parts["gain"][here], parts["both"][here] = mean_of_known(more), share_known(more)
            answered[:, here] = (decision.chosen[:, None] == columns).mean(axis=0)[:, None]
            asked[:, here] = decision.called[:, columns].mean(axis=0)[:, None]
        return replace(uniform, **parts, answered=answered, asked=asked)

    def levels(self, order: tuple[str, ...], at: tuple[int, ...]) -> tuple[float, ...]:
        """The first model's thresholds in that setting, one a label where labels have their own."""
        first = self.policy(order, TRY, at, True).thresholds[0]
        return tuple(first.values()) if isinstance(first, Mapping) else (first,)

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
    if len(counts):
        total, many = grid_sums(counts, filled, size), grid_sums(counts, known.astype(float), size)
    else:  # one model: there is nothing to set
        total, many = np.array(filled.sum()), np.array(known.sum())
    with np.errstate(invalid="ignore"):
        return total / many, many


def _means_of_all(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of the exit values (S, n) under every setting; NaN where one of them is unknown."""
    if len(counts):
        return sums_of_all(counts, values, len(LEVELS)) / values.shape[1]
    return np.array(values.sum() / values.shape[1])


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
