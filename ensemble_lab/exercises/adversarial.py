"""Checks of notebook 13: the best discriminator of a generator, and how many modes it covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr, expit, rel_entr, xlogy

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the best discriminator -------------------------------------------------------------------


def _best(p, q) -> np.ndarray:
    return p / (p + q)


def _value(p, q, D) -> float:
    return float((xlogy(p, D) + xlogy(q, 1 - D)).sum())


def _jensen_shannon(p, q) -> float:
    mean = (p + q) / 2
    return float((rel_entr(p, mean) + rel_entr(q, mean)).sum() / 2)


def _quiet(form: Callable) -> Callable:
    """The same where something is divided by 0."""

    def made(*case):
        with np.errstate(divide="ignore", invalid="ignore"):
            return form(*case)

    return made


DISCRIMINATOR_MISTAKES = (
    (lambda p, q: q / (p + q),
     "Is D the chance that a value is real, or that it was generated?"),
    (_quiet(lambda p, q: p / q),
     "Is D a ratio of both shares, or a probability? Which value has it where p = q?"),
    (_quiet(lambda p, q: np.log(p / q)),
     "This is the logit. Which probability belongs to it?"),
    (lambda p, q: p,
     "Where the data have a value often, is it real for sure? What if the generator has it more"
     " often?"),
    (lambda p, q: 1 - q,
     "Does it matter how often the data have the value?"),
    (lambda p, q: np.where(p > q, 1.0, 0.0),
     "D is a probability. How sure is it where p is only a little larger than q?"),
    (lambda p, q: np.where(p > 0, 1.0, 0.0),
     "May the generator not make a value that the data have, too?"),
    (lambda p, q: np.full(len(p), 0.5),
     "This is the best answer once the generator is right. Is it here?"),
    (lambda p, q: p - q, "Can your D be negative? D is a probability."),
    (lambda p, q: expit(p - q),
     "How sure is your D of a value that only the data have? How sure should it be?"),
    (lambda p, q: (p - q) / (p + q), "Can your D be negative? D is a probability."),
    (lambda p, q: p**2 / (p**2 + q**2), "Where do the squares come from? Set the slope of"
     " p log D + q log(1 − D) to 0."),
    (lambda p, q: _best(p, q) / _best(p, q).sum(),
     "Must D add up to 1 over the values? It answers for each value apart."),
    (lambda p, q: p / (p + q).sum(),
     "Do you divide by p + q of the same value, or by the sum over all values?"),
    (lambda p, q: (p + q) / 2, "This is the mixture that D sees. Which part of it is real?"),
)  # fmt: skip
VALUE_MISTAKES = (
    (lambda p, q, D: -_value(p, q, D),
     "Is this the value that D makes as large as it can, or the loss, its negative?"),
    (lambda p, q, D: _value(p, q, D) / 2,
     "Is the value a mean of both sums, or their sum?"),
    (lambda p, q, D: _value(p, q, D) / np.log(2),
     "Which logarithm is meant: to base 2, or the natural one?"),
    (_quiet(lambda p, q, D: float(np.where(D > 0, np.log(D), 0).sum()
                                  + np.where(D < 1, np.log(1 - D), 0).sum())),
     "How often does each value occur? An expectation weighs by that."),
    (lambda p, q, D: float((xlogy(p, D) + xlogy(q, 1 - D)).mean()),
     "Is an expectation the sum over the values, each with its share, or the mean of that?"),
    (lambda p, q, D: float(xlogy(p, D).sum()),
     "What does D have to say of what was generated?"),
    (lambda p, q, D: float(xlogy(q, 1 - D).sum()),
     "What does D have to say of the data?"),
    (lambda p, q, D: float((xlogy(p, D) + xlogy(p * (D < 1), 1 - D)).sum()),
     "By which shares does the second sum weigh: by those of the data, or of the generator?"),
    (lambda p, q, D: float((xlogy(p, D) + xlogy(q * (D > 0), D)).sum()),
     "Of a value that was generated D should say that it is not real. Which logarithm is that?"),
    (lambda p, q, D: float((xlogy(p, D) - xlogy(q, 1 - D)).sum()),
     "Do both sums have the same sign? D gains where it is right, on both sides."),
    (lambda p, q, D: -np.log(4),
     "This is the value once the generator is right. Is it here?"),
    (lambda p, q, D: _jensen_shannon(p, q),
     "This is the Jensen-Shannon divergence. How many times does it count in the value, and what is"
     " the value where p = q?"),
    (lambda p, q, D: 2 * _jensen_shannon(p, q),
     "What is the value where p = q? It is not 0."),
    (lambda p, q, D: _jensen_shannon(p, q) - np.log(4),
     "How many times does the divergence count in the value?"),
    (lambda p, q, D: float((xlogy(p, D) + entr(p) + xlogy(q, 1 - D) + entr(q)).sum()),
     "Does the value have an entropy in it? It has the logarithms of D alone."),
    (lambda p, q, D: float(p @ D + q @ (1 - D)),
     "Where is the logarithm?"),
)  # fmt: skip


def _distributions():
    yield np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
    yield np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.6, 0.4, 0.0, 0.0])  # modes that are missed
    yield np.array([0.0, 0.3, 0.7]), np.array([0.5, 0.2, 0.3])  # and one that is none
    yield tuple(draws(0).dirichlet(np.ones(5), 2))


def _with_shares(what: str) -> Callable[..., str]:
    def about(at, p, q, *known) -> str:
        shares = ["(" + ", ".join(f"{share:.3g}" for share in one) + ")" for one in (p, q)]
        which = f" {at[0]}" if at else ""
        return f"for the data's shares {shares[0]} and the generator's {shares[1]}, {what}{which}"

    return about


check_discriminator = Check(
    """Check a function that gives the best discriminator of a generator, and what it reaches.

    It takes ``(data, generated)`` and returns (D, value). `data` and `generated` (k,) are how often
    each of k values occurs among the data and among what was generated; both sum to 1, and no value
    is missing from both. D (k,) is the probability with which the best discriminator says that the
    value is real. The value, one number, is the expected log D of a real value plus the expected
    log(1 - D) of a generated one, with natural logarithms; what never happens adds nothing.
    """,
    cases=_distributions,
    parts=[
        Part("D", _best, DISCRIMINATOR_MISTAKES, _with_shares("D of value"), key="D"),
        Part("the value", _value, VALUE_MISTAKES, _with_shares("the value"), key="value"),
    ],
    success="the best discriminator says p / (p + q), and what it reaches is −log 4 plus twice the"
    " Jensen-Shannon divergence: 0 for a discriminator that is never wrong",
)  # fmt: skip

# -- 2: counting modes ----------------------------------------------------------------------------


def _distances(samples, centres) -> np.ndarray:
    return np.linalg.norm(samples[:, None] - centres, axis=2)  # (n, k)


def _counted(
    far: Callable = _distances,
    sds: float = 3.0,
    covered: Callable = lambda good, nearest, k: len(set(nearest[good].tolist())),
):
    """The number of covered modes, with its parts exchanged."""

    def modes(samples, centres, sd) -> int:
        distance = far(samples, centres)  # (n, k)
        good = distance.min(1) <= sds * sd
        return int(covered(good, distance.argmin(1), len(centres)))

    return modes


def _shared(far: Callable = _distances, sds: float = 3.0) -> Callable:
    """The share of good samples, with its parts exchanged."""
    return lambda samples, centres, sd, *known: float(
        (far(samples, centres).min(1) <= sds * sd).mean()
    )


def _widest(samples, centres) -> np.ndarray:
    """The largest difference of a coordinate."""
    return np.abs(samples[:, None] - centres).max(2)


def _sums(samples, centres) -> np.ndarray:
    """The sum of the differences of the coordinates."""
    return np.abs(samples[:, None] - centres).sum(2)


def _squares(samples, centres) -> np.ndarray:
    return _distances(samples, centres) ** 2


def _all_within(samples, centres, sd) -> int:
    """Every centre that has a sample within reach, also one that has a nearer centre."""
    return int((_distances(samples, centres) <= 3 * sd).any(0).sum())


COVERED_MISTAKES = (
    (_counted(sds=np.inf),
     "A sample may lie between the modes. Does it cover the nearest one all the same?"),
    (_all_within,
     "A sample lies near two centres. How many modes does one sample cover?"),
    (_counted(covered=lambda good, nearest, k: good.sum()),
     "Do you count modes, or good samples?"),
    (_counted(covered=lambda good, nearest, k: k - len(set(nearest[good].tolist()))),
     "Do you count the modes that are covered, or those that are missed?"),
    (lambda samples, centres, sd: len(centres),
     "Is every mode covered? What if no sample lies near one?"),
    (_counted(covered=lambda good, nearest, k: (np.bincount(nearest[good], minlength=k) > 1).sum()),
     "How many good samples does a mode need to be covered?"),
    (_counted(sds=1), "Within how many standard deviations is a sample good?"),
    (_counted(sds=2), "Within how many standard deviations is a sample good?"),
    (lambda samples, centres, sd: _counted()(samples, centres, sd**0.5),
     "Is `sd` a variance here, or a standard deviation?"),
    (lambda samples, centres, sd: _counted()(samples, centres, 1 / 3),
     "What is the unit of the distance? 3 alone is not 3 standard deviations."),
    (_counted(_squares),
     "Do you compare a distance with 3 sd, or its square?"),
    (_counted(_widest),
     "Is this a distance in the plane, or one in each coordinate? A corner is further off than a"
     " side."),
    (_counted(_sums),
     "Is this a straight line, or the way along the axes?"),
)  # fmt: skip
GOOD_MISTAKES = (
    (lambda *case: 1 - _shared()(*case[:3]),
     "Is this the share of the good samples, or of the others?"),
    (lambda samples, centres, sd, covered: float((_distances(samples, centres) <= 3 * sd).mean()),
     "Is a sample bad because most centres are far from it? Which centre counts?"),
    (lambda samples, centres, sd, covered: covered / len(centres),
     "Is this a share of the samples, or of the modes?"),
    (lambda samples, centres, sd, covered: _shared()(samples, centres, sd) * len(samples),
     "Is this the number of good samples, or their share?"),
    (lambda samples, centres, sd, covered: covered / len(samples),
     "Of how many samples is this a share, and what is counted: modes, or good samples?"),
    (_shared(sds=1), "Within how many standard deviations is a sample good?"),
    (_shared(sds=2), "Within how many standard deviations is a sample good?"),
    (_shared(_squares), "Do you compare a distance with 3 sd, or its square?"),
    (_shared(_widest), "Is this a distance in the plane, or one in each coordinate?"),
    (_shared(_sums), "Is this a straight line, or the way along the axes?"),
)  # fmt: skip


def _samples():
    """Modes that are missed, samples between modes, at the corners of a box, and near two modes."""
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    near = [[0.1, 0.2], [0.5, -0.4], [4.2, 0.1], [4.6, 0.5], [2.0, 0.1], [1.8, 2.2], [0.7, 3.3]]
    yield np.array([*near, [4.9, 4.0], [4.5, 4.5]]), centres, 0.25
    line = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [9.0, 0.0], [13.0, 0.0]])
    near = [[0.6, 0.0], [2.05, 0.1], [2.1, -0.3], [3.4, 0.2], [4.2, 0.0]]
    yield np.array([*near, [7.2, 0.0], [11.8, 0.0]]), line, 0.3
    yield np.array([[2.5, 0.0], [10.0, 0.5]]), np.array([[0.0, 0.0], [10.0, 0.0]]), 1.0
    rng = draws(0)
    centres = rng.normal(0, 4, (6, 3))
    yield centres[rng.integers(0, 4, 40)] + rng.normal(0, 0.8, (40, 3)), centres, 0.5


def _with_samples(what: str) -> Callable[..., str]:
    return lambda at, samples, centres, sd, *known: (
        f"of {len(samples)} samples, with {len(centres)} centres and a standard deviation of"
        f" {sd:g}, {what}"
    )


check_modes = Check(
    """Check a function that counts the modes that samples cover.

    It takes ``(samples, centres, sd)`` and returns (covered, good). `samples` are (n, d), and
    `centres` (k, d) are the means of the modes, each a Gaussian with the standard deviation `sd` in
    every coordinate. A sample is good if it is at most 3 sd from its nearest centre; it then covers
    that mode, and no other. `covered` is how many modes have a good sample, a whole number; `good`
    is the share of good samples.
    """,
    cases=_samples,
    parts=[
        Part("the number of modes", _counted(), COVERED_MISTAKES, _with_samples("the modes that are"
             " covered"), key="covered"),
        Part("the share", _shared(), GOOD_MISTAKES, _with_samples("the share of good ones"),
             key="good"),
    ],
    success="a mode counts once, and only by a sample near its own centre: neither number can stand"
    " for the other",
)  # fmt: skip
