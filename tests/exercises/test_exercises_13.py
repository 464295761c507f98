"""The checks of notebook 13 refuse what people get wrong, written in other ways than theirs."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from ensemble_lab.exercises.adversarial import check_discriminator, check_modes

# -- the best discriminator ----------------------------------------------------------------------


def step_by_step(data, generated, best=None, reach=None):
    """The exercise value by value, with its parts exchanged."""
    D = [best(p, q) if best else p / (p + q) for p, q in zip(data, generated, strict=True)]
    if reach is not None:
        return D, reach(data, generated)
    total = 0.0
    for p, q, d in zip(data, generated, D, strict=True):
        total += p * math.log(d) if p else 0.0
        total += q * math.log(1 - d) if q else 0.0
    return D, total


def by_divergence(data, generated):
    """The same value by scipy's distance, the root of the divergence."""
    return data / (data + generated), 2 * jensenshannon(data, generated) ** 2 - np.log(4)


def test_other_ways_to_the_best_discriminator_pass():
    assert check_discriminator(step_by_step)
    assert check_discriminator(by_divergence)


def test_no_other_discriminator_reaches_more():
    """What the exercise calls the best one is: a search over all of them ends there."""
    from scipy.optimize import minimize

    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    D, value = step_by_step(p, q)
    found = minimize(lambda d: -(p @ np.log(d) + q @ np.log(1 - d)), np.full(3, 0.5),
                     bounds=[(1e-6, 1 - 1e-6)] * 3)  # fmt: skip
    assert -found.fun == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(found.x, D, atol=1e-3)


@pytest.mark.parametrize(
    ("best", "hint"),
    [
        (lambda p, q: q / (p + q), "real, or that it was generated?"),
        (lambda p, q: p / q if q else np.inf, "where p = q?"),
        (lambda p, q: p, "real for sure?"),
        (lambda p, q: 1 - q, "how often the data have"),
        (lambda p, q: float(p > q), "only a little larger"),
        (lambda p, q: float(p > 0), "May the generator not make"),
        (lambda p, q: 0.5, "once the generator is right"),
        (lambda p, q: p - q, "be negative?"),
        (lambda p, q: 1 / (1 + math.exp(q - p)), "How sure should it be?"),
        (lambda p, q: p * p / (p * p + q * q), "the squares"),
        (lambda p, q: p / 2, "over all values?"),
        (lambda p, q: (p + q) / 2, "the mixture"),
        (lambda p, q: 1 / (1 + p), "D of value"),
    ],
)
def test_wrong_discriminators_are_refused_with_their_hint(best, hint):
    verdict = check_discriminator(lambda p, q: step_by_step(p, q, best, lambda *_: 0.0))
    assert not verdict and hint in " ".join([verdict.message, *verdict.more])


def log(x):
    return np.log(np.where(x > 0, x, 1))


@pytest.mark.parametrize(
    ("reach", "hint"),
    [
        (lambda p, q: -by_divergence(p, q)[1], "its negative?"),
        (lambda p, q: by_divergence(p, q)[1] / 2, "or their sum?"),
        (lambda p, q: by_divergence(p, q)[1] / math.log(2), "base 2"),
        (lambda p, q: by_divergence(p, q)[1] / len(p), "or the mean of that?"),
        (lambda p, q: sum(log(p / (p + q)) + log(q / (p + q))), "How often does each value"),
        (lambda p, q: p @ log(p / (p + q)), "what was generated?"),
        (lambda p, q: q @ log(q / (p + q)), "of the data?"),
        (lambda p, q: p @ (log(p / (p + q)) + log(q / (p + q))), "the second sum"),
        (lambda p, q: (p + q) @ log(p / (p + q)), "that it is not real"),
        (lambda p, q: p @ log(p / (p + q)) - q @ log(q / (p + q)), "the same sign?"),
        (lambda p, q: -math.log(4), "once the generator is right"),
        (lambda p, q: jensenshannon(p, q) ** 2, "How many times"),
        (lambda p, q: 2 * jensenshannon(p, q) ** 2, "It is not 0."),
        (lambda p, q: jensenshannon(p, q) ** 2 - math.log(4), "How many times"),
        (lambda p, q: (p * p + q * q) @ (1 / (p + q)), "Where is the logarithm?"),
        (lambda p, q: 0.0, "the value is"),
        (lambda p, q: float("nan"), "0 / 0"),
    ],
)
def test_wrong_values_are_refused_with_their_hint(reach, hint):
    verdict = check_discriminator(lambda p, q: step_by_step(p, q, reach=reach))
    assert not verdict and hint in " ".join([verdict.message, *verdict.more])


def test_a_logarithm_of_zero_is_named():
    def careless(p, q):
        D = p / (p + q)
        with np.errstate(all="ignore"):
            return D, p @ np.log(D) + q @ np.log(1 - D)

    verdict = check_discriminator(careless)
    assert not verdict and "NaN" in verdict.message


# -- counting modes -------------------------------------------------------------------------------


def one_by_one(samples, centres, sd, far=math.dist, sds=3.0, reach=None):
    """The exercise sample by sample, with its parts exchanged."""
    found, good = set(), 0
    for x in samples:
        away = [far(x, c) for c in centres]
        if min(away) <= (sds * sd if reach is None else reach(sd)):
            found.add(away.index(min(away)))
            good += 1
    return len(found), good / len(samples)


def by_the_package(samples, centres, sd):
    from scipy.spatial import cKDTree

    away, which = cKDTree(centres).query(samples, distance_upper_bound=3 * sd + 1e-9)
    return len(np.unique(which[np.isfinite(away)])), np.isfinite(away).mean()


def test_other_ways_to_count_pass():
    assert check_modes(one_by_one)
    assert check_modes(by_the_package)


def with_count(wrong):
    return lambda *case: (wrong(*case), one_by_one(*case)[1])


def with_share(wrong):
    return lambda *case: (one_by_one(*case)[0], wrong(*case))


def largest(x, c):
    return max(abs(x - c))


def city(x, c):
    return sum(abs(x - c))


def squared(x, c):
    return math.dist(x, c) ** 2


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (with_count(lambda s, c, sd: one_by_one(s, c, sd, sds=1e9)[0]), "between the modes"),
        (with_count(lambda s, c, sd: sum(any(math.dist(x, m) <= 3 * sd for x in s) for m in c)),
         "How many modes does one sample cover?"),
        (with_count(lambda *case: round(one_by_one(*case)[1] * len(case[0]))), "or good samples?"),
        (with_count(lambda s, c, sd: len(c) - one_by_one(s, c, sd)[0]), "those that are missed?"),
        (with_count(lambda s, c, sd: len(c)), "Is every mode covered?"),
        (lambda s, c, sd: one_by_one(s, c, sd, sds=1), "how many standard deviations"),
        (lambda s, c, sd: one_by_one(s, c, sd, sds=2), "how many standard deviations"),
        (lambda s, c, sd: one_by_one(s, c, sd, reach=lambda sd: 3 * sd**0.5), "a variance here"),
        (lambda s, c, sd: one_by_one(s, c, sd, reach=lambda sd: 1), "3 alone"),
        (lambda s, c, sd: one_by_one(s, c, sd, far=squared), "or its square?"),
        (lambda s, c, sd: one_by_one(s, c, sd, far=largest), "in each coordinate?"),
        (lambda s, c, sd: one_by_one(s, c, sd, far=city), "along the axes?"),
        (with_share(lambda *case: 1 - one_by_one(*case)[1]), "or of the others?"),
        (with_share(lambda s, c, sd: one_by_one(s, c, sd)[0] / len(c)), "or of the modes?"),
        (with_share(lambda s, c, sd: one_by_one(s, c, sd)[1] * len(s)), "or their share?"),
        (with_share(lambda s, c, sd: one_by_one(s, c, sd)[0] / len(s)), "Of how many samples"),
        (with_share(lambda s, c, sd: np.mean([[math.dist(x, m) <= 3 * sd for m in c] for x in s])),
         "Which centre counts?"),
        (with_share(lambda s, c, sd: one_by_one(s, c, sd, sds=2)[1]), "how many standard"),
        (with_share(lambda s, c, sd: one_by_one(s, c, sd, far=largest)[1]), "each coordinate?"),
        (with_share(lambda s, c, sd: 1.0), "the share of good ones is"),
        (with_count(lambda s, c, sd: 2), "the modes that are covered is"),
        (lambda *case: one_by_one(*case)[0], "return covered"),
        (lambda *case: one_by_one(*case)[::-1], "a whole number"),
    ],
)  # fmt: skip
def test_wrong_counts_are_refused_with_their_hint(wrong, hint):
    verdict = check_modes(wrong)
    assert not verdict and hint in " ".join([verdict.message, *verdict.more])
