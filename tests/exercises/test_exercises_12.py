"""The checks of notebook 12 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

from ensemble_lab.exercises.another_output import check_decay, check_near_duplicates
from ensemble_lab.training import expected_tokens


def in_a_loop(overlap, limit, wrong=None):
    """The exercise with a list of the kept; `wrong` exchanges what is compared."""
    kept = []
    for i in range(len(overlap)):
        others = kept if wrong is None else wrong(kept, i)
        if all(overlap[i][j] <= limit for j in others):
            kept.append(i)
    return [i in kept for i in range(len(overlap))]


def test_another_right_filter_passes():
    assert check_near_duplicates(in_a_loop)
    assert check_near_duplicates(lambda *case: np.array(in_a_loop(*case)))


def last_first(overlap, limit):
    return in_a_loop(overlap[::-1, ::-1], limit)[::-1]


def only_unique(overlap, limit):
    return [sum(row > limit) == 1 for row in overlap]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda o, x: in_a_loop(o, x, lambda kept, i: range(i)), "May it still displace"),
        (only_unique, "how many are left in your data"),
        (lambda o, x: [max(row) <= x for row in o], "with itself?"),
        (lambda o, x: in_a_loop(o, x, lambda kept, i: [i - 1] if i else []), "the text before?"),
        (lambda o, x: in_a_loop(o, x, lambda kept, i: kept[-1:]), "the last of them?"),
        (lambda o, x: in_a_loop(o, x, lambda kept, i: kept[:1]), "the first of them?"),
        (lambda o, x: in_a_loop(o, x - 1e-9), "at the limit, or above it?"),
        (last_first, "the first, or the last?"),
        (lambda o, x: [not one for one in in_a_loop(o, x)], "kept, or dropped?"),
        (lambda o, x: in_a_loop(o, 1 - x), "of difference?"),
        (lambda o, x: [True] * len(o), "drop anything?"),
        (lambda o, x: [False] * len(o), "with itself?"),
        (lambda o, x: [i % 2 == 0 for i in range(len(o))], "of 8 texts"),
        (lambda o, x: [i for i, one in enumerate(in_a_loop(o, x)) if one], "True or False"),
        (lambda o, x: sum(in_a_loop(o, x)), "8 times True or False"),
    ],
)
def test_wrong_filters_are_refused_with_their_hint(wrong, hint):
    verdict = check_near_duplicates(wrong)
    assert not verdict and hint in verdict.message


# -- what a chain loses -------------------------------------------------------------------------


def by_the_package(shares, size, generations):
    formula = expected_tokens(shares, size, generations)
    return formula.diversity[-1], 1 - formula.alive[1]


def step_by_step(shares, size, generations, start=None, shrink=None, lost=None):
    """The exercise with its parts exchanged."""
    left = 1 - sum(p * p for p in shares) if start is None else start(shares)
    for i in range(generations):
        left = left - left / size if shrink is None else shrink(left, size, i)
    gone = [np.prod([1 - p] * size) for p in shares] if lost is None else lost(shares, size)
    return left, np.array(gone)


def test_other_ways_to_the_formula_pass():
    assert check_decay(by_the_package)
    assert check_decay(step_by_step)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *c: step_by_step(*c, start=lambda p: 1.0), "diversity of the real text"),
        (lambda *c: step_by_step(*c, start=lambda p: sum(p * p)), "that they are the same?"),
        (
            lambda *c: (1 - step_by_step(*c, start=lambda p: sum(p * p))[0], step_by_step(*c)[1]),
            "What shrinks",
        ),
        (lambda p, m, n: (step_by_step(p, m, 1)[0], (1 - p) ** m), "How many generations"),
        (lambda p, m, n: (step_by_step(p, m, n - 1)[0], (1 - p) ** m), "lost yet?"),
        (lambda p, m, n: (step_by_step(p, m, n + 1)[0], (1 - p) ** m), "no generation at all?"),
        (lambda p, m, n: ((1 - p @ p) * (1 - n / m), (1 - p) ** m), "of what is left?"),
        (lambda p, m, n: ((1 - p @ p) / np.e ** (n / m), (1 - p) ** m), "when M is small?"),
        (lambda p, m, n: (step_by_step(p, m - 1, n)[0], (1 - p) ** m), "1 / (M - 1)?"),
        (lambda p, m, n: (step_by_step(p, len(p), n)[0], (1 - p) ** m), "the different words?"),
        (lambda *c: step_by_step(*c, start=lambda p: -sum(p * np.log(p))), "an entropy"),
        (lambda *c: step_by_step(*c, lost=lambda p, m: 1 - (1 - p) ** m), "or that it is there?"),
        (lambda p, m, n: (step_by_step(p, m, n)[0], (1 - p) ** (m * n)), "all texts of the chain?"),
        (lambda *c: step_by_step(*c, lost=lambda p, m: 1 - p), "does the first text have?"),
        (lambda *c: step_by_step(*c, lost=lambda p, m: p**m), "some other word?"),
        (lambda *c: step_by_step(*c, lost=lambda p, m: np.exp(-m * p)), "none of M draws"),
        (lambda p, m, n: (step_by_step(p, m, n)[0], (1 - p) ** n), "what n times?"),
        (lambda *c: step_by_step(*c, lost=lambda p, m: np.maximum(0, 1 - m * p)), "be added up"),
        (lambda *c: step_by_step(*c)[0], "return diversity"),
        (lambda *c: (0.0, step_by_step(*c)[1]), "for texts of 5 words"),
    ],
)
def test_wrong_expectations_are_refused_with_their_hint(wrong, hint):
    verdict = check_decay(wrong)
    assert not verdict and hint in verdict.message
