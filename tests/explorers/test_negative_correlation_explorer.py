"""The negative-correlation explorer: the penalty, the identity, and a picture that says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ensemble_lab.explorers import explore
from ensemble_lab.explorers.training import negative_correlation_replay as replay
from ensemble_lab.training.batched.losses import squared_error
from ensemble_lab.training.batched.members import made
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.networks import perceptron
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named


@pytest.fixture(scope="module")
def shown():
    return explore("negative-correlation", members=2)


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
    make = replay.repeated(lambda: torch.nn.Linear(2, 1), 3)
    networks = made(make, 9, np.random.SeedSequence(0), "cpu", torch.float32)
    weights = [net.weight.tolist() for net in networks]
    assert weights[:3] == weights[3:6] == weights[6:]
    assert weights[0] != weights[1] != weights[2]


def test_without_a_penalty_members_learn_as_if_alone():
    where = replace(replay.wave(), epochs=15)
    shape = len(replay.STRENGTHS), len(replay.SEEDS), 2
    at_once = replay.learned_together(where, shape, 2).outputs(where.grid)[:10]
    alone = train_members(
        make=replay.repeated(lambda: perceptron(1, 1, 2), 10),
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
def test_no_member_is_judged_on_what_it_learned_from(name):
    where = {"a wave": replay.wave, "diabetes": replay.diabetes}[name]()
    for learned, held in zip(where.learned, where.held, strict=True):
        assert not set(learned) & set(held) and len(set(learned)) == len(learned)
    assert where.learned.max() < len(where.X) and where.held.max() < len(where.X)
    assert where.grid.shape == (len(where.across), where.X.shape[1])


def test_together_is_alone_minus_ambiguity(shown):
    found = shown.found(shown.state())
    np.testing.assert_allclose(found.together, found.alone - found.ambiguity, 1e-10, 1e-10)
    assert (found.ambiguity >= 0).all()
    assert found.alone.mean(1)[-1] > 2 * found.alone.mean(1)[0]  # full strength ruins members
    assert (np.diff(found.ambiguity.mean(1)) > -0.01).all()  # and drives them apart


@pytest.mark.parametrize(
    "view", [{"strength": 0.0}, {"strength": 0.8}, {"strength": 1.0, "data": "diabetes"}]
)
def test_the_bars_are_one_minus_another(shown, view):
    picture = shown.picture(**view)
    row = picture.table().loc[view["strength"]]
    traces = named(picture)
    alone, ambiguity, together = (
        (traces[name]["base"][0], traces[name]["y"][0])
        for name in ("members alone", "ambiguity", "together")
    )
    assert alone[0] == together[0] == 0
    assert ambiguity[0] == pytest.approx(together[1], abs=1e-4)
    assert sum(ambiguity) == pytest.approx(alone[1], abs=1e-4)
    assert together[1] == pytest.approx(row["together"], abs=1e-5)
    for number in row[["members alone", "ambiguity", "together"]]:
        assert f"{number:.3f}" in picture.finding
    first = picture.table().loc[0.0, "together"]
    assert traces["together, independent"]["y"] == [pytest.approx(first, abs=1e-5)] * 2


def test_a_bar_beyond_the_axis_is_said_to_be_cut(shown):
    for strength in replay.STRENGTHS:
        picture = shown.picture(strength=strength)
        top = picture.layout["yaxis2"]["range"][1]
        beyond = picture.table().loc[strength, "members alone"] > top
        assert beyond == ("cut off at the top" in picture.text)
        assert beyond == (", cut" in "".join(picture.layout["xaxis2"]["ticktext"]))
        assert picture.table().loc[strength, "together"] < top / 2
    assert beyond  # at full strength


def test_the_mean_is_drawn_over_its_members(shown):
    traces = named(shown.picture(strength=0.5))
    apart = np.array(traces["members"]["y"], float).reshape(2, -1)
    assert np.isnan(apart[:, -1]).all()  # a gap behind each
    np.testing.assert_allclose(apart[:, :-1].mean(0), traces["their mean"]["y"], atol=1e-4)
    assert len(traces["training examples"]["x"]) == 25
    assert len(traces["no noise"]["y"]) == apart.shape[1] - 1
    patients = named(shown.picture(data="diabetes"))
    assert patients["no noise"]["y"] == [] and len(patients["training examples"]["x"]) == 200


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found, at = shown.found(state), replay.STRENGTHS.index(state["strength"])
        gain, together = found.together[0] - found.together[at], found.together.mean(1)
        alone = found.alone.mean(1)
        if isinstance(view, Failing):  # no better than independent, but by chance
            assert gain.mean() < gain.std(ddof=1) / 5**0.5, title
        if title == "too far":
            assert together[at] > together.min() and alone[-1] > 10 * together[0]
            assert "no more than chance" in shown.drawn(state).finding
        elif title == "worse, but better":
            assert together[at] < 0.9 * together[0] and alone[at] > alone[0]
