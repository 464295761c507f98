"""Students as estimators: teachers of every kind, rows without labels, and what is refused."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import check_estimator

import ensemble_lab as lab
from ensemble_lab.training.distillation.losses import distillation_loss
from tests.support.exact_networks import QUICK, ExactClassifier

NETWORK = lab.NetworkClassifier(epochs=30, learning_rate=0.03, device="cpu")
NAMES = np.array(["setosa", "versicolor", "virginica"])


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def forest(iris):
    return RandomForestClassifier(30, min_samples_leaf=3, random_state=0).fit(*iris)


def student(teacher, **settings):
    return lab.DistilledClassifier(teacher, NETWORK, **{"random_state": 0, **settings})


def none_of(y, share=1.0):
    """Labels of which a share is missing, the first ones."""
    y = np.array(y, object)
    y[: int(share * len(y))] = None
    return y


@pytest.mark.slow
def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(
            lab.DistilledClassifier(LogisticRegression(), ExactClassifier(**QUICK), temperature=1)
        )


def test_it_learns_its_teacher_without_any_label(iris, forest):
    X, y = iris
    model = student(forest, temperature=1.0, alpha=0.5).fit(X, none_of(y))
    assert (model.predict(X) == forest.predict(X)).mean() > 0.95
    assert np.abs(model.predict_proba(X) - forest.predict_proba(X)).mean() < 0.03
    other = RandomForestClassifier(30, random_state=0).fit(
        X, (y + 1) % 3
    )  # a teacher that is wrong
    assert (student(other).fit(X, none_of(y)).predict(X) == (y + 1) % 3).mean() > 0.9


def test_alpha_one_learns_the_labels_alone_and_zero_the_teacher_alone(iris, forest):
    X, y = iris
    wrong = RandomForestClassifier(30, random_state=0).fit(X, (y + 1) % 3)
    labels = student(forest, alpha=1).fit(X, y).predict_proba(X)
    assert np.array_equal(student(wrong, alpha=1).fit(X, y).predict_proba(X), labels)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    plain = NETWORK.train(X, y, 3, seed=seed).outputs(X)[0]
    assert np.allclose(np.log(labels) - np.log(labels[:, :1]), plain - plain[:, :1], atol=1e-2)
    alone = student(forest, alpha=0).fit(X, y).predict_proba(X)
    assert np.array_equal(student(forest, alpha=0).fit(X, none_of(y)).predict_proba(X), alone)


def test_it_is_the_engine_with_the_loss(iris, forest):
    X, y = iris
    y = none_of(y, 0.4)
    model = student(forest, temperature=3.0, alpha=0.2).fit(X, y)
    hot = np.array([np.eye(3)[one] if one is not None else np.zeros(3) for one in y])
    members = NETWORK.train(
        X,
        np.stack([hot, forest.predict_proba(X)], axis=1),
        3,
        loss=partial(distillation_loss, temperature=3.0, alpha=0.2),
        seed=np.random.RandomState(0).randint(2**31 - 1),
    )
    z = members.outputs(X)[0].astype(float)
    expected = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-9)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "nullable", "floats", "column"])
def test_a_missing_label_is_written_in_any_way(iris, forest, missing):
    X, y = iris
    expected = student(forest).fit(X, none_of(y, 0.5)).predict(X)
    given = y.astype(object)
    given[:75] = None if isinstance(missing, str) else missing
    if isinstance(missing, str):
        given = pd.Series(given)
        given = given.convert_dtypes() if missing == "nullable" else given.astype(float)
        given = given.to_frame() if missing == "column" else given
    assert np.array_equal(student(forest).fit(X, given).predict(X), expected)


@pytest.mark.parametrize("form", ["masked", "column", "frame", "generator", "nullable"])
def test_a_missing_label_is_found_in_any_column(iris, forest, form):
    X, y = iris
    some = none_of(y, 0.2)
    gaps = np.equal(some, None)
    forms = {
        "masked": np.ma.array(y, mask=gaps),
        "column": np.where(gaps, np.nan, y)[:, None],
        "frame": pd.DataFrame({"y": some}),
        "generator": (one for one in some),
        "nullable": pd.Series(some, dtype="Int64"),
    }
    found = student(forest, alpha=0.5).fit(X, forms[form]).predict_proba(X)
    assert (found == student(forest, alpha=0.5).fit(X, some).predict_proba(X)).all()


def test_it_knows_the_classes_of_its_teacher_that_no_label_has(iris, forest):
    """Hinton's missing class; and text as labels, in the teacher's own order."""
    X, y = iris
    some = y != 2
    model = student(forest).fit(X[some], y[some])
    assert model.classes_.tolist() == [0, 1, 2]
    named = RandomForestClassifier(30, random_state=0).fit(X, NAMES[::-1][y])
    model = student(named).fit(X, none_of(NAMES[::-1][y], 0.3))
    assert (model.predict(X) == NAMES[::-1][y]).mean() > 0.9


class Turned:
    """A fitted classifier whose classes come in another order."""

    def __init__(self, inner, order):
        self.inner, self.order = inner, order
        self.classes_ = inner.classes_[order]

    def fit(self, X, y):
        raise AssertionError("it is fitted")

    def predict_proba(self, X):
        return self.inner.predict_proba(X)[:, self.order]


def test_teachers_with_classes_in_another_order_are_put_in_order(iris, forest):
    X, y = iris
    plain = student([forest, forest]).fit(X, y).predict_proba(X)
    turned = student([forest, Turned(forest, [2, 0, 1])]).fit(X, y)
    np.testing.assert_allclose(turned.predict_proba(X), plain, atol=1e-6)
    assert turned.classes_.tolist() == [0, 1, 2]


def table(proba, labels=(0, 1, 2), **more):
    n, m, _ = proba.shape
    names = [f"m{j}" for j in range(m)]
    correct = np.full((n, m), np.nan)
    return lab.Outcomes(
        models=names, items=range(n), correct=correct, answer=proba.argmax(-1), labels=labels,
        probability=proba, **more,
    )  # fmt: skip


def test_recorded_probabilities_teach_as_the_model_itself(iris, forest):
    X, y = iris
    live = student(forest).fit(X, y).predict_proba(X)
    proba = forest.predict_proba(X)[:, None]
    model = student(table(proba)).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), live, atol=1e-5)
    assert model.teachers_ == [] and clone(model).teacher is model.teacher
    other = student(table(proba[..., [2, 0, 1]], labels=["2", "0", "1"])).fit(X, y.astype(str))
    np.testing.assert_allclose(other.predict_proba(X), live, atol=1e-5)
    two = student(table(np.concatenate([proba, proba], 1))).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(two, live, atol=1e-5)


def test_several_teachers_are_pooled_or_get_a_head_each(iris, forest):
    X, y = iris
    sure = RandomForestClassifier(30, random_state=1).fit(X, y)
    unsure = RandomForestClassifier(30, min_samples_leaf=40, random_state=1).fit(X, (y + 1) % 3)
    teachers = [sure, unsure]
    found = {
        how: student(teachers, combine=how, temperature=1, alpha=0).fit(X, y)
        for how in ("mean", "confidence", "heads")
    }
    probas = [one.predict_proba(X) for one in teachers]
    mean = np.mean(probas, axis=0)
    assert np.abs(found["mean"].predict_proba(X) - mean).mean() < 0.05
    right = {how: model.predict_proba(X)[np.arange(150), y].mean() for how, model in found.items()}
    assert right["confidence"] > right["mean"] + 0.03
    heads = found["heads"].members_.outputs(X)[0].reshape(150, 2, 3)
    heads = np.exp(heads) / np.exp(heads).sum(-1, keepdims=True)
    for i in (0, 1):  # each head learned its own teacher
        assert np.abs(heads[:, i] - probas[i]).mean() < 0.05 < np.abs(heads[:, i] - mean).mean()
    np.testing.assert_allclose(found["heads"].predict_proba(X), heads.mean(1), atol=1e-5)


def test_an_unfitted_teacher_learns_from_the_labels_as_a_copy(iris):
    X, y = iris
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    model = student(tree).fit(X, none_of(y, 0.2))
    assert not hasattr(tree, "classes_")
    expected = clone(tree).fit(X[30:], y[30:]).predict_proba(X)
    assert np.array_equal(model.teachers_[0].predict_proba(X), expected)
    with pytest.raises(ValueError, match="no row has a label"):
        student(tree).fit(X, none_of(y))
    with pytest.raises(ValueError, match="alpha=1 learns from labels alone, and no row has one"):
        student(tree.fit(X, y), alpha=1).fit(X, none_of(y))


@pytest.mark.parametrize("dress", [lambda one: one, FrozenEstimator, lambda one: [one, one]])
def test_a_fitted_teacher_stays_as_it_is_in_copies_too(iris, forest, dress):
    X, y = iris
    model = student(dress(forest))
    copied = clone(clone(model).set_params(alpha=0.3))
    kept = copied.teacher if isinstance(copied.teacher, list) else [copied.teacher]
    assert all(np.array_equal(one.predict(X), forest.predict(X)) for one in kept)
    assert copied.alpha == 0.3 and copied.student is not model.student
    search = GridSearchCV(model, {"temperature": [1.0, 4.0]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.8
    with pytest.raises(ValueError, match="'teacher__max_depth' would change nothing"):
        student(forest).set_params(teacher__max_depth=3)
    student(LogisticRegression()).set_params(teacher__C=3.0)
    fresh = clone(student([forest, LogisticRegression()]))  # the two are not all fitted
    assert not hasattr(fresh.teacher[1], "coef_")


def test_clone_pickle_and_pipelines(iris, forest):
    X, y = iris
    model = student(forest).fit(X, y)
    assert np.array_equal(clone(model).fit(X, y).predict_proba(X), model.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    whole = make_pipeline(StandardScaler(), lab.DistilledClassifier(LogisticRegression(), NETWORK))
    assert whole.fit(X, y).score(X, y) > 0.9


def test_a_teacher_of_data_frames_gets_one(iris):
    X, y = iris
    frame = pd.DataFrame(X, columns=[*"abcd"])
    teacher = RandomForestClassifier(10, random_state=0).fit(frame, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = student(teacher).fit(frame, y)
    assert model.feature_names_in_.tolist() == [*"abcd"]
    with pytest.raises(ValueError, match="teacher 0 cannot answer these rows"):
        student(teacher).fit(frame[["a", "b"]], y)
    with pytest.raises(ValueError, match="another order"):
        student(table(teacher.predict_proba(frame)[:, None])).fit(frame.iloc[::-1], y[::-1])


def test_generations_each_learn_from_the_one_before(iris):
    X, y = iris
    line = lab.born_again(NETWORK, X, y, 2, random_state=0)
    assert [type(one).__name__ for one in line] == ["NetworkClassifier"] + 2 * [
        "DistilledClassifier"
    ]
    assert line[2].teachers_ == [line[1]] and line[1].teachers_ == [line[0]]
    assert all(one.score(X, y) > 0.9 for one in line)
    again = lab.born_again(NETWORK, X, y, 2, random_state=0)
    assert np.array_equal(again[2].predict_proba(X), line[2].predict_proba(X))
    with pytest.raises(ValueError, match="generations=0"):
        lab.born_again(NETWORK, X, y, 0)


class Says(Turned):
    """A fitted classifier that says what it is told to."""

    def __init__(self, proba, classes=(0, 1, 2)):
        self.proba, self.classes_ = proba, np.array(classes)

    def predict_proba(self, X):
        return self.proba


THIRD = np.full((150, 3), 1 / 3)
TEACHERS = {
    "none": (None, "teacher=None"),
    "an empty list": ([], r"teacher=\[\]"),
    "a class": (RandomForestClassifier, "class RandomForestClassifier"),
    "a name": ("forest", "teacher='forest': give a classifier, a list of them, or Outcomes"),
    "probabilities alone": (np.full((150, 3), 1 / 3), "or Outcomes with probabilities"),
    "named pairs": ([("forest", RandomForestClassifier())], "teacher=.'forest', "),
    "several outputs": (
        RandomForestClassifier(2).fit(np.eye(4), np.eye(4)[:, :2]),
        "several outputs",
    ),
    "a regressor": (Ridge(), "teacher Ridge has no predict_proba"),
    "no probabilities": (LinearSVC(), "no predict_proba.*CalibratedClassifierCV"),
    "probabilities that do not add up": (Says(2 * THIRD), "row 0 of what teacher 0 says"),
    "negative ones": (Says(THIRD - [1, 0, -1]), "no probabilities"),
    "scores": (Says(np.log(THIRD)), "no probabilities"),
    "NaN in some rows": (Says(np.where(np.arange(150)[:, None] == 9, np.nan, THIRD)), "row 9"),
    "other classes": (Says(THIRD, ["a", "b", "c"]), "gives 0, which is none of"),
    "fewer classes": (Says(np.full((150, 2), 0.5), [0, 1]), "gives 2, which is none of"),
    "one class": (Says(np.ones((150, 1)), [0]), "one class only"),
    "teachers that differ": (
        [Says(THIRD), Says(THIRD, [1, 2, 3])],
        "teacher 1 .*all must know the same",
    ),
    "too few items": (table(THIRD[:9, None]), "9 items and X 150 rows"),
    "items without answers": (
        table(np.where(np.arange(150)[:, None, None] == 9, np.nan, THIRD[:, None])),
        "row 9 of what 'm0' says",
    ),
    "no recorded probabilities": (
        lab.Outcomes(models=["m"], items=range(150), correct=np.ones((150, 1))),
        "no probabilities",
    ),
}


def test_recorded_answers_to_other_rows_are_refused(iris, forest):
    X, y = iris
    names = [f"r{i}" for i in range(150)]
    told = lab.Outcomes(
        models=["m"], items=names, correct=np.ones((150, 1)), labels=[0, 1, 2],
        probability=forest.predict_proba(X)[:, None],
    )  # fmt: skip
    with pytest.raises(ValueError, match="other rows than those of X"):
        student(told).fit(pd.DataFrame(X, index=[f"q{i}" for i in range(150)]), y)
    student(told).fit(pd.DataFrame(X), y)  # a count is no name
    with pytest.raises(ValueError, match="not in a list"):
        student([told]).fit(X, y)


def test_it_learns_where_gradients_are_switched_off(iris, forest):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        found = student(forest).fit(*iris).predict_proba(iris[0])
    assert (found == student(forest).fit(*iris).predict_proba(iris[0])).all()


class Speaks:
    """A classifier of one's own, which says what a function makes of a forest's probabilities."""

    def __init__(self, forest, says=lambda proba: proba, classes=(0, 1, 2)):
        self.forest, self.says, self.classes_ = forest, says, classes

    def predict_proba(self, X):
        return self.says(self.forest.predict_proba(X))


@pytest.mark.parametrize("says", [np.ndarray.tolist, pd.DataFrame, "tensor"])
def test_a_teacher_of_ones_own_needs_classes_and_probabilities_alone(iris, forest, says):
    torch = pytest.importorskip("torch")
    says = (lambda p: torch.tensor(p, requires_grad=True)) if says == "tensor" else says
    found = student(Speaks(forest, says)).fit(*iris)
    assert np.allclose(found.predict_proba(iris[0]),
                       student(forest).fit(*iris).predict_proba(iris[0]))  # fmt: skip


SAYINGS = {
    "one column": lambda p: np.ones((len(p), 1)),
    "a class too few": lambda p: np.full((len(p), 2), 0.5),
    "a class too many": lambda p: np.c_[p, 0 * p[:, :1]],
    "a row too few": lambda p: p[:-1],
    "a row too many": lambda p: np.r_[p, p[:1]],
    "an output too many": lambda p: [p, p],
}


@pytest.mark.parametrize("what", SAYINGS)
def test_probabilities_of_other_rows_or_classes_are_refused(iris, forest, what):
    with pytest.raises(ValueError, match="what teacher 0 says has the shape .* 150 rows times 3"):
        student(Speaks(forest, SAYINGS[what])).fit(*iris)


def test_a_teacher_that_does_not_know_its_classes_is_named(iris, forest):
    for classes, words in ((None, "is None"), ([forest.classes_] * 2, "several outputs")):
        with pytest.raises(ValueError, match=words):
            student(Speaks(forest, classes=classes)).fit(*iris)
    one = Speaks(forest)
    del one.classes_
    with pytest.raises(ValueError, match="teacher 1, a Speaks, has no classes_: set it"):
        student([forest, one]).fit(*iris)
    gaps = Speaks(forest, lambda p: np.ma.array(p, mask=p < 0.5))
    with pytest.raises(ValueError, match="row 0 of what teacher 0 says is .*nan"):
        student(gaps).fit(*iris)


def test_settings_of_a_fitted_teacher_cannot_be_searched(iris, forest):
    before = forest.get_params()
    with pytest.raises(ValueError, match="'teacher__max_depth' would change nothing"):
        student(forest).set_params(teacher__max_depth=1)
    assert forest.get_params() == before
    free = student(clone(forest)).set_params(teacher__max_depth=1, student__epochs=2)
    assert (free.teacher.max_depth, free.student.epochs) == (1, 2)
    free.set_params(student=NETWORK, student__epochs=30)


@pytest.mark.parametrize("what", TEACHERS)
def test_a_teacher_that_cannot_teach_is_named(iris, what):
    teacher, words = TEACHERS[what]
    with pytest.raises(ValueError, match=words) as raised:
        student(teacher).fit(*iris)
    assert len(str(raised.value)) <= 300


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        *(({"temperature": bad}, "temperature=") for bad in (0, -1, np.nan, np.inf, "1", True)),
        *(({"alpha": bad}, "alpha=") for bad in (-0.1, 1.1, np.nan, None, "x", True)),
        ({"combine": "median"}, "combine='median': use one of mean, confidence, heads"),
        ({"student": DecisionTreeClassifier()}, "student is a DecisionTreeClassifier"),
        ({"student": lab.NetworkClassifier}, "class NetworkClassifier"),
    ],
)
def test_bad_settings_are_named(iris, forest, settings, words):
    with pytest.raises(ValueError, match=words):
        student(forest).set_params(**settings).fit(*iris)


def test_minus_one_is_a_class_and_the_message_says_what_is_none(iris, forest):
    X, y = iris
    with pytest.raises(ValueError, match="None or NaN means no label, gives -1"):
        student(forest).fit(X, np.where(np.arange(150) < 50, -1, y))


def test_one_label_is_enough_where_the_teacher_knows_the_classes(iris, forest):
    X, _ = iris
    assert student(forest).fit(X, np.zeros(150)).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="one class only"):
        student(LogisticRegression()).fit(X, np.zeros(150))
