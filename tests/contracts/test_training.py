"""Every estimator: labels, columns and rows by any name and type learn the same."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import ensemble_lab as lab
from tests.contracts.registry import contract, quiet, refused

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 3)).round(3)
CODES = (X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int) + (X[:, 1] > 1)
TARGET = (X @ [1.0, -2.0, 0.5]).round(3)
ORDER = RNG.permutation(N)

tree = DecisionTreeClassifier(max_depth=2, random_state=0)
stump = DecisionTreeRegressor(max_depth=2, random_state=0)
net = {"epochs": 2, "random_state": 0}
CLASSIFIERS = {
    "BaggingClassifier": lambda: lab.BaggingClassifier(tree, 3, random_state=0),
    "AdaBoostClassifier": lambda: lab.AdaBoostClassifier(tree, 3, random_state=0),
    "GradientBoostingClassifier": lambda: lab.GradientBoostingClassifier(stump, 3, random_state=0),
    "StackingClassifier": lambda: lab.StackingClassifier(
        [("tree", tree), ("line", LogisticRegression())], LogisticRegression(), cv=3
    ),
    "NetworkClassifier": lambda: lab.NetworkClassifier(**net),
    "NegativeCorrelationClassifier": lambda: lab.NegativeCorrelationClassifier(
        lab.NetworkClassifier(**net), 2, random_state=0
    ),
    "AppealClassifier": lambda: lab.AppealClassifier(lab.NetworkClassifier(**net), random_state=0),
    "SnapshotEnsemble": lambda: lab.SnapshotEnsemble(
        lab.NetworkClassifier(**net), 2, random_state=0
    ),
    "DistilledClassifier": lambda: lab.DistilledClassifier(
        LogisticRegression(), lab.NetworkClassifier(**net), random_state=0
    ),
    "ExpertsClassifier": lambda: lab.ExpertsClassifier(**net),
    "NestedNetwork": lambda: lab.NestedNetwork(lab.NetworkClassifier(**net), random_state=0),
    "EarlyExit": lambda: lab.EarlyExit(
        lab.NetworkClassifier(partial(lab.perceptron, hidden=(8, 8)), **net), random_state=0
    ),
}
REGRESSORS = {
    "BaggingRegressor": lambda: lab.BaggingRegressor(stump, 3, random_state=0),
    "GradientBoostingRegressor": lambda: lab.GradientBoostingRegressor(stump, 3, random_state=0),
    "StackingRegressor": lambda: lab.StackingRegressor(
        [("tree", stump), ("line", LinearRegression())], LinearRegression(), cv=3
    ),
    "NetworkRegressor": lambda: lab.NetworkRegressor(**net),
    "NegativeCorrelationRegressor": lambda: lab.NegativeCorrelationRegressor(
        lab.NetworkRegressor(**net), 2, random_state=0
    ),
}
# Names in the order of the codes: what is learned may not depend on them.
LABELS = {
    "text": ["", "NA", "ü,\n"],
    "numbers as text": ["007", "1.10", "1e3"],
    "far integers": [-(2**62), 0, 2**62],
    "bytes": np.array([7, 8, 255], np.uint8),
    "int8": np.array([-128, 0, 127], np.int8),
    "uint64": np.array([0, 1, 2**63], np.uint64),
    "floats": np.array([1.0, 2.0, 3.0], np.float32),
    "half floats": np.array([1.0, 2.0, 3.0], np.float16),
    "from one": [1, 2, 3],
}
KEEP = {
    "list": list,
    "tuple": tuple,
    "object": lambda y: np.array([*y, None], object)[:-1],
    "Series": lambda y: pd.Series(list(y), index=ORDER),
    "category": lambda y: pd.Series(list(y), index=ORDER).astype("category"),
    "nullable": lambda y: pd.Series(list(y)).convert_dtypes(),
    "column": lambda y: np.asarray(y),
}
FRAMES = {
    "list": lambda X: X.tolist(),
    "float32": lambda X: X.astype(np.float32),
    "object": lambda X: X.astype(object),
    "Fortran": np.asfortranarray,
    "DataFrame": lambda X: pd.DataFrame(X, columns=["b", "a", "feature:x"], index=ORDER),
    "nullable": lambda X: pd.DataFrame(X, columns=[*"bac"]).convert_dtypes(),
    "polars": lambda X: pl.DataFrame(X, schema=["b", "a", "ü"]),
    "read-only": lambda X: (lambda Z: Z.setflags(write=False) or Z)(X.copy()),
}


@contract(*CLASSIFIERS, "training")
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("labels", LABELS)
def test_labels_of_any_kind_are_learned_as_codes_are(name, labels):
    names = np.asarray(
        LABELS[labels], dtype=object if labels.startswith(("text", "numb")) else None
    )
    true = CLASSIFIERS[name]().fit(X, CODES).predict(X)
    faults = {}
    for kept in ("column",) if labels != "text" else KEEP:
        with quiet():
            y = KEEP[kept](names[CODES])
            try:
                found = CLASSIFIERS[name]().fit(X, y).predict(X)
            except Exception as error:
                faults[kept] = repr(error)[:200]
                continue
        if list(found) != list(names[true]):
            faults[kept] = "learned something else"
    assert not faults, faults


@contract(*CLASSIFIERS, *REGRESSORS)
@pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS])
def test_rows_in_any_object_are_learned_alike(name):
    make, y = (CLASSIFIERS[name], CODES) if name in CLASSIFIERS else (REGRESSORS[name], TARGET)
    true = make().fit(X, y).predict(X)
    faults = {}
    for frame, dress in FRAMES.items():
        given = dress(X)
        try:
            with quiet():
                found = make().fit(given, y).predict(given)
        except Exception as error:
            faults[frame] = repr(error)[:200]
            continue
        if not np.allclose(np.asarray(found, float), true, atol=1e-3):
            faults[frame] = "learned something else"
    assert not faults, faults


WRONG = {
    "a gap in y": (X, [None, *CODES[1:]]),
    "NaN in y": (X, [np.nan, *CODES[1:]]),
    "too few labels": (X, CODES[:-1]),
    "no rows": (X[:0], CODES[:0]),
    "one dimension": (X[:, 0], CODES),
    "words": ([["a", "b", "c"]] * N, CODES),
    "infinite": (np.where(X == X.max(), np.inf, X), CODES),
    "a string": ("X", CODES),
    "a mapping": ({"a": X[:, 0]}, CODES),
    "labels as a string": (X, "y"),
    "a square of labels": (X, np.stack([CODES, CODES])),
}


@contract(*CLASSIFIERS, *REGRESSORS)
@pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS])
@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_learned_from_is_refused(name, what):
    make = {**CLASSIFIERS, **REGRESSORS}[name]
    if what in ("a gap in y", "NaN in y") and name == "DistilledClassifier":
        assert len(make().fit(*WRONG[what]).classes_) == 3  # a row without a label
        return
    try:
        make().fit(*WRONG[what])
    except (ValueError, TypeError) as error:
        # scikit-learn's words are scikit-learn's; they may be longer.
        assert "not supported between" not in str(error), error
    else:
        raise AssertionError(f"accepted {what}")


@contract("train_members")
@pytest.mark.parametrize("labels", ["bytes", "int8", "from zero", "float32"])
@pytest.mark.parametrize("kept", ["list", "Series", "column", "tuple"])
def test_members_learn_from_labels_of_any_whole_type(labels, kept):
    torch = pytest.importorskip("torch")
    from ensemble_lab.training.batched.losses import cross_entropy

    def trained(y):
        return lab.train_members(
            lambda: torch.nn.Linear(3, 3),
            X,
            y,
            members=2,
            loss=cross_entropy,
            epochs=1,
            progress=False,
            device="cpu",
        ).outputs(X.astype(np.float32))

    dtype = {"bytes": np.uint8, "int8": np.int8, "from zero": np.int64, "float32": np.float32}[
        labels
    ]
    with quiet():
        found = trained(KEEP[kept](CODES.astype(dtype)))
    np.testing.assert_allclose(np.asarray(found), np.asarray(trained(CODES)))


@contract("train_members")
@pytest.mark.parametrize(
    "what", ["too few labels", "words", "a string", "a mapping", "labels as a string"]
)
def test_members_do_not_learn_from_what_is_no_table(what):
    torch = pytest.importorskip("torch")
    from ensemble_lab.training.batched.losses import cross_entropy

    rows, y = WRONG[what]
    with refused():
        lab.train_members(
            lambda: torch.nn.Linear(3, 3),
            rows,
            y,
            members=2,
            loss=cross_entropy,
            epochs=1,
            progress=False,
        )


@contract("distillation_loss")
def test_settings_of_losses_that_do_not_fit_are_refused():
    torch = pytest.importorskip("torch")
    z, teacher = torch.zeros(2, 3, 4), torch.full((2, 3, 1, 4), 0.25)
    targets, weights = torch.cat([0 * teacher, teacher], 2), torch.ones(2, 3)
    assert lab.distillation_loss(z, targets, weights).tolist() == [0, 0]
    for temperature in (0, -1.0, np.nan, np.inf, [1.0, 0.0], [1.0, 2.0, 3.0], []):
        with refused():
            lab.distillation_loss(z, targets, weights, temperature=temperature)
    for alpha in (-0.1, 1.1, np.nan, [0.5, 2.0], [0.1, 0.2, 0.3]):
        with refused():
            lab.distillation_loss(z, targets, weights, alpha=alpha)
    for setting in ("temperature", "alpha"):
        for wrong in ("1", None, True, {"a": 1}, [[1.0, 1.0]], ["a", "b"], (x for x in (1, 1))):
            with refused():
                lab.distillation_loss(z, targets, weights, **{setting: wrong})
        one = lab.distillation_loss(z, targets, weights, **{setting: Fraction(1, 2)})
        assert one.tolist() == [0, 0]
    shapes = (z, targets[:, :, 0], weights), (z, targets[:, :, :1], weights)
    shapes += (
        (z, targets[:1], weights),
        (z, targets, weights[:, :2]),
        (z[..., :3], targets, weights),
    )
    for three in (*shapes, (z.numpy(), targets.numpy(), weights.numpy()), (z, None, weights)):
        with refused():
            lab.distillation_loss(*three)
    for teachers in (2, 3):  # the network has four outputs, and heads of two classes for two
        with refused() if teachers == 3 else quiet():
            half = torch.full((2, 3, teachers + 1, 2), 0.5)
            lab.distillation_loss(z, half, weights)


@contract("born_again")
def test_generations_that_cannot_be_are_refused():
    student = lab.NetworkClassifier(**net)
    for wrong in (0, -1, 1.5, True, "2", None):
        with refused():
            lab.born_again(student, X, CODES, wrong)
    for wrong in (lab.NetworkClassifier, "network", None):
        with refused():
            lab.born_again(wrong, X, CODES)
    with refused():
        lab.born_again(student, X, CODES, temperature=0)


@contract("AnyPrecision")
def test_bits_that_no_code_has_are_refused():
    torch = pytest.importorskip("torch")
    network = torch.nn.Linear(3, 2)
    stored = lab.AnyPrecision(network, bits=np.int64(5))
    assert torch.equal(stored.at(np.uint8(3)).weight, stored.at(3).weight)
    for wrong in (0, -1, 9, 2.0, True, "3", None, np.nan, [3]):
        with refused():
            lab.AnyPrecision(network, wrong)
        with refused():
            stored.at(wrong)
        if wrong is not None:
            with refused():
                stored.codes("weight", wrong)
    with refused():
        stored.at(6)
    for wrong in ("bias", None, 0):
        with refused():
            stored.table(wrong)
    for wrong in (None, "tiny", torch.nn.Linear, network.weight, torch.nn.ReLU()):
        with refused():
            lab.AnyPrecision(wrong)
    with torch.no_grad():
        network.weight[0, 0] = np.nan
    with refused():
        lab.AnyPrecision(network)


@contract("exit_thresholds")
def test_confidences_and_shares_in_any_object_give_the_same_thresholds():
    torch = pytest.importorskip("torch")
    sure = np.array([[0.9, 0.9], [0.5, 0.8], [0.25, 0.7], [0.4, 0.5]])
    true = lab.exit_thresholds(sure, [0.5, 0.5])
    for dress in (list, np.ndarray.tolist, torch.tensor, pd.DataFrame, np.asfortranarray):
        assert lab.exit_thresholds(dress(sure), [0.5, 0.5]) == pytest.approx(true)
    for dress in (tuple, np.array, torch.tensor, pd.Series, pl.Series):
        assert lab.exit_thresholds(sure, dress([0.5, 0.5])) == pytest.approx(true)
    for wrong in (
        None,
        "ab",
        [],
        [[]],
        sure[0],
        sure[None],
        np.where(sure > 0.8, np.nan, sure),
        [["a", "b"]],
        1j * sure,
        np.where(sure > 0.8, np.inf, sure),
    ):
        with refused():
            lab.exit_thresholds(wrong, [0.5, 0.5])
    for wrong in (
        None,
        "ab",
        0.5,
        [],
        [1],
        [0.5, 0.25, 0.25],
        [0.5, 0.6],
        [1.5, -0.5],
        ["a", "b"],
        [np.nan, 1],
        [[0.5, 0.5]],
        [0, 0],
    ):
        with refused():
            lab.exit_thresholds(sure, wrong)


@contract("calibrated_threshold")
def test_confidences_and_wrong_answers_in_any_object_give_the_same_threshold():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    sure = rng.uniform(size=(200, 2)).round(2)
    wrong = np.stack([rng.uniform(size=200) > sure[:, 0], np.zeros(200)], 1).astype(bool)
    true = lab.calibrated_threshold(sure, wrong, 0.2)
    assert 0.2 < true < 1
    for dress in (list, np.ndarray.tolist, torch.tensor, pd.DataFrame, pl.DataFrame):
        assert lab.calibrated_threshold(dress(sure), wrong, 0.2) == true
        assert lab.calibrated_threshold(sure, dress(wrong), 0.2) == true
        assert lab.calibrated_threshold(sure, dress(wrong.astype(float)), 0.2) == true
    for bad in (None, "ab", [], [[]], sure[0], sure[None], sure.astype(str), 1j * sure, sure + 0.5,
                -sure, np.where(sure > 0.8, np.nan, sure), sure[:, :1], sure[1:]):  # fmt: skip
        with refused():
            lab.calibrated_threshold(bad, wrong, 0.2)
    for bad in (None, "ab", [], wrong[0], wrong[:, :1], wrong[1:], wrong[:, ::-1], wrong * 0.5,
                np.where(wrong, np.nan, 0), wrong.astype(str)):  # fmt: skip
        with refused():
            lab.calibrated_threshold(sure, bad, 0.2)
    for bad in (None, "0.1", 0, 1, -0.1, 5, np.nan, True, [0.1], 1j):
        with refused():
            lab.calibrated_threshold(sure, wrong, bad)
        with refused():
            lab.calibrated_threshold(sure, wrong, 0.2, bad)
