"""Rules over solutions: equal to plain loops, to enumeration and to cases computed by hand."""

from fractions import Fraction
from itertools import combinations
from math import isclose, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ensemble_lab as lab

few = settings(deadline=None, max_examples=50)  # a machine at work is slow
CODET = lab.load_solutions()


@st.composite
def solutions(draw, graded=True):
    """A few problems, each with a few tests that repeat often enough for ties."""
    P, n = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    problem = draw(st.lists(st.integers(0, P - 1), max_size=8))
    t = len(problem)
    return lab.Solutions(
        passes=draw(arrays(bool, (t, n))),
        problem=problem,
        correct=draw(arrays(bool, (P, n))),
        text=draw(arrays(int, (P, n), elements=st.integers(-2, 3))),
        times=draw(st.lists(st.integers(1, 4), min_size=t, max_size=t)),
        true=draw(arrays(bool, (t,))),
    )


def scored_groups(bits, p, score):
    """CodeT's algorithm with sets: groups of one problem by the tests they pass, best first."""
    tests = [j for j, its in enumerate(bits.problem) if its == p]
    groups = {}
    for i in range(bits.passes.shape[1]):
        passed = frozenset(j for j in tests if bits.passes[j, i])
        if passed:
            groups.setdefault(passed, []).append(i)
    scored = [(score(len(its), passed), its) for passed, its in groups.items()]
    return sorted(scored, key=lambda one: -one[0])


def chosen_by_sets(bits, score):
    """How likely each solution is to be chosen: of the best groups, or any where there is none."""
    found = np.zeros((len(bits), bits.passes.shape[1]))
    for p in range(len(bits)):
        groups = scored_groups(bits, p, score)
        best = [i for s, its in groups if isclose(s, groups[0][0], rel_tol=1e-9) for i in its]
        best = best or list(range(bits.passes.shape[1]))
        found[p, best] = 1 / len(best)
    return found


def script_score(bits):
    return lambda size, tests: sqrt(size) * sum(int(bits.times[j]) for j in tests)


def paper_score(bits):
    return lambda size, tests: size * len(tests)


def test_all_problems_are_scored_as_by_the_published_algorithm():
    script, paper = script_score(CODET), paper_score(CODET)
    assert np.allclose(lab.dual_agreement(CODET), chosen_by_sets(CODET, script), atol=1e-12)
    found = lab.dual_agreement(CODET, power=1, repeats=False)
    assert np.allclose(found, chosen_by_sets(CODET, paper), atol=1e-12)


@few
@given(solutions())
def test_dual_agreement_is_that_of_sets(bits):
    assert np.allclose(lab.dual_agreement(bits), chosen_by_sets(bits, script_score(bits)))
    found = lab.dual_agreement(bits, power=1, repeats=False)
    assert np.allclose(found, chosen_by_sets(bits, paper_score(bits)))


@few
@given(solutions())
def test_group_and_text_votes_are_those_of_counting(bits):
    n = bits.passes.shape[1]
    for rule, keys in (
        (lab.largest_group(bits), lambda p, i: bits.passes[bits.problem == p, i].tobytes()),
        (lab.most_frequent_text(bits), lambda p, i: int(bits.text[p, i])),
    ):
        for p in range(len(bits)):
            its = [keys(p, i) for i in range(n)]
            best = max(its.count(key) for key in its)
            winners = [i for i in range(n) if its.count(its[i]) == best]
            assert np.allclose(rule[p], [(i in winners) / len(winners) for i in range(n)])


@few
@given(solutions())
def test_powers_are_one_family(bits):
    assert np.allclose(lab.dual_agreement(bits, power=0), lab.best_of_n(bits.passed()))
    # A large power leaves the size alone: the largest group that passes anything.
    assert np.allclose(lab.dual_agreement(bits, power=60), _biggest_then_tests(bits))


def _biggest_then_tests(bits):
    return chosen_by_sets(bits, lambda size, tests: 1e6 * size + sum(bits.times[list(tests)]))


@few
@given(solutions(), st.randoms(use_true_random=False))
def test_no_rule_reads_the_official_grades_or_which_tests_are_true(bits, random):
    correct = np.array([[random.random() < 0.5 for _ in row] for row in bits.correct])
    true = [random.random() < 0.5 for _ in bits.true]
    other = lab.Solutions(bits.passes, bits.problem, correct, bits.text, bits.times, true)
    for rule in (lab.dual_agreement, lab.largest_group, lab.most_frequent_text):
        assert np.array_equal(rule(bits), rule(other))


@few
@given(solutions(), st.randoms(use_true_random=False))
def test_the_order_of_solutions_and_of_tests_changes_nothing(bits, random):
    n, t = bits.passes.shape[1], len(bits.passes)
    i, j = random.sample(range(n), n), random.sample(range(t), t)
    other = lab.Solutions(
        bits.passes[j][:, i], bits.problem[j], bits.correct[:, i], bits.text[:, i], bits.times[j]
    )
    for rule in (lab.dual_agreement, lab.largest_group, lab.most_frequent_text):
        assert np.allclose(rule(bits)[:, i], rule(other))


@few
@given(solutions())
def test_a_test_that_was_generated_twice_is_the_test_twice(bits):
    rows = np.repeat(np.arange(len(bits.passes)), bits.times)
    twice = lab.Solutions(bits.passes[rows], bits.problem[rows], bits.correct)
    assert np.array_equal(bits.passed(), twice.passed())
    assert np.allclose(lab.dual_agreement(bits), lab.dual_agreement(twice))


scores = arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 6)), elements=st.sampled_from(
    [-np.inf, -1.5, 0.0, 1 / 3, 0.1 + 0.2, 0.3, 2.0, 1e-12, 2e-12, np.inf]))  # fmt: skip


@few
@given(scores, st.data())
def test_best_of_n_is_that_of_all_subsets(score, data):
    N = score.shape[1]
    n = data.draw(st.integers(1, N))
    for row, found in zip(score, lab.best_of_n(score, n)):
        chance = [Fraction(0)] * N
        subsets = list(combinations(range(N), n))
        for subset in subsets:
            top = max(row[i] for i in subset)
            best = [i for i in subset if row[i] == top or isclose(row[i], top, rel_tol=1e-12)]
            for i in best:
                chance[i] += Fraction(1, len(best) * len(subsets))
        assert np.allclose(found, [float(x) for x in chance])


@few
@given(arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 6))), st.data())
def test_best_of_n_by_the_truth_is_pass_at_k(correct, data):
    k = data.draw(st.integers(1, correct.shape[1]))
    found = (lab.best_of_n(correct, k) * correct).sum(axis=1)
    for row, chance in zip(correct, found):
        subsets = list(combinations(row, k))
        assert isclose(chance, sum(map(any, subsets)) / len(subsets), abs_tol=1e-12)


@few
@given(arrays(int, st.tuples(st.integers(1, 3), st.integers(1, 6)), elements=st.integers(-1, 2)),
       st.data())  # fmt: skip
def test_a_weighted_vote_is_that_of_a_loop(codes, data):
    P, n = codes.shape
    weight = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=P * n, max_size=P * n)))
    weight = weight.reshape(P, n) / 2
    for p, found in enumerate(lab.best_group(codes, weight)):
        keys = [("own", i) if code < 0 else code for i, code in enumerate(codes[p].tolist())]
        total = [sum(w for w, k in zip(weight[p], keys) if k == key) for key in keys]
        best = [one == max(total) for one in total]
        assert np.allclose(found, np.array(best) / sum(best))


@few
@given(solutions())
def test_identities_of_the_weighted_vote(bits):
    codes = bits.text + 2  # none is negative
    plain = lab.best_group(codes)
    assert np.allclose(plain, lab.most_frequent_text(bits))  # equal weights are plurality
    assert np.allclose(plain, lab.best_group(codes, np.full(codes.shape, 0.1)))
    alone = np.tile(np.arange(codes.shape[1]), (len(codes), 1))
    by_score = lab.best_of_n(bits.passed())  # nobody agrees: the best of n
    assert np.allclose(lab.best_group(alone, bits.passed()), by_score)
    assert np.allclose(lab.best_group(codes, np.zeros(codes.shape)), 1 / codes.shape[1])
    if codes.shape[1] > 1:  # a copied sample has a doubled weight
        double = np.ones(codes.shape)
        double[:, 0] = 2
        copied = lab.best_group(np.c_[codes, codes[:, 0]])
        merged = lab.best_group(codes, double)
        assert np.array_equal(copied[:, :-1] > 0, merged > 0)


def test_identities_of_best_of_n():
    score = np.random.default_rng(0).normal(size=(5, 40))
    assert np.allclose(lab.best_of_n(score, 1), 1 / 40)  # best of one is any sample
    assert np.allclose(lab.best_of_n(np.ones((5, 40)), 7), 1 / 40)  # as with equal scores
    assert np.array_equal(lab.best_of_n(score).argmax(axis=1), score.argmax(axis=1))
    assert lab.best_of_n(score, 40).max(axis=1).tolist() == [1.0] * 5
    many = lab.best_of_n(np.arange(3000.0)[None], 1500)
    assert many.sum() == pytest.approx(1) and np.isfinite(many).all()


def test_a_case_by_hand():
    # Two solutions pass {a}, one passes {a, b, c}: sqrt(2) x 1 against 1 x 3; two generations of
    # the test a make it sqrt(2) x 2 = 2.83 against 4.
    bits = lab.Solutions([[1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]], [0, 0, 0], [[1, 1, 0, 0]])
    assert lab.dual_agreement(bits).tolist() == [[0, 0, 1, 0]]
    assert lab.dual_agreement(bits, power=2).tolist() == [[0.5, 0.5, 0, 0]]
    assert lab.largest_group(bits).tolist() == [[0.5, 0.5, 0, 0]]
    assert bits.behaviour().tolist() == [[0, 0, 2, -1]]


def test_planted_faults_of_the_score_are_seen():
    """Each of these scores chooses otherwise on the recorded problems: the comparison can fail."""
    for wrong in (
        lambda size, tests: size * sum(int(CODET.times[j]) for j in tests),
        lambda size, tests: sqrt(size) * len(tests),
        lambda size, tests: sqrt(size),
    ):
        assert not np.allclose(lab.dual_agreement(CODET), chosen_by_sets(CODET, wrong))
