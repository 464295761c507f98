"""Snapshots of one training."""

import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from ensemble_lab.training import snapshot
from ensemble_lab.training.networks import NetworkClassifier, perceptron
from ensemble_lab.training.snapshot import SnapshotEnsemble, cooled
from tests.support.exact_networks import QUICK, ExactClassifier

NETWORK = NetworkClassifier(epochs=10, batch_size=32, device="cpu")


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["benign", "malignant"])[y]


def test_the_rate_falls_by_half_a_cosine():
    rates = [cooled(step, 4, 0.2) for step in range(4)]
    assert np.allclose(rates, [0.2, 0.1 * (1 + np.sqrt(0.5)), 0.1, 0.1 * (1 - np.sqrt(0.5))])


def test_each_cycle_begins_hot_and_ends_cold(cancer, monkeypatch):
    seen = []

    def heard(optimiser, rates, batches):
        for batch in snapshot_at_rates(optimiser, rates, batches):
            seen.append(optimiser.param_groups[0]["lr"])
            yield batch

    snapshot_at_rates = snapshot.at_rates
    monkeypatch.setattr(snapshot, "at_rates", heard)
    X, y = cancer
    SnapshotEnsemble(NETWORK, 3, random_state=0).fit(X, y)
    batches = -(-len(X) // 32)
    assert len(seen) == 10 * batches
    hot = [i // batches for i, rate in enumerate(seen) if rate == NETWORK.learning_rate]
    assert hot == [0, 4, 7]  # ten epochs are four, three and three
    assert all(seen[start * batches - 1] < 1e-5 for start in (4, 7, 10))


def test_it_learns_what_a_plain_loop_learns(cancer):
    X, y = cancer
    model = SnapshotEnsemble(NETWORK, 2, random_state=3).fit(X, y)
    seed = np.random.RandomState(3).randint(2**31 - 1)
    start, order = np.random.SeedSequence(seed).spawn(2)
    with torch.random.fork_rng():
        torch.manual_seed(int(start.generate_state(1)[0]))
        network = perceptron(X.shape[1], 2)
    rng = np.random.default_rng(order)
    step = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.0)
    inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y == "malignant").long()
    for said in model.members_.outputs(X):
        count = 0
        for _ in range(5):
            for some in torch.tensor(rng.permutation(len(X))).split(32):
                step.param_groups[0]["lr"] = cooled(count, 5 * -(-len(X) // 32), 0.01)
                step.zero_grad()
                torch.nn.functional.cross_entropy(network(inputs[some]), targets[some]).backward()
                step.step()
                count += 1
        assert np.allclose(network(inputs).detach().numpy(), said, atol=1e-3)


def test_stages_are_means_of_the_first_snapshots(cancer):
    X, y = cancer
    model = SnapshotEnsemble(NETWORK, 3, random_state=0).fit(X, y)
    probas = torch.tensor(model.members_.outputs(X)).double().softmax(-1).numpy()
    stages = list(model.staged_predict_proba(X))
    assert all(np.allclose(proba, probas[:i].mean(0)) for i, proba in enumerate(stages, start=1))
    assert np.array_equal(stages[-1], model.predict_proba(X)) and len(stages) == 3
    assert np.array_equal(list(model.staged_predict(X))[-1], model.predict(X))
    assert model.score(X, y) > 0.97
    assert not np.allclose(probas[0], probas[1])


@pytest.mark.slow
def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(SnapshotEnsemble(ExactClassifier(**QUICK), 2))


def test_clone_and_pickle(cancer):
    X, y = cancer
    model = SnapshotEnsemble(NETWORK, 2, random_state=0).fit(X, y)
    assert np.array_equal(clone(model).fit(X, y).predict_proba(X), model.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_interrupted_it_keeps_the_cycles_that_are_done(cancer, monkeypatch):
    epochs = iter(range(100))

    class Interrupted(snapshot.Training):
        def epoch(self, batches):
            if next(epochs) == 7:
                raise KeyboardInterrupt
            return super().epoch(batches)

    monkeypatch.setattr(snapshot, "Training", Interrupted)
    X, y = cancer
    model = SnapshotEnsemble(NETWORK, 5, random_state=0).fit(X, y)  # two epochs a cycle
    assert len(model.members_) == 3 and model.score(X, y) > 0.9


@pytest.mark.parametrize("cycles", [0, 11, 1.5])
def test_cycles_that_do_not_fit_are_named(cancer, cycles):
    with pytest.raises(ValueError, match=f"n_estimators={cycles}: use 1 to 10 cycles"):
        SnapshotEnsemble(NETWORK, cycles).fit(*cancer)


def test_other_bad_input_is_named(cancer):
    X, y = cancer
    with pytest.raises(ValueError, match="one class only"):
        SnapshotEnsemble(NETWORK).fit(X, np.zeros(len(X)))
    wild = clone(NETWORK).set_params(make=partial(perceptron, hidden=2), learning_rate=1e38)
    with pytest.raises(ValueError, match="NaN or infinite in the first cycle"):
        SnapshotEnsemble(wild).fit(1e9 * X, y)
