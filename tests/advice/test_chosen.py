"""Logs in which only the chosen model answered, made from whole tables whose truth is known."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.advice.chosen import accuracy_from_choices, only_chosen, refuse_only_chosen

SMALL = ("gemma-2-9b-it", "Meta-Llama-3.1-8B-Instruct", "Mistral-Nemo-Instruct-2407")
TWO = ("gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022")


@cache
def whole():
    """Both models on all items, and how likely a router is to choose the second one."""
    table = lab.load_outcomes("gsm8k-44-llms").select(models=[*SMALL, *TWO])
    hard = (table.answer[:, :3] != table.answer[:, :1]).any(axis=1)
    both = table.select(models=TWO)
    both = lab.Outcomes(models=TWO, items=both.items, correct=both.correct,
                        features={"hard": hard.astype(int)})  # fmt: skip
    return both, np.where(hard, 0.9, 0.1)


def log_of(seed):
    both, to_second = whole()
    second = np.random.default_rng(seed).random(len(both)) < to_second
    asked = np.stack([~second, second], axis=1)
    chance = np.where(second, to_second, 1 - to_second)
    return replace(both, correct=np.where(asked, both.correct, np.nan)), chance


class ByHard(lab.Policy):
    """Sends hard items to the first model: against the log's own habit."""

    def choose(self, outcomes):
        column = (outcomes.features["hard"] == 0).astype(int)
        return lab.Choice(column, np.eye(2, dtype=bool)[column])


def test_weighted_logs_are_right_on_average_and_unweighted_ones_are_not():
    both, _ = whole()
    hard = both.features["hard"] == 1
    truth = [*both.accuracy(), np.where(hard, both.correct[:, 0], both.correct[:, 1]).mean()]
    found, naive, inside = [], [], []
    for seed in range(150):
        log, chance = log_of(seed)
        with warnings.catch_warnings(action="ignore"):
            table = accuracy_from_choices(log, chance, {"against": ByHard()})
        found.append(table.accuracy)
        naive.append(log.accuracy())
        inside.append((table.low <= truth) & (truth <= table.high))
    error = np.std(found, axis=0) / np.sqrt(150)
    assert (np.abs(np.mean(found, axis=0) - truth) < 3.5 * error).all()
    assert np.abs(np.mean(naive, axis=0) - truth[:2]).min() > 0.02  # the log itself misleads
    assert np.mean(inside, axis=0).min() > 0.91


def test_by_hand():
    """Weights 10 and 2: the mean is (10 x 0 + 2 x 1) / 12, and (10 + 2)² / (100 + 4) items."""
    nan = np.nan
    log = lab.Outcomes(models=["a", "b"], items=range(3), correct=[[0, nan], [1, nan], [nan, 1]])
    with warnings.catch_warnings(action="ignore"):
        found = accuracy_from_choices(log, [0.1, 0.5, 0.5]).set_index("model")
    assert found.accuracy["a"] == pytest.approx(2 / 12)
    assert found.effective["a"] == pytest.approx(144 / 104)
    assert found.smallest["a"] == 0.1 and found["items"]["a"] == 2
    assert found.share["a"] == pytest.approx(12 / 3)


def test_equal_propensities_are_the_plain_mean():
    log, _ = log_of(0)
    with pytest.warns(UserWarning, match="the mean weight is 1.38"):  # it was no fair coin
        found = accuracy_from_choices(log, np.full(len(log), 0.5))
    assert np.allclose(found.accuracy, log.accuracy())
    assert np.allclose(found.effective, found["items"])


def test_a_feature_may_hold_the_propensities():
    log, chance = log_of(1)
    named = replace(log, features={"propensity": chance})
    assert accuracy_from_choices(named, "propensity").equals(accuracy_from_choices(log, chance))


def test_doubts_are_said():
    log, chance = log_of(2)
    with pytest.warns(UserWarning, match="one item stands for"):
        rare = chance.copy()
        rare[np.flatnonzero(~np.isnan(log.correct[:, 0]))[0]] = 0.0001
        accuracy_from_choices(log, rare)
    with pytest.warns(UserWarning, match="could not be chosen everywhere"):
        accuracy_from_choices(log, np.sqrt(chance))  # not the router's own
    few = log.take(np.arange(40))
    with pytest.warns(UserWarning, match="effective items"):
        accuracy_from_choices(few, chance[:40])
    ungraded = log.correct.copy()
    ungraded[:100] = np.nan
    log = lab.Outcomes(
        models=log.models, items=log.items, correct=ungraded, labels=["x"],
        answer=np.where(np.isnan(log.correct), lab.ABSENT, 0),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="100 of 1,319 answers have no grade"):
        accuracy_from_choices(log, chance)


def test_such_a_log_is_known_and_refused_with_the_fix():
    both, _ = whole()
    log, chance = log_of(3)
    assert only_chosen(log) and not only_chosen(both)
    assert not only_chosen(both.select(models=[TWO[0]]))
    refuse_only_chosen(both)
    with pytest.raises(ValueError, match="0 of 1,319 .* send a random 5 %"):
        refuse_only_chosen(log)
    with pytest.raises(ValueError, match="left nothing to chance"):
        accuracy_from_choices(log, np.ones(len(log)))
    with pytest.raises(ValueError, match="was answered by 2 models"):
        accuracy_from_choices(both, chance)


@pytest.mark.parametrize(
    "propensity, message",
    [([0.5], "one number for each"), ("absent", "no feature 'absent'"), ([[0.5]], "shape"),
     (None, "one number for each"), ("zero", "is 0.0"), ("percent", "is 50.0"), ("gap", "is nan"),
     ({"a": 1}, "give a number")],
)  # fmt: skip
def test_what_are_no_propensities_is_refused(propensity, message):
    log, chance = log_of(0)
    for name, value in {"zero": 0.0, "percent": 50.0, "gap": np.nan}.items():
        if isinstance(propensity, str) and propensity == name:
            propensity = np.where(np.arange(len(log)) == 7, value, chance)
    with pytest.raises(ValueError, match=message):
        accuracy_from_choices(log, propensity)


def test_policies_that_need_other_answers_are_refused():
    log, chance = log_of(0)
    with pytest.raises(ValueError, match="choose one model for each item"):
        both = log.select(models=TWO)
        accuracy_from_choices(both, chance, {"vote": AskBoth()})
    with pytest.raises(TypeError, match="give a fitted Policy"):
        accuracy_from_choices(log, chance, {"x": "vote"})
    with pytest.raises(ValueError, match="which is a model"):
        accuracy_from_choices(log, chance, {TWO[0]: ByHard()})


class AskBoth(lab.Policy):
    def choose(self, outcomes):
        n = len(outcomes)
        return lab.Choice(np.zeros(n, int), np.ones((n, 2), bool))
