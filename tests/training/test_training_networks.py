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

from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor
from tests.support.exact_networks import ExactClassifier, ExactRegressor

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
        check_estimator(kind(epochs=40, device="cpu"), expected_failed_checks=UNEQUAL)


def test_it_learns_and_fits_into_pipelines():
    cancer, numbers = load_breast_cancer(return_X_y=True), load_diabetes(return_X_y=True)
    classifier = make_pipeline(StandardScaler(), NetworkClassifier(epochs=20, random_state=0))
    assert cross_val_score(classifier, *cancer, cv=3).mean() > 0.95
    X, y = numbers
    regressor = make_pipeline(StandardScaler(), NetworkRegressor(epochs=20, random_state=0))
    assert cross_val_score(regressor, X, (y - y.mean()) / y.std(), cv=3).mean() > 0.35


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
