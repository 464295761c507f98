"""The explorer of an hour behind the gateway: lines of the simulation, storms, true words."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.systems import serving_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views

RATES = list(replay.RATES)
SEEDS = range(5)


def test_the_hour_is_the_trace_s_and_its_busiest_minutes_have_the_load():
    arrivals, services, hit = replay.drawn()
    trace = lab.load_trace("azure-conversation").iloc[::4]
    assert arrivals.tolist() == trace.arrival_s.tolist()
    base = services.min(axis=1)
    np.testing.assert_allclose(np.sort(base)[::50], np.sort(0.01 * trace.output_tokens)[::50])
    assert 0.03 < (services > 4.99 * base[:, None]).mean() < 0.05 and 0.18 < hit.mean() < 0.22
    fast = arrivals / replay.faster(1.1)
    length = 300 / replay.faster(1.1)  # five minutes of the trace
    starts = np.arange(55) * 60 / replay.faster(1.1)
    work = [services[(fast >= s) & (fast < s + length), 0].sum() / length / 4 for s in starts]
    assert max(work) == pytest.approx(1.1, rel=0.08)  # work is random beside the counts


def test_lines_are_those_of_the_simulation(shown):
    for state in views(shown):
        picture, found = shown.drawn(state), shown.found(state)
        trace, here = named(picture), found.hours[RATES.index(state["rate"])]
        np.testing.assert_allclose(trace["answered"]["y"], here.answered, atol=1e-5)
        np.testing.assert_allclose(trace["all calls"]["y"], np.minimum(here.calls, 4), atol=1e-5)
        longer = np.array(trace["wait longer"]["y"], float)
        for x, y in zip(trace["wait longer"]["x"], longer):
            share = (here.latency > x).mean()
            assert np.isnan(y) if share < 0.005 else y == pytest.approx(share, abs=2e-3)


def test_the_hour_by_hand():
    """Goodput, calls and wasted work again, from a simulation of its own."""
    arrivals, services, _ = replay.drawn()
    found = lab.systems.serve_with_retries(
        arrivals / replay.faster(1.1), services, 4, 20.0, budget=None, rng=0
    )
    hour = replay.serve(replay.UNLIMITED, replay.OFF, replay.NOTHING, 1.1)
    well = ~np.isnan(found.answered)
    assert hour.goodput == well.mean() and hour.after == well[arrivals >= 2400].mean()
    assert hour.per_request == found.calls.mean() and hour.wasted == found.wasted
    sent = hour.calls.sum() * 4 * 120 / replay.faster(1.1)
    assert sent <= found.work.sum() * (1 + 1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_storms_last_without_a_budget_on_every_seed(seed):
    def after(retries, guard=replay.NOTHING):
        return replay.serve(retries, replay.OFF, guard, 1.1, seed).after

    assert after(replay.UNLIMITED) < 0.01 < 0.3 < after(replay.BUDGET)
    assert after(replay.ONCE) > 0.95 and after(replay.BUDGET, replay.STOPS) > 0.99


@pytest.mark.parametrize("seed", SEEDS)
def test_second_calls_pay_at_rest_and_cost_in_the_rush_on_every_seed(seed):
    def hour(hedge, rate):
        return replay.serve(replay.UNLIMITED if rate < 1 else replay.ONCE, hedge,
                            replay.NOTHING, rate, seed)  # fmt: skip

    assert hour(replay.HEDGED, 0.6).quantile(0.99) < 0.8 * hour(replay.OFF, 0.6).quantile(0.99)
    assert hour(replay.HEDGED, 1.0).goodput < hour(replay.OFF, 1.0).goodput - 0.05


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        row = picture.table().loc[state["rate"]]
        assert f"{row.answered:.1%} of the hour's requests" in picture.finding
        assert f"after the rush {row['answered, from minute 40']:.1%}" in picture.finding
        assert f"{row['calls a request']:.2f} calls a request" in picture.finding
        last = row["99th percentile (s)"]
        assert ("99 in 100 within" in picture.finding) == np.isfinite(last)


def test_presets_show_what_they_promise(shown):
    def row(title):
        state = shown.preset(title)
        return shown.drawn(state).table().loc[state["rate"]]

    storm = row("retry storm")
    assert isinstance(shown.presets["retry storm"], Failing)
    assert storm["answered, from minute 40"] < 0.01 and storm["calls a request"] > 2
    assert row("at rest").answered > 0.999 > row("at rest")["answered, one call each"]
    assert 0.3 < row("budget")["answered, from minute 40"]
    assert row("servers stop").answered > 0.95
    assert row("hedge at rest")["99th percentile (s)"] < 15
    rush = row("hedge in a rush")
    assert rush.answered < rush["answered, one call each"] - 0.1
