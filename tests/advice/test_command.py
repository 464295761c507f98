"""`ensemble-lab advise`: from files to pages; errors are one line, and nothing is overwritten."""

import json

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab.advice import command
from ensemble_lab.cli import main


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 120
    hard = rng.random(n) < 0.4
    rows = []
    for i in range(n):
        for model, chance, cost in (("small", 0.2 if hard[i] else 0.95, 1), ("big", 0.95, 10)):
            right = rng.random() < chance
            rows.append(
                {"id": f"q{i}", "llm": model, "prediction": "A" if right else "B", "gold": "A",
                 "sure": 0.4 if hard[i] else 0.9, "cost": cost, "user": f"u{i % 30}",
                 "when": f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z"}
            )  # fmt: skip
    return pd.DataFrame(rows)


FLAGS = ["--item", "id", "--model", "llm", "--answer", "prediction", "--truth", "gold",
         "--confidence", "sure"]  # fmt: skip


def run(folder, frame, *words):
    """The exit code of the command on `frame`; the page is page.html."""
    frame.to_csv(folder / "log.csv", index=False)
    return main(["advise", str(folder / "log.csv"), "--out", str(folder / "page.html"), *words])


def test_from_a_log_to_a_page_and_a_policy(frame, tmp_path, capsys):
    assert run(tmp_path, frame, *FLAGS, "--cluster", "user", "--budget", "5") == 0
    printed = capsys.readouterr()
    assert "Advice: " in printed.out and "gold" in printed.out  # how the columns were understood
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "a budget of 5 USD" in page and "All candidates" in page
    policy = lab.load_policy(tmp_path / "page.toml")
    assert isinstance(policy, lab.core.policy.Policy)
    # Again: its own page is replaced.
    assert run(tmp_path, frame, *FLAGS, "--time", "when", "--risk", "0.05") == 0
    assert "In each block of time" in (tmp_path / "page.html").read_text("utf-8")


def test_no_router_learns_from_the_columns_of_the_command(frame, tmp_path, monkeypatch):
    seen = {}
    told = command.advise

    def spied(outcomes, **more):
        seen.update(more, features=dict(outcomes.features))
        return told(outcomes, progress=False, **more)

    monkeypatch.setattr(command, "advise", spied)
    assert run(tmp_path, frame, *FLAGS, "--cluster", "user", "--time", "when") == 0
    assert seen["features"] == {} and seen["cluster"][:2] == ["u0", "u1"]
    assert list(np.diff(seen["time"])) == [60.0] * 119


def test_servers_are_one_number_or_one_for_each_model():
    assert command.servers_from(None) is None and command.servers_from(["4"]) == 4
    assert command.servers_from(["a=b=2", "c=1"]) == {"a=b": 2, "c": 1}


@pytest.mark.parametrize(
    "words, said",
    [(["--budget", "0.1"], "below the cheapest"), (["--risk", "2"], "risk=2"),
     (["--cluster", "nothing"], "nothing"), (["--propensity", "cost"], "cost"),
     (["--rate", "-3"], "rate=-3"), (["--servers", "x"], "--servers 'x'"),
     (["--servers", "2", "--servers", "gold=3"], "one number, or one for each model"),
     (["--servers", "nobody=3"], "nobody"), (["--servers", "0"], "servers=0"),
     (["--graded-rows", "none.csv"], "none.csv"), (["--time", "gold"], "gold")],
)  # fmt: skip
def test_errors_are_one_line(frame, tmp_path, capsys, words, said):
    assert run(tmp_path, frame, *FLAGS, *words) == 1
    error = capsys.readouterr().err.strip()
    assert said in error and error.startswith("ensemble-lab advise: ") and "\n" not in error
    assert not (tmp_path / "page.html").exists()


def test_files_of_others_are_kept(frame, tmp_path, capsys):
    for name in ("page.html", "page.toml"):
        other = tmp_path / name
        other.write_text("mine", "utf-8")
        assert run(tmp_path, frame, *FLAGS) == 1
        assert other.read_text("utf-8") == "mine" and name in capsys.readouterr().err
        other.unlink()
    (tmp_path / "page.html").mkdir()
    assert run(tmp_path, frame, *FLAGS) == 1
    frame.to_csv(tmp_path / "log.csv", index=False)
    for out in ("page.txt", "nowhere/page.html"):
        assert main(["advise", str(tmp_path / "log.csv"), "--out", str(tmp_path / out)]) == 1
    assert main(["advise", str(tmp_path / "none.csv"), "--out", str(tmp_path / "b.html")]) == 1


def test_ctrl_c_keeps_the_policies_that_were_judged(frame, tmp_path, capsys, monkeypatch):
    from ensemble_lab.advice import scores

    judged, calls = scores._Parts.judged, []

    def interrupted(self, candidate):
        calls.append(candidate.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judged(self, candidate)

    monkeypatch.setattr(scores._Parts, "judged", interrupted)
    assert run(tmp_path, frame, *FLAGS) == 130
    assert "stopped early" in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Stopped early: 2 of" in page and calls[0] in page


def test_without_grades_and_back_with_them(frame, tmp_path, capsys):
    bare = frame.drop(columns="gold")
    flags = [word for word in FLAGS if word not in ("--truth", "gold")]
    assert run(tmp_path, bare, *flags, "--rows", "60") == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "No answer is graded" in page and "page.rows.csv" in page
    sheet = pd.read_csv(tmp_path / "page.rows.csv")
    assert len(sheet) == 60 and sheet["truth"].isna().all()
    assert sheet["weight"].sum() == pytest.approx(120)
    # The rows may have grades in them by now: they are not overwritten.
    capsys.readouterr()
    assert run(tmp_path, bare, *flags) == 1 and "page.rows.csv" in capsys.readouterr().err
    file = tmp_path / "graded.csv"
    assert run(tmp_path, bare, *flags, "--graded-rows", str(tmp_path / "page.rows.csv")) == 1
    assert "has no truth" in capsys.readouterr().err
    sheet.assign(truth="A").to_csv(file, index=False)
    assert run(tmp_path, bare, *flags, "--graded-rows", str(file)) == 0
    found = capsys.readouterr().out
    right = (frame["prediction"] == "A").groupby(frame["llm"]).mean()
    for name in ("small", "big"):
        line = next(one for one in found.splitlines() if one.strip().startswith(name + " "))
        accuracy, low, high = map(float, line.split()[1:4])
        assert low < accuracy < high and abs(accuracy - right[name]) < 0.1
    sheet.drop(columns="weight").to_csv(file, index=False)
    assert run(tmp_path, bare, *flags, "--graded-rows", str(file)) == 1


def test_a_log_of_the_chosen_model(frame, tmp_path, capsys):
    rng = np.random.default_rng(1)
    to_big = dict(zip(frame["id"].unique(), rng.random(120) < 0.25))
    log = frame[
        [(model == "big") == to_big[item] for item, model in zip(frame["id"], frame["llm"])]
    ]
    log = log.assign(p=[0.25 if to_big[item] else 0.75 for item in log["id"]])
    assert run(tmp_path, log, *FLAGS) == 1
    assert "only the chosen model" in capsys.readouterr().err
    assert run(tmp_path, log, *FLAGS, "--propensity", "p") == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "effective items" in page and "in the log itself" in page


def test_other_formats(frame, tmp_path):
    names = {"id": "item", "llm": "model", "prediction": "answer", "gold": "truth"}
    plain = frame.rename(columns=names)[["item", "model", "answer", "truth", "cost"]]
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join(map(json.dumps, plain.to_dict("records"))), "utf-8")
    lab.Outcomes.from_frame(plain).to_parquet(tmp_path / "log.parquet")
    plain.to_csv(tmp_path / "semicolons.csv", sep=";", index=False)
    for name in ("log.jsonl", "log.parquet", "semicolons.csv"):
        out = tmp_path / f"{name}.html"
        assert main(["advise", str(tmp_path / name), "--out", str(out)]) == 0 and out.exists()
