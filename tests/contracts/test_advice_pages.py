"""Grading, logs of the chosen model, pages and saved policies: any form, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

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
