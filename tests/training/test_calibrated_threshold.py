"""Thresholds of early exits with a guarantee: fixed sequence testing by exact binomial tails."""

import warnings
from functools import partial
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.datasets import load_digits

import ensemble_lab as lab
from ensemble_lab.training.networks import NetworkClassifier, perceptron
from ensemble_lab.training.submodels import calibration
from ensemble_lab.training.submodels.calibration import GRID, wrong_answers

DRAWS, ROWS = 500, 300


def leaving(sure, threshold):
    """The exit of each row, from 0, row by row."""
    return np.array([next((e for e, c in enumerate(row[:-1]) if c > threshold), len(row) - 1)
                     for row in sure])  # fmt: skip


def risk(sure, wrong, threshold):
    return wrong[np.arange(len(sure)), leaving(sure, threshold)].mean()


@pytest.fixture(scope="module")
def recorded():
    """Confidences (997, 3) of a network on rows that it did not learn, and answers (997, 3)."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order] / 16, y[order]
    make = partial(perceptron, hidden=(4, 8, 16))
    network = NetworkClassifier(make, epochs=20, device="cpu", random_state=0)
    exits = lab.EarlyExit(network, random_state=0).fit(X[:800], y[:800])
    said = np.stack([exits.predict(X[800:], e) for e in (1, 2, 3)], axis=1)
    return exits, X[800:], exits.confidences(X[800:]), said, y[800:]


def violations(sure, wrong, tolerance, choose):
    """In which share of 500 draws of calibration rows the chosen threshold's true risk is above."""
    rng, known = np.random.default_rng(0), {}
    found = []
    for _ in range(DRAWS):
        rows = rng.integers(len(sure), size=ROWS)
        threshold = choose(sure[rows], wrong[rows], tolerance)
        if threshold not in known:
            known[threshold] = risk(sure, wrong, threshold)
        found.append(known[threshold] > tolerance)
    return np.mean(found)


@pytest.mark.parametrize("tolerance", [0.02, 0.05])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_risk_is_kept_in_its_share_of_500_draws(recorded, tolerance, level):
    """Rows are drawn with replacement from the recorded ones, whose own risk is the true one."""
    _, _, sure, said, y = recorded
    most = binom.ppf(0.999, DRAWS, 1 - level) / DRAWS
    right = said == y[:, None]
    for wrong in (said != said[:, -1:], ~right & right[:, -1:]):
        choose = partial(lab.calibrated_threshold, level=level)
        assert violations(sure, wrong, tolerance, choose) <= most


def test_the_lowest_threshold_that_looks_well_breaks_it_in_half_of_the_draws(recorded):
    _, _, sure, said, _ = recorded
    wrong = said != said[:, -1:]

    def hopeful(sure, wrong, tolerance):
        return GRID[np.flatnonzero(wrong_answers(sure, wrong) <= tolerance * len(sure))[-1]]

    assert violations(sure, wrong, 0.05, hopeful) > 0.3
    assert violations(sure, wrong, 0.05, lab.calibrated_threshold) < 0.05


def test_the_guarantee_is_not_bought_by_keeping_all_rows_to_the_end(recorded):
    exits, X, sure, said, _ = recorded
    wrong = said != said[:, -1:]
    threshold = lab.calibrated_threshold(sure[:500], wrong[:500], 0.05)
    proba, left = exits.leave(X[500:], threshold)
    assert (left < 3).mean() > 0.3
    kept = exits.classes_[proba.argmax(1)] == said[500:, -1]
    assert kept.mean() > 0.93


def test_testing_stops_at_the_first_threshold_that_fails():
    """The risk may rise and fall again: here the second exit is wrong and the first is not.

    Choosing the lowest of all that pass, each tested at the same level, is the common fault.
    """
    sure = np.repeat([[0.3, 0.9, 1.0]], 100, axis=0)
    wrong = np.repeat([[False, True, False]], 100, axis=0)
    counts = wrong_answers(sure, wrong)
    assert counts[(GRID < 0.9) & (GRID >= 0.3)].min() == 100 and counts[GRID < 0.3].max() == 0
    assert lab.calibrated_threshold(sure, wrong, 0.05) == GRID[GRID >= 0.9][-1]


def test_by_hand():
    """59 rows certify 5 % at 95 % if none is wrong (0.95**59 = 0.0485), and 58 do not (0.0510)."""
    sure, right = np.full((59, 2), 0.7), np.zeros((59, 2), bool)
    assert lab.calibrated_threshold(sure, right, 0.05) == 0
    with pytest.warns(UserWarning, match="58 rows certify no threshold .* give 59 or more"):
        assert lab.calibrated_threshold(sure[1:], right[1:], 0.05) == 1
    one = right.copy()
    one[3, 0] = True
    assert lab.calibrated_threshold(sure, one, 0.05) == GRID[GRID >= 0.7][-1]


@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_test_is_the_exact_binomial_tail(n, k, tolerance, level):
    k = min(k, n)
    sure, wrong = np.full((n, 2), 0.5), np.zeros((n, 2), bool)
    wrong[:k, 0] = True
    tail = sum(comb(n, i) * tolerance**i * (1 - tolerance) ** (n - i) for i in range(k + 1))
    if abs(tail - (1 - level)) < 1e-9:
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = lab.calibrated_threshold(sure, wrong, tolerance, level)
    empty = (1 - tolerance) ** n > 1 - level
    expected = 0 if tail < 1 - level else 1 if empty else GRID[GRID >= 0.5][-1]
    assert found == expected and bool(said) == empty


@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 99), st.booleans())
def test_wrong_answers_are_counted_as_rows_leave(n, exits, seed, ties):
    rng = np.random.default_rng(seed)
    values = np.array([0, 0.25, 0.5, 0.75, 0.9, 1])
    sure = rng.choice(values, (n, exits)) if ties else rng.random((n, exits))
    wrong = rng.random((n, exits)) < 0.5
    wrong[:, -1] = False
    counts = wrong_answers(sure, wrong)
    for i in [0, 1, *rng.integers(len(GRID), size=8), 500, 1000]:
        assert counts[i] == round(n * risk(sure, wrong, GRID[i]))
    assert counts[0] == 0 and GRID[0] == 1  # the whole network


@given(st.integers(0, 99))
def test_a_wider_tolerance_and_a_lower_level_never_ask_for_more_confidence(seed):
    rng = np.random.default_rng(seed)
    sure = rng.random((200, 3))
    wrong = rng.random((200, 3)) > sure
    wrong[:, -1] = False
    found = [lab.calibrated_threshold(sure, wrong, t) for t in (0.03, 0.1, 0.3)]
    assert found == sorted(found, reverse=True)
    found = [lab.calibrated_threshold(sure, wrong, 0.1, level) for level in (0.99, 0.9, 0.5)]
    assert found == sorted(found, reverse=True)
    order = rng.permutation(200)
    again = lab.calibrated_threshold(sure[order], wrong[order], 0.1, 0.5)
    assert again == found[-1]


def test_the_thresholds_do_not_come_from_the_rows():
    """A grid of the observed confidences would be chosen after the data were seen."""
    assert GRID[0] == 1 and GRID[-1] == 0 and (np.diff(GRID) < 0).all()
    rng = np.random.default_rng(1)
    sure, wrong = rng.random((500, 2)), np.zeros((500, 2), bool)
    wrong[:, 0] = rng.random(500) > sure[:, 0]
    assert lab.calibrated_threshold(sure, wrong, 0.1) in calibration.GRID


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"confidences": [[1.2, 1.0]]}, "give numbers from 0 to 1"),
        ({"wrong": [[False, True]]}, "1 rows at the last exit, which is the reference"),
        ({"wrong": [[0.5, 0]]}, "give True or False for each"),
        ({"wrong": [[False]]}, r"shape \(1, 1\) for confidences of shape \(1, 2\)"),
        ({"tolerance": 5}, "tolerance=5: give a share between 0 and 1"),
        ({"level": 95}, "level=95"),
    ],
)
def test_what_cannot_be_certified_is_named(changed, words):
    given = {"confidences": [[0.5, 0.5]], "wrong": [[False, False]], "tolerance": 0.1} | changed
    with pytest.raises(ValueError, match=words):
        lab.calibrated_threshold(**given)
