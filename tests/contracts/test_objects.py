"""Tables in the place of tables: by name where there are names, refused where another is meant."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet, refused

MODELS, ITEMS = ["small", "big"], ["q1", "q2", "q3"]
RIGHT = {"small": [1.0, 0.0, 0.0], "big": [1.0, 1.0, 0.0]}
FRAMES = {
    "pandas": lambda columns: pd.DataFrame(columns),
    "named rows": lambda columns: pd.DataFrame(columns, index=ITEMS).iloc[::-1],
    "polars": lambda columns: pl.DataFrame(columns),
    "pyarrow": lambda columns: pa.table(columns),
    "mapping": dict,
}


@contract("Outcomes")
@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("field", ["correct", "confidence", "cost", "latency", "tokens"])
def test_a_frame_with_names_goes_by_name_or_is_refused(kind, field):
    """Columns in another order than the models'."""
    columns = {name: RIGHT[name] for name in reversed(MODELS)}
    fields = {"correct": [[1, 1], [0, 1], [0, 0]]} | {field: FRAMES[kind](columns)}
    try:
        table = lab.Outcomes(models=MODELS, items=ITEMS, **fields)
    except Exception as error:
        with refused():
            raise error
        return
    expected = np.column_stack([RIGHT[name] for name in MODELS])
    np.testing.assert_array_equal(getattr(table, field), expected)


@contract("Outcomes")
@pytest.mark.parametrize("kind", FRAMES)
def test_features_are_a_mapping_or_any_frame(kind):
    known = {"length": [1, 2, 3], "ü,": ["a", "b", "c"]}
    with quiet():
        table = lab.Outcomes(
            models=["m"], items=ITEMS, correct=[[1], [0], [1]], features=FRAMES[kind](known)
        )
    assert {name: values.tolist() for name, values in table.features.items()} == known


LONG = lab.Outcomes(
    models=MODELS,
    items=ITEMS,
    correct=np.column_stack([RIGHT[m] for m in MODELS]),
    answer=[[0, 0], [1, 0], [1, 1]],
    truth=[0, 0, 0],
    labels=["x", "y"],
    cost=[[1, 2]] * 3,
    confidence=[[0.5, 0.9]] * 3,
)
NO_OUTCOMES = {
    "a long frame": LONG.to_frame(),
    "a wide frame": LONG.to_frame("wide"),
    "a polars frame": pl.from_pandas(LONG.to_frame()),
    "a path": "outcomes.csv",
    "nothing": None,
    "a list of them": [LONG],
    "an array": LONG.correct,
}
TAKERS = {
    "decide": lambda thing: lab.MajorityVote().decide(thing),
    "fit of a vote": lambda thing: lab.MajorityVote().fit(thing),
    "fit of a budget": lambda thing: lab.BudgetCascade(5.0).fit(thing),
    "fit of a stack": lambda thing: lab.StackedAnswers().fit(thing),
    "fit of a calibration": lambda thing: lab.Calibration().fit(thing),
    "apply": lambda thing: lab.Calibration().fit(LONG).apply(thing),
    "frontier": lambda thing: lab.frontier(lab.Cascade(MODELS, (0.5,)), thing, thresholds=[0.5]),
    "disagreement": lambda thing: lab.disagreement(thing),
    "q_statistic": lambda thing: lab.q_statistic(thing),
    "error_correlation": lambda thing: lab.error_correlation(thing),
    "ambiguity": lambda thing: lab.ambiguity(thing),
    "explore": lambda thing: lab.explore("votes", thing),
}


@contract(
    "disagreement", "q_statistic", "error_correlation", "ambiguity", "frontier", "Calibration"
)
@pytest.mark.parametrize("taker", TAKERS)
def test_what_is_not_outcomes_is_refused_by_name(taker):
    collected({what: lambda what=what: TAKERS[taker](NO_OUTCOMES[what]) for what in NO_OUTCOMES})


UNHASHABLE = [["small"], {"a": 1}, {"small"}, np.array(["small"])]


@contract("load_outcomes", "explore", "Outcomes", "Cascade")
@pytest.mark.parametrize(
    "call",
    [
        lambda thing: lab.load_outcomes(thing),
        lambda thing: lab.explore(thing, LONG),
        lambda thing: LONG.select(models=[thing]),
        lambda thing: LONG.select(items=[thing]),
        lambda thing: LONG.columns([thing]),
        lambda thing: lab.Cascade([thing]),
        lambda thing: lab.MajorityVote([thing]),
        lambda thing: lab.Outcomes.from_frame(LONG.to_frame(), columns={"item": thing}),
        lambda thing: LONG.filled(thing),
    ],
    ids=[
        "load_outcomes",
        "explore",
        "models",
        "items",
        "columns",
        "Cascade",
        "vote",
        "names",
        "filled",
    ],
)
def test_a_list_in_the_place_of_a_name_is_refused(call):
    collected({type(thing).__name__: lambda thing=thing: call(thing) for thing in UNHASHABLE})


@contract("Outcomes")
@pytest.mark.parametrize(
    ("item", "wrap"),
    [("q1", np.str_), (7, np.int64), (7, np.uint8), (0.5, np.float64), (7, float)],
    ids=str,
)
def test_one_item_by_its_name_whatever_its_type(item, wrap):
    table = lab.Outcomes(models=["m"], items=[item, "other"], correct=[[1], [0]])
    assert table.select(items=wrap(item)).items.tolist() == [item]
    assert table.select(items=[wrap(item)]).items.tolist() == [item]


@contract("Outcomes")
@pytest.mark.parametrize("form", ["csv", "pandas", "polars", "json"])
@pytest.mark.parametrize("field", ["feature:x", "group"])
def test_whole_numbers_beside_a_gap_keep_their_digits(form, field, tmp_path):
    cells = [2**53 + 1, None]
    if form == "csv":
        (tmp_path / "t.csv").write_text(f"item,m:correct,{field}\n1,1,{2**53 + 1}\n2,0,\n")
        table = lab.Outcomes.read(tmp_path / "t.csv")
    elif form == "json":
        rows = [{"item": i, "m:correct": 1, field: cell} for i, cell in enumerate(cells)]
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
        table = lab.Outcomes.read(tmp_path / "t.jsonl")
    else:
        series = (
            pd.array(cells, dtype="Int64") if form == "pandas" else pl.Series(cells, dtype=pl.Int64)
        )
        make = pd.DataFrame if form == "pandas" else pl.DataFrame
        table = lab.Outcomes.from_frame(make({"item": [1, 2], "m:correct": [1, 0], field: series}))
    value = (table.group if field == "group" else table.features["x"])[0]
    assert str(value) == str(2**53 + 1), value


@contract("Outcomes")
@pytest.mark.parametrize("form", ["csv", "pandas"])
def test_answers_that_are_graded_alike_are_counted_alike(form, tmp_path):
    """18 and 18.0 are one answer to the grade, so they are one to a vote."""
    frame = pd.DataFrame(
        {"item": [1, 1, 1], "model": ["a", "b", "c"], "answer": ["7", "18", "18.0"], "truth": "18"}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = (
        lab.Outcomes.from_frame(frame)
        if form == "pandas"
        else lab.Outcomes.read(tmp_path / "t.csv")
    )
    assert table.accuracy().tolist() == [0, 1, 1]
    assert lab.MajorityVote(("a", "b", "c")).decide(table).accuracy == 1


ODD_JSON = {
    "deep": '{"item": 1, "m": ' + "[" * 10**5 + "]" * 10**5 + "}",
    "digits without end": '{"item": 1, "m": ' + "9" * 5000 + "}",
    "a list": "[1, 2]",
    "a word": "null",
    "cut": '{"item": 1, "m"',
    "a cell that is an object": '{"item": 1, "m": {"a": 1}}',
    "a key twice": '{"item": 1, "item": 2, "m": 1}',
}


@contract("Outcomes")
@pytest.mark.parametrize("what", ODD_JSON)
def test_odd_json_is_refused(what, tmp_path):
    (tmp_path / "t.jsonl").write_text(ODD_JSON[what])
    with refused():
        lab.Outcomes.read(tmp_path / "t.jsonl")


LONG_NAME = {"digits": "9" * 5000, "letters": "x" * 5000, "zeros": "0" * 5000, "minus zero": "-0.0"}


@contract("Outcomes")
@pytest.mark.parametrize("what", LONG_NAME)
def test_a_long_name_is_a_name(what, tmp_path):
    name = LONG_NAME[what]
    other = "0.0" if what == "minus zero" else "7"
    (tmp_path / "t.csv").write_text(f"item,m:correct\n{name},1\n{other},0\n")
    table = lab.Outcomes.read(tmp_path / "t.csv")
    assert [str(item) for item in table.items.tolist()] == [name, other]


IMPOSSIBLE = {
    "wilson of fewer than no items": lambda: lab.wilson(0.5, -3),
    "wilson at level 95": lambda: lab.wilson(0.5, 10, 95),
    "wilson in per cent": lambda: lab.wilson(50, 10),
    "bootstrap of letters": lambda: lab.bootstrap("abc"),
    "bootstrap without resamples": lambda: lab.bootstrap([0, 1], resamples=0),
    "bootstrap of words": lambda: lab.bootstrap(["a", "b"]),
    "bootstrap at no level": lambda: lab.bootstrap([0, 1], level=math.nan),
    "mean_pairwise of outcomes": lambda: lab.mean_pairwise(LONG),
    "mean_pairwise of a list": lambda: lab.mean_pairwise([1, 2]),
    "coverage as text": lambda: LONG.best_single("0.9"),
    "a seed as text": lambda: LONG.split(0.5, "x"),
    "options as text": lambda: LONG.chance_oracle("four"),
    "frontier of a class": lambda: lab.frontier(lab.Cascade, LONG, thresholds=[0.5]),
    "frontier of a name": lambda: lab.frontier("cascade", LONG, thresholds=[0.5]),
    "a file called None": lambda: lab.Outcomes.read(None),
    "a file called 7": lambda: lab.Outcomes.read(7),
}


@contract("bootstrap", "wilson", "mean_pairwise", "Outcomes", "frontier")
@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_a_setting_that_cannot_be_is_refused(what):
    with refused():
        IMPOSSIBLE[what]()
