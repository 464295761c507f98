"""Stacking: nobody is believed for what he learned by heart, and the weights are the best ones."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import ensemble as reference
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

import ensemble_lab as lab
from ensemble_lab.answers.stacking import StackedAnswers
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.training.stacking.stacking import StackingClassifier, StackingRegressor
from ensemble_lab.training.stacking.super_learner import (
    ConvexWeightsClassifier,
    ConvexWeightsRegressor,
)
from tests.models.test_live import assert_live_equals_replay
from tests.support.strategies import outcomes

CLASSIFIERS = [
    ("tree", DecisionTreeClassifier(max_depth=6, random_state=0)),
    ("bayes", GaussianNB()),
    ("decisions", make_pipeline(StandardScaler(), RidgeClassifier())),
    ("neighbours", KNeighborsClassifier(3)),
]
REGRESSORS = [
    ("tree", DecisionTreeRegressor(max_depth=4, random_state=0)),
    ("ridge", Ridge()),
    ("neighbours", KNeighborsRegressor(7)),
]
LOADERS = {"digits": load_digits, "cancer": load_breast_cancer, "diabetes": load_diabetes}


@pytest.fixture(scope="module")
def data():
    """Half the rows to learn from, and half the rows that are new: X, y, new."""
    some = {}
    for name, load in LOADERS.items():
        X, y = load(return_X_y=True)
        rows = np.random.default_rng(0).permutation(len(X))[:500]
        X = StandardScaler().fit_transform(X)[rows]
        some[name] = X[::2], y[rows][::2], X[1::2]
    return some


class Witness(BaseEstimator):
    """Says of every row whether it learned from it."""

    def fit(self, X, y):
        self.seen_, self.classes_ = {row.tobytes() for row in X}, np.unique(y)
        return self

    def predict(self, X):
        return np.array([float(row.tobytes() in self.seen_) for row in X])


class WitnessClassifier(ClassifierMixin, Witness):
    """For classes."""


class WitnessRegressor(RegressorMixin, Witness):
    """For numbers."""


class Failing(ClassifierMixin, BaseEstimator):
    """Fails to learn, in the way that it is told to."""

    def __init__(self, error=ValueError):
        self.error = error

    def fit(self, X, y):
        raise self.error("no such luck")

    def predict(self, X):
        return np.zeros(len(X), int)


# -- beside scikit-learn --------------------------------------------------------------------------


def out_of_fold(members, X, y, cv, methods):
    """The features of a stack, by scikit-learn's own hand."""
    parts = []
    for (_, member), method in zip(members, methods):
        said = cross_val_predict(clone(member), X, y, cv=cv, method=method)
        said = said.reshape(len(X), -1)
        two = method == "predict_proba" and said.shape[1] == 2
        parts.append(said[:, 1:] if two else said)
    return np.hstack(parts)


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("method", ["auto", "predict"])
@pytest.mark.parametrize("name", ["digits", "cancer"])
def test_classes_are_stacked_as_in_scikit_learn(data, name, method, passthrough):
    X, y, new = data[name]
    how = {
        "final_estimator": LogisticRegression(max_iter=2000),
        "cv": StratifiedKFold(4, shuffle=True, random_state=3),
        "stack_method": method,
        "passthrough": passthrough,
    }
    ours = StackingClassifier(CLASSIFIERS, **how).fit(X, y)
    theirs = reference.StackingClassifier(CLASSIFIERS, **how).fit(X, y)
    methods = ["predict"] * 4
    if method == "auto":
        methods = ["predict_proba", "predict_proba", "decision_function", "predict_proba"]
    assert ours.stack_method_ == methods
    own = out_of_fold(CLASSIFIERS, X, y, how["cv"], methods)
    np.testing.assert_allclose(ours.stacked_[:, : own.shape[1]], own, atol=1e-12)
    np.testing.assert_allclose(ours.features(new), theirs.transform(new), atol=1e-12)
    np.testing.assert_allclose(ours.predict_proba(new), theirs.predict_proba(new), atol=1e-7)
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))
    np.testing.assert_allclose(
        ours.decision_function(new), theirs.decision_function(new), atol=1e-5
    )


@pytest.mark.parametrize("cv", [None, 3, KFold(4, shuffle=True, random_state=1)])
@pytest.mark.parametrize("passthrough", [False, True])
def test_numbers_are_stacked_as_in_scikit_learn(data, cv, passthrough):
    X, y, new = data["diabetes"]
    how = {"final_estimator": LinearRegression(), "cv": cv, "passthrough": passthrough}
    ours = StackingRegressor(REGRESSORS, **how).fit(X, y)
    theirs = reference.StackingRegressor(REGRESSORS, **how).fit(X, y)
    own = out_of_fold(REGRESSORS, X, y, cv, ["predict"] * 3)
    np.testing.assert_allclose(ours.stacked_[:, :3], own, atol=1e-9)
    np.testing.assert_allclose(ours.features(new), theirs.transform(new), atol=1e-9)
    np.testing.assert_allclose(ours.predict(new), theirs.predict(new), rtol=1e-9)


def test_the_default_final_model_is_scikit_learns(data):
    for ours, theirs, name in [
        (StackingClassifier(CLASSIFIERS[:2]), reference.StackingClassifier, "cancer"),
        (StackingRegressor(REGRESSORS), reference.StackingRegressor, "diabetes"),
    ]:
        X, y, new = data[name]
        expected = theirs(ours.estimators).fit(X, y).predict(new)
        np.testing.assert_allclose(ours.fit(X, y).predict(new), expected)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3])
def test_the_default_final_model_is_for_numbers_of_any_unit(data, unit):
    X, y, new = data["diabetes"]
    y = (y - y.mean()) / y.std()
    stack = StackingRegressor(REGRESSORS)
    said = stack.fit(X, y).predict(new)
    np.testing.assert_allclose(stack.fit(X, y * unit).predict(new) / unit, said, atol=0.1)


# -- nobody judges what he learned from -----------------------------------------------------------


@pytest.mark.parametrize(
    "cv", [2, 5, 0.3, ShuffleSplit(1, test_size=0.4, random_state=0), KFold(3, shuffle=True)]
)
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_nothing_that_is_passed_on_was_learned_by_heart(data, cv, kind):
    if kind == "classes":
        X, y, _ = data["cancer"]
        stack = StackingClassifier(
            [("witness", WitnessClassifier()), ("tree", DecisionTreeClassifier())], cv=cv
        )
    else:
        X, y, _ = data["diabetes"]
        stack = StackingRegressor(
            [("witness", WitnessRegressor()), ("tree", DecisionTreeRegressor())], cv=cv
        )
    stack.fit(X, y)
    assert not stack.stacked_[:, 0].any()
    assert len(stack.stacked_) == len(stack.stacked_rows_)
    seen = stack.features(X)[:, 0]
    blended = isinstance(cv, float | ShuffleSplit)
    if blended:  # the members learned once, from the rows that do not judge them
        np.testing.assert_array_equal(np.flatnonzero(seen == 0), stack.stacked_rows_)
    else:
        assert seen.all()
        np.testing.assert_array_equal(stack.stacked_rows_, np.arange(len(X)))


def test_blending_is_done_by_hand_in_four_lines(data):
    X, y, new = data["diabetes"]
    stack = StackingRegressor(REGRESSORS, Ridge(), cv=0.3).fit(X, y)
    held = stack.stacked_rows_
    assert len(held) == 67  # of 221
    learn = np.setdiff1d(np.arange(len(X)), held)
    members = [clone(member).fit(X[learn], y[learn]) for _, member in REGRESSORS]
    said = [np.column_stack([member.predict(rows) for member in members]) for rows in (X, new)]
    np.testing.assert_allclose(stack.stacked_, said[0][held])
    expected = Ridge().fit(said[0][held], y[held]).predict(said[1])
    np.testing.assert_allclose(stack.predict(new), expected)


def test_a_share_holds_out_every_class_in_its_share():
    y = np.repeat(["rare", "common"], [10, 90])
    X = np.random.default_rng(0).normal(size=(100, 2))
    held = StackingClassifier(cv=0.3).fit(X, y).stacked_rows_
    assert (y[held] == "rare").sum() == 3 and len(held) == 30


# -- its parts ------------------------------------------------------------------------------------


def test_a_final_model_without_probabilities_still_predicts(data):
    X, y, new = data["cancer"]
    stack = StackingClassifier(CLASSIFIERS[:2], RidgeClassifier())
    assert not hasattr(stack, "predict_proba")
    assert set(stack.fit(X, y).predict(new)) <= {0, 1}
    with pytest.raises(AttributeError) as caught:
        stack.predict_proba(new)
    assert "RidgeClassifier has no predict_proba" in str(caught.value.__cause__)
    assert stack.decision_function(new).shape == (250,)


@pytest.mark.parametrize("labels", [["no", "yes"], [5, 3], [True, False], [-1.0, 1.0]])
def test_labels_of_any_kind(data, labels):
    X, y, new = data["cancer"]
    named = np.array(labels)[y]
    stack = StackingClassifier(CLASSIFIERS[:2], cv=3).fit(X, named)
    assert set(stack.predict(new)) <= set(labels)
    assert stack.score(X, named) > 0.9
    np.testing.assert_array_equal(stack.classes_, np.unique(named))


def test_it_is_cloned_pickled_and_searched(data):
    X, y, new = data["cancer"]
    stack = StackingClassifier(CLASSIFIERS[:2], cv=3)
    search = GridSearchCV(
        stack, {"tree__max_depth": [1, 3], "bayes": [GaussianNB(), LogisticRegression()]}, cv=2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    best = search.best_estimator_
    assert best.named_estimators_["tree"].max_depth == search.best_params_["tree__max_depth"]
    assert stack.estimators[0][1].max_depth == 6  # the search left the original alone
    again = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(again.predict(new), best.predict(new))
    assert clone(stack).get_params()["tree__max_depth"] == 6


def test_an_interrupt_keeps_the_members_that_are_done(data):
    X, y, new = data["cancer"]
    stack = StackingClassifier([*CLASSIFIERS[:2], ("stopped", Failing(KeyboardInterrupt))])
    assert list(stack.fit(X, y).named_estimators_) == ["tree", "bayes"]
    expected = StackingClassifier(CLASSIFIERS[:2]).fit(X, y)
    np.testing.assert_array_equal(stack.predict_proba(new), expected.predict_proba(new))
    with pytest.raises(KeyboardInterrupt):
        StackingClassifier([("stopped", Failing(KeyboardInterrupt))]).fit(X, y)


def test_networks_are_members_as_well(data):
    X, y, new = data["cancer"]
    network = lab.NetworkClassifier(epochs=5, random_state=0)
    stack = StackingClassifier([("network", network), ("bayes", GaussianNB())], cv=2)
    proba = stack.fit(X, y).predict_proba(new)
    assert stack.stacked_.shape == (250, 2) and np.allclose(proba.sum(1), 1)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (StackingClassifier([]), "1 or more"),
        (StackingClassifier([("a", GaussianNB()), ("a", GaussianNB())]), "unique"),
        (StackingClassifier([("a__b", GaussianNB())]), "__"),
        (
            StackingClassifier([("good", GaussianNB()), ("odd", Failing())]),
            "'odd'.*Failing.*no such luck",
        ),
        (StackingClassifier(final_estimator=Failing()), "final model.*no such luck"),
        (StackingClassifier(final_estimator=Ridge()), "Ridge is not a classifier"),
        (StackingClassifier(stack_method="loud"), "stack_method='loud'"),
        (
            StackingClassifier(
                [("near", KNeighborsClassifier())], stack_method="decision_function"
            ),
            "'near'.*has no decision_function",
        ),
        (StackingClassifier(cv=7), "cv=7 folds.*6 of one class"),
        (StackingClassifier(cv=1.5), "cv=1.5"),
        (StackingClassifier(cv=0.0), "cv=0.0"),
        (StackingClassifier(cv=ShuffleSplit(30)), "predicts row .* twice"),
        (StackingClassifier(cv=KFold(2)), "class 'no' is in no row"),
        (StackingClassifier(cv=TimeSeriesSplit(3)), "class 'yes' is in no row"),
    ],
)
def test_what_cannot_be_stacked_is_refused_by_name(stack, message):
    X = np.random.default_rng(0).normal(size=(12, 3))
    with pytest.raises(ValueError, match=message):
        stack.fit(X, np.repeat(["no", "yes"], 6))


def test_rows_and_numbers_that_do_not_do_are_refused():
    X = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(ValueError, match=r"cv=5 folds.*4 samples"):
        StackingRegressor().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="not a regressor"):
        StackingRegressor(final_estimator=LogisticRegression(), cv=2).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="one class only, 'yes'"):
        StackingClassifier().fit(X, ["yes"] * 4)
    X[2, 1] = np.nan
    for stack in (StackingClassifier(cv=2), StackingRegressor(cv=2)):
        with pytest.raises(ValueError, match="NaN"):
            stack.fit(X, [0, 1, 0, 1])


# -- the super learner's weights ------------------------------------------------------------------


@st.composite
def predictions(draw):
    """What m members say (n, m), the numbers (n,) and other weights (m,)."""
    n, m = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    scale = 10.0 ** draw(st.integers(-4, 4))
    numbers = st.floats(-10, 10)
    other = draw(arrays(float, m, elements=st.floats(0, 1))) + 1e-9
    return (
        scale * draw(arrays(float, (n, m), elements=numbers)),
        scale * draw(arrays(float, n, elements=numbers)),
        other / other.sum(),
    )


def is_convex(weights):
    return (weights >= 0).all() and abs(weights.sum() - 1) < 1e-12


@given(predictions())
def test_no_convex_weights_have_less_squared_error(said):
    X, y, other = said
    best = ConvexWeightsRegressor().fit(X, y).weights_
    assert is_convex(best)
    room = 1e-9 * np.abs(X - y[:, None]).max() ** 2
    corners = [other, *np.eye(X.shape[1]), *(0.99 * best + 0.01 * np.eye(X.shape[1]))]
    for weights in corners:
        assert np.mean((X @ best - y) ** 2) <= np.mean((X @ weights - y) ** 2) + room


def test_convex_weights_by_hand():
    # Errors of 1 and 2 that do not go together: their weights are as 4 to 1.
    errors = np.array([[1, 2], [-1, 2], [1, -2], [-1, -2]])
    assert np.allclose(ConvexWeightsRegressor().fit(errors, np.zeros(4)).weights_, [0.8, 0.2])
    # The best line is 2 a - b; on the way to it, a is as far as convex weights go.
    X = np.array([[1.0, 0.0], [2.0, 1.0], [4.0, 5.0]])
    assert np.allclose(ConvexWeightsRegressor().fit(X, X @ [2, -1]).weights_, [1, 0])


@st.composite
def probas(draw):
    """What m members say of k classes (n, m, k), the right ones (n,) and other weights (m,)."""
    n, m, k = draw(st.integers(2, 8)), draw(st.integers(1, 4)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    proba = rng.dirichlet(np.full(k, draw(st.sampled_from([0.05, 0.5, 5.0]))), (n, m))
    return proba, rng.integers(0, k, n), rng.dirichlet(np.ones(m))


def side_by_side(proba):
    return proba[..., 1] if proba.shape[-1] == 2 else proba.reshape(len(proba), -1)


@given(probas())
def test_no_convex_weights_have_less_log_loss(said):
    proba, y, other = said
    k = proba.shape[-1]
    # Every class is met in a row of which all members are sure: that says nothing of them.
    sure = np.repeat(np.eye(k)[:, None], proba.shape[1], axis=1)
    proba, y = np.concatenate([proba, sure]), np.r_[y, range(k)]
    best = ConvexWeightsClassifier().fit(side_by_side(proba), y)
    assert is_convex(best.weights_)
    chances = np.maximum(proba[np.arange(len(y)), :, y], np.finfo(float).eps)

    def loss(weights):
        return -np.log(chances @ weights).mean()

    steps = 0.99 * best.weights_ + 0.01 * np.eye(len(other))
    for weights in (other, *np.eye(len(other)), *steps):
        assert loss(best.weights_) <= loss(weights) + 1e-7
    mixture = np.einsum("nmk,m->nk", proba, best.weights_)
    np.testing.assert_allclose(best.predict_proba(side_by_side(proba)), mixture, atol=1e-12)


def test_mixture_weights_by_hand():
    # Sure of 3 rows, one member is wrong on the fourth, of which the other alone is sure.
    right = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    y = np.array(["a", "b", "a", "b"])
    second = np.where(y[:, None] == "b", right, 1 - right).astype(float)  # (n, m)
    found = ConvexWeightsClassifier().fit(second, y)
    assert np.allclose(found.weights_, [0.75, 0.25])
    assert np.allclose(found.predict_proba(second)[:, 1], second @ [0.75, 0.25])
    assert found.predict(second).tolist() == ["a", "b", "a", "a"]


def test_the_super_learner_is_no_worse_than_its_best_member_out_of_fold(data):
    X, y, new = data["digits"]
    probable = [CLASSIFIERS[i] for i in (0, 1, 3)]
    stack = StackingClassifier(probable, ConvexWeightsClassifier(), cv=5).fit(X, y)
    said = stack.stacked_.reshape(len(X), 3, 10)
    together = log_loss(y, stack.final_estimator_.predict_proba(stack.stacked_))
    assert together <= min(log_loss(y, said[:, j]) for j in range(3))
    assert np.allclose(stack.predict_proba(new).sum(1), 1)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[0.5, 0.5], [0.2, 1.8], [0.1, 0.9]], "no probabilities"),
        ([[0.5, 0.5], [-0.2, 0.8], [0.1, 0.9]], "no probabilities"),
    ],
)
def test_columns_that_are_no_probabilities_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        ConvexWeightsClassifier().fit(X, [0, 1, 0])
    with pytest.raises(ValueError, match="2 columns, no multiple of 3"):
        ConvexWeightsClassifier().fit(np.abs(X), [0, 1, 2])


# -- the interface --------------------------------------------------------------------------------

NO_PROBABILITIES = (
    "its features are probabilities of the classes by each member, which the check's are not"
)
NEEDS_PROBABILITIES = """
check_fit_score_takes_y check_estimators_overwrite_params check_dont_overwrite_parameters
check_estimators_fit_returns_self check_readonly_memmap_input check_n_features_in_after_fitting
check_positive_only_tag_during_fit check_estimators_dtypes check_dtype_object
check_pipeline_consistency check_estimators_pickle check_f_contiguous_array_estimator
check_classifier_data_not_an_array check_classifiers_classes check_classifiers_train
check_supervised_y_2d check_methods_sample_order_invariance check_methods_subset_invariance
check_fit2d_1feature check_dict_unchanged check_fit_idempotent check_fit_check_is_fitted
check_n_features_in check_fit2d_predict1d
""".split()


@pytest.mark.parametrize(
    "estimator",
    [
        StackingClassifier(),
        StackingRegressor(),
        StackingClassifier(final_estimator=ConvexWeightsClassifier(), cv=0.4),
        StackingRegressor(final_estimator=ConvexWeightsRegressor(), cv=2),
        ConvexWeightsRegressor(),
    ],
    ids=repr,
)
@pytest.mark.slow
def test_scikit_learns_checks_of_an_estimator_pass(estimator):
    check_estimator(estimator, on_skip=None)


def test_scikit_learns_checks_pass_where_features_need_be_no_probabilities():
    expected = dict.fromkeys(NEEDS_PROBABILITIES, NO_PROBABILITIES)
    results = check_estimator(
        ConvexWeightsClassifier(), expected_failed_checks=expected, on_skip=None
    )
    passed = {one["check_name"] for one in results if one["status"] == "passed"}
    assert len(passed) > 20 and not passed & expected.keys()


def test_mixture_weights_are_an_estimator_on_probabilities():
    proba = np.random.default_rng(0).dirichlet([1, 1, 1], (60, 2))
    y = np.array(["x", "y", "z"])[proba[:, 0].argmax(-1)]
    X = side_by_side(proba)
    found = clone(ConvexWeightsClassifier()).fit(X, y)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.predict(X), found.predict(X))
    np.testing.assert_array_equal(found.predict_proba(X)[::-1], found.predict_proba(X[::-1]))
    assert found.weights_[0] > 0.9 and found.score(X, y) > 0.9
    with pytest.raises(ValueError, match="features"):
        found.predict(X[:, :3])


# -- recorded answers -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contrary():
    """`a` says x for y and y for x, `b` guesses with words for it, `c` is right half the time."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    turned = np.array([1, 0, 2])[truth]
    half = np.where(rng.random(400) < 0.5, truth, rng.integers(0, 3, 400))
    answer = np.column_stack([turned, rng.integers(0, 3, 400), half])
    return Outcomes(
        models=("a", "b", "c"),
        items=np.arange(400),
        correct=(answer == truth[:, None]).astype(float),
        answer=answer,
        labels=("x", "y", "z"),
        truth=truth,
        confidence=rng.random((400, 3)),
        cost=np.broadcast_to([1.0, 2.0, 5.0], (400, 3)),
    )


def test_it_learns_what_an_answer_means(contrary):
    fit, shown = contrary.split()
    decided = StackedAnswers().fit(fit).decide(shown)
    assert decided.accuracy == 1.0 and shown.accuracy().max() < 0.8
    assert decided.mean_cost == 8.0 and decided.called.all()


def test_it_learns_from_probabilities_where_there_are_any(contrary):
    truth = contrary.truth
    proba = np.full((400, 3, 3), 1 / 3)
    proba[:, 0] = 0.2
    proba[np.arange(400), 0, (truth + 1) % 3] = 0.6  # the answers know nothing of this
    table = replace(contrary, probability=proba, answer=None)
    fit, shown = table.split()
    fitted = StackedAnswers().fit(fit)
    assert fitted.decide(shown).accuracy == 1.0
    # Where a distribution is lacking, an answer is taken for sure.
    sure = np.where(np.arange(3) == (shown.truth + 1)[:, None] % 3, 1.0, 0.0)
    probas, answers = shown.probability.copy(), np.full((len(shown), 3), ABSENT)
    probas[:, 0], answers[:, 0] = np.nan, (shown.truth + 1) % 3
    lacking = fitted.decide(replace(shown, probability=probas, answer=answers))
    probas = probas.copy()
    probas[:, 0] = sure
    np.testing.assert_array_equal(
        lacking.answer, fitted.decide(replace(shown, probability=probas)).answer
    )


def test_its_confidence_tells_it_when_to_believe_a_model():
    rng = np.random.default_rng(1)
    truth, sure = rng.integers(0, 2, 600), rng.random((600, 2))
    answer = np.where(sure > 0.5, truth[:, None], rng.integers(0, 2, (600, 2)))
    table = Outcomes(
        models=("a", "b"), items=np.arange(600), labels=("no", "yes"), truth=truth, answer=answer,
        correct=(answer == truth[:, None]).astype(float), confidence=sure,
    )  # fmt: skip
    fit, shown = table.split()
    blind = replace(fit, confidence=None), replace(shown, confidence=None)
    heard = StackedAnswers().fit(fit).decide(shown).accuracy
    assert heard > StackedAnswers().fit(blind[0]).decide(blind[1]).accuracy + 0.02


def test_right_answers_stand_in_for_a_missing_truth(contrary):
    fit, shown = contrary.split()
    fitted = StackedAnswers().fit(replace(fit, truth=None))
    known = (fit.correct == 1).any(axis=1)
    expected = StackedAnswers().fit(fit.take(known))
    np.testing.assert_array_equal(fitted.decide(shown).answer, expected.decide(shown).answer)


@settings(max_examples=30)
@given(
    outcomes(
        min_items=12, max_items=20, min_models=2, max_models=3, labels=3, with_confidence=None
    ),
    st.booleans(),
)
def test_it_reads_only_what_was_said(table, given):
    proba = np.random.default_rng(0).dirichlet([1, 1, 1], table.answer.shape)
    table = replace(table, probability=proba if given else None)
    silent = (table.answer < 0).all(axis=1) & (not given)
    assume(len(np.unique(table.truth[(table.truth >= 0) & ~silent])) > 1)
    fitted = StackedAnswers().fit(table)
    plain = fitted.decide(table)
    scrambled = replace(
        table, correct=np.full(table.correct.shape, np.nan), truth=np.roll(table.truth, 1)
    )
    np.testing.assert_array_equal(fitted.decide(scrambled).answer, plain.answer)
    order = np.arange(len(table))[::-1]
    np.testing.assert_array_equal(fitted.decide(table.take(order)).answer, plain.answer[order])
    # What cannot be read is a wrong answer; it abstains only where nobody replied.
    unasked = (table.answer == ABSENT).all(axis=1) & (not given)
    np.testing.assert_array_equal(plain.abstained, unasked)
    for row in (0, len(table) - 1):
        assert_live_equals_replay(fitted, table, row, parallel=True)
    # Labels by any other order mean the same.
    other = replace(
        table,
        labels=table.labels[::-1],
        answer=np.where(table.answer >= 0, 2 - table.answer, table.answer),
        truth=None,
        probability=proba[:, :, ::-1] if given else None,
    )
    assert fitted.decide(other).answers == plain.answers


def test_the_member_that_gave_the_answer_is_named_and_silence_abstains(contrary):
    fitted = StackedAnswers().fit(contrary)
    rows = contrary.take([0, 1, 2])
    # Nobody replied, nobody could be read, and `a` alone says x (which is y).
    answer = np.array([[ABSENT] * 3, [UNPARSED] * 3, [0, ABSENT, ABSENT]])
    decided = fitted.decide(replace(rows, answer=answer))
    assert decided.answers == [None, None, "y"]
    assert decided.chosen.tolist() == [-2, 0, -1]  # the first of the replies that cannot be read
    agreed = fitted.decide(replace(rows, answer=np.array([[0, 1, 1]] * 3)))
    assert agreed.answers == ["y"] * 3 and agreed.chosen.tolist() == [1] * 3


def test_members_and_final_model_can_be_chosen(contrary):
    tree = DecisionTreeClassifier(random_state=0)
    fitted = StackedAnswers(("c", "a"), tree).fit(contrary)
    decided = fitted.decide(contrary)
    assert decided.called.all(axis=0).tolist() == [True, False, True]
    assert isinstance(fitted.fitted, DecisionTreeClassifier) and not hasattr(tree, "tree_")


def test_what_it_cannot_learn_from_is_refused_by_name(contrary):
    with pytest.raises(ValueError, match="not fitted"):
        StackedAnswers().decide(contrary)
    with pytest.raises(ValueError, match="1223 labels"):
        StackedAnswers().fit(lab.load_outcomes("gsm8k-44-llms"))
    with pytest.raises(ValueError, match="'answer'"):
        StackedAnswers().fit(lab.load_outcomes("gsm8k-openai-2021"))
    with pytest.raises(ValueError, match="fewer than two"):
        StackedAnswers().fit(contrary.take(contrary.truth == 1))
    with pytest.raises(ValueError, match="members='a'"):
        StackedAnswers("a")
    with pytest.raises(KeyError, match="'d'"):
        StackedAnswers(("d",)).fit(contrary)


def test_the_answer_may_be_a_label_that_the_table_does_not_list(contrary):
    fitted = StackedAnswers().fit(contrary)
    told = replace(contrary.take([0]), answer=np.array([[0, ABSENT, ABSENT]]), truth=np.array([1]))
    assert fitted.decide(told).answers == ["y"]  # `a` says x where y is right
    lacking = replace(told, labels=("x", "z"), truth=None)
    decided = fitted.decide(lacking)
    assert decided.labels == ("x", "z", "y") and decided.answers == ["y"]
    # Another truth that is listed is graded by label: code 1 is z there, and y is wrong.
    assert fitted.decide(replace(lacking, truth=np.array([1]))).accuracy == 0.0
    assert fitted.decide(told).accuracy == 1.0


@pytest.mark.parametrize("name", ["imdb-services", "rafdb-services"])
def test_services_stacked_beat_the_best_of_them_and_their_vote(name):
    """On held-out items of five splits, each time."""
    table = lab.load_outcomes(name)
    for seed in range(5):
        fit, shown = table.split(0.5, seed)
        stacked = StackedAnswers().fit(fit).decide(shown).accuracy
        best = shown.select(models=[fit.best_single().model]).accuracy()[0]
        assert stacked > max(best, lab.WeightedVote().fit(fit).decide(shown).accuracy)
