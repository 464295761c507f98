"""The explorer of two models on two machines: lines of the simulator, formulas, true words."""

import warnings

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.explorers.systems import queues_replay as replay
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named, views

RATES = list(replay.RATES)


def by_hand(waits):
    return waits[~np.isnan(waits)].mean()


@pytest.mark.parametrize("arrivals", [replay.POISSON, replay.OWN, replay.BOTH])
@pytest.mark.parametrize("overhead", [0, 20])
def test_a_pipeline_is_the_simulator_s_tandem(arrivals, overhead):
    """Nobody waits for the second stage, so one queue is enough."""
    times, _ = replay.drawn(arrivals)
    stage = 0.5 + overhead / 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        two = lab.systems.simulate(
            times / 0.9, np.full((len(times), 2), stage), lab.systems.Tandem((1, 1))
        )
    one = replay.serve(replay.PIPELINE, arrivals, overhead, 0.9)
    np.testing.assert_allclose(one.waits, two.waits, atol=1e-6)
    np.testing.assert_allclose(one.waits + one.service, two.latency, atol=1e-6)


@pytest.mark.parametrize("rate", [0.6, 1.2])
def test_poisson_waits_are_those_of_the_formula(rate):
    pooled = replay.serve(replay.PIPELINE, replay.POISSON, 0, rate).waits.mean()
    alone = replay.serve(replay.ALONE, replay.POISSON, 0, rate).waits.mean()
    assert pooled == pytest.approx(lab.systems.md1_wait(rate, 0.5), rel=0.08)
    assert alone == pytest.approx(lab.systems.md1_wait(rate / 2, 1.0), rel=0.08)


@pytest.mark.parametrize("arrivals", replay.ARRIVALS)
def test_arrivals_come_once_a_second_in_order_for_both_models(arrivals):
    times, a = replay.drawn(arrivals)
    assert (np.diff(times) >= 0).all() and len(times) / times[-1] == pytest.approx(1)
    assert 0.3 < a.mean() < 0.6
    if arrivals not in (replay.OWN, replay.BOTH):
        assert a.mean() == pytest.approx(0.5, abs=1e-4)
    gaps = np.diff(times)
    cv = {replay.POISSON: 1.0, replay.COMMON: 3.0}.get(arrivals)
    assert cv is None or gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)


def test_serving_a_first_leaves_the_mean(shown):
    pooled, first = (
        shown.found(shown.state(rule=rule)).served for rule in (replay.PIPELINE, replay.FIRST)
    )
    for one, other in zip(pooled, first, strict=True):
        assert by_hand(other.waits) == pytest.approx(by_hand(one.waits), rel=1e-9)
    assert by_hand(first[11].waits[first[11].a]) < by_hand(first[11].waits[~first[11].a])


def test_who_is_not_refused_is_never_late(shown):
    for arrivals in replay.ARRIVALS:
        found = shown.found(shown.state(rule=replay.ROOM, arrivals=arrivals))
        assert all(one.late == 0 for one in found.served)
        assert np.all(np.diff([one.refused for one in found.served]) > -0.01)


def test_lines_are_means_and_end_with_overload(shown):
    for state in views(shown):
        picture, found = shown.drawn(state), shown.found(state)
        trace = named(picture)
        mean = np.array(trace["mean"]["y"], float)
        for i, one in enumerate(found.served):
            wanted = by_hand(one.waits)
            if (one.load >= 1 and not one.refused) or not 0.01 <= wanted <= 1000:
                assert np.isnan(mean[i])
            else:
                assert mean[i] == pytest.approx(wanted, abs=1e-5)
        here = found.served[RATES.index(state["rate"])]
        bars = trace["busy"]["x"] + trace["lost"]["x"]
        late = np.nan_to_num(here.waits) + here.service > replay.LIMIT + 1e-9
        refused = np.isnan(here.waits)
        wanted = [*here.busy, refused.mean(), (late & ~refused).mean()]
        np.testing.assert_allclose(bars, wanted, atol=1e-5)


def test_words_say_what_the_table_says(shown):
    for state in views(shown):
        picture = shown.drawn(state)
        row = picture.table().loc[state["rate"]]
        if row.load >= 1 and not row.refused:
            assert f"{row.load:.0%} of what the machines can do" in picture.finding
            continue
        assert f"waits {row['mean wait (s)']:.2f} s on average" in picture.finding
        if row.refused:
            assert f"{row.refused:.1%} are refused" in picture.finding
            assert f"so of all {1 - row.refused - row.late:.1%}" in picture.finding
        else:
            assert f"longer than {row['99th percentile (s)']:.2f} s" in picture.finding


def test_presets_show_what_they_promise(shown):
    def ratio(title):
        state = shown.preset(title)
        row = shown.drawn(state).table().loc[state["rate"]]
        return row["mean wait (s)"] / row["mean wait, one each (s)"]

    assert ratio("pooled") == pytest.approx(0.5, abs=0.05)
    assert ratio("own bursts") < 0.5 and ratio("real hours") < 0.5
    assert 0.8 < ratio("common bursts") < 1 < ratio("overhead")
    assert isinstance(shown.presets["nobody late"], Failing)
    state = shown.preset("nobody late")
    row = shown.drawn(state).table().loc[state["rate"]]
    assert row.late == 0 and row.refused > 0.1
    state = shown.preset("the same mean")
    row = shown.drawn(state).table().loc[state["rate"]]
    assert row["mean wait, B (s)"] > 3 * row["mean wait, A (s)"]


def test_tasks_can_be_done(shown):
    done = {
        task.text
        for task in shown.tasks
        for title in shown.presets
        if task.done(shown.preset(title), shown.drawn(shown.preset(title)))
    }
    assert len(done) == len(shown.tasks)
