"""Verifiers that err: the closed form against enumeration, simulation and its limits."""

from itertools import product
from math import inf, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab

few = settings(deadline=None, max_examples=50)  # a machine at work is slow
share = st.integers(0, 8).map(lambda x: x / 8)


@few
@given(share, share, share, st.integers(1, 4))
def test_the_closed_form_is_that_of_all_samples_and_verdicts(p, f, g, n):
    found = 0.0
    kinds = {(True, True): p * (1 - g), (True, False): p * g,
             (False, True): (1 - p) * f, (False, False): (1 - p) * (1 - f)}  # fmt: skip
    for samples in product(kinds, repeat=n):
        pool = [right for right, accepted in samples if accepted] or [r for r, _ in samples]
        found += prod(kinds[one] for one in samples) * sum(pool) / len(pool)
    assert lab.verified_best_of_n(p, n, f, g) == pytest.approx(found)


@few
@given(share, share, share)
def test_the_limit_is_the_precision_of_the_verifier(p, f, g):
    accepted = p * (1 - g) + (1 - p) * f
    limit = lab.verified_best_of_n(p, inf, f, g)
    assert limit == pytest.approx(p * (1 - g) / accepted if accepted else p)
    if accepted > 0.1:
        assert lab.verified_best_of_n(p, 10_000, f, g) == pytest.approx(limit)


def test_more_samples_help_a_verifier_that_is_better_than_chance_and_harm_with_a_worse_one():
    good = [lab.verified_best_of_n(0.3, n, 0.2, 0.1) for n in range(1, 12)]
    bad = [lab.verified_best_of_n(0.3, n, 0.9, 0.5) for n in range(1, 12)]
    blind = [lab.verified_best_of_n(0.3, n, 0.4, 0.6) for n in range(1, 12)]
    assert (np.diff(good) > 0).all() and (np.diff(bad) < 0).all() and np.allclose(blind, 0.3)


@few
@given(st.lists(st.booleans(), min_size=1, max_size=4), share, share, st.data())
def test_recorded_samples_are_enumerated_with_all_verdicts(correct, f, g, data):
    n, found = data.draw(st.integers(1, len(correct))), 0.0
    for accepted in product([True, False], repeat=len(correct)):
        chance = prod(
            ((1 - g) if a else g) if right else (f if a else 1 - f)
            for right, a in zip(correct, accepted)
        )
        found += chance * (lab.best_of_n([accepted], n)[0] * correct).sum()
    assert lab.verified_subsets([correct], n, f, g) == pytest.approx([found])


def test_without_errors_it_is_pass_at_n_and_with_many_samples_the_closed_form():
    correct = lab.load_solutions().correct
    for n in (1, 7, 100):
        wanted = (lab.best_of_n(correct, n) * correct).sum(axis=1)
        assert lab.verified_subsets(correct, n) == pytest.approx(wanted)
        assert lab.pass_at_k(100, correct.sum(axis=1), n) == pytest.approx(wanted)
    many = np.arange(4000)[None] < 1200
    wanted = lab.verified_best_of_n(0.3, 6, 0.1, 0.2)
    assert lab.verified_subsets(many, 6, 0.1, 0.2) == pytest.approx([wanted], abs=2e-3)


def test_verdicts_err_as_often_as_they_should_and_replay_the_closed_form():
    correct = np.arange(2000)[None] < 600
    for seed in range(5):
        accepted = lab.verdicts(correct, 0.1, 0.25, seed)
        assert accepted[correct].mean() == pytest.approx(0.75, abs=0.06)
        assert accepted[~correct].mean() == pytest.approx(0.1, abs=0.03)
        chosen = lab.best_of_n(accepted, 8)
        wanted = lab.verified_best_of_n(0.3, 8, 0.1, 0.25)
        assert (chosen * correct).sum() == pytest.approx(wanted, abs=0.04)
    assert np.array_equal(lab.verdicts(correct), correct)
    assert not lab.verdicts(correct, 0, 1).any() and lab.verdicts(correct, 1, 0).all()


def test_false_positives_cap_best_of_n_on_the_recorded_samples():
    correct = lab.load_solutions().correct
    rate = correct.mean(axis=1)
    perfect, erring = (lab.verified_best_of_n(rate, 100, f).mean() for f in (0.0, 0.06))
    assert perfect > 0.65 and erring < 0.56
    runs = [
        (lab.best_of_n(lab.verdicts(correct, 0.06, 0.1, seed), 5) * correct).sum(axis=1).mean()
        for seed in range(5)
    ]
    wanted = lab.verified_best_of_n(rate, 5, 0.06, 0.1).mean()
    assert np.mean(runs) == pytest.approx(wanted, abs=0.01) and np.ptp(runs) < 0.02
