"""Stacked networks say what each says alone, whatever they are made of."""

import numpy as np
import pytest
import torch
from torch import nn

from ensemble_lab.training.batched.forward import FeaturesFirst, forward_of, recorded, tape_of
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.members import stacked
from ensemble_lab.training.batched.trainer import train_members

MEMBERS, ROWS, PIXELS, CLASSES = 4, 6, 64, 3


class Tied(nn.Module):
    """Two layers with the same weights."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(PIXELS, PIXELS), nn.Linear(PIXELS, PIXELS)
        self.second.weight = self.first.weight
        self.last = nn.Linear(PIXELS, CLASSES)

    def forward(self, x):
        return self.last(self.second(self.first(x).tanh()))


class Recurrent(nn.Module):
    """Reads eight rows of eight pixels."""

    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.GRUCell(8, 5), nn.Linear(5, CLASSES)

    def forward(self, x):
        state = x.new_zeros(len(x), 5)
        for row in x.unflatten(1, (8, 8)).unbind(1):
            state = self.cell(row, state)
        return self.last(state)


class Attentive(nn.Module):
    """Linear layers on (B, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.layer(x.unflatten(1, (8, 8))).mean(1))


def on_images(*layers):
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.GELU(), *layers)


NETWORKS = {
    "perceptron": lambda: nn.Sequential(nn.Linear(PIXELS, 5), nn.Tanh(), nn.Linear(5, CLASSES)),
    "without bias": lambda: nn.Linear(PIXELS, CLASSES, bias=False),
    "convolution": lambda: on_images(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, CLASSES)),
    "norms": lambda: on_images(
        nn.GroupNorm(2, 4), nn.Flatten(), nn.LayerNorm(144), nn.Linear(144, CLASSES)
    ),
    "batch norm": lambda: nn.Sequential(
        nn.Linear(PIXELS, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, CLASSES)
    ),
    "tied": Tied,
    "recurrent": Recurrent,
    "attention": Attentive,
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("rows", [ROWS, ROWS - 1], ids=["as recorded", "another shape"])
def test_outputs_and_gradients_are_those_of_each_alone(make, rows):
    networks = [make().double() for _ in range(MEMBERS)]
    params, buffers = stacked(networks)
    run = recorded(forward_of(networks[0]))
    run(params, buffers, torch.randn(MEMBERS, ROWS, PIXELS, dtype=torch.float64))
    x = torch.randn(MEMBERS, rows, PIXELS, dtype=torch.float64)
    said = run(params, buffers, x)
    (said**2).sum().backward()
    for i, network in enumerate(networks):
        alone = network(x[i])
        assert torch.allclose(said[i], alone, rtol=1e-10, atol=1e-12)
        (alone**2).sum().backward()
        for name, weight in network.named_parameters():
            assert torch.allclose(params[name].grad[i], weight.grad, rtol=1e-8, atol=1e-10), name


def test_a_layer_with_its_features_first_is_a_linear_layer():
    layer = nn.Linear(5, 3)
    swapped = FeaturesFirst(5, 3)
    swapped.load_state_dict(layer.state_dict())
    for shape in [(7, 5), (5,), (2, 7, 5)]:
        x = torch.randn(shape)
        assert torch.allclose(layer(x), swapped(x), atol=1e-6)


def test_the_tape_has_what_computes_and_little_else():
    networks = [NETWORKS["perceptron"]() for _ in range(MEMBERS)]
    x = torch.randn(MEMBERS, ROWS, PIXELS)
    tape = tape_of(forward_of(networks[0]), *stacked(networks), x)
    done = [
        node.target.overloadpacket.__name__ for node in tape.graph.nodes if node.op[:4] == "call"
    ]
    assert [name for name in done if name not in ("permute", "unsqueeze")] == [
        "bmm", "add", "tanh", "bmm", "add",
    ]  # fmt: skip


def trained(make, seed=0, **changed):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, PIXELS)), rng.integers(CLASSES, size=40)
    given = {"members": 3, "loss": cross_entropy, "epochs": 3, "device": "cpu", "progress": False}
    return train_members(make, X, y, seed=seed, **given | changed)


def test_the_network_itself_is_left_as_it_was():
    network = NETWORKS["perceptron"]()
    forward_of(network)
    assert type(network[0]) is nn.Linear


@pytest.mark.parametrize("name", ["tied", "norms"])
def test_a_trained_member_says_alone_what_it_says_among_all(name):
    found, X = trained(NETWORKS[name]), torch.randn(5, PIXELS)
    one = found.module(1)
    assert np.allclose(one(X).detach(), found.outputs(X)[1], atol=1e-5)
    if name == "tied":
        assert one.second.weight is one.first.weight
        assert sorted(found.params) == sorted(name for name, _ in one.named_parameters())


def with_dropout():
    return nn.Sequential(nn.Linear(PIXELS, 50), nn.Dropout(0.5), nn.Linear(50, CLASSES))


def test_dropout_differs_from_member_to_member_and_from_step_to_step():
    one = nn.Sequential(nn.Identity(), nn.Dropout(0.5), nn.Linear(1, 1))
    params, buffers = stacked([one] * MEMBERS)
    run = recorded(forward_of(one.train()))
    x = torch.ones(MEMBERS, ROWS, 50, 1)
    first, second = (run(params, buffers, x) for _ in range(2))
    assert not torch.equal(first, second)
    assert all(not torch.equal(first[0], other) for other in first[1:])


def test_one_seed_gives_one_result_with_dropout_too():
    X = torch.randn(5, PIXELS)
    torch.manual_seed(1)
    before, first = torch.random.get_rng_state(), trained(with_dropout).outputs(X)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert np.array_equal(first, trained(with_dropout).outputs(X))
    assert not np.allclose(first, trained(with_dropout, seed=1).outputs(X))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.last = nn.LSTM(8, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.last(self.read(x.unflatten(1, (8, 8)))[0][:, -1])


def test_a_layer_that_cannot_be_batched_is_named_with_what_to_use():
    with pytest.raises(ValueError, match=r"cannot be trained as one .*lstm.*nn\.GRUCell"):
        trained(Lstm)


def test_other_errors_of_a_network_are_its_own():
    with pytest.raises(RuntimeError, match=r"65\] but got: \[3, 64"):
        trained(lambda: nn.Linear(PIXELS + 1, CLASSES))
