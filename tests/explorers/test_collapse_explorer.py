"""The collapse explorer: expectation and chains as they are, and words that say the same."""

import numpy as np
import pytest

from ensemble_lab.explorers.training import collapse_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named


def test_words_fall_as_one_over_their_rank():
    shares = replay.zipf()
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares[0] / shares, np.arange(1, replay.WORDS + 1))


@pytest.mark.parametrize("size", [50, 400])
def test_replaced_texts_follow_the_textbook(size):
    found = replay.collapse(size, "replaced", 100)
    diversity, _ = found.left
    np.testing.assert_allclose(diversity, (1 - 1 / size) ** np.arange(replay.GENERATIONS + 1))
    first = 1 - (1 - replay.zipf()) ** size  # each word is missed by all draws or not
    np.testing.assert_allclose(found.expected.alive[1], first)


def test_by_hand_half_of_the_rare_words_are_gone():
    """One word at a time: a chain of counts with binomial steps, multiplied out."""
    from scipy.stats import binom

    size, left = 50, np.zeros(6)
    counts = np.arange(size + 1)
    step = np.array([binom.pmf(counts, size, i / size) for i in counts])
    for share in replay.zipf()[replay.RARE]:
        chance = binom.pmf(counts, size, share)
        for n in range(1, 6):
            left[n] += (1 - chance[0]) / replay.WORDS * 2
            chance = chance @ step
    found = replay.collapse(size, "replaced", 1)
    np.testing.assert_allclose(found.left[1][1:6], left[1:])
    assert found.half == 1


@pytest.mark.parametrize("rule", replay.RULES)
def test_chains_scatter_around_the_formula(rule):
    found = replay.collapse(200, rule, 100)
    (diversity, rare), (seen, there) = found.left, found.seen
    error = seen.std(0, ddof=1) / 10
    assert (np.abs(seen.mean(0) - diversity) <= 4 * error + 1e-12).all()
    assert np.abs(there - rare).max() < 0.05


@pytest.mark.parametrize("view", [{}, {"rule": "accumulated", "chains": 1}, {"generation": 40}])
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture, n = shown.drawn(state), state["generation"]
    table, trace = picture.table(), named(picture)
    for name, column in (("diversity expected", "diversity left, expected"),
                         ("rare words expected", "rare words left, expected"),
                         ("diversity in chains", "diversity left, chains"),
                         ("rare words in chains", "rare words left, chains")):  # fmt: skip
        np.testing.assert_allclose(trace[name]["y"], table[column], atol=1e-5)
    here = table.loc[n, ["diversity left, expected", "rare words left, expected"]]
    np.testing.assert_allclose(trace["this generation"]["y"], here, atol=1e-5)
    assert f"{here.iloc[1]:.0%} of the rare words" in picture.finding
    assert f"{here.iloc[0]:.1%} of the diversity" in picture.finding
    found = shown.found(state)
    np.testing.assert_allclose(trace["expected"]["y"], found.expected.alive[n], atol=1e-5)
    dots = [*trace["frequent"]["y"], *trace["rare"]["y"]]
    np.testing.assert_allclose(dots, found.chains.alive[n], atol=1e-5)
    if n == 0:
        assert set(dots) == {1.0}


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found, n = shown.found(state), state["generation"]
        diversity, rare = found.left
        if title == "accumulated":  # the claim of collapse fails
            assert isinstance(view, Failing) and rare[n] == rare[1] and diversity[n] > 0.99
        elif title == "one chain":  # and so does what a single chain shows
            assert isinstance(view, Failing)
            assert abs(found.seen[0][0, n] - diversity[n]) > 0.05
        elif title == "10 % real":
            assert abs(rare[n] - rare[-1]) < 0.01 < rare[-1] - 0.5
        else:
            assert rare[n] < 0.5 < 0.8 < diversity[n]


def test_only_a_chain_that_misleads_does_the_task(shown):
    task = shown.tasks[1]
    done = [task.done(state, None) for n in range(0, 41, 5)
            for state in [shown.state(chains=1, size=50, generation=n)]]  # fmt: skip
    assert any(done) and not all(done)
    assert not task.done(shown.state(chains=100, size=50, generation=20), None)
    assert not task.done(shown.state(chains=1, size=800, generation=5), None)


def test_more_words_and_real_ones_keep_more():
    left = [replay.collapse(size, "replaced", 1).left[1][20] for size in replay.SIZES]
    assert (np.diff(left) > 0).all()
    kept = [replay.collapse(400, rule, 1).left[1][-1] for rule in replay.RULES]
    assert kept[0] < kept[1] < kept[2]
