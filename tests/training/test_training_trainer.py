"""Members trained as one batch learn what each would have learned alone."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ensemble_lab.training.batched import trainer
from ensemble_lab.training.batched.losses import cross_entropy, squared_error
from ensemble_lab.training.batched.trainer import train_members

CLASSES, FEATURES = 3, 4


def perceptron(hidden=5, outputs=CLASSES):
    return nn.Sequential(nn.Linear(FEATURES, hidden), nn.Tanh(), nn.Linear(hidden, outputs))


def problem(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, FEATURES))
    return X, (X[:, 0] + 0.3 * rng.normal(size=n) > 0).astype(int) + (X[:, 1] > 0.5)


def alone(make, X, y, loss, member, members, rows, weights, epochs, size, seed, decay):
    """One member trained by a plain loop, with the draws that the trainer gives it."""
    start, orders = np.random.SeedSequence(seed).spawn(2)
    with torch.random.fork_rng():
        torch.manual_seed(int(start.generate_state(members)[member]))
        network = make().double()
    rng = np.random.default_rng(orders.spawn(members)[member])
    step = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=decay, fused=False)
    X, y = torch.tensor(X), torch.tensor(y)
    for _ in range(epochs):
        order = rows[member][rng.permutation(rows.shape[1])]
        for some in np.split(order, range(size, len(order), size)):
            w = torch.tensor(weights[member][some])
            out = network(X[some])
            if loss is cross_entropy:
                each = nn.functional.cross_entropy(out, y[some], reduction="none")
            else:
                each = nn.functional.mse_loss(out[:, 0], y[some].double(), reduction="none")
            step.zero_grad()
            ((each * w).sum() / w.sum()).backward()
            step.step()
    return network


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    members=st.integers(1, 5),
    n=st.integers(2, 20),
    draws=st.integers(1, 20),
    size=st.integers(1, 9),
    seed=st.integers(0, 99),
    classify=st.booleans(),
    decay=st.sampled_from([0.0, 0.1]),
)
def test_each_member_learns_what_it_would_alone(members, n, draws, size, seed, classify, decay):
    X, y = problem(n, seed)
    rng = np.random.default_rng(seed)
    rows, weights = rng.integers(n, size=(members, draws)), rng.uniform(0.1, 2, (members, n))
    loss, make = (cross_entropy, perceptron) if classify else (squared_error, one_output)
    found = train_members(
        make, X, y if classify else y.astype(float), members=members, loss=loss, rows=rows,
        weights=weights, epochs=3, batch_size=size, weight_decay=decay, seed=seed,
        device="cpu", dtype="float64", progress=False,
    )  # fmt: skip
    outputs = found.outputs(X)
    for i in range(members):
        one = alone(make, X, y, loss, i, members, rows, weights, 3, size, seed, decay)
        for name, weight in one.state_dict().items():
            kept = found.params[name][i]
            assert torch.allclose(kept, weight, rtol=1e-7, atol=1e-9), (i, name)
        with torch.no_grad():
            assert np.allclose(outputs[i], one(torch.tensor(X)).numpy(), atol=1e-7)


one_output = partial(perceptron, outputs=1)


def quick(make=perceptron, n=40, **changed):
    X, y = problem(n)
    given = {"members": 3, "loss": cross_entropy, "epochs": 4, "device": "cpu", "progress": False}
    return train_members(make, X, y, **given | changed)


def test_members_learn_and_differ():
    X, y = problem(300)
    found = train_members(
        perceptron, X, y, members=6, loss=cross_entropy, epochs=30, device="cpu", progress=False
    )
    outputs = found.outputs(X)
    assert outputs.shape == (6, 300, CLASSES) and found.losses.shape == (30, 6)
    assert ((outputs.argmax(-1) == y).mean(1) > 0.8).all()
    assert (found.losses[-1] < found.losses[0]).all()
    assert all(not np.allclose(outputs[0], one) for one in outputs[1:])
    one = found.module(2)
    assert np.allclose(one(torch.tensor(X, dtype=torch.float32)).detach(), outputs[2], atol=1e-5)


def test_a_seed_repeats_and_another_does_not():
    a, b, c = (quick(seed=seed).outputs(problem(9)[0]) for seed in (1, 1, 2))
    assert np.array_equal(a, b) and not np.allclose(a, c)


def test_global_randomness_is_left_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    quick()
    assert torch.equal(before, torch.random.get_rng_state())


def test_members_can_be_pickled():
    found = quick()
    again = pickle.loads(pickle.dumps(found))
    X = problem(5)[0]
    assert np.array_equal(found.outputs(X), again.outputs(X)) and len(again) == 3


def test_a_stopped_member_keeps_its_best_weights_and_the_others_go_on():
    """Held-out rows are noise: members do worse there sooner or later, each in its own epoch."""
    X, y = problem(60)
    held = problem(30, seed=8)[0], np.random.default_rng(3).integers(CLASSES, size=30)
    made = partial(
        train_members, perceptron, X, y, members=4, loss=cross_entropy, device="cpu",
        dtype="float64", progress=False, learning_rate=0.03, validation=held,
    )  # fmt: skip

    def judged(found):
        truth = torch.tensor(held[1]).expand(4, -1)
        return cross_entropy(torch.tensor(found.outputs(held[0])), truth, torch.ones(4, 30))

    stopped = made(patience=2, epochs=40)
    epochs = len(stopped.losses)
    assert epochs < 40
    seen = torch.stack([judged(made(epochs=i)) for i in range(1, epochs + 1)])  # (epochs, 4)
    ends = []
    for member in range(4):
        best, waited = 0, 0
        for i in range(1, epochs):
            if waited < 2:
                best, waited = (
                    (i, 0) if seen[i, member] < seen[best, member] else (best, waited + 1)
                )
        ends.append(best)
        assert judged(stopped)[member] == pytest.approx(seen[best, member].item())
    assert len(set(ends)) > 1  # they did not stop together


@pytest.mark.filterwarnings("error")
def test_an_interruption_keeps_what_is_trained(monkeypatch):
    calls = []

    def interrupted(outputs, targets, weights):
        calls.append(1)
        if len(calls) == 6:  # two batches an epoch: in the third
            raise KeyboardInterrupt
        return cross_entropy(outputs, targets, weights)

    found = quick(loss=interrupted, epochs=50)
    assert found.losses.shape == (2, 3) and found.alive.all()
    assert np.isfinite(found.outputs(problem(5)[0])).all()


def exploding():
    network = perceptron()
    if torch.rand(()) < 0.5:  # by the member's own seed
        nn.init.constant_(network[0].weight, torch.nan)
    return network


def test_a_member_whose_loss_is_nan_is_named_and_the_rest_kept():
    with pytest.warns(UserWarning, match=r"the loss of member [\d, ]+ became NaN .* of 8 remain"):
        found = quick(exploding, members=8)
    assert 0 < found.alive.sum() < 8
    assert np.isfinite(found.outputs(problem(5)[0])[found.alive]).all()
    assert np.isnan(found.outputs(problem(5)[0])[~found.alive]).all()
    sound = quick(members=8).outputs(problem(5)[0])
    assert sound.shape == (8, 5, CLASSES) and np.isfinite(sound).all()


def of_any_shape():
    return perceptron(hidden=3 + int(torch.randint(9, ())))


def counting():
    return nn.Sequential(nn.Linear(FEATURES, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"make": of_any_shape, "members": 6}, r"'0.weight' of member \d has shape"),
        ({"make": counting}, "layer '1' .BatchNorm1d. counts over batches"),
        ({"make": nn.Tanh}, "Tanh has no weights to train"),
        ({"members": 0}, "members=0: use 1 or more"),
        (
            {"rows": [[0, 1]]},
            "rows are not numbers for 3 members: give 3 lists of equally many draws",
        ),
        ({"rows": [[40]] * 3}, "rows name 40 to 40; X has rows 0 to 39"),
        ({"weights": np.ones((3, 2))}, "weights are for 2 rows, and X has 40"),
        ({"weights": -np.ones((3, 40))}, "the weight of row 0 for member 0 is -1; use"),
        ({"patience": 2}, "patience=2 needs 1 or more, and validation"),
        ({"n": 0}, "X has 0 rows and y 0"),
    ],
)
def test_bad_input_is_said(changed, said):
    with pytest.raises(ValueError, match=said):
        quick(**changed)


def test_a_row_with_nan_is_named():
    X, y = problem(5)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="row 3 of X holds NaN"):
        train_members(perceptron, X, y, members=2, loss=cross_entropy, progress=False)


def test_weights_count_rows():
    """A weight of 2 is the row twice, one of 0 is none: in one batch nothing else differs."""
    X, y = problem(6)
    weights = np.array([[2, 1, 0, 1, 1, 1.0]])
    rows = [[0, 0, 1, 3, 4, 5]]
    common = {"members": 1, "loss": cross_entropy, "batch_size": 6, "epochs": 5, "device": "cpu"}
    common |= {"dtype": "float64", "progress": False}
    a = train_members(perceptron, X, y, weights=weights, **common)
    b = train_members(perceptron, X, y, rows=rows, **common)
    assert np.allclose(a.outputs(X), b.outputs(X))


def test_dropout_is_off_where_members_are_judged(monkeypatch):
    looked = []
    monkeypatch.setattr(trainer.Best, "look", lambda _, loss: looked.append(loss.clone()))
    monkeypatch.setattr(torch.optim, "AdamW", lambda params, **_: torch.optim.SGD(params, lr=0.0))
    quick(with_dropout, n=20, validation=problem(20), patience=9)
    assert len(looked) == 4 and all(torch.equal(looked[0], one) for one in looked)


def with_dropout():
    return nn.Sequential(nn.Linear(FEATURES, 9), nn.Dropout(0.5), nn.Linear(9, CLASSES))


def test_a_member_whose_very_last_step_blows_up_is_named():
    X, y = problem(12)
    with pytest.warns(UserWarning, match="member 0, 1 became NaN"):
        found = train_members(
            perceptron, X, y, members=2, loss=cross_entropy, epochs=1, batch_size=12,
            learning_rate=1e39, device="cpu", progress=False,
        )  # fmt: skip
    assert not found.alive.any()


@pytest.mark.parametrize("small, seen", [(10**9, 1), (0, 2)])
def test_small_steps_take_one_thread_and_give_the_others_back(monkeypatch, small, seen):
    """However the training ends."""
    threads, before = [], torch.get_num_threads()

    def listening(outputs, targets, weights):
        threads.append(torch.get_num_threads())
        if len(threads) == 3:
            raise RuntimeError("stopped")
        return cross_entropy(outputs, targets, weights)

    monkeypatch.setattr("ensemble_lab.training.batched.threads.SMALL", small)
    X, y = problem(12)
    try:
        torch.set_num_threads(2)
        with pytest.raises(RuntimeError, match="stopped"):
            train_members(
                perceptron, X, y, members=2, loss=listening, batch_size=4, progress=False,
                device="cpu",
            )  # fmt: skip
        assert threads == [seen] * 3 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
