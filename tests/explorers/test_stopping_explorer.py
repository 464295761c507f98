"""The explorer of adaptive stopping: plain loops, the policies, true words."""

from collections import Counter

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.answers.committees.stopping import needed_votes
from ensemble_lab.explorers.answers import stopping_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views


@pytest.mark.parametrize("models", [replay.ALL, replay.TEN])
@pytest.mark.parametrize("threshold", [0.5, 0.95, 1.0])
def test_an_order_is_the_policy(models, threshold):
    """Strongest first, item by item: who is asked, and whether the answer is right."""
    found, at = replay.stopping(models, replay.STRONGEST), replay.THRESHOLDS.index(threshold)
    table = replay.complete()
    order = table.models if models == replay.ALL else table.models[-10:]
    decision = lab.AdaptiveConsistency(order, threshold=threshold).decide(table)
    np.testing.assert_array_equal(found.asked[at][0], decision.called.sum(axis=1))
    np.testing.assert_array_equal(found.right[at][0], decision.correct)


def test_random_orders_are_plain_loops(shown):
    """The first order of 43, by a Counter and the rule in whole numbers."""
    found, at = replay.stopping(replay.ALL, replay.RANDOM), replay.THRESHOLDS.index(0.95)
    table, need = replay.complete(), needed_votes(0.95, 43)
    order = np.random.default_rng(replay.SEED).permutation(43)
    for i in range(0, len(table), 20):
        votes = Counter()
        asked = 0
        for code in table.answer[i, order]:
            asked += 1
            votes.update([code] if code >= 0 else [])
            (answer, a), (_, b) = (votes.most_common(2) + [(None, 0)] * 2)[:2]
            if a >= need[b]:
                break
        assert found.asked[at][0, i] == asked
        assert found.right[at][0, i] == (answer == table.truth[i])


def test_a_plain_vote_is_a_majority_vote():
    found, table = replay.stopping(replay.TEN, replay.STRONGEST), replay.complete()
    for k, right in zip(found.numbers, found.plain, strict=True):
        vote = lab.MajorityVote(table.models[-10:][:k]).decide(table)
        np.testing.assert_array_equal(right[0], np.nan_to_num(vote.correct))


def test_numbers_of_the_series(shown):
    """What the notes of the notebook say: 6 of 43, and the ten weakest."""
    found, at = replay.stopping(replay.ALL, replay.RANDOM), replay.THRESHOLDS.index(0.95)
    assert found.asked[at].mean() == pytest.approx(6.4, abs=0.3)
    assert found.same[at].mean() > 0.998
    assert found.each.mean(axis=0).max() == pytest.approx(0.9666, abs=1e-4)
    weak = replay.stopping(replay.TEN, replay.RANDOM)
    assert weak.each.mean(axis=0).max() == pytest.approx(0.817, abs=1e-3)
    assert weak.right[at].mean() == pytest.approx(0.919, abs=2e-3)


def test_hard_items_turn_the_line_down(shown):
    found = replay.stopping(replay.ALL, replay.RANDOM)
    easy, mixed = ((found.plain @ found.mix(times)).mean(axis=1) for times in (1, 10))
    assert easy[-1] > easy.max() - 0.005
    assert mixed[-1] < mixed.max() - 0.02
    assert abs(found.numbers[int(mixed.argmax())] - found.best_number(10)) <= 4
    for times in replay.TIMES:
        weight = found.mix(times)
        assert weight.sum() == pytest.approx(1)
        np.testing.assert_allclose(weight[found.hard] / weight[~found.hard][0], times)


def test_bars_are_means_of_the_items(shown):
    for state in views(shown):
        found = shown.found(state)
        asked, items = found.by_difficulty(replay.THRESHOLDS.index(state["threshold"]))
        assert items.sum() == len(found.each)
        at = replay.THRESHOLDS.index(state["threshold"])
        assert np.nansum(asked * items) / items.sum() == pytest.approx(found.asked[at].mean())


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture, row = shown.drawn(state), shown.drawn(state).table().loc[state["threshold"]]
        assert picture.finding.startswith(f"{row['models asked']:.1f} of ")
        assert f"{row['right']:.1%} right" in picture.finding
        line = np.array(named(picture)["a fixed number"]["y"])
        assert ("make it worse" in picture.finding) == (line.max() > line[-1] + 0.01)


def test_presets_show_what_they_promise(shown):
    alone, hard = shown.presets["the best one alone"], shown.presets["hard items"]
    assert isinstance(alone, Failing) and isinstance(hard, Failing)
    found = replay.stopping(replay.ALL, replay.STRONGEST)
    at = replay.THRESHOLDS.index(0.95)
    low, high = lab.Decision.interval(
        lab.AdaptiveConsistency(replay.complete().models).decide(replay.complete())
    )
    assert low < found.each.mean(axis=0).max() < high  # one call is as good
    assert found.asked[at].mean() > 4
    assert "make it worse" in shown.drawn(shown.preset("hard items")).finding


def test_the_panel_of_the_rule_is_the_table(shown):
    points = named(shown.drawn(shown.state()))["least votes"]
    assert points["y"][:12] == lab.stopping_table(0.95, 11).tolist()
    nothing = named(shown.drawn(shown.state(threshold=1.0)))["least votes"]
    assert set(nothing["y"]) == {None}
