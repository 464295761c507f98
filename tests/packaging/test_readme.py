"""The README's numbers are what its commands write, and its code runs as it stands."""

import json
import re
import runpy
from pathlib import Path

import pytest

import ensemble_lab as lab
from benchmarks.parts.beside_engines import RECORDS
from ensemble_lab.explorers.explore import EXPLORERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


COMMAND = runpy.run_path(str(ROOT / "benchmarks/results/write_readme.py"))


@pytest.mark.parametrize("path", ["README.md", "docs/measured.md"])
def test_every_number_and_badge_is_the_one_that_the_command_writes(path):
    text = (ROOT / path).read_text()
    assert COMMAND["written"](text) == text


def test_it_is_short():
    assert README.count("\n") <= 200


def test_it_counts_notebooks_and_explorers_and_has_three_pictures():
    assert f"{len(list((ROOT / 'notebooks').glob('*.ipynb')))} notebooks" in README
    assert f"There are {len(EXPLORERS)}." in README
    pictures = re.findall(r"^!\[.{40,}\]\((docs/\w+\.png)\)$", README, re.MULTILINE)
    assert len(pictures) == 3 and all((ROOT / path).is_file() for path in pictures)


def test_every_loss_is_in_the_readme():
    """The records are read anew here; the command's sentences have the ratio in bold."""
    claimed = {(of, record) for of, record, _ in COMMAND["CLAIMS"]}
    losses = README.partition("*Losses.*")[2]
    for name in COMMAND["BENCHMARKS"]:
        for record in json.loads((ROOT / f"benchmarks/results/{name}.json").read_text()):
            if record.get("ratio", 1) < 1:
                assert (name, record["name"]) in claimed
                assert f"{record['ratio']:.3g}" in losses or f"{record['ours']:.3g}" in losses
    assert "slower than" in losses


def test_records_beside_engines_are_in_a_table_of_their_own_and_a_claim_each(monkeypatch):
    known = {r for of, r, _ in COMMAND["CLAIMS"] if of == "speculative" and r in RECORDS}
    assert known == COMMAND["OPTIONAL"] == set(RECORDS)
    other = json.loads((ROOT / "benchmarks/results/speculative.json").read_text())[0]
    record = other | {"name": "overall-vs-openvino", "ours": 8.0, "peer": 10.0, "ratio": 1.25}
    record |= {"peer_is": "an engine (2.0), plain", "peer_build": "AVX2", "draft": "head"}
    record |= {"same_text": {"ours": 0.99, "peer": 0.75}}
    monkeypatch.setitem(COMMAND["engines"].__globals__, "measured", lambda name: [other, record])
    shown = COMMAND["engines"]()
    assert (
        "| `overall-vs-openvino` | 8 ms a token | 10 ms a token | 1.25 | an engine (2.0)" in shown
    )
    assert (
        "ours with head; the target's likeliest: 99.0% of our tokens, 75.0% of the peer's" in shown
    )
    assert "- an engine (2.0): AVX2" in shown
    tables = shown, COMMAND["bench_table"]("speculative")
    assert [[record["name"] in table, other["name"] in table] for table in tables] == [
        [True, False],
        [False, True],
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_badges_and_installation_of_notebooks_name_the_repository(path):
    """The URL in pyproject.toml is the one place where its name is written."""
    owner = COMMAND["slug"]()
    text = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
    places = r"colab\.research\.google\.com/github/|mybinder\.org/v2/gh/|git\+https://github\.com/"
    found = re.findall(rf"(?:{places})([\w.-]+/[\w-]+)", text)
    assert len(found) >= 3 and set(found) == {owner}
    assert f"/github/{owner}/blob/main/notebooks/{path.name})" in text


def test_the_top_badges_and_each_row_of_the_series_have_both_badges():
    rows = re.findall(r"^\| .*\]\(notebooks/([\w.-]+\.ipynb)\).*$", README, re.MULTILINE)
    assert "00_start_here.ipynb" in rows
    for name in rows:
        assert all(badge in README for badge in COMMAND["badges"](name))


def test_the_quickstart_prints_numbers():
    first = r"```text\nask DeepSpeech then Microsoft below confidence 0\.\d+"
    assert re.search(first + r"\ncascade +9\d\.\d\d%", README)


def test_bring_your_own_outcomes_runs_on_a_csv(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = ["item,model,answer,truth,confidence,cost"]
    rows += [
        f"{i},small,{i % 2},1,{0.5 + 0.4 * (i % 2)},0.001\n{i},big,1,1,0.9,0.01" for i in range(8)
    ]
    Path("mine.csv").write_text("\n".join(rows))
    exec(BLOCKS[1], {"lab": lab})
    printed = capsys.readouterr().out
    assert "accuracy 1.0000" in printed  # small is unsure where it is wrong
    assert "pareto" in printed


def test_the_live_block_records_and_runs(tmp_path, monkeypatch):
    """With two stand-ins for the models: those have their own tests against real servers."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def load(source, parse=str.strip):
        def model(question):
            asked.append(source)
            return lab.Reply(parse(" Paris "), confidence=0.9, cost=0.001)

        return model

    monkeypatch.setattr(lab, "load", load, raising=False)
    names = {"lab": lab, "questions": ["What is the capital of France?"], "answers": ["Paris"]}
    exec(BLOCKS[2], names | {"cascade": lab.Cascade(("small", "big"), (0.8,))} | names)
    assert asked[2:] == ["smollm2"]  # two recorded, then one live call: the small model was sure


def test_networks_learn_at_once_and_well(capsys):
    exec(BLOCKS[4], {"lab": lab})
    judged = [float(number) for number in capsys.readouterr().out.split()]
    assert all(0.93 < share < 1 for share in judged) and len(judged) == 2


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:\w+/)*[\w.-]+\.(?:md|json|cff))`", README)))
)
def test_every_file_named_is_there(path):
    assert (ROOT / path).is_file()
