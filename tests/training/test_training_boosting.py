"""AdaBoost and gradient boosting: their arithmetic, scikit-learn's stages, and bad input."""

import itertools
import pickle
import warnings

import numpy as np
import pytest
import sklearn.ensemble
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import parse
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from ensemble_lab.training.batched.draws import Draws
from ensemble_lab.training.boosting.adaboost import AdaBoostClassifier, reweighted, stage_weight
from ensemble_lab.training.boosting.gradient import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
)
from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor

# As of scikit-learn's own boosting.
UNEQUAL = {
    "check_sample_weight_equivalence_on_dense_data": "a tree splits between rows of weight 0 too,"
    " and draws among splits that are equally good"
}
KINDS = [AdaBoostClassifier, GradientBoostingClassifier, GradientBoostingRegressor]
LOAD = {
    "cancer": load_breast_cancer,
    "iris": load_iris,
    "wine": load_wine,
    "digits": lambda return_X_y: tuple(part[:500] for part in load_digits(return_X_y=return_X_y)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_scikit_learns_own_checks(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(kind(n_estimators=20), expected_failed_checks=UNEQUAL)


@pytest.mark.parametrize(
    "model",
    [
        AdaBoostClassifier(GaussianNB(), 5),
        GradientBoostingClassifier(LinearRegression(), 5),
        GradientBoostingRegressor(LinearRegression(), 5),
    ],
)
def test_a_row_of_weight_2_is_the_row_twice_and_one_of_0_is_none(model):
    X, y = load_iris(return_X_y=True)
    X, y = X[20:], y[20:]
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    repeated = clone(model).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    weighted = clone(model).fit(X, y, weights)
    for name in {"predict", "decision_function"} & set(dir(model)):
        assert np.allclose(getattr(weighted, name)(X), getattr(repeated, name)(X))
    assert len(weighted.estimators_) == len(repeated.estimators_) == 5


# Arithmetic of one round


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=30),
    st.integers(2, 10),
    st.data(),
)
def test_after_its_round_a_stage_is_as_good_as_chance(weights, classes, data):
    weights = np.array(weights) / sum(weights)
    wrong = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights)))
    )
    wrong[:2] = [False, True]
    alpha = stage_weight(weights[wrong].sum(), classes)
    after = reweighted(weights, wrong, alpha)
    assert np.isclose(after.sum(), 1) and np.isclose(after[wrong].sum(), 1 - 1 / classes)
    for group in (wrong, ~wrong):  # within a group nothing changes but the scale
        assert np.allclose(after[group] * weights[group].sum(), weights[group] * after[group].sum())


@given(st.floats(0.001, 0.98), st.integers(2, 20), st.floats(0.01, 2))
def test_the_say_of_a_stage(error, classes, rate):
    alpha = stage_weight(error, classes, rate)
    assert np.isclose(stage_weight(1 - 1 / classes, classes), 0)
    assert stage_weight(error + 0.01, classes, rate) < alpha
    assert np.isclose(alpha, rate * stage_weight(error, classes))
    assert (alpha > 0) == (error < 1 - 1 / classes) or np.isclose(error, 1 - 1 / classes)


def test_no_weight_is_lost_and_none_is_raised_from_nothing():
    after = reweighted(np.array([0.0, 0.5, 0.5]), np.array([True, True, False]), 5000.0)
    assert after[0] == 0 and np.isfinite(after).all() and np.isclose(after.sum(), 1)


def test_adaboost_by_hand():
    X, y = np.arange(5)[:, None], [0, 0, 1, 0, 1]
    model = AdaBoostClassifier(n_estimators=2, random_state=0).fit(X, y)
    # Split at 1.5: one of five is wrong, and ln(0.8 / 0.2) = ln 4.
    assert np.allclose(model.estimator_errors_[0], 0.2)
    assert np.allclose(model.estimator_weights_[0], np.log(4))
    assert np.allclose(model.sample_weights_, [[0.2] * 5, [1 / 8, 1 / 8, 1 / 8, 1 / 2, 1 / 8]])
    # Then at 3.5: one of weight 1/8 is wrong, and its weight is ln 7.
    assert np.allclose(model.estimator_weights_[1], np.log(7))
    share = np.log(4) / np.log(28)
    safe = np.array([1, 1, share - (1 - share), (1 - share) - share, 1])
    assert np.allclose(model.margins(X, y), safe)
    assert model.predict(X).tolist() == [0, 0, 0, 0, 1]


# As scikit-learn does it


@pytest.mark.parametrize("name", LOAD)
@pytest.mark.parametrize(("depth", "rate"), [(1, 1.0), (2, 0.5), (3, 1.5)])
def test_stages_of_adaboost_are_scikit_learns(name, depth, rate):
    X, y = LOAD[name](return_X_y=True)
    member = DecisionTreeClassifier(max_depth=depth, max_features=0.7)
    how = {"n_estimators": 20, "learning_rate": rate, "random_state": 3}
    theirs = sklearn.ensemble.AdaBoostClassifier(member, **how).fit(X, y)
    ours = AdaBoostClassifier(member, **how).fit(X, y)
    T = len(ours.estimators_)
    assert T == len(theirs.estimators_) > 1
    assert np.allclose(ours.estimator_weights_, theirs.estimator_weights_[:T], rtol=0, atol=1e-10)
    assert np.allclose(ours.estimator_errors_, theirs.estimator_errors_[:T], rtol=0, atol=1e-10)
    half = 2 if len(ours.classes_) == 2 else 1
    staged = zip(ours.staged_decision_function(X), theirs.staged_decision_function(X))
    assert all(np.allclose(half * mine, yours, rtol=0, atol=1e-10) for mine, yours in staged)
    for mine, yours in zip(ours.staged_predict(X), theirs.staged_predict(X)):
        assert np.array_equal(mine, yours)
    assert np.allclose([*ours.staged_score(X, y)], [*theirs.staged_score(X, y)])


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # theirs
def test_adaboost_with_sample_weights_is_scikit_learns():
    X, y = load_wine(return_X_y=True)
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    theirs = sklearn.ensemble.AdaBoostClassifier(random_state=0).fit(X, y, weights)
    ours = AdaBoostClassifier(random_state=0).fit(X, y, weights)
    assert np.allclose(ours.estimator_weights_, theirs.estimator_weights_, rtol=0, atol=1e-10)
    assert (ours.sample_weights_[:, weights == 0] == 0).all()
    assert (ours.sample_weights_[:, weights > 0] > 0).all()


def test_a_stage_without_error_is_the_last():
    X, y = load_iris(return_X_y=True)
    theirs = sklearn.ensemble.AdaBoostClassifier(DecisionTreeClassifier()).fit(X, y)
    ours = AdaBoostClassifier(DecisionTreeClassifier()).fit(X, y)
    assert ours.estimator_errors_.tolist() == [0] and ours.estimator_weights_.tolist() == [1]
    assert theirs.estimator_errors_[0] == 0 and theirs.estimator_weights_[0] == 1
    assert (ours.margins(X, y) == 1).all()


def test_a_stage_no_better_than_chance_is_left_out():
    X, y = [[0], [0], [0], [1], [1], [1]], [0, 0, 1, 1, 1, 0]  # one split, and nothing more
    ours = AdaBoostClassifier().fit(X, y)
    theirs = sklearn.ensemble.AdaBoostClassifier().fit(X, y)
    assert len(ours.estimators_) == 1 and np.allclose(ours.estimator_errors_, 1 / 3)
    assert np.allclose(theirs.estimator_weights_[1:], 0, atol=1e-9)  # what theirs add is rounding
    with pytest.raises(ValueError, match="no better than chance"):
        AdaBoostClassifier().fit(np.ones((4, 1)), [0, 0, 1, 1])


# Before scikit-learn 1.9 its boosting rated splits by another formula for the same gain, which
# rounds otherwise and so parts at ties.
RATED = {"criterion": "squared_error"} if parse(sklearn.__version__) < parse("1.9.dev0") else {}
TREES = [{"max_depth": 3}, {"max_depth": 2, "max_features": 0.5}, {"max_leaf_nodes": 5}]


@pytest.mark.parametrize("settings_of_trees", TREES)
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_loss_gives_scikit_learns_staged_predictions(settings_of_trees, weighted):
    X, y = load_diabetes(return_X_y=True)
    weights = np.random.default_rng(1).random(300) if weighted else None
    peer = {"max_depth": None} | settings_of_trees | RATED
    theirs = sklearn.ensemble.GradientBoostingRegressor(
        n_estimators=40, learning_rate=0.2, random_state=5, **peer
    )
    ours = GradientBoostingRegressor(
        DecisionTreeRegressor(**settings_of_trees), 40, learning_rate=0.2, random_state=5
    )
    theirs.fit(X[:300], y[:300], weights)
    ours.fit(X[:300], y[:300], weights)
    assert np.allclose(ours.train_score_, theirs.train_score_, rtol=1e-10)
    for mine, yours in zip(ours.staged_predict(X), theirs.staged_predict(X)):
        assert np.allclose(mine, yours, rtol=1e-10)  # the 142 rows held out are among them


@pytest.mark.parametrize("name", LOAD)
def test_log_loss_gives_scikit_learns_staged_probabilities(name):
    X, y = LOAD[name](return_X_y=True)
    how = {"n_estimators": 12, "learning_rate": 0.3, "random_state": 2}
    theirs = sklearn.ensemble.GradientBoostingClassifier(**how, **RATED).fit(X, y)
    ours = GradientBoostingClassifier(**how).fit(X, y)
    # Their sums round in another order; a leaf divides by what may be small.
    for mine, yours in zip(ours.staged_predict_proba(X), theirs.staged_predict_proba(X)):
        assert np.allclose(mine, yours, rtol=0, atol=1e-8)
    deviance = 2 if len(ours.classes_) == 2 else 1
    assert np.allclose(deviance * ours.train_score_, theirs.train_score_, rtol=0, atol=1e-8)


# By hand and by distribution


def test_gradient_boosting_by_hand():
    X = [[0], [0], [1], [1], [1]]
    numbers = GradientBoostingRegressor(n_estimators=2, learning_rate=0.5).fit(X, [0, 2, 6, 6, 6])
    # Mean 4; leaves of the residuals -3 and 2, half of it; then -1.5 and 1.
    assert np.allclose(numbers.start_, 4)
    first, second = numbers.staged_predict([[0], [1]])
    assert np.allclose(first, [2.5, 5]) and np.allclose(second, [1.75, 5.5])
    assert np.allclose(numbers.train_score_[0], (2.5**2 + 0.5**2 + 3 * 1**2) / 5)
    classes = GradientBoostingClassifier(n_estimators=1, learning_rate=0.5).fit(X, [0, 1, 1, 1, 1])
    # Log-odds ln 4; residuals -0.8 and 0.2 over 0.8 * 0.2 each: -0.6 / 0.32 and 0.6 / 0.48.
    assert np.allclose(classes.decision_function([[0], [1]]), np.log(4) + [-0.9375, 0.625])


def test_leaves_of_three_classes_by_brute_force():
    X, y = load_iris(return_X_y=True)
    weights = np.random.default_rng(0).random(len(y)) + 0.1
    model = GradientBoostingClassifier(n_estimators=1, learning_rate=1.0).fit(X, y, weights)
    prior = np.array([weights[y == c].sum() for c in range(3)]) / weights.sum()
    for c, tree in enumerate(model.estimators_[0]):
        leaf = tree.apply(X)
        for i in range(0, len(y), 7):
            same = leaf == leaf[i]
            slope = (weights * ((y == c) - prior[c]))[same].sum()
            curve = weights[same].sum() * prior[c] * (1 - prior[c])
            assert np.isclose(tree.predict(X[[i]])[0], 2 / 3 * slope / curve)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_without_weight_is_unlikely_but_not_impossible(classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < classes], y[y < classes]
    weights = (y < classes - 1).astype(float)
    model = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(X, y, weights)
    assert np.isfinite(model.decision_function(X)).all() and np.isfinite(model.train_score_).all()
    assert (model.predict_proba(X)[:, -1] < 1e-9).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 1), st.integers(1, 4))
def test_squared_error_never_grows_on_the_rows_of_the_fit(seed, rate, depth):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    tree = DecisionTreeRegressor(max_depth=depth)
    model = GradientBoostingRegressor(tree, 8, learning_rate=rate, random_state=seed).fit(X, y)
    path = [y.var(), *model.train_score_]
    assert (np.diff(path) <= 1e-12).all() and path[-1] < path[0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_margins_are_shares_for_the_class_less_the_most_for_another(seed, k):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, k, 60)
    y[:k] = range(k)
    member = DecisionTreeClassifier(max_depth=2)
    model = AdaBoostClassifier(member, 6, random_state=seed).fit(X, y)
    shares = model.estimator_weights_ / model.estimator_weights_.sum()
    answers = np.array([stage.predict(X) for stage in model.estimators_])
    margins = model.margins(X, y)
    for i in range(len(y)):
        share = [shares[answers[:, i] == c].sum() for c in range(k)]
        assert np.isclose(margins[i], share[y[i]] - max(np.delete(share, y[i])))
    assert (np.abs(margins) <= 1 + 1e-12).all()
    sure = np.abs(margins) > 1e-8
    assert np.array_equal((margins > 0)[sure], (model.predict(X) == y)[sure])
    if k == 2:
        assert np.allclose(margins, np.where(y == 1, 1, -1) * model.decision_function(X))
    scores = model.decision_function(X)
    assert np.abs(scores).max() <= 1 + 1e-12


def test_margins_grow_when_no_row_is_wrong_any_more():
    X, y = load_breast_cancer(return_X_y=True)
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), 100, random_state=0).fit(X, y)
    right = [*model.staged_score(X, y)]
    zero = right.index(1.0)
    least = [margins.min() for margins in model.staged_margins(X, y)]
    assert zero < 50 and right[-1] == 1 and least[-1] > 2 * least[zero] > 0


# Members other than trees


def test_networks_as_stages():
    X, y = load_digits(return_X_y=True)
    X = scale(X)[:600]
    member = NetworkClassifier(epochs=4, device="cpu")
    model = AdaBoostClassifier(member, 4, random_state=0).fit(X, y[:600])
    accuracy = [*model.staged_score(X, y[:600])]
    assert accuracy[-1] > accuracy[0] and len(model.estimators_) == 4
    assert len({stage.random_state for stage in model.estimators_}) == 4
    small = NetworkRegressor(epochs=10, device="cpu")
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    numbers = GradientBoostingRegressor(small, 6, learning_rate=0.5, random_state=0).fit(X, y)
    assert (np.diff(numbers.train_score_) < 0).all() and numbers.score(X, y) > 0.5
    X, y = load_iris(return_X_y=True)
    classes = GradientBoostingClassifier(small, 5, learning_rate=1.0, random_state=0)
    assert classes.fit(scale(X), y).score(scale(X), y) > 0.9
    assert (np.diff(classes.train_score_) < 0).all()


def test_a_linear_member_of_gradient_boosting_is_least_squares():
    X, y = load_diabetes(return_X_y=True)
    model = GradientBoostingRegressor(LinearRegression(), 60, learning_rate=0.5).fit(X, y)
    assert np.allclose(model.predict(X), LinearRegression().fit(X, y).predict(X))


# As an estimator


@pytest.mark.parametrize("kind", KINDS)
def test_search_clone_pickle_and_pipelines(kind):
    load = load_breast_cancer if is_classifier(kind()) else load_diabetes
    X, y = load(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), kind(random_state=0))
    name = f"{kind.__name__.lower()}__n_estimators"
    search = GridSearchCV(pipe, {name: [1, 20]}, cv=3).fit(X, y)
    assert search.best_params_ == {name: 20}
    assert cross_val_score(pipe, X, y, cv=3).mean() > (0.9 if is_classifier(pipe) else 0.3)
    again = clone(search.best_estimator_).fit(X, y)
    assert np.array_equal(again.predict(X), search.best_estimator_.predict(X))
    assert np.array_equal(pickle.loads(pickle.dumps(again)).predict(X), again.predict(X))


@pytest.mark.parametrize("kind", [AdaBoostClassifier, GradientBoostingClassifier])
def test_labels_of_any_kind(kind):
    X, y = load_iris(return_X_y=True)
    plain = kind(n_estimators=5, random_state=0).fit(X, y)
    names = np.array(["setosa", "versicolor", "virginica"])
    named = kind(n_estimators=5, random_state=0).fit(X, names[y])
    assert np.array_equal(named.predict(X), names[plain.predict(X)])
    shifted = kind(n_estimators=5, random_state=0).fit(X, y - 7)
    assert np.array_equal(shifted.predict(X) + 7, plain.predict(X))
    if kind is AdaBoostClassifier:
        assert np.array_equal(named.margins(X, names[y]), plain.margins(X, y))


class Interrupted(DecisionTreeRegressor):
    """Presses Control-C at a given fit."""

    left = 0

    def fit(self, X, y, sample_weight=None):
        Interrupted.left -= 1
        if Interrupted.left < 0:
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)


class InterruptedClassifier(DecisionTreeClassifier):
    def fit(self, X, y, sample_weight=None):
        Interrupted.left -= 1
        if Interrupted.left < 0:
            raise KeyboardInterrupt
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_keeps_the_stages_that_are_done(kind):
    X, y = load_breast_cancer(return_X_y=True)
    member = InterruptedClassifier if kind is AdaBoostClassifier else Interrupted
    Interrupted.left = 3
    model = kind(member(max_depth=1), random_state=0).fit(X, y)
    assert len(model.estimators_) == len([*model.staged_predict(X)]) == 3
    Interrupted.left = 3
    whole = kind(member(max_depth=1), 3, random_state=0).fit(X, y)
    assert np.array_equal(model.predict(X), whole.predict(X))
    Interrupted.left = 0
    with pytest.raises(KeyboardInterrupt):
        kind(member()).fit(X, y)


def pressed_at(monkeypatch, batch):
    """Control-C is pressed when networks come to the given batch, counted from 0."""
    monkeypatch.undo()
    count, batches = itertools.count(), Draws.batches

    def pressing(self, *how):
        for one in batches(self, *how):
            if next(count) >= batch:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(Draws, "batches", pressing)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_network_ends_the_whole(kind, monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    network = NetworkClassifier if kind is AdaBoostClassifier else NetworkRegressor
    member = network(epochs=2, batch_size=100, device="cpu")  # 6 batches an epoch
    pressed_at(monkeypatch, 2 * 12 + 9)
    model = kind(member, random_state=0).fit(scale(X), y)
    assert len(model.estimators_) == 2
    pressed_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        kind(member).fit(scale(X), y)


def test_an_interrupted_network_at_the_end_of_a_pipeline_ends_the_whole(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    network = NetworkRegressor(epochs=2, batch_size=100, device="cpu")  # 6 batches an epoch
    pressed_at(monkeypatch, 2 * 12 + 9)
    member = make_pipeline(StandardScaler(), network)
    assert len(GradientBoostingClassifier(member, random_state=0).fit(X, y).estimators_) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_named(kind):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="is infinite"):
        kind().fit(np.where(X > 7, np.inf, X), y)
    for bad in ({"n_estimators": 0}, {"n_estimators": 2.5}):
        with pytest.raises(ValueError, match=f"n_estimators={bad['n_estimators']}.*1 stage"):
            kind(**bad).fit(X, y)
    for rate in (0, -0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"learning_rate={rate}.*above 0"):
            kind(learning_rate=rate).fit(X, y)
    if is_classifier(kind()):
        with pytest.raises(ValueError, match="one class only, .*'a'"):
            kind().fit(X, ["a"] * len(X))


def test_members_that_cannot_be_stages_are_named():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="KNeighborsClassifier.fit takes no sample_weight"):
        AdaBoostClassifier(KNeighborsClassifier()).fit(X, y)
    with pytest.raises(ValueError, match="DecisionTreeRegressor is not a classifier"):
        AdaBoostClassifier(DecisionTreeRegressor()).fit(X, y)
    with pytest.raises(ValueError, match="DecisionTreeClassifier is not a regressor"):
        GradientBoostingClassifier(DecisionTreeClassifier()).fit(X, y)
    model = GradientBoostingRegressor(KNeighborsRegressor(), 3)
    assert model.fit(X, y).score(X, y) > 0.4
    with pytest.raises(ValueError, match="KNeighborsRegressor.fit takes no sample_weight"):
        model.fit(X, y, np.ones(len(y)))


def test_margins_of_classes_never_seen_are_refused():
    X, y = load_iris(return_X_y=True)
    model = AdaBoostClassifier(n_estimators=2).fit(X, y)
    with pytest.raises(ValueError, match="y gives 9, which is none of"):
        model.margins(X[:2], [0, 9])
    with pytest.raises(ValueError, match="inconsistent"):
        model.margins(X, y[:3])
