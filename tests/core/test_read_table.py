"""Tables as other tools and people write them: each is read as what it says, or refused with a fix.

The files in `lm_eval` were written by lm-evaluation-harness 0.4.13 (``--log_samples``) on two small
tasks of our own; of its results files only the parts that are read here are kept.
"""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab

SAMPLES = Path(__file__).parent / "lm_eval"
REAL = {"filter": "strict-match", "metric": "acc"}


@pytest.fixture
def put(tmp_path):
    """Write text or bytes to a file."""

    def write(name, text):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def refused(path, words, **how):
    with pytest.raises((ValueError, KeyError), match=words) as error:
        lab.read_table(path, **how)
    assert len(str(error.value)) <= 400


# -- how text is written ------------------------------------------------------------------------

LONG = "item;model;correct;cost\nq1;a;1;0,25\nq1;b;0;1,5\n"


def test_a_table_of_a_spreadsheet_in_europe(put):
    table = lab.read_table(put("eu.csv", LONG))
    assert table.outcomes.cost.tolist() == [[0.25, 1.5]]
    assert table.sentences == [
        "read with semicolons between cells",
        "read with a comma as decimal sign",
    ]
    outcomes, _, columns = table
    assert outcomes is table.outcomes
    assert columns["column"].tolist() == ["item", "model", "correct", "cost"]


def test_thousands_are_refused_by_name(put):
    both = "1234 or 1.234: give decimal=','"
    path = put("t.csv", "item;model;correct;cost\nq1;a;1;1,234\n")
    refused(path, both)
    assert lab.read_table(path, decimal=",").outcomes.cost.item() == 1.234
    path = put("t.csv", "item;model;correct;cost\nq1;a;1;1,234\nq2;a;1;0,5\n")  # 0,5 decides
    assert lab.read_table(path).outcomes.cost[:, 0].tolist() == [1.234, 0.5]
    for cell in ("1.234,5", "1 234,5", "1.234"):
        refused(put("t.csv", LONG + f"q2;a;1;{cell}\n"), "decimal sign|mark")
    refused(put("t.csv", 'item,model,correct,cost\nq1,a,1,"1,234.5"\n'), "1,234.5")
    refused(put("t.csv", "item;model;correct;cost\nq1;a;1;0,5\nq2;a;1;0.5\n"), "one decimal sign")
    refused(put("t.csv", "item;model;correct;cost\nq1;a;1;$0.5\n"), "'cost' of 'a'")


def test_an_answer_with_a_comma_changes_only_where_it_is_certain(put):
    head = "item;model;answer;truth;cost\n"
    table = lab.read_table(put("t.csv", head + "q1;a;18,5;18,5;0,1\nq2;a;no, 3;7;0,1\n")).outcomes
    assert table.labels == (7, 18.5, "no, 3") and table.correct[:, 0].tolist() == [1, 0]
    path = put("t.csv", head + "q1;a;1,319;1319;0,1\n")
    refused(path, "'1,319', which may be 1319 or 1.319: give decimal")
    assert lab.read_table(path, decimal=",").outcomes.correct.item() == 0


def test_the_sign_between_cells(put):
    for sign in ",;|\t":
        text = f"id{sign}llm{sign}passed\n1{sign}a{sign}yes\n1{sign}b{sign}no\n"
        table = lab.read_table(put("t.csv", text))
        assert table.outcomes.correct.tolist() == [[1, 0]]
        assert lab.read_table(put("t.txt", text), separator=sign).outcomes.models == ("a", "b")
    assert lab.read_table(put("t.csv", "sep=;\n" + LONG)).outcomes.cost[0, 0] == 0.25
    refused(put("t.csv", "item,a;correct,b\nq,a;1,1\n"), "both commas and semicolons may be")
    refused(put("t.csv", "item\nq1\n"), "no column")
    refused(put("t.csv", "item,model,correct\nq1,a,1\nq2,a\n"), "rows do not fit")
    refused(put("t.csv", LONG), "give one of", separator="#")
    refused(put("t.csv", LONG), "two signs", separator=",", decimal=",")


def test_encodings(put):
    text = "item,model,answer,truth\nq1,a,Zürich,Zürich\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert lab.read_table(put("t.csv", text.encode(encoding))).outcomes.labels == ("Zürich",)
    refused(put("t.csv", text.encode("cp1252")), "line 2 is not UTF-8")
    for encoding in ("cp1252", "utf-16-le"):
        path = put("t.csv", text.encode(encoding))
        assert lab.read_table(path, encoding=encoding).outcomes.labels == ("Zürich",)
    refused(path, "encoding='utf-16-le'")
    refused(path, "not known", encoding="klingon")
    refused(put("t.csv", text.encode("cp1252")), "does not belong", encoding="ascii")
    path = put("t.csv.gz", gzip.compress(LONG.encode()))
    assert lab.read_table(path).outcomes.models == ("a", "b")
    refused(put("t.xlsx", b"PK"), "save it as CSV")


# -- which column means what --------------------------------------------------------------------


def test_two_candidates_are_refused_with_both_names(put):
    path = put("t.csv", "id,llm,score,is_correct\n1,a,0.5,1\n")
    refused(path, "'score' and 'is_correct' may both be the correct: give correct='score'")
    assert lab.read_table(path, correct="is_correct").outcomes.correct.item() == 1
    # gsm8k calls the truth its answer
    path = put("t.csv", "id,llm,answer,prediction,expected\n1,a,18,18,18\n")
    refused(path, "'answer' and 'prediction' may both be the answer")
    path = put("t.csv", "id,llm,answer,prediction\n1,a,18,18.0\n")
    table = lab.read_table(path, answer="prediction", truth="answer").outcomes
    assert table.correct.item() == 1


def test_doubts_are_named_and_decided_by_arguments(put):
    path = put("t.csv", "id,llm,score,latency,prompt\n1,a,1,250,hi\n1,b,1,90,hi\n")
    with pytest.warns(UserWarning, match="'latency' is read as seconds: .*latency_unit='ms'"):
        assert lab.read_table(path).outcomes.latency[0, 0] == 250
    table = lab.read_table(path, latency_unit="ms", feature="prompt")
    assert table.outcomes.latency[0, 0] == 0.25 and list(table.outcomes.features) == ["prompt"]
    assert lab.read_table(path, latency="").outcomes.latency is None
    assert any(
        "left out: latency, prompt;" in said for said in lab.read_table(path, latency="").sentences
    )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"item": "Id"}, "no column 'Id' in the table"),
        ({"item": 3}, "item is 3 .int.; give a list"),
        ({"model": ["llm", "id"]}, "give one name as text"),
        ({"item": "llm", "model": "llm"}, "'llm' is given as item and as model"),
        ({"item": ""}, "name the item"),
        ({"model": ""}, "no column names the model"),
        ({"correct": ""}, "answers or grades"),
        ({"latency_unit": "hours"}, "give one of s, ms"),
        ({"on": "id"}, "needs grades"),
        ({"correct": ["score", "id"]}, "is given as|several columns"),
    ],
)
def test_wrong_arguments(put, how, words):
    refused(put("t.csv", "id,llm,score\n1,a,1\n"), words, **how)


def test_an_item_named_by_two_columns(put):
    path = put("t.csv", "task,doc_id,model,acc\nx,0,a,1\ny,0,a,0\nx,0,b,1\ny,0,b,1\n")
    refused(path, "which column 'task' tells apart: give item=.'doc_id', 'task'")
    table = lab.read_table(path, item=["task", "doc_id"], group="")
    assert table.outcomes.items.tolist() == ["x/0", "y/0"]
    refused(put("t.csv", "a,b,model,acc\nx/y,z,m,1\nx,y/z,m,1\n"), "do not name", item=["a", "b"])


def test_units_of_names(put):
    head = "id,llm,correct,cost_cents,elapsed_us,logprob,created_at\n"
    table = lab.read_table(put("t.csv", head + "1,a,1,5,2000,-0.5,2026-11-27T08:00:00Z\n"))
    outcomes = table.outcomes
    assert outcomes.cost.item() == pytest.approx(0.05)
    assert outcomes.latency.item() == pytest.approx(0.002)
    assert outcomes.confidence.item() == pytest.approx(np.exp(-0.5))
    assert outcomes.features["time"].tolist() == [1795766400.0]
    assert len([said for said in table.sentences if "read as" in said or "exp of" in said]) == 3
    refused(put("t.csv", head + "1,a,1,5,2000,0.5,2026-11-27\n"), "no log probability")
    refused(put("t.csv", head + "1,a,1,5,2000,-1,soon\n"), "'soon', which is no date")
    refused(put("t.csv", "id,llm,correct,time\n1,a,1,0.25\n"), "give latency='time'")
    epoch = "id,llm,correct,ts\n1,a,1,1795766400000\n"
    assert lab.read_table(put("t.csv", epoch)).outcomes.features["time"].item() == 1795766400


def test_grades_in_words(put):
    path = put("t.csv", "id,llm,result\n1,a,PASS\n2,a,FAIL\n3,a,\n")
    table = lab.read_table(path, correct="result")
    np.testing.assert_array_equal(table.outcomes.correct[:, 0], [1, 0, np.nan])
    assert "column 'result' is read with 'PASS' as 1 and 'FAIL' as 0" in table.sentences
    refused(put("t.csv", "id,llm,correct\n1,a,maybe\n"), "maybe")
    refused(put("t.csv", "id,llm,score\n1,a,85\n"), "85")


# -- forms --------------------------------------------------------------------------------------


def test_wide_forms(put):
    wanted = [[1, 0], [0, 1]]
    forms = {
        "id,a:correct,b:correct": {},
        "id,a|score,b|score": {},
        "id,a_is_correct,b_is_correct": {},
        "id,correct_a,correct_b": {},
        "id,acc.a,acc.b": {},
        "id,a,b": {"correct": ["a", "b"]},
    }
    for head, how in forms.items():
        table = lab.read_table(put("t.csv", head + "\n1,1,0\n2,0,1\n"), **how)
        assert table.outcomes.models == ("a", "b") and table.outcomes.correct.tolist() == wanted
    with pytest.warns(UserWarning, match="read as models"):
        assert lab.read_table(put("t.csv", "id,a,b\n1,1,0\n")).outcomes.models == ("a", "b")
    table = lab.read_table(put("t.csv", "id,a,b,gold\n1,x,y,x\n"), answer=["a", "b"]).outcomes
    assert table.correct.tolist() == [[1, 0]]
    refused(put("t.csv", "id,a_score,correct_b\n1,1,1\n"), "at two ends")
    refused(put("t.csv", "id,a,length\n1,1,17\n"), "'length' holds 17")


def test_routerbench(put):
    """The wide table of RouterBench: the score under the model's name, and two more columns."""
    text = (
        "sample_id,prompt,eval_name,m/one,m/two,m/one|model_response,m/two|model_response,"
        "m/one|total_cost,m/two|total_cost,oracle_model_to_route_to\n"
        "mmlu.0,\"['Q']\",mmlu,0.25,1.0,['C'],['D'],0.0001,0.002,m/two\n"
        "mmlu.1,\"['R']\",mmlu,1.0,1.0,['A'],['A'],0.0001,0.002,m/one\n"
    )
    table = lab.read_table(put("rb.csv", text)).outcomes
    assert table.models == ("m/one", "m/two") and table.group.tolist() == ["mmlu", "mmlu"]
    assert table.correct.tolist() == [[0.25, 1], [1, 1]]
    assert table.cost.tolist() == [[0.0001, 0.002]] * 2
    assert set(table.labels) == {"['A']", "['C']", "['D']"}


def test_an_index_and_empty_columns_are_no_outcomes(put):
    frame = pd.DataFrame({"qid": [1, 2], "llm": "a", "acc": [1, 0], "price": [None, None]})
    frame.to_csv(path := put("t.csv", ""))
    table = lab.read_table(path)
    assert table.outcomes.cost is None and "empty: 'price'" in table.sentences[0]
    refused(put("t.csv", "id,llm,acc,acc\n1,a,1,0\n"), "'acc' occurs twice")


# -- JSON ---------------------------------------------------------------------------------------


def test_json_of_other_tools(put):
    rows = [
        {"testIdx": i, "provider": m, "success": 1, "latencyMs": 250, "response": {"output": m}}
        for i in range(2)
        for m in ("a", "b")
    ]
    for name, text in {
        "lines.jsonl": "\n".join(map(json.dumps, rows)),
        "lines.json": "\n".join(map(json.dumps, rows)),
        "list.json": json.dumps(rows, indent=1),
        "list.jsonl": json.dumps(rows),
        "inside.json": json.dumps({"version": 3, "results": {"results": rows, "stats": {"n": 2}}}),
    }.items():
        table = lab.read_table(put(name, text), answer="response.output")
        assert table.outcomes.latency.tolist() == [[0.25, 0.25]] * 2
        assert table.outcomes.correct.tolist() == [[1, 1]] * 2
    refused(put("two.json", json.dumps({"a": rows, "b": rows})), "several lists of objects .a, b.")
    refused(put("no.json", "[1, 2]"), "no list of objects")
    refused(put("bad.json", "[{]"), "is not JSON")
    refused(put("twice.json", '[{"a.b": 1, "a": {"b": 2}}]'), "'a.b' is there twice")


def test_usage_counts_what_the_model_wrote(put):
    row = {"id": "r1", "model": "a", "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
    path = put("u.jsonl", json.dumps(row | {"correct": 1}))
    assert lab.read_table(path).outcomes.tokens.item() == 5


# -- logs and grades ----------------------------------------------------------------------------

LOG = "request_id,model,latency_ms,cost\nr1,a,250,0.1\nr2,b,90,0.2\nr3,a,80,0.1\n"


def test_grades_join_a_log_on_the_request(put):
    log, grades = put("log.csv", LOG), put("g.csv", "request_id;score\nr2;1\nr1;0\n\nr9;1\n")
    with pytest.warns(UserWarning) as said:
        table = lab.read_table(log, grades=grades)
    words = " ".join(str(one.message) for one in said)
    assert "1 of 3 requests have no grade" in words and "such as 'r9'" in words
    assert "answered by one model only" in words
    outcomes = table.outcomes
    assert outcomes.items.tolist() == ["r1", "r2", "r3"]
    np.testing.assert_array_equal(outcomes.correct, [[0, np.nan], [np.nan, 1], [np.nan, np.nan]])
    assert outcomes.cost[0, 0] == 0.1


def test_a_log_of_several_models_an_item(put):
    rows = [("r1", "q1", "a"), ("r2", "q1", "b"), ("r3", "q2", "a"), ("r4", "q2", "b")]
    text = "request_id,prompt_id,model\n" + "".join(",".join(row) + "\n" for row in rows)
    grades = json.dumps([{"request_id": f"r{i}", "grade": i % 2} for i in range(1, 5)])
    table = lab.read_table(put("log.csv", text), grades=put("g.json", grades)).outcomes
    assert table.correct.tolist() == [[1, 0], [1, 0]] and table.items.tolist() == ["q1", "q2"]


@pytest.mark.parametrize(
    ("grades", "words"),
    [
        ("request_id,score\nr1,1\nr1,0\n", "'r1' is in two rows of the grades"),
        ("request_id,score\nx,1\n", "no grade names a request: .*'x'.*'r1'"),
        ("request_id,note\nr1,good\n", "no column that is known to be a grade"),
        ("question,score\nr1,1\n", "no column may name the request"),
    ],
)
def test_grades_that_do_not_fit(put, grades, words):
    refused(put("log.csv", LOG), words, grades=put("g.csv", grades))


def test_a_request_twice_in_the_log(put):
    log = put("log.csv", LOG + "r1,a,10,0.1\n")
    refused(log, "'r1' is in two rows of the log", grades=put("g.csv", "request_id,score\nr1,1\n"))


# -- lm-evaluation-harness ----------------------------------------------------------------------


def test_real_samples_have_the_scores_that_the_harness_reports():
    for filter in ("strict-match", "flexible-extract"):
        for metric in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info"):
            table = lab.read_table(SAMPLES, filter=filter, metric=metric).outcomes
            assert table.models == ("toy/big", "toy/small") and len(table) == 16
            for j, name in enumerate(("toy__big", "toy__small")):
                told = json.loads(next((SAMPLES / name).glob("results*")).read_text())["results"]
                for task, key in (
                    ("sums", f"exact_match,{filter}"),
                    ("capitals", f"{metric},none"),
                ):
                    found = table.correct[table.group == task, j].mean()
                    assert found == pytest.approx(told[task][key])
            own = table.group == "capitals"  # each metric chooses the option that it scores
            right = table.answer[own] == table.truth[own][:, None]
            np.testing.assert_array_equal(right, table.correct[own] == 1)


def test_real_samples_give_answers_and_confidence():
    table = lab.read_table(SAMPLES, **REAL)
    outcomes, capitals = table.outcomes, table.outcomes.group == "capitals"
    rows = [
        json.loads(line)
        for path in SAMPLES.glob("toy__small/samples_capitals*")
        for line in path.read_text().splitlines()
    ]
    for i, row in enumerate(rows):
        logs = [float(pair[0][0]) for pair in row["resps"]][:3]  # the rest without the question
        shares = np.exp(logs) / np.exp(logs).sum()
        code = outcomes.answer[capitals, 1][i]
        assert outcomes.labels[code] == str(int(np.argmax(logs)))
        assert outcomes.confidence[capitals, 1][i] == pytest.approx(shares.max())
    assert (outcomes.truth[capitals] >= 0).all() and (outcomes.truth[~capitals] < 0).all()
    assert outcomes.unparsed[~capitals].any()  # "[invalid]" is no answer
    assert any("targets are left out" in said for said in table.sentences)


def test_what_samples_leave_open_is_refused(tmp_path):
    refused(SAMPLES, "has 2 filters: give filter='strict-match' or", metric="acc")
    refused(SAMPLES, "has 4 metrics: give metric='acc' or", filter="strict-match")
    refused(
        SAMPLES, "no task has a metric or filter 'f1'", metric=["acc", "f1"], filter=REAL["filter"]
    )
    refused(tmp_path, "holds no samples_TASK_DATE.jsonl")
    shutil.copytree(SAMPLES, here := tmp_path / "runs")
    path = next(here.glob("toy__big/samples_capitals*"))
    shutil.copy(path, twin := path.with_name("samples_capitals_2027-01-01T00-00-00.0.jsonl"))
    refused(here, "are two runs of task 'capitals' by 'toy/big'; keep one", **REAL)
    twin.unlink()
    whole = path.read_text()
    path.write_text(whole.replace('"doc_hash": "', '"doc_hash": "0'))
    refused(here, "'capitals/0' is another document for", **REAL)
    old = [json.loads(line) for line in whole.splitlines()]
    for row in old:
        del row["filter"]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*old, *old]))
    refused(here, "there twice; this version names no filter", **REAL)
    path.unlink()
    table = lab.read_table(here, **REAL)
    assert "model 'toy/big' has no task capitals" in table.sentences
    assert table.outcomes.coverage().tolist() == [0.5, 1]


def test_samples_of_an_older_version(tmp_path):
    """Before 0.4.3: lists of arguments, numbers in replies, and a name without a date."""
    shutil.copytree(SAMPLES, here := tmp_path / "runs")
    new = lab.read_table(here, filter="strict-match", metric="acc_norm").outcomes
    for path in here.glob("*/samples_capitals*"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["arguments"] = [[one["arg_0"], one["arg_1"]] for one in row["arguments"].values()]
            row["filtered_resps"] = [[float(a), b == "True"] for a, b in row["filtered_resps"]]
            for name in ("filter", "metrics", "doc_hash", "prompt_hash", "target_hash"):
                del row[name]
        path.unlink()
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (path.parent / "samples_capitals.jsonl").write_text(text)
    old = lab.read_table(here, filter="strict-match", metric="acc_norm").outcomes
    for name in ("correct", "answer", "confidence", "truth"):
        np.testing.assert_array_equal(getattr(old, name), getattr(new, name))


def test_one_sample_file_and_our_own_files(tmp_path):
    path = next(SAMPLES.glob("toy__big/samples_capitals*"))
    assert lab.read_table(path, metric="acc").outcomes.models == ("toy/big",)
    table = lab.load_outcomes(lab.outcomes_catalogue().index[0])
    again = lab.read_table(table.to_parquet(tmp_path / "t.parquet")).outcomes
    np.testing.assert_array_equal(again.correct, table.correct)
    lab.record({"m": str}, ["1"], tmp_path / "r.jsonl", progress=False)
    assert lab.read_table(tmp_path / "r.jsonl").outcomes.models == ("m",)
    refused(tmp_path / "r.jsonl", "leave out item", item="x")


@pytest.mark.parametrize(
    ("metric", "option"), [("acc", "0"), ("acc_norm", "2"), ("acc_bytes", "1")]
)
def test_the_option_is_chosen_as_the_metric_chooses(put, metric, option):
    """By hand: a letter's share is -1.9, -1.15, -1.1 and a byte's -1.9, -0.575, -1.1."""
    options, logs = [" a", " éé", " abcd"], [-1.9, -2.3, -4.4]
    row = {
        "doc_id": 0,
        "target": "0",
        "filter": "none",
        "metrics": ["acc", "acc_norm", "acc_bytes"],
    }
    row |= {"acc": 1.0, "acc_norm": 0.0, "acc_bytes": 0.0, "doc": {}, "resps": []}
    row["filtered_resps"] = [[str(one), "False"] for one in logs]
    row["arguments"] = {f"gen_args_{i}": {"arg_0": "q", "arg_1": o} for i, o in enumerate(options)}
    path = put("m/samples_t.jsonl", json.dumps(row))
    table = lab.read_table(path, metric=metric).outcomes
    assert table.labels[table.answer.item()] == option
    shares = np.exp(logs) / np.exp(logs).sum()
    assert table.confidence.item() == pytest.approx(shares[int(option)])


def test_a_reply_with_two_choices_leaves_all_choices_out(put):
    one, two = [{"output": "x"}], [{"output": "x"}, {"output": "y"}]
    rows = [
        {"id": i, "llm": "a", "score": 1, "result": reply} for i, reply in enumerate([one, two])
    ]
    table = lab.read_table(put("t.jsonl", "\n".join(map(json.dumps, rows))))
    assert table.outcomes.answer is None
    assert "left out, because they hold lists: result" in table.sentences
    table = lab.read_table(put("t.jsonl", json.dumps(rows[0])))
    assert table.outcomes.labels == ("x",)
