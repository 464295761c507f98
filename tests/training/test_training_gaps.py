"""Gaps go to members that know what to do with them; infinity goes nowhere."""

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble as reference
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags

import ensemble_lab as lab

NETWORK = lab.NetworkClassifier(epochs=1, device="cpu")
FILLED = make_pipeline(SimpleImputer(), GaussianNB())
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)


@pytest.fixture(scope="module")
def gapped():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[::2, :6].copy()
    X[5::7, 0] = np.nan
    X[::11, 3] = np.nan
    return X, y[::2]


@pytest.mark.parametrize("member", [TREE, FILLED], ids=["tree", "filled"])
@pytest.mark.parametrize("columns", [1.0, 0.5])
def test_bags_are_scikit_learns(gapped, member, columns):
    X, y = gapped
    how = {"max_features": columns, "random_state": 3}
    mine, theirs = (
        kind(member, 5, **how).fit(X, y)
        for kind in (lab.BaggingClassifier, reference.BaggingClassifier)
    )
    assert np.allclose(mine.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    number = load_diabetes(return_X_y=True)[1][: len(X)]
    regressor = DecisionTreeRegressor(max_depth=3)
    mine, theirs = (
        kind(regressor, 5, **how).fit(X, number)
        for kind in (lab.BaggingRegressor, reference.BaggingRegressor)
    )
    assert np.allclose(mine.predict(X), theirs.predict(X), atol=1e-9)


@pytest.mark.parametrize("framed", [False, True])
def test_stacks_are_scikit_learns(gapped, framed):
    X, y = gapped
    X = pd.DataFrame(X, columns=list("abcdef")) if framed else X
    members = [("tree", TREE), ("filled", FILLED)]
    final = HistGradientBoostingClassifier(max_iter=5)
    for passthrough in (False, True):
        how = {"final_estimator": final, "passthrough": passthrough}
        mine = lab.StackingClassifier(members, **how).fit(X, y)
        theirs = reference.StackingClassifier(members, **how).fit(X, y)
        assert np.allclose(mine.features(X), theirs.transform(X), atol=1e-12, equal_nan=True)
        assert np.allclose(mine.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    regress = lab.StackingRegressor([("tree", DecisionTreeRegressor(max_depth=3))])
    assert np.isfinite(regress.fit(X, y).predict(X)).all()


@pytest.mark.parametrize(
    "kind", [lab.AdaBoostClassifier, lab.GradientBoostingClassifier, lab.GradientBoostingRegressor]
)
def test_boosted_trees_learn_from_gaps(gapped, kind):
    """Where a gap says all, trees see it, stage by stage."""
    X, _ = gapped
    y = np.isnan(X[:, 0]).astype(int)
    assert (kind(n_estimators=30).fit(X, y).predict(X).round() == y).all()


def test_tags_are_those_of_the_members():
    for member, takes in [(None, True), (LogisticRegression(), False), (NETWORK, False)]:
        for kind in (lab.BaggingClassifier, lab.AdaBoostClassifier):
            assert get_tags(kind(member)).input_tags.allow_nan is takes
    both = [("tree", TREE), ("bayes", GaussianNB())]
    assert get_tags(lab.StackingClassifier(both[:1])).input_tags.allow_nan
    assert not get_tags(lab.StackingClassifier(both)).input_tags.allow_nan
    assert get_tags(lab.StackingClassifier([*both[:1], ("no", "drop")])).input_tags.allow_nan
    assert get_tags(lab.GradientBoostingRegressor()).input_tags.allow_nan
    assert not get_tags(lab.GradientBoostingRegressor(Ridge())).input_tags.allow_nan


SCALED = make_pipeline(StandardScaler(), LogisticRegression())
REFUSING = {
    "bag": (lab.BaggingClassifier(LogisticRegression(), 2), "member 0 .LogisticRegression"),
    "bag of pipelines": (
        lab.BaggingClassifier(SCALED, 2, random_state=0), "member 0 .Pipeline.*at its start",
    ),
    "some columns": (
        lab.BaggingClassifier(SCALED, 1, max_features=1, random_state=4), "member 0 .Pipeline",
    ),
    "bag of networks": (lab.BaggingClassifier(NETWORK, 2), "fill gaps before"),
    "network": (NETWORK, "fill gaps before"),
    "negative correlation": (lab.NegativeCorrelationClassifier(NETWORK), "fill gaps before"),
    "snapshots": (lab.SnapshotEnsemble(NETWORK, 1), "fill gaps before"),
    "AdaBoost": (lab.AdaBoostClassifier(LogisticRegression()), "stage 0 .LogisticRegression"),
    "boosting": (lab.GradientBoostingClassifier(Ridge()), "stage 0 .Ridge"),
    "stack": (lab.StackingClassifier(cv=3), "member 'logistic' .Pipeline"),
    "final": (
        lab.StackingClassifier([("tree", TREE)], passthrough=True, cv=3),
        "the final model .LogisticRegression.*SimpleImputer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSING)
def test_who_takes_no_gaps_is_named_with_row_and_column(gapped, name):
    model, message = REFUSING[name]
    X = np.nan_to_num(gapped[0])
    X[[41, 80], slice(None) if name == "some columns" else 2] = np.nan
    for rows in (X, pd.DataFrame(X, columns=list("abcdef"))):
        with pytest.raises(ValueError, match=message) as caught:
            model.fit(rows, gapped[1])
        said = str(caught.value)
        assert said.startswith(("row 41, column ", "row 80, column ")) and len(said) <= 300
        assert name == "some columns" or said.split("column ")[1][:3] in ("2 o", "'c'")
    fitted = model.fit(np.nan_to_num(gapped[0]), gapped[1])
    with pytest.raises(ValueError, match=r"row \d+, column \d of X is NaN"):
        fitted.predict(X)


@pytest.mark.parametrize("name", REFUSING)
def test_infinity_is_refused_everywhere(gapped, name):
    model, y = REFUSING[name][0], gapped[1]
    X = np.nan_to_num(gapped[0])
    X[3, 1] = -np.inf
    for rows, column in [(X, "1"), (pd.DataFrame(X, columns=list("abcdef")), "'b'")]:
        with pytest.raises(ValueError, match=f"row 3, column {column} of X is infinite"):
            model.fit(rows, y)


def test_a_nullable_column_with_gaps_is_read(gapped):
    X, y = gapped
    frame = pd.DataFrame({"n": pd.Series(y, dtype="Int64"), "x": X[:, 1]})
    frame.loc[::5, "n"] = pd.NA
    for model in (lab.BaggingClassifier(TREE, 2), lab.StackingClassifier([("tree", TREE)])):
        assert model.fit(frame, y).score(frame, y) > 0.9
