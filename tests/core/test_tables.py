"""People's tables: each cell as it is written, each column as it is named, or a plain refusal."""

import json
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED


def read(tmp_path, text: str, name: str = "a.csv", **settings) -> Outcomes:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Outcomes.read(path, **settings)


def refused(tmp_path, text, *words: str, name: str = "a.csv", **settings) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, text, name, **settings)
    said = str(caught.value).replace(str(tmp_path), "")
    assert all(word in said for word in words), said
    assert len(said) <= 300 and said.count("\n") <= 1, said


# -- answers and truth --------------------------------------------------------------------------


OTHERS = ["7,7", "no idea,7", ",7", "9007199254740993,7", "7.5,7", "1_000,7", "nan,7"]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("18.0", "18", 1),
        ("18", "18.00", 1),
        ("04", "4", 1),
        ("0.50", ".5", 1),
        ("1e3", "1000", 1),
        ("9007199254740993", "9007199254740992", 0),
        ("123456789012345678901", "123456789012345678901", 1),
        ("123456789012345678901.0", "123456789012345678901", 1),
        ("0.1000000000000000055511151231257827", "0.1", 0),
        ("1_000", "1000", 0),
        ("\uff11\uff18", "18", 0),
        ("nan", "nan", 1),
        ("None", "None", 1),
        ("NA", "na", 0),
    ],
)
def test_a_grade_does_not_depend_on_other_rows(tmp_path, answer, truth, right, other):
    header, row = "item,model,answer,truth\n", f"q1,m,{answer},{truth}\n"
    table = read(tmp_path, header + row + f"q2,m,{other}\nq3,m,8,8\n")
    assert table.correct[0].tolist() == [right]
    wide = read(tmp_path, f"item,m:answer,truth\nq1,{answer},{truth}\nq2,{other}\nq3,8,8\n")
    assert wide.correct[0].tolist() == [right] and wide.labels == table.labels


@pytest.mark.parametrize("written", ["1,319", "1 319", "1'319"])
def test_an_answer_that_some_countries_would_read_as_the_truth_is_refused(tmp_path, written):
    text = f'item,model,answer,truth\n1,m,"{written}",1319\n2,m,7,7\n'
    refused(tmp_path, text, repr(written) if "'" not in written else written, "1319", "decimal")
    kept = read(tmp_path, f'item,model,answer,truth\n1,m,"{written}",5\n2,m,7,7\n')
    assert kept.correct.tolist() == [[0], [1]]  # wrong however one reads it


TWO_NOTATIONS = {
    "letters and places": (["A", "C"], [0, 2]),
    "yes and true": (["yes", "no"], [True, False]),
    "text and numbers": (["18.0", "7.00"], [18, 7]),
    "same spelling": (["18", "7"], [18, 7]),
    "numbers and words": ([1, 2], ["one", "two"]),
    "one of many": ([18, "7"], [18, 7]),
}


@pytest.mark.parametrize("case", TWO_NOTATIONS)
def test_answers_and_truth_in_two_notations_are_refused(case):
    answer, truth = (pd.Series(values, dtype=object) for values in TWO_NOTATIONS[case])
    long = pd.DataFrame({"item": [1, 2], "model": "m", "answer": answer, "truth": truth})
    wide = pd.DataFrame({"item": [1, 2], "m:answer": answer, "truth": truth})
    for frame in (long, wide):
        with pytest.raises(ValueError, match=r"two ways|not equal") as caught:
            Outcomes.from_frame(frame)
        assert repr(answer[1]) in str(caught.value) and len(str(caught.value)) < 300
    graded = Outcomes.from_frame(long.assign(correct=[1, 0]))  # somebody else compared them
    assert graded.correct.tolist() == [[1], [0]]


def test_letters_and_places_in_a_file_are_refused(tmp_path):
    refused(tmp_path, "item,m:answer,truth\n1,A,0\n2,C,2\n", "two ways", "'A', 'C'", "0, 2")


def test_one_odd_word_is_an_answer_and_wrong(tmp_path):
    assert read(tmp_path, "item,m:answer,truth\n1,no idea,7\n2,no idea,8\n").correct.sum() == 0


def test_a_table_in_which_nothing_is_right_warns(tmp_path):
    with pytest.warns(UserWarning, match=r"not one of 3 answers.*'\(A\)', '\(B\)'.*'A', 'B', 'C'"):
        read(tmp_path, "item,m:answer,truth\n1,(A),A\n2,(B),B\n3,(A),C\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path, "item,m:answer,truth\n1,(A),A\n2,B,B\n3,(A),C\n")  # one is right
        read(tmp_path, "item,m:answer,truth\n1,B,A\n")  # one answer says nothing
        read(tmp_path, "item,m:answer,m:correct,truth\n1,a,1,A\n2,b,1,B\n")  # graded elsewhere


def test_two_texts_of_one_number_are_the_same_answer():
    frame = pd.DataFrame({"item": [1, 2], "m:answer": ["18.0", "8"], "truth": ["18", "7"]})
    table = Outcomes.from_frame(frame)
    assert table.correct.tolist() == [[1], [0]] and table.labels == ("18", "7", "8")
    votes = pd.DataFrame({"item": [1], "a:answer": ["7"], "b:answer": ["18"], "c:answer": ["18.0"]})
    table = Outcomes.from_frame(votes.assign(truth="18"))
    assert lab.MajorityVote(("a", "b", "c")).decide(table).accuracy == 1  # counted as graded


def test_mixed_labels_of_a_frame_keep_their_types():
    cells = pd.Series([3, "x", 2.5, None, 4.0], dtype=object)
    frame = pd.DataFrame({"item": range(5), "m:answer": cells, "m:cost": 1.0, "truth": 3})
    table = Outcomes.from_frame(frame)
    assert table.labels == (2.5, 3, 4, "x")
    assert table.answer.ravel().tolist() == [1, 3, 0, UNPARSED, 2]


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "found"),
    [
        (["007", "012"], ["007", "012"]),
        (["1.10", "1.20"], ["1.10", "1.20"]),
        (["1.1", "1.10"], ["1.1", "1.10"]),
        (["7", "012"], ["7", "012"]),
        (["NA", "nan", "None", "null"], ["NA", "nan", "None", "null"]),
        (["True", "False"], ["True", "False"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["\uff11", "2"], ["\uff11", "2"]),
        (["1e3", "2"], ["1e3", "2"]),
        (["+1", "2"], ["+1", "2"]),
        (["-0", "1"], ["-0", "1"]),
        ([" 1", "2"], [" 1", "2"]),
        (["2024-01-02", "2024-01-03"], ["2024-01-02", "2024-01-03"]),
        (["inf", "1"], ["inf", "1"]),
        (["1", "2"], [1, 2]),
        (["1", "18446744073709551616"], [1, 18446744073709551616]),
        (["1.5", "2.25"], [1.5, 2.25]),
    ],
)
def test_names_keep_their_spelling(tmp_path, items, found):
    rows = "".join(f"{item},m,{i % 2}\n" for i, item in enumerate(items))
    table = read(tmp_path, "item,model,correct\n" + rows)
    assert table.items.tolist() == found
    assert [type(name) for name in table.items.tolist()] == [type(name) for name in found]
    wide = read(tmp_path, "item,m:correct\n" + rows.replace(",m,", ","))
    assert wide.items.tolist() == found and wide.items.dtype == table.items.dtype
    names = [str(item).strip() or "x" for item in items]
    as_models = "".join(f"q,{name},1\n" for name in dict.fromkeys(names))
    assert read(tmp_path, "item,model,correct\n" + as_models).models == tuple(names)
    as_groups = "".join(f"{i},m,1,{item}\n" for i, item in enumerate(items))
    assert read(tmp_path, "item,model,correct,group\n" + as_groups).group.tolist() == items


def test_only_an_empty_cell_is_a_gap_in_a_name(tmp_path):
    table = read(tmp_path, "item,model,correct,group,feature:land\nq1,None,1,,NA\nq2,NA,0,nan,\n")
    assert table.models == ("None", "NA") and table.group.tolist() == [None, "nan"]
    assert table.features["land"].tolist() == ["NA", None]
    refused(tmp_path, "item,model,correct\nq1,m,1\n,m,1\n", "'item' is empty in row 1")
    refused(tmp_path, "item,model,correct\nq1,,1\n", "'model' is empty in row 0")


@pytest.mark.parametrize(
    ("cells", "kind", "found"),
    [
        (["1", "2"], "i", [1, 2]),
        (["1", ""], "f", [1, np.nan]),
        (["0.5", "NA"], "f", [0.5, np.nan]),
        (["0.5", "1.0"], "f", [0.5, 1.0]),
        (["1e-05", "2"], "f", [1e-05, 2.0]),
        (["007", "1"], "O", ["007", "1"]),
        (["1.10", "1.9"], "O", ["1.10", "1.9"]),
        (["NA", "DE"], "O", ["NA", "DE"]),
        (["1,5", "2"], "O", ["1,5", "2"]),
        (["True", "False"], "b", [True, False]),
        (["TRUE", "False"], "O", ["TRUE", "False"]),
    ],
)
def test_a_feature_is_a_number_only_where_every_cell_is_spelled_so(tmp_path, cells, kind, found):
    rows = "".join(f'{i},1,"{cell}"\n' if cell else f"{i},1,\n" for i, cell in enumerate(cells))
    values = read(tmp_path, "item,m:correct,feature:f\n" + rows).features["f"]
    assert values.dtype.kind == kind
    np.testing.assert_array_equal(values, np.array(found, values.dtype))


# -- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("0,9", "decimal point"),
        ("1.234,5", "decimal point"),
        ("1 000", "decimal point"),
        ("90%", "0.95"),
        ("1_000", "not a number"),
        ("\uff11", "not a number"),
        ("high", "not a number"),
        ("True", "not a number"),
        ("-", "not a number"),
        ("0x1", "not a number"),
        ("$0.01", "not a number"),
    ],
)
@pytest.mark.parametrize("field", ["cost", "confidence", "latency", "tokens"])
def test_a_measure_that_is_no_number_is_named(tmp_path, field, cell, words):
    text = f'item,model,correct,{field}\nq1,m,1,0.5\nq2,m,1,"{cell}"\n'
    refused(tmp_path, text, f"'{field}' of 'm'", cell, "'q2'", words)
    refused(tmp_path, f'item,m:correct,m:{field}\nq1,1,0\nq2,1,"{cell}"\n', cell, "'q2'", words)


def test_measures_are_read_as_written(tmp_path):
    rows = ["+0.5", ".5", "5e-1", " 0.5", "0.50", "NA", "", "nan", "null", "N/A", "None", "NaN"]
    text = "item,model,correct,confidence\n" + "".join(f"{i},m,1,{c}\n" for i, c in enumerate(rows))
    found = read(tmp_path, text).confidence.ravel()
    np.testing.assert_array_equal(found, [0.5] * 5 + [np.nan] * 7)


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=20))
def test_floats_round_once(tmp_path_factory, numbers):
    rows = "".join(f"{i},1,{number!r}\n" for i, number in enumerate(numbers))
    found = read(tmp_path_factory.mktemp("t"), "item,m:correct,m:cost\n" + rows).cost.ravel()
    assert found.tolist() == numbers


@pytest.mark.parametrize("pair", [("True", "False"), ("TRUE", "FALSE"), ("true", "false")])
def test_true_and_false_are_right_and_wrong(tmp_path, pair):
    rows = f"q1,m,{pair[0]}\nq2,m,{pair[1]}\nq3,m,\n"
    found = read(tmp_path, "item,model,correct\n" + rows).correct.ravel()
    np.testing.assert_array_equal(found, [1, 0, np.nan])
    with pytest.warns(UserWarning, match="read as models.*'m'"):
        assert read(tmp_path, f"item,m\n1,{pair[0]}\n2,{pair[1]}\n").correct.tolist() == [[1], [0]]


# -- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["item,gpt-4,gpt-4", "item,a:answer,a:answer", "item,item,a", "item,model,correct,correct"],
)
def test_a_column_that_stands_there_twice_is_refused(tmp_path, header):
    twice = max(header.split(","), key=header.split(",").count)
    refused(tmp_path, header + "\n" + ",".join("1" * (header.count(",") + 1)) + "\n", repr(twice))
    frame = pd.DataFrame([["1"] * (header.count(",") + 1)], columns=header.split(","))
    with pytest.raises(ValueError, match=f"column {twice!r} occurs twice"):
        Outcomes.from_frame(frame)


def test_names_that_differ_in_type_only_are_twice_the_same():
    with pytest.raises(ValueError, match="column '4' occurs twice"):
        Outcomes.from_frame(pd.DataFrame([[1, 0, 1]], columns=["item", 4, "4"]))


def test_bare_columns_are_named_in_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="read as models.*'llama3:latest', 'qwen2.5:7b'"):
        table = read(tmp_path, "item,llama3:latest,qwen2.5:7b\nq1,1,0\nq2,0,1\n")
    assert table.models == ("llama3:latest", "qwen2.5:7b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = read(tmp_path, "item,llama3:latest:correct,x:correct\nq1,1,0\nq2,0,1\n")
        assert named.models == ("llama3:latest", "x")


@pytest.mark.parametrize(
    ("column", "cells"),
    [("a|total_cost", ["0.001", "0.002"]), ("length", ["0.3", "1"]), ("year", ["2024", "2025"])],
)
def test_a_column_is_no_model_for_its_numbers(tmp_path, column, cells):
    text = f"item,a,{column}\nq1,1,{cells[0]}\nq2,0,{cells[1]}\n"
    refused(tmp_path, text, repr(column), f"{column}:correct", "feature:")
    named = read(tmp_path, text, columns={"item": "item", "a": "a:correct", column: "feature:x"})
    assert named.models == ("a",) and named.features["x"].tolist() == [float(c) for c in cells]


def test_a_column_beside_the_truth_may_be_answers(tmp_path):
    text = "item,truth,bert,gpt\n1,0,1,0\n2,1,1,1\n"
    refused(tmp_path, text, "'bert' may be answers", "bert:answer", "bert:correct")
    names = {"item": "item", "truth": "truth", "bert": "bert:answer"}
    assert read(tmp_path, text, columns=names).correct.tolist() == [[0], [1]]


def test_the_index_in_a_parquet_file_is_no_column(tmp_path):
    frame = pd.DataFrame({"item": [1, 2, 3], "m:correct": [1, 0, 1]})
    frame[frame["item"] > 1].to_parquet(tmp_path / "filtered.parquet")
    assert Outcomes.read(tmp_path / "filtered.parquet").items.tolist() == [2, 3]
    frame.set_index("item").to_parquet(tmp_path / "indexed.parquet")
    assert Outcomes.read(tmp_path / "indexed.parquet").items.tolist() == [1, 2, 3]


def test_dates_are_facts_and_no_numbers(tmp_path):
    dates = pd.to_datetime(["2026-01-01", None])
    frame = pd.DataFrame({"item": [1, 2], "m:correct": [1, 0], "feature:day": dates})
    table = Outcomes.from_frame(frame)
    assert table.features["day"].dtype.kind == "M"
    assert Outcomes.read(table.to_parquet(tmp_path / "t.parquet")).features["day"].dtype.kind == "M"
    with pytest.raises(ValueError, match="is not a number"):
        Outcomes.from_frame(frame.assign(**{"m:cost": dates}))
    with pytest.raises(ValueError, match="make it str or number"):
        Outcomes.from_frame(frame.assign(**{"m:answer": dates}))


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_moments_as_names_stay_moments(tmp_path, unit):
    """Of nanoseconds numpy makes whole numbers, which no date equals."""
    times = pd.Series(np.array(["2026-01-01T00:00:00", "2026-01-02T12:00:05"], f"M8[{unit}]"))
    frame = pd.DataFrame({"item": times, "m:correct": [1, 0], "group": times, "feature:t": times})
    moments = times.dt.to_pydatetime().tolist()
    for bring in (
        lambda: Outcomes.from_frame(frame),
        lambda: Outcomes.from_frame(Outcomes.from_frame(frame).to_frame()),
        lambda: Outcomes.read(Outcomes.from_frame(frame).to_parquet(tmp_path / "t.parquet")),
        lambda: Outcomes(models=["m"], items=times.to_numpy(), correct=[[1], [0]], group=times,
                         features={"t": times}),
    ):  # fmt: skip
        table = bring()
        assert table.items.tolist() == table.group.tolist() == moments
        assert table.features["t"].tolist() == moments
        assert table.select(items=[times[1]]).correct.tolist() == [[0]]


@pytest.mark.parametrize("kind", ["M8[ns]", "m8[ns]", "m8[Y]"])
def test_moments_that_python_does_not_have_are_no_names(kind):
    steps = np.array([1, 2]).view(kind)  # of a nanosecond, or of years of no known length
    about = {"models": ["m"], "correct": [[1], [0]]}
    for parts in ({"items": steps}, {"items": [1, 2], "group": steps}):
        with pytest.raises(
            ValueError, match=r"which is not a date of Python; make it text"
        ) as caught:
            Outcomes(**about, **parts)
        assert len(str(caught.value)) <= 300
    kept = Outcomes(**about, items=steps.astype(str), features={"f": steps}).features["f"]
    assert (kept == steps).all()  # a feature is read by its numbers


def test_an_empty_column_is_no_model(tmp_path):
    refused(tmp_path, "item,a,notes\nq1,1,\nq2,0,\n", "'notes' is empty", "notes:correct")


@pytest.mark.parametrize("flip", [False, True])
def test_pairs_of_field_and_model(flip):
    long = pd.DataFrame(
        {"item": ["q1", "q1", "q2", "q2"], "model": ["a", "b"] * 2, "correct": [1, 0, 0, 1]}
        | {"cost": [0.001, 0.02] * 2}
    )
    wide = long.pivot(index="item", columns="model", values=["correct", "cost"]).reset_index()
    if flip:
        wide.columns = pd.MultiIndex.from_tuples([pair[::-1] for pair in wide.columns])
    table = Outcomes.from_frame(wide)
    assert table.models == ("a", "b") and table.best_single().accuracy == 0.5
    np.testing.assert_array_equal(table.cost, [[0.001, 0.02]] * 2)


def test_pairs_of_something_else_are_refused():
    frame = pd.DataFrame([[1, 1]], columns=pd.MultiIndex.from_tuples([("item", ""), ("x", "a")]))
    with pytest.raises(ValueError, match=r"\('x', 'a'\) is not a pair"):
        Outcomes.from_frame(frame)


@pytest.mark.parametrize("slip", ["corect", "costs", "anwser", "confidenc", "ltency", "Cost"])
def test_a_misspelt_field_is_named(tmp_path, slip):
    refused(tmp_path, f"item,a:{slip}\nq1,1\n", f"'a:{slip}'", "did you mean", f"a:{slip}:correct")


def test_a_wrong_suffix_of_a_known_model_is_named(tmp_path):
    refused(tmp_path, "item,a:correct,a:latest\nq1,1,1\n", "'a:latest'", "latency")


@pytest.mark.parametrize("suffix", ["latest", "7b", "free", "beta", "instruct", "exp"])
def test_tags_of_models_are_no_fields(tmp_path, suffix):
    with pytest.warns(UserWarning, match="read as models"):
        assert read(tmp_path, f"item,a:{suffix}\nq1,1\n").models == (f"a:{suffix}",)


def test_the_index_that_tools_write_is_no_column(tmp_path):
    long = pd.DataFrame({"item": ["a", "b"], "model": "m", "correct": [1, 0]})
    long.to_csv(tmp_path / "indexed.csv")  # with the index, as by default
    assert Outcomes.read(tmp_path / "indexed.csv").models == ("m",)
    again = pd.read_csv(tmp_path / "indexed.csv")  # now it is called "Unnamed: 0"
    assert Outcomes.from_frame(again).models == ("m",)
    refused(tmp_path, ",item,model,correct\n5,a,m,1\n3,b,m,0\n", "no name")


def test_columns_by_their_own_names(tmp_path):
    text = "doc_id,engine,reply,gold,note\n01,a,4,4,x\n01,b,5,4,\n"
    names = {"doc_id": "item", "engine": "model", "reply": "answer", "gold": "truth"}
    table = read(tmp_path, text, columns=names)
    assert table.items.tolist() == ["01"] and table.correct.tolist() == [[1, 0]]
    frame = pd.read_csv(tmp_path / "a.csv")
    assert Outcomes.from_frame(frame, columns=names).correct.tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="columns: the name 'item' occurs twice"):
        Outcomes.from_frame(frame, columns={"doc_id": "item", "gold": "item"})
    with pytest.raises(KeyError, match="no column 'doc' in the table; did you mean 'doc_id'"):
        Outcomes.from_frame(frame, columns={"doc": "item"})
    for odd in (["item"], "item", {"doc_id": 1}):
        with pytest.raises(ValueError, match="give a (mapping|name)"):
            Outcomes.from_frame(frame, columns=odd)


# -- one item, several rows ---------------------------------------------------------------------


def test_what_is_known_of_an_item_is_one_thing(tmp_path):
    header = "item,model,answer,truth,group,feature:f\n"
    table = read(tmp_path, header + "q1,a,18,18,,\nq1,b,18,18.0,x,3\nq1,c,7,,x,\n")
    assert table.correct.tolist() == [[1, 1, 0]] and table.group.tolist() == ["x"]
    assert table.features["f"].tolist() == [3]
    for rows in ("q1,a,1,1,x,1\nq1,b,1,2,x,1\n", "q1,a,1,1,x,1\nq1,b,1,1,y,1\n"):
        refused(tmp_path, header + rows, "has two values for one item", "'q1'")


# -- data frames of every kind ------------------------------------------------------------------


FRAME = {
    "item": ["q1", "q1", "q2"],
    "model": ["a", "b", "a"],
    "answer": ["x", None, "y"],
    "truth": ["x", "x", "z"],
    "cost": [0.5, None, 1.5],
    "tokens": [3, None, 4],
    "group": ["g", "g", None],
    "feature:n": [1, 1, None],
}


def frames():
    import polars
    import pyarrow

    plain = pd.DataFrame(FRAME)
    yield "pandas", plain
    yield "object", plain.astype(object)
    yield "nullable", plain.convert_dtypes(dtype_backend="numpy_nullable")
    yield "arrow dtypes", plain.convert_dtypes(dtype_backend="pyarrow")
    yield "categories", plain.astype({"item": "category", "model": "category", "group": "category"})
    yield "shuffled index", plain.set_axis([5, 1, 3])
    yield "items as index", plain.set_index(["item", "model"])
    yield "polars", polars.DataFrame(FRAME)
    yield (
        "polars categories",
        polars.DataFrame(FRAME).with_columns(
            polars.col("model").cast(polars.Categorical),
            polars.col("group").cast(polars.Categorical),
        ),
    )
    yield "pyarrow", pyarrow.table(FRAME)
    yield (
        "dictionary",
        pyarrow.table(FRAME | {"model": pyarrow.array(FRAME["model"]).dictionary_encode()}),
    )


@pytest.mark.parametrize(("kind", "frame"), frames(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_kind_of_frame_is_the_same_table(kind, frame):
    table = Outcomes.from_frame(frame)
    assert table.items.tolist() == ["q1", "q2"] and table.models == ("a", "b")
    assert table.labels == ("x", "y", "z")
    np.testing.assert_array_equal(table.answer, [[0, UNPARSED], [1, ABSENT]])
    np.testing.assert_array_equal(table.cost, [[0.5, np.nan], [1.5, np.nan]])
    np.testing.assert_array_equal(table.tokens, [[3, np.nan], [4, np.nan]])
    assert table.group.tolist() == ["g", None]
    np.testing.assert_array_equal(np.asarray(table.features["n"], float), [1, np.nan])


def test_categories_without_rows_are_no_items():
    frame = pd.DataFrame({"item": ["q1", "q2"], "model": "m", "answer": "x", "truth": "x"})
    kept = frame.astype({"item": "category", "model": "category", "answer": "category"}).iloc[:1]
    assert Outcomes.from_frame(kept).items.tolist() == ["q1"]


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ("a.csv", "Outcomes.read"),
        ({"item": [1], "a:correct": [1]}, "pandas.DataFrame"),
        ([{"item": 1}], "pandas.DataFrame"),
        (pd.Series([1]), "pandas.DataFrame"),
        (np.ones((2, 2)), "pandas.DataFrame"),
        (None, "pandas.DataFrame"),
    ],
)
def test_what_is_no_frame_is_told(thing, words):
    with pytest.raises(ValueError, match=words):
        Outcomes.from_frame(thing)


def test_mixed_names_keep_their_types():
    frame = pd.DataFrame({"item": pd.Series([1, "x", 2.5], dtype=object), "m:correct": [1, 0, 1]})
    frame["group"] = pd.Series(["a", 1, None], dtype=object)
    table = Outcomes.from_frame(frame)
    assert table.items.tolist() == [1, "x", 2.5] and table.group.tolist() == ["a", 1, None]
    assert [type(name) for name in table.select(items=[1, "x"]).items] == [int, str]


@pytest.mark.parametrize("cell", [{"a": 1}, [1, 2], {1}])
def test_a_cell_that_holds_a_collection_is_refused(cell):
    frame = pd.DataFrame({"item": [1], "m:answer": pd.Series([cell], dtype=object), "truth": ["a"]})
    with pytest.raises(ValueError, match="a cell of column 'm:answer' holds"):
        Outcomes.from_frame(frame)


# -- JSON lines ---------------------------------------------------------------------------------


def lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_one_json_object_a_row(tmp_path):
    rows = [{"item": "1", "model": "m", "answer": 18, "truth": 18, "cost": 0.5}]
    rows += [{"item": "2", "model": "m", "answer": 10**30, "truth": 10**30, "cost": None}]
    rows += [{"item": "3", "model": "m", "answer": None, "truth": 7}]
    for text in (lines(*rows), "\ufeff" + lines(*rows).replace("\n", "\r\n"), lines(*rows)[:-1]):
        table = read(tmp_path, text, "t.jsonl")
        assert table.items.tolist() == ["1", "2", "3"] and table.labels == (7, 18, 10**30)
        assert table.correct.ravel().tolist() == [1, 1, 0]
    assert read(tmp_path, lines(*rows), "t.ndjson").models == ("m",)
    refused(tmp_path, '{"item": 1, "item": 2}\n', "line 1 has the key 'item' twice", name="t.jsonl")
    refused(tmp_path, lines(*rows) + "{", "line 4 is not JSON", name="t.jsonl")
    refused(tmp_path, lines([1]), "line 1 is [1]", name="t.jsonl")


# -- arrays and columns with names --------------------------------------------------------------


def test_frames_and_columns_are_taken_by_name():
    correct = pd.DataFrame({"b": [0, 1], "a": [1, 1]}, index=["q2", "q1"])
    group = pd.Series(["two", "one"], index=["q2", "q1"])
    table = Outcomes(models=["a", "b"], items=["q1", "q2"], correct=correct, group=group)
    assert table.correct.tolist() == [[1, 1], [1, 0]] and table.group.tolist() == ["one", "two"]
    by_place = correct.reset_index(drop=True)[["a", "b"]]
    table = Outcomes(models=["a", "b"], items=["q1", "q2"], correct=by_place)
    assert table.correct.tolist() == [[1, 0], [1, 1]]
    for bad in (correct.rename(columns={"a": "c"}), correct.set_axis(["q1", "q9"])):
        with pytest.raises(ValueError, match=r"the models are|other names than the items'"):
            Outcomes(models=["a", "b"], items=["q1", "q2"], correct=bad)
    with pytest.raises(ValueError, match="may be names or positions"):
        Outcomes(models=["a"], items=[1, 0], correct=[[1], [0]], group=pd.Series(["x", "y"]))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"models": "ab"}, "one string"),
        ({"models": {"a": 1, "b": 2}}, "iterates over its keys"),
        ({"models": {"a", "b"}}, "no order"),
        ({"items": "qr"}, "one string"),
        ({"items": {"q": 1, "r": 2}}, "iterates over its keys"),
        ({"items": pd.DataFrame({"q": [1], "r": [2]})}, "iterates over its columns"),
        ({"items": ["q", None]}, "has no name"),
        ({"correct": [["1"], ["0"]]}, "'1' is text"),
        ({"correct": [[1j], [0]]}, "complex"),
        ({"features": [1, 2]}, "mapping of name"),
        ({"group": {"q": 1, "r": 2}}, "iterates over its keys"),
    ],
)
def test_things_that_iterate_as_something_else_are_refused(part, words):
    parts = {"models": ["a"], "items": ["q", "r"], "correct": [[1], [0]]} | part
    with pytest.raises(ValueError, match=words):
        Outcomes(**parts)


def test_things_that_are_several_are_understood():
    import polars

    names = ["q", "r"]
    for several in (iter(names), tuple(names), np.array(names), pd.Series(names), pd.Index(names)):
        table = Outcomes(models=(m for m in "a"), items=several, correct=[[1], [0]])
        assert table.items.tolist() == names
    assert Outcomes(models=["a"], items=polars.Series(names), correct=[[1], [0]]).models == ("a",)
    for pick in (iter(["a"]), pd.Series(["a"]), ("a",), np.array(["a"]), "a"):
        assert table.select(models=pick).models == ("a",)
    for pick in (iter(["r"]), pd.Series(["r"]), np.array([False, True]), "r", [False, True]):
        assert table.select(items=pick).items.tolist() == ["r"]
    mask = pd.Series([True, False], index=["r", "q"])
    assert table.select(items=mask).items.tolist() == table.take(mask).items.tolist() == ["r"]
    with pytest.raises(ValueError, match="select takes names"):
        table.take(["r"])


def test_frames_of_every_library_go_by_the_names_of_models():
    import polars
    import pyarrow

    cells = {"big": [1.0, 0.0], "small": [0.0, 0.0]}
    for frame in (pd.DataFrame(cells), polars.DataFrame(cells), pyarrow.table(cells)):
        table = Outcomes(models=["small", "big"], items=["q", "r"], correct=frame, cost=frame)
        assert table.correct.tolist() == table.cost.tolist() == [[0, 1], [0, 0]]
        with pytest.raises(ValueError, match="the models are"):
            Outcomes(models=["small", "huge"], items=["q", "r"], correct=frame)
        features = Outcomes(models=["m"], items=[1, 2], correct=[[1], [0]], features=frame).features
        assert {name: v.tolist() for name, v in features.items()} == cells


@pytest.mark.parametrize("gap", ["NA", "NaN", "None"])
def test_a_text_that_means_a_gap_elsewhere_is_named_in_a_warning(tmp_path, gap):
    """R writes NA where nothing is known; it may also be Namibia."""
    frame = pd.DataFrame({"item": [1, 2, 3, 4], "a:answer": ["x", "x", None, None], "truth": "x"})
    frame.to_csv(tmp_path / "r.csv", index=False, na_rep=gap)
    words = f"answers and truth that hold the text '{gap}': 2, read as answers"
    with pytest.warns(UserWarning, match=words) as told:
        table = Outcomes.read(tmp_path / "r.csv")
    assert table.coverage().tolist() == [1] and table.accuracy().tolist() == [0.5]
    assert len(str(told[0].message)) <= 300
    with warnings.catch_warnings():  # the advice works
        warnings.simplefilter("error")
        corrected = pd.read_csv(tmp_path / "r.csv", keep_default_na=False).replace(gap, None)
        frame.to_csv(tmp_path / "empty.csv", index=False)
        for table in (Outcomes.from_frame(corrected), Outcomes.read(tmp_path / "empty.csv")):
            assert table.coverage().tolist() == [0.5] and table.accuracy().tolist() == [1]
    truth = pd.DataFrame({"item": [1, 2], "a:answer": ["x", "y"], "truth": ["x", gap]})
    with pytest.warns(UserWarning, match=f"hold the text '{gap}': 1, read"):
        Outcomes.from_frame(truth)


@pytest.mark.parametrize("columns", ["a:correct,a", "a,a:correct"])
def test_two_columns_for_one_cell_are_refused(tmp_path, columns):
    with pytest.raises(ValueError, match="'a' and|and 'a' both give the correctness of model 'a'"):
        read(tmp_path, f"item,{columns}\nq1,1,0\nq2,1,0\n")
    frame = pd.DataFrame({"item": [1], "one": [1], "two": [0]})
    with pytest.raises(
        ValueError, match="columns 'one' and 'two' both give the correctness of model 'm'"
    ):
        Outcomes.from_frame(frame, columns={"item": "item", "one": "m:correct", "two": "m"})


def test_a_model_a_row_is_refused_before_the_table_is_made(tmp_path):
    rows = "".join(f"q{i},run{i},1\n" for i in range(12_000))
    peak = peak_of(
        lambda: read(tmp_path, "item,model,correct\n" + rows), "12,000 models and 12,000"
    )
    assert peak < 100 * 2**20  # a field of them would take 1.1 GB


def peak_of(call, words: str) -> int:
    """Bytes that numpy and Python held at most while `call` was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_sparse_table_is_read(tmp_path):
    """A model for every tenth item: 300 times 3,000 cells for 3,000 rows are no mistake."""
    rows = "".join(f"q{i},m{i // 10},1\n" for i in range(3000))
    table = read(tmp_path, "item,model,correct\n" + rows)
    assert table.correct.shape == (3000, 300) and np.nansum(table.correct) == 3000


def test_thousands_of_columns_are_read_in_their_order(tmp_path):
    names = [f"m{j}" for j in range(3000)]
    head = ",".join(f"{name}:correct" for name in names)
    values = [j % 7 / 7 for j in range(3000)]
    table = read(tmp_path, f"item,{head}\nq,{','.join(map(repr, values))}\n")
    assert table.models == tuple(names) and table.correct[0].tolist() == values


@pytest.mark.parametrize("gap", ["", "NA"])
def test_a_whole_number_beside_a_gap_is_exact(tmp_path, gap):
    table = read(tmp_path, f"item,m:correct,feature:x\n1,1,9007199254740993\n2,0,{gap}\n")
    assert table.features["x"].tolist() == [9007199254740993, None]
    frame = pd.DataFrame({"item": [1, 2], "m:correct": [1, 0]})
    frame["feature:x"] = pd.array([9007199254740993, None], "Int64")
    assert Outcomes.from_frame(frame).features["x"].tolist() == [9007199254740993, None]


def test_odd_items_that_are_legal(tmp_path):
    zeros = read(tmp_path, "item,m:correct\n-0.0,1\n0.0,0\n").items.tolist()
    assert zeros == ["-0.0", "0.0"]
    long = "9" * 5000
    assert read(tmp_path, f"item,m:correct\n{long},1\n1,0\n").items.tolist() == [long, "1"]
    table = Outcomes(models=["a"], items=[7, 8], correct=[[1], [0]])
    assert table.select(items=np.int64(7)).items.tolist() == [7]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.take([7]), "none of the 2 items"),
        (lambda t: t.select(models=[["a"]]), "no model"),
        (lambda t: t.select(items=[["q"]]), "no item"),
        (lambda t: t.best_single("0.9"), "coverage='0.9' is not a share"),
        (lambda t: t.split(0.5, "x"), "seed='x'"),
        (lambda t: t.chance_oracle("four"), "options='four'"),
        (lambda t: Outcomes.read(None), "path is None"),
        (lambda t: Outcomes.read("https://x.org/a.csv"), "is an address"),
        (lambda t: Outcomes(models=["a"], items=[1], correct=None), "correct is None"),
        (lambda t: Outcomes(models=["a"], items=[1], correct={"a": [1]}), "no order"),
        (lambda t: Outcomes(models=["a"], items=[1], correct=[[1]], truth=[-2]), "truth has code"),
        (lambda t: Outcomes(models=["a"], items=[1], correct=[[1]], model_group=[["x"]]), "names"),
        (lambda t: Outcomes.from_frame(pd.DataFrame([[1, 1]], columns=["item", None])), "no name"),
    ],
)
def test_what_is_refused_is_told_in_our_words(call, words):
    table = Outcomes(models=["a"], items=["q", "r"], correct=[[1], [0]])
    with pytest.raises((ValueError, KeyError)) as caught:
        call(table)
    assert words in str(caught.value) and "numpy" not in str(caught.value)


def test_a_mask_over_values_makes_them_unknown():
    masked = np.ma.array([[1.0], [0.0]], mask=[[False], [True]])
    table = Outcomes(models=["a"], items=[1, 2], correct=masked, cost=masked)
    np.testing.assert_array_equal(table.correct, [[1], [np.nan]])
    np.testing.assert_array_equal(table.cost, [[1], [np.nan]])
