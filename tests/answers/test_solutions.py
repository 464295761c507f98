"""CodeT's table: figures known from its source, and its table read as it was recorded."""

import copy
import hashlib
import pickle

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab import catalogue
from ensemble_lab.core.errors import UnknownName

CODET = lab.load_solutions()


def percent(values):
    return round(100 * float(np.mean(values)), 2)


def test_the_table_is_what_the_entry_says():
    rows = catalogue.recorded("solutions", "humaneval-codegen-16b", "solutions")
    path = catalogue.data_folder() / "solutions" / "humaneval-codegen-16b.parquet"
    content = path.read_bytes()
    assert rows.attrs["bytes"] == len(content) < 150_000
    assert rows.attrs["sha256"] == hashlib.sha256(content).hexdigest()
    assert rows.attrs["licence"] == "MIT" and rows.attrs["commit"] == "35f54d6"
    assert list(rows.attrs["columns"]) == list(rows) and rows.attrs["rows"] == len(CODET) == 164
    with pytest.raises(UnknownName, match="humaneval-codegen-16b"):
        lab.load_solutions("humaneval-codegen")


def test_the_counts_are_those_of_the_recording():
    assert CODET.passes.shape == (8331, 100) and CODET.correct.sum() == 3627
    assert CODET.times.sum() == 9124 and percent(CODET.true) == 30.44
    assert percent(np.repeat(CODET.true, CODET.times)) == 31.98
    untested = sorted({*range(164)} - {*CODET.problem.tolist()})
    assert untested == [30, 57, 62, 109, 120, 121, 130, 146, 148]
    assert sum(len(np.unique(row)) for row in CODET.text) == 12_408
    assert (CODET.passed().sum(axis=1) == 0).sum() == 18


def test_wrong_tests_are_passed_by_wrong_solutions():
    rates = lab.pass_rates(CODET)
    assert [percent(x) for x in rates.loc["wrong tests"]] == [0.87, 6.02]
    assert [percent(x) for x in rates.loc["true tests"]] == [98.83, 33.76]


def test_best_of_n_by_tests_rises_to_five_samples_and_falls_to_chance():
    by_tests = CODET.passed()
    found = [
        percent(CODET.accuracy(lab.best_of_n(by_tests, n))) for n in (1, 2, 5, 10, 20, 50, 100)
    ]
    assert found == [22.12, 27.44, 30.40, 29.11, 26.59, 23.53, 21.22]
    by_true = CODET.only(CODET.true).passed()
    found = [percent(CODET.accuracy(lab.best_of_n(by_true, n))) for n in (1, 5, 20, 100)]
    assert found == [22.12, 36.94, 46.54, 53.50]
    assert percent(CODET.correct.any(axis=1)) == 73.78


def test_the_rules_reach_what_the_source_reports():
    dual = CODET.accuracy(lab.dual_agreement(CODET))
    assert percent(dual) == 37.24
    dual[[68, 106, 143]] = CODET.correct[[68, 106, 143]].mean(axis=1)  # the script's fallback
    assert percent(dual) == 36.76
    assert percent(CODET.accuracy(lab.dual_agreement(CODET, power=1, repeats=False))) == 36.43
    assert percent(CODET.accuracy(lab.largest_group(CODET))) == 26.16
    assert percent(CODET.accuracy(lab.largest_group(CODET, passing=True))) == 33.10
    assert percent(CODET.accuracy(lab.most_frequent_text(CODET))) == 13.54


def test_the_gain_of_dual_agreement_holds_over_other_problems():
    gain = CODET.accuracy(lab.dual_agreement(CODET)) - CODET.correct.mean(axis=1)
    rng = np.random.default_rng(0)
    means = rng.choice(gain, (10_000, len(gain))).mean(axis=1)
    assert percent(gain) == 15.13
    assert np.quantile(means, [0.025, 0.975]) == pytest.approx([0.110, 0.195], abs=0.003)


def test_best_of_a_hundred_by_tests_is_not_clearly_below_a_random_sample():
    gain = CODET.accuracy(lab.best_of_n(CODET.passed())) - CODET.correct.mean(axis=1)
    means = np.random.default_rng(0).choice(gain, (10_000, len(gain))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert low < 0 < high


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_are_equal_and_read_only(copied):
    small = lab.Solutions([[1, 0]], [0], [[1, 0]], text=[[0, 0]], times=[2], true=[1])
    again = copied(small)
    for name in ("passes", "problem", "correct", "text", "times", "true", "problems"):
        assert np.array_equal(getattr(again, name), getattr(small, name))
        with pytest.raises(ValueError, match="read-only"):
            getattr(again, name)[0] = 1


def test_frames_of_single_executions_give_the_same_table():
    """The first ten problems, written out an execution a row and shuffled."""
    n, tests = 100, np.flatnonzero(CODET.problem < 10)
    solutions = pd.DataFrame(
        {"problem": np.repeat(np.arange(10), n), "solution": np.tile(np.arange(n), 10),
         "correct": CODET.correct[:10].ravel(), "text": CODET.text[:10].ravel()}
    )  # fmt: skip
    results = pd.DataFrame(
        {"problem": np.repeat(CODET.problem[tests], n),
         "solution": np.tile(np.arange(n), len(tests)),
         "test": np.repeat(tests, n), "passed": CODET.passes[tests].ravel(),
         "times": np.repeat(CODET.times[tests], n), "true": np.repeat(CODET.true[tests], n)}
    )  # fmt: skip
    again = lab.Solutions.from_frames(solutions, results.sample(frac=1, random_state=0))
    for rule in (lab.dual_agreement, lab.largest_group, lab.most_frequent_text):
        assert np.allclose(rule(again), rule(CODET)[:10])
    assert np.array_equal(again.correct, CODET.correct[:10])
    true = CODET.only(CODET.true).passed()[:10]
    assert np.array_equal(again.only(again.true).passed(), true)


def test_many_samples_of_the_game_of_24_hold_a_solution_that_no_vote_can_find():
    game = lab.load_outcomes("game-of-24")
    groups = np.array(game.model_group)
    found = {}
    for name in ("gpt-4 direct", "gpt-4 cot"):
        correct = game.correct[:, groups == name]
        any_of = [(lab.best_of_n(correct, k) * correct).sum(axis=1) for k in (1, 100)]
        found[name] = [percent(each) for each in any_of]
    assert found == {"gpt-4 direct": [7.34, 33.0], "gpt-4 cot": [4.03, 49.0]}
    with pytest.raises(ValueError, match="needs 'answer', which these outcomes do not have"):
        lab.MajorityVote().decide(game)
