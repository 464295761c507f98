"""Items as people hold them: what a classifier of scikit-learn or torch is given, by name where
there are names, in order elsewhere, and refused where it is no single item."""

import re
from collections import OrderedDict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ensemble_lab.models import ModelError, load

FRAME = pd.DataFrame({"height": [1.0, 2.0, 3.0, 4.0], "age": [40.0, 10.0, 30.0, 20.0]})
LABELS = ["no", "no", "yes", "yes"]
ROW = FRAME.iloc[2]


@pytest.fixture(scope="module")
def named():
    return load(make_pipeline(StandardScaler(), LogisticRegression(C=10)).fit(FRAME, LABELS))


@pytest.fixture(scope="module")
def bare():
    return load(LogisticRegression(C=10).fit(FRAME.to_numpy(), LABELS))


class Polars:
    """As polars names what its frames can do."""

    def __init__(self, *rows):
        self.rows, self.columns = rows, list(rows[0])

    def to_dicts(self):
        return list(self.rows)


@pytest.mark.parametrize(
    "item",
    [
        ROW,
        ROW[::-1],
        {"age": 30.0, "height": 3.0},
        OrderedDict(age=30, height=3),
        {"age": 30.0, "name": "Ann", "height": 3.0},
        FRAME.iloc[[2]],
        FRAME.iloc[[2], ::-1],
        Polars({"age": 30.0, "height": 3.0}),
        pa.table({"age": [30.0], "height": [3.0]}),
        [3.0, 30.0],
        (3, 30),
        np.array([3, 30]),
        np.array([[3.0, 30.0]], np.float32),
        torch.tensor([3.0, 30.0], requires_grad=True),
        (x for x in (3.0, 30.0)),
        pd.Series([3.0, 30.0]),
        pa.array([3.0, 30.0]),
    ],
    ids=lambda item: type(item).__name__,
)
def test_features_go_by_name_where_there_are_names(named, item, recwarn):
    wanted = named.model.predict_proba(FRAME.iloc[[2]])[0]
    np.testing.assert_allclose(list(named(item).probability.values()), wanted, atol=1e-6)
    assert not [w for w in recwarn if "feature names" in str(w.message)]


def test_a_rows_order_counts_where_the_classifier_has_no_names(bare):
    wanted = bare([3.0, 30.0]).probability
    assert bare(ROW).probability == bare(FRAME.iloc[[2]]).probability == wanted
    with pytest.raises(ModelError, match="has no names for them: give them as a list"):
        bare({"age": 30.0, "height": 3.0})


def test_mixed_features_keep_their_types():
    frame = pd.DataFrame({"kind": ["a", "b", "a", "b"], "size": [1.0, 2.0, 3.0, 40.0]})
    encode = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    model = load(
        make_pipeline(encode, RandomForestClassifier(5, random_state=0)).fit(frame, LABELS)
    )
    wanted = model.model.predict_proba(frame.iloc[[3]])[0]
    for item in (frame.iloc[3], {"size": 40.0, "kind": "b"}, ["b", 40.0], frame.iloc[[3]]):
        np.testing.assert_allclose(list(model(item).probability.values()), wanted)


def test_texts_and_mappings_as_items():
    texts = ["good film", "bad film", "good", "bad"]
    model = load(make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0]))
    assert model("good").answer == model(np.str_("good")).answer == 1
    for item in (["good", "bad"], np.array(["good"]), pd.Series(["good"])):
        with pytest.raises(ModelError, match="labels one text at a time"):
            model(item)
    facts = [{"city": "Bonn"}, {"city": "Ulm"}]
    model = load(make_pipeline(DictVectorizer(), LogisticRegression()).fit(facts, ["a", "b"]))
    assert [model(fact).answer for fact in facts] == ["a", "b"]


REFUSED = {
    "several rows": (FRAME, "DataFrame of 4 rows: give one row at a time"),
    "no row": (FRAME.iloc[:0], "DataFrame of 0 rows"),
    "a table": (pa.table({"age": [1, 2]}), "Table of 2 rows"),
    "a batch": (FRAME.to_numpy(), "8 features; .* fitted on 2: give one item at a time"),
    "too few": ([np.float64(1)], "1 features; .* fitted on 2"),
    "no such feature": ({"height": 1, "agee": 2}, "no feature 'age', .*did you mean 'agee'"),
    "a text": ("3,30", "is the text '3,30'; Pipeline reads 2 features"),
    "a set": ({3.0, 30.0}, "give a list or array"),
    "bytes": (b"ab", "give a list or array"),
    "None": (None, "the item is None"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_item(named, case):
    item, message = REFUSED[case]
    with pytest.raises(ModelError, match=message) as refusal:
        named(item)
    said = str(refusal.value)
    assert len(said) <= 300 and not re.search(r"np\.|shape|\n", said)


# Networks


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return load(torch.nn.Linear(2, 2), device="cpu", labels=["no", "yes"])


@pytest.mark.parametrize(
    "item",
    [
        [3, 30], (3.0, 30.0), np.array([3, 30]), np.array([3, 30], np.uint8), torch.tensor([3, 30]),
        np.array([3.0, 30.0]), torch.tensor([3.0, 30.0], dtype=torch.float64), ROW,
        pd.Series([3, 30]), FRAME.iloc[[2]], (x for x in (3, 30)), np.array([30, 3])[::-1],
        np.array([3, 30], dtype=object), pa.array([3, 30]),
    ],
    ids=lambda item: type(item).__name__,
)  # fmt: skip
def test_a_network_reads_whole_numbers_as_numbers(network, item, recwarn):
    x = torch.tensor([[3.0, 30.0]])
    wanted = network.model(x)[0].softmax(-1).tolist()
    assert list(network(item).probability.values()) == pytest.approx(wanted)
    assert not recwarn.list


def test_read_only_arrays_and_bools(network, recwarn):
    item = np.array([1.0, 0.0])
    item.flags.writeable = False
    assert network(item).probability == network([True, False]).probability
    assert not recwarn.list


def test_an_embedding_reads_ids():
    reader = torch.nn.Sequential(torch.nn.EmbeddingBag(20, 4), torch.nn.Linear(4, 2))
    model = load(reader, device="cpu", labels=[0, 1])
    wanted = model(torch.tensor([3, 4])).probability
    for item in ([3, 4], np.array([3, 4], np.int32), pd.Series([3, 4])):
        assert model(item).probability == wanted

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(torch.randn(20, 2))

        def forward(self, ids):
            return self.table[ids].sum(1)

    assert load(Own(), device="cpu", labels=[0, 1])([3, 4]).answer in (0, 1)


@pytest.mark.parametrize(
    "item, message",
    [
        ("text", "is the text 'text'; Linear reads numbers"),
        (["a", 1], "does not hold numbers only"),
        ({"a": 1.0, "b": 2.0}, "give them as a list"),
        (FRAME, "of 4 rows"),
        (None, "the item is None"),
        (np.array(["2020-01-01"], "datetime64[D]"), "does not hold numbers only"),
    ],
)
def test_what_is_no_item_of_a_network(network, item, message):
    with pytest.raises(ModelError, match=message):
        network(item)


@pytest.mark.parametrize("labels", ["no", {0: "no", 1: "yes"}, {"no", "yes"}, ["no", "no"]])
def test_labels_that_are_not_a_list(labels):
    with pytest.raises((ModelError, ValueError), match="labels"):
        load(torch.nn.Linear(2, 2), device="cpu", labels=labels)
    load(torch.nn.Linear(2, 2), device="cpu", labels=pd.Series(["no", "yes"]))


def test_a_language_model_is_no_classifier():
    from tests.support.toy_lm import network

    with pytest.raises(ModelError, match="LlamaForCausalLM is a language model, not a classifier"):
        load(network(0))
