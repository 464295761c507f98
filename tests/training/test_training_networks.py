"""Networks as scikit-learn estimators."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from ensemble_lab.training.bagging.bagging import BaggingRegressor
from ensemble_lab.training.batched.losses import squared_error
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.negative_correlation import NegativeCorrelationRegressor
from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor
from tests.support.exact_networks import QUICK, ExactClassifier, ExactRegressor

# An order of rows is drawn, so a row of weight 2 is not exactly the row twice.
UNEQUAL = {
    "check_sample_weight_equivalence_on_dense_data": "rows come in a random order",
    "check_sample_weight_equivalence_on_sparse_data": "rows come in a random order",
}


@pytest.mark.parametrize("kind", [ExactClassifier, ExactRegressor])
@pytest.mark.slow
def test_scikit_learns_own_checks(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(kind(**QUICK), expected_failed_checks=UNEQUAL)


def test_it_learns_and_fits_into_pipelines():
    cancer, numbers = load_breast_cancer(return_X_y=True), load_diabetes(return_X_y=True)
    classifier = make_pipeline(StandardScaler(), NetworkClassifier(epochs=20, random_state=0))
    assert cross_val_score(classifier, *cancer, cv=3).mean() > 0.95
    X, y = numbers
    regressor = make_pipeline(StandardScaler(), NetworkRegressor(epochs=20, random_state=0))
    assert cross_val_score(regressor, X, (y - y.mean()) / y.std(), cv=3).mean() > 0.35


UNITS = [(1e-3, 0.0), (1e3, 0.0), (1e-30, 0.0), (1e30, 0.0), (1.0, 1e4), (2.0, 1e6)]


@pytest.fixture(scope="module")
def line():
    X = np.random.default_rng(0).normal(size=(200, 4))
    y = X[:, 0] + 0.5 * X[:, 1]
    return X, (y - y.mean()) / y.std()


@pytest.mark.parametrize(("unit", "origin"), UNITS)
@pytest.mark.parametrize("kind", ["alone", "together", "bagged"])
def test_numbers_of_any_unit_are_learned_alike(line, kind, unit, origin):
    X, y = line
    network = NetworkRegressor(epochs=30, random_state=0, device="cpu")
    model = {
        "alone": network,
        "together": NegativeCorrelationRegressor(network, 2, random_state=0),
        "bagged": BaggingRegressor(network, 2, random_state=0),
    }[kind]
    plain = model.fit(X, y)
    said, losses = plain.predict(X), plain.members_.losses
    other = clone(model).fit(X, y * unit + origin)
    assert model.score(X, y) > 0.9 and other.score(X, y * unit + origin) > 0.9
    np.testing.assert_allclose((other.predict(X) - origin) / unit, said, atol=0.02)
    np.testing.assert_allclose(other.members_.losses / unit**2, losses, rtol=0.1)


def test_standardised_numbers_are_learned_as_they_are(line):
    X, y = line
    network = NetworkRegressor(epochs=20, random_state=0, device="cpu")
    bare = train_members(
        network.maker(4, 1), X, y, members=1, loss=squared_error, epochs=20, batch_size=32,
        seed=np.random.RandomState(0).randint(2**31 - 1), device="cpu",
    )  # fmt: skip
    np.testing.assert_allclose(network.fit(X, y).predict(X), bare.outputs(X)[0, :, 0], atol=1e-4)
    held = X[:50], y[:50] * 1000
    early = network.train(X, y * 1000, 1, validation=held, patience=2)
    assert np.square(early.outputs(X)[0, :, 0] / 1000 - y).mean() < 0.1
    for spoiled in (np.where(y > 2, np.nan, y), y + 1j):  # told by whoever learns them
        with pytest.raises(ValueError, match="y is missing in row|Complex data"):
            network.train(X, spoiled, 1)


def test_rows_without_weight_set_no_unit(line):
    X, y = line
    weights = np.r_[np.ones(100), np.zeros(100)]
    model = NetworkRegressor(epochs=30, random_state=0, device="cpu")
    far = np.where(weights, y, 1e9)
    said = model.fit(X, far, sample_weight=weights).predict(X)
    assert np.square(said - y)[:100].mean() < 0.1
    assert model.fit(X, np.full(200, 7.0)).predict(X) == pytest.approx(7.0, abs=0.5)


def test_search_clone_and_pickle():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    search = GridSearchCV(NetworkClassifier(random_state=0), {"epochs": [1, 10]}, cv=3).fit(X, y)
    assert search.best_params_ == {"epochs": 10}
    again = clone(search.best_estimator_).fit(X, y)
    assert np.array_equal(again.predict_proba(X), search.best_estimator_.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(again)).predict(X), again.predict(X))


def test_labels_of_any_kind():
    X, y = load_breast_cancer(return_X_y=True)
    X, names = StandardScaler().fit_transform(X), np.array(["benign", "malignant"])
    model = NetworkClassifier(epochs=5, random_state=0).fit(X, names[y])
    assert set(model.predict(X)) == set(names)
    shifted = NetworkClassifier(epochs=5, random_state=0).fit(X, y + 7)
    assert np.array_equal(shifted.predict(X) - 7, model.predict(X) == "malignant")


def test_bad_input_is_named():
    X, y = np.eye(4), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="one class only, 3"):
        NetworkClassifier().fit(X, [3, 3, 3, 3])
    with pytest.raises(ValueError, match="NaN"):
        NetworkClassifier().fit(np.where(X, np.nan, X), y)
    with (
        pytest.warns(UserWarning, match="member 0"),
        pytest.raises(ValueError, match="learning_ra"),
    ):
        NetworkRegressor(learning_rate=1e38, epochs=3).fit(X * 1e9, y)
