"""List prices: what is shipped, how it was matched, and the cost of calls."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab import metrics
from recipes import prices as recipe
from tests.support.strategies import outcomes

NAME = "mmlu-pro-29-llms"


@pytest.fixture(scope="module")
def priced():
    with pytest.warns(UserWarning, match=r"20 of 29 models have no price, so their cost is NaN"):
        return lab.priced(lab.load_outcomes(NAME), 300)


def test_nine_of_29_models_have_a_list_price_and_a_source():
    frame = lab.load_prices()
    assert len(frame) == 9 and set(frame.index) < set(lab.load_outcomes(NAME).models)
    assert (frame[["input", "output"]] > 0).all(axis=None)
    assert set(frame["list"]) == set(recipe.SOURCES) and frame["listed_as"].is_unique
    assert set(frame["match"]) == set(recipe.MATCHES.values())
    told = json.loads((lab.data_folder() / "prices.json").read_text())
    assert told["unit"] == "USD per million tokens"
    for source in told["lists"].values():
        assert source["licence"] == "Apache-2.0" and source["source"].startswith("https://")
    # Two prices as their makers had them in October 2024.
    assert frame.loc["gemini-1.5-pro-002", ["input", "output"]].tolist() == [1.25, 5.0]
    assert frame.loc["gemini-1.5-flash-002", ["input", "output"]].tolist() == [0.075, 0.3]


def test_no_base_model_has_a_price():
    for model in lab.load_prices().index:
        assert "Instruct" in model or model.startswith(("gemini", "jamba", "DeepSeek-Coder"))


def test_the_recipe_writes_what_is_shipped(tmp_path):
    """From raw-shaped lists that hold the shipped prices."""
    shipped = json.loads((lab.data_folder() / "prices.json").read_text())
    frugal, arena = {}, {}
    for row in shipped["models"].values():
        if row["list"] == "FrugalGPT":
            provider, name = row["listed_as"].split("/", 1)
            costs = {f"cost_{way}": row[way] / 1e6 for way in ("input", "output")}
            frugal.setdefault(provider, {})[name] = {**costs, "cost_fixed": 0}
        else:
            arena[row["listed_as"]] = {
                f"{way}_token_price_per_million": row[way] for way in ("input", "output")
            }
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "frugalgpt_serviceinfo.json").write_text(json.dumps(frugal))
    with pytest.raises(FileNotFoundError, match="routerarena_cost"):
        recipe.prices(tmp_path)
    (folder / "routerarena_cost.json").write_text(json.dumps(arena))
    assert recipe.prices(tmp_path) == shipped
    frugal["ai21"] = {}
    (folder / "frugalgpt_serviceinfo.json").write_text(json.dumps(frugal))
    with pytest.raises(ValueError, match="FrugalGPT lists no 'ai21/jamba-1.5-large'"):
        recipe.prices(tmp_path)


def test_a_cost_is_tokens_times_prices(priced):
    table = lab.load_outcomes(NAME)
    column = table.models.index("jamba-1.5-large")
    found = priced.cost[:, column]
    np.testing.assert_allclose(found, (300 * 2.0 + table.tokens[:, column] * 8.0) / 1e6)
    assert priced.cost_is_estimated and not table.cost_is_estimated
    unknown = [model for model in table.models if model not in lab.load_prices().index]
    assert np.isnan(priced.select(models=unknown).cost).all()
    known = priced.select(models=list(lab.load_prices().index))
    assert (np.isnan(known.cost) == known.absent).all()
    assert priced.correct is table.correct or (priced.accuracy() == table.accuracy()).all()


@given(outcomes(complete=True), st.data())
def test_a_cost_is_that_of_a_loop(table, data):
    numbers = st.sampled_from([0, 0.075, 1.25, 30])
    some = data.draw(st.lists(st.sampled_from(table.models), min_size=1, unique=True))
    prices = {model: (data.draw(numbers), data.draw(numbers)) for model in some}
    read = data.draw(st.lists(st.integers(0, 500), min_size=len(table), max_size=len(table)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = lab.priced(table, read, prices)
    assert len(told) == (len(some) < len(table.models))
    for i, tokens in enumerate(read):
        for j, model in enumerate(table.models):
            if model in prices:
                into, out = prices[model]
                true = (tokens * into + table.tokens[i, j] * out) / 1e6
                assert found.cost[i, j] == pytest.approx(true, rel=1e-12)
            else:
                assert np.isnan(found.cost[i, j])


def test_a_frame_that_was_changed_is_read_like_a_mapping(priced):
    frame = lab.load_prices()
    frame.loc[frame["maker"] == "Google", ["input", "output"]] *= 2
    with pytest.warns(UserWarning, match="no price"):
        doubled = lab.priced(lab.load_outcomes(NAME), 300, frame)
    for model in frame.index:
        one, two = (t.cost[:, t.models.index(model)] for t in (priced, doubled))
        np.testing.assert_allclose(two, one * (2 if model.startswith("gemini") else 1))


@pytest.mark.parametrize("times", [0.5, 1, 2])
def test_aiq_with_one_makers_prices_changed(priced, times):
    """Single models as settings: the hull uses only known prices, and one range of costs."""
    frame = lab.load_prices()
    frame.loc[frame["maker"] == "Google", ["input", "output"]] *= times
    table = lab.load_outcomes(NAME).select(models=list(frame.index))
    summary = lab.priced(table, 300, frame).filled("cost").summary()
    cost, accuracy = summary["mean cost"], summary["accuracy"]
    found = metrics.aiq(cost, accuracy, between=(3e-4, 3e-3))
    assert accuracy.min() < found <= accuracy.max()
    _, y = metrics.hull(cost, accuracy)
    assert (np.diff(y) >= 0).all() and y[-1] == accuracy.max()


def test_what_is_wrong_is_named():
    table = lab.Outcomes(models=["a"], items=[0, 1], correct=[[1], [0]], tokens=[[1], [2]])
    prices = {"a": (1, 2)}
    with pytest.raises(ValueError, match="no model of these outcomes has a price"):
        lab.priced(table, 10)
    with pytest.raises(ValueError, match="priced needs 'tokens'"):
        lab.priced(lab.Outcomes(models=["a"], items=[0], correct=[[1]]), 10, prices)
    with pytest.raises(ValueError, match="prompt_tokens has 3 numbers for 2 items"):
        lab.priced(table, [1, 2, 3], prices)
    with pytest.raises(ValueError, match=r"prompt_tokens has -1.0; give numbers from 0 up"):
        lab.priced(table, [1, -1], prices)
    with pytest.raises(ValueError, match=r"the price of 'a' is \(-1, 2\); give two numbers"):
        lab.priced(table, 1, {"a": (-1, 2)})
    with pytest.raises(ValueError, match="prices has a model more than once"):
        lab.priced(table, 1, pd.DataFrame({"input": [1, 2], "output": [1, 2]}, index=["a", "a"]))
