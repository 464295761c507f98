"""The retrieval explorer: recall in closed form by drawing, and the recorded encoders again."""

import json
from itertools import combinations

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.explorers.training import retrieval as explorer
from ensemble_lab.explorers.training import retrieval_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

pytest.importorskip("torch")
from recipes import record_halves


def by_all_draws(scores, what, candidates):
    """Share of draws in which the best is the partner, and in which it is one of `what`."""
    own = right = count = 0
    for i, row in enumerate(scores):
        others = [j for j in range(len(scores)) if j != i]
        for some in combinations(others, candidates - 1):
            best = max((i, *some), key=lambda j: row[j])
            own, right, count = own + (best == i), right + what[i, best], count + 1
    return own / count, right / count


@pytest.mark.parametrize("candidates", [1, 2, 4, 7])
def test_recall_among_random_candidates_by_all_draws(candidates):
    rng = np.random.default_rng(0)
    scores, digit = rng.normal(size=(7, 7)), rng.integers(0, 3, 7)
    alike = digit[:, None] == digit
    better = (scores > scores.diagonal()[:, None]).sum(1)
    own, same = by_all_draws(scores, alike, candidates)
    assert replay.left_of(better, 7, candidates).mean() == pytest.approx(own)
    assert replay.best_is(alike, scores, candidates) == pytest.approx(same)


def test_each_setting_is_recorded():
    count = len(replay.BATCHES) * len(replay.TEMPERATURES) * len(replay.NEGATIVES)
    assert len(replay.table()) == count and replay.table().index.is_unique
    told = json.loads((data_folder() / "dual/halves.json").read_text())
    assert told["licence"] == "CC BY 4.0" and told["device"]


def test_the_recorded_encoders_are_those_that_a_reader_would_train():
    """Other seeds and processors: the mean recall is the same within the spread."""
    (left, right, _), (new, own, _) = replay.halves()
    encoder = lab.DualEncoder(replay.WIDTH, record_halves.HIDDEN, symmetric=True, members=5,
                              epochs=record_halves.EPOCHS, random_state=0)  # fmt: skip
    scores = encoder.fit(left, right).similarity(new, own)
    better = (scores > scores.diagonal(axis1=1, axis2=2)[:, :, None]).sum(-1)
    mine = replay.left_of(better, len(new), 100).mean(1)
    recorded = replay.recorded("all others", encoder.temperature, encoder.batch_size).recall(100)
    assert abs(mine.mean() - recorded.mean()) < 0.04


def test_vectors_and_ranks_are_of_the_same_encoder():
    for negatives in replay.NEGATIVES:
        found = replay.recorded(negatives, 0.2, 16)
        scores = found.first @ found.second.T
        better = (scores > scores.diagonal()[:, None]).sum(1)
        assert abs(better - found.better[0].astype(int)).mean() < 2  # in steps of 1/127
        assert found.recall(len(better))[0] == (found.better[0] == 0).mean()


def test_what_is_found_is_the_best_of_the_candidates():
    found = replay.recorded("all others", 0.05, 64)
    assert len(found.found(5, 360)) == 4
    assert found.found(5, 2).tolist()[2:] == [-1, -1] and 5 in found.found(5, 2)
    scores = found.second @ found.first[5]
    assert found.found(5, 360).tolist() == np.argsort(-scores, kind="stable")[:4].tolist()


@pytest.mark.parametrize("view", [{}, {"candidates": 10, "negatives": "the same digit"}])
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture = shown.drawn(state)
    table, trace = picture.table(), named(picture)
    row = table.loc[state["candidates"]]
    np.testing.assert_allclose(trace["own half found"]["y"], table["its own half"], atol=1e-5)
    np.testing.assert_allclose(trace["digit found"]["y"], table["the same digit"], atol=1e-5)
    assert trace["here"]["y"][0] == pytest.approx(row["its own half"], abs=1e-5)
    assert trace["this batch"]["y"][0] == pytest.approx(row["its own half"], abs=1e-5)
    assert f"its own in {row['its own half']:.0%}" in picture.finding
    assert row["by chance"] == pytest.approx(1 / state["candidates"])


def test_presets_show_what_they_promise(shown):
    usual = explorer.recall(shown.state())
    for title, view in shown.presets.items():
        found = explorer.recall(shown.preset(title))
        assert (found < 0.75 * usual) == isinstance(view, Failing), title


def test_negatives_of_its_own_digit_teach_which_image_it_is():
    """Without them recall is lower, and more of what is found is of the same digit."""
    with_, without = (replay.recorded(name, 0.05, 64) for name in replay.NEGATIVES[:2])
    assert without.recall(100).mean() < with_.recall(100).mean() - 0.02
    assert without.same(100).mean() > with_.same(100).mean() + 0.02


def test_an_image_has_a_card(shown):
    card = shown.card(shown.state(), 12)
    assert len(card) == 4 and card.index.name == f"for a {replay.halves()[1][2][11]}"
    assert (np.diff(card.cosine) <= 0).all()
    with pytest.raises(KeyError, match="no item"):
        shown.card(shown.state(), 361)
