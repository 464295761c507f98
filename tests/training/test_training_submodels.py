"""Many models in one: slices of nested networks, codes that are prefixes, exits."""

import copy
import pickle
import warnings
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

import ensemble_lab as lab
from ensemble_lab.training.batched.forward import forward_of, recorded
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.members import stacked
from ensemble_lab.training.networks import NetworkClassifier, perceptron
from ensemble_lab.training.submodels import slices
from ensemble_lab.training.submodels.codes import prefix_codes, table_of
from ensemble_lab.training.submodels.exits import exit_shares
from ensemble_lab.training.submodels.losses import joint_loss
from ensemble_lab.training.submodels.slices import Nested, at_random, at_units, sliced
from ensemble_lab.training.submodels.stages import Exits
from tests.support.exact_networks import QUICK, ExactClassifier

WIDTHS = (0.125, 0.25, 0.5, 1.0)
TWO, WIDE = partial(perceptron, hidden=(16, 8)), partial(perceptron, hidden=(32, 16))
eighths = st.integers(1, 8).map(lambda k: k / 8)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order] / 16, y[order]


def settings(make, **more):
    return NetworkClassifier(make, **{"epochs": 20, "device": "cpu", "random_state": 0} | more)


@pytest.fixture(scope="module")
def nested(digits):
    X, y = digits
    return lab.NestedNetwork(settings(TWO), random_state=0).fit(X[:800], y[:800])


def same(a, b):
    assert a.params.keys() == b.params.keys()
    return all(torch.equal(a.params[name], b.params[name]) for name in a.params)


# ---- nested widths


def test_the_slice_at_full_width_is_the_network_bit_for_bit(nested, digits):
    X = digits[0][:50]
    assert same(nested.at(1), nested.members_)
    assert np.array_equal(nested.at(1.0).outputs(X), nested.members_.outputs(X))
    proba = nested.members_.outputs(X)[0].astype(float)
    proba = np.exp(proba) / np.exp(proba).sum(-1, keepdims=True)
    np.testing.assert_allclose(nested.predict_proba(X), proba, atol=1e-12)


@given(st.tuples(eighths, eighths), st.tuples(eighths, eighths))
def test_a_slice_of_a_slice_is_a_slice(nested, wide, narrow):
    first = sliced(nested.members_, wide)
    units = [layer.out_features for layer in first.make() if isinstance(layer, nn.Linear)][:-1]
    wanted = [min(n * size, m) for n, size, m in zip(narrow, (16, 8), units, strict=True)]
    again = sliced(first, [w / m for w, m in zip(wanted, units, strict=True)])
    straight = sliced(nested.members_, [w / size for w, size in zip(wanted, (16, 8), strict=True)])
    assert same(again, straight)


@given(st.tuples(eighths, eighths))
def test_a_slice_is_the_first_units_by_hand(nested, width):
    """Mix and match: one width a layer; units that are cut count as 0."""
    x = torch.rand(5, 64, generator=torch.Generator().manual_seed(0))
    network = nested.members_.module(0)
    m, n = (int(w * size) for w, size in zip(width, (16, 8), strict=True))
    h = torch.tanh(network[0](x)) * (torch.arange(16) < m)
    h = torch.tanh(network[2](h)) * (torch.arange(8) < n)
    torch.testing.assert_close(at_units(network, [m, n], x), network[4](h))
    found = torch.tensor(nested.at(width).outputs(x.numpy())[0])
    torch.testing.assert_close(found, network[4](h))
    assert nested.at(width).module(0)[2].weight.shape == (n, m)


@given(st.tuples(eighths, eighths), st.integers(0, 99))
def test_gradients_outside_a_slice_are_exactly_zero(width, seed):
    torch.manual_seed(seed)
    network, x = TWO(6, 3), torch.randn(4, 6)
    m, n = (int(w * size) for w, size in zip(width, (16, 8), strict=True))
    at_units(network, [m, n], x).square().sum().backward()
    outside = [network[0].weight.grad[m:], network[0].bias.grad[m:], network[2].weight.grad[n:],
               network[2].weight.grad[:, m:], network[4].weight.grad[:, n:]]  # fmt: skip
    assert all((grad == 0).all() for grad in outside)
    assert (network[0].weight.grad[:m] != 0).all() and (network[2].bias.grad[:n] != 0).all()


def test_a_random_width_is_a_slice_from_the_smallest_to_the_whole(monkeypatch):
    network, x = TWO(6, 3), torch.randn(4, 6)
    for share, units in ((0.0, [4, 2]), (0.5, [10, 5]), (0.9999, [16, 8])):
        monkeypatch.setattr(torch, "rand", lambda *_, share=share, **__: torch.tensor(share))
        network.zero_grad()
        found = at_random(network, [4, 2], x)
        torch.testing.assert_close(found, at_units(network, units, x))
        found.square().sum().backward()
        assert (network[2].weight.grad[units[1] :] == 0).all()
        assert (network[2].weight.grad[:, units[0] :] == 0).all()


def test_random_widths_are_drawn_at_every_step_of_the_recorded_training():
    nested = Nested(partial(TWO, 6, 3), [0.25, 1.0], 2).train()
    run, x = recorded(forward_of(nested)), torch.ones(2, 4, 6)
    params, buffers = stacked([nested, nested])
    one, two = (run(params, buffers, x).unflatten(-1, (4, 3)) for _ in range(2))
    assert torch.equal(one[:, :, :2], two[:, :, :2])  # the smallest and the whole
    assert not torch.equal(one[:, :, 2:], two[:, :, 2:])
    assert not torch.equal(one[0], one[1])  # each member has its own


def test_the_sandwich_trains_widths_that_nobody_named(digits):
    X, y = digits
    model = lab.NestedNetwork(settings(WIDE), rule="sandwich", random_state=0).fit(X[:800], y[:800])
    for width in (1, 0.25, (0.4375, 0.375)):  # measured: 0.97, 0.84, 0.93
        assert (model.predict(X[800:], width) == y[800:]).mean() > 0.78
    again = clone(model).fit(X[:800], y[:800])
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_training_sums_the_losses_of_all_widths():
    torch.manual_seed(0)
    network, x = Nested(partial(TWO, 6, 3), WIDTHS, 0), torch.randn(4, 6)
    y, w = torch.tensor([[0, 1, 2, 0]]), torch.ones(1, 4)
    outputs = network.train()(x)
    expected = [
        cross_entropy(at_units(network.network, [int(16 * w_), int(8 * w_)], x)[None], y, w)
        for w_ in WIDTHS
    ]
    found = joint_loss(outputs[None], y, w, shares=[0.25] * 4)
    torch.testing.assert_close(found, sum(expected) / 4)
    assert torch.equal(network.eval()(x), network.network(x))


def test_a_nested_network_keeps_its_answers_when_it_is_cut_and_an_ordinary_one_does_not(digits):
    (X, y), held = digits, slice(800, None)
    nested = lab.NestedNetwork(settings(WIDE), random_state=0).fit(X[:800], y[:800])
    ordinary = settings(WIDE).fit(X[:800], y[:800])

    def accuracy(model, width):
        return (sliced(model.members_, width).outputs(X[held])[0].argmax(-1) == y[held]).mean()

    kept = [accuracy(nested, width) for width in (0.25, 0.5, 1)]  # measured: 0.87, 0.94, 0.96
    cut = [accuracy(ordinary, width) for width in (0.25, 0.5, 1)]  # measured: 0.30, 0.77, 0.97
    assert kept[0] > 0.8 and kept[1] > 0.9 and min(kept[2], cut[2]) > 0.92
    assert cut[0] < kept[0] - 0.3 and cut[1] < kept[1] - 0.1


def test_a_planted_fault_in_the_slice_is_seen(nested, digits, monkeypatch):
    """Were the last units kept, not the first, the checks above would fail."""
    X, y = digits[0][800:], digits[1][800:]
    wrong = {name: value.flip(1) if name == "0.weight" else value
             for name, value in nested.members_.params.items()}  # fmt: skip
    broken = sliced(replace(nested.members_, params=wrong), 0.5).outputs(X)[0]
    assert (broken.argmax(-1) == y).mean() < nested.score(X, y) - 0.3
    monkeypatch.setattr(slices, "at_units", lambda network, units, x: network(x))
    outputs = Nested(partial(TWO, 6, 3), WIDTHS, 0)(torch.ones(2, 6)).chunk(4, -1)
    assert torch.equal(outputs[0], outputs[3])  # what a training that cuts nothing looks like
    monkeypatch.undo()
    outputs = Nested(partial(TWO, 6, 3), WIDTHS, 0)(torch.ones(2, 6)).chunk(4, -1)
    assert not torch.equal(outputs[0], outputs[3])


def test_one_row_is_answered_as_among_others(nested, digits):
    """A batch of one: no statistics over a batch are used."""
    X = digits[0][:5]
    for width in (0.25, (0.125, 1.0)):
        alone = np.concatenate([nested.predict_proba(X[[i]], width) for i in range(5)])
        np.testing.assert_allclose(alone, nested.predict_proba(X, width), atol=1e-6)


def test_labels_networks_without_bias_dropout_and_pickles(digits):
    X, y = digits[0][:200], digits[1][:200]
    names = np.array([f"digit {c}" for c in range(10)])
    model = lab.NestedNetwork(settings(bare), random_state=0).fit(X, names[y])
    assert model.score(X, names[y]) > 0.8
    assert model.predict(X, 0.5)[0].startswith("digit")
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X, 0.5), model.predict_proba(X, 0.5))
    assert np.array_equal(
        model.predict_proba(X, np.float32(0.5)), model.predict_proba(X, np.array([0.5]))
    )


def bare(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 16, bias=False), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, outputs)
    )


@pytest.mark.slow
def test_scikit_learns_own_checks_of_nested_networks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(
            lab.NestedNetwork(
                ExactClassifier(partial(perceptron, hidden=8), **QUICK), widths=(0.5, 1)
            )
        )


@pytest.mark.parametrize(
    ("width", "words"),
    [
        *((bad, "width=") for bad in (0, -0.5, 1.5, np.nan, "half", None, True)),
        (0.3, "width=0.3 of 16 hidden units is 4.8 units"),
        ((0.5, 0.1), "width=0.1 of 8 hidden units is 0.8 units"),
        ((0.5,), "1 shares for 2 hidden layers"),
        ((1, 1, 1), "3 shares for 2 hidden layers"),
    ],
)
def test_a_width_that_the_network_cannot_have_is_named(nested, digits, width, words):
    with pytest.raises(ValueError, match=words):
        nested.predict_proba(digits[0][:3], width)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        *(({"widths": bad}, "widths=") for bad in (
            0.5, [], [1], [0.25, 0.5], [0, 1], [0.5, 1.2], [True, 0.5], "ab", None, [np.nan, 1]
        )),
        ({"widths": [0.3, 1]}, "width=0.3 of 32 hidden units is 9.6 units"),
        ({"rule": "some"}, "rule='some': use one of all, sandwich"),
        ({"estimator": DecisionTreeClassifier()}, "estimator is a DecisionTreeClassifier"),
        ({"estimator": lab.NetworkClassifier}, "class NetworkClassifier"),
        ({"estimator": settings(nn.Linear)}, "the network is a Linear: give an nn.Sequential"),
        ({"estimator": settings(lambda d, k: nn.Sequential(nn.Linear(d, k)))}, "hidden layer"),
        ({"estimator": settings(lambda d, k: nn.Sequential(
            nn.Linear(d, 8), nn.LayerNorm(8), nn.Linear(8, k)))}, "layer 1 is a LayerNorm"),
        ({"estimator": settings(lambda d, k: nn.Sequential(
            nn.Linear(d, 8), nn.BatchNorm1d(8), nn.Linear(8, k)))}, "layer 1 is a BatchNorm1d"),
    ],
)  # fmt: skip
def test_settings_that_nest_nothing_are_named(digits, changed, words):
    with pytest.raises(ValueError, match=words) as raised:
        lab.NestedNetwork(NetworkClassifier()).set_params(**changed).fit(*digits)
    assert len(str(raised.value)) <= 300


def test_a_perceptron_has_as_many_hidden_layers_as_sizes():
    torch.manual_seed(0)
    one = perceptron(3, 2, hidden=5)
    torch.manual_seed(0)
    same_one = perceptron(3, 2, hidden=(5,))
    assert all(map(torch.equal, one.parameters(), same_one.parameters()))
    sizes = [p.shape for p in perceptron(3, 2, hidden=(5, 4)).parameters() if p.dim() == 2]
    assert sizes == [(5, 3), (4, 5), (2, 4)]


# ---- any precision


def errors(rows, found):
    return ((rows - found) ** 2).sum(1)


def decoded(rows, codes, bits, most=8):
    short = codes >> (most - bits)
    return np.take_along_axis(table_of(rows, short, bits), short.astype(int), axis=1)


numbers = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32)),
    min_size=1,
    max_size=40,
)


@given(numbers, st.integers(1, 8))
def test_codes_keep_the_order_and_more_bits_never_err_more(values, most):
    rows = np.array([values, values[::-1]])
    codes = prefix_codes(rows, most)
    assert codes.max(initial=0) < 2**most
    assert np.array_equal(codes[0], codes[1][::-1])  # a row does not depend on order or neighbours
    lower = rows[0][:, None] < rows[0]
    assert (codes[0][:, None] <= codes[0])[lower].all()
    assert (codes[0][:, None] == codes[0])[rows[0][:, None] == rows[0]].all()
    found = [errors(rows, decoded(rows, codes, bits, most)) for bits in range(1, most + 1)]
    scale = 1e-12 * (1 + (rows**2).sum())
    assert all((b <= a + scale).all() for a, b in pairwise(found))
    distinct = len(set(values))
    if distinct <= 2**most:
        assert np.array_equal(decoded(rows, codes, most, most), rows)
        assert len(set(codes[0].tolist())) == distinct
    # One bit is the best split of all numbers in two, by trying all.
    line = np.sort(rows[0])
    fits = [i for i in range(1, len(line)) if line[i] > line[i - 1]]
    if most == 8 and fits:
        best = min(line[:i].var() * i + line[i:].var() * (len(line) - i) for i in fits)
        assert found[0][0] == pytest.approx(best, rel=1e-6, abs=1e-6 * (1 + best))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_fewer_bits_are_a_prefix(few, many, seed):
    few, many = sorted((few, many))
    torch.manual_seed(seed)
    stored = lab.AnyPrecision(nn.Linear(30, 3))
    assert np.array_equal(stored.codes("weight", many) >> (many - few), stored.codes("weight", few))
    assert stored.codes("weight").max() < 256 and stored.table("weight", few).shape == (3, 2**few)
    # A parent's table entry is the mean of its children's, by how many weights they have.
    codes, size = stored.codes("weight", many), 2**many
    for row in range(3):
        count = np.bincount(codes[row], minlength=size)
        total = (count * stored.table("weight", many)[row]).reshape(2**few, -1).sum(1)
        parent = np.bincount(stored.codes("weight", few)[row], minlength=2**few)
        np.testing.assert_allclose(total, parent * stored.table("weight", few)[row], atol=1e-12)


def accuracy_of(network, X, y):
    with torch.no_grad():
        return (network(torch.tensor(X, dtype=torch.float32)).argmax(-1).numpy() == y).mean()


def without_own_tables(stored, network, bits):
    """The weights where the codes are cut and looked up in the table of 8 bits."""
    cut = copy.deepcopy(network)
    with torch.no_grad():
        for name, value in cut.named_parameters():
            if name in stored.names():
                codes = stored.codes(name, bits).astype(int) << (8 - bits)
                rows = np.take_along_axis(stored.table(name, 8), codes, axis=1)
                value.copy_(torch.tensor(rows).reshape(value.shape))
    return cut


def test_error_falls_with_bits_and_codes_need_their_own_table(digits):
    X, y = digits
    network = settings(perceptron).fit(X[:800], y[:800]).members_.module(0)
    before = [p.clone() for p in network.parameters()]
    stored = lab.AnyPrecision(network)
    full = accuracy_of(network, X[800:], y[800:])

    def error(other):
        return sum(((a - b) ** 2).sum().item() for a, b in
                   zip(network.parameters(), other.parameters(), strict=True))  # fmt: skip

    own = [error(stored.at(bits)) for bits in range(1, 9)]
    cut = [error(without_own_tables(stored, network, bits)) for bits in range(1, 8)]
    assert own == sorted(own, reverse=True) and own[-1] == 0  # 64 weights a row: 256 codes suffice
    assert all(b > 2 * a for a, b in zip(own, cut[:6], strict=False))
    at_three = accuracy_of(stored.at(3), X[800:], y[800:])
    assert at_three > full - 0.02
    assert accuracy_of(without_own_tables(stored, network, 3), X[800:], y[800:]) < at_three
    assert accuracy_of(stored.at(8), X[800:], y[800:]) == full
    assert all(map(torch.equal, before, network.parameters()))  # the network is left alone


def test_normal_weights_err_little_more_than_the_best_tables():
    """Lloyd and Max's least squared errors for a normal distribution, from 1 to 4 bits."""
    rows = np.random.default_rng(0).normal(size=(4, 20_000))
    codes = prefix_codes(rows)
    found = [errors(rows, decoded(rows, codes, bits)).mean() / 20_000 for bits in (1, 2, 3, 4)]
    for error, least in zip(found, (0.3634, 0.1175, 0.03454, 0.009497), strict=True):
        assert 0.97 * least < error < 1.2 * least


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_few_values_come_back_exactly_and_biases_are_kept(dtype):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(7, 4), nn.Conv1d(4, 3, 2), nn.Linear(2, 5)).to(dtype)
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() > 1:
                value.copy_(torch.randint(-2, 2, value.shape) / 10)
    stored = lab.AnyPrecision(network, bits=2)
    assert stored.names() == ["0.weight", "1.weight", "2.weight"]
    assert all(map(torch.equal, stored.at(2).parameters(), network.parameters()))
    one = stored.at(1)
    assert one[2].weight.dtype == dtype and torch.equal(one[2].bias, network[2].bias)


def test_a_mean_of_equal_numbers_is_that_number():
    rows = np.array([[0.1, 0.1, 0.1, 0.7, 0.7, 0.7]])
    assert sum([0.1] * 3) / 3 != 0.1
    assert np.array_equal(decoded(rows, prefix_codes(rows), 1), rows)


def test_weights_that_are_shared_stay_shared():
    network = nn.ModuleDict({"in": nn.Embedding(9, 4), "out": nn.Linear(4, 9, bias=False)})
    network["out"].weight = network["in"].weight
    found = lab.AnyPrecision(network).at(1)
    assert found["out"].weight is found["in"].weight
    assert not torch.equal(found["in"].weight, network["in"].weight)


def test_equal_weights_a_single_one_and_none():
    network = nn.Linear(6, 2)
    nn.init.constant_(network.weight, 0.1)
    assert torch.equal(lab.AnyPrecision(network).at(1).weight, network.weight)
    one = nn.Linear(1, 3)
    assert torch.equal(lab.AnyPrecision(one, bits=1).at(1).weight, one.weight)
    with pytest.raises(ValueError, match="ReLU has no weights of two dimensions"):
        lab.AnyPrecision(nn.ReLU())


@pytest.mark.parametrize("bits", [0, 9, -1, 2.5, True, "3"])
def test_bits_outside_one_to_eight_are_named(bits):
    stored = lab.AnyPrecision(nn.Linear(3, 2), bits=4)
    with pytest.raises(ValueError, match="whole number from 1 to 8"):
        lab.AnyPrecision(nn.Linear(3, 2), bits=bits)
    with pytest.raises(ValueError, match="bits=.*: use a whole number from 1 to 4"):
        stored.at(bits)


def test_a_planted_fault_in_the_codes_is_seen(monkeypatch):
    """Clusters cut in the middle, as by equal shares, err more than the best cut."""
    rows = np.random.default_rng(0).standard_cauchy((4, 60))
    best = errors(rows, decoded(rows, prefix_codes(rows), 2))
    ranks = rows.argsort(1).argsort(1)
    equal = (ranks * 4 // 60).astype(np.uint8)
    worse = np.take_along_axis(table_of(rows, equal, 2), equal.astype(int), axis=1)
    assert (errors(rows, worse) > 1.5 * best).all()


# ---- early exits

THREE = partial(perceptron, hidden=(16, 16, 16))


@pytest.fixture(scope="module")
def exits(digits):
    X, y = digits
    return lab.EarlyExit(settings(THREE), random_state=0).fit(X[:800], y[:800])


def taken(confidences, thresholds):
    """The exit of each row, from 1, row by row."""
    found = []
    for row in confidences:
        above = [c > t for c, t in zip(row, thresholds, strict=True)]
        found.append(above.index(True) + 1 if any(above) else len(row))
    return np.array(found)


@given(st.integers(1, 60), st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_realised_shares_are_those_asked_to_the_nearest_row(n, parts, seed):
    parts = np.array(parts) if any(parts) else np.ones(len(parts))
    shares, rng = parts / parts.sum(), np.random.default_rng(seed)
    sure = rng.random((n, len(parts)))
    thresholds = lab.exit_thresholds(sure, shares)
    counts = np.bincount(taken(sure, thresholds), minlength=len(parts) + 1)[1:]
    assert counts.sum() == n and (np.abs(counts - shares * n) < 1 + 1e-6).all()
    whole = np.abs(shares * n - np.round(shares * n)) < 1e-9
    if whole.all():
        assert np.array_equal(counts, np.round(shares * n))
    assert (thresholds[:-1][shares[:-1] == 0] == np.inf).all() and thresholds[-1] == -np.inf


def test_an_exit_that_is_never_taken_and_one_that_takes_all():
    sure = np.random.default_rng(0).random((10, 3))
    assert lab.exit_thresholds(sure, [0, 0, 1]).tolist() == [np.inf, np.inf, -np.inf]
    assert lab.exit_thresholds(sure, [0, 1, 0]).tolist() == [np.inf, -np.inf, -np.inf]
    first = lab.exit_thresholds(sure, [1, 0, 0])
    assert set(taken(sure, first)) == {1}


@given(st.lists(st.sampled_from([0.2, 0.5, 0.9, 1.0]), min_size=2, max_size=30), st.integers(0, 10))
def test_equal_confidences_leave_together_and_it_is_said(values, tenth):
    sure = np.array([values, values]).T
    wanted = int(np.floor(tenth / 10 * len(values) + 0.5 + 1e-9))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        thresholds = lab.exit_thresholds(sure, [tenth / 10, 1 - tenth / 10])
    left = (taken(sure, thresholds) == 1).sum()
    possible = [sum(v >= cut for v in values) for cut in {*values, 2.0}]
    assert abs(left - wanted) == min(abs(one - wanted) for one in possible)
    assert bool(said) == (left != wanted)
    if said:
        assert "leave together" in str(said[0].message)


def test_every_exit_and_every_width_gives_an_answer_of_its_own(exits, nested, digits):
    """A setting that changes nothing is the fault that users of such networks report most."""
    X = digits[0][:20]
    stages = list(exits.staged_predict_proba(X))
    widths = [nested.predict_proba(X, width) for width in (0.25, 0.5, (0.5, 1), (1, 0.5), 1)]
    for several in (stages, widths):
        assert all(np.abs(a - b).max() > 1e-3 for a, b in combinations(several, 2))
    assert all(np.array_equal(exits.predict_proba(X, e + 1), stages[e]) for e in range(3))


def test_rows_leave_with_the_answer_of_their_exit_and_go_no_further(exits, digits):
    X = digits[0][800:1200]
    sure, stages = exits.confidences(X), list(exits.staged_predict_proba(X))
    thresholds = lab.exit_thresholds(sure, [0.5, 0.3, 0.2])
    proba, left = exits.leave(X, thresholds)
    assert np.array_equal(left, taken(sure, thresholds))
    assert np.bincount(left).tolist() == [0, 200, 120, 80]
    expected = np.stack(stages)[left - 1, np.arange(len(X))]
    np.testing.assert_allclose(proba, expected, atol=1e-5)
    network, seen = exits.members_.module(0), []
    for block in network.blocks:
        block.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    rows = torch.tensor(X, dtype=torch.float32)
    assert len(list(network.leave(rows, thresholds))) == 3 and seen == [400, 200, 80]
    seen.clear()
    assert len(list(network.leave(rows, [-np.inf] * 3))) == 1 and seen == [400]


def test_a_threshold_of_one_is_the_whole_network_and_of_zero_the_first_exit(exits, digits):
    X = digits[0][800:900]
    proba, left = exits.leave(X, 1)
    assert set(left) == {3}
    np.testing.assert_allclose(proba, exits.predict_proba(X), atol=1e-5)
    proba, left = exits.leave(X, 0)
    assert set(left) == {1}
    np.testing.assert_allclose(proba, exits.predict_proba(X, 1), atol=1e-5)
    one, left = exits.leave(X[:1], [0.5, 0.5, 0.5])  # a batch of one
    assert one.shape == (1, 10) and left[0] == exits.leave(X, [0.5, 0.5, 0.5])[1][0]


def test_a_probability_of_exactly_one_does_not_leave_at_a_threshold_of_one():
    network = Exits(partial(THREE, 4, 2)).eval()
    network.heads[0].bias.data[0] = 1e4
    x = torch.ones(3, 4)
    with torch.no_grad():
        rows = [len(gone) for gone, _ in network.leave(x, [1.0, 1.0, -np.inf])]
        assert rows == [0, 0, 3]
        assert [len(gone) for gone, _ in network.leave(x, [0.999, 1.0, -np.inf])] == [3]


@given(st.integers(2, 12), st.floats(0, 3))
def test_shares_of_the_exits_in_the_loss(count, scale):
    shares = exit_shares(count, scale)
    parts = [scale * sum(range(1, e + 1)) for e in range(1, count)]
    parts.append(count + scale * sum(range(1, count)))
    np.testing.assert_allclose(shares, np.array(parts) / sum(parts))


def test_trained_exits_answer_and_untrained_ones_guess(exits, digits):
    X, y = digits
    held, right = X[800:], y[800:]
    assert all((exits.predict(held, e) == right).mean() > 0.85 for e in (1, 2, 3))
    plain = lab.EarlyExit(settings(THREE), scale=0, random_state=0).fit(X[:800], y[:800])
    assert (plain.predict(held) == right).mean() > 0.85
    assert all((plain.predict(held, e) == right).mean() < 0.35 for e in (1, 2))


def test_overthinking_by_hand(exits, digits):
    X, y = digits[0][800:], digits[1][800:]
    said = np.stack([exits.predict(X, e) == y for e in (1, 2, 3)])
    expected = np.mean([(a or b) and not c for a, b, c in said.T])
    assert exits.overthinking(X, y) == pytest.approx(expected) and expected < 0.15
    wrong = (exits.predict(X) + 1) % 10  # the end is never right
    assert exits.overthinking(X, wrong) == np.mean(
        (exits.predict(X, 1) == wrong) | (exits.predict(X, 2) == wrong)
    )
    with pytest.raises(ValueError, match="give a label a row"):
        exits.overthinking(X, y[:-1])


@pytest.mark.slow
def test_scikit_learns_own_checks_of_early_exits():
    two = partial(perceptron, hidden=(16, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(lab.EarlyExit(ExactClassifier(two, **QUICK)))


def test_exits_are_pickled_and_repeated(exits, digits):
    X, y = digits
    again = pickle.loads(pickle.dumps(exits))
    assert np.array_equal(again.leave(X, 0.9)[1], exits.leave(X, 0.9)[1])
    torch.manual_seed(3)
    state = torch.get_rng_state()
    other = clone(exits).fit(X[:800], y[:800])
    assert np.array_equal(other.predict_proba(X, 1), exits.predict_proba(X, 1))
    assert torch.equal(torch.get_rng_state(), state)  # the caller's random numbers go on


@pytest.mark.parametrize("exit", [0, 4, -1, 1.5, True, "end", [1]])
def test_an_exit_past_the_last_layer_is_named(exits, digits, exit):
    with pytest.raises(ValueError, match="exit=.*: there are exits 1 to 3"):
        exits.predict(digits[0][:3], exit)


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        *((bad, "thresholds=") for bad in (None, "0.9", np.nan, True, [0.5, None, 0.5])),
        ([0.9, 0.9], "2 thresholds for 3 exits"),
        ([0.9] * 4, "4 thresholds for 3 exits"),
    ],
)
def test_thresholds_that_do_not_fit_are_named(exits, digits, thresholds, words):
    with pytest.raises(ValueError, match=words):
        exits.leave(digits[0][:3], thresholds)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        *(({"scale": bad}, "scale=") for bad in (-1, np.nan, np.inf, "1", None, True)),
        ({"estimator": settings(perceptron)}, "one hidden layer, and so no exit before its end"),
        ({"estimator": DecisionTreeClassifier()}, "estimator is a DecisionTreeClassifier"),
        ({"estimator": settings(nn.Linear)}, "the network is a Linear"),
    ],
)
def test_settings_without_exits_are_named(digits, changed, words):
    with pytest.raises(ValueError, match=words):
        lab.EarlyExit().set_params(**changed).fit(digits[0][:50], digits[1][:50])


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ([0.5, 0.6], "add up to 1.1"),
        ([0.2, 0.2], "add up to 0.4"),
        ([1.5, -0.5], "add up to 1: use shares from 0 up"),
        ([1.0], "1 shares for 2 exits"),
        ([np.nan, 1], "shares of shape"),
    ],
)
def test_shares_that_do_not_add_up_are_named(shares, words):
    with pytest.raises(ValueError, match=words):
        lab.exit_thresholds([[0.5, 0.5], [0.4, 0.6]], shares)


def test_outputs_that_are_nan_are_no_answer(exits, nested):
    rows = np.zeros((3, nested.n_features_in_))
    rows[1] = 1e300  # infinite in single precision
    for ask in (exits.predict, nested.predict, lambda X: exits.leave(X, 0.5)):
        with pytest.raises(ValueError, match="row 1 of X"):
            ask(rows)


def test_labels_of_another_kind_are_no_overthinking(exits, digits):
    X = digits[0][:4]
    with pytest.raises(ValueError, match="no label of the classes"):
        exits.overthinking(X, np.array(["a", "b", "c", "d"]))


def test_equal_widths_nest_nothing(digits):
    with pytest.raises(ValueError, match="different"):
        lab.NestedNetwork(widths=(1, 1.0)).fit(np.eye(2), [0, 1])


def test_who_writes_into_a_table_changes_no_network():
    stored = lab.AnyPrecision(nn.Linear(8, 2), bits=2)
    before = stored.at(2).weight
    stored.table("weight")[:] = 0
    assert torch.equal(stored.at(2).weight, before)
