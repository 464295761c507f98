"""Notebook 05's checks refuse what people get wrong, written in other ways than the checks' own."""

from itertools import pairwise

import numpy as np
import pytest

from ensemble_lab.exercises.speculative import PLACES, check_accept, check_best_gamma
from ensemble_lab.tokens.lengths import best_gamma


def rule(p, q, drafted, r, stays=None, bonus=0, correct=None):
    """The exercise by arrays, with its parts exchanged: what a wrong solution amounts to."""
    k, at = len(drafted), np.arange(len(drafted))
    passed = (stays or (lambda p, q, r: r < p / q))(p[at, drafted], q[at, drafted], r)
    count = int(np.cumprod(passed).sum())
    if count == k:
        return count, p[k - bonus]
    left = (correct or (lambda p, q: np.maximum(p - q, 0)))(p[count], q[count])
    return count, left / left.sum()


def unscaled(p, q, answer):
    """The answer with a residual that nobody has divided by its sum."""
    count, law = answer
    return count, law if count == len(q) else np.maximum(p[count] - q[count], 0)


def test_another_right_way_passes():
    assert check_accept(rule)
    assert check_best_gamma(lambda alpha, c, v, most: best_gamma(alpha, c, v, most))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"stays": lambda p, q, r: r < q / np.maximum(p, 1e-9)}, "ratio is reversed"),
        ({"stays": lambda p, q, r: r <= p / q}, "not r <="),
        ({"stays": lambda p, q, r: r < p}, "p alone"),
        ({"stays": lambda p, q, r: r >= p / q}, "other way round"),
        ({"correct": lambda p, q: p}, "resampled from p"),
        ({"correct": lambda p, q: q}, "draft's law"),
        ({"correct": lambda p, q: np.maximum(q - p, 0)}, "residual is reversed"),
        ({"bonus": 1}, "off by one"),
    ],
)
def test_wrong_rounds_are_refused_with_their_hint(wrong, hint):
    verdict = check_accept(lambda *case: rule(*case, **wrong))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *case: (rule(*case)[0] + 1, rule(*case)[1]), "how many *drafted*"),
        (lambda p, q, x, r: (int((r * q[range(len(x)), x] < p[range(len(x)), x]).sum()), p[0]),
         "no more"),
        (lambda p, q, x, r: unscaled(p, q, rule(p, q, x, r)), "divided by"),
        (lambda *case: (rule(*case)[0], np.ones(case[0].shape[1]) / 5), "stay; then the law is"),
        (lambda *case: (rule(*case)[0], 0.5), "one a token"),
        (lambda *case: (1.5, case[0][0]), "whole number"),
        (lambda *case: 3, "return count (a whole number, how many stay) and law"),
    ],
)  # fmt: skip
def test_other_wrong_answers_are_refused(wrong, hint):
    verdict = check_accept(wrong)
    assert not verdict and hint in verdict.message


def best(alpha, c, v, most, least=0):
    """By brute force over the sum of what each place adds."""

    def gain(gamma):
        return 1.0 if gamma == 0 else sum(alpha**i for i in range(gamma + 1)) / (gamma * c + v)

    return max(range(least, most + 1), key=gain)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda a, c, v, most: most, "a draft step costs c"),
        (lambda a, c, v, most: best(a, 0.01, v, most), "the best length"),
        (lambda a, c, v, most: 4, "always 4"),
        (lambda a, c, v, most: best(a, c, v, most, least=1), "no draft length pays"),
        (lambda a, c, v, most: max(1, best(a, c, v, most)), "no draft length pays"),
        (lambda a, c, v, most: best(a, c, 1.0, most), "v was ignored"),
        (lambda a, c, v, most: best(a, c, v, most) + 1, "one too many"),
        (lambda a, c, v, most: float(best(a, c, v, most)), "whole number"),
        (lambda a, c, v, most: max(0, best(a, c, v, most) - 1), "the best length"),
    ],
)
def test_wrong_lengths_are_refused_with_their_hint(wrong, hint):
    verdict = check_best_gamma(wrong)
    assert not verdict and hint in verdict.message


def test_the_places_tell_the_rules_apart():
    """None pays somewhere, the best differ, and with v forgotten another one wins."""
    right = [best(*place, 20) for place in PLACES]
    assert 0 in right and len(set(right)) >= 5
    assert right != [best(a, c, 1.0, 20) for a, c, _ in PLACES]
    assert all(a != b for a, b in pairwise(right[:4]))
