"""The explorer of a recorded engine: lines of the package, points of the recording, true words."""

import warnings

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.systems import engine_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views

RATES = list(replay.RATES)


@pytest.mark.parametrize("view", [{}, {"configuration": "EAGLE-3", "stages": "0 to 2"}])
def test_lines_are_what_the_package_says(shown, view):
    state, curves = shown.state(**view), lab.load_curves()
    rows = curves[curves.configuration == replay.CONFIGURATIONS[state["configuration"]]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        fitted_on = rows[rows.stage.isin(replay.FITTED[state["stages"]])]
        engine = lab.fit_engine(fitted_on, state["slots"])
    assert shown.found(state).engine == engine
    wanted, trace = lab.replay_load(engine, RATES), named(shown.drawn(state))
    for what, column in (("served", "served_rate"), ("latency", "latency_mean_s")):
        np.testing.assert_allclose(trace[f"{what}: replayed"]["y"], wanted[column], atol=1e-5)
        points = [
            pair
            for kind in ("fitted on", "recorded", "missed")
            for pair in zip(*(trace[f"{what}: {kind}"][axis] for axis in "xy"), strict=True)
        ]
        recorded = rows[["requested_rate", column]].to_numpy()
        np.testing.assert_allclose(sorted(points), recorded, atol=1e-5)
        assert len(trace[f"{what}: fitted on"]["x"]) == 3


def test_what_misses_is_marked_and_nothing_else(shown):
    for state in views(shown):
        found, trace = shown.found(state), named(shown.drawn(state))
        table = shown.drawn(state).table()
        missed = (table["served, replayed"] / table["served, recorded"] - 1).abs() > 0.05
        marked = set(trace["served: missed"]["x"])
        assert marked == set(table.offered[missed & ~table["fitted on"]].round(6))
        assert table["latency judged"].tolist() == found.judged.tolist()


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        table, here = picture.table(), RATES.index(state["rate"])
        last = table.iloc[-1]
        said, was = last["served, replayed"], last["served, recorded"]
        assert f"should serve {said:.0f} requests/s; it served {was:.0f}" in picture.finding
        assert f"({said / was - 1:+.0%})" in picture.finding
        if "offered it should serve" in picture.finding:
            curve = shown.found(state).curve.iloc[here]
            assert f"should serve {curve.served_rate:.0f}, each" in picture.finding
        point = named(picture)["latency: at this rate"]
        assert point["x"] == [state["rate"]]


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        served, latency = shown.found(shown.preset(title)).wrong
        if isinstance(view, Failing):
            assert served.any() and "slots in use" in shown.drawn(shown.preset(title)).finding
        else:
            assert not served.any() and not latency.any()


def test_eagle_lies_below_plain_at_every_rate(shown):
    eagle, plain = (shown.found(shown.state(configuration=c)).curve for c in ("EAGLE-3", "plain"))
    assert (eagle.latency_mean_s > plain.latency_mean_s).all()
    assert (eagle.served_rate <= plain.served_rate).all()
