"""`advise` as a whole: what it advises, what it says, and what users bring."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab.advice import advice as module
from ensemble_lab.advice.baselines import _lead, bargain_of, mixture_at
from ensemble_lab.advice.pool import candidates
from ensemble_lab.advice.scores import Scores
from tests.advice.tables import services

TABLE = services(300)


def advise(table=TABLE, **more):
    return lab.advise(table, progress=False, **more)


@pytest.fixture(scope="module")
def found():
    return advise()


def said(advice, *parts):
    return any(all(part in line for part in parts) for line in advice.said)


def test_the_parts_agree_with_each_other(found):
    table = found.frontier.set_index("candidate")
    assert list(table.index) == [c.name for c in found.candidates] == list(found.scores.names)
    chosen = table.loc[found.chosen]
    allowed = table[table["allowed"]]
    assert chosen["accuracy"] == allowed["accuracy"].max()
    assert found.sure == chosen["chosen_in"] and table["chosen_in"].sum() == pytest.approx(1)
    assert found.accuracy.low <= found.accuracy.value <= found.accuracy.high
    assert found.accuracy.value < chosen["accuracy"]  # the luck of the choice is taken out
    assert found.mean_cost.value == pytest.approx(chosen["cost"])
    singles = table[table["family"] == "single"]
    assert found.best_single == (singles["accuracy"].idxmax(), singles["accuracy"].max())
    assert np.allclose(singles["accuracy"], TABLE.accuracy())
    assert found.oracle == TABLE.oracle() and found.chance_oracle == TABLE.chance_oracle()
    assert found.limits == {} and math.isnan(advise(replace(TABLE, cost=None)).mean_cost.value)


def test_the_policy_decides_as_its_candidate_was_fitted_on_all_rows(found):
    by_name = {c.name: c.policy for c in found.candidates}
    again = by_name[found.chosen].fit(TABLE)
    assert np.array_equal(again.decide(TABLE).chosen, found.policy.decide(TABLE).chosen)


def test_needed_rows_by_hand(found):
    names = list(found.scores.names)
    apart = (
        found.scores.correct[:, names.index(found.chosen)]
        - found.scores.correct[:, names.index(found.rival)]
    )
    assert found.needed_rows == math.ceil(7.85 * apart.var() / apart.mean() ** 2)
    assert f"{found.needed_rows:,.0f} rows would tell it from {found.rival}" in repr(found)


def test_the_random_mixture_is_the_hull_of_the_single_models():
    """Prices 1 and 3 with accuracies .5 and .9: at a price of 2 the line has .7."""
    right = np.column_stack([np.r_[np.ones(50), np.zeros(50)], np.r_[np.ones(90), np.zeros(10)]])
    table = lab.Outcomes(
        models=["a", "b"], items=range(100), correct=right, cost=[[1, 3]] * 100,
    )  # fmt: skip
    one = advise(table, budget=2)
    assert one.chosen == "a" and one.mixture == pytest.approx(0.5)
    assert one.best_single == ("b", 0.9)
    selection = module.choose(one.scores)
    for cost, height in ((0.5, math.nan), (1, 0.5), (2, 0.7), (3, 0.9), (9, 0.9)):
        assert mixture_at(selection, [0, 1], cost) == pytest.approx(height, nan_ok=True)


def test_the_sentence_of_a_single_model_promises_no_more_than_the_limits(found):
    alone = replace(found, chosen="big")
    assert alone.sentence().endswith("no ensemble is more accurate here.")
    limited = replace(alone, limits={"budget": 10.0})  # a dearer ensemble may well be better
    assert limited.sentence().endswith("no ensemble is better within the limits.")


def test_the_bargain_by_hand():
    """On k of 50 rows the first alone is right: k = 1 is within one standard error, k = 3 is not.

    The lead is k/50 and its error sqrt(50/49 k (1 - k/50)) / 50: .02 and .02, .06 and .034.
    """
    right = np.ones((50, 3))
    right[:3, 1], right[:1, 2] = 0, 0  # b is wrong thrice, c once
    table = Scores(("a", "b", "c"), right, np.tile([10.0, 1, 7], (50, 1)), None, np.arange(50) % 5)
    frontier = pd.DataFrame({"candidate": [*"abc"], "cost": [10.0, 1.0, 7.0],
                             "accuracy": right.mean(axis=0), "allowed": True})  # fmt: skip
    lead, error = _lead(table, 0, 1)
    assert (lead, error) == (pytest.approx(0.06), pytest.approx((50 / 49 * 3 * 0.94) ** 0.5 / 50))
    assert bargain_of(table, frontier, "a") == "c"  # b is cheaper, but not as accurate
    assert bargain_of(table, frontier.assign(allowed=[True, True, False]), "a") == ""
    assert bargain_of(table, frontier.assign(cost=[10.0, 1.0, 8.5]), "a") == ""
    assert bargain_of(table, frontier.assign(cost=math.nan), "a") == ""
    # Rows of one cluster are one draw: the three of b are no more than one.
    clusters = replace(table, cluster=np.repeat(np.arange(10), 5))
    lead, error = _lead(clusters, 0, 1)
    away = np.r_[3 - 0.3, np.full(9, -0.3)]
    assert error == pytest.approx((10 / 9 * (away**2).sum()) ** 0.5 / 50)
    assert bargain_of(clusters, frontier, "a") == "b"


def test_limits_are_kept():
    cheap = advise(budget=3.0)
    assert cheap.mean_cost.value <= 3 and cheap.limits == {"budget": 3.0}
    assert "cascade within 3 USD" in [c.name for c in cheap.candidates]
    quick = advise(latency=0.35)
    assert quick.mean_latency.value <= 0.35
    careful = advise(risk=0.05)
    assert careful.limits == {"risk": 0.05}


def test_the_sentence_says_whom_to_ask_and_what_to_expect(found):
    text = found.sentence()
    assert f"{100 * found.accuracy.value:.1f} %" in text and "of the price of big" in text
    assert text in repr(found) and found.what_not in repr(found)
    alone = advise(services(300, models=["a", "b", "c"]).select(models=["a"] + ["c"]), budget=1)
    assert alone.sentence().startswith("Ask a: ")


def test_the_same_seed_gives_the_same_advice(found):
    again = advise()
    assert again.frontier.equals(found.frontier) and again.accuracy == found.accuracy


@pytest.mark.parametrize(
    ("known", "families"),
    [
        (("correct",), {"single"}),
        (("correct", "cost"), {"single"}),
        (("correct", "group"), {"single", "router"}),
        (("correct", "features"), {"single", "router", "selector"}),
        (("correct", "confidence"), {"single", "cascade"}),
        (("correct", "answer", "labels"), {"single", "vote", "cascade", "stacking", "committee"}),
    ],
)
def test_what_a_table_has_decides_what_is_tried(known, families):
    bare = lab.Outcomes(models=TABLE.models, items=TABLE.items,
                        **{name: getattr(TABLE, name) for name in known})  # fmt: skip
    found = candidates(bare)
    assert {c.family for c in found} == families
    assert {c.family for c in candidates(bare, online=True)} == families | {"online"}
    assert len(candidates(bare, thorough=True)) >= len(found)
    assert not advise(bare).scores.refused


# -- what users bring -----------------------------------------------------------------------------


def test_one_model_has_nothing_to_combine():
    with pytest.raises(ValueError, match="one model, 'small', so there is nothing to combine: add"):
        advise(TABLE.select(models=["small"]))


def test_identical_models_are_said_and_the_cheapest_is_asked():
    same = lab.Outcomes(
        models=TABLE.models, items=TABLE.items, cost=TABLE.cost[:, ::-1],
        correct=TABLE.correct[:, [1, 1, 1]], confidence=TABLE.confidence,
    )  # fmt: skip
    found = advise(same)
    assert said(found, "All models are right and wrong on the same rows")
    assert found.chosen == "big" and found.mean_cost == (1, 1, 1)  # the cheapest here
    two = advise(replace(TABLE, correct=TABLE.correct[:, [0, 0, 2]]))
    assert said(two, "small and middle are right and wrong on the same rows")


def test_time_that_goes_backwards_is_put_in_order_and_said():
    hours = np.arange(300.0)
    hours[[10, 200]] = hours[[200, 10]]
    found = advise(time=hours)
    assert said(found, "time goes backwards 2 times, first after item q10")
    order = np.argsort(hours)
    straight = advise(TABLE.take(order), time=hours[order])
    assert not said(straight, "backwards")
    assert np.array_equal(found.scores.correct, straight.scores.correct, equal_nan=True)
    assert np.array_equal(found.outcomes.items, TABLE.items[order])
    assert "online" in {c.family for c in found.candidates}


def test_a_price_that_is_many_times_higher_is_no_percentage():
    found = advise()
    for value, words in ((25.0, "at 250 % of the price of big"), (150, "at 15 times the price of"),
                         (12_340, "at 1,234 times the price of big")):  # fmt: skip
        cost = found.mean_cost._replace(value=float(value))
        assert words in replace(found, mean_cost=cost).sentence()


def test_clocks_are_numbers_and_dates():
    dates = [f"2026-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z" for i in range(300)]
    found = advise(time=dates)
    assert np.array_equal(found.scores.fold, advise(time="hour").scores.fold)
    with pytest.raises(ValueError, match="'noon' for item 'q7', which is neither a number nor"):
        advise(time=[*dates[:7], "noon", *dates[8:]])
    # pandas-dev/pandas#37895: days and months change places in the middle of a column.
    with pytest.raises(ValueError, match="'02/01/2026' for item 'q0', which is neither"):
        advise(time=["02/01/2026", "13/01/2026"] * 150)


def test_a_budget_below_the_cheapest_is_refused_with_its_price():
    with pytest.raises(ValueError, match="budget of 0.5 USD .* below the cheapest .*'small' at 1;"):
        advise(budget=0.5)


def test_repeated_requests_stay_together_and_different_truths_are_said():
    rows = np.r_[np.arange(300), np.arange(30)]
    twice = lab.Outcomes(
        models=TABLE.models, items=np.arange(330), labels=TABLE.labels,
        features={name: values[rows] for name, values in TABLE.features.items()},
        **{name: getattr(TABLE, name)[rows]
           for name in ("correct", "answer", "truth", "confidence", "cost")},
    )  # fmt: skip
    found = advise(twice)
    assert said(found, "330 rows are 300 different ones") and not said(found, "truth")
    fold = found.scores.fold
    assert np.array_equal(fold[:30], fold[300:])
    truth = twice.truth.copy()
    truth[300:310] = (truth[300:310] + 1) % 3
    torn = advise(replace(twice, truth=truth))
    assert said(torn, "10 requests with more than one truth")


def test_a_model_that_lacks_half_of_the_rows_is_left_out_with_how_hard_they_are():
    hard = np.argsort(TABLE.features["length"])[150:]
    correct, answer = TABLE.correct.copy(), TABLE.answer.copy()
    correct[hard, 2], answer[hard, 2] = np.nan, -1
    lacking = replace(TABLE, correct=correct, answer=answer)
    assert lacking.absent[:, 2].sum() == 150
    found = advise(lacking)
    assert found.outcomes.models == ("small", "middle")
    assert said(found, "big is left out: it has 50.0 % of the rows", "not a random part")
    random = np.random.default_rng(0).permutation(300)[:150]
    correct, answer = TABLE.correct.copy(), TABLE.answer.copy()
    correct[random, 2], answer[random, 2] = np.nan, -1
    found = advise(replace(TABLE, correct=correct, answer=answer))
    assert said(found, "big is left out") and not said(found, "not a random part")


def test_fifty_rows_are_enough_and_said_to_be_few():
    found = advise(services(50))
    assert said(found, "50 rows are few") and found.accuracy.high - found.accuracy.low > 0.15
    with pytest.raises(ValueError, match="12 graded rows cannot tell policies apart; grade at lea"):
        advise(services(12))


def test_a_cluster_that_is_the_whole_table_is_refused():
    with pytest.raises(ValueError, match="cluster is 'all' in every row, so no row is left"):
        advise(cluster=["all"] * 300)
    few = advise(cluster=np.arange(300) % 3)
    assert said(few, "only 3 different values") and set(few.scores.fold) == {0, 1, 2}
    with pytest.raises(KeyError, match="no cluster 'lenght' in the features.*'length'"):
        advise(cluster="lenght")


def test_five_thousand_models_are_compared():
    rng = np.random.default_rng(0)
    right = (rng.random((100, 5000)) < 0.5).astype(float)
    many = lab.Outcomes(
        models=[f"m{j}" for j in range(5000)], items=range(100), correct=right,
        cost=rng.random((100, 5000)), confidence=rng.random((100, 5000)),
    )  # fmt: skip
    found = advise(many)
    # The best of them has about 70 % by luck, and is promised what any of them has.
    best = found.frontier["accuracy"].max()
    assert best > 0.64 and found.accuracy.value < 0.58


def test_a_log_in_which_only_the_chosen_model_answered_is_refused():
    alone = np.where(np.eye(3)[np.arange(300) % 3] > 0, TABLE.correct, np.nan)
    log = lab.Outcomes(models=TABLE.models, items=TABLE.items, correct=alone)
    with pytest.raises(ValueError, match="100.0 % of the graded rows only one model answered"):
        advise(log)
    with pytest.raises(ValueError, match="no answer here is graded"):
        advise(replace(log, correct=np.full((300, 3), np.nan)))


def test_ungraded_rows_and_unknown_prices_are_said():
    correct, truth = TABLE.correct.copy(), TABLE.truth.copy()
    correct[:40], truth[:40] = np.nan, -1
    cost = TABLE.cost.copy()
    cost[50:80, 1] = np.nan
    found = advise(replace(TABLE, correct=correct, truth=truth, cost=cost), cluster=np.arange(300))
    assert len(found.outcomes) == 260 and said(found, "40 rows without any grade")
    assert said(found, "3.8 % of the costs are not known: the model's mean is taken")
    cost[:, 1] = np.nan
    unknown = advise(replace(TABLE, cost=cost), budget=5)
    assert said(unknown, "The cost of middle is not known")
    assert "middle" not in unknown.policy.waves(TABLE.models)[0]


def test_confidences_on_another_scale_leave_cascades_out_and_say_so():
    found = advise(replace(TABLE, confidence=-10 * TABLE.confidence))
    assert said(found, "Cascades by confidence are left out", "outside [0, 1]")
    assert "highest score" in found.scores.names


def test_ctrl_c_keeps_the_candidates_that_are_done(monkeypatch):
    judged = module.score.__globals__["_Parts"].judged

    def stops(parts, candidate):
        if candidate.family == "stacking":
            raise KeyboardInterrupt
        return judged(parts, candidate)

    monkeypatch.setattr(module.score.__globals__["_Parts"], "judged", stops)
    found = advise()
    assert said(found, "Stopped early") and found.scores.stopped
    assert 3 < len(found.frontier) < len(found.candidates)
