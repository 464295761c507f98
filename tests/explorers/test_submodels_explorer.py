"""The submodels explorer: exits, widths and bits by a loop and by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_lab.explorers.training import submodels_replay as replay
from ensemble_lab.explorers.training.submodels_network import Submodels, all_exits, in_bits, said
from ensemble_lab.training import AnyPrecision, perceptron
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

TRAINED, ORDINARY, CUT = replay.MADE


def whole(made=TRAINED):
    return replay.submodel(made, 1.0, 8)


def test_a_place_leaves_by_the_first_exit_above_the_threshold():
    sure = np.array([[0.9, 0.4, 0.5], [0.2, 0.9, 0.4], [0.1, 0.1, 0.1]])  # (exits, places)
    before = sure.copy()
    assert replay.leaves(sure, 0.5).tolist() == [0, 1, 2]  # at the threshold it stays
    assert replay.leaves(sure, 0.0).tolist() == [0, 0, 0]
    assert replay.leaves(sure, 1.0).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(sure, before)


@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.9, 1.0])
def test_accuracy_and_compute_by_a_loop(threshold):
    found = replay.submodel(TRAINED, 0.5, 4)
    right, paid = [], []
    for sure, good in zip(found.confidence[2].T, found.right[2].T, strict=True):
        exit_ = next((e for e in (0, 1) if sure[e] > threshold), 2)
        heads = 1 if threshold == 1 else exit_ + 1
        right.append(good[exit_])
        paid.append(2 * 16 + exit_ * 16 * 16 + heads * 16 * 3)
    assert found.accuracy(threshold)[2] == pytest.approx(np.mean(right))
    one = replace(found, confidence=found.confidence[2:3], right=found.right[2:3])
    assert one.compute(threshold) == pytest.approx(np.mean(paid) / 2)


def test_multiply_adds_are_those_of_the_weights():
    for units, layers in ((8, 3), (32, 1)):
        weights = perceptron(2, 3, (units,) * layers).parameters()
        counted = sum(p.numel() for p in weights if p.dim() == 2)
        assert replay.multiply_adds(units, layers) == counted


def test_the_network_answers_for_all_exits_of_all_widths():
    torch.manual_seed(0)
    network = Submodels(lambda: perceptron(2, 3, (8, 8, 8)), [2, 8])
    x = torch.randn(5, 2)
    exits = network.exits
    torch.testing.assert_close(network(x)[:, 9:], exits(x), rtol=0, atol=0)
    hidden = exits.blocks[0](x)[:, :2]  # the first two units by hand
    head = hidden @ exits.heads[0].weight[:, :2].T + exits.heads[0].bias
    torch.testing.assert_close(network(x)[:, :3], head)
    proba = said(exits, 2, x.numpy(), 3)
    assert proba.shape == (3, 5, 3)
    np.testing.assert_allclose(proba[0], head.double().softmax(-1).detach(), atol=1e-6)


def test_short_codes_with_their_own_table_and_without():
    torch.manual_seed(0)
    network = Submodels(lambda: perceptron(2, 3, (8, 8, 8)), [8]).exits
    stored = AnyPrecision(network)
    x = torch.randn(5, 2)
    for bits in (1, 3, 8):
        own = all_exits(stored.at(bits), 8, x)
        torch.testing.assert_close(all_exits(in_bits(stored, bits, False), 8, x), own)
    torch.testing.assert_close(all_exits(in_bits(stored, 8, True), 8, x), all_exits(network, 8, x))
    name = "blocks.1.0.weight"
    short = dict(in_bits(stored, 2, True).named_parameters())[name]
    codes, table = stored.codes(name, 2), stored.table(name)
    by_hand = [[table[r, int(code) * 64] for code in row] for r, row in enumerate(codes)]
    np.testing.assert_allclose(short.detach(), by_hand, rtol=1e-6)


def test_an_ordinary_network_ends_as_it_was_trained():
    _, share = replay.alone(replay.UNITS, replay.LAYERS)
    assert whole(ORDINARY).right[:, -1].mean() == pytest.approx(share, abs=0.002)  # 8 bits a weight
    assert len({id(head) for head in replay.stored(ORDINARY)[0].at(8).heads}) == 1


@pytest.mark.parametrize("view", [{}, {"threshold": 0.7}, {"made": ORDINARY, "threshold": 0.9}])
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture = shown.drawn(state)
    table, trace, at = picture.table(), named(picture), state["threshold"]
    row = table.loc[at]
    assert trace["this submodel"]["x"][0] == pytest.approx(row["multiply-adds of 8 bits"])
    assert trace["this submodel"]["y"][0] == pytest.approx(1 - row["right"], abs=1e-5)
    leave = [row[f"leave by {name}"] for name in ("exit 1", "exit 2", "the end")]
    np.testing.assert_allclose(trace["share that leaves"]["y"], leave, atol=1e-5)
    assert sum(leave) == pytest.approx(1)
    right = [0 if one is None else one for one in trace["right among them"]["y"]]
    assert np.dot(leave, right) == pytest.approx(row["right"], abs=1e-5)
    np.testing.assert_allclose(trace["exits, the rest whole"]["y"], 1 - table["right"], atol=1e-5)
    assert f"{row['right']:.1%} right" in picture.finding
    cells = np.array(trace["exit of each place"]["z"])
    assert set(np.unique(cells)) <= {0, 1, 2} and (at < 1 or (cells == 2).all())
    assert sum(len(trace[name]["x"]) for name in ("right", "wrong")) == 150


def test_presets_show_what_they_promise(shown):
    full = whole().accuracy(1.0).mean()
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found = shown.found(state)
        right, paid = (found.accuracy(state["threshold"]).mean(), found.compute(state["threshold"]))
        assert paid < 0.5 * whole().compute(1.0), title
        if isinstance(view, Failing):
            own = replay.submodel(TRAINED, state["width"], state["bits"])
            assert right < own.accuracy(state["threshold"]).mean() - 0.1, title
        else:
            assert right > full - 0.06, title


def test_held_out_places_are_others():
    learned = [replay.spirals(replay.LEARNED, run)[0] for run in replay.RUNS]
    for X, _ in replay.held_out():
        assert not any((X[:50, None] == lot[None]).all(-1).any() for lot in learned)
