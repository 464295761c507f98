"""Checks of notebook 01: plurality with gaps and ties, and weights that are log-odds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ensemble_lab.answers.voting import MajorityVote
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.exercises.calling import Unfit
from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws
from ensemble_lab.exercises.given import number

# -- 1: plurality -------------------------------------------------------------------------------


def _elected(outcomes: Outcomes, members=None) -> np.ndarray:
    """The plurality's codes (n,); -1 too where no answer could be read."""
    return np.maximum(MajorityVote(members).decide(outcomes).answer, ABSENT)


def _by_label_order(outcomes: Outcomes) -> np.ndarray:
    codes = np.arange(len(outcomes.labels))
    votes = (outcomes.answer[:, :, None] == codes).sum(axis=1)  # (n, k)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), ABSENT)


def _last_in_a_tie(outcomes: Outcomes) -> np.ndarray:
    return _elected(outcomes, outcomes.models[::-1])


def _gaps_as_a_candidate(outcomes: Outcomes) -> np.ndarray:
    """The winner where "no answer" stands for election and may win it."""
    codes = np.where(outcomes.answer < 0, len(outcomes.labels), outcomes.answer)
    labels = (*outcomes.labels, "no answer")
    elected = _elected(replace(outcomes, answer=codes, labels=labels))
    return np.where(elected == len(outcomes.labels), ABSENT, elected)


def _gaps_as_two_candidates(outcomes: Outcomes) -> np.ndarray:
    """As above, with "absent" and "unparsed" as two candidates."""
    codes, labels = outcomes.answer + 2, ("unparsed", "absent", *outcomes.labels)
    return np.maximum(_elected(replace(outcomes, answer=codes, labels=labels, truth=None)) - 2, -1)


def _one_gap_as_a_candidate(outcomes: Outcomes, forgotten: int) -> np.ndarray:
    """As above, where one of the two negative codes was forgotten."""
    known = np.where(outcomes.answer == forgotten, len(outcomes.labels), outcomes.answer)
    labels = (*outcomes.labels, "no answer")
    elected = _elected(replace(outcomes, answer=known, labels=labels))
    return np.where(elected == len(outcomes.labels), ABSENT, elected)


def _a_label_for_nobody(outcomes: Outcomes) -> np.ndarray:
    """The first label where no member has an answer: the argmax of no votes."""
    return np.maximum(_elected(outcomes), 0)


def _majority_of_all(outcomes: Outcomes) -> np.ndarray:
    """The plurality where more than half of *all* members gave it, those without one included."""
    elected = _elected(outcomes)
    behind = (outcomes.answer == elected[:, None]).sum(axis=1)
    return np.where(behind > len(outcomes.models) / 2, elected, ABSENT)


def _first_answer(outcomes: Outcomes) -> np.ndarray:
    """What the first member with an answer answers: nobody else is asked."""
    first = (outcomes.answer >= 0).argmax(axis=1)
    return np.maximum(outcomes.answer[np.arange(len(outcomes)), first], ABSENT)


def _peeks(given, wanted, cases) -> str:
    """Whether two elections that differ in the truth alone were decided differently."""
    if all(map(np.array_equal, given[::2], given[1::2])):
        return ""
    return "what may a vote know? Your answers change where only `correct` or `truth` differs"


NO_VOTE = "does a member without an answer have a vote? Look at an item with many negative codes"
PLURALITY_MISTAKES = (
    _peeks,
    (_by_label_order,
     "two answers have as many votes: does the lowest code decide, or the member listed first?"),
    (_last_in_a_tie, "two answers have as many votes: which member is the most trusted?"),
    (_gaps_as_a_candidate, NO_VOTE),
    (_gaps_as_two_candidates, NO_VOTE),
    (partial(_one_gap_as_a_candidate, forgotten=ABSENT),
     "-1 and -2 both mean that there is no answer. Which of the two still has votes?"),
    (partial(_one_gap_as_a_candidate, forgotten=UNPARSED),
     "-1 and -2 both mean that there is no answer. Which of the two still has votes?"),
    (_a_label_for_nobody, "what is elected where no member has an answer?"),
    (_majority_of_all,
     "must more than half of all members agree? Look at an item on which few have an answer"),
    (_first_answer, "is the most trusted member the only one with a vote?"),
)  # fmt: skip


def _elections(items: int = 120, members: int = 5):
    """Members in the order of trust, with ties and gaps; each table twice, with another truth."""
    for seed in range(3):
        rng = draws(seed)
        truth = rng.integers(0, 4, items)
        answer = rng.integers(0, 4, (items, members))
        answer = np.where(rng.random(answer.shape) < 0.3, truth[:, None], answer)
        answer[rng.random(answer.shape) < 0.2] = ABSENT
        answer[rng.random(answer.shape) < 0.12] = UNPARSED
        answer[0] = ABSENT
        for true in (truth, (truth + 1) % 4):
            yield (
                Outcomes(
                    models=tuple("abcde"[:members]),
                    items=np.arange(items),
                    correct=np.where(answer == ABSENT, np.nan, answer == true[:, None]),
                    answer=answer,
                    labels=("w", "x", "y", "z"),
                    truth=true,
                ),
            )


def _code(value, what: str) -> float:
    if isinstance(value, str):
        raise Unfit(f"return codes, not the labels they stand for such as {shown(value, 40)}")
    code = number(value, what, nan=True)
    if code != code:
        raise Unfit("a code is NaN; where no member has an answer return -1")
    return max(code, ABSENT)  # every negative code is no answer


def _about_item(at, table) -> str:
    codes = table.answer[at].tolist()
    return f"where the members answer {codes} (negative: no answer), the code elected"


check_plurality = Check(
    """Check a function that elects an answer for every item.

    It takes outcomes, whose members are in the order of trust, and returns the codes (n,) of the
    answers elected, -1 where no member has one.
    """,
    cases=_elections,
    parts=[
        Part(
            "a code",
            _elected,
            PLURALITY_MISTAKES,
            _about_item,
            asked="{} codes, one an item",
            names=lambda table: table.items.tolist(),
            read=_code,
        )
    ],
    success="the most common answer wins, no answer is no vote, and ties go to the most trusted",
)

# -- 2: log-odds weights ------------------------------------------------------------------------


def _seen(outcomes: Outcomes) -> np.ndarray:
    """Accuracy (m,) with one right and one wrong answer more than seen."""
    known = (~np.isnan(outcomes.correct)).sum(axis=0)
    return (np.nansum(outcomes.correct, axis=0) + 1) / (known + 2)


def _log_odds(p: np.ndarray, classes: int) -> np.ndarray:
    return np.log(p * (classes - 1) / (1 - p))


def _weights(fit, test, classes) -> np.ndarray:
    return _log_odds(_seen(fit), classes)


def _proportional(given, wanted, *case) -> bool:
    """Whether one is the other times a positive number: a vote does not see the difference."""
    size = np.linalg.norm(given) * np.linalg.norm(wanted)
    return bool(0 < size < np.inf and given @ wanted > (1 - 1e-9) * size)


def _not_finite(given, wanted, cases) -> str:
    if any(np.isnan(weights).all() for weights in given):
        return (
            "which entries of `correct` are NaN, and what is the mean of numbers with a NaN among"
            " them?"
        )
    if not all(np.isfinite(weights).all() for weights in given):
        return (
            "what is the log-odds of a member that is never wrong on `fit`? Count one right and one"
            " wrong answer more"
        )
    return ""


WEIGHT_MISTAKES = (
    _not_finite,
    (lambda fit, test, k: _log_odds(_seen(test), k),
     "on which items will the vote be judged, and on which did you learn the weights?"),
    (lambda fit, test, k: _log_odds((_seen(fit) + _seen(test)) / 2, k),
     "may the items on which the vote is judged help to choose the weights?"),
    (lambda fit, test, k: _log_odds(_seen(fit), 2),
     "how often is a guesser right among two answers, and among `classes`? Where is that number in"
     " your logarithm?"),
    (lambda fit, test, k: _log_odds(_seen(fit), k + 1),
     "among k possible answers, how many are wrong?"),
    (lambda *case: -_weights(*case),
     "who gets the largest weight: your best member, or the worst?"),
    (lambda *case: np.abs(_weights(*case)),
     "a member is worse than a guesser. Does its vote count for its answer, or against?"),
    (lambda *case: np.maximum(_weights(*case), 0),
     "a member is worse than a guesser. Is nothing to be learned from what it answers?"),
    (lambda fit, test, k: _seen(fit),
     "how much more does a member at 99 % deserve than one at 90 %? Your weights are accuracies"),
    (lambda fit, test, k: _seen(fit) / (1 - _seen(fit)),
     "odds multiply. What must be done to them so that a vote can add them up?"),
    (lambda fit, test, k: _log_odds((np.nansum(fit.correct, 0) + 1) / (len(fit) + 2), k),
     "is a member wrong where it has no graded answer? Look at how many each of them has"),
    (lambda fit, test, k: np.ones(len(fit.models)),
     "equal weights are a plain vote. Which member should count more?"),
)  # fmt: skip


def _about_weight(at, fit, test, classes) -> str:
    p = np.round(_seen(fit), 2).tolist()
    return f"for accuracies {p} and {classes} possible answers, the weight of member {at[0] + 1}"


def _panels():
    """Halves on which five members differ in skill, and the number of classes."""
    for seed, classes in enumerate((4, 10)):
        rng = draws(seed)
        halves = []
        for skill in ([0.9, 1.0, 0.4, 0.6, 0.05], [0.6, 0.8, 0.7, 0.9, 0.3]):
            correct = (rng.random((400, 5)) < skill).astype(float)
            correct[rng.random(correct.shape) < 0.05] = np.nan
            halves.append(Outcomes(models=tuple("abcde"), items=np.arange(400), correct=correct))
        yield *halves, classes


check_log_odds_weights = Check(
    """Check a function that weighs the members of a vote.

    It takes ``(fit, test, classes)``, two `Outcomes` of the same members and the number of
    classes, and returns a weight (m,) for each member or a mapping from its name. A common factor
    is free.
    """,
    cases=_panels,
    parts=[
        Part(
            "a weight",
            _weights,
            WEIGHT_MISTAKES,
            _about_weight,
            asked="{} weights, one a member",
            names=lambda fit, test, classes: fit.models,
            alike=_proportional,
            read=partial(number, nan=True),
        )
    ],
    success="learned on one half, with k - 1 ways of being wrong, and signed",
)
