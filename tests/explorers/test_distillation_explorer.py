"""The distillation explorer: students, shares and softened opinions as they are."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from ensemble_lab.explorers.training import distillation_replay as replay
from ensemble_lab.training import perceptron, train_members
from ensemble_lab.training.distillation.losses import distillation_loss
from ensemble_lab.widgets.explorer import Failing
from tests.support.any_state import named

SMALL = replay.WIDTHS.index(8)
LABELS, ANSWERS = 0, 1


def at(temperature):
    return replay.LESSONS.index(temperature)


def test_learned_and_held_out_images_are_apart_on_every_split(shown):
    X, y = replay.splits()
    found = shown.found(shown.state())
    assert X.shape == (5, 1797, 64) and found.images.shape == (5, 799, 64)
    for seed in replay.SEEDS:
        rows = replay._rows(y[seed], replay.TRANSFERS["no 3"])
        assert rows.max() < replay.LEARNED and not (y[seed][rows] == replay.MISSING).any()
        few = replay._rows(y[seed], replay.TRANSFERS["few labels"])
        assert few[LABELS].max() == 99 and set(few[at(4)]) == set(range(998))
        np.testing.assert_array_equal(found.truth[seed], y[seed][998:])


def test_students_of_a_seed_learn_from_its_own_teacher(monkeypatch):
    """One network of four units: the batch learns what a student alone learns from its rows."""
    monkeypatch.setattr(replay, "WIDTHS", (4,))
    monkeypatch.setattr(replay, "EPOCHS", 1)
    teachers = np.random.default_rng(0).dirichlet(np.ones(10), size=(5, 1, 1797))
    monkeypatch.setattr(replay, "taught", lambda width, labels: teachers)
    caught = {}

    def trained(make, X, y, **how):
        caught.update(X=X, y=y, **how)
        return train_members(make, X, y, **how)

    monkeypatch.setattr(replay, "train_members", trained)
    found = replay.students.__wrapped__("few labels", 1)
    X, y = replay.splits()
    heat, share = caught["loss"].keywords.values()
    for i, rows in enumerate(caught["rows"]):
        seed, lesson = i // len(replay.LESSONS), replay.LESSONS[i % len(replay.LESSONS)]
        np.testing.assert_array_equal(caught["X"][rows], X[seed][rows % 1797])
        label, said = caught["y"][rows].transpose(1, 0, 2)
        known = rows % 1797 < 100
        np.testing.assert_array_equal(label, known[:, None] * np.eye(10)[y[seed][rows % 1797]])
        teacher = teachers[seed, 0][rows % 1797]
        answer = np.eye(10)[teacher.argmax(-1)]
        np.testing.assert_allclose(said, answer if lesson == "answers" else teacher)
        assert share[i] == (1 if lesson == "labels" else replay.ALPHA)
        assert heat[i] == (lesson if lesson in replay.TEMPERATURES else 1)
    alone = train_members(
        partial(perceptron, 64, 10, 4), caught["X"], caught["y"], members=60,
        loss=partial(distillation_loss, temperature=heat, alpha=share), rows=caught["rows"],
        epochs=1, device="cpu", progress=False,
    )  # fmt: skip
    z = torch.tensor(alone.outputs(X[1, 998:])[14])  # of the second seed, at temperature 1
    np.testing.assert_allclose(found.said[1, 0, 2], functional.softmax(z, -1), atol=1e-6)


def test_shares_by_a_loop(shown):
    for transfer in ("few labels", "no 3"):
        found = shown.found(shown.state(transfer=transfer))
        right = found.right(found.said)
        assert right.shape == (5, 3, 12)
        for seed, width, lesson in ((0, 0, 0), (2, SMALL, ANSWERS), (4, 2, 11)):
            counted = found.truth[seed] == 3 if transfer == "no 3" else np.ones(799, bool)
            answers = found.said[seed, width, lesson].argmax(-1)
            share = np.mean((answers == found.truth[seed])[counted])
            assert right[seed, width, lesson] == pytest.approx(share)
    np.testing.assert_allclose(found.said.sum(-1), 1)


def test_softened_as_torch_does_it():
    proba = np.random.default_rng(0).dirichlet(np.ones(10), size=7)
    z = torch.tensor(np.log(proba))
    for tau in replay.TEMPERATURES:
        np.testing.assert_allclose(replay.softened(proba, tau), (z / tau).softmax(-1), atol=1e-9)
    assert replay.weights_of(8) == sum(p.numel() for p in perceptron(64, 10, 8).parameters())


@pytest.mark.parametrize(
    "view", [{}, {"temperature": 20, "digit": 3}, {"transfer": "no 3", "temperature": 1}]
)
def test_the_picture_says_what_the_table_says(shown, view):
    state = shown.state(**view)
    picture, found = shown.drawn(state), shown.found(state)
    table, trace = picture.table(), named(picture)
    small, name = table[f"{replay.weights_of(8):,} weights"], f"temperature {state['temperature']}"
    assert trace["here"]["y"][0] == pytest.approx(small[name], abs=1e-5)
    np.testing.assert_allclose(trace["distilled"]["y"], small[2:], atol=1e-5)
    assert trace["labels alone"]["y"][0] == pytest.approx(small["labels alone"], abs=1e-5)
    assert trace["its answers"]["y"][0] == pytest.approx(small["the teacher's answers"], abs=1e-5)
    assert f"right on {small[name]:.1%} of" in picture.finding
    assert ("never saw" in picture.finding) == (state["transfer"] == "no 3")
    sizes = trace["distilled, by size"]["y"]
    np.testing.assert_allclose(sizes, table.loc[name].iloc[:3], atol=1e-5)
    image = found.least_sure(state["digit"])
    assert found.truth[0, image] == state["digit"]
    assert sum(trace["teacher says"]["y"]) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(trace["image"]["z"][::-1], found.images[0, image].reshape(8, 8),
                               atol=1e-3)  # fmt: skip


def test_presets_show_what_they_promise(shown):
    for title, view in shown.presets.items():
        state = shown.preset(title)
        found = shown.found(state)
        right = found.right(found.said)[:, SMALL]
        student = right[:, at(state["temperature"])]
        if isinstance(view, Failing) and state["transfer"] == "no 3":
            hot = right[:, at(20)]
            assert student.mean() < 0.05 < 0.5 < hot.mean(), title
        elif isinstance(view, Failing):
            gain = student - right[:, LABELS]
            assert gain.mean() < 2 * gain.std(ddof=1) / 5**0.5 + 0.002, title
        else:
            assert student.mean() > right[:, LABELS].mean() + 0.02, title
