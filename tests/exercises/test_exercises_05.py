"""Notebook 05's checks refuse what people get wrong, written in other ways than the checks' own."""

from itertools import pairwise

import numpy as np
import pytest

from ensemble_lab.exercises.speculative import PLACES, check_accept, check_best_gamma
from ensemble_lab.tokens.lengths import best_gamma


def rule(p, q, drafted, r, passes=None, bonus=0, correct=None):
    """The exercise by arrays, with its parts exchanged: what a wrong solution amounts to."""
    k, at = len(drafted), np.arange(len(drafted))
    passed = (passes or (lambda p, q, r: r < p / q))(p[at, drafted], q[at, drafted], r)
    count = int(np.cumprod(passed).sum())
    if count == k:
        return count, p[k - bonus]
    left = (correct or (lambda p, q: np.maximum(p - q, 0)))(p[count], q[count])
    return count, left / left.sum()


def unscaled(p, q, answer, least=0):
    """The answer with a residual that nobody has divided by its sum."""
    count, chances = answer
    return count, chances if count == len(q) else np.maximum(p[count] - q[count], least)


def without_the_rejected(p, q, drafted, r):
    """p, where only the rejected token cannot be drawn again."""
    count, chances = rule(p, q, drafted, r)
    if count < len(drafted):
        chances = p[count] * (np.arange(p.shape[1]) != drafted[count])
        chances = chances / chances.sum()
    return count, chances


def corrected_bonus(p, q, drafted, r):
    """A bonus that is drawn from a residual, too."""
    count, chances = rule(p, q, drafted, r)
    if count == len(drafted):
        chances = np.maximum(p[count] - q[count - 1], 0)
        chances = chances / chances.sum()
    return count, chances


def test_another_right_way_passes():
    assert check_accept(rule)
    assert check_accept(lambda *case: dict(zip(("count", "distribution"), rule(*case))))
    assert check_best_gamma(lambda alpha, c, v, most: best_gamma(alpha, c, v, most))
    assert check_best_gamma(best)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"passes": lambda p, q, r: r < q / np.maximum(p, 1e-9)}, "divided by the other?"),
        ({"passes": lambda p, q, r: r <= p / q}, "can a token with p = 0 be accepted?"),
        ({"passes": lambda p, q, r: r < p}, "where is q?"),
        ({"passes": lambda p, q, r: q <= p}, "where is r?"),
        ({"passes": lambda p, q, r: r >= p / q}, "does a small r accept or reject?"),
        ({"correct": lambda p, q: p}, "come twice as a candidate"),
        ({"correct": lambda p, q: q}, "whose text is it?"),
        ({"correct": lambda p, q: abs(p - q)}, "proposes too often"),
        ({"correct": lambda p, q: np.maximum(q - p, 0)}, "too seldom"),
        ({"bonus": 1}, "Which row of p"),
    ],
)
def test_wrong_rounds_are_refused_with_their_hint(wrong, hint):
    verdict = check_accept(lambda *case: rule(*case, **wrong))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda *case: (rule(*case)[0] + 1, rule(*case)[1]), "It was not drafted"),
        (lambda p, q, x, r: (int((r * q[range(len(x)), x] < p[range(len(x)), x]).sum()), p[0]),
         "which text does the next one continue?"),
        (lambda p, q, x, r: (int(np.cumprod(p[:-1].argmax(1) == x).sum()), p[0]),
         "must a token be the target's first choice?"),
        (lambda p, q, x, r: unscaled(p, q, rule(p, q, x, r)), "what is the sum"),
        (lambda p, q, x, r: unscaled(p, q, rule(p, q, x, r), least=-1), "probability be negative?"),
        (without_the_rejected, "kept the others as they are in p"),
        (corrected_bonus, "Is there anything to correct?"),
        (lambda *case: (rule(*case)[0], np.ones(case[0].shape[1]) / case[0].shape[1]),
         "the probability of token"),
        (lambda *case: (rule(*case)[0], 0.5), "one a token"),
        (lambda *case: (1.5, case[0][0]), "whole number"),
        (lambda *case: 3, "return count (a whole number, how many are accepted) and distribution"),
    ],
)  # fmt: skip
def test_other_wrong_answers_are_refused(wrong, hint):
    verdict = check_accept(wrong)
    assert not verdict and hint in verdict.message


def best(alpha, c, v, most, least=0, tokens=None, cost=None):
    """By brute force over the sum of what each place adds, with its parts exchanged."""
    tokens = tokens or (lambda gamma: sum(alpha**i for i in range(gamma + 1)))
    cost = cost or (lambda gamma: gamma * c + v)

    def gain(gamma):
        return 1.0 if gamma == 0 else tokens(gamma) / cost(gamma)

    return max(range(least, most + 1), key=gain)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda a, c, v, most: most, "What does one more drafted token cost?"),
        (lambda a, c, v, most: best(a, 0, v, most), "do not change with c"),
        (lambda a, c, v, most: best(a, 0.01, v, most), "the best length"),
        (lambda a, c, v, most: 4, "the same everywhere"),
        (lambda a, c, v, most: best(a, c, v, most, least=1), "speedup of plain decoding?"),
        (lambda a, c, v, most: max(1, best(a, c, v, most)), "speedup of plain decoding?"),
        (lambda a, c, v, most: best(a, c, 1.0, most), "do not change with v"),
        (lambda a, c, v, most: best(a, c, v, most) + 1, "one more than the best"),
        (lambda a, c, v, most: best(a, c, v, most, tokens=lambda g: (1 - a**g) / (1 - a)),
         "The target's own counts"),
        (lambda a, c, v, most: best(a, c, v, most, tokens=lambda g: 1 + g * a),
         "where the second was rejected?"),
        (lambda a, c, v, most: best(a, c, v, most, cost=lambda g: a * c + v),
         "how many draft steps does a round pay for?"),
        (lambda a, c, v, most: best(a, c, v, most, cost=lambda g: g * (c + v)),
         "once, or once a drafted token?"),
        (lambda a, c, v, most: float(best(a, c, v, most)), "whole number"),
        (lambda a, c, v, most: max(0, best(a, c, v, most) - 1), "the best length"),
    ],
)  # fmt: skip
def test_wrong_lengths_are_refused_with_their_hint(wrong, hint):
    verdict = check_best_gamma(wrong)
    assert not verdict and hint in verdict.message


def test_the_places_tell_the_rules_apart():
    """None pays somewhere, the best differ, and with v forgotten another one wins."""
    right = [best(*place, 20) for place in PLACES]
    assert right.count(0) >= 2 and len(set(right)) >= 5
    assert right != [best(a, c, 1.0, 20) for a, c, _ in PLACES]
    assert all(a != b for a, b in pairwise(right[:4]))
