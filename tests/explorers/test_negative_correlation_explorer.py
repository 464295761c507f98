"""The negative-correlation explorer: the penalty, the identity, and a picture that says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.explorers.training import negative_correlation_replay as replay
from ensemble_lab.explorers.training.negative_correlation import explorer
from ensemble_lab.training.batched.losses import squared_error
from ensemble_lab.training.batched.members import made
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.widgets.still import still
from tests.support.any_state import promises_kept

ROWS, CURVES, TRUTH, MEAN, ALONE, AMBIGUITY, TOGETHER, INDEPENDENT = range(8)
FEW = {"members": (2,), "units": (2,)}  # each setting is trained when first asked for


@pytest.fixture(scope="module")
def shown():
    return explorer(start={"members": 2})


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_state_has_the_same_traces(shown, data):
    controls = {c.name: st.sampled_from(FEW.get(c.name, c.options)) for c in shown.controls}
    state = shown.state(**data.draw(st.fixed_dictionaries(controls)))
    promises_kept(shown, state)


def test_dragging_trains_nothing_again(shown):
    shown.picture()
    before = replay.sweep.cache_info().misses
    for strength in replay.STRENGTHS:
        shown.picture(strength=strength)
    assert len(still(shown)["layout"]["sliders"][0]["steps"]) == len(replay.STRENGTHS)
    assert replay.sweep.cache_info().misses == before


def test_the_gradient_is_liu_and_yaos():
    """Error minus strength times the distance to the mean, as if the mean stood still."""
    m, rows = 3, 4
    count = len(replay.STRENGTHS) * len(replay.SEEDS) * m
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(count, rows, 1, generator=draw, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(count, rows, generator=draw, dtype=torch.float64)
    losses = replay.penalised(outputs, targets, torch.ones_like(targets), m)
    losses.sum().backward()
    f, slope = outputs.detach()[..., 0].numpy(), outputs.grad[..., 0].numpy()
    for i in range(count):
        first = i - i % m  # of its ensemble
        strength = replay.STRENGTHS[i // (len(replay.SEEDS) * m)]
        apart = f[i] - f[first : first + m].mean(0)
        wanted = 2 * (f[i] - targets[i].numpy() - strength * apart) / rows
        np.testing.assert_allclose(slope[i], wanted, atol=1e-12)
    plain = squared_error(outputs, targets, torch.ones_like(targets))
    same = len(replay.SEEDS) * m  # at strength 0, the first
    torch.testing.assert_close(losses[:same], plain[:same])


def test_every_strength_starts_from_the_same_networks():
    make = replay.Repeated(lambda: torch.nn.Linear(2, 1), 3)
    networks = made(make, 9, np.random.SeedSequence(0), "cpu", torch.float32)
    weights = [net.weight.tolist() for net in networks]
    assert weights[:3] == weights[3:6] == weights[6:]
    assert weights[0] != weights[1] != weights[2]


def test_without_a_penalty_members_learn_as_if_alone():
    where = replace(replay.wave(), epochs=15)
    shape = len(replay.STRENGTHS), len(replay.SEEDS), 2
    at_once = replay.learned_together(where, shape, 2).outputs(where.grid)[:10]
    alone = train_members(
        make=replay.Repeated(lambda: replay.network(1, 2), 10),
        X=where.X,
        y=where.y,
        members=10,
        loss=squared_error,
        rows=where.learned.repeat(2, 0),
        epochs=15,
        batch_size=where.learned.shape[1],
        learning_rate=where.learning_rate,
        progress=False,
    )
    np.testing.assert_allclose(at_once, alone.outputs(where.grid), atol=1e-4)


@pytest.mark.parametrize("name", replay.PROBLEMS)
def test_nobody_is_judged_on_what_it_learned_from(name):
    where = {"a wave": replay.wave, "diabetes": replay.diabetes}[name]()
    for learned, held in zip(where.learned, where.held, strict=True):
        assert not set(learned) & set(held) and len(set(learned)) == len(learned)
    assert where.learned.max() < len(where.X) and where.held.max() < len(where.X)
    assert where.grid.shape == (len(where.across), where.X.shape[1])


def test_together_is_alone_minus_ambiguity():
    found = replay.sweep("a wave", 2, 2)
    np.testing.assert_allclose(
        found.together, found.alone - found.ambiguity, rtol=1e-10, atol=1e-10
    )
    assert (found.ambiguity >= 0).all()
    assert found.alone.mean(1)[-1] > 2 * found.alone.mean(1)[0]  # full strength ruins members
    assert (np.diff(found.ambiguity.mean(1)) > -0.01).all()  # and drives them apart


def test_the_bars_are_one_minus_another(shown):
    for view in ({"strength": 0.0}, {"strength": 0.8}, {"strength": 1.0, "data": "diabetes"}):
        picture = shown.picture(**view)
        alone, ambiguity, together = (
            (trace["base"][0], trace["y"][0]) for trace in picture.traces[ALONE : TOGETHER + 1]
        )
        assert alone[0] == together[0] == 0
        assert ambiguity[0] == pytest.approx(together[1], abs=1e-4)
        assert sum(ambiguity) == pytest.approx(alone[1], abs=1e-4)
        row = picture.table().loc[shown.state(**view)["strength"]]
        assert together[1] == pytest.approx(row["together"], abs=1e-5)
        for number in row[["members alone", "ambiguity", "together"]]:
            assert f"{number:.3f}" in picture.finding
        first = picture.table().loc[0.0, "together"]
        assert picture.traces[INDEPENDENT]["y"] == [pytest.approx(first, abs=1e-5)] * 2


def test_the_mean_is_drawn_over_its_members(shown):
    traces = shown.picture(strength=0.5).traces
    apart = np.array(traces[CURVES]["y"], float).reshape(2, -1)
    assert np.isnan(apart[:, -1]).all()  # a gap behind each
    np.testing.assert_allclose(apart[:, :-1].mean(0), traces[MEAN]["y"], atol=1e-4)
    assert len(traces[ROWS]["x"]) == 25 and len(traces[TRUTH]["y"]) == apart.shape[1] - 1
    patients = shown.picture(data="diabetes").traces
    assert patients[TRUTH]["y"] == [] and len(patients[ROWS]["x"]) == 200


def test_presets_show_what_they_promise():
    explore = explorer()
    for title, view in explore.presets.items():
        state = explore.state(**view)
        found = replay.sweep(state["data"], state["members"], state["units"])
        together = found.together.mean(1)
        here = together[replay.STRENGTHS.index(state["strength"])]
        if title.startswith("does not pay"):
            assert here > together[0], title
        elif title.startswith("too far"):
            assert here > together.min() and found.alone.mean(1)[-1] > 10 * together[0]
        elif title.startswith("worse alone"):
            assert here < 0.9 * together[0] and found.alone.mean(1)[8] > found.alone.mean(1)[0]


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"members": 3}, {"colour": 1}])
def test_a_start_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match="no option|no control"):
        explorer(start=wrong)
