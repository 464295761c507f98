"""The explorer of one model on two machines: times by hand, bars that add up, true words."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.explorers.systems import split_times as times
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views


def by_hand(tokens, cut, bandwidth, trip, ratio, bits):
    """Seconds of one step, layer by layer."""
    whole = 0.0025 * tokens if tokens > 1 else 0.025
    seconds = sum(whole / 30 / (1 if layer < cut else ratio) for layer in range(30))
    if cut == 30:
        return seconds
    a_token = 1152 if bits == 16 else 578  # bytes of a hidden state
    return seconds + trip / 1e3 + 8 * (tokens * a_token + 1152) / (bandwidth * 1e6)


settings = st.fixed_dictionaries({
    "bandwidth": st.sampled_from(times.BANDWIDTHS), "trip": st.sampled_from(times.TRIPS),
    "ratio": st.sampled_from(times.RATIOS), "bits": st.sampled_from(times.BITS),
})  # fmt: skip


@given(settings, st.sampled_from([1, 1000]), st.sampled_from(times.CUTS))
def test_a_step_takes_what_it_takes_by_hand(rest, tokens, cut):
    wanted = by_hand(tokens, cut, **rest)
    assert times.step(tokens, cut, **rest).seconds == pytest.approx(wanted)
    assert times.by_cut(tokens, **rest)[cut] == pytest.approx(wanted)
    answer = by_hand(1000, cut, **rest) + 49 * by_hand(1, cut, **rest)
    assert times.answer_by_cut(**rest)[cut] == pytest.approx(answer)


@given(settings)
def test_the_best_cut_is_at_an_end(rest):
    """Every cut sends as many bytes: a straight line in the cut, and a step at its end."""
    found = times.answer_by_cut(**rest)
    assert found.min() == pytest.approx(min(found[0], found[-1]))
    np.testing.assert_allclose(np.diff(found[:-1], 2), 0, atol=1e-9)


def test_the_prediction_of_the_notebook():
    wide, narrow = (times.step(1, 15, 100, 50, 1, bits) for bits in (16, 8))
    assert 1 - narrow.seconds / wide.seconds == pytest.approx(0.0006, abs=2e-5)
    wide, narrow = (times.step(1000, 15, 100, 50, 1, bits) for bits in (16, 8))
    assert 1e3 * np.array([wide.there, narrow.there]) == pytest.approx([92.16, 46.24])
    assert times.state_bytes(16) == 1152 and times.state_bytes(8) == 578


def test_bars_follow_one_another_and_add_up(shown):
    for state in views(shown):
        trace, unit = named(shown.drawn(state)), {"prompt": 1.0, "tokens": 1e3}
        for what, tokens in (("prompt", 1000), ("tokens", 1)):
            bars = [trace[f"{what}: {kind}"] for kind in ("device", "delay", "bytes", "server")]
            pieces = sorted(
                (base, long) for bar in bars for base, long in zip(bar["base"], bar["x"])
            )
            clock = 0.0
            for base, long in pieces:
                assert base == pytest.approx(clock, abs=1e-3)
                clock = base + long
            steps = len(trace[f"{what}: server"]["x"])
            one = times.step(tokens, **state).seconds
            assert clock == pytest.approx(unit[what] * steps * one, rel=1e-4)


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        table = picture.table()
        here = table.loc[state["cut"]]
        assert f"A token takes {here['later token (ms)']:.1f} ms" in picture.finding
        parts = re.search(
            r": ([\d.]+) computing, (\d+) the round trip, ([\d.]+) the bytes", picture.finding
        )
        assert sum(map(float, parts.groups())) == pytest.approx(here["later token (ms)"], abs=0.1)
        if "The answer takes" in picture.finding:
            assert f"The answer takes {here['answer (s)']:.2f} s" in picture.finding
            best = table["answer (s)"]
            assert (best.min() == here["answer (s)"]) == ("no other cut" in picture.finding)
        star = named(picture)["best cut"]
        assert star["x"] == [table["answer (s)"].argmin()]


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        table = shown.table(**state)
        if state["bits"] == 8:
            saved = (
                1
                - table["later token (ms)"]
                / shown.table(**{**state, "bits": 16})["later token (ms)"]
            )
            assert (saved[state["cut"]] < 0.001) == isinstance(view, Failing)
        elif isinstance(view, Failing):  # the device alone is quicker than any cut
            assert table["answer (s)"].argmin() == 30 != state["cut"]
        else:
            assert table["answer (s)"].argmin() == state["cut"] == 0


def test_every_slider_moves_the_picture_from_the_start(shown):
    start = shown.picture()
    for control in shown.controls:
        for option in control.options:
            if option != control.default:
                moved = shown.picture(**{control.name: option})
                assert moved.traces != start.traces and moved.finding != start.finding


def test_it_takes_no_outcomes_and_names_what_is_no_control():
    with pytest.raises(ValueError, match="takes no outcomes"):
        lab.explore("split", "mine")
    with pytest.raises(ValueError, match="nearest are 5 and 10"):
        lab.explore("split", bandwidth=7)
