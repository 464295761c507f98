"""A network and its judge: the loss by hand, its best judge, and the cascade that uses it."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import check_estimator

import ensemble_lab as lab
from ensemble_lab.training.appeal import appeal_loss
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor, perceptron
from tests.support.exact_networks import QUICK, ExactClassifier


def test_the_loss_by_hand():
    """Logits 0 and log 3: the classes have 1/4 and 3/4; the judge keeps with 4/5."""
    outputs = torch.tensor([[[0.0, math.log(3), math.log(4)]]], dtype=torch.float64)
    target, weight = torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.float64)
    expected = 0.8 * math.log(4) - 0.3 * math.log(0.8)
    assert appeal_loss(outputs, target, weight, price=0.3).item() == pytest.approx(expected)


@given(st.floats(0.05, 5), st.floats(0.05, 2))
def test_the_best_judge_keeps_what_costs_less_than_the_price(surprise, price):
    """keep = min(1, price / cross-entropy), by a search over the judge's output."""
    own = -surprise  # log-probability of the right class; the other class has the rest
    other = math.log1p(-math.exp(own))
    judge = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    row = torch.tensor([own, other], dtype=torch.float64).expand(len(judge), 2)
    outputs = torch.cat([row, judge[:, None]], dim=1)[:, None]  # members are the settings tried
    zero = torch.zeros(len(judge), 1, dtype=torch.long)
    loss = appeal_loss(outputs, zero, torch.ones(len(judge), 1), price=price)
    best = judge[loss.argmin()].sigmoid().item()
    assert best == pytest.approx(min(1.0, price / surprise), abs=2e-3)


def test_a_judge_that_keeps_everything_leaves_cross_entropy():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    judge = torch.full((2, 5, 1), 50.0, dtype=torch.float64)
    targets, weights = torch.arange(10).reshape(2, 5) % 3, torch.rand(2, 5, generator=rng)
    whole = appeal_loss(torch.cat([logits, judge], -1), targets, weights, price=0.3)
    torch.testing.assert_close(whole, cross_entropy(logits, targets, weights))
    (one,) = torch.autograd.grad(whole.sum(), logits, retain_graph=True)
    (two,) = torch.autograd.grad(cross_entropy(logits, targets, weights).sum(), logits)
    torch.testing.assert_close(one, two)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order] / 16, y[order]


def test_a_higher_price_keeps_more_and_the_plain_network_ranks_errors_better(digits):
    """Four hidden units; half of the rows are held out."""
    X, y = digits
    half = len(X) // 2
    network = NetworkClassifier(
        partial(perceptron, hidden=4), epochs=60, device="cpu", random_state=0
    )
    kept, rank = [], []
    for price in (0.1, 1.0):
        model = lab.AppealClassifier(network, price=price, random_state=0).fit(X[:half], y[:half])
        keep = model.keep_probability(X[half:])
        kept.append(keep.mean())
        rank.append(roc_auc_score(model.predict(X[half:]) == y[half:], keep))
    assert kept == sorted(kept) and kept[0] < 0.5 < kept[-1]
    plain = network.fit(X[:half], y[:half])
    sure = plain.predict_proba(X[half:]).max(axis=1)
    assert roc_auc_score(plain.predict(X[half:]) == y[half:], sure) > max(rank)
    assert rank[0] > 0.7  # where much is passed on, the judge knows what


def test_its_judge_is_a_confidence_for_a_cascade(digits):
    X, y = digits
    model = lab.AppealClassifier(
        NetworkClassifier(epochs=20, device="cpu", random_state=0), price=0.3, random_state=0
    ).fit(X[:900], y[:900])
    right, keep = model.predict(X[900:]) == y[900:], model.keep_probability(X[900:])
    n = len(right)
    table = lab.Outcomes(
        models=["small", "big"],
        items=range(n),
        correct=np.stack([right, np.ones(n)], axis=1),
        confidence=np.stack([keep, np.ones(n)], axis=1),
        cost=np.tile([1.0, 10.0], (n, 1)),
    )
    decision = lab.Cascade(("small", "big"), (float(np.median(keep)),)).decide(table)
    escalated = 1 - decision.calls["big"]
    assert 0.4 < escalated < 0.6 and decision.mean_cost < 7
    # Half of the rows at random would repair half of the errors.
    assert decision.accuracy > (table.accuracy()[0] + 1) / 2


def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(lab.AppealClassifier(ExactClassifier(**QUICK), price=5.0))


def test_what_is_wrong_is_named(digits):
    X, y = digits
    for price in (0, -1, "high", None, True, math.nan):
        with pytest.raises(ValueError, match="price="):
            lab.AppealClassifier(price=price).fit(X[:20], y[:20])
    with pytest.raises(ValueError, match="estimator is a NetworkRegressor"):
        lab.AppealClassifier(NetworkRegressor()).fit(X[:20], y[:20])
    assert clone(lab.AppealClassifier(price=0.5)).price == 0.5
