"""Ambiguity to the last digit, and members that are trained to disagree."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from ensemble_lab.training.ambiguity import ambiguity_decomposition, optimal_weights
from ensemble_lab.training.batched.losses import cross_entropy, squared_error
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.negative_correlation import (
    NegativeCorrelationClassifier,
    NegativeCorrelationRegressor,
    classification_loss,
    corrected_targets,
    regression_loss,
)
from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor, perceptron
from tests.support.exact_networks import QUICK, ExactClassifier, ExactRegressor
from tests.support.wild_network import Wild

numbers = st.floats(-100, 100)


@st.composite
def said(draw):
    """Predictions (m, n), targets (n,) and positive weights (m,)."""
    m, n = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    weights = draw(arrays(float, m, elements=st.floats(0.01, 1)))
    return (
        draw(arrays(float, (m, n), elements=numbers)),
        draw(arrays(float, n, elements=numbers)),
        weights / weights.sum(),
    )


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


# -- the identity ---------------------------------------------------------------------------------


@given(said())
def test_ensemble_error_is_mean_error_less_ambiguity(said):
    predictions, y, unequal = said
    for weights in (None, unequal):
        found = ambiguity_decomposition(predictions, y, weights)
        scale = max(1.0, found.members)
        assert abs(found.ensemble - (found.members - found.ambiguity)) < 1e-10 * scale
        assert found.ambiguity >= 0
        each = np.mean((predictions - y) ** 2, axis=1)
        assert abs(found.members - np.average(each, weights=weights)) < 1e-10 * scale


def test_ambiguity_by_hand():
    # Means 2 and 4 against 2 and 5; members err by 1, 1 and 1, 1.
    assert ambiguity_decomposition([[1, 4], [3, 4]], [2, 5]) == (0.5, 1.0, 0.5)
    # With weights 3/4 and 1/4: means 1.5 and 4.
    assert ambiguity_decomposition([[1, 4], [3, 4]], [2, 5], [0.75, 0.25]) == (0.625, 1.0, 0.375)


@given(said(), st.integers(0, 99))
@example((np.zeros((5, 1)), np.array([9.50995238e-234]), np.full(5, 0.2)), 0)
@example((np.diag([0, 2.0**-23, 0])[:, :2], np.array([2.0, 2.0]), np.full(3, 1 / 3)), 0)
def test_no_other_weights_have_a_lower_error(said, seed):
    predictions, y, _ = said
    best = optimal_weights(predictions, y)
    # Members that are all but the same may need weights of millions, which add up with rounding.
    assert abs(best.sum() - 1) < 1e-9 + 32 * np.finfo(float).eps * np.abs(best).sum()
    other = np.random.default_rng(seed).normal(size=len(best))
    other = best + other - other.mean()
    errors = [np.mean((w @ predictions - y) ** 2) for w in (best, other)]
    assert errors[0] <= errors[1] + 1e-7 * max(1.0, np.abs(predictions).max() ** 2)


def test_uncorrelated_errors_are_weighted_by_the_inverse_of_their_variance():
    errors = np.array([[1, -1, 1, -1], [2, 2, -2, -2]])
    assert np.allclose(optimal_weights(errors, np.zeros(4)), [0.8, 0.2])


def test_members_that_say_the_same_share_their_weight():
    twice = np.array([[1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])
    found = optimal_weights(twice, np.array([0.5, -0.5]))
    assert np.isclose(found[0], found[1]) and np.allclose(found @ twice, [0.5, -0.5])


# -- the trainer's part ---------------------------------------------------------------------------


def plain_loop(X, y, members, strength, epochs, size, seed):
    """Negative correlation by Liu and Yao's own gradient, one member after another."""
    start, orders = np.random.SeedSequence(seed).spawn(2)
    networks = []
    for one in start.generate_state(members):
        with torch.random.fork_rng():
            torch.manual_seed(int(one))
            networks.append(perceptron(X.shape[1], 1, 4).double())
    rng = np.random.default_rng(orders.spawn(1)[0])
    steps = [torch.optim.AdamW(n.parameters(), lr=0.01, weight_decay=0.0) for n in networks]
    X, y = torch.tensor(X), torch.tensor(y)
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for some in np.split(order, range(size, len(order), size)):
            said = torch.stack([n(X[some])[:, 0] for n in networks])
            pulled = 2 * ((said - y[some]) - strength * (said - said.mean(0))) / len(some)
            for step in steps:
                step.zero_grad()
            said.backward(pulled.detach())
            for step in steps:
                step.step()
    return torch.stack([n(X)[:, 0] for n in networks]).detach().numpy()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.floats(0, 1), st.integers(1, 9), st.integers(0, 99))
def test_it_learns_by_liu_and_yaos_gradient(members, strength, size, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    found = train_members(
        partial(perceptron, 3, 1, 4), X, y, members=members, same_order=True, epochs=3,
        loss=partial(regression_loss, strength=strength), batch_size=size, seed=seed,
        dtype="float64", device="cpu", progress=False,
    )  # fmt: skip
    expected = plain_loop(X, y, members, strength, 3, size, seed)
    assert np.allclose(found.outputs(X)[..., 0], expected, atol=1e-8)


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_strength_0_is_independent_training(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y, ours, theirs = {
        "numbers": (X[:, 0], regression_loss, squared_error),
        "classes": ((X[:, 0] > 0).astype(int), classification_loss, cross_entropy),
    }[kind]
    how = {"members": 3, "same_order": True, "epochs": 4, "dtype": "float64", "progress": False}
    one, other = (
        train_members(partial(perceptron, 3, 2), X, y, loss=loss, device="cpu", **how).outputs(X)
        for loss in (partial(ours, strength=0.0), theirs)
    )
    assert np.array_equal(one, other)


def test_at_strength_1_all_are_moved_by_the_error_of_the_mean():
    outputs = torch.tensor([[[1.0]], [[4.0]]], requires_grad=True)
    regression_loss(outputs, torch.zeros(2, 1), torch.ones(2, 1), strength=1.0).sum().backward()
    assert outputs.grad.flatten().tolist() == [5.0, 5.0]  # twice the mean of 2.5


# -- the estimators -------------------------------------------------------------------------------


@given(said(), st.floats(0, 1))
def test_corrected_targets_have_liu_and_yaos_gradient(said, strength):
    """Chan and Kasabov's plain squared error beside the penalty, by autograd."""
    predictions, y, _ = said
    targets = corrected_targets(predictions, y, strength)
    np.testing.assert_allclose((targets - y).sum(0), 0, atol=1e-9)
    outputs = torch.tensor(predictions)[..., None].requires_grad_()
    truth = torch.tensor(y).expand(len(predictions), -1)
    weights = torch.ones(predictions.shape, dtype=torch.float64)
    regression_loss(outputs, truth, weights, strength=strength).sum().backward()
    wanted = outputs.grad[..., 0].numpy() * len(y) / 2
    np.testing.assert_allclose(predictions - targets, wanted, atol=1e-9)


def test_members_that_learn_corrected_targets_in_turns_end_further_apart(diabetes):
    """Networks of scikit-learn, which know no ensemble, exchange predictions 20 times."""
    apart, X, y = [], *diabetes
    for strength in (0.0, 0.9):
        members = [MLPRegressor(hidden_layer_sizes=(4,), random_state=seed) for seed in range(4)]
        for turn in range(20):
            said = np.stack([m.predict(X) for m in members]) if turn else np.tile(y, (4, 1))
            for member, targets in zip(members, corrected_targets(said, y, strength), strict=True):
                for _ in range(5):
                    member.partial_fit(X, targets)
        apart.append(
            ambiguity_decomposition(np.stack([m.predict(X) for m in members]), y).ambiguity
        )
    assert apart[1] > 1.2 * apart[0]


def test_members_get_worse_alone_and_more_apart(diabetes):
    X, y = diabetes
    learned, held = slice(0, 300), slice(300, None)
    network = NetworkRegressor(epochs=30, device="cpu")
    found = []
    for strength in (0.0, 1.0):
        model = NegativeCorrelationRegressor(network, 8, strength=strength, random_state=0)
        model.fit(X[learned], y[learned])
        found.append(ambiguity_decomposition(model.member_predictions(X[held]), y[held]))
        mean = model.member_predictions(X[held]).mean(0)
        assert np.allclose(model.predict(X[held]), mean)
    assert found[1].members > found[0].members and found[1].ambiguity > 2 * found[0].ambiguity


@pytest.mark.parametrize("kind", [NegativeCorrelationRegressor, NegativeCorrelationClassifier])
@pytest.mark.slow
def test_scikit_learns_own_checks(kind):
    network = ExactRegressor if kind is NegativeCorrelationRegressor else ExactClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(kind(network(**QUICK), n_estimators=3))


def test_classes_clone_search_and_pickle():
    X, y = load_breast_cancer(return_X_y=True)
    X, names = StandardScaler().fit_transform(X), np.array(["benign", "malignant"])
    network = NetworkClassifier(epochs=5, device="cpu")
    model = NegativeCorrelationClassifier(network, 3, random_state=0)
    search = GridSearchCV(model, {"strength": [0.0, 0.5]}, cv=2).fit(X, names[y])
    best = search.best_estimator_
    assert best.score(X, names[y]) > 0.95
    again = clone(best).fit(X, names[y])
    assert np.array_equal(again.predict_proba(X), best.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(again)).predict(X), again.predict(X))
    assert again.member_predictions(X).shape == (3, len(X))
    assert set(again.member_predictions(X).ravel()) == set(names)


def test_a_member_that_becomes_nan_is_named_and_the_rest_learns(diabetes):
    X, y = diabetes
    Wild.made = 0
    model = NegativeCorrelationRegressor(NetworkRegressor(Wild, epochs=3), 3, random_state=0)
    with pytest.warns(UserWarning, match="member 1 became NaN"):
        model.fit(X, y)
    assert len(model.members_) == 2 and np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"strength": 1.5}, "strength=1.5"),
        ({"strength": -0.1}, "strength=-0.1"),
        ({"n_estimators": 0}, "n_estimators=0"),
        ({"estimator": DecisionTreeRegressor()}, "DecisionTreeRegressor is not a network"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NegativeCorrelationRegressor(**settings).fit(np.eye(3), [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ambiguity_decomposition([1.0, 2.0], [1.0, 2.0]), "of one member or none"),
        (lambda: ambiguity_decomposition([[1.0, np.nan]], [1.0, 2.0]), "NaN"),
        (lambda: ambiguity_decomposition([[1.0], [2.0]], [1.0], [1.0, 1.0]), "sum to 1"),
        (lambda: ambiguity_decomposition([[1.0], [2.0]], [1.0], [2.0, -1.0]), "from 0 up"),
        (lambda: optimal_weights([[1.0, 2.0]], [1.0]), "of 2 rows, and y has 1"),
    ],
)
def test_bad_predictions_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
