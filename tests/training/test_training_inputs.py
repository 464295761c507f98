"""What people bring to training: ids, frames, splits and settings, as meant or refused by name."""

import pickle
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn import ensemble as reference
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import ensemble_lab as lab
from ensemble_lab.training.ambiguity import ambiguity_decomposition, optimal_weights
from ensemble_lab.training.bagging.bootstrap import variance_of_mean
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.trainer import train_members

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
TWO = [("tree", TREE), ("bayes", GaussianNB())]
NETWORK = lab.NetworkClassifier(epochs=1, random_state=0, device="cpu")
KINDS = {
    "bag": lab.BaggingClassifier(TREE, 2, random_state=0),
    "bag of networks": lab.BaggingClassifier(NETWORK, 2, random_state=0),
    "stack": lab.StackingClassifier(TWO, cv=3),
    "AdaBoost": lab.AdaBoostClassifier(None, 2),
    "boosting": lab.GradientBoostingClassifier(None, 2),
    "network": NETWORK,
    "negative correlation": lab.NegativeCorrelationClassifier(NETWORK, 2, random_state=0),
    "snapshots": lab.SnapshotEnsemble(NETWORK, 1, random_state=0),
}
WEIGHED = [name for name in KINDS if name in ("AdaBoost", "boosting", "network")]


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return pd.DataFrame(StandardScaler().fit_transform(X[::3, :4]), columns=list("abcd")), y[::3]


def short(caught):
    text = str(caught.value)
    assert len(text) <= 300 and not re.search(r"np\.(u?int|float|str|bool)|array\(", text), text


# -- ids and numbers ------------------------------------------------------------------------------


def looking_up(inputs, outputs):
    return nn.Sequential(nn.Embedding(50, 8), nn.Flatten(-2), nn.Linear(8 * inputs, outputs))


IDS = np.random.default_rng(0).integers(0, 50, (80, 3))
ODD = IDS[:, 0] % 2  # which an id tells and a number does not


def trained(X, y=ODD, make=lambda: looking_up(3, 2), **how):
    how = {"members": 2, "epochs": 60, "device": "cpu", "progress": False, "seed": 0, **how}
    return train_members(make, X, y, loss=cross_entropy, **how)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "int8", "uint16", "float32"])
def test_ids_stay_whole_for_an_embedding(dtype):
    expected = trained(IDS, epochs=30)
    found = trained(IDS.astype(dtype), epochs=30)
    assert np.array_equal(found.outputs(IDS.astype(dtype)), expected.outputs(IDS))
    assert np.array_equal(found.outputs(torch.tensor(IDS)), expected.outputs(IDS.astype(float)))
    assert (expected.outputs(IDS).argmax(-1) == ODD).mean() > 0.9


def test_estimators_take_ids_too():
    network = lab.NetworkClassifier(looking_up, 30, random_state=0, device="cpu")
    for model in (
        network,
        lab.BaggingClassifier(network, 2, random_state=0),
        lab.BaggingClassifier(network, 2, max_features=2, random_state=0),
        lab.SnapshotEnsemble(network, 2, random_state=0),
        lab.NegativeCorrelationClassifier(network, 2, random_state=0),
    ):
        score = model.fit(pd.DataFrame(IDS, columns=list("abc")), ODD).score(
            pd.DataFrame(IDS, columns=list("abc")), ODD
        )
        assert score > 0.7
        again = pickle.loads(pickle.dumps(model))
        assert again.score(pd.DataFrame(IDS, columns=list("abc")), ODD) == score
    bag = lab.BaggingClassifier(network, 2, random_state=0).fit(IDS, ODD)
    assert bag.estimators_[0].predict(IDS).shape == (80,)
    regressor = lab.NetworkRegressor(looking_up, 30, random_state=0, device="cpu")
    assert regressor.fit(IDS, ODD).score(IDS, ODD) > 0.5


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            IDS + 5,
            "X holds ids 5 to 54, and an nn.Embedding .* has 50 rows at most, for ids 0 to 49",
        ),
        (IDS - 3, "X holds ids -3 to 46.*number the ids from 0"),
        (IDS + 0.5, "X holds .*looks ids up in a table.*whole numbers"),
        (np.where(IDS == 7, np.nan, IDS), "X holds nan.*whole numbers"),
    ],
)
def test_ids_that_are_none_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        trained(X, epochs=1)
    with pytest.raises(ValueError, match=message):
        trained(IDS, epochs=1).outputs(X)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16", "bool"])
def test_whole_numbers_are_floats_for_other_networks(dtype):
    """Pixels of bytes, for a linear layer and for a convolution."""
    X = IDS.astype(dtype)
    lines = [trained(some, make=lambda: nn.Linear(3, 2), epochs=2) for some in (X, X.astype(float))]
    assert np.array_equal(lines[0].outputs(X), lines[1].outputs(X.astype(float)))
    images = np.random.default_rng(0).integers(0, 255, (20, 1, 4, 4)).astype(dtype)

    def convolving():
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))

    found = trained(images, np.arange(20) % 2, convolving, epochs=1).outputs(images)
    assert found.dtype == np.float32 and found.shape == (2, 20, 2)


def test_ids_that_floats_would_confuse_stay_whole():
    class Remainder(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(2, 2)

        def forward(self, x):
            return self.table((x % 2).long()[..., 0])

    X = 20_000_000 + np.arange(40)[:, None]
    found = trained(X, np.arange(40) % 2, Remainder, epochs=80, members=1, learning_rate=0.1)
    assert (found.outputs(X).argmax(-1) == np.arange(40) % 2).all()


def test_looking_at_a_network_changes_nothing():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()

    def dropping():
        return nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5), nn.Linear(5, 2))

    whole, plain = (trained(some, make=dropping, epochs=3) for some in (IDS, IDS.astype(float)))
    assert np.array_equal(whole.losses, plain.losses)
    assert torch.equal(before, torch.random.get_rng_state())


# -- rows and weights of members ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rows": np.ones((2, 80), bool)}, "rows is a mask"),
        ({"rows": [[0.5], [1]]}, "rows holds fractions"),
        ({"rows": {0: [1], 1: [2]}}, "rows is a dict.*2 lists"),
        ({"rows": [[0, 1], [2]]}, "rows are not as many for each member"),
        ({"rows": pd.DataFrame([[0], [1]])}, "rows is a DataFrame"),
        ({"rows": 3}, "rows is 3"),
        ({"weights": np.full((2, 80), np.nan)}, "weight of row 0 for member 0 is nan"),
        ({"weights": np.r_[np.ones((1, 80)), np.zeros((1, 80))]}, "member 1 has weight 0 for ev"),
        ({"weights": {0: np.ones(80), 1: np.ones(80)}}, "weights is a dict"),
        ({"weights": np.ones(80)}, "2 lists of equally many numbers"),
        ({"validation": pd.DataFrame(IDS)}, "validation is a DataFrame: give the pair"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"members": True}, "members=True"),
        ({"seed": -1}, "seed=-1"),
        ({"X": [["a"] * 3] * 80}, "X holds 'a'"),
        ({"X": {"a": 1}}, "X holds .*not a number"),
    ],
)  # fmt: skip
def test_what_a_member_learns_from_is_read_or_refused(how, message):
    with pytest.raises(ValueError, match=message) as caught:
        trained(**{"X": IDS, **how})
    short(caught)


def test_small_integers_are_row_numbers_and_no_mask():
    rows = np.arange(20)[None].repeat(2, 0)
    expected = trained(IDS, rows=rows, epochs=2).losses
    for other in (rows.astype(np.uint8), rows.tolist(), (row for row in rows), torch.tensor(rows)):
        assert np.array_equal(trained(IDS, rows=other, epochs=2).losses, expected)
    ones = [pd.Series(np.ones(80))] * 2
    assert np.array_equal(trained(IDS, rows=rows, weights=ones, epochs=2).losses, expected)


# -- frames, names and order ----------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_targets_of_rows_in_another_order_are_refused(name, cancer):
    X, y = cancer
    shuffled = pd.Series(y).sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match=r"same row names in another order: give y.loc\[X.index\]"):
        KINDS[name].fit(X, shuffled)
    model = KINDS[name].fit(X, shuffled.loc[X.index])
    expected = model.predict(X)
    other = pd.Series(y, index=np.arange(len(y)) + 1000)  # other names: by position, as everywhere
    assert np.array_equal(KINDS[name].fit(X, other).predict(X), expected)
    for rows in (X[list("bacd")], X.assign(z=1)):
        with pytest.raises(ValueError, match="feature names"):
            model.predict(rows)


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda n: pd.Series(np.ones(n)).sample(frac=1, random_state=0), "sample_weight have the"),
        (lambda n: np.r_[1, np.nan, np.ones(n - 2)], "sample_weight of row 1 is nan"),
        (lambda n: -np.ones(n), "sample_weight of row 0 is -1"),
        (lambda n: np.zeros(n), "non-zero"),
        (lambda n: {"a": 1}, "sample_weight is a dict"),
        (lambda n: frozenset([1.0]), "sample_weight is a frozenset"),
        (lambda n: ["heavy"] * n, "sample_weight holds 'heavy', which is not a number"),
        (lambda n: np.ones(n) + 1j, r"sample_weight holds \(1\+1j\). Complex data not supported"),
        (lambda n: np.ones(3), "3 numbers, and X has"),
        (lambda n: np.ones((n, 1)), "one number a row"),
    ],
)
def test_weights_that_are_none_are_refused(name, weights, message, cancer):
    X, y = cancer
    with pytest.raises(ValueError, match=message):
        KINDS[name].fit(X, y, sample_weight=weights(len(y)))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "form",
    [np.asarray, list, pd.DataFrame, lambda values: values.astype(object)],
    ids=["array", "list", "frame", "objects"],
)
@pytest.mark.filterwarnings("error")
def test_complex_numbers_are_refused_by_their_place(name, form, cancer):
    X, y = cancer
    X, plain = X.to_numpy(), KINDS[name]
    turned = X + np.where(np.arange(len(X)) == 5, 2j, 0)[:, None]
    with pytest.raises(ValueError, match=r"of X is .*j\). Complex data not supported") as caught:
        plain.fit(form(turned), y)
    short(caught)
    turned = form((y + 1j)[:, None]) if form is pd.DataFrame else form(y + 1j)
    with pytest.raises(ValueError, match="y holds .*1j.*Complex data not supported") as caught:
        plain.fit(X, turned)
    short(caught)


@pytest.mark.filterwarnings("error")
def test_complex_numbers_are_refused_at_the_other_doors(cancer):
    X, y = cancer
    model = lab.BaggingClassifier(TREE, 2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="row 0, column 'a' of X is .* Complex data not supported"):
        model.predict(X + 1j)
    with pytest.raises(ValueError, match="X holds .* Complex data not supported"):
        trained(X.to_numpy()[:80, :3] + 1j)
    with pytest.raises(ValueError, match="y holds .* Complex data not supported"):
        trained(IDS, ODD + 1j)
    for predictions, truth in (([[1j, 2]], [1, 2]), ([[1, 2]], np.array([1j, 2]))):
        with pytest.raises(ValueError, match="Complex data not supported"):
            ambiguity_decomposition(predictions, truth)


MIXED = {
    "mapping": (lambda X: X.to_dict("list"), "X is a dict"),
    "one dimension": (lambda X: X["a"], "X has one dimension"),
    "text": (lambda X: X.assign(city="Rome"), "column 'city' of X is text, 'Rome'"),
    "category": (lambda X: X.assign(city="Rome").astype("category"), "'city' of X is text, 'Rome'"),
    "twice": (lambda X: X.set_axis(list("aacd"), axis=1), "column 'a' more than once"),
    "no rows": (lambda X: X.iloc[:0], "0 sample|0 rows"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", MIXED)
def test_what_is_no_table_of_numbers_is_refused(name, kind, cancer):
    X, y = cancer
    change, message = MIXED[kind]
    with pytest.raises(ValueError, match=message) as caught:
        KINDS[name].fit(change(X), y[: len(change(X))] if kind == "no rows" else y)
    short(caught)


@pytest.mark.parametrize("name", KINDS)
def test_tables_of_other_libraries_are_read(name, cancer):
    X, y = cancer
    expected = KINDS[name].fit(X, y).predict(X)
    for other in (pa.Table.from_pandas(X), X.astype("Float64")):
        model = KINDS[name].fit(other, y)
        assert list(model.feature_names_in_) == list("abcd")
        assert np.array_equal(model.predict(other), expected)
    for other in (X.to_numpy().tolist(), torch.tensor(X.to_numpy()), (row for row in X.to_numpy())):
        assert np.array_equal(KINDS[name].fit(other, y).predict(X.to_numpy()), expected)


def test_members_of_a_stack_choose_columns_by_name(cancer):
    X, y = cancer
    frame = X.assign(city=np.where(X["b"] > 0, "Rome", "Oslo"))
    columns = make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["a"]))
    members = [("by name", make_pipeline(columns, LogisticRegression()))]
    mine = lab.StackingClassifier(members).fit(frame, y)
    theirs = reference.StackingClassifier(members).fit(frame, y)
    assert np.allclose(mine.predict_proba(frame), theirs.predict_proba(frame), atol=1e-7)
    with pytest.raises(ValueError, match="passthrough=True gives the final model X"):
        lab.StackingClassifier(members, passthrough=True).fit(frame, y)
    with pytest.raises(ValueError, match="member 0 .*chooses columns by name.*before"):
        numeric = make_column_transformer((StandardScaler(), ["a"]))
        lab.BaggingClassifier(make_pipeline(numeric, LogisticRegression()), 2).fit(X, y)


@pytest.mark.parametrize(
    "member",
    [
        HistGradientBoostingClassifier(categorical_features=[0]),
        DecisionTreeClassifier(monotonic_cst=[1, 0, 0, 0]),
        make_pipeline(make_column_transformer((StandardScaler(), [0])), LogisticRegression()),
        make_column_transformer((StandardScaler(), [0])),
    ],
    ids=["categorical", "monotonic", "in a pipeline", "itself"],
)
def test_places_of_columns_mean_nothing_where_each_member_draws_its_own(member, cancer):
    if not hasattr(member, "predict"):
        member = make_pipeline(member, TREE)
    with pytest.raises(ValueError, match="columns by position: use max_features=1.0"):
        lab.BaggingClassifier(member, 2, max_features=0.5).fit(*cancer)
    assert lab.BaggingClassifier(member, 1).fit(*cancer).score(*cancer) > 0.5


# -- splits and members of stacks -----------------------------------------------------------------


@pytest.mark.parametrize(
    "cv",
    [
        TimeSeriesSplit(3),
        PredefinedSplit(np.r_[-np.ones(90, int), np.arange(100) % 2]),
        list(KFold(4).split(np.zeros(190)))[1:],
        [(np.arange(190) < 100, (np.arange(190) >= 100) & (np.arange(190) % 2 == i))
         for i in (0, 1)],
    ],
    ids=["time", "predefined", "list", "masks"],
)  # fmt: skip
def test_rows_that_no_fold_predicts_are_left_to_the_members(cancer, cv):
    X, y = cancer
    stack = lab.StackingClassifier(TWO, cv=cv).fit(X, y)
    splits = cv if isinstance(cv, list) else list(cv.split(X, y))
    said = {}
    for learn, judged in splits:
        rows = np.arange(190)[learn]
        members = [member.fit(X.iloc[rows], y[rows]) for _, member in TWO]
        for row in np.arange(190)[judged].tolist():
            said[row] = [one.predict_proba(X.iloc[[row]])[0, 1] for one in members]
    rows = sorted(said)
    assert stack.stacked_rows_.tolist() == rows and 0 < len(rows) < 190
    assert np.allclose(stack.stacked_, [said[row] for row in rows], atol=1e-12)
    whole = [member.fit(X, y).predict_proba(X)[:, 1] for _, member in TWO]
    assert np.allclose(stack.features(X), np.column_stack(whole))
    final = LogisticRegression().fit([said[row] for row in rows], y[rows])
    assert np.array_equal(stack.predict(X), final.predict(np.column_stack(whole)))


def test_one_split_of_a_predefined_one_blends(cancer):
    X, y = cancer
    stack = lab.StackingClassifier(TWO, cv=PredefinedSplit(np.r_[-np.ones(90), np.zeros(100)]))
    assert stack.fit(X, y).stacked_rows_.tolist() == list(range(90, 190))
    assert np.array_equal(stack.estimators_[1].theta_, GaussianNB().fit(X[:90], y[:90]).theta_)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (RepeatedKFold(n_splits=3, n_repeats=2), "predicts row 0 twice"),
        ("prefit", "FrozenEstimator"),
        (GroupKFold(3), r"GroupKFold needs groups.*list\(GroupKFold"),
        (True, "cv=True"),
        (1, "cv=1: use 2 folds"),
        ({0: ([1], [2])}, "cv is a mapping"),
        ([1, 2], "each is a pair"),
        ([], "No splits|no splits"),
        ([(np.arange(190), [5])], "row 5 predicted by members that learned from it"),
        ([(np.arange(100), [190])], "cv gives rows .190., and X has rows 0 to 189"),
        ([(np.arange(100), [-1])], "cv gives rows .-1."),
        ([(np.arange(100), [120.5])], "not a pair of row numbers"),
    ],
)
def test_splits_that_do_not_do_are_refused(cancer, cv, message):
    with pytest.raises(ValueError, match=message) as caught:
        lab.StackingClassifier(TWO, cv=cv).fit(*cancer)
    short(caught)


def test_a_generator_of_splits_is_read_once(cancer):
    stack = lab.StackingClassifier(TWO, cv=KFold(3).split(cancer[0]))
    expected = lab.StackingClassifier(TWO, cv=KFold(3)).fit(*cancer).stacked_
    assert np.array_equal(stack.fit(*cancer).stacked_, expected)
    with pytest.raises(ValueError, match="used up: give a list"):
        stack.fit(*cancer)
    frozen = FrozenEstimator(GaussianNB().fit(*cancer))
    fitted = lab.StackingClassifier([("frozen", frozen)]).fit(*cancer)
    assert np.allclose(fitted.stacked_[:, 0], frozen.predict_proba(cancer[0])[:, 1])


def test_drop_leaves_a_member_out(cancer):
    X, y = cancer
    three = [TWO[0], ("no", "drop"), TWO[1]]
    expected = lab.StackingClassifier(TWO).fit(X, y)
    theirs = reference.StackingClassifier(three).fit(X, y)
    for stack in (
        lab.StackingClassifier(three),
        lab.StackingClassifier([*TWO, ("no", GaussianNB())]).set_params(no="drop"),
    ):
        stack.fit(X, y)
        assert np.array_equal(stack.predict_proba(X), expected.predict_proba(X))
        assert set(stack.named_estimators_) == set(theirs.named_estimators_)
        assert stack.named_estimators_["no"] == "drop" and len(stack.estimators_) == 2
    numbers = lab.StackingRegressor([("no", "drop"), ("tree", lab.BaggingRegressor())])
    assert numbers.fit(X, y).stacked_.shape == (190, 1)
    with pytest.raises(ValueError, match="all members are 'drop'"):
        lab.StackingClassifier([("no", "drop")]).fit(X, y)


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        (dict(TWO), r"list\(estimators.items"),
        ((one for one in TWO), "give a list of .name, estimator"),
        ([TREE, GaussianNB()], "give a list of .name, estimator"),
        ([(1, TREE)], "give a list of .name, estimator"),
        ([("tree", DecisionTreeClassifier)], "the class DecisionTreeClassifier: give an instance"),
        ([("tree", None)], "'tree'=None has no fit"),
        ("tree", "give a list"),
    ],
)
def test_members_that_are_no_list_of_names_are_refused(cancer, estimators, message):
    with pytest.raises(ValueError, match=message):
        lab.StackingClassifier(estimators).fit(*cancer)


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("stack", "network")])
def test_settings_that_are_none_are_refused(cancer, name):
    kind = type(KINDS[name])
    for count in (0, -1, 2.0, True, "5", None):
        with pytest.raises(ValueError, match=f"n_estimators={count!r}"):
            kind(n_estimators=count).fit(*cancer)
    with pytest.raises(ValueError, match="random_state is a Generator: use a whole number"):
        kind(random_state=np.random.default_rng(0)).fit(*cancer)
    with pytest.raises(ValueError, match="the class GaussianNB: give an instance"):
        kind(GaussianNB).fit(*cancer)
    with pytest.raises(ValueError, match="has no fit"):
        kind([TREE]).fit(*cancer)


def test_numpys_whole_numbers_are_whole_numbers(cancer):
    for name in ("bag", "AdaBoost", "negative correlation"):
        assert type(KINDS[name])(n_estimators=np.int64(2)).fit(*cancer).n_features_in_ == 4


def test_a_draw_of_one_class_is_told(cancer):
    X, _ = cancer
    y = np.where(np.arange(190) < 2, "rare", "usual")
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ValueError, match=r"member \d .Pipeline. got rows of one class only, 'us"):
        lab.BaggingClassifier(scaled, 9, max_samples=20, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"member \d .Pipeline. failed to learn: The classes"):
        weighed = make_pipeline(StandardScaler(), LogisticRegression(class_weight={"rare": 5.0}))
        three = np.where(y == "rare", y, np.where(X["a"] > 0, "b", "a"))
        lab.BaggingClassifier(weighed, 9, max_samples=20, random_state=0).fit(X, three)


# -- arithmetic of members ------------------------------------------------------------------------

SAID = np.array([[1.0, 4.0], [3.0, 4.0]])


def test_predictions_are_read_in_any_form_that_has_an_order():
    for said in (SAID, SAID.tolist(), (row for row in SAID), [*map(pd.Series, SAID)],
                 torch.tensor(SAID)):  # fmt: skip
        found = ambiguity_decomposition(said, pd.Series([2.0, 5.0]), (w for w in (0.75, 0.25)))
        assert found == (0.625, 1.0, 0.375)
    for said in (pd.DataFrame(SAID), dict(enumerate(SAID)), [["a", "b"]] * 2, [[1.0], [1.0, 2.0]]):
        for call in (ambiguity_decomposition, optimal_weights):
            with pytest.raises(ValueError, match="give one list a member"):
                call(said, [2.0, 5.0])


@pytest.mark.parametrize("weights", [{"a": 1}, [0.5] * 999, [np.nan, 1.0], ["a", "b"], "ab"])
def test_weights_of_members_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights") as caught:
        ambiguity_decomposition(SAID, [2.0, 5.0], weights)
    short(caught)


@pytest.mark.parametrize("given", [(1.0, 0.5, 2.5), ("a", 0.5, 2), (np.nan, 0.5, 2), (1.0, "a", 2)])
def test_variances_of_what_is_no_number_are_refused(given):
    with pytest.raises(ValueError, match="members"):
        variance_of_mean(*given)


DAYS = pd.Series(pd.date_range("2024-01-01", periods=40))
TIMES = {
    "dates": DAYS,
    "dates of a place": DAYS.dt.tz_localize("UTC"),
    "spans": DAYS - DAYS[0],
    "months": DAYS.dt.to_period("M"),
    "dates of Python": pd.Series(list(DAYS.dt.to_pydatetime())),
}


@pytest.mark.parametrize("times", TIMES)
def test_times_are_refused_by_their_column(times):
    frame = pd.DataFrame({"when": TIMES[times], "x": np.arange(40.0)})
    y, told = [0, 1] * 20, "column 'when' of X holds times"
    plain = pd.DataFrame({"when": np.arange(40.0), "x": np.arange(40.0)})
    for model in (
        lab.BaggingClassifier(n_estimators=2),
        lab.AdaBoostClassifier(n_estimators=2),
        lab.NetworkClassifier(epochs=1),
    ):
        with pytest.raises(ValueError, match=told):
            model.fit(frame, y)
        with pytest.raises(ValueError, match=told):
            model.fit(plain, y).predict(frame)
    with pytest.raises(ValueError, match=r"^X holds times \(datetime64"):
        lab.BaggingClassifier().fit(DAYS.to_numpy()[:, None], y)
