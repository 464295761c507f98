"""The checks of notebook 06 refuse what people get wrong, written in other ways than theirs."""

from itertools import combinations_with_replacement, product

import numpy as np
import pytest

from ensemble_lab.exercises.drafting import (
    BUDGETS,
    _grown,
    _tokens,
    check_shape,
    check_two_children,
)

# -- two children --------------------------------------------------------------------------------


def verify(p, q, children, r, passes=None, left=None, renew=True, scale=True):
    """The exercise with its parts exchanged."""
    for which in (0, 1):
        x = children[which]
        if (passes or (lambda p, q, r: r < p / q))(p[x], q[x], r[which]):
            return which, np.zeros(len(p))
        p = (left or (lambda p, q, x: np.maximum(p - q, 0)))(p, q, x)
        p = p / p.sum() if scale and p.sum() else p
        if renew:
            q = np.delete(q, x) / (1 - q[x])
            q = np.insert(q, x, 0)
    return 2, p


def test_other_right_ways_pass():
    assert check_two_children(verify)
    assert check_two_children(lambda *case: dict(zip(("which", "correction"), verify(*case))))


def emptied(p, q, x):
    p = p.copy()
    p[x] = 0
    return p


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"renew": False}, "From which distribution was it drawn?"),
        ({"left": lambda p, q, x: p}, "still against p?"),
        ({"left": lambda p, q, x: p, "renew": False}, "What has the first rejection told you?"),
        ({"scale": False}, "A distribution has the sum 1"),
        ({"passes": lambda p, q, r: r < q / max(p, 1e-12)}, "divided by the other?"),
        ({"passes": lambda p, q, r: r <= p / q}, "target probability of 0"),
        ({"left": emptied}, "You removed the rejected child".lower()),
        ({"passes": lambda p, q, r: r < p}, "where is q?"),
    ],
)
def test_wrong_verdicts_are_refused_with_their_hint(wrong, hint):
    verdict = check_two_children(lambda *case: verify(*case, **wrong))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("correct", "hint"),
    [
        (lambda p, q, x: p, "you draw from p"),
        (lambda p, q, x: np.maximum(p - q, 0) / np.maximum(p - q, 0).sum(), "How often"),
    ],
)
def test_a_wrong_correction_is_refused_with_its_hint(correct, hint):
    def wrong(p, q, children, r):
        which, left = verify(p, q, children, r)
        return which, correct(p, q, children) if which == 2 else left

    verdict = check_two_children(wrong)
    assert not verdict and hint in verdict.message


def test_the_right_answer_keeps_the_distribution():
    """Summed over both draws and by midpoints over r: the first token follows p."""
    p, q = np.array([4, 3, 2, 1]) / 10, np.array([1, 2, 3, 4]) / 10
    r = (np.arange(400) + 0.5) / 400
    written, some = np.zeros(4), 0.0
    for x, y in product(range(4), range(4)):
        if x != y:
            chance = q[x] * q[y] / (1 - q[x])
            first = (r < p[x] / q[x]).mean()
            which, left = verify(p, q, [x, y], [1.0, 1.0]) if first < 1 else (0, written * 0)
            if which == 2:
                half = np.maximum(p - q, 0) / np.maximum(p - q, 0).sum()
                second = min(half[y] / (q[y] / (1 - q[x])), 1)
            else:
                second = float(which == 1)
            written[x] += chance * first
            written[y] += chance * (1 - first) * second
            written += chance * (1 - first) * (1 - second) * left
            some += chance * (first + (1 - first) * second)
    np.testing.assert_allclose(written, p, atol=0.003)
    assert some == pytest.approx(107 / 140, abs=0.003)


# -- the best shape ------------------------------------------------------------------------------


def every_tree(n):
    """All lists of parents of n nodes."""
    return product(*(range(-1, i) for i in range(n)))


def test_the_best_shape_is_that_of_brute_force():
    for p in ((0.6, 0.2, 0.1), (0.35, 0.3, 0.2), (0.9, 0.05), (0.5, 0.26, 0.13)):
        for n in range(1, 7):
            best = max(_tokens(p, tree) for tree in every_tree(n))
            assert _tokens(p, _grown(p, n).tolist()) == pytest.approx(best)


def slowly(p, n):
    """Node after node, the one that adds most of all that could be added."""
    parents = []
    while len(parents) < n:
        adds = [parents + [parent] for parent in range(-1, len(parents))]
        parents = max(adds, key=lambda tree: _tokens(p, tree))
    return parents


def levels(p, n):
    """Level by level, each of them full."""
    parents, level = [], [-1]
    while len(parents) < n:
        below = [node for node in level for _ in p][: n - len(parents)]
        level = list(range(len(parents), len(parents) + len(below)))
        parents += below
    return parents


def test_other_ways_to_the_best_shape_pass():
    assert check_shape(slowly)
    assert check_shape(lambda p, n: np.array(slowly(p, n)))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, n: list(range(-1, n - 1)), "your tree is a chain"),
        (levels, "you fill each level"),
        (lambda p, n: slowly(p[:2], n), "never use a third child"),
        (lambda p, n: list(range(n)), "before its child?"),
        (lambda p, n: [-1] * n, "how many children"),
        (lambda p, n: None, "returned nothing"),
        (lambda p, n: slowly(p, n + 1), ""),
    ],
)
def test_wrong_shapes_are_refused_with_their_hint(wrong, hint):
    verdict = check_shape(wrong)
    assert not verdict and hint in verdict.message


def test_budgets_differ_in_what_is_best():
    shapes = [tuple(_grown(p, n).tolist()) for p, n in BUDGETS]
    assert any(list(s) == list(range(-1, len(s) - 1)) for s in shapes if len(s) > 1)
    assert any(s.count(-1) > 1 for s in shapes)
    assert len(set(combinations_with_replacement(shapes, 1))) == len(shapes)
