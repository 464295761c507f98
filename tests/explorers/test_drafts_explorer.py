"""The explorer of draft trees: its cuts are trees, its rounds and its words are true."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.catalogue import data_folder
from ensemble_lab.explorers.tokens import drafts_replay as replay
from ensemble_lab.explorers.tokens.drafts import ABOVE, DRAFTS, ROWS, WIDTHS, places_of
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views

MOST = 1_000_000  # bytes

cuts = st.tuples(
    st.sampled_from(["a text to copy", "counting", "a sum", "chat"]), st.sampled_from(DRAFTS),
    st.integers(0, 20), st.sampled_from(WIDTHS), st.sampled_from([1, 2, 5, 8, 16, 32]),
)  # fmt: skip


def test_what_is_recorded_is_small_and_whole():
    assert (data_folder() / "trees/smollm2.json").stat().st_size < MOST
    costs = replay.recorded()["costs"]
    for form in replay.FORMATS:
        times = costs["passes"][form]
        assert len(times["chain"]) == len(costs["sizes"]) + 1 and len(times["tree"]) == len(
            costs["sizes"]
        )
        assert times["chain"][0] < times["chain"][-1] and min(times["tree"]) > 0
    for one in replay.texts().values():
        assert set(one.drafts) == set(DRAFTS)
        assert all(len(places) == len(one.text) for places in one.drafts.values())


@settings(max_examples=60, deadline=None)
@given(cuts)
def test_a_cut_is_a_tree_within_its_bounds(case):
    tree, (*_, width, size) = replay.cut(*case), case
    assert len(tree.tokens) <= size
    assert all(-1 <= parent < i for i, parent in enumerate(tree.parents))
    children = [(p, t) for p, t in zip(tree.parents, tree.tokens)]
    assert len(set(children)) == len(children), "twins"
    counts = np.bincount(np.array(tree.parents, int) + 1, minlength=1)
    assert counts.max() <= width
    for i, parent in enumerate(tree.parents):  # chances fall along a way
        assert parent < 0 or tree.chances[i] <= tree.chances[parent] + 1e-9
    assert sum(replay.reads(tree)) == len(set(tree.parents))


@settings(max_examples=30, deadline=None)
@given(cuts)
def test_a_larger_tree_has_the_smaller_one_in_it_and_accepts_no_less(case):
    text, draft, place, width, size = case
    small, large = (replay.cut(text, draft, place, width, n) for n in (size, size + 3))
    assert large.tokens[: len(small.tokens)] == small.tokens
    follows = replay.texts()[text].text[place:]
    assert len(replay.accepted(small, follows)) <= len(replay.accepted(large, follows))


def test_accepted_tokens_are_those_of_the_text_by_hand():
    tree = replay.Tree([5, 7, 7, 9, 5], [-1, -1, 0, 2, 1], [0.5, 0.4, 0.3, 0.2, 0.1])
    assert replay.accepted(tree, [5, 7, 9, 1]) == [0, 2, 3]
    assert replay.accepted(tree, [7, 5, 5]) == [1, 4]
    assert replay.accepted(tree, [9]) == replay.accepted(tree, []) == []
    assert replay.depths(tree) == [1, 1, 2, 3, 2]
    assert replay.reads(tree) == [1, 2, 1]


def test_gains_are_what_they_are_by_hand():
    text, draft, width, size = "a sum", "lookup", 1, 4
    words, place, took, rounds = replay.texts()[text].text, 0, 0.0, 0
    times = replay.recorded()["costs"]["passes"]["bfloat16"]["chain"]
    while place < len(words):
        chain = replay.texts()[text].drafts[draft][place].tokens[:size]
        wrong = (i for i, token in enumerate(chain) if words[place + i : place + i + 1] != [token])
        right = next(wrong, len(chain))
        took += times[len(chain)]
        place, rounds = place + right + 1, rounds + 1
    found = replay.replayed(text, draft, width, size)
    assert found.tokens == pytest.approx(len(words) / rounds)
    assert found.gains[0] == pytest.approx(len(words) * times[0] / took)


def test_shares_of_choices_add_up(shown):
    for text in replay.texts():
        for draft in DRAFTS:
            found = replay.ranks(text, draft)
            assert found.sum() == pytest.approx(1) and (found >= 0).all()


@settings(max_examples=30, deadline=None)
@given(cuts)
def test_no_two_tokens_lie_on_each_other(case):
    text, _, place, *_ = case
    tree = replay.cut(*case)
    spots = places_of(tree, replay.accepted(tree, replay.texts()[text].text[place:]))
    assert len({tuple(spot) for spot in spots.round(6).tolist()}) == len(spots)
    assert (spots[:, 1] >= ABOVE).all() and (spots[:, 1] < ROWS - 1).all()  # own token, key


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        row = picture.table().loc[state["size"]]
        told = re.findall(r"([\d.]+) (?:×|tokens a round)", picture.finding)
        assert [float(n) for n in told] == pytest.approx(row.round(2).tolist(), abs=0.006)
        drawn = named(picture)
        assert sum(x is None for x in drawn["accepted"]["x"]) <= int(
            re.search(r"(\d+) accepted", picture.finding)[1]
        )


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        gains = shown.table(**state).loc[state["size"]].iloc[1:]
        if isinstance(view, Failing):
            assert (gains < 1).all(), title


def test_every_slider_moves_the_picture_from_the_start(shown):
    start = shown.picture()
    for control in shown.controls:
        for option in control.options:
            if option != control.default:
                moved = shown.picture(**{control.name: option})
                assert moved.traces != start.traces or moved.layout != start.layout
                assert moved.finding != start.finding, (control.name, option)


def test_it_takes_no_outcomes():
    with pytest.raises(ValueError, match="takes no outcomes"):
        lab.explore("drafts", "mine")
    with pytest.raises(ValueError, match="nearest are 8 and 10"):
        lab.explore("drafts", size=9)
