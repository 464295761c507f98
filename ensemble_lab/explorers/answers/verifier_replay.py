"""Rules over CodeT's solutions, for the verifier explorer: each at every number of samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ensemble_lab.answers.committees.agreement import best_of_n
from ensemble_lab.answers.committees.solutions import NOTHING, Solutions, load_solutions
from ensemble_lab.answers.committees.verifiers import verdicts, verified_subsets

SAMPLES = (1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100)
LEFT_OUT = (0, 25, 50, 75, 90, 95, 100)  # % of the wrong tests
WINDOWS = 20  # subsets of each size: windows of a random order of the samples


@dataclass(frozen=True, eq=False)
class Tested:
    """Choices by the tests that are kept: how often each is right, by `SAMPLES`."""

    best: np.ndarray  # (s,), most tests passed
    agreement: np.ndarray  # (s,), sqrt(size) x tests
    vote: np.ndarray  # (s,), the largest group that passes any test
    wrong: float  # share of the kept tests, as often as they were generated
    groups: np.ndarray  # (P, 100), `Solutions.behaviour`
    passed: np.ndarray  # (P, 100), `Solutions.passed`


@dataclass(frozen=True, eq=False)
class Verified:
    """Choices by an erring verifier: how often each is right, by `SAMPLES`."""

    best: np.ndarray  # (s,)
    vote: np.ndarray  # (s,), accepted solutions of each group
    accepted: float  # share of the samples


@dataclass(frozen=True, eq=False)
class Found:
    """What the explorer shows for one setting of the tests and of the verifier."""

    tested: Tested
    verified: Verified
    any: np.ndarray  # (s,), whether one of the samples is right: a verifier that never errs
    one: float


@cache
def recorded() -> Solutions:
    """All problems with all tests."""
    return load_solutions()


def verifier(left_out: int, false_positive: int, false_negative: int) -> Found:
    """Tests without some of the wrong ones, beside a verifier that errs; all in %."""
    correct = recorded().correct
    any_ = np.array([verified_subsets(correct, n).mean() for n in SAMPLES])
    verified = by_verifier(false_positive, false_negative)
    return Found(by_tests(left_out), verified, any_, float(correct.mean()))


@cache
def by_tests(left_out: int) -> Tested:
    """The rules on the tests that are kept; a smaller share keeps all that a larger one does."""
    bits = recorded()
    rank = np.random.default_rng(0).random(len(bits.true))
    bits = bits.only(bits.true | (rank >= left_out / 100))
    score = bits.passed()
    best = [bits.accuracy(best_of_n(score, n)).mean() for n in SAMPLES]
    behaviour = bits.behaviour()
    groups = Groups(behaviour)
    return Tested(
        np.array(best),
        groups.right(groups.size, score, 0.5),
        groups.right(groups.size, score > 0),
        float(np.average(~bits.true, weights=bits.times)),
        behaviour,
        score,
    )


@cache
def by_verifier(false_positive: int, false_negative: int) -> Verified:
    """Verdicts on all solutions; groups are those of all tests."""
    f, g, correct = false_positive / 100, false_negative / 100, recorded().correct
    rate = correct.mean()
    best = [verified_subsets(correct, n, f, g).mean() for n in SAMPLES]
    groups = behaviours()
    vote = groups.right(groups.sums(verdicts(correct, f, g)), np.ones(correct.shape))
    return Verified(np.array(best), vote, rate * (1 - g) + (1 - rate) * f)


@cache
def behaviours() -> Groups:
    """The groups by all tests."""
    return Groups(recorded().behaviour())


class Groups:
    """Groups of the recorded solutions in n samples, for n in `SAMPLES`.

    Subsets are windows of a random order that is closed to a ring. A solution that passes no test
    is a group of its own.

    Parameters
    ----------
    behaviour : ndarray of int (P, N)
        As `Solutions.behaviour` gives it.
    """

    def __init__(self, behaviour: np.ndarray):
        P, N = behaviour.shape
        own = np.arange(N)
        rng = np.random.default_rng(0)
        self.order = rng.permuted(np.tile(own, (P, 1)), axis=1)
        codes = np.where(behaviour == NOTHING, own, behaviour)
        ring = np.take_along_axis(codes, self.order, axis=1)
        self.member = (ring[:, :, None] == own).astype(np.int16)  # (P, N, groups)
        self.size = self.sums(np.ones((P, N)))
        self.good = self.sums(recorded().correct)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of whole numbers (P, N) over each group's samples in each window.

        Returns
        -------
        ndarray (s, P, windows, groups)
        """
        each = np.take_along_axis(values.astype(np.int16), self.order, axis=1)
        each = each[:, :, None] * self.member
        total = np.zeros((len(each), 2 * each.shape[1] + 1, each.shape[2]), np.int16)
        np.cumsum(np.concatenate([each, each], axis=1), axis=1, out=total[:, 1:])
        starts = np.arange(0, each.shape[1], each.shape[1] // WINDOWS)
        return np.stack([total[:, starts + n] - total[:, starts] for n in SAMPLES])

    def right(self, votes: np.ndarray, worth: np.ndarray, power: float = 1.0) -> np.ndarray:
        """How often a sample of the best group is right (s,).

        A group's score is the `power` of its `votes`, as `sums` gives them, times its `worth`
        (P, N), which stands at the place of the group's first sample.
        """
        found = []
        for many, good, voted in zip(self.size, self.good, votes, strict=True):
            score = voted.astype(np.float32) ** np.float32(power)
            score *= worth[:, None, :].astype(np.float32)
            best = score >= score.max(axis=2, keepdims=True) * np.float32(1 - 1e-5)
            # Members of all groups that tie are as likely; without any score that is each sample.
            found.append(((good * best).sum(axis=2) / (many * best).sum(axis=2)).mean())
        found[0] = recorded().correct.mean()  # one sample has nobody to agree with
        return np.array(found)
