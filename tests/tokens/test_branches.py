"""Recursive rejection over children and shapes of trees: exact fractions, and brute force."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens import branches
from ensemble_lab.tokens.branches import children_distribution, verify_children
from ensemble_lab.tokens.shapes import best_shape, by_level, depths, shape_tokens
from tests.support.toy_lm import every_way, mutant

P, Q = ([Fraction(x, 10) for x in some] for some in ((4, 3, 2, 1), (1, 2, 3, 4)))


def children_of(q, many, rng):
    """Tokens drawn from q one after the other, without replacement."""
    found, left = [], np.array(q, float)
    while len(found) < many and left.any():
        found.append(int(rng.choice(len(left), p=left / left.sum())))
        left[found[-1]] = 0
    return found


def distribution_of(p, q, many):
    """The chances of `verify_children` and how often it accepts, over all that can happen."""
    chances, accepted = np.zeros(len(p)), 0.0

    def play(rng):
        return branches.verify_children(p, q, children_of(q, many, rng), rng)

    for share, (index, token) in every_way(play):
        chances[token] += share
        accepted += share * (index is not None)
    return chances, accepted


@pytest.mark.parametrize(
    "children, exact", [(1, "3/5"), (2, "107/140"), (3, "14117/16800"), (4, 1)]
)
def test_the_worked_pair(children, exact):
    chances, accepted = children_distribution(P, Q, children)
    assert chances == P and accepted == Fraction(exact)
    found = distribution_of(P, Q, children)
    assert np.abs(found[0] - np.array(P, float)).max() < 1e-12
    assert found[1] == pytest.approx(float(Fraction(exact)), abs=1e-12)


weights = st.lists(st.integers(0, 5), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(weights, weights, st.integers(0, 4))
def test_the_distribution_is_the_targets_for_any_pair(a, b, children):
    pairs = [(x + (i == 0), y + (i == 0)) for i, (x, y) in enumerate(zip(a, b))]
    p, q = ([Fraction(x, sum(v)) for x in v] for v in zip(*pairs))
    chances, accepted = children_distribution(p, q, children)
    assert chances == p
    assert accepted >= (children_distribution(p, q, children - 1)[1] if children else 0)
    found = distribution_of(p, q, children)
    assert np.abs(found[0] - np.array(p, float)).max() < 1e-9
    assert found[1] == pytest.approx(float(accepted), abs=1e-9)


FAULTS = {
    "the child stays in q": ("q[x] = 0\n", "pass\n"),
    "p stays": ("p = np.maximum(p - q, 0)", "p = p"),
    "q is not normalised": ("q = q / q.sum() if q.any() else q", "pass"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_enumeration_sees_a_planted_fault(monkeypatch, fault):
    monkeypatch.setattr(branches, "verify_children", mutant(verify_children, *FAULTS[fault]))
    assert np.abs(distribution_of(P, Q, 2)[0] - np.array(P, float)).max() > 1e-3


def test_the_fault_that_everybody_makes_has_this_distribution(monkeypatch):
    """Children drawn without replacement, and verified as if with it."""
    fault = mutant(verify_children, *FAULTS["the child stays in q"])
    monkeypatch.setattr(branches, "verify_children", fault)
    exact = [Fraction(699, 1960), Fraction(673, 1960), Fraction(1, 5), Fraction(1, 10)]
    assert np.abs(distribution_of(P, Q, 2)[0] - np.array(exact, float)).max() < 1e-12


class Numbers:
    random = 0.5


@pytest.mark.parametrize("rng", [None, 0, "0", Numbers()])
def test_what_is_no_generator_is_refused(rng):
    with pytest.raises(ValueError, match=r"rng=.*; give numpy.random.default_rng\(0\)"):
        verify_children(P, Q, [0], rng)


# Shapes


def every_tree(nodes):
    """All trees of so many drafted tokens, as parents: each once, level by level."""
    trees = [()]
    for i in range(nodes):
        trees = [(*tree, parent) for tree in trees for parent in range(max(tree, default=-1), i)]
    return trees


def test_every_tree_is_there_once():
    for nodes, catalan in enumerate((1, 1, 2, 5, 14, 42, 132, 429, 1430)):
        assert len(set(every_tree(nodes))) == len(every_tree(nodes)) == catalan
    chances = [Fraction(1, prime) for prime in (3, 5, 7, 11, 13, 17)]
    lists = itertools.product(*[range(-1, i) for i in range(6)])
    by_lists = {shape_tokens(parents, chances) for parents in lists}
    assert by_lists == {shape_tokens(tree, chances) for tree in every_tree(6)}


CHANCES = [(5, 2, 1), (4, 3, 2), (9, 0, 0), (1, 1, 1), (6, 2, 0), (2, 5, 3)]  # of tenths


@pytest.mark.parametrize("tenths", CHANCES)
@pytest.mark.parametrize("nodes", range(1, 9))
@pytest.mark.parametrize("depth", [None, 1, 2, 3])
def test_the_best_shape_is_the_best_of_all_trees(nodes, depth, tenths):
    chances = [Fraction(x, 10) for x in tenths]
    few = [
        shape
        for shape in every_tree(nodes)
        if max(Counter(shape).values()) <= 3 and (depth is None or max(depths(shape)) <= depth)
    ]
    if not few:
        with pytest.raises(ValueError, match="have no place in"):
            best_shape(chances, nodes, depth)
        return
    found = best_shape(chances, nodes, depth)
    assert found in set(few) and found == by_level(found)
    assert shape_tokens(found, chances) == max(shape_tokens(shape, chances) for shape in few)


def test_expected_tokens_are_those_of_a_walk():
    """Each node's accepted child is drawn with the chances; the path is followed."""
    shape, chances = (-1, -1, 0, 0, 1, 3), [Fraction(1, 2), Fraction(1, 3)]
    children = {
        node: [i for i, parent in enumerate(shape) if parent == node] for node in range(-1, 6)
    }

    def walk(rng):
        at, tokens = -1, 1
        while children[at]:
            b = rng.choice(3, p=[1 / 2, 1 / 3, 1 / 6])
            if b >= len(children[at]):
                break
            at, tokens = children[at][b], tokens + 1
        return tokens

    mean = sum(share * tokens for share, tokens in every_way(walk))
    assert mean == pytest.approx(float(shape_tokens(shape, chances)), abs=1e-12)


@pytest.mark.parametrize("shape", [(), (0,), (-1, 1), (-1, 2, 1), (-2,), (-1, 0.5), "ab", 3, None])
def test_what_is_no_tree_is_refused(shape):
    with pytest.raises(ModelError, match="is no tree of 1 to 64 drafted tokens"):
        shape_tokens(shape, [0.5])


@pytest.mark.parametrize(
    "chances", [[], [0.6, 0.6], [-0.1], [float("nan")], ["a"], 0.5, None, [True]]
)
def test_what_are_no_chances_is_refused(chances):
    with pytest.raises(ValueError, match="chances="):
        best_shape(chances, 3)
