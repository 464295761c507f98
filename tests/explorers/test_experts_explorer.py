"""The experts explorer: recorded networks are those that a reader would train, drops by torch."""

import json

import numpy as np
import pandas as pd
import pytest

from ensemble_lab.catalogue import data_folder
from ensemble_lab.explorers.training import experts as explorer
from ensemble_lab.explorers.training import experts_replay as replay
from ensemble_lab.training.experts.routing import overflow, places
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

torch = pytest.importorskip("torch")
from recipes import record_experts  # noqa: E402


def test_each_setting_has_five_networks():
    frame = pd.read_parquet(data_folder() / "experts" / replay.FILE)
    settings = frame.groupby(["experts", "k", "balance", "hidden"]).seed.apply(list)
    assert len(settings) == 3 * 3 * 4 + 5 and all(s == [0, 1, 2, 3, 4] for s in settings)
    told = json.loads((data_folder() / "experts/about.json").read_text())
    assert told["licence"] == "CC BY 4.0" and told["device"]


@pytest.mark.parametrize(("k", "balance"), [(1, "not at all"), (2, "bias rule")])
def test_a_recorded_network_is_trained_again(k, balance):
    """Other processors round otherwise, and few images choose or answer differently."""
    model = record_experts.trained(4, k, balance, replay.HIDDEN, 0)
    again = record_experts.row(model, replay.digits(0)[1])
    found = replay.recorded(4, k, balance)
    for name in ("choices", "answers"):
        wanted = getattr(found, name)[0]
        assert (again[name].reshape(wanted.shape) == wanted).mean() > 0.9, name
    # The answers are those of the whole network, and of the residual alone.
    X = replay.digits(0)[1]
    answers = again["answers"].reshape(len(X), -1)
    np.testing.assert_array_equal(answers[:, 0], model.predict(X))
    model.network_.layers[0].capacity = 0
    np.testing.assert_array_equal(answers[:, -1], model.predict(X))


def test_answers_after_drops_are_those_of_the_network():
    model = record_experts.trained(4, 2, "loss 0.01", replay.HIDDEN, 0)
    X, truth = replay.digits(0)[1], replay.digits(0)[3]
    kept = record_experts.row(model, X)
    shape = 1, len(X), -1
    found = replay.Recorded(*(kept[n].reshape(shape) for n in ("choices", "weights", "answers")),
                            4, None, None)  # fmt: skip
    for capacity in replay.CAPACITIES[:-1]:
        model.network_.layers[0].capacity = capacity
        code = (found.dropped(capacity) << np.arange(2)).sum(2)
        answers = np.take_along_axis(found.answers, code[..., None], 2)[0, :, 0]
        np.testing.assert_array_equal(answers, model.predict(X))
        dropped = model.routing(X)[0].dropped.numpy()
        np.testing.assert_array_equal(found.dropped(capacity)[0], dropped)
    assert (replay.held("y")[0] == truth).all()


@pytest.mark.parametrize("setting", [(4, 1), (8, 2), (16, 4)])
@pytest.mark.parametrize("capacity", [0.25, 1.0, 2.0])
def test_drops_are_those_of_the_layer(setting, capacity):
    experts, k = setting
    found = replay.recorded(experts, k, "not at all")
    most = places(capacity, found.choices.shape[1], k, experts)
    wanted = overflow(torch.tensor(found.choices.astype(int)), experts, most)
    np.testing.assert_array_equal(found.dropped(capacity), wanted)
    assert not found.dropped("none").any()


def test_figures_by_hand(shown):
    found = shown.found(shown.state())
    counts = np.bincount(found.choices[0, :, 0], minlength=8)
    assert found.max_violation[0] == pytest.approx(counts.max() / counts.mean() - 1)
    most = sorted(counts)[::-1]
    assert sum(most[: found.nine_tenths[0]]) >= 0.9 * sum(counts)
    assert sum(most[: found.nine_tenths[0] - 1]) < 0.9 * sum(counts)
    p = counts[counts > 0] / counts.sum()
    assert found.used[0] == pytest.approx(np.prod(p**-p))
    wrong = found.answers[0, :, 0] != replay.held("y")[0]
    assert found.right(found.dropped("none"))[0] == pytest.approx(1 - wrong.mean())
    kinds = replay.held("kinds")[0]
    rotated = np.bincount(found.choices[0, kinds == "rotated", 0], minlength=8)
    np.testing.assert_allclose(found.by_kind(0)[1], rotated / rotated.sum())


@pytest.mark.parametrize(
    "view", [{}, {"k": 4, "experts": 16, "image": 7}, {"capacity": 0.25, "balance": "loss 0.1"}]
)
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture, found = shown.drawn(state), shown.found(state)
    table, trace = picture.table(), named(picture)
    for name, column in (
        ("these experts", "right"),
        *zip(explorer.JUDGED[1:], explorer.JUDGED[1:]),
    ):
        assert trace[name]["x"] == pytest.approx([table[column].mean()], abs=1e-5)
    assert f"Right on {table.right.mean():.1%}" in picture.finding
    assert f"MaxVio {table.MaxVio.mean():.1f}" in picture.finding
    nine = table["experts for nine tenths"].mean()
    assert picture.finding.startswith(f"{nine:.1f} of {state['experts']} experts")
    lost = table.dropped.mean()
    assert ("dropped" in picture.finding) == (lost > 0)
    assert lost == 0 or f"{lost:.0%} of choices dropped" in picture.finding
    cells = np.array(trace["share of images"]["z"], float)
    np.testing.assert_allclose(cells[0, 9::2], found.counts[0] / found.choices.shape[1], atol=1e-3)
    for row, kind in enumerate(replay.KINDS):
        own = cells[2 + 9 * row : 10 + 9 * row]
        np.testing.assert_allclose(own[:, 9::2], [found.by_kind(0)[row]] * 8, atol=1e-3)
        image = replay.held("X")[0, explorer.shown_image(kind, state["image"])]
        np.testing.assert_allclose(own[:, :8], image.reshape(8, 8), atol=1e-3)
    asked = found.counts[0] * cells[-1, 9::2]
    assert asked.sum() == pytest.approx(found.dropped(state["capacity"])[0].sum(), rel=0.01)
    drawn = len(trace["chosen"]["x"]) + len(trace["dropped"]["x"])
    assert drawn == 4 * state["k"]
    for row, kind in enumerate(replay.KINDS, 1):
        image = explorer.shown_image(kind, state["image"])
        assert replay.held("kinds")[0, image] == kind
        at = [
            x
            for name in ("chosen", "dropped")
            for x, y in zip(trace[name]["x"], trace[name]["y"], strict=True)
            if y == row
        ]
        assert sorted(at) == sorted(found.choices[0, image])


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found = shown.found(state)
        right = found.right(found.dropped(state["capacity"]))
        if title == "no balance":
            assert found.max_violation.mean() > 2 and found.nine_tenths.mean() <= 4
        elif title.startswith("capacity"):
            assert isinstance(view, Failing)
            assert (right < found.right(found.dropped("none")) - 0.05).all()
        elif title == "sixteen experts":
            assert isinstance(view, Failing)
            assert explorer.ends(found.total - right)[0] > 0
        else:
            assert found.max_violation.mean() < 1, title
