"""Bagging: scikit-learn's members, networks as one batch, and what nobody's draw holds."""

import pickle
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import ensemble as reference
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from ensemble_lab import training as ours
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.bagging.bagging import BaggingClassifier, BaggingRegressor
from ensemble_lab.training.bagging.bootstrap import outside, size_of, variance_of_mean
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.members import Members
from ensemble_lab.training.networks import NetworkClassifier, NetworkRegressor, perceptron
from tests.support.exact_networks import QUICK, ExactClassifier, ExactRegressor
from tests.support.wild_network import Wild

DRAWS = [
    {},
    {"max_samples": 0.4},
    {"max_features": 0.5},
    {"max_samples": 150, "max_features": 7},
    {"bootstrap": False, "max_samples": 0.5},
]
NETWORK = {"epochs": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


# -- beside scikit-learn --------------------------------------------------------------------------


def both(kind, member, data, draws, seed=3):
    """Ours and scikit-learn's, fitted on every other row."""
    X, y = data(return_X_y=True)
    judged = draws.get("bootstrap", True)
    settings = {"oob_score": judged, "random_state": seed, **draws}
    made = [getattr(module, kind)(member, 25, **settings) for module in (ours, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return X, [model.fit(X[::2], y[::2]) for model in made]


def mine_classes(model, data):
    return np.searchsorted(model.classes_, data(return_X_y=True)[1][::2])


MEMBERS = [
    None,
    DecisionTreeClassifier(max_depth=3),
    KNeighborsClassifier(3),
    RidgeClassifier(),
]


@pytest.mark.slow
@pytest.mark.parametrize("draws", DRAWS, ids=str)
@pytest.mark.parametrize("data", [load_digits, load_breast_cancer], ids=lambda d: d.__name__)
@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_classes_are_scikit_learns(member, data, draws):
    X, (mine, theirs) = both("BaggingClassifier", member, data, draws)
    proba = mine.predict_proba(X)
    assert np.allclose(proba, theirs.predict_proba(X), atol=1e-12)
    best = np.sort(proba, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-9  # at a tie rounding decides in scikit-learn
    assert np.array_equal(mine.predict(X)[clear], theirs.predict(X)[clear])
    for mine_drew, theirs_drew in zip(
        mine.estimators_samples_, theirs.estimators_samples_, strict=True
    ):
        assert np.array_equal(mine_drew, theirs_drew)
    if mine.oob_score:
        judged = ~np.isnan(mine.oob_decision_function_[:, 0])
        proba = theirs.oob_decision_function_
        assert np.allclose(mine.oob_decision_function_[judged], proba[judged], atol=1e-12)
        # Theirs, with the rows that nobody can judge left out, and ties to the first class.
        right = first_best(proba[judged].T) == mine_classes(mine, data)[judged]
        assert mine.oob_score_ == right.mean()


@pytest.mark.parametrize("draws", DRAWS, ids=str)
@pytest.mark.parametrize("member", [None, DecisionTreeRegressor(max_depth=3),
                                    KNeighborsRegressor(3)], ids=repr)  # fmt: skip
def test_numbers_are_scikit_learns(member, draws):
    draws = {**draws, **({"max_features": 4} if "max_features" in draws else {})}
    X, (mine, theirs) = both("BaggingRegressor", member, load_diabetes, draws)
    assert np.allclose(mine.predict(X), theirs.predict(X), atol=1e-9)
    if mine.oob_score:
        judged = ~np.isnan(mine.oob_prediction_)
        assert judged.all()
        assert np.allclose(mine.oob_prediction_, theirs.oob_prediction_, atol=1e-9)
        assert abs(mine.oob_score_ - theirs.oob_score_) < 1e-12


def test_one_random_state_gives_scikit_learns_members_and_goes_on_from_there(cancer):
    X, y = cancer
    mine, theirs = np.random.RandomState(5), np.random.RandomState(5)
    for _ in range(2):  # the second bag begins where the first left the generator
        one = ours.BaggingClassifier(None, 4, random_state=mine).fit(X, y)
        other = reference.BaggingClassifier(None, 4, random_state=theirs).fit(X, y)
        said = [member.predict(X[:, columns]) for member, columns in
                zip(other.estimators_, other.estimators_features_, strict=True)]  # fmt: skip
        assert np.array_equal(one.member_predictions(X), said)
    assert mine.randint(1000) == theirs.randint(1000)


@pytest.mark.parametrize(
    "model",
    [
        BaggingClassifier(),
        BaggingClassifier(voting="hard"),
        BaggingRegressor(),
        BaggingClassifier(ExactClassifier(**QUICK), 3),
        BaggingRegressor(ExactRegressor(**QUICK), 3),
    ],
    ids=repr,
)
@pytest.mark.slow
def test_scikit_learns_own_checks(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(model)


# -- votes and rows outside -----------------------------------------------------------------------


class Says(ClassifierMixin, BaseEstimator):
    """A member that gives all rows the distribution that the next of a list names."""

    probas = iter(())

    def fit(self, X, y):
        self.classes_, self.proba_ = np.array([5, 6, 7]), next(Says.probas)
        return self

    def predict_proba(self, X):
        return np.tile(self.proba_, (len(X), 1))


@pytest.mark.parametrize("voting, expected", [("soft", 2), ("hard", 1)])
def test_soft_and_hard_votes_by_hand(voting, expected):
    Says.probas = iter([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4], [0.0, 0.1, 0.9]])
    X, y = np.zeros((6, 1)), np.array([5, 6, 7, 5, 6, 7])
    model = BaggingClassifier(Says(), 3, voting=voting, random_state=0).fit(X, y)
    assert model.predict(X[:1]) == 5 + expected
    share = [[0, 2 / 3, 1 / 3]] if voting == "hard" else [[0.2 / 3, 1.1 / 3, 1.7 / 3]]
    assert np.allclose(model.predict_proba(X[:1]), share)
    assert model.member_predictions(X[:1]).ravel().tolist() == [6, 6, 7]


def test_rows_outside_by_hand():
    found = outside([np.array([0, 0, 2]), np.array([1, 2, 2])], 4)
    assert found.tolist() == [[False, True, False, True], [True, False, False, True]]


def test_rows_that_all_have_drawn_are_told_and_left_out(cancer):
    X, y = cancer
    with pytest.warns(UserWarning, match="of 569 rows were drawn by every member") as told:
        model = BaggingClassifier(None, 3, oob_score=True, random_state=0).fit(X, y)
    assert told[0].filename == __file__
    never = np.all([np.isin(np.arange(569), rows) for rows in model.estimators_samples_], axis=0)
    assert 50 < never.sum() < 250
    assert np.array_equal(np.isnan(model.oob_decision_function_[:, 0]), never)
    right = first_best(model.oob_decision_function_[~never].T) == y[~never]
    assert model.oob_score_ == right.mean()
    assert str(told[0].message).startswith(f"{never.sum()} of 569")


def test_where_no_member_can_judge_there_is_no_score():
    X, y = np.array([[0.0], [1.0]]), [0, 1]
    for model in (BaggingClassifier, BaggingRegressor):
        seed = next(s for s in range(99) if len(set(model(None, 1, random_state=s).fit(X, y)
                    .estimators_samples_[0])) == 2)  # fmt: skip
        with pytest.warns(UserWarning, match="2 of 2 rows"):
            assert np.isnan(model(None, 1, oob_score=True, random_state=seed).fit(X, y).oob_score_)


# -- networks -------------------------------------------------------------------------------------


def test_networks_learn_from_the_rows_of_their_draw(cancer):
    X, y = cancer
    network = NetworkClassifier(**NETWORK)
    model = BaggingClassifier(network, 4, random_state=0, oob_score=False).fit(X, y)
    seeds = np.random.RandomState(0)
    seeds.randint(np.iinfo(np.int32).max, size=4)
    seed, rows = seeds.randint(np.iinfo(np.int32).max), np.array(model.estimators_samples_)
    alone = network.train(X, y, 2, members=4, rows=rows, seed=seed)
    assert np.array_equal(model.members_.outputs(X), alone.outputs(X))
    assert (rows[0] != rows[1]).any() and len(np.unique(rows[0])) < len(X)
    single = np.stack([one.predict_proba(X) for one in model.estimators_])
    assert np.allclose(single.mean(0), model.predict_proba(X), atol=1e-6)
    assert model.score(X, y) > 0.95


def test_networks_with_columns_of_their_own_never_see_the_others(cancer):
    X, y = cancer
    model = BaggingClassifier(NetworkClassifier(**NETWORK), 3, max_features=5, random_state=0)
    model.fit(X, y)
    before = model.members_.outputs(X)
    for i, columns in enumerate(model.estimators_features_):
        assert len(columns) == 5
        spoiled = np.random.default_rng(0).normal(size=X.shape)
        spoiled[:, columns] = X[:, columns]
        after = model.members_.outputs(spoiled)
        assert np.array_equal(after[i], before[i])
        assert not np.allclose(after[i - 1], before[i - 1])
    # What a network alone, that has only these columns, makes of its weights.
    weights = {name.removeprefix("network."): value for name, value in
               model.members_.module(1).state_dict().items() if "columns" not in name}  # fmt: skip
    network = perceptron(5, 2)
    network.load_state_dict(weights)
    inputs = torch.tensor(X[:, model.estimators_features_[1]], dtype=torch.float32)
    assert np.allclose(network(inputs).detach().numpy(), before[1], atol=1e-5)
    # Weights were loaded into networks that it made: its table of columns is as it was.
    assert np.array_equal(model.members_.make.features, model.estimators_features_)
    # As scikit-learn's, a member alone takes its own columns.
    for one, columns, said in zip(
        model.estimators_, model.estimators_features_, before, strict=True
    ):
        assert np.allclose(one.members_.outputs(X[:, columns])[0], said, atol=1e-5)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    mine = again.estimators_[2].predict(X[:, again.estimators_features_[2]])
    assert np.array_equal(mine, model.member_predictions(X)[2])


def test_a_network_with_columns_of_its_own_learns_as_if_there_were_no_others(cancer):
    X, y = cancer
    network = NetworkRegressor(**NETWORK)
    model = BaggingRegressor(network, 3, max_features=5, random_state=0).fit(X, y)
    seeds = np.random.RandomState(0)
    seeds.randint(np.iinfo(np.int32).max, size=3)
    seed, rows = seeds.randint(np.iinfo(np.int32).max), model.estimators_samples_[0][None]
    narrow = X[:, model.estimators_features_[0]]
    alone = network.train(narrow, y.astype(float), 1, rows=rows, seed=seed)  # the first member
    assert np.allclose(alone.outputs(narrow)[0, :, 0], model.member_predictions(X)[0], atol=1e-3)
    assert not np.allclose(model.member_predictions(X)[1], model.member_predictions(X)[0], atol=0.1)


@pytest.mark.parametrize("columns", [1.0, 0.5])
def test_rows_that_a_network_has_not_learned_from_judge_it(cancer, columns):
    X, y = cancer
    model = BaggingClassifier(NetworkClassifier(**NETWORK), 20, max_features=columns,
                              oob_score=True, random_state=0).fit(X, y)  # fmt: skip
    votes, probas = np.zeros((len(X), 2)), [
        one.predict_proba(X[:, some])
        for one, some in zip(model.estimators_, model.estimators_features_, strict=True)
    ]  # fmt: skip
    for proba, rows in zip(probas, model.estimators_samples_, strict=True):
        unseen = np.setdiff1d(np.arange(len(X)), rows)
        votes[unseen] += proba[unseen]
    expected = votes / votes.sum(1, keepdims=True)
    assert np.allclose(model.oob_decision_function_, expected, atol=1e-5)
    assert 0.9 < model.oob_score_ <= 1


def test_another_kind_of_member_leaves_nothing_of_the_first(cancer):
    X, y = cancer
    trees = BaggingClassifier(None, 3, random_state=0).fit(X, y)
    again = BaggingClassifier(NetworkClassifier(**NETWORK), 3, random_state=0).fit(X, y)
    again.set_params(estimator=None).fit(X, y)
    assert again.members_ is None
    assert np.array_equal(again.predict_proba(X), trees.predict_proba(X))


def test_networks_of_a_hard_vote_have_one_vote_each(cancer):
    X, y = cancer
    model = BaggingClassifier(NetworkClassifier(**NETWORK), 4, voting="hard", random_state=0)
    share = (model.fit(X, y).member_predictions(X) == 1).mean(0)
    assert np.array_equal(model.predict_proba(X)[:, 1], share)
    assert set(np.unique(share)) <= {0, 0.25, 0.5, 0.75, 1}


class Impatient(NetworkClassifier):
    """The keyboard interrupts the training in its third epoch."""

    def train(self, *data, **how):
        batches = []

        def interrupted(outputs, targets, weights):
            batches.append(1)
            if len(batches) == 5:  # two batches an epoch
                raise KeyboardInterrupt
            return cross_entropy(outputs, targets, weights)

        return super().train(*data, **{**how, "loss": interrupted})


def test_interrupted_networks_vote_as_they_are_then(cancer):
    X, y = cancer
    network = Impatient(epochs=50, batch_size=300, device="cpu")
    model = BaggingClassifier(network, 4, oob_score=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows that four draws hold
        model.fit(X, y)
    assert model.members_.losses.shape == (2, 4) and len(model.estimators_) == 4
    assert model.score(X, y) > 0.5


def test_a_network_that_becomes_nan_is_named_and_the_rest_votes(cancer):
    X, y = cancer
    Wild.made = 0
    model = BaggingClassifier(NetworkClassifier(Wild, **NETWORK), 3, random_state=0)
    with pytest.warns(UserWarning, match="member 1 became NaN"):
        model.fit(X, y)
    assert len(model.estimators_) == len(model.estimators_samples_) == 2
    assert np.isfinite(model.predict_proba(X)).all() and model.score(X, y) > 0.9


def test_members_of_different_shapes_are_named(cancer):
    hidden = iter([3, 4])
    uneven = NetworkClassifier(lambda *sizes: perceptron(*sizes, next(hidden)), **NETWORK)
    with pytest.raises(ValueError, match="of member 1 has shape"):
        BaggingClassifier(uneven, 2).fit(*cancer)


# -- as an estimator ------------------------------------------------------------------------------


def test_search_pipeline_clone_and_labels(cancer):
    X, y = cancer
    names = np.array(["benign", "malignant"])[y]
    model = make_pipeline(StandardScaler(), BaggingClassifier(random_state=0))
    search = GridSearchCV(model, {"baggingclassifier__n_estimators": [1, 10]}, cv=3).fit(X, names)
    best = search.best_estimator_
    assert search.best_params_["baggingclassifier__n_estimators"] == 10
    assert set(best.predict(X)) == {"benign", "malignant"}
    assert np.array_equal(clone(best).fit(X, names).predict(X), best.predict(X))
    plain = BaggingClassifier(random_state=0).fit(X, y)
    shifted = BaggingClassifier(random_state=0).fit(X, y + 7)
    assert np.array_equal(shifted.predict(X), plain.predict(X) + 7)


class Interrupting(DecisionTreeClassifier):
    """The keyboard interrupts while the fourth of them learns."""

    begun = 0

    def fit(self, *data, **how):
        Interrupting.begun += 1
        if Interrupting.begun == 4:
            raise KeyboardInterrupt
        return super().fit(*data, **how)


def test_interrupted_it_keeps_the_members_that_are_trained(cancer):
    X, y = cancer
    Interrupting.begun = 0
    model = BaggingClassifier(Interrupting(), 10, random_state=0).fit(X, y)
    assert len(model.estimators_) == len(model.estimators_samples_) == 3
    whole = BaggingClassifier(None, 10, random_state=0).fit(X, y)
    assert np.array_equal(model.member_predictions(X), whole.member_predictions(X)[:3])
    Interrupting.begun = 3
    with pytest.raises(KeyboardInterrupt):  # nothing is trained that could be kept
        BaggingClassifier(Interrupting(), 10).fit(X, y)


def test_fewer_rows_than_members():
    X, y = np.array([[0.0], [1.0], [2.0]]), [0, 1, 1]
    assert len(BaggingClassifier(None, 20, random_state=0).fit(X, y).predict(X)) == 3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"n_estimators": 0}, "n_estimators=0"),
        ({"n_estimators": 2.5}, "n_estimators=2.5"),
        ({"max_samples": 0}, "max_samples=0"),
        ({"max_samples": 1.5}, "max_samples=1.5"),
        ({"max_samples": None}, "max_samples=None"),
        ({"max_samples": "half"}, "max_samples='half'"),
        ({"max_samples": float("nan")}, "max_samples=nan"),
        ({"max_samples": 570}, "max_samples=570.*1 to 569"),
        ({"max_samples": 570, "bootstrap": False}, "max_samples=570.*1 to 569"),
        ({"max_features": 31}, "max_features=31.*1 to 30"),
        ({"max_features": -0.5}, "max_features=-0.5"),
        ({"voting": "loud"}, "voting='loud'"),
        ({"oob_score": True, "bootstrap": False}, "bootstrap=True"),
    ],
)
def test_bad_settings_are_named(cancer, settings, message):
    with pytest.raises(ValueError, match=message):
        BaggingClassifier(**settings).fit(*cancer)


@pytest.mark.parametrize(
    "kind, member",
    [
        (BaggingClassifier, DecisionTreeRegressor()),
        (BaggingClassifier, NetworkRegressor()),
        (BaggingRegressor, DecisionTreeClassifier()),
        (BaggingRegressor, NetworkClassifier()),
    ],
)
def test_members_of_the_other_kind_are_named(cancer, kind, member):
    name = type(member).__name__
    with pytest.raises(ValueError, match=f"{name} is not a member for a {kind.__name__}"):
        kind(member).fit(*cancer)


def test_trees_are_bagged_without_torch():
    code = (
        "import sys; from ensemble_lab.training import BaggingClassifier as Bag;"
        "Bag(n_estimators=1).fit([[0], [1]], [0, 1]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bad_data_is_named(cancer):
    X, y = cancer
    with pytest.raises(ValueError, match="one class only, 4"):
        BaggingClassifier().fit(X, np.full(len(X), 4))
    for model in (BaggingClassifier(), BaggingRegressor()):
        with pytest.raises(ValueError, match="row 3, column 2 of X is infinite"):
            model.fit(np.where(np.arange(X.size).reshape(X.shape) == 92, np.inf, X), y)
    for model in (BaggingClassifier(NetworkClassifier()), BaggingRegressor(NetworkRegressor())):
        with pytest.raises(ValueError, match="row 3, column 2 of X is NaN"):
            model.fit(np.where(np.arange(X.size).reshape(X.shape) == 92, np.nan, X), y)
    wild = NetworkClassifier(partial(perceptron, hidden=2), learning_rate=1e38, epochs=3)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="all members became NaN"):
        BaggingClassifier(wild, 2).fit(1e9 * X, y)


def test_a_member_alone_is_one_of_the_whole(cancer):
    X, y = cancer
    model = BaggingRegressor(NetworkRegressor(**NETWORK), 3, random_state=0).fit(X, y)
    assert isinstance(model.members_, Members) and len(model.members_) == 3
    assert np.allclose(model.estimators_[2].predict(X), model.member_predictions(X)[2], atol=1e-5)
    assert np.allclose(model.predict(X), model.member_predictions(X).mean(0))


# -- arithmetic -----------------------------------------------------------------------------------


@given(st.integers(1, 40), st.floats(0.001, 1.0))
def test_a_share_is_rounded_down_but_never_to_none(n, share):
    size = size_of(share, n, "max_samples")
    assert 1 <= size <= n
    assert size <= share * n < size + 1 or (size == 1 and share * n < 1)
    assert size_of(n, n, "max_samples") == size_of(1.0, n, "max_samples") == n
    assert size_of(np.int64(1), n, "max_samples") == 1


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.floats(-0.3, 1.0), st.integers(1, 4), st.floats(0.1, 5.0), st.integers(0, 9))
def test_variance_of_a_mean_of_correlated_members(rho, m, sigma2, seed):
    proba = sigma2 * (rho + (1 - rho) * np.eye(m))
    drawn = np.random.default_rng(seed).multivariate_normal(np.zeros(m), proba, 40_000)
    expected = variance_of_mean(sigma2, rho, m)
    # Four standard errors of a variance of 40,000 draws, relative: 4 sqrt(2 / n).
    assert abs(drawn.mean(1).var() - expected) <= 4 * np.sqrt(2 / 40_000) * expected + 1e-12


def test_variance_of_a_mean_by_hand():
    assert variance_of_mean(4.0, 0.0, 8) == 0.5
    assert variance_of_mean(4.0, 1.0, 8) == 4.0
    assert variance_of_mean(4.0, 0.25, 3) == 2.0


@pytest.mark.parametrize("values", [(1.0, 1.1, 2), (1.0, -0.6, 3), (-1.0, 0.0, 2), (1.0, 0.0, 0)])
def test_variances_that_cannot_be_are_named(values):
    with pytest.raises(ValueError, match="members"):
        variance_of_mean(*values)
