"""The lesions explorer: what was recorded is what a model loses without its blocks."""

import json

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.explorers.training import lesions as explorer
from ensemble_lab.explorers.training import lesions_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

torch = pytest.importorskip("torch")
from recipes import record_lesion_tokens  # noqa: E402


def test_the_recipe_removes_blocks_as_the_package_does():
    tiny = lab.load("tiny", dtype="float32")
    ids = tiny.tokenizer("The small model answers first.", return_tensors="pt")["input_ids"]
    found = {(i, j): row for i, j, row in record_lesion_tokens.lesions(tiny.model, ids)}
    assert len(found) == 1 + 4 + 6
    for (first, second), losses in found.items():
        gone = [at for at in (first, second) if at != replay.NONE]
        with lab.lesion(tiny, gone) as model, torch.no_grad():
            logits = model.model(ids).logits[0, :-1]
        wanted = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        np.testing.assert_allclose(losses, wanted, atol=1e-3)


@pytest.mark.parametrize("text", replay.TEXTS)
def test_each_text_is_recorded_with_all_pairs(text):
    found = replay.lesioned(text)
    assert len(found.tokens) == found.losses.shape[-1] == 63
    assert (found.losses >= 0).all() and (found.losses < explorer.MOST).all()
    assert found.extra.max() < 1.1 * explorer.TICKS[-1]  # all is in sight
    np.testing.assert_array_equal(found.losses, found.losses.swapaxes(0, 1))
    np.testing.assert_array_equal(found.losses.diagonal()[:, :-1], found.losses[-1, :-1].T)
    told = json.loads((data_folder() / "dual/lesions.json").read_text(encoding="utf-8"))
    assert told["licence"] == "Apache-2.0" and told["device"] and "SmolLM2" in told["weights"]


def test_costs_by_hand():
    losses = np.array([[[3.0, 5.0], [6.0, 9.0], [3.0, 5.0]],
                       [[6.0, 9.0], [2.0, 4.0], [2.0, 4.0]],
                       [[3.0, 5.0], [2.0, 4.0], [1.0, 2.0]]])  # fmt: skip
    found = replay.Lesioned(("a", "b"), losses)
    assert found.whole == 1.5
    np.testing.assert_allclose(found.single, [2.5, 1.5])
    np.testing.assert_allclose(found.extra[0, 1], 6.0)
    np.testing.assert_allclose(found.sums, [[5.0, 4.0], [4.0, 3.0]])


@pytest.mark.parametrize("view", [{}, {"first": 1, "second": 2}, {"first": 29, "text": "code"}])
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture = shown.drawn(state)
    table, trace, found = picture.table(), named(picture), replay.lesioned(state["text"])
    first, second = state["first"], state["second"]
    costs = np.maximum(table["costs alone"], explorer.TICKS[0])
    np.testing.assert_allclose(trace["each block"]["y"], costs, atol=1e-5)
    np.testing.assert_allclose(table["costs alone"], table["loss without it"] - found.whole)
    now = found.losses[first, second].mean()
    cost = max(now - found.whole, explorer.TICKS[0])
    assert trace["removed now"]["y"][0] == pytest.approx(cost, abs=1e-5)
    assert trace["first"]["y"][0] == pytest.approx(costs[first], abs=1e-5)
    assert f"{now:.2f} nats a token" in picture.finding
    if first != second:
        row = table.loc[second]
        assert row[f"costs with block {first}"] == pytest.approx(now - found.whole)
        assert row["sum of each alone"] == pytest.approx(
            table["costs alone"][[first, second]].sum()
        )
    grown = np.array(trace["without"]["x"]) - trace["with all"]["x"]
    most = np.sort(found.losses[first, second] - found.losses[-1, -1])[::-1][: len(grown)]
    np.testing.assert_allclose(grown, most, atol=1e-4)


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        assert (explorer.cost(state) > 1) == isinstance(view, Failing), title


def test_a_token_has_a_card(shown):
    state = shown.state(first=3, second=20)
    card, found = shown.card(state, 12)[""], replay.lesioned(state["text"])
    assert card["nats without both"] == found.losses[3, 20, 11]
    assert card["nats without block 3"] == found.losses[3, 3, 11]
    with pytest.raises(KeyError, match="no item"):
        shown.card(state, "1000")
