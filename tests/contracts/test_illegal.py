"""What is wrong is refused: by one of our errors, in words that name the thing."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.forms import arrays, long_columns, wide_columns, wide_holds
from tests.contracts.hostile import LEVELS, NAMES, examples, tables
from tests.contracts.objects import ILLEGAL
from tests.contracts.registry import collected, contract, refused

NO_NUMBERS = [
    "high",
    "0,9",
    "95 %",
    "1_000",
    "٣",
    "½",
    "$5",
    "0.5.1",
    "1 000",
    "<b>",
    "--",
    "x" * 500,
]
NO_RIGHT = [1.5, -0.1, 100, 2, -1, 1e300]
NO_PRICE = [-1, -1e-9, math.inf, -math.inf]


def frame_of(columns: dict) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})


def as_form(draw, columns: dict, folder):
    """A call that reads these columns: of a frame of objects, of text, or of JSON lines."""
    form = draw(st.sampled_from(["pandas", "csv", "json"]))
    frame = frame_of(columns)
    if form == "pandas":
        return lambda: lab.Outcomes.from_frame(frame)
    path = folder / f"t.{'csv' if form == 'csv' else 'jsonl'}"
    if form == "csv":
        frame.to_csv(path, index=False, lineterminator="\n")
    else:
        rows = frame.where(frame.notna(), None).to_dict("records")
        path.write_text("\n".join(json.dumps(row, default=str) for row in rows))
    return lambda: lab.Outcomes.read(path)


plain_items = st.integers(2, 5).map(lambda n: [f"q{i}" for i in range(n)])
plain_models = st.just(["small", "big"])
plain_labels = st.just(["A", "B"])
simple = tables(items=plain_items, models=plain_models, labels=plain_labels, facts=False)


@contract("Outcomes")
@examples(30)
@given(table=simple, data=st.data())
def test_a_cell_that_is_no_such_number_is_named(table, data, tmp_path_factory):
    columns = long_columns(table)
    wide = data.draw(st.booleans()) and wide_holds(table)
    fields = [name for name in ("correct", *LEVELS) if name in columns]
    assume(fields)
    field = data.draw(st.sampled_from(fields))
    if wide:
        columns = wide_columns(table)
        field = f"{table.models[0]}:{field}"
    bad = data.draw(st.sampled_from(NO_NUMBERS))
    if field.endswith("correct"):
        bad = data.draw(st.sampled_from([*NO_NUMBERS, *NO_RIGHT]))
    elif not field.endswith("confidence"):
        bad = data.draw(st.sampled_from([*NO_NUMBERS, *NO_PRICE]))
    cells = list(columns[field])
    cells[data.draw(st.integers(0, len(cells) - 1))] = bad
    read = as_form(data.draw, columns | {field: cells}, tmp_path_factory.mktemp("t"))
    with refused(bad if isinstance(bad, str) else None):
        read()


@contract("Outcomes")
@examples(100)
@given(table=tables(facts=False), data=st.data())
def test_a_row_twice_is_named(table, data, tmp_path_factory):
    name = next((i for i in table.items if i is not None), None)
    rows = [*table.rows, next(row for row in table.rows if row["item"] in table.items)]
    columns = long_columns(table)
    columns = {key: [row.get(key) for row in rows] for key in columns if not key.startswith("feat")}
    columns.pop("truth", None)
    assume("truth" not in columns and name is not None)
    with refused("two rows"):
        lab.Outcomes.from_frame(frame_of(columns))
    if wide_holds(table):
        wide = frame_of(wide_columns(table))
        with refused("two rows"):
            lab.Outcomes.from_frame(pd.concat([wide, wide.iloc[:1]]))


@contract("Outcomes")
@examples(100)
@given(table=tables(facts=False), data=st.data())
def test_a_column_twice_is_named(table, data, tmp_path_factory):
    frame = frame_of(long_columns(table))
    if data.draw(st.booleans()) and wide_holds(table):
        frame = frame_of(wide_columns(table))
    name = data.draw(st.sampled_from(list(frame.columns)))
    twice = pd.concat([frame, frame[[name]]], axis=1)
    folder = tmp_path_factory.mktemp("t")
    if data.draw(st.booleans()):
        text = twice.to_csv(index=False, lineterminator="\n")
        assume("\r" not in text and "\0" not in text)  # bare in a cell they end its row or file
        (folder / "t.csv").write_text(text, encoding="utf-8", newline="")
        with refused(name):
            lab.Outcomes.read(folder / "t.csv")
    else:
        with refused(name):
            lab.Outcomes.from_frame(twice)


@contract("Outcomes")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("", "item")])
def test_what_is_not_there_is_named_with_the_nearest(name):
    table = lab.Outcomes(models=["llama", "qwen"], items=["a", "b"], correct=[[1, 0], [0, 1]])
    for call in (
        lambda: table.select(models=[name]),
        lambda: table.select(items=[name]),
        lambda: table.columns([name]),
        lambda: lab.Cascade((name,)).decide(table),
        lambda: lab.MajorityVote(("llama", name)).decide(_answered()),
        lambda: lab.HeuristicSelector("llama", "qwen", name, 0.0).decide(table),
        lambda: lab.AgreementCascade((("llama",), (name,))).decide(_answered()),
        lambda: lab.Outcomes.from_frame(
            pd.DataFrame({"item": [1], "m": [1]}), columns={name: "item"}
        ),
        lambda: lab.load_outcomes(name),
        lambda: lab.explore(name),
        lambda: lab.frontier(lab.Cascade(("llama",)), table, **{name: [1]}),
        lambda: table.filled(name),
    ):
        with refused(name.strip() or None):
            call()


def _answered():
    return lab.Outcomes(
        models=["llama", "qwen"],
        items=["a", "b"],
        correct=[[1, 0], [0, 1]],
        answer=[[0, 1], [1, 0]],
        labels=["x", "y"],
    )


@contract("Cascade", "MeanVote", "MaxVote", "MinVote", "MedianVote", "ProductVote", "BudgetCascade")
@contract("frontier", "explore")
@examples(30)
@given(scale=st.sampled_from([100, 10, 2, -1, math.inf]), data=st.data())
def test_confidences_of_another_scale_are_refused_by_all_who_compare_them(scale, data):
    sure = [[data.draw(st.sampled_from([0.25, 0.5, 0.9])) for _ in "ab"] for _ in range(6)]
    place = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 1))
    if data.draw(st.booleans()):
        sure = [[value * scale for value in row] for row in sure]
    else:
        sure[place[0]][place[1]] *= scale
    assume(any(not 0 <= value <= 1 for row in sure for value in row))
    table = lab.Outcomes(
        models=["small", "big"],
        items=range(6),
        correct=[[1, 1], [0, 1], [1, 0], [0, 0], [1, 1], [0, 1]],
        answer=[[0, 0], [1, 0], [0, 1], [1, 1], [0, 0], [1, 0]],
        truth=[0] * 6,
        labels=["x", "y"],
        cost=[[1, 10]] * 6,
        confidence=sure,
    )
    cascade = lab.Cascade(("small", "big"), (0.5,))
    first_only = all(0 <= row[0] <= 1 for row in sure)  # the last stage compares nothing
    calls = [
        lambda: lab.MeanVote().decide(table),
        lambda: lab.MaxVote().decide(table),
        lambda: lab.MinVote().decide(table),
        lambda: lab.MedianVote().decide(table),
        lambda: lab.ProductVote().decide(table),
        lambda: lab.BudgetCascade(5.0).fit(table),
        lambda: lab.Cascade(("small", "big"), (0.5,), (0.1, 0.1)).decide(table),
    ]
    if not first_only:
        calls += [
            lambda: cascade.decide(table),
            lambda: lab.frontier(cascade, table, thresholds=[0, 0.5]),
        ]
    for call in calls:
        with refused("confidence"):
            call()


@contract("Outcomes", "Cascade", "MajorityVote", "AgreementCascade", "WeightedVote", "frontier")
@contract("condorcet")
@pytest.mark.parametrize("kind", list(ILLEGAL))
def test_what_iterates_as_something_else_is_refused(kind):
    table = _answered()
    make = ILLEGAL[kind]
    names = ["llama", "qwen"]
    calls = {
        "models": lambda: lab.Outcomes(models=make(names), items=[0], correct=[[1, 0]]),
        "items": lambda: lab.Outcomes(models=["m"], items=make(["a", "b"]), correct=[[1], [0]]),
        "columns": lambda: table.columns(make(names)),
        "order": lambda: lab.Cascade(make(names), (0.5,)),
        "thresholds": lambda: lab.Cascade(["a", "b", "c"], make([0.5, 0.6])),
        "members": lambda: lab.MajorityVote(make(names)),
        "weighted": lambda: lab.WeightedVote(make(names), {"llama": 1, "qwen": 1}),
        "stacked": lambda: lab.StackedAnswers(make(names)),
        "tiers": lambda: lab.AgreementCascade(make(names)),
        "a tier": lambda: lab.AgreementCascade([make(names)]),
        "levels": lambda: lab.frontier(_cascade(), _sure(), thresholds=make([0.2, 0.4])),
        "model_group": lambda: lab.Outcomes(
            models=names, items=[0], correct=[[1, 0]], model_group=make(["g", "h"])
        ),
        "take": lambda: table.take(make([0, 1])),
    }
    if kind != "string":  # one name may stand alone
        calls["select"] = lambda: table.select(models=make(names))
        calls["items of select"] = lambda: table.select(items=make(["a", "b"]))
        calls["labels"] = lambda: lab.Outcomes(
            models=["m"], items=[0], correct=[[1]], answer=[[0]], labels=make(["x", "y"])
        )
    if kind != "number":
        calls["condorcet"] = lambda: lab.condorcet(make([1, 3]), 0.7)
    collected(calls)


def _cascade():
    return lab.Cascade(("small", "big"), (0.5,))


def _sure():
    return lab.Outcomes(
        models=["small", "big"], items=[0], correct=[[0, 1]], confidence=[[0.3, 1]], cost=[[1, 2]]
    )


BROKEN_FILES = {
    "no item": ("id,m\n1,1\n", "item"),
    "empty item": ("item,m\n,1\n2,1\n", "item"),
    "empty model": ("item,model,correct\n1,,1\n", "model"),
    "no rows": ("item,m\n", "row"),
    "nothing": ("", "empty"),
    "blank lines": ("\n\n\n", "empty"),
    "no models": ("item,truth\n1,A\n", "model"),
    "semicolons": ("item;m\n1;1\n", "semicolon"),
    "bars": ("item|m\n1|1\n", "bar"),
    "ragged": ("item,m\n1,1,1\n2,1\n", "rows"),
    "a misspelt field": ("item,a:corect,b:correct\n1,1,1\n", "a:corect"),
    "long without outcomes": ("item,model\n1,m\n", "correct"),
    "unknown in long": ("item,model,correct,prompt\n1,m,1,x\n", "prompt"),
    "prices without a name": ("item,a,a|total_cost\n1,1,0.002\n", "a|total_cost"),
    "two groups of one item": ("item,model,correct,group\n1,a,1,x\n1,b,1,y\n", "group"),
    "two truths of one item": ("item,model,answer,truth\n1,a,1,7\n1,b,1,8\n", "truth"),
    "letters and places": ("item,model,answer,truth\n1,m,A,0\n2,m,C,2\n", "'A'"),
    "1,319 and 1319": ('item,model,answer,truth\n1,m,"1,319",1319\n2,m,7,7\n', "1,319"),
    "right without an answer": ("item,model,answer,correct\n1,m,,1\n", "answer"),
    "an HTML page": ("<!DOCTYPE html>\n<html><body>" + "x" * 5000 + "</body></html>\n", "item"),
    "one huge cell": ("item,m\n1," + "x" * 100000 + "\n", "'m'"),
    "a long header": (
        ",".join(f"column {i} " + "y" * 50 for i in range(100)) + "\n" + ",1" * 99 + "\n",
        "item",
    ),
    "a title row": ("Results of May,,\nitem,m,n\n1,1,0\n", "item"),
    "a quote that never ends": ('item,m\n1,"1\n2,0\n', ""),
    "yes and no": ("item,m\nq1,yes\nq2,no\n", "'yes'"),
    "a column without anything": ("item,m,n\nq1,1,\nq2,0,\n", "'n'"),
}


@contract("Outcomes")
@pytest.mark.parametrize("what", list(BROKEN_FILES))
@pytest.mark.parametrize("kind", ["csv", "frame"])
def test_a_broken_file_is_refused_with_the_thing(what, kind, tmp_path):
    text, thing = BROKEN_FILES[what]
    path = tmp_path / "t.csv"
    path.write_text(text)
    if kind == "csv":
        with refused(thing):
            lab.Outcomes.read(path)
        return
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except ValueError:
        return
    if what in ("ragged", "letters and places", "1,319 and 1319", "a quote that never ends"):
        return  # pandas makes another table of it, or its texts stay text
    with refused(thing if what not in ("nothing", "blank lines", "semicolons", "bars") else None):
        lab.Outcomes.from_frame(frame)


@contract("Outcomes")
@pytest.mark.parametrize(
    "thing",
    [
        None,
        7,
        "t.csv",
        b"item,m",
        [],
        {},
        {"item": [1]},
        np.zeros((2, 2)),
        pd.Series([1]),
        object(),
        pl.Series([1]),
        pa.array([1]),
        pl.LazyFrame({"item": [1]}),
        pd.DataFrame(),
        pl.DataFrame(),
        pa.table({}),
    ],
    ids=lambda thing: type(thing).__module__.split(".")[0] + " " + type(thing).__name__,
)
def test_what_is_no_table_is_refused(thing):
    with refused():
        lab.Outcomes.from_frame(thing)


ODD_FIELDS = {
    "models": [[], ["a", "a"], [1], [None], [b"a"], "a", [["a"]]],
    "items": [[], [0, 0], [None], [math.nan], [1, True], [[0]], "q"],
    "correct": [
        [[2]],
        [[-1]],
        [["1"]],
        [[1, 1]],
        [1],
        None,
        [[math.inf]],
        "x",
        [[b"1"]],
        [[1 + 0j]],
        [[np.datetime64("2020-01-01")]],
    ],
    "answer": [[[1]], [[-3]], [[0.0]], [["x"]], [0], [[True]]],
    "labels": [["x", "x"], [None], [math.nan], [["x"]], [b"x"], 7],
    "confidence": [[["0.5"]], [[1, 1]], "x"],
    "cost": [[[-1]], [[math.inf]], [["free"]]],
    "latency": [[[-1]], [[math.inf]]],
    "truth": [[1], [0.5], [0, 0], "x", [-2]],
    "features": [[1], "x", {"f": [1, 2]}, {"f": [[1]]}, {"f": "x"}, {"f": 7}],
    "group": [[1, 2], "g", [["x"]], {"a": 1}],
    "model_group": [["a", "b"], "a", [["x"]]],
    "probability": [[[[0.5]]], [[[-1.0]]], [[[math.nan, 1]]], [[["x"]]]],
}


@contract("Outcomes")
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ODD_FIELDS.items() for value in values]
)
def test_a_field_that_does_not_fit_is_refused(name, value):
    fields = {
        "models": ["m"],
        "items": [0],
        "correct": [[1]],
        "answer": [[0]],
        "labels": ["x"],
        "truth": [0],
    }
    with refused():
        lab.Outcomes(**fields | {name: value})


@contract("Outcomes")
@examples(30)
@given(table=tables(), data=st.data())
def test_selections_that_do_not_fit_are_refused(table, data):
    assume(all(type(label).__name__ != "Decimal" for label in table.labels()))
    outcomes = lab.Outcomes(**arrays(table))
    n = len(outcomes)
    for call in (
        lambda: outcomes.take([n]),
        lambda: outcomes.take([-n - 1]),
        lambda: outcomes.take([True] * (n + 1)),
        lambda: outcomes.take([0.5]),
        lambda: outcomes.take(["x"]),
        lambda: outcomes.select(items=[True] * (n + 1)),
        lambda: outcomes.select(items=[]),
        lambda: outcomes.select(models=[]),
        lambda: outcomes.split(0),
        lambda: outcomes.split(1),
        lambda: outcomes.split(math.nan),
        lambda: outcomes.split("half"),
        lambda: outcomes.to_frame("tall"),
        lambda: outcomes.best_single(2),
    ):
        with refused():
            call()
