"""Small files as people's tools write them: each gives the right table, or a message with the fix.

The bytes are those of the tools: separators, quotes, gaps, line ends, encodings and first columns.
"""

import gzip
import io
import json

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED

# The table that all of the first kind hold: item 007 of group NA, whose second answer is empty.
ROWS = {
    "item": ["007", "007", "012", "012"],
    "model": ["gpt-4", "4", "gpt-4", "4"],
    "answer": ["18", None, "None", "5.0"],
    "truth": ["18.0", "18.0", "None", "None"],
    "confidence": [0.9, 0.25, 1.0, None],
    "cost": [0.02, 1e-05, 0.02, 1e-05],
    "group": ["NA", "NA", "EU", "EU"],
}
FRAME = pd.DataFrame(ROWS)


def same(table: Outcomes) -> None:
    assert table.items.tolist() == ["007", "012"] and table.models == ("gpt-4", "4")
    assert [type(label) for label in table.labels] == [int, int, str]
    assert table.labels == (5, 18, "None")
    assert table.answer.tolist() == [[1, UNPARSED], [2, 0]]
    assert table.correct.tolist() == [[1, 0], [1, 0]]
    np.testing.assert_array_equal(table.confidence, [[0.9, 0.25], [1, np.nan]])
    np.testing.assert_array_equal(table.cost, [[0.02, 1e-05]] * 2)
    assert table.group.tolist() == ["NA", "EU"]


def excel_english() -> bytes:
    """*CSV UTF-8 (comma delimited)*: a byte order mark, CRLF, cells beside the table."""
    text = FRAME.to_csv(index=False, lineterminator="\r\n")
    lines = text.split("\r\n")[:-1]
    return "\ufeff".encode() + "".join(line + ",,\r\n" for line in [*lines, ",,,,,,"]).encode()


def excel_unicode() -> bytes:
    """*Unicode text*: UTF-16 with a byte order mark, tabs, CRLF."""
    return FRAME.to_csv(index=False, sep="\t", lineterminator="\r\n").encode("utf-16")


def libre_office() -> bytes:
    """Every text in quotes, numbers bare."""
    return FRAME.to_csv(index=False, quoting=2).encode()


def r_write_csv() -> bytes:
    """The names of the rows first, without a header; texts in quotes; a bare NA for numbers."""
    frame = FRAME.set_axis(range(1, 5))
    return (
        frame.to_csv(quoting=2, na_rep="NA")
        .replace('"NA"', "NA")
        .replace('007","4",NA', '007","4",')
        .encode()
    )


def polars_csv() -> bytes:
    return polars.DataFrame(ROWS).write_csv().encode()


def duckdb_csv() -> bytes:
    """`COPY … TO 't.csv'`: a header, empty cells, quotes only where they are needed."""
    return FRAME.to_csv(index=False).replace("1e-05", "1e-05").encode()


def parquet(table) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def json_lines(frame: pd.DataFrame = FRAME) -> bytes:
    return frame.to_json(orient="records", lines=True).encode()


RIGHT = {
    "excel_english.csv": excel_english(),
    "excel_unicode.tsv": excel_unicode(),
    "libre_office.csv": libre_office(),
    "r.csv": r_write_csv(),
    "pandas.csv": FRAME.to_csv(index=False).encode(),
    "pandas_index.csv": FRAME.to_csv().encode(),
    "pandas.csv.gz": gzip.compress(FRAME.to_csv(index=False).encode()),
    "pandas.tsv": FRAME.to_csv(index=False, sep="\t").encode(),
    "polars.csv": polars_csv(),
    "duckdb.csv": duckdb_csv(),
    "no_last_newline.csv": FRAME.to_csv(index=False).rstrip("\n").encode(),
    "blank_lines.csv": FRAME.to_csv(index=False).replace("\n", "\n\n").encode(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_text_of_many_tools_is_one_table(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(RIGHT[name])
    same(Outcomes.read(path))


TYPED = {
    "pandas.parquet": parquet(pa.Table.from_pandas(FRAME)),
    "polars.parquet": parquet(polars.DataFrame(ROWS).to_arrow()),
    "pandas.jsonl": json_lines(),
    "polars.ndjson": polars.DataFrame(ROWS).write_ndjson().encode(),
    "pandas.jsonl.gz": gzip.compress(json_lines()),
}


@pytest.mark.parametrize("name", TYPED)
def test_typed_files_keep_text_as_text(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(TYPED[name])
    table = Outcomes.read(path)
    assert table.labels == ("18.0", "5.0", "None")  # as the truth spells it
    assert table.items.tolist() == ["007", "012"] and table.models == ("gpt-4", "4")
    assert table.correct.tolist() == [[1, 0], [1, 0]] and table.group.tolist() == ["NA", "EU"]


# -- wide ---------------------------------------------------------------------------------------


def test_right_and_wrong_side_by_side(tmp_path):
    for name, text in {
        "duckdb.csv": "item,small,big\na,true,false\nb,,true\n",
        "r.csv": '"","item","small","big"\n"1","a",TRUE,FALSE\n"2","b",NA,TRUE\n',
        "excel.csv": "\ufeffitem,small,big\r\na,1,0\r\nb,,1\r\n",
    }.items():
        path = tmp_path / name
        path.write_text(text, newline="")
        with pytest.warns(UserWarning, match="read as models.*'small', 'big'"):
            table = Outcomes.read(path)
        assert table.models == ("small", "big") and table.items.tolist() == ["a", "b"]
        np.testing.assert_array_equal(table.correct, [[1, 0], [np.nan, 1]])


# -- benchmarks' own forms ----------------------------------------------------------------------

EVALUATED = [
    {
        "doc_id": i,
        "doc": {"question": "Q " * 1500, "answer": f"#### {i}"},
        "target": str(i),
        "arguments": {"gen_args_0": {"arg_0": "few shots " * 2000}},
        "resps": [["so it is 5"]],
        "filtered_resps": ["5"],
        "exact_match": float(i == 5),
    }
    for i in range(4, 7)
]
ROUTER = pd.DataFrame(
    {
        "sample_id": ["mmlu.1", "mmlu.2"],
        "prompt": ["['Q']", "['R']"],
        "eval_name": ["mmlu", "mmlu"],
        "a/small": [0.0, 1.0],
        "a/small|model_response": ["['A']", "['B']"],
        "a/small|total_cost": [0.0001, 0.0002],
        "big": [1.0, 0.75],
        "big|total_cost": [0.01, 0.02],
        "oracle_model_to_route_to": ["big", "a/small"],
    }
)


def test_samples_of_lm_evaluation_harness(tmp_path):
    path = tmp_path / "samples_gsm8k.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in EVALUATED))
    with pytest.raises(ValueError, match="no column 'item'.*doc_id.*columns=") as caught:
        Outcomes.read(path)
    assert len(str(caught.value)) - len(str(path)) < 300
    table = Outcomes.read(path, columns={"doc_id": "item", "exact_match": "m:correct"})
    assert table.items.tolist() == [4, 5, 6] and table.correct.ravel().tolist() == [0, 1, 0]


def test_a_table_of_router_bench(tmp_path):
    path = tmp_path / "routerbench.csv"
    ROUTER.to_csv(path, index=False)
    with pytest.raises(ValueError, match="no column 'item'.*sample_id.*columns="):
        Outcomes.read(path)
    names = {"sample_id": "item", "eval_name": "group"}
    for model in ("a/small", "big"):
        names |= {model: f"{model}:correct", f"{model}|total_cost": f"{model}:cost"}
    for table in (Outcomes.read(path, columns=names), Outcomes.from_frame(ROUTER, columns=names)):
        assert table.models == ("a/small", "big") and table.cost[1].tolist() == [0.0002, 0.02]
        assert table.correct.tolist() == [[0, 1], [1, 0.75]]
    renamed = ROUTER.rename(columns={"sample_id": "item"})[["item", "big", "big|total_cost"]]
    renamed.to_csv(path, index=False)
    with pytest.raises(ValueError, match="'big' holds 0.75: is it a model's correctness"):
        Outcomes.read(path)


def test_one_run_of_helm_as_a_frame(tmp_path):
    stats = [
        {"instance_id": "id1", "stats": [{"name": "exact_match", "mean": 1.0}]},
        {"instance_id": "id2", "stats": [{"name": "exact_match", "mean": 0.0}]},
    ]
    path = tmp_path / "per_instance_stats.json"
    path.write_text(json.dumps(stats))
    with pytest.raises(ValueError, match=r"not .*\.csv.*pandas.read_json"):
        Outcomes.read(path)
    lines = tmp_path / "helm.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in stats))
    with pytest.raises(ValueError, match="cell of column 'stats' holds"):
        Outcomes.read(lines, columns={"instance_id": "item", "stats": "m:correct"})


# -- what is refused ----------------------------------------------------------------------------

TEXT = FRAME.to_csv(index=False)
REFUSED = {
    "excel_german.csv": (b"item;model;correct;confidence\r\nq1;m;1;0,9\r\n", 'sep=";", decimal'),
    "r_csv2.csv": (b'"";"item";"model";"correct"\n"1";"q1";"m";1\n', 'sep=";"'),
    "tabs.csv": (TEXT.replace(",", "\t").encode(), 'sep="\\t"'),
    "commas.tsv": (TEXT.encode(), 'sep=","'),
    "bars.csv": (b"item|a:correct\nq1|1\n", 'sep="|"'),
    "decimal_commas.csv": (b'item,m:correct,m:cost\nq1,1,"0,9"\n', "decimal point"),
    "latin.csv": ("item,m:answer\n1,müde\n".encode("cp1252"), "line 2 is not UTF-8"),
    "title.csv": (b"Results of May,,\n,,\nitem,model,correct\nq1,m,1\n", "first row"),
    "two_headers.csv": (
        b",correct,correct\n,a,b\nitem,,\nq1,1,0\n",
        "'correct' occurs twice",
    ),
    "separator_line.csv": (b"sep=;\nitem;a\n1;1\n", "delete it"),
    "ragged.csv": (b"item,model,correct\nq1,m,1,\nq2,m,0,\n", "Expected 3 columns, got 4"),
    "short.csv": (b"item,model,correct\nq1,m\n", "Expected 3 columns, got 2"),
    "total.csv": (b"item,model,correct\nq1,m,1\n,,1\n", "'item' is empty"),
    "book.xlsx": (b"PK\x03\x04", "save it as CSV UTF-8"),
    "old.xls": (b"\xd0\xcf", "save it as CSV UTF-8"),
    "sheet.ods": (b"PK\x03\x04", "save it as CSV UTF-8"),
    "array.json": (b'[{"item": 1}]', "read_json"),
    "notes.txt": (b"item,a\n1,1\n", "rename it"),
    "table.feather": (b"ARROW1", "from_frame"),
    "nothing.csv": (b"", "empty"),
    "bom_only.csv": (b"\xef\xbb\xbf", "empty"),
    "header.csv": (b"item,model,correct\n", "no rows"),
    "html.csv": (b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "'item'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_with_certainty_is_refused_with_the_fix(tmp_path, name):
    data, words = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        Outcomes.read(path)
    said = str(caught.value).replace(str(path), name)
    assert words in said and name in said
    assert len(said) <= 300 and said.count("\n") <= 1, said


def test_the_fix_for_semicolons_works(tmp_path):
    path = tmp_path / "eu.csv"
    path.write_bytes(REFUSED["excel_german.csv"][0])
    frame = pd.read_csv(path, sep=";", decimal=",")
    assert Outcomes.from_frame(frame).confidence.tolist() == [[0.9]]


def test_long_cells_with_quotes_and_line_ends(tmp_path):
    path = tmp_path / "long.csv"
    said = 'He said "18",\nthen left.\n' * 100_000
    frame = pd.DataFrame({"item": ["a", "b"], "m:answer": [said, "18"], "truth": [said, "18"]})
    frame.to_csv(path, index=False)
    table = Outcomes.read(path)
    assert table.correct.tolist() == [[1], [1]] and table.labels == (18, said)
    assert (table.answer != ABSENT).all()
