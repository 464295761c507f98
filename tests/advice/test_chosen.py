"""Logs in which only the chosen model answered, made from whole tables whose truth is known."""

import itertools
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


# -- inverse propensity and doubly robust estimates -----------------------------------------------


class ByContext(lab.Policy):
    """Asks the model that is written beside the item."""

    def choose(self, outcomes):
        column = np.asarray(outcomes.features["wanted"], int)
        return lab.Choice(column, np.eye(3, dtype=bool)[column])


@pytest.mark.parametrize("estimate", ["inverse propensity", "doubly robust"])
def test_they_are_unbiased_by_enumeration_of_all_logs(estimate):
    """3 models, 4 contexts: the mean over all 81 logs, each with its probability, is the truth."""
    rng = np.random.default_rng(0)
    grade, chance = rng.random((4, 3)), rng.dirichlet(np.ones(3), 4)
    wanted = np.array([2, 0, 1, 0])
    guess = rng.random((4, 3)) if estimate == "doubly robust" else None  # wrong on purpose
    truth = [*grade.mean(axis=0), grade[np.arange(4), wanted].mean()]
    found, normalised, mass = np.zeros(4), np.zeros(4), 0.0
    for arms in itertools.product(range(3), repeat=4):
        seen = np.eye(3, dtype=bool)[list(arms)]
        log = lab.Outcomes(models=["a", "b", "c"], items=range(4), features={"wanted": wanted},
                           correct=np.where(seen, grade, np.nan))  # fmt: skip
        log_chance = chance[np.arange(4), arms]
        with warnings.catch_warnings(action="ignore"):
            table = accuracy_from_choices(
                log, log_chance, {"p": ByContext()}, estimate=estimate, predicted=guess
            )
            usual = accuracy_from_choices(log, log_chance, {"p": ByContext()})
        found += log_chance.prod() * table.accuracy.to_numpy()
        normalised += log_chance.prod() * usual.accuracy.fillna(0).to_numpy()
        mass += log_chance.prod()
    assert mass == pytest.approx(1)
    np.testing.assert_allclose(found, truth, rtol=1e-12)
    assert np.abs(normalised - truth).max() > 0.1  # what is not unbiased does not pass


def test_inverse_propensity_and_doubly_robust_by_hand():
    """(0 / 0.1 + 1 / 0.5) / 3; with predictions of 0.5: 0.5 + (-0.5 / 0.1 + 0.5 / 0.5) / 3."""
    nan = np.nan
    log = lab.Outcomes(models=["a", "b"], items=range(3), correct=[[0, nan], [1, nan], [nan, 1]])
    with warnings.catch_warnings(action="ignore"):
        plain, robust = (
            accuracy_from_choices(log, [0.1, 0.5, 0.5], estimate=name, predicted=guess)
            for name, guess in (
                ("inverse propensity", None),
                ("doubly robust", np.full((3, 2), 0.5)),
            )
        )
    assert plain.accuracy.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert robust.accuracy.tolist() == pytest.approx([0.5 - 4 / 3, 0.5 + 1 / 3])
    half = 1.959964 * np.std([0, 2, 0], ddof=1) / np.sqrt(3)
    assert plain.high[0] - plain.accuracy[0] == pytest.approx(half, rel=1e-6)
    assert np.isnan(plain.low[1]) and np.isnan(robust.high[1])  # one item has no spread


def test_good_predictions_narrow_the_interval_and_all_intervals_hold_the_truth():
    """400 items, two kinds; the log sends 4 of 5 hard ones to the second model."""
    hard = np.arange(400) % 2 == 0
    share = np.where(hard[:, None], [0.3, 0.8], [0.7, 0.6])  # of right answers
    second = np.where(hard, 0.8, 0.2)
    features, truth = {"hard": hard.astype(int)}, [0.5, 0.7, 0.45]  # the last: against the log
    found = {"inverse propensity": [], "doubly robust": []}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        taken = rng.random(400) < second
        seen = np.where(np.stack([~taken, taken], axis=1), rng.random((400, 2)) < share, np.nan)
        log = lab.Outcomes(models=TWO, items=range(400), correct=seen, features=features)
        chance = np.where(taken, second, 1 - second)
        for name, rows in found.items():
            guess = share if name == "doubly robust" else None
            with warnings.catch_warnings(action="ignore"):
                rows.append(accuracy_from_choices(
                    log, chance, {"against": ByHard()}, estimate=name, predicted=guess
                ))  # fmt: skip
    width = {}
    for name, rows in found.items():
        low, high = (np.array([row[side] for row in rows]) for side in ("low", "high"))
        inside = ((low <= truth) & (truth <= high)).mean(axis=0)
        assert inside.min() > 0.9, (name, inside)
        width[name] = (high - low).mean(axis=0)
    assert (width["doubly robust"] < 0.9 * width["inverse propensity"]).all(), width


def test_estimates_and_predictions_that_do_not_go_together_are_refused():
    log, chance = log_of(0)
    guess = np.full((len(log), 2), 0.5)
    for settings, message in [
        ({"estimate": "ips"}, "estimate is 'ips'; give one of"),
        ({"estimate": ["doubly robust"]}, "give one of"),
        ({"estimate": "doubly robust"}, "needs predicted"),
        ({"predicted": guess}, "alone; give both"),
        ({"estimate": "doubly robust", "predicted": guess[:5]}, r"the shape \(5, 2\); give"),
        ({"estimate": "doubly robust", "predicted": guess * np.nan}, "has nan; give finite"),
        ({"estimate": "doubly robust", "predicted": "mean"}, "'mean'; give an array"),
    ]:
        with pytest.raises(ValueError, match=message):
            accuracy_from_choices(log, chance, **settings)


def test_predictions_in_a_frame_are_read_by_the_names_of_the_models():
    import pandas as pd

    nan = np.nan
    log = lab.Outcomes(models=["small", "big"], items=range(3),
                       correct=[[1, nan], [nan, 0], [1, nan]])  # fmt: skip
    guess = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    frame = pd.DataFrame(guess[:, ::-1], columns=["big", "small"])
    with warnings.catch_warnings(action="ignore"):
        one, two = (
            accuracy_from_choices(log, [0.5] * 3, estimate="doubly robust", predicted=given)
            for given in (guess, frame)
        )
    assert one.accuracy.tolist() == two.accuracy.tolist()
    masked = np.ma.masked_array(guess, mask=guess > 0.85)
    with pytest.raises(ValueError, match="predicted have masked entries"):
        accuracy_from_choices(log, [0.5] * 3, estimate="doubly robust", predicted=masked)
    with pytest.raises(ValueError, match="propensity has masked entries"):
        accuracy_from_choices(log, np.ma.masked_array([0.5] * 3, mask=[1, 0, 0]))
