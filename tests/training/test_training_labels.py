"""A class is its label: renaming the classes changes nothing, and weights fall on the named one."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import ensemble as reference
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import ensemble_lab as lab
from ensemble_lab.training.batched.losses import cross_entropy, squared_error
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.labels import encoded, places
from ensemble_lab.training.stacking.super_learner import ConvexWeightsClassifier

NETWORK = lab.NetworkClassifier(epochs=2, random_state=0, device="cpu")
MEMBERS = [("tree", DecisionTreeClassifier(max_depth=2, random_state=0)), ("bayes", GaussianNB())]
EVERY = {
    "bag of trees": lab.BaggingClassifier(None, 3, random_state=0),
    "bag of votes": lab.BaggingClassifier(RidgeClassifier(), 3, random_state=0),
    "bag of networks": lab.BaggingClassifier(NETWORK, 2, random_state=0),
    "stack": lab.StackingClassifier(MEMBERS, cv=3),
    "stack of classes": lab.StackingClassifier(MEMBERS, cv=3, stack_method="predict"),
    "stack of scores": lab.StackingClassifier([("svc", SVC()), ("numbers", Ridge())], cv=3),
    "super learner": lab.StackingClassifier(MEMBERS, ConvexWeightsClassifier(), cv=3),
    "AdaBoost": lab.AdaBoostClassifier(None, 3, random_state=0),
    "gradient boosting": lab.GradientBoostingClassifier(None, 2, random_state=0),
    "negative correlation": lab.NegativeCorrelationClassifier(NETWORK, 2, random_state=0),
    "snapshots": lab.SnapshotEnsemble(NETWORK, 2, random_state=0),
    "network": NETWORK,
}
# Each keeps the order of the classes, as `classes_` does.
KINDS = {
    "from 1": lambda codes: codes + 1,
    "negative": lambda codes: 10 * codes - 100,
    "uint8": lambda codes: codes.astype(np.uint8),
    "int8": lambda codes: codes.astype(np.int8) - np.int8(5),
    "uint16": lambda codes: codes.astype(np.uint16) + np.uint16(60_000),
    "uint64": lambda codes: codes.astype(np.uint64) + np.uint64(2**63),
    "floats": lambda codes: codes.astype(np.float32) - 1,
    "texts": lambda codes: np.array(["a b", "naïve ☃", "☃"])[codes],
    "objects": lambda codes: np.array(["A", "B", "C"], object)[codes],
    "integer objects": lambda codes: np.array((codes + 1).tolist(), object),
    "list": lambda codes: codes.tolist(),
    "generator": lambda codes: (code for code in codes.tolist()),
    "tensor": lambda codes: torch.tensor(codes).to(torch.uint8),
    "series": lambda codes: pd.Series(codes, index=codes * 0 + 7),
    "nullable": lambda codes: pd.Series(codes, dtype="Int64"),
    "string": lambda codes: pd.Series(codes).map({0: "a", 1: "b", 2: "c"}).astype("string"),
    "categories": lambda codes: pd.Series(codes).map({0: "a", 1: "b", 2: "c"}).astype("category"),
    "two": lambda codes: codes > 0,
    "nullable two": lambda codes: pd.Series(codes > 0, dtype="boolean"),
}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X[::3], y[::3]


def said(model, X):
    """All that a fitted model says, by the places of its classes."""
    proba = (
        model.predict_proba(X) if hasattr(model, "predict_proba") else model.decision_function(X)
    )
    return proba, np.searchsorted(model.classes_, model.predict(X))


@pytest.mark.parametrize("name", EVERY)
def test_renaming_the_classes_changes_nothing(name, iris):
    X, codes = iris
    plain = {}
    for kind, rename in KINDS.items():
        two = "two" in kind
        if two not in plain:
            plain[two] = said(EVERY[name].fit(X, (codes > 0).astype(int) if two else codes), X)
        found = said(EVERY[name].fit(X, rename(codes)), X)
        for mine, expected in zip(found, plain[two], strict=True):
            np.testing.assert_array_equal(mine, expected, err_msg=f"{name}, {kind}")


# -- what is said of a class by its label ---------------------------------------------------------

BAG = lambda member: lab.BaggingClassifier(member, 3, random_state=0)  # noqa: E731
STACK = lambda member: lab.StackingClassifier([("m", member)], GaussianNB(), cv=3)  # noqa: E731
FINAL = lambda member: lab.StackingClassifier([("m", GaussianNB())], member, cv=3)  # noqa: E731
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
WITHIN = {
    "itself": lambda weights: TREE.set_params(class_weight=weights),
    "pipeline": lambda weights: make_pipeline(
        StandardScaler(), LogisticRegression(class_weight=weights)
    ),
    "calibrated": lambda weights: CalibratedClassifierCV(
        LogisticRegression(class_weight=weights), cv=2
    ),
    "search": lambda weights: GridSearchCV(
        LogisticRegression(class_weight=weights), {"C": [1.0]}, cv=2
    ),
    "vote": lambda weights: reference.VotingClassifier(
        [("one", LogisticRegression(class_weight=weights)), ("pipe", WITHIN["pipeline"](weights))],
        voting="soft",
    ),
    "their bag": lambda weights: reference.BaggingClassifier(
        DecisionTreeClassifier(max_depth=2, class_weight=weights), 3, random_state=0
    ),
    "vote in a pipeline": lambda weights: make_pipeline(StandardScaler(), WITHIN["vote"](weights)),
}


@pytest.fixture(scope="module")
def rare():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (380, 2)), rng.normal(1, 1, (20, 2))])
    return X, np.repeat([False, True], [380, 20])


def chance(model, X, name):
    """Mean probability of the class of that name."""
    return model.predict_proba(X)[:, list(model.classes_).index(name)].mean()


@pytest.mark.parametrize("wrap", [BAG, STACK, FINAL], ids=["bag", "stack", "final"])
@pytest.mark.parametrize("inner", WITHIN)
def test_weights_fall_on_the_class_that_they_name(inner, wrap, rare):
    X, which = rare
    found, plain = [], chance(wrap(WITHIN[inner](None)).fit(X, which), X, True)
    for one, other, named in [
        (0, 1, False), (1, 2, False), (1, 2, True), ("a", "b", True), (False, True, False)
    ]:  # fmt: skip
        weights = {one: 19.0, other: 1.0} if named else {one: 19.0}
        model = wrap(WITHIN[inner](weights)).fit(X, np.where(which, one, other))
        found.append(chance(model, X, one))
    assert np.allclose(found, found[0], rtol=0, atol=0)
    # The final model of a stack, and a calibration, unlearn how often a class is said.
    if wrap is not STACK and inner != "calibrated":
        assert found[0] > plain + 0.1
    balanced = [
        chance(wrap(WITHIN[inner]("balanced")).fit(X, np.where(which, *pair)), X, pair[0])
        for pair in [(0, 1), ("a", "b")]
    ]
    assert balanced[0] == balanced[1]


def test_the_recall_that_was_reported(rare):
    X, which = rare
    for weights, one, other in [({0: 19}, 0, 1), ({1: 19}, 1, 2), ({"r": 19, "u": 1}, "r", "u")]:
        tree = DecisionTreeClassifier(max_depth=2, class_weight=weights, random_state=0)
        bag = lab.BaggingClassifier(tree, 25, random_state=0).fit(X, np.where(which, one, other))
        assert np.mean(bag.predict(X)[which] == one) == 0.75


def test_a_code_that_is_no_label_is_refused(rare):
    """The way round scikit-learn's own fault would weigh nothing here."""
    X, which = rare
    with pytest.raises(ValueError, match="class_weight"):
        BAG(WITHIN["vote"]({0: 19.0})).fit(X, np.where(which, "a", "b"))
    torn = CalibratedClassifierCV(LogisticRegression(class_weight={"a": 9}), ensemble=False, cv=2)
    with pytest.raises(ValueError, match="ensemble=False.*can name only one"):
        BAG(torn).fit(X, np.where(which, "a", "b"))


def test_a_positive_label_is_a_label(rare):
    X, which = rare
    for wrap in (BAG, STACK, FINAL):
        found = []
        for one, other in [(0, 1), (1, 2), ("a", "b")]:
            member = FixedThresholdClassifier(LogisticRegression(), threshold=0.02, pos_label=one)
            found.append(wrap(member).fit(X, np.where(which, one, other)).predict(X) == one)
        assert (found[0] == found[1]).all() and (found[0] == found[2]).all()


def test_adaboost_weighs_by_label_and_members_know_labels(rare):
    X, which = rare
    y = np.where(which, "rare", "usual")
    stump = DecisionTreeClassifier(max_depth=1, class_weight={"rare": 19.0})
    assert np.mean(lab.AdaBoostClassifier(stump, 5).fit(X, y).predict(X)[which] == "rare") > 0.5
    for model in (BAG(TREE), BAG(NETWORK)):
        model.fit(X, y)
        assert [list(one.classes_) for one in model.estimators_] == [["rare", "usual"]] * 3
        assert set(model.estimators_[0].predict(X)) <= {"rare", "usual"}
    stack = STACK(GaussianNB()).fit(X, y)
    assert list(stack.estimators_[0].classes_) == list(stack.final_estimator_.classes_)


class Odd(ClassifierMixin, BaseEstimator):
    """Knows the classes in an order of its own, or says something else."""

    def __init__(self, said=None):
        self.said = said

    def fit(self, X, y):
        self.classes_ = np.unique(y)[::-1]
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0] if self.said is None else self.said)


class OddLaw(Odd):
    """The same with probabilities."""

    def predict_proba(self, X):
        return np.tile([0.9, 0.1], (len(X), 1))


def test_members_are_read_by_their_own_classes():
    X, y = np.zeros((40, 1)), ["a", "b"] * 20
    assert np.allclose(BAG(OddLaw()).fit(X, y).predict_proba(X), [0.1, 0.9])
    assert (BAG(Odd()).fit(X, y).predict(X) == "b").all()
    assert (STACK(OddLaw()).fit(X, y).stacked_ == 0.9).all()
    with pytest.raises(ValueError, match=r"member 0 gives 'c', which is none of \['a', 'b'\]"):
        BAG(Odd("c")).fit(X, y).predict(X)


def test_places_and_classes_by_hand():
    classes, codes = encoded(np.array([7, 5, 7]))
    assert classes.tolist() == [5, 7] and codes.tolist() == [1, 0, 1]
    assert places(classes, [7, 5], "it").tolist() == [1, 0]
    for other in ([6], [9], ["5"]):
        with pytest.raises(ValueError, match="it gives .* none of"):
            places(classes, other, "it")
    with pytest.raises(ValueError, match="y is 0.5 in row 1, and classes are not fractions"):
        encoded(np.array([1.0, 0.5]))


# -- labels that are none -------------------------------------------------------------------------

REFUSED = {
    "none": (lambda n: [None, *["a", "b"] * n][:n], "y is missing in row 0"),
    "NA": (lambda n: pd.Series([1, pd.NA, 0] * n, dtype="Int64")[:n], "y is missing in row 1"),
    "NaN": (lambda n: np.where(np.arange(n) == 3, np.nan, 1.0), "y is missing in row 3"),
    "category": (lambda n: pd.Series(["a", None] * n, dtype="category")[:n], "missing in row 1"),
    "mixed": (lambda n: ([1, "1"] * n)[:n], "y mixes text and other labels, such as '1' and 1"),
    "mapping": (lambda n: dict.fromkeys(range(n), 1), "y is a dict"),
    "set": (lambda n: set(range(n)), "y is a set"),
    "text": (lambda n: "a" * n, "y is one string"),
    "columns": (lambda n: np.ones((n, 2)), "y has 2 columns"),
    "fractions": (lambda n: np.arange(n) / 2, "y is 0.5 in row 1"),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_label_is_refused(name, kind, iris):
    X, _ = iris
    bad, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message) as caught:
        EVERY[name].fit(X, bad(len(X)))
    assert len(str(caught.value)) <= 300 and "np." not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
def test_a_column_of_labels_is_read_with_scikit_learns_warning(name, iris):
    X, y = iris
    with pytest.warns(UserWarning, match="column-vector y was passed"):
        model = EVERY[name].fit(X, y[:, None])
    assert model.predict(X).shape == y.shape


# -- the trainer ----------------------------------------------------------------------------------


def trained(y, loss=cross_entropy, outputs=3, **how):
    X = load_iris().data[::3]
    how = {"members": 2, "epochs": 2, "device": "cpu", "progress": False, **how}
    return train_members(lambda: nn.Linear(4, outputs), X, y, loss=loss, **how).losses


def test_classes_of_any_integer_type_train_the_same(iris):
    _, y = iris
    expected = trained(y)
    for kind in ("uint8 int8 int16 uint16 int32 uint32 uint64 float32 float64").split():
        assert np.array_equal(trained(y.astype(kind)), expected), kind
    for other in (y.tolist(), torch.tensor(y), pd.Series(y, dtype="Int64"), (i for i in y)):
        assert np.array_equal(trained(other), expected)
    assert np.array_equal(trained(y > 0), trained((y > 0).astype(int)))


def test_numbers_are_numbers_whatever_their_type(iris):
    _, y = iris
    expected = trained(y.astype(float), squared_error, 1)
    for other in (y, y.astype(np.uint8), torch.tensor(y), y.tolist()):
        assert np.array_equal(trained(other, squared_error, 1), expected)
    with pytest.warns(UserWarning, match="column-vector"):  # (n, 1) would meet (m, B) as a table
        assert np.array_equal(trained(y[:, None], squared_error, 1), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y - 1, "y is -1 in row 0.*3 outputs: number the classes from 0"),
        (lambda y: y + 1, "y is 3 in row 34.*3 outputs"),
        (lambda y: y.astype(np.uint64) + np.uint64(2**63), "y is 9223372036854775808 in row 0"),
        (lambda y: y + 0.5, "y is 0.5 in row 0.*squared_error"),
        (lambda y: np.where(y, np.nan, 0), "y is missing in row 17"),
        (lambda y: np.array(["a", "b", "c"])[y], "y holds 'a'.*codes.*NetworkClassifier"),
        (lambda y: np.c_[y, y], "y has 2 columns"),
    ],
)
def test_codes_that_are_none_are_refused(iris, change, message):
    with pytest.raises(ValueError, match=message):
        trained(change(iris[1]))
    with pytest.raises(ValueError, match=message):
        trained(iris[1], validation=(load_iris().data[::3], change(iris[1])))
