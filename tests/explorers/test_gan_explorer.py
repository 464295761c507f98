"""The gan explorer: recorded pairs are those that a reader would train, and words say so."""

import json
import re

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.explorers.training import gan as explorer
from ensemble_lab.explorers.training import gan_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

torch = pytest.importorskip("torch")
from recipes import record_pairs  # noqa: E402

SETTINGS = [(kind, ratio) for kind in replay.KINDS for ratio in replay.RATIOS]


def test_each_setting_has_five_seeds_and_all_states():
    folder = data_folder() / "adversarial"
    assert (folder / replay.FILE).stat().st_size < 1_000_000
    told = json.loads((folder / "about.json").read_text())
    assert told["licence"] == "Apache-2.0" and told["source"] and told["device"]
    for setting in SETTINGS:
        found = replay.recorded(*setting)
        assert found.samples.shape == (5, len(replay.STEPS), replay.SHOWN, 2)
        assert found.field.shape == (5, len(replay.STEPS), replay.CELLS, replay.CELLS)
        assert found.losses.shape == (5, 2, replay.STEPS[-1] // replay.EVERY)
        assert np.isfinite(found.losses).all()
        assert 0 <= found.field.min() and found.field.max() <= 1
        assert set(found.modes.ravel()) <= set(range(9)) and (found.good <= 1).all()


@pytest.mark.parametrize("kind", ["non-saturating", "WGAN-GP, penalty 10"])
def test_recorded_pairs_are_trained_again(kind):
    """The first 50 steps: later, another processor's rounding has made another pair."""
    made = record_pairs.trained(kind, 1.0, steps=50, progress=False)
    found = replay.recorded(kind, 1.0)
    for place, pairs in enumerate((made.states[0], made.states[-1])):
        again = record_pairs.kept(pairs, found.critic)
        samples = again["samples"] / replay.SCALE
        np.testing.assert_allclose(samples, found.samples[:, place], atol=0.02)
        np.testing.assert_allclose(again["field"] / 255, found.field[:, place], atol=0.02)
        assert (np.abs(again["modes"].astype(int) - found.modes[:, place]) <= 1).all()
    first = made.discriminator_losses[: replay.EVERY].mean(0)
    np.testing.assert_allclose(first, found.losses[:, 0, 0], atol=0.02)


def test_what_is_kept_of_a_state_is_right():
    made = record_pairs.trained("minimax", 1.0, steps=50, progress=False)
    pairs = made.last
    kept = record_pairs.kept(pairs, critic=False)
    drawn = pairs.sample(replay.JUDGED, rng=1)
    for s, points in enumerate(drawn):
        modes = lab.modes_covered(points, record_pairs.RING.centres, record_pairs.RING.sd)
        assert kept["modes"][s] == modes.covered
        assert kept["good"][s] == round(modes.good * replay.JUDGED)
    # The cell in row 3 and column 5, from the lower left: its middle, and the probability there.
    wide = 2 * replay.EDGE / replay.CELLS
    middle = [[5.5 * wide - replay.EDGE, 3.5 * wide - replay.EDGE]]
    wanted = 1 / (1 + np.exp(-pairs.score(middle)[:, 0]))
    np.testing.assert_allclose(kept["field"][:, 3, 5] / 255, wanted, atol=1 / 255)


def test_a_critics_field_goes_from_its_lowest_to_its_highest():
    field = record_pairs.field_of(np.array([[-3.0, 0.0, 1.0], [2.0, 2.0, 2.0]]), critic=True)
    assert field.tolist() == [[0, 191, 255], [0, 0, 0]]


def test_losses_of_a_step_are_those_just_before_it():
    found = replay.recorded("minimax", 1.0)
    np.testing.assert_array_equal(found.losses_at(0), found.losses[:, :, 0])
    for step, first, end in ((50, 0, 3), (100, 0, 5), (200, 5, 10), (2000, 95, 100)):
        wanted = found.losses[:, :, first:end].mean(2)
        np.testing.assert_allclose(found.losses_at(step), wanted)


@pytest.mark.parametrize(
    "view",
    [{}, {"step": 0, "seed": 3}, {"step": 2000, "seed": 2},
     {"step": 1000, "kind": "WGAN-GP, penalty 0.1", "ratio": 3.0}],
)  # fmt: skip
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture, found, seed = shown.drawn(state), shown.found(state), state["seed"]
    table, trace = picture.table(), named(picture)
    row = table.loc[state["step"]]
    assert f"{row['covered modes']:.0f} of 8 modes" in picture.finding
    assert f"{row['good samples']:.0%} of samples good" in picture.finding
    for column in ("discriminator's loss", "generator's loss"):
        assert f"{row[column]:.2f}" in picture.finding
    np.testing.assert_allclose(trace["this seed"]["y"], table["covered modes"])
    np.testing.assert_allclose(trace["lowest of five"]["y"], table["modes, lowest of five"])
    assert trace["this state"]["y"] == [row["covered modes"]]
    np.testing.assert_allclose(trace["generator's loss"]["y"], found.losses[seed, 1], atol=1e-5)
    rest = re.search(r"other seeds cover (.*), with losses", picture.finding).group(1)
    counts = [int(n) for n in re.findall(r"\d+", rest)]
    place = replay.STEPS.index(state["step"])
    assert counts == np.delete(found.modes[:, place], seed).tolist()


def test_good_samples_are_near_a_centre_and_the_others_are_not(shown):
    for state in (shown.state(), shown.preset("lucky seed")):
        trace = named(shown.drawn(state))
        for name, good in (("good samples", True), ("other samples", False)):
            points = np.array([trace[name]["x"], trace[name]["y"]], float).T.reshape(-1, 2)
            away = np.linalg.norm(points[:, None] - record_pairs.RING.centres, axis=2).min(1)
            assert ((away <= 0.3) == good).all()


def test_the_level_of_guessing():
    assert replay.recorded("minimax", 1.0).chance == pytest.approx(np.log(4))
    assert replay.recorded("WGAN-GP, penalty 10", 1.0).chance == 0


def test_presets_show_what_they_promise(shown):
    fails = "unlucky seed", "slow discriminator", "strong penalty"
    assert {t for t, s in shown.presets.items() if isinstance(s, Failing)} == {*fails}
    found = {title: shown.preset(title) for title in shown.presets}
    unlucky, lucky = (explorer.judged(found[f"{a} seed"]) for a in ("unlucky", "lucky"))
    assert unlucky[0] <= 2 and lucky[0] == 8 and lucky[1] > 0.5 > unlucky[1]
    # And their losses look alike: this is what the notebook is about.
    pairs = shown.found(found["lucky seed"])
    losses = pairs.losses_at(2000)
    one, other = (losses[found[title]["seed"]] for title in ("lucky seed", "unlucky seed"))
    assert np.abs(one - other).max() < 0.1 < explorer.NEAR
    assert explorer.all_covered(found["fast discriminator"])
    slow = found["slow discriminator"]
    assert (shown.found(slow).modes[:, -1] <= 2).all()
    assert explorer.all_covered(found["WGAN-GP"])
    strong, weak = explorer.judged(found["strong penalty"]), explorer.judged(found["WGAN-GP"])
    assert strong[1] < weak[1]


def test_only_like_losses_with_far_fewer_modes_do_the_task(shown):
    done = shown.tasks[0].done
    assert done(shown.preset("unlucky seed"), None)
    assert not done(shown.preset("lucky seed"), None)
    assert not done(shown.preset("fast discriminator"), None)
