"""Kinds of trouble with tables that users report elsewhere, each with what `read_table` does.

The kind was taken from the report, which is named; the tables are our own. Kinds that no report
stands for begin with "own".
"""

import json
import warnings

import numpy as np
import pytest

import ensemble_lab as lab


def batch(i, model, reply):
    """A line of an OpenAI batch's output."""
    body = {"id": f"c{i}", "object": "chat.completion", "created": 1795766400, "model": model}
    body |= {"choices": [{"index": 0, "message": {"role": "assistant", "content": reply}}]}
    body |= {"usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
    head = {"id": f"b{i}{model}", "custom_id": f"q{i}", "error": None}
    return head | {"response": {"status_code": 200, "request_id": f"r{i}", "body": body}}


def promptfoo(i, model):
    """A row of promptfoo's JSON."""
    reply = {"output": "4", "cost": 0.002, "tokenUsage": {"total": 12, "completion": 4}}
    row = {"id": f"u{i}{model}", "testIdx": i, "promptIdx": 0, "latencyMs": 250, "cost": 0.002}
    row |= {"provider": {"id": model, "label": ""}, "vars": {"answer": "4"}, "response": reply}
    return row | {"success": True, "score": 1, "gradingResult": {"pass": True, "score": 1}}


PROMPTFOO = {
    "evalId": "e1",
    "results": {
        "version": 3,
        "prompts": [{"raw": "x", "provider": "a"}],
        "results": [promptfoo(i, model) for i in (0, 1) for model in ("a", "b")],
    },
    "config": {"tests": [{"vars": {}}]},
}
BATCH = [batch(i, model, f"no {i}") for i in (0, 1) for model in ("a", "b")]
LANGFUSE = (
    "id,traceId,startTime,endTime,model,latency,usage.input,usage.output,calculatedTotalCost,"
    "scores.accuracy\n"
    "o1,t1,2026-01-01T00:00:00.000Z,2026-01-01T00:00:02.000Z,a,1.0,3,4,0.01,1\n"
    "o2,t1,2026-01-01T00:00:05.000Z,2026-01-01T00:00:06.000Z,b,1.5,3,4,0.02,0\n"
)
LITELLM = (
    "request_id,call_type,spend,total_tokens,prompt_tokens,completion_tokens,startTime,model,user\n"
    "r1,acompletion,0.01,30,20,10,2026-01-01 00:00:00.5,gpt,u\n"
)


def lines(rows):
    return "\n".join(json.dumps(row) for row in rows)


# Report: name of a file, its text, arguments, and what the outcomes must be.
READ = {
    "langgenius/dify#42354 semicolons in a .csv": (
        "t.csv", "id;llm;acc\n1;a;1\n", {}, {"correct": [[1]]}),
    "pandas-dev/pandas#53035 a sniffer that takes a letter for the sign": (
        "t.csv", "id,llm,prediction\n1,a,banana\n2,a,bandana\n", {},
        {"labels": ("banana", "bandana")}),
    "bis-med-it/pysdmx#460 bars in cells, commas between them": (
        "t.csv", "id,llm,prediction\n1,a,x|y|z\n2,a,x|y|z\n", {}, {"labels": ("x|y|z",)}),
    "gesistsa/rio#186 semicolons with decimal points": (
        "t.csv", "id;llm;acc;cost\n1;a;1;0.5\n", {}, {"cost": [[0.5]]}),
    "equinor/pyscal#395 semicolons with decimal commas": (
        "t.csv", "id;llm;acc;cost\n1;a;1;0,5\n", {}, {"cost": [[0.5]]}),
    "turbot/powerpipe#730 commas in quotes": (
        "t.csv", 'id,llm,prediction\n1,a,"x, y, z"\n', {}, {"labels": ("x, y, z",)}),
    "own: names that pandas reads as numbers": (
        "t.csv", "id,llm,acc\n007,4,1\n012,4,0\n", {}, {"models": ("4",), "correct": [[1], [0]]}),
    "promptfoo/promptfoo#433 the whole JSON of a run": (
        "p.json", json.dumps(PROMPTFOO),
        {"item": "testIdx", "correct": "score", "answer": "response.output"},
        {"models": ("a", "b"), "latency": [[0.25] * 2] * 2, "cost": [[0.002] * 2] * 2,
         "tokens": [[4, 4]] * 2, "truth": None}),
    "artefactory/artefactual#332 a batch's envelope": (
        "b.jsonl", lines(BATCH), {"item": "custom_id"},
        {"models": ("a", "b"), "tokens": [[5, 5]] * 2, "labels": ("no 0", "no 1")}),
    "edubruell/tidyllm#37 a batch in another order": (
        "b.jsonl", lines(BATCH[::-1]), {"item": "custom_id"},
        {"answer": [[1, 1], [0, 0]], "models": ("b", "a")}),
    "langfuse/langfuse#3332 an export of observations": (
        "l.csv", LANGFUSE, {"item": "traceId", "latency_unit": "s"},
        {"correct": [[1, 0]], "tokens": [[4, 4]], "cost": [[0.01, 0.02]], "answer": None}),
    "stanfordnlp/dspy#8688 a table of an evaluation": (
        "d.csv", ",source_word,llm,expected,reasoning,is_correct\n0,chat,a,1,long,1\n",
        {"item": "source_word"}, {"correct": [[1]], "answer": None}),
    "pandas-dev/pandas#47303 a line that names the sign, as Excel writes it": (
        "t.csv", "sep=;\nid;model;correct\n1;a;1\n1;b;0\n", {}, {"correct": [[1, 0]]}),
    "own: grades as words": (
        "t.csv", "id,model,correct\n1,a,PASS\n1,b,FAIL\n", {}, {"correct": [[1, 0]]}),
    "own: a table of RouterBench": (
        "t.csv", "sample_id,prompt,eval_name,gpt,gpt|model_response,gpt|total_cost,claude,"
        "claude|model_response,claude|total_cost,oracle_model_to_route_to\n"
        "x.1,p,mmlu,1.0,A,0.01,0.0,B,0.002,gpt\n", {},
        {"models": ("gpt", "claude"), "correct": [[1, 0]], "cost": [[0.01, 0.002]]}),
    "own: log-probabilities": (
        "t.csv", "id,model,correct,logprob\n1,a,1,0\n", {}, {"confidence": [[1.0]]}),
    "own: times in milliseconds since 1970": (
        "t.csv", "id,model,correct,created\n1,a,1,1767225600000\n", {},
        {"features": {"time": [1767225600.0]}}),
}  # fmt: skip


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("report", READ)
def test_what_people_have_is_read_as_what_it_says(tmp_path, report):
    name, text, how, wanted = READ[report]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of these is in doubt
        found = lab.read_table(write(tmp_path, name, text), **how).outcomes
    for field, values in wanted.items():
        value = getattr(found, field)
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if field == "features":
            value = {name: column.tolist() for name, column in value.items()}
        assert value == values, field


REFUSED = {
    "tidyverse/readr#799 thousands": (
        'id,llm,acc,cost\n1,a,1,"1,234"\n', "'1,234', which may be 1234 or 1.234"),
    "pola-rs/polars#18797 points for thousands": (
        "id;llm;acc;cost\n1;a;1;1.299,99\n", "1.299,99"),
    "pola-rs/polars#18797 both signs in one file": (
        "id;llm;acc;cost\n1;a;1;0,99\n2;a;1;1.299\n", "write one decimal sign"),
    "andymanic/PresentMonLauncher#23 rows with fewer cells": (
        "id,llm,acc,cost\n1,a,1,1\n2,a,1\n", "Expected 4 columns, got 3"),
    "EleutherAI/lm-evaluation-harness#2025 an item in two rows": (
        "doc_id,model,filter,acc\n0,a,x,1\n1,a,x,1\n0,a,y,0\n1,a,y,0\n",
        "column 'filter' tells apart: give item=['doc_id', 'filter']"),
    "jhu-lcsr/costar_plan#419 lists in cells": (
        'id,llm,acc\n1,a,"[0.78, 0.48]"\n', "'[0.78, 0.48]'"),
    "promptfoo/promptfoo#1303 grades in the text of answers": (
        "q,a,b\nwhat,[PASS] 4,[FAIL] 5\n", "name the item"),
    "own: a price in another currency": (
        "id,llm,acc,Cost (€)\n1,a,1,0.5\n", "is in '€': costs are in USD"),
    "own: means and no items": (
        "model,dataset,accuracy\na,mmlu,0.9\nb,mmlu,0.8\n", "name the item"),
    "own: a column of one model only": (
        "id,prediction,gold\n1,x,x\n", "no column names the model"),
    "own: a sign of a currency in cells": (
        "id,model,correct,cost\n1,a,1,$0.003\n", "not a number: '$0.003' for item 1"),
    "own: a percentage": ("id,model,score\n1,a,95%\n", "a percentage is written as a share"),
    "own: a judge's scale to ten": (
        "id,model,score\n1,a,7\n1,b,10\n", "correct is 7 for item 1, model 'a'"),
    "pandas-dev/pandas#37895 days before months": (
        "id,model,correct,timestamp\n1,a,1,31/01/2026 10:00\n",
        "'31/01/2026 10:00', which is no date such as"),
    "own: a line of words above the header": (
        "# written by a tool\nid,model,correct\n1,a,1\n", "rows do not fit its header"),
    "own: a header of two rows": (",a,a,b,b\n,correct,cost,correct,cost\nq1,1,1,0,1\n",
                                 "column 'a' occurs twice"),
    "own: a dash for what is not known": (
        "id,model,correct\n1,a,-\n", "leave it empty where the value is unknown"),
    "own: a page that asks to sign in": (
        "<!DOCTYPE html><html><body>Sign in</body></html>", "it is a web page"),
    "own: a pointer of Git LFS": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n", "git lfs pull"),
}  # fmt: skip


@pytest.mark.parametrize("report", REFUSED)
def test_what_is_in_doubt_is_refused_with_its_name(tmp_path, report):
    text, words = REFUSED[report]
    with pytest.raises(ValueError) as error:
        lab.read_table(write(tmp_path, "t.csv", text))
    assert words in str(error.value)


EVENTS = [{"spec": {"completion_fns": ["m"], "eval_name": "e", "run_id": "r"}}]
EVENTS += [
    {"run_id": "r", "event_id": i, "sample_id": f"e.{i}", "type": "match", "created_by": "",
     "data": {"correct": True, "expected": "a", "picked": "a"}, "created_at": "2026-01-01"}
    for i in range(2)
]  # fmt: skip
HELM = [
    {"instance_id": f"id{i}", "train_trial_index": 0,
     "stats": [{"name": {"name": "exact_match", "split": "test"}, "count": 1, "mean": 1.0}]}
    for i in range(2)
]  # fmt: skip
BY_COLUMN = {"id": {"0": "q1", "1": "q2"}, "model": {"0": "a", "1": "a"}}

FOREIGN = {
    "openai/evals: events of a run": ("e.jsonl", lines(EVENTS), "item = sample_id, model = the"),
    "openai/evals: events without the first line": ("e.jsonl", lines(EVENTS[1:]), "openai/evals"),
    "stanford-crfm/helm#1181 statistics of a run": (
        "h.json", json.dumps(HELM), "model = adapter_spec.model of run_spec.json"),
    "own: a frame by column": ("f.json", json.dumps(BY_COLUMN), "orient='records'"),
    "UKGovernmentBEIS/inspect_ai: a log": ("l.eval", "PK", "samples_df of inspect_ai.analysis"),
}  # fmt: skip


@pytest.mark.parametrize("report", FOREIGN)
def test_what_is_no_table_is_refused_with_how_to_make_one(tmp_path, report):
    name, text, words = FOREIGN[report]
    with pytest.raises(ValueError) as error:
        lab.read_table(write(tmp_path, name, text))
    assert words in str(error.value)


DOUBTS = {
    "allenai/IFBench#33 a space at the end of a prompt": (
        "id,llm,acc\nq1,a,1\nq1 ,b,1\n", "items differ by spaces at their ends .*'q1 '"),
    "own: a unit that is not named": (
        "id,llm,acc,latency\nq1,a,1,850\n", "read as seconds"),
    "own: a model that was chosen by a router": (
        "id,llm,acc\nq1,a,1\nq2,b,1\n", "answered by one model only"),
    "own: a model that is written in two ways": (
        "id,model,correct\nq1,GPT-4,1\nq1,gpt-4,0\n", "models differ by case only, .*'gpt-4'"),
    "own: bare names of models": ("id,a,b\nq1,1,0\n", "read as models"),
}  # fmt: skip


@pytest.mark.parametrize("report", DOUBTS)
def test_a_doubt_is_a_warning_and_a_sentence(tmp_path, report):
    text, words = DOUBTS[report]
    with pytest.warns(UserWarning, match=words) as said:
        found = lab.read_table(write(tmp_path, "t.csv", text))
    assert {str(one.message) for one in said} <= set(found.sentences)


def test_a_log_without_grades_has_none(tmp_path):
    path = write(tmp_path, "l.csv", LITELLM)
    with pytest.raises(ValueError, match="neither 'correct' nor 'answer'"):
        lab.read_table(path)
    grades = write(tmp_path, "g.csv", "request_id,score\nr1,1\n")
    found = lab.read_table(path, grades=grades).outcomes
    assert (found.cost.item(), found.tokens.item(), found.correct.item()) == (0.01, 10, 1)
