"""Every message is short and plain and says what can be done: by the source, by failing calls."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab import exercises
from ensemble_lab.explorers import explore
from ensemble_lab.reports.request import (
    check_parameters,
    find_notebooks,
    output_folder,
    read_notebook,
    read_state,
)
from ensemble_lab.reports.student import without_folded
from ensemble_lab.widgets import Predict, PredictCurve
from tests.contracts.audit import offences
from tests.support.toy_explorer import toy

PACKAGE = Path(lab.__file__).parent

# -- by the source ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_what_somebody_gave_is_cut_before_it_is_written(path):
    told = "\n".join(f"{path}:{line}: {{{expression}!r}}" for line, expression in offences(path))
    assert not told, f"use shown(…):\n{told}"


def test_planted_messages_are_found(tmp_path):
    lines = ["raise ValueError(f'it is {x!r}')", "raise E(f'a {b}' + f'{c!r:.60}') from None"]
    lines += ["warnings.warn(f'{d.e!r}', stacklevel=2)", "say(f'{shown(f)} and {g!r}')"]
    (tmp_path / "planted.py").write_text("\n".join(lines))
    assert offences(tmp_path / "planted.py") == [(1, "x"), (2, "c"), (3, "d.e"), (4, "g")]
    (tmp_path / "clean.py").write_text("raise ValueError(f'{shown(x)}')\nprint(f'{x!r}')")
    assert offences(tmp_path / "clean.py") == []


# -- by calls that fail -------------------------------------------------------------------------

LONG = "x" * 10**5
BAD = re.compile(r"\bnp\.|numpy|\barray\(|dtype|tensor\(| object at 0x|shape \(")
FIX = re.compile(
    r"keep|convert|raise|halves|outside|codes are|or more|it has: \w|tag the|give|use|choose|write"
    r"|copy|known are|did you mean|needs?\b|must|should|lies|between|from"
    r"|make|leave|record|install|nearest|pass|save|name|run|takes|are for|fold|return|guess|paste"
)


def table(**changes):
    known = {
        "models": ["small", "big"],
        "items": [1, 2, 3, 4],
        "correct": np.eye(4, 2),
        "confidence": np.full((4, 2), 0.5),
        "cost": np.ones((4, 2)),
    }
    return lab.Outcomes(**{**known, **changes})


def in_folder(make):
    """A call that is given an empty folder."""
    make.in_folder = True
    return make


def written(folder, text, name="a.csv"):
    path = folder / name
    path.write_text(text)
    return path


CALLS = {
    "load_outcomes": lambda: lab.load_outcomes(LONG),
    "load_outcomes number": lambda: lab.load_outcomes(np.int64(7)),
    "outcomes models twice": lambda: table(models=["a", "a"]),
    "outcomes models text": lambda: table(models="ab"),
    "outcomes correct above": lambda: table(correct=np.full((4, 2), 7.0)),
    "outcomes correct shape": lambda: table(correct=np.ones((3, 2))),
    "outcomes items twice": lambda: table(items=np.array([1, 1, 2, 3])),
    "outcomes long item twice": lambda: table(items=[LONG, LONG, "b", "c"]),
    "outcomes cost text": lambda: table(cost=[["a", "b"]] * 4),
    "outcomes codes": lambda: table(answer=np.full((4, 2), 9), labels=["a"]),
    "outcomes features": lambda: table(features={"len": [1, 2]}),
    "outcomes group": lambda: table(group=[1]),
    "select": lambda: table().select(models=[LONG]),
    "select nobody": lambda: table().select(models=[]),
    "split": lambda: table().split(2.0),
    "read nothing": in_folder(lambda f: lab.Outcomes.read(f / "none.csv")),
    "read a word": in_folder(lambda f: lab.Outcomes.read(written(f, LONG))),
    "read semicolons": in_folder(lambda f: lab.Outcomes.read(written(f, "item;m\n1;1\n"))),
    "read json": in_folder(lambda f: lab.Outcomes.read(written(f, '{"a": 1}', "a.jsonl"))),
    "read another kind": in_folder(lambda f: lab.Outcomes.read(written(f, "x", "a.docx"))),
    "from_frame empty": lambda: lab.Outcomes.from_frame(pd.DataFrame()),
    "from_frame list": lambda: lab.Outcomes.from_frame([1, 2]),
    "from_frame words": lambda: lab.Outcomes.from_frame(
        pd.DataFrame({"item": [1], "model": ["a"], "correct": [LONG]})
    ),
    "cascade order": lambda: lab.Cascade("ab", (0.5,)),
    "cascade thresholds": lambda: lab.Cascade(("a", "b"), (50,)),
    "cascade too few": lambda: lab.Cascade(("a", "b"), ()),
    "cascade unknown": lambda: lab.Cascade(("small", LONG), (0.5,)).decide(table()),
    "cascade no confidence": lambda: lab.Cascade(("small", "big"), (0.5,)).decide(
        table(confidence=None)
    ),
    "budget": lambda: lab.BudgetCascade(-1.0).fit(table()),
    "budget none": lambda: lab.BudgetCascade(np.float64(0.1)).fit(table()),
    "frontier": lambda: lab.frontier(lab.Cascade(("small", "big"), (0.5,)), table(), against=LONG),
    "vote members": lambda: lab.MajorityVote([LONG]).decide(table()),
    "vote answers": lambda: lab.MajorityVote().decide(table()),
    "record models": in_folder(lambda f: lab.record([1], [1], f / "r.jsonl")),
    "record items": in_folder(lambda f: lab.record({"m": str}, "ab", f / "r.jsonl")),
    "run": lambda: lab.run(lab.Cascade(("a", "b"), (0.5,)), {"a": str}, 1),
    "load": lambda: lab.load("no-such-model"),
    "load long": lambda: lab.load(LONG),
    "load folder": in_folder(lambda f: lab.load(f)),
    "bagging": lambda: lab.BaggingClassifier(n_estimators=0).fit([[1.0], [2.0]], [0, 1]),
    "bagging share": lambda: lab.BaggingClassifier(max_samples=LONG).fit([[1.0], [2.0]], [0, 1]),
    "adaboost": lambda: lab.AdaBoostClassifier(learning_rate=-1).fit([[1.0], [2.0]], [0, 1]),
    "stacking": lambda: lab.StackingClassifier([(LONG, 5)]).fit([[1.0]] * 4, [0, 1, 0, 1]),
    "explore name": lambda: explore(LONG),
    "explore none": lambda: explore(np.int64(3)),
    "explore nothing": lambda: explore("cascade"),
    "explore frame": lambda: explore("votes", pd.DataFrame({"a": [1]})),
    "explore path": lambda: explore("votes", LONG),
    "explore class": lambda: explore(lab.Cascade, table()),
    "explore start": lambda: explore("speedup", alpha=np.float64(7)),
    "explore control": lambda: explore("speedup", **{LONG: 1}),
    "explore alone": lambda: explore("bagging", table()),
    "explore rounds": lambda: explore("rounds", table()),
    "explore pairs": lambda: explore("speedup", [np.float64(1)]),
    "explorer state": lambda: toy().state(power=np.array([1, 2])),
    "explorer many": lambda: toy().state(parts=[np.str_(LONG)]),
    "explorer read": lambda: toy().read(LONG),
    "explorer other": lambda: toy().read({"explorer": LONG, "version": 1, "state": {}}),
    "explorer version": lambda: toy().read({"explorer": "toy", "version": LONG, "state": {}}),
    "predict": lambda: setattr(Predict("?"), "value", LONG),
    "predict comma": lambda: setattr(Predict("?"), "value", "0,9"),
    "predict range": lambda: setattr(Predict("?"), "value", np.float64(-5)),
    "predict ends": lambda: Predict("?", low=np.float64(2), high=np.float64(1)),
    "curve": lambda: PredictCurve("?", np.zeros((2, 2))),
    "curve heights": lambda: setattr(PredictCurve("?", [0, 1]), "value", np.zeros(3)),
    "curve text": lambda: PredictCurve("?", LONG),
    "notebooks": lambda: find_notebooks([LONG]),
    "notebooks text": lambda: find_notebooks(LONG),
    "notebooks none": in_folder(lambda f: find_notebooks([f])),
    "notebook": in_folder(lambda f: read_notebook(written(f, LONG, "a.ipynb"))),
    "output": lambda: output_folder("", []),
    "state": in_folder(lambda f: read_state(written(f, LONG))),
    "state none": in_folder(lambda f: read_state(f / "none.json")),
    "parameters": in_folder(
        lambda f: check_parameters(written(f, '{"cells": [], "metadata": {}, "nbformat": 4,'
                                   '"nbformat_minor": 4}', "a.ipynb"), {LONG: LONG})
    ),
    "student": lambda: without_folded("<details><summary>Solution</summary>", "a.ipynb, cell 1"),
}  # fmt: skip


# What others still have to fix: the call and what is wrong with its message.
def faults(said: str) -> list[str]:
    """What is wrong with a message."""
    found = []
    if len(said) > 300:
        found.append(f"{len(said)} characters")
    if said.count("\n") > 1:
        found.append(f"{said.count(chr(10)) + 1} lines")
    if bad := BAD.search(said.replace(" has shape (", "")):  # arrays have nothing but their shape
        found.append(repr(bad[0]))
    if not FIX.search(said):
        found.append("no fix")
    return found


def message_of(call, folder) -> str:
    with warnings.catch_warnings(), pytest.raises(Exception) as failed:
        warnings.simplefilter("ignore")
        call(folder) if hasattr(call, "in_folder") else call()
    return str(failed.value)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_says_why_in_few_plain_words(name, tmp_path):
    said = message_of(CALLS[name], tmp_path)
    assert not faults(said), said[:500]


def test_there_are_enough_calls():
    assert len(CALLS) >= 60


def test_hints_of_exercises_are_no_shorter_of_words():
    verdict = exercises.Verdict(False, "draw with `rng`")
    assert repr(verdict) == "Not yet: draw with `rng`"


@pytest.mark.parametrize(
    "said",
    [
        "give a list, not np.int64(7)",
        "x" * 301,
        "a\nb\nc; give one",
        "give array([1])",
        "it failed",
    ],
)
def test_planted_faults_of_messages_are_found(said):
    assert faults(said)
