"""The checks of notebook 17 refuse what people get wrong, written in other ways than theirs."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.special import betainc
from scipy.stats import beta, binom

import ensemble_lab as lab
from ensemble_lab.exercises.committees import (
    check_best_of_n,
    check_pass_at_k,
    check_stopping_table,
)

# -- the stopping table ----------------------------------------------------------------------------


def searched(threshold, most, chance=None, first=0, entry=None):
    """The exercise by a search through the chances of a Beta distribution."""
    chance = chance or (lambda a, b: 1 - betainc(a + 1, b + 1, 0.5) + 1e-12)
    found = []
    for b in range(first, first + most + 1):
        a = next(a for a in range(max(b, 1), 2000) if chance(a, b) >= threshold)
        found.append(a if entry is None else entry(a, b))
    return found


def test_other_ways_to_the_table_pass():
    assert check_stopping_table(searched)
    assert check_stopping_table(lab.stopping_table)
    assert check_stopping_table(
        lambda t, most: searched(t, most, lambda a, b: binom(a + b + 1, 0.5).cdf(a))
    )


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"chance": lambda a, b: beta(a, b + 1).sf(0.5)}, "fair coin"),
        ({"chance": lambda a, b: a / (a + b)}, "share of the leader's votes"),
        ({"chance": lambda a, b: binom(a + b, 0.5).cdf(a)}, "How many coins"),
        ({"chance": lambda a, b: binom(a + b + 1, 0.5).cdf(a - 1)}, "fewer than a?"),
        ({"chance": lambda a, b: 1 - 2 * betainc(a + 1, b + 1, 0.5) + 1e-12}, "two-sided"),
        ({"chance": lambda a, b: 1 - betainc(a + 1, b + 1, 0.5) - 1e-9}, "exactly at the"),
        ({"first": 1}, "at first?"),
        ({"entry": lambda a, b: a + b}, "or all votes?"),
        ({"entry": lambda a, b: a - b}, "or the lead?"),
    ],
)
def test_wrong_tables_are_refused_with_their_hint(wrong, hint):
    verdict = check_stopping_table(lambda *given: searched(*given, **wrong))
    assert not verdict and hint in verdict.message


# -- pass@k ----------------------------------------------------------------------------------------


def enumerated(n, c, k, counts=any):
    """The exercise by a look at every set of k samples."""
    sets = list(combinations([True] * c + [False] * (n - c), k))
    return sum(map(counts, sets)) / len(sets)


def test_other_ways_to_pass_at_k_pass():
    assert check_pass_at_k(enumerated)
    assert check_pass_at_k(lab.pass_at_k)
    assert check_pass_at_k(
        lambda n, c, k: 1.0 if n - c < k else 1 - np.prod(1 - k / np.arange(n - c + 1, n + 1))
    )


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda n, c, k: 1 - ((n - c) / n) ** k, "same sample twice"),
        (lambda n, c, k: np.float64(np.sign(c)), "all n of them?"),
        (lambda n, c, k: np.mean([1] * c + [0] * (n - c)), "or for one?"),
        (lambda n, c, k: enumerated(n, c, k, all), "Must all"),
        (lambda n, c, k: enumerated(n, c, k, lambda s: not any(s)), "or of none?"),
        (lambda n, c, k: enumerated(n, c, k, lambda s: sum(s) == 1), "more than one"),
        (lambda n, c, k: enumerated(n, n - c, k), "must not all be drawn"),
        (lambda n, c, k: min(1, k * (c / n)), "count such a set twice"),
        (lambda n, c, k: 1 - np.prod(1 - k / np.arange(max(n - c, k, 1), n)), "end with"),
        (lambda n, c, k: 1.0 if n - c <= k else enumerated(n, c, k), "Exactly k samples"),
    ],
)
def test_wrong_estimates_are_refused_with_their_hint(wrong, hint):
    verdict = check_pass_at_k(wrong)
    assert not verdict and hint in verdict.message


# -- the best of n ---------------------------------------------------------------------------------


def by_sets(scores, right, of=np.mean, top=max, shift=1):
    """The exercise by a look at every set of n samples."""
    curve = []
    for n in range(1, len(scores) + 1):
        worth = []
        for chosen in combinations(range(len(scores)), n):
            best = top(scores[i] for i in chosen)
            worth.append(of([right[i] for i in chosen if scores[i] == best]))
        curve.append(sum(worth) / comb(len(scores), n))
    return curve, int(np.argmax(np.round(curve, 12))) + shift


def test_another_way_to_the_best_of_n_passes():
    assert check_best_of_n(by_sets)
    assert check_best_of_n(
        lambda *given: dict(zip(("curve", "best"), by_sets(*given), strict=True))
    )


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"of": max}, None),
        ({"top": min}, "or the lowest?"),
        ({"shift": 0}, "number of samples?"),
        ({"shift": 2}, None),
    ],
)
def test_wrong_curves_are_refused(wrong, hint):
    verdict = check_best_of_n(lambda *given: by_sets(*given, **wrong))
    assert not verdict and (hint or "") in verdict.message


@pytest.mark.parametrize(
    ("curve", "hint"),
    [
        (lambda s, r: [r.mean()] * len(s), "any sample"),
        (lambda s, r: [r[s == s.max()].mean()] * len(s), "best of all samples"),
        (lambda s, r: [enumerated(len(r), r.sum(), n + 1) for n in range(len(r))], "find it?"),
        (lambda s, r: [r[int(np.argmax(s[: n + 1]))] for n in range(len(r))], "first n samples"),
    ],
)
def test_other_curves_get_their_hint(curve, hint):
    verdict = check_best_of_n(lambda s, r: (curve(s, r), by_sets(s, r)[1]))
    assert not verdict and hint in verdict.message
