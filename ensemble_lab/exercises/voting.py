"""Checks of notebook 01: plurality with gaps and ties, and weights that are log-odds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ensemble_lab.answers.voting import MajorityVote
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.exercises import Verdict
from ensemble_lab.exercises.given import Unfit, aligned, array, judged, number, returned

# -- 1: plurality -------------------------------------------------------------------------------


def _counted(outcomes: Outcomes, candidates) -> np.ndarray:
    """Votes (n, k) for each candidate code."""
    return (outcomes.answer[:, :, None] == np.asarray(candidates)).sum(axis=1)


def _by_label_order(outcomes: Outcomes) -> np.ndarray:
    votes = _counted(outcomes, range(len(outcomes.labels)))
    return np.where(votes.any(axis=1), votes.argmax(axis=1), ABSENT)


def _last_in_a_tie(outcomes: Outcomes) -> np.ndarray:
    return MajorityVote(outcomes.models[::-1]).decide(outcomes).answer


def _gaps_as_a_candidate(outcomes: Outcomes) -> np.ndarray:
    """The winner where "no answer" stands for election and may win it."""
    codes = np.where(outcomes.answer < 0, len(outcomes.labels), outcomes.answer)
    labels = (*outcomes.labels, "no answer")
    elected = MajorityVote().decide(replace(outcomes, answer=codes, labels=labels)).answer
    return np.where(elected == len(outcomes.labels), ABSENT, elected)


def _gaps_as_two_candidates(outcomes: Outcomes) -> np.ndarray:
    """As above, with "absent" and "unparsed" running apart."""
    codes = outcomes.answer + 2
    labels = ("unparsed", "absent", *outcomes.labels)
    elected = MajorityVote().decide(replace(outcomes, answer=codes, labels=labels, truth=None))
    return np.maximum(elected.answer - 2, ABSENT)


def _majority_of_all(outcomes: Outcomes) -> np.ndarray:
    """The plurality where more than half of *all* members gave it, the silent ones included."""
    elected = MajorityVote().decide(outcomes).answer
    behind = (outcomes.answer == elected[:, None]).sum(axis=1)
    return np.where(behind > len(outcomes.models) / 2, elected, ABSENT)


PLURALITY_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        _by_label_order,
        "ties went to the lowest code; they go to the answer of the member listed first",
    ),
    (_last_in_a_tie, "ties went to the member listed last; the first is the most trusted"),
    (
        _gaps_as_a_candidate,
        "missing answers were counted as votes for a wrong answer; who says nothing has no vote",
    ),
    (
        _gaps_as_two_candidates,
        "missing answers were counted as votes for a wrong answer; who says nothing has no vote",
    ),
    (
        _majority_of_all,
        "more than half of all members was asked for, so that silent ones count as wrong; the"
        " answer with the most votes wins, however few",
    ),
)


def _election(seed: int, items: int = 120, members: int = 5) -> Outcomes:
    """Members in the order of trust, many ties, gaps of both kinds, the first item without any."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, items)
    answer = rng.integers(0, 4, (items, members))
    answer = np.where(rng.random(answer.shape) < 0.3, truth[:, None], answer)
    answer[rng.random(answer.shape) < 0.2] = ABSENT
    answer[rng.random(answer.shape) < 0.12] = UNPARSED
    answer[0] = ABSENT
    correct = np.where(answer == ABSENT, np.nan, answer == truth[:, None])
    return Outcomes(
        models=tuple("abcde"[:members]),
        items=np.arange(items),
        correct=correct,
        answer=answer,
        labels=("w", "x", "y", "z"),
        truth=truth,
    )


@judged
def check_plurality(answer_function: Callable) -> Verdict:
    """Check a function that elects an answer for every item.

    Parameters
    ----------
    answer_function : callable
        Outcomes, whose members are in the order of trust, to the codes (n,) of the answers
        elected, -1 where no member has one.

    Returns
    -------
    Verdict
    """
    for seed in range(3):
        table = _election(seed)
        scrambled = _other_truth(table)
        wanted = np.maximum(MajorityVote().decide(table).answer, ABSENT)
        got, again = _codes(answer_function, table), _codes(answer_function, scrambled)
        if not np.array_equal(got, again):
            return Verdict(
                False,
                "what you elect changes with `correct` or `truth`: a vote knows the answers only",
            )
        if not np.array_equal(got, wanted):
            return Verdict(False, _plurality_hint(got, wanted, table))
    return Verdict(True, "answers are counted, silence is no vote, and ties go to the most trusted")


def _codes(answer_function: Callable, table: Outcomes) -> np.ndarray:
    """The codes (n,) that the reader's function elects; negative ones are no answer, -1."""
    n = len(table.items)
    got = returned(answer_function, table, wanted="a code for every item")
    got = aligned(got, table.items.tolist(), "the codes")
    return np.maximum(array(got, (n,), "a code", f"{n} codes, one an item", kind=_code), ABSENT)


def _code(value, what: str) -> float:
    if isinstance(value, str):
        raise Unfit(f"return codes, not the labels they stand for such as {shown(value, 40)}")
    code = number(value, what, nan=True)
    if code != code:
        raise Unfit("a code is NaN; where no member has an answer return -1")
    return code


def _other_truth(table: Outcomes) -> Outcomes:
    truth = (table.truth + 1) % len(table.labels)
    correct = np.where(table.answer == ABSENT, np.nan, table.answer == truth[:, None])
    return replace(table, truth=truth, correct=correct)


def _plurality_hint(got: np.ndarray, wanted: np.ndarray, table: Outcomes) -> str:
    for mistake, hint in PLURALITY_MISTAKES:
        if np.array_equal(got, mistake(table)):
            return hint
    i = int(np.flatnonzero(got != wanted)[0])
    said = table.answer[i].tolist()
    return (
        f"where the members say {said} (negative: nothing), {wanted[i]} is elected, not {got[i]:g}"
    )


# -- 2: log-odds weights ------------------------------------------------------------------------


def _seen(outcomes: Outcomes) -> np.ndarray:
    """Accuracy (m,) with one right and one wrong answer more than seen."""
    known = (~np.isnan(outcomes.correct)).sum(axis=0)
    return (np.nansum(outcomes.correct, axis=0) + 1) / (known + 2)


def _log_odds(p: np.ndarray, classes: int) -> np.ndarray:
    return np.log(p * (classes - 1) / (1 - p))


# Functions of (accuracy on fit, accuracy on test, number of classes).
WEIGHT_MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda fit, test, k: _log_odds(test, k),
        "these weights are fitted on the rows they will be judged on; learn them from `fit`",
    ),
    (
        lambda fit, test, k: _log_odds((fit + test) / 2, k),
        "these weights have seen the test rows as well; learn them from `fit` alone",
    ),
    (
        lambda fit, test, k: _log_odds(fit, 2),
        "the number of classes is forgotten: among k a member at 40% may be far better than chance",
    ),
    (
        lambda fit, test, k: np.log(fit * k / (1 - fit)),
        "there are k - 1 wrong answers to scatter over, not k",
    ),
    (
        lambda fit, test, k: np.abs(_log_odds(fit, k)),
        "a member worse than chance must count against what it says: keep the sign",
    ),
    (
        lambda fit, test, k: np.maximum(_log_odds(fit, k), 0),
        "a member worse than chance still tells something: keep its negative weight",
    ),
    (
        lambda fit, test, k: fit,
        "these are accuracies; the best weights are their log-odds",
    ),
)


def _panel(seed: int) -> tuple[Outcomes, Outcomes, int]:
    """Halves on which five members differ in skill, and the number of classes."""
    rng = np.random.default_rng(seed)
    classes = (4, 10)[seed % 2]

    def half(skill):
        correct = (rng.random((400, len(skill))) < skill).astype(float)
        correct[rng.random(correct.shape) < 0.05] = np.nan
        return Outcomes(models=tuple("abcde"), items=np.arange(400), correct=correct)

    fit = half([0.9, 1.0, 0.4, 0.6, 0.05])
    return fit, half([0.6, 0.8, 0.7, 0.9, 0.3]), classes


@judged
def check_log_odds_weights(answer_function: Callable) -> Verdict:
    """Check a function that weighs the members of a vote.

    Parameters
    ----------
    answer_function : callable
        ``(fit, test, classes)``, two `Outcomes` of the same members and the number of classes,
        to a weight (m,) for each member or a mapping from its name. A common factor is free.

    Returns
    -------
    Verdict
    """
    for seed in range(2):
        fit, test, classes = _panel(seed)
        wanted = f"{len(fit.models)} weights, one a member"
        got = returned(answer_function, fit, test, classes, wanted="a weight a member")
        got = aligned(got, fit.models, "the weights")
        got = array(got, (len(fit.models),), "a weight", wanted, nan=True)
        hint = _weights_hint(got, _seen(fit), _seen(test), classes)
        if hint:
            return Verdict(False, hint)
    return Verdict(True, "learned on one half, with k - 1 ways of being wrong, and signed")


def _weights_hint(got: np.ndarray, fit: np.ndarray, test: np.ndarray, classes: int) -> str:
    """What is wrong with these weights; nothing if they are right."""
    if np.isnan(got).all():
        return (
            "the weights are NaN: `correct` is NaN where a member said nothing; leave those items"
            " out of its accuracy"
        )
    if not np.isfinite(got).all():
        return (
            "a weight is not finite: one member is never wrong on `fit`, so count one right and"
            " one wrong answer more than seen"
        )
    wanted = _log_odds(fit, classes)
    if _proportional(got, wanted):
        return ""
    for mistake, hint in WEIGHT_MISTAKES:
        if _proportional(got, mistake(fit, test, classes)):
            return hint
    given, right = np.round(got, 2).tolist(), np.round(wanted, 2).tolist()
    return f"for accuracies {np.round(fit, 2).tolist()}: {right}, not {shown(given)}"


def _proportional(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether one is the other times a positive number: a vote does not see the difference."""
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return bool(size > 0 and a @ b > (1 - 1e-9) * size)
