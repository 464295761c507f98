"""Diversity and Condorcet's theorem: against numpy, by hand and in simulation."""

import numpy as np
import pytest
from hypothesis import given, settings

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from tests.support.strategies import outcomes


def table(correct):
    correct = np.array(correct, float)
    models = [f"m{j}" for j in range(correct.shape[1])]
    return Outcomes(models=models, items=np.arange(len(correct)), correct=correct)


def test_error_correlation_equals_numpy():
    correct = np.random.default_rng(0).integers(0, 2, (200, 5))
    ours = lab.error_correlation(table(correct))
    np.testing.assert_allclose(ours, np.corrcoef(correct.T), atol=1e-12)


def test_pairs_are_measured_on_the_items_that_both_have():
    correct = np.random.default_rng(1).integers(0, 2, (300, 2)).astype(float)
    correct[:100, 0] = np.nan
    ours = lab.error_correlation(table(correct))
    np.testing.assert_allclose(ours[0, 1], np.corrcoef(correct[100:].T)[0, 1], atol=1e-12)


def test_pairwise_measures_by_hand():
    # both right 3, only the first 2, only the second 1, both wrong 4
    correct = [[1, 1]] * 3 + [[1, 0]] * 2 + [[0, 1]] + [[0, 0]] * 4
    assert lab.disagreement(table(correct))[0, 1] == pytest.approx(0.3)
    assert lab.q_statistic(table(correct))[0, 1] == pytest.approx((12 - 2) / (12 + 2))
    assert lab.mean_pairwise(lab.disagreement(table(correct))) == pytest.approx(0.3)


def test_a_model_that_is_always_right_has_no_correlation():
    matrix = lab.error_correlation(table([[1, 1], [1, 0]]))
    assert np.isnan(matrix[0, 1])
    assert np.isnan(lab.mean_pairwise(matrix))


@settings(max_examples=60, deadline=None)
@given(outcomes(labels=3, complete=True))
def test_ensemble_error_is_member_error_minus_ambiguity(found):
    rng = np.random.default_rng(len(found))
    proba = rng.dirichlet(np.ones(3), (len(found), len(found.models)))
    whole = Outcomes(
        models=found.models, items=found.items, correct=found.correct, labels=found.labels,
        truth=found.truth, probability=proba,
    )  # fmt: skip
    member, ambiguity, ensemble = lab.ambiguity(whole)
    assert ensemble == pytest.approx(member - ambiguity, abs=1e-10)


def test_condorcet_by_hand():
    assert lab.condorcet(1, 0.7) == pytest.approx(0.7)
    assert lab.condorcet(3, 0.7) == pytest.approx(0.7**3 + 3 * 0.7**2 * 0.3)
    assert lab.condorcet(2, 0.7) == pytest.approx(0.7)  # a tie is a coin's
    assert lab.condorcet(5, 0.7, correlation=1.0) == pytest.approx(0.7)
    np.testing.assert_allclose(lab.condorcet([1, 3], 0.5, 0.3), [0.5, 0.5])
    assert lab.condorcet(10**9, 0.51) == pytest.approx(1)  # independent ones have a closed form


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.6])
def test_condorcet_in_simulation(correlation):
    """Voters with a shared chance of being right, of a beta distribution, have that correlation."""
    rng, p, m, n = np.random.default_rng(0), 0.7, 7, 200_000
    strength = (1 - correlation) / correlation if correlation else np.inf
    chance = rng.beta(p * strength, (1 - p) * strength, n) if correlation else np.full(n, p)
    votes = rng.random((n, m)) < chance[:, None]
    assert np.corrcoef(votes[:, 0], votes[:, 1])[0, 1] == pytest.approx(correlation, abs=0.02)
    measured = (votes.sum(axis=1) > m / 2).mean()
    assert float(lab.condorcet(m, p, correlation)) == pytest.approx(measured, abs=0.005)


def test_bad_input_is_named():
    for arguments, message in [
        ((0, 0.7), "members=0"),
        ((3, 1.7), "accuracy=1.7"),
        (([10**7, 10**9], 0.51, 0.01), "10,000,000 at most together; give fewer"),
        ((10**9, 0.51, 1e-9), "members=1000000000: correlated"),
        ((3, 0.7, -0.1), "correlation=-0.1"),
    ]:
        with pytest.raises(ValueError, match=message):
            lab.condorcet(*arguments)
    with pytest.raises(ValueError, match="ambiguity needs 'probability'"):
        lab.ambiguity(table([[1]]))
