"""`own_data` runs to its end on logs without grades, tokens or prices, and says so."""

import contextlib
import io
import warnings

import nbformat
import numpy as np
import pytest

import ensemble_lab as lab
from tests.support.processes import ROOT

CELLS = [c for c in nbformat.read(ROOT / "notebooks/own_data.ipynb", as_version=4).cells
         if c.cell_type == "code"]  # fmt: skip
SMALL = ["gemma-2-9b-it", "Mistral-Nemo-Instruct-2407"]
MIDDLE, BIG = "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022"
NOT_GRADED = "No answer here is graded"


def log():
    """120 rows an item and model, with grades, tokens, prices and waits."""
    table = lab.load_outcomes("gsm8k-44-llms").select(models=[*SMALL, MIDDLE, BIG]).take(range(120))
    frame = table.to_frame()[["item", "model", "answer", "truth", "tokens"]]
    return frame.assign(cost=frame["tokens"] * 1e-6, latency=frame["tokens"] / 60)


def ran(tmp_path, frame, **parameters):
    """What the code cells print on this log, and the names that they leave."""
    frame.to_csv(tmp_path / "log.csv", index=False)
    names = {"lab": lab}
    models = {"path": str(tmp_path / "log.csv"), "small": SMALL, "middle": MIDDLE, "big": BIG}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # such as a mean of nothing
        for cell in CELLS:
            if cell.id == "bootstrap":
                continue
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= models | parameters
    return printed.getvalue(), names


def columns(names):
    return list(names["compared"](names["outcomes"]).dropna(axis=1, how="all"))


def test_a_whole_log(tmp_path):
    text, names = ran(tmp_path, log())
    assert NOT_GRADED not in text and "nan" not in text
    assert "difference from all grades" in text and "in one log" in text
    assert "Advice: " in text and "20 of 20 requests are answered as in the replay" in text
    assert "right (%)" in columns(names) and "USD per 10,000" in columns(names)


def test_a_log_without_grades(tmp_path):
    frame = log().drop(columns="truth")
    text, names = ran(tmp_path, frame)
    assert NOT_GRADED in text and "nan" not in text
    assert "right (%)" not in columns(names) and "USD per 10,000" in columns(names)
    answers = frame.pivot(index="item", columns="model", values="answer").astype(str)
    differ = (answers[MIDDLE] != answers[BIG]).sum()
    assert f"rows to grade: {differ} of 120" in text
    assert f"of these {differ} have no grades yet" in text
    assert f"d is at most {differ / 120:.3f}" in text
    assert "such a log cannot be made from yours" in text
    assert "no advice: no answer here is graded" in text and "no policy was advised" in text


def test_grades_of_the_rows_that_differ_are_enough(tmp_path):
    """Rows on which the two answer alike need no grade, and the difference is the same."""
    whole, _ = ran(tmp_path, log())
    answers = log().pivot(index="item", columns="model", values="answer").astype(str)
    alike = answers.index[answers[MIDDLE] == answers[BIG]]
    frame = log()
    frame.loc[frame["item"].isin(alike), "truth"] = np.nan
    text, _ = ran(tmp_path, frame)
    said = [line for line in whole.splitlines() if "difference from these grades" in line]
    assert said and said[0] in text
    assert "difference from all grades" not in text


@pytest.mark.parametrize("given", ["prices", "speeds"])
def test_prices_or_speeds_without_tokens(tmp_path, given):
    frame = log().drop(columns=["tokens", "cost", "latency"])
    text, names = ran(tmp_path, frame, **{given: dict.fromkeys([*SMALL, MIDDLE, BIG], 1.0)})
    assert "This log has no tokens" in text and "nan" not in text
    assert columns(names) == ["calls an item", "right (%)"]
    assert "what a call costs is not known here" in text


def test_costs_of_its_own_without_tokens(tmp_path):
    text, names = ran(tmp_path, log().drop(columns="tokens"), prices=dict.fromkeys(SMALL, 1.0))
    assert "This log has no tokens" in text and "the cascade saves a tenth where" in text
    assert "USD per 10,000" in columns(names)


def test_a_price_for_some_models(tmp_path):
    text, _ = ran(tmp_path, log(), prices=dict.fromkeys(SMALL, 1.0))
    assert "what a call costs is not known here" in text and "nan" not in text


def test_neither_grades_nor_prices_nor_times(tmp_path):
    text, names = ran(tmp_path, log()[["item", "model", "answer"]])
    assert NOT_GRADED in text and "nan" not in text
    assert columns(names) == ["calls an item"]


def test_two_models_that_are_nearly_alike(tmp_path):
    frame = log()
    alike = frame["model"].isin([MIDDLE, BIG])
    frame.loc[alike, "answer"] = frame.loc[alike, "truth"]
    text, _ = ran(tmp_path, frame)
    assert f"{MIDDLE}: d = 0.000, so it cannot be 3 points from {BIG}" in text
    assert "nothing to look for" in text


def test_each_model_answered_other_items(tmp_path):
    frame = log()
    models = [*SMALL, MIDDLE, BIG]
    frame = frame[frame["item"].map({name: i % 2 for i, name in enumerate(frame["item"].unique())})
                  == frame["model"].map(models.index) // 3]  # fmt: skip
    text, _ = ran(tmp_path, frame)
    assert f"{MIDDLE}: never asked about an item of {BIG}, so d is not known" in text
    assert "rows to grade: 0 of 0" in text


def test_a_misspelt_model_in_the_prices_is_refused(tmp_path):
    with pytest.raises(KeyError, match="did you mean"):
        ran(tmp_path, log(), prices={BIG[:-1]: 1.0})
