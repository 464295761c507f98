"""Checks of notebook 17: when to stop asking, pass@k, and where the best of n turns down."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

from ensemble_lab.exercises.check import Check, Part

# -- 1: the stopping table -----------------------------------------------------------------------


def _chance(a: int, b: int) -> float:
    """P(Binomial(a + b + 1, 1/2) <= a)."""
    return sum(comb(a + b + 1, i) for i in range(a + 1)) / 2 ** (a + b + 1)


def _without_prior(a: int, b: int) -> float:
    return sum(comb(a + b, i) for i in range(a + 1)) / 2 ** (a + b)


def _strictly_fewer(a: int, b: int) -> float:
    return sum(comb(a + b + 1, i) for i in range(a)) / 2 ** (a + b + 1)


def _sign_test(a: int, b: int) -> float:
    return sum(comb(a + b, i) for i in range(a)) / 2 ** (a + b)


def _two_sided(a: int, b: int) -> float:
    return 2 * _chance(a, b) - 1


def _table(
    chance: Callable = _chance,
    enough: Callable = np.greater_equal,
    entry: Callable = lambda a, b: a,
    first: int = 0,
) -> Callable:
    """The table with parts exchanged."""

    def table(threshold, most) -> np.ndarray:
        found = []
        for b in range(first, most + 1 + first):
            a = max(b, 1)
            while not enough(chance(a, b), threshold):
                a += 1
            found.append(entry(a, b))
        return np.array(found)

    return table


_right_table = _table()


def _same_lead(threshold, most) -> np.ndarray:
    return _right_table(threshold, 0)[0] + np.arange(most + 1)


def _same_share(threshold, most) -> np.ndarray:
    return _right_table(threshold, 0)[0] * np.arange(1, most + 2)


TABLE_MISTAKES = (
    (_table(lambda a, b: a / (a + b)),
     "This is the share of the leader's votes. Are 1 of 1 and 100 of 100 as sure?"),
    (_table(_without_prior),
     "How many coins are thrown for a + b votes, when both answers start with one vote each?"),
    (_table(_strictly_fewer), "At most a, or fewer than a?"),
    (_table(_sign_test),
     "This is the test of a fair coin. Is it the chance that the leader is the more frequent one?"),
    (_table(_two_sided), "Is the question two-sided? The leader is known."),
    (_table(enough=np.greater), "A chance exactly at the threshold: has it reached the threshold?"),
    (_table(entry=lambda a, b: a + b), "Is this the leader's votes, or all votes?"),
    (_table(entry=lambda a, b: a - b), "Is this the leader's votes, or the lead?"),
    (_table(first=1), "Where does your table start: how many votes has the next answer at first?"),
    (_table(entry=lambda a, b: a - 1), "Is the entry the first a that is enough?"),
    (_same_lead, "Is a lead of four as sure after 4 votes as after 40?"),
    (_same_share, "Twice as many votes for both: is that as sure, or surer?"),
)  # fmt: skip

check_stopping_table = Check(
    """Check a function that tells how many votes for the leading answer are enough.

    It takes ``(threshold, most)`` and returns (most + 1,) whole numbers. Entry b is the least a,
    from 1 and from b up, with P(Binomial(a + b + 1, 1/2) <= a) at `threshold` or above: the votes
    of the leading answer at which asking stops, while the next answer has b votes.
    """,
    cases=lambda: [(0.95, 5), (0.96875, 3), (0.8, 6), (0.99, 2)],
    parts=[
        Part("an entry", _right_table, TABLE_MISTAKES,
             lambda at, threshold, most: f"for a threshold of {threshold:g} and {at[0]} votes for"
             " the next answer, the entry",
             asked="{} whole numbers of votes, one for each b from 0 up"),
    ],
    success="four equal answers in a row are enough at 95 %; each vote for another answer costs one"
    " or two more",
)  # fmt: skip

# -- 2: pass@k -------------------------------------------------------------------------------------


def _pass_at_k(n, c, k) -> float:
    return 1 - comb(n - c, k) / comb(n, k)


PASS_MISTAKES = (
    (lambda n, c, k: 1 - (1 - c / n) ** k,
     "Yours may draw the same sample twice. How many sets of k different samples are there?"),
    (lambda n, c, k: float(c > 0), "Is this for k samples, or for all n of them?"),
    (lambda n, c, k: c / n, "Is this for k samples, or for one?"),
    (lambda n, c, k: min(1.0, k * c / n),
     "Two of the k may both be right. Do you count such a set twice?"),
    (lambda n, c, k: comb(c, k) / comb(n, k), "Must all of the k be right, or one?"),
    (lambda n, c, k: comb(n - c, k) / comb(n, k), "Is this the chance of one right, or of none?"),
    (lambda n, c, k: c * comb(n - c, k - 1) / comb(n, k),
     "May more than one of the k be right?"),
    (lambda n, c, k: 1 - comb(c, k) / comb(n, k), "Which samples must not all be drawn?"),
    (lambda n, c, k: 1 - float(np.prod(1 - k / np.arange(max(n - c, k, 1), n))),
     "Which factors has your product: does it end with 1 - k / n?"),
    (lambda n, c, k: 1.0 if n - c <= k else _pass_at_k(n, c, k),
     "Exactly k samples are wrong. Can all of the k that are drawn be wrong?"),
    (lambda n, c, k: float(c >= k), "Is it enough that there are k right samples?"),
)  # fmt: skip

check_pass_at_k = Check(
    """Check a function that estimates pass@k from n samples.

    It takes ``(n, c, k)``: n samples of a problem, of which c are right, and k, at most n. It
    returns the share of all sets of k different samples in which at least one is right.
    """,
    cases=lambda: [(10, 3, 4), (5, 0, 2), (6, 4, 2), (6, 3, 3), (7, 1, 7), (9, 9, 1), (6, 2, 1)],
    parts=[
        Part("pass@k", _pass_at_k, PASS_MISTAKES,
             lambda at, n, c, k: f"for {c} right of {n} samples and k = {k}, pass@k"),
    ],
    success="no draw at random is needed: every set is counted, and the estimate is unbiased",
)  # fmt: skip

# -- 3: where the best of n turns down -------------------------------------------------------------


def _curve(
    chance_up_to: Callable = lambda below, total, n: comb(below, n) / comb(total, n),
    worth: Callable = np.mean,
    sign: int = 1,
) -> Callable:
    """The expected accuracy of the best of 1, 2, … of all samples, with parts exchanged."""

    def curve(scores, right) -> np.ndarray:
        scores, total, found = sign * np.asarray(scores), len(scores), []
        for n in range(1, total + 1):
            expected, before = 0.0, 0.0
            for level in np.unique(scores):
                up_to = chance_up_to(int((scores <= level).sum()), total, n)
                expected += (up_to - before) * float(worth(np.asarray(right)[scores == level]))
                before = up_to
            found.append(expected)
        return np.array(found)

    return curve


_best_of = _curve()


def _first_n(scores, right) -> np.ndarray:
    return np.array([right[np.argmax(scores[:n])] for n in range(1, len(scores) + 1)], float)


def _any(scores, right) -> np.ndarray:
    n = len(right)
    return np.array([_pass_at_k(n, int(np.sum(right)), k) for k in range(1, n + 1)])


def _not_differences(scores, right) -> np.ndarray:
    """Adds the chances that the best is at most each level."""
    total, scores = len(scores), np.asarray(scores)
    return np.array([
        sum(
            comb(int((scores <= level).sum()), n) / comb(total, n) * right[scores == level].mean()
            for level in np.unique(scores)
        )
        for n in range(1, total + 1)
    ])  # fmt: skip


CURVE_MISTAKES = (
    (lambda s, r: np.full(len(s), r.mean()),
     "This is any sample. Which of the n does the score choose?"),
    (lambda s, r: np.full(len(s), r[s == s.max()].mean()),
     "This is the best of all samples. How often is one of them among the n that are drawn?"),
    (_any, "This asks whether one of the n is right. Does the score find it?"),
    (_curve(lambda below, total, n: (below / total) ** n),
     "Yours may draw the same sample twice. How many sets of n different samples are there?"),
    (_curve(worth=np.max), "Several have the highest score. Is a right one always taken?"),
    (_curve(worth=np.min), "Several have the highest score. Is a wrong one always taken?"),
    (_curve(worth=lambda right: right[0]),
     "Several have the highest score. Is the first of them always taken?"),
    (_curve(sign=-1), "Do you take the highest score, or the lowest?"),
    (_first_n, "These are the first n samples. What is the mean over all sets of n?"),
    (_not_differences, "Is the best score this one exactly, or at most this one?"),
    (lambda s, r: _best_of(r, s == s.max()), "Which of the two is the score, and which the grade?"),
)  # fmt: skip


def _turn(scores, right, curve) -> int:
    return int(np.argmax(np.round(curve, 9))) + 1


TURN_MISTAKES = (
    (lambda s, r, curve: int(np.argmax(np.round(curve, 9))),
     "Is this the place in the array, or the number of samples?"),
    (lambda s, r, curve: len(s), "Are more samples always better? Look at the curve."),
    (lambda s, r, curve: 1, "Is one sample always the best? Look at the curve."),
    (lambda s, r, curve: int(np.argmin(np.round(curve, 9))) + 1,
     "Is this where the curve is highest, or lowest?"),
    (lambda s, r, curve: next((n for n in range(1, len(s)) if curve[n] < curve[n - 1] - 1e-9),
                              len(s)) + 1,
     "Is this the last n before the fall, or the first one after?"),
    (lambda s, r, curve: int(np.sum(s == s.max())),
     "This is the number of samples with the highest score. For which n is the curve highest?"),
    (lambda s, r, curve: int(np.sum(r)),
     "This is the number of right samples. For which n is the curve highest?"),
)  # fmt: skip


def _scored():
    """Scores that mislead at the top; one that is honest; one that is wrong throughout."""
    yield np.array([2, 1, 3, 2, 1, 3, 0, 2], float), np.array([1, 0, 0, 1, 0, 1, 0, 0])
    yield np.array([5, 1, 1, 2, 4, 0, 2], float), np.array([0, 0, 0, 1, 1, 0, 1])
    yield np.array([0, 1, 2, 2, 3, 1], float), np.array([0, 0, 0, 1, 1, 1])
    yield np.array([3, 0, 1, 2, 3], float), np.array([0, 1, 1, 0, 0])


def _told(scores, right) -> str:
    return f"for the scores {scores.astype(int).tolist()} and the grades {right.tolist()}"


check_best_of_n = Check(
    """Check a function that tells how good the best of n is, and which n is best.

    It takes ``(scores, right)``, both (N,): the score of each sample of a problem, and 1 where the
    sample is right, else 0. It returns (curve, best). Entry n - 1 of `curve`, (N,), is the mean
    over all sets of n different samples of the chance that the chosen sample is right: the one with
    the highest score of the set, at random among several. `best` is the n from 1 to N at which
    the curve is highest.
    """,
    cases=_scored,
    parts=[
        Part("an entry", _best_of, CURVE_MISTAKES,
             lambda at, scores, right, *known: f"{_told(scores, right)}, the best of {at[0] + 1}",
             key="curve"),
        Part("the best n", _turn, TURN_MISTAKES,
             lambda at, scores, right, curve: f"{_told(scores, right)}, the best n",
             key="best"),
    ],
    success="with more samples the highest score is found more often, and where it is wrong the"
    " best of n is wrong more often",
)  # fmt: skip
