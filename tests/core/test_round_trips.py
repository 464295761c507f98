"""Whatever the names are: parquet and frames give back the same, CSV the same names as text."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reading.numerals import number_in
from ensemble_lab.core.states import UNPARSED
from tests.core.test_files import assert_equal

NASTY = ["", " ", "007", "1.10", "1e3", "NA", "nan", "None", "null", "True", "1,5", "a:correct"]
NASTY += [
    "feature:x",
    "item",
    "truth",
    "a\nb",
    'say "hi"',
    "\u00e9",
    "e\u0301",
    "\uff11",
    "#",
    "\t",
]
NASTY += ["\r", "'", "-0", "+1", "18446744073709551616", "a,b;c", "<img>", "\u202e", "\0", "0" * 50]

texts = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
names = texts | numbers


def unlike(values: list) -> list:
    """Each value once; 1, 1.0 and True are one name."""
    return list(dict.fromkeys(values))


@st.composite
def tables(draw, item=names, model=texts, label=names, fact=names, feature=texts):
    """A table in which every pair is recorded, with odd names, labels, groups and features."""
    items = unlike(draw(st.lists(item, min_size=1, max_size=5)))
    models = unlike(draw(st.lists(model, min_size=1, max_size=3)))
    labels = unlike(draw(st.lists(label, min_size=1, max_size=5)))
    n, m, k = len(items), len(models), len(labels)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    known = st.lists(st.none() | fact, min_size=n, max_size=n)
    return Outcomes(
        models=models,
        items=items,
        labels=labels,
        answer=np.where(rng.random((n, m)) < 0.2, UNPARSED, rng.integers(0, k, (n, m))),
        truth=rng.integers(0, k, n),
        correct=np.zeros((n, m)),
        cost=rng.random((n, m)),
        features={name: draw(known) for name in unlike(draw(st.lists(feature, max_size=2)))},
        group=draw(known),
    )


@given(tables())
def test_parquet_is_the_identity(tmp_path_factory, table):
    path = table.to_parquet(tmp_path_factory.mktemp("t") / "t.parquet")
    assert_equal(Outcomes.read(path), table)


def same(found: Outcomes, was: Outcomes):
    """The same table, but for labels that stand nowhere and the order of the rest."""

    def said(table, codes):
        return np.array([*table.labels, None, None], object)[codes].tolist()

    def typed(values):
        return [(type(value), value) for value in values if value == value]

    assert found.models == was.models
    assert typed(found.items.tolist()) == typed(was.items.tolist())
    for a, b in zip(said(found, found.answer), said(was, was.answer), strict=True):
        assert typed([_whole(x) for x in a]) == typed([_whole(x) for x in b])
    for name in ("correct", "cost"):
        np.testing.assert_array_equal(getattr(found, name), getattr(was, name))
    assert typed(found.group.tolist()) == typed(was.group.tolist())
    assert found.features.keys() == was.features.keys()
    for name, values in was.features.items():
        assert typed(found.features[name].tolist()) == typed(values.tolist())


def _whole(label):
    """Documented: as a label 3.0 is 3."""
    return int(label) if isinstance(label, float) and label.is_integer() else label


@given(tables())
def test_the_long_frame_is_the_identity(table):
    same(Outcomes.from_frame(table.to_frame()), table)


@given(tables(model=texts.filter(lambda name: not name.startswith("feature:"))))
def test_the_wide_frame_is_the_identity(table):
    same(Outcomes.from_frame(table.to_frame("wide")), table)


@pytest.mark.parametrize("form", ["long", "wide"])
def test_names_that_differ_after_a_nul_stay_apart(form):
    """pandas 2 reads texts as C does, up to the first NUL."""
    names = ["a", "a\0", "a\0b", ""]
    table = Outcomes(models=names, items=names, correct=np.eye(4, dtype=bool))
    found = Outcomes.from_frame(table.to_frame(form))
    assert list(found.models) == names == found.items.tolist()
    assert (found.correct == np.eye(4)).all()


def test_a_model_that_looks_like_a_feature_has_no_wide_form():
    table = Outcomes(models=["feature:x"], items=[1], correct=[[1]])
    with pytest.raises(ValueError, match="to_frame\\('long'\\)"):
        table.to_frame("wide")


# What a CSV cannot hold: an empty text against a gap; a carriage return (pandas does not quote it);
# NUL; a label that is text against the number that it writes; two notations of one number.
held = texts.filter(lambda text: text and not {"\0", "\r"} & set(text))


@settings(max_examples=200)
@given(
    tables(item=held, model=held, label=held, fact=held, feature=held),
    st.sampled_from(["long", "wide"]),
)
def test_csv_keeps_every_name_as_text(tmp_path_factory, table, form):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    if form == "wide" and any(name.startswith("feature:") for name in table.models):
        form = "long"
    table.to_frame(form).to_csv(path, index=False, lineterminator="\n")
    try:
        found = Outcomes.read(path)
    except ValueError as error:  # labels that are one number in two notations
        assert "write numbers without marks" in str(error)
        return
    assert [str(name) for name in found.items.tolist()] == table.items.tolist()
    assert found.models == table.models
    assert found.group.tolist() == table.group.tolist()
    for i in range(len(table)):
        for j in range(len(table.models)):
            was, now = table.answer[i, j], found.answer[i, j]
            assert (was < 0) == (now < 0)
            if was >= 0:
                number = number_in(table.labels[was])
                assert found.labels[now] == (table.labels[was] if number is None else number)
    for name, values in table.features.items():
        for now, was in zip(found.features[name].tolist(), values.tolist(), strict=True):
            gone = now is None or (isinstance(now, float) and math.isnan(now))
            if was is None or gone:
                assert gone and was in (None, "NA", "nan", "None", "null", "NaN", "N/A")
            else:
                assert str(now) == was or float(now) == float(was)
