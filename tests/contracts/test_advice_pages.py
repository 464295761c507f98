"""Grading, logs of the chosen model, pages and saved policies: any form, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet
from tests.contracts.test_advice import table


def answered(n=60):
    rng = np.random.default_rng(0)
    answer = rng.integers(0, 2, (n, 2))
    return lab.Outcomes(models=["a", "b"], items=[f"q{i}" for i in range(n)], answer=answer,
                        labels=["no", "yes"], correct=answer.astype(float))  # fmt: skip


@contract("rows_to_grade", "accuracy_from_grades")
def test_rows_come_from_any_table_and_go_back_in_any_order():
    known = answered()
    rows = lab.rows_to_grade(known, np.int64(20), seed=np.int64(3))
    true = lab.accuracy_from_grades(known, rows)
    again = lab.accuracy_from_grades(known, rows.sample(frac=1, random_state=0))
    assert np.allclose(true.iloc[:, 1:], again.iloc[:, 1:])
    assert set(rows["item"]) <= set(known.items.tolist())
    collected(
        {f"outcomes {x!r}": lambda x=x: lab.rows_to_grade(x) for x in (None, "t.csv", 3)}
        | {f"rows {x!r}": lambda x=x: lab.rows_to_grade(known, x) for x in (0, 1, "9", 2.0, None)}
        | {f"seed {x!r}": lambda x=x: lab.rows_to_grade(known, 9, x) for x in (-1, "1", 0.5)}
        | {"no answers": lambda: lab.rows_to_grade(table())}
        | {f"sheet {x!r}": lambda x=x: lab.accuracy_from_grades(known, x)
           for x in (None, 3, "rows.csv", {"item": []}, [["q0", 1, 0]], rows.head(0),
                     rows.drop(columns="weight"), rows.assign(item="?"), rows.assign(weight=0.0))}
    )  # fmt: skip


@contract("accuracy_from_choices")
def test_propensities_come_in_any_form():
    rng = np.random.default_rng(0)
    known = table(200)
    second = rng.random(200) < 0.5
    asked = np.stack([~second, second], axis=1)
    log = lab.Outcomes(models=known.models, items=known.items,
                       correct=np.where(asked, known.correct, math.nan))  # fmt: skip
    chance = np.full(200, 0.5)
    true = lab.accuracy_from_choices(log, chance)
    for keep in (list, tuple, pd.Series, pl.Series, lambda x: x.astype(np.float32)):
        with quiet():
            assert lab.accuracy_from_choices(log, keep(chance)).equals(true)
    wrong = [
        None,
        3,
        "p",
        [0.5],
        [2.0] * 200,
        [0.0] * 200,
        [math.nan] * 200,
        ["x"] * 200,
        [1] * 200,
    ]
    collected(
        {f"propensity {x!r:.20}": lambda x=x: lab.accuracy_from_choices(log, x) for x in wrong}
        | {"no outcomes": lambda: lab.accuracy_from_choices(None, chance)}
        | {"every model": lambda: lab.accuracy_from_choices(known, chance)}
        | {f"policies {x!r}": lambda x=x: lab.accuracy_from_choices(log, chance, {"p": x})
           for x in ("vote", 3, lab.MajorityVote, lab.Cascade(("small", "big"), (0.5,)))}
        | {f"estimate {x!r}": lambda x=x: lab.accuracy_from_choices(log, chance, estimate=x)
           for x in (None, "ips", 0, ["doubly robust"], "doubly robust")}
        | {f"predicted {x!r:.20}": lambda x=x: lab.accuracy_from_choices(
               log, chance, estimate="doubly robust", predicted=x)
           for x in ("mean", 0.5, [0.5, 0.5], [[math.nan, 0.5]] * 200, [["a", "b"]] * 200)}
        | {"not used": lambda: lab.accuracy_from_choices(log, chance, predicted=known.correct)}
    )  # fmt: skip


@contract("write_advice", "save_advised")
def test_pages_and_policies_go_to_files(tmp_path):
    advice = lab.advise(table(100), progress=False)
    for path in (tmp_path / "a.html", str(tmp_path / "b.html")):
        assert Path(lab.write_advice(advice, path)).read_text("utf-8").startswith("<!DOCTYPE html>")
    for path in (tmp_path / "a.toml", str(tmp_path / "b.toml")):
        files = lab.save_advised(advice.policy, path, advice.outcomes)
        one, other = (p.decide(advice.outcomes) for p in (advice.policy, lab.load_policy(files[0])))
        assert one.chosen.tolist() == other.chosen.tolist()
    save = lambda p, at: lab.save_advised(p, at, advice.outcomes)  # noqa: E731
    collected(
        {f"policy {x!r}": lambda x=x: save(x, tmp_path / "c.toml")
         for x in (None, "vote", lab.MajorityVote, lab.core.policy.Policy)}
        | {f"path {x!r}": lambda x=x: save(advice.policy, x)
           for x in ("policy.json", "", tmp_path, None, 3)}
        | {"outcomes": lambda: lab.save_advised(advice.policy, tmp_path / "c.toml", None)}
        | {f"advice {x!r}": lambda x=x: lab.write_advice(x, tmp_path / "c.html")
           for x in (None, "advice", table())}
    )  # fmt: skip
    assert not (tmp_path / "c.toml").exists() and not (tmp_path / "c.html").exists()


@contract("load_learner", "save_advised")
def test_learners_come_from_files_of_save_advised(tmp_path):
    known, path = table(30), tmp_path / "a.toml"
    files = lab.save_advised(lab.UCB1(), str(path), known)
    for there in (path, str(path)):
        learner = lab.load_learner(there)
        assert learner.models == known.models and learner.last == 29
        assert learner.choose({}, 30) == lab.UCB1().learned(known).choose({}, 30)
    other = tmp_path / "b.toml"
    other.write_text("[policies.advised]\nkind = 'UCB1'\n", "utf-8")
    binary = tmp_path / "c.toml"
    binary.write_bytes(b"\xff\x00")
    collected(
        {f"path {x!r}": lambda x=x: lab.load_learner(x)
         for x in (None, 3, "none.toml", tmp_path, files[1], other, binary)}
        | {"online without state": lambda: lab.save_advised(lab.FollowTheLeader(), path, known)}
        | {"a class": lambda: lab.save_advised(lab.UCB1, path, known)}
    )  # fmt: skip


def log_of_two(n=200, models=("small", "big"), **changed):
    """A log in which a fair coin chose one of two models, and its propensities."""
    known = table(n)
    second = np.random.default_rng(0).random(n) < 0.5
    correct = np.where(np.stack([~second, second], axis=1), known.correct, math.nan)
    correct = np.column_stack([correct, *[np.full(n, math.nan)] * (len(models) - 2)])
    chance = np.full(n, 0.5)
    for row, value in changed.items():
        chance[int(row[1:])] = value
    return lab.Outcomes(models=models, items=range(n), correct=correct), chance


@contract("accuracy_from_choices")
def test_propensities_as_users_of_bandit_logs_have_them():
    """As reported to libraries that weigh logs: 0, almost 0, a little above 1, percent, logarithms.

    Their reports end in infinite weights, NaN without a word, or clipping in silence.
    """
    log, chance = log_of_two()
    refusals = {"correct the log": (0.0, 1e-300, math.nan), "exponential": (-0.7, -math.inf),
                "divide percentages": (1.00001, 50, math.inf)}  # fmt: skip
    for fix, values in refusals.items():
        for value in values:
            with pytest.raises(ValueError, match=f"item 3 is .*{fix}"):
                lab.accuracy_from_choices(log, log_of_two(r3=value)[1])
    with quiet():  # a softmax in 32 bits
        rounded = lab.accuracy_from_choices(log, log_of_two(r3=1 + 2e-7)[1])
        assert rounded.equals(lab.accuracy_from_choices(log, log_of_two(r3=1.0)[1]))
    with quiet() as said:  # finite whatever the scale, and said
        rare = lab.accuracy_from_choices(log, log_of_two(r3=1e-90)[1])
    assert np.isfinite(rare.iloc[:, 1:]).all(axis=None) and len(said) == 1
    assert "stands for 1e+90" in str(said[0].message)
    with quiet():
        scaled = lab.accuracy_from_choices(log, np.where(np.arange(200) % 2, 0.5, 0.02))
    weight = np.where(np.arange(200) % 2, 2.0, 50.0)
    for j, name in enumerate(log.models):  # the plain formula
        seen = ~np.isnan(log.correct[:, j])
        mean = np.average(log.correct[seen, j], weights=weight[seen])
        assert scaled.set_index("model").loc[name, "accuracy"] == pytest.approx(mean)
        share = weight[seen].sum() / 200
        assert scaled.set_index("model").loc[name, "share"] == pytest.approx(share)
    collected({  # probabilities of all models, and a frame, are not one number for each item
        "all": lambda: lab.accuracy_from_choices(log, np.stack([chance, chance], axis=1)),
        "frame": lambda: lab.accuracy_from_choices(log, pd.DataFrame({"p": chance})),
    })  # fmt: skip


@contract("accuracy_from_choices")
def test_a_model_that_the_router_never_chose_is_unknown_and_said():
    log, chance = log_of_two(models=("small", "big", "new"))
    with quiet() as said:
        found = lab.accuracy_from_choices(log, chance).set_index("model")
    assert np.isnan(found.loc["new", "accuracy"]) and found.loc["new", "items"] == 0
    assert [str(one.message) for one in said] == [
        "new: it was never chosen, so this log says nothing of it"
    ]


@contract("rows_to_grade", "accuracy_from_grades")
def test_a_sheet_that_went_through_a_table_program_comes_back_whole(tmp_path):
    """Text instead of numbers, other types of items, lost rows: as tools return them."""
    known = answered()
    rows = lab.rows_to_grade(known, 20)
    true = lab.accuracy_from_grades(known, rows)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    for read in (pd.read_csv, lambda path: pd.read_csv(path, dtype=str)):
        again = lab.accuracy_from_grades(known, read(tmp_path / "rows.csv"))
        assert np.allclose(again.iloc[:, 1:], true.iloc[:, 1:])
    numbered = lab.Outcomes(models=["a", "b"], items=range(60), answer=known.answer,
                            labels=["no", "yes"], correct=known.correct)  # fmt: skip
    sheet = lab.rows_to_grade(numbered, 20)
    with pytest.raises(KeyError, match="there in another type"):
        lab.accuracy_from_grades(numbered, sheet.assign(item=sheet["item"].astype(str)))
    with pytest.raises(ValueError, match="the rows stand for .* of 60 items"):
        lab.accuracy_from_grades(numbered, sheet.iloc[:-5])
    # A table of the graded rows alone is enough: the weights know of the others.
    graded = numbered.take(np.flatnonzero(np.isin(numbered.items, sheet["item"])))
    alone = lab.accuracy_from_grades(graded, sheet)
    assert np.allclose(alone.iloc[:, 1:], lab.accuracy_from_grades(numbered, sheet).iloc[:, 1:])


@contract("save_advised")
def test_an_advice_is_not_its_policy(tmp_path):
    advice = lab.advise(table(60), progress=False)
    for thing in (advice, advice.candidates[0]):
        with pytest.raises(ValueError, match=r"has a policy; give its policy: \.policy"):
            lab.save_advised(thing, tmp_path / "a.toml", advice.outcomes)
    lab.save_advised(advice.policy, tmp_path / "a.toml", advice.outcomes)
