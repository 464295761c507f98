"""Checks of notebook 21: the optimism of a winner, and the best policy under a budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: how much too good the winner looks -------------------------------------------------------


def _optimism(
    by: Callable = lambda public, hidden: public,
    promised: Callable = lambda public, hidden, best: public[best],
    found: Callable = lambda public, hidden, best: hidden[best],
) -> Callable:
    """Promise less truth of the best one, meaned over splits, with its parts exchanged."""

    def work_out(public, hidden) -> float:
        splits = range(len(public))
        best = [int(by(public[s], hidden[s]).argmax()) for s in splits]
        gaps = [promised(public[s], hidden[s], b) - found(public[s], hidden[s], b)
                for s, b in zip(splits, best, strict=True)]  # fmt: skip
        return float(np.mean(gaps))

    return work_out


_lead = _optimism()


def _fixed_winner(public, hidden) -> float:
    """The policy that is best on average, in every split."""
    best = public.mean(axis=0).argmax()
    return float((public[:, best] - hidden[:, best]).mean())


OPTIMISM_MISTAKES = (
    (_optimism(by=lambda public, hidden: hidden),
     "Which half chooses the winner? The hidden one must have no say."),
    (_optimism(found=lambda public, hidden, best: hidden.max()),
     "Is the truth that of the winner, or of the policy that is best on the hidden half?"),
    (_optimism(found=lambda public, hidden, best: public.mean()),
     "Your truth comes from the public half. Which half had no say in the choice?"),
    (_optimism(found=lambda public, hidden, best: hidden.mean()),
     "Is the truth that of the winner, or the mean of all policies?"),
    (lambda public, hidden: float((public - hidden).mean()),
     "This is the gap of all policies, which is about 0. What is the gap of the winner?"),
    (lambda public, hidden: float(np.abs(public.max(axis=1) - hidden.max(axis=1)).mean()),
     "Is the truth that of the winner? And may one split be a stroke of bad luck?"),
    (lambda public, hidden: -_lead(public, hidden),
     "Is it positive where the public half promises too much?"),
    (_fixed_winner, "Does each split choose a winner of its own?"),
    (lambda public, hidden: float(np.median(
        [p[p.argmax()] - h[p.argmax()] for p, h in zip(public, hidden, strict=True)])),
     "Is this a mean or a median over the splits?"),
    (lambda public, hidden: _lead(public[:1], hidden[:1]), "Does your mean take all splits?"),
)  # fmt: skip


def _splits():
    """Scores of policies on both halves of some splits; hidden cases have other draws."""
    for seed, (splits, policies) in enumerate([(4, 3), (6, 10), (9, 5)]):
        rng = draws(seed)
        true = rng.uniform(0.6, 0.75, policies)
        yield tuple(true + 0.05 * rng.normal(size=(splits, policies)) for _ in range(2))


check_optimism = Check(
    """Check a function that tells how much too good the best of many policies looks.

    It takes ``(public, hidden)``, the accuracy of each policy on both halves of each split, (s, p)
    arrays, and returns one number: how much more the public half promises of its best policy than
    this policy reaches on the hidden half, on average over the splits.
    """,
    cases=_splits,
    parts=[Part("the optimism", _lead, OPTIMISM_MISTAKES,
                lambda at, public, hidden: "for {} splits of {} policies, the optimism".format(
                    *public.shape))],
    success="the winner is chosen and promised by one half, and judged by the other",
)  # fmt: skip

# -- 2: the best policy under a budget -----------------------------------------------------------


def _choice(
    able: Callable = lambda cost, budget: cost <= budget,
    value: Callable = lambda accuracy, cost: accuracy,
    tie: Callable = lambda accuracy, cost: cost,
) -> Callable:
    """The place of the best one that is able, with its parts exchanged."""

    def choose(accuracy, cost, budget) -> int:
        # NaN is no price: no comparison with it is true.
        places = [i for i in range(len(cost)) if able(cost[i], budget)]
        key = lambda i: (-value(accuracy[i], cost[i]), tie(accuracy[i], cost[i]), i)  # noqa: E731
        return min(places, key=key) if places else -1

    return choose


_best = _choice()
CHOICE_MISTAKES = (
    (lambda accuracy, cost, budget: int(accuracy.argmax()), "Does what you chose keep the budget?"),
    (_choice(able=lambda cost, budget: True), "Does what you chose keep the budget?"),
    (_choice(able=lambda cost, budget: cost < budget),
     "May a policy cost exactly the budget?"),
    (_choice(able=lambda cost, budget: not cost > budget),
     "What does a policy cost whose price is NaN? Is that within the budget?"),
    (_choice(tie=lambda accuracy, cost: 0),
     "Of equally accurate policies, which one would you pay for?"),
    (_choice(tie=lambda accuracy, cost: -cost),
     "Of equally accurate policies, which one would you pay for?"),
    (_choice(value=lambda accuracy, cost: -cost), "This is the cheapest. Is it the most accurate?"),
    (_choice(value=lambda accuracy, cost: accuracy / cost),
     "Accuracy a dollar rewards what is nearly free. What does the budget ask for?"),
    (_choice(value=lambda accuracy, cost: cost),
     "You spend all that you have. Is the most expensive one the most accurate?"),
    (lambda accuracy, cost, budget: max(_best(accuracy, cost, budget), 0),
     "What do you return where no policy keeps the budget?"),
)  # fmt: skip


def _boards():
    """Boards with ties, a price at the budget, an unknown price, and none that is able."""
    nan = float("nan")
    by_hand = [
        ([0.6, 0.7, 0.7, 0.9, 0.95], [1.0, 5.0, 3.0, 8.0, nan], 6.0),
        ([0.6, 0.7, 0.8], [1.0, 4.0, 6.0], 6.0),
        ([0.6, 0.7], [3.0, 4.0], 2.0),
        ([0.7, 0.7, 0.6], [3.0, 2.0, 0.1], 5.0),
        ([0.2, 0.8, 0.9], [1.0, 2.0, 4.0], 5.0),
    ]
    yield from ((np.array(a), np.array(c), budget) for a, c, budget in by_hand)
    rng = draws(7)
    for _ in range(4):
        yield np.round(rng.uniform(0.6, 0.8, 12), 2), rng.uniform(0.5, 10, 12).round(1), 5.0


check_budgeted = Check(
    """Check a function that chooses the best policy under a budget.

    It takes ``(accuracy, cost, budget)``: (p,) arrays and a price, and returns the place of the
    most accurate policy that costs at most `budget`, of equally accurate ones the cheapest, of
    equal ones the first. A cost of NaN is not known, so it is not within a budget. Where no policy
    is within it, the answer is -1.
    """,
    cases=_boards,
    parts=[Part("the place", _best, CHOICE_MISTAKES,
                lambda at, a, c, budget: f"for accuracies {a.tolist()}, costs {c.tolist()} and the"
                f" budget {budget:g}, the place")],
    success="a budget, then accuracy, then the price; an unknown price keeps no budget",
)  # fmt: skip
