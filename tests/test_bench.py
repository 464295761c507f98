"""Every benchmark runs, and says what the design asks of a record."""

import json

import pytest

from ensemble_lab.bench import load, main, scripts

FIELDS = {"name", "ours", "peer", "ratio", "unit", "device", "versions", "date"}
IN_BROWSER = "slider-browser"  # has its test in tests/browser, which needs Chromium
EVERY = [(name, record) for name, path in scripts().items() for record in load(path)]
EVERY.remove(("explorers", IN_BROWSER))
MOST_GB = 1.5  # what a small Binder gives


@pytest.mark.parametrize(("name", "record"), EVERY)
def test_every_record_runs(name, record, tmp_path):
    path = tmp_path / "new folder" / "out.json"
    assert main(name, record, True, path) == 0
    (found,) = json.loads(path.read_text())
    assert found.keys() >= FIELDS
    assert found["name"] == record
    assert found["ratio"] > 0
    for told in found.get("by_notebook", {}).values():  # the first one; `make bench` runs all
        assert 0 < told["peak_gb"] < MOST_GB


def test_one_record_keeps_the_others_in_the_file(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text('[{"name": "decide", "ours": 1}]')
    main("answers", "threshold-grid", True, path)
    assert [r["name"] for r in json.loads(path.read_text())] == ["decide", "threshold-grid"]


def test_budget_cascades_are_at_least_as_accurate_as_brute_force(tmp_path):
    path = tmp_path / "answers.json"
    main("answers", "budget-cascade-vs-numpy-brute", True, path)
    (found,) = json.loads(path.read_text())
    assert found["ours_found"]["train_accuracy"] >= found["brute_found"]["train_accuracy"]
    assert found["ours_found"]["train_cost_over_budget"] <= 1 + 1e-9


def test_unknown_names_are_offered_the_nearest(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'answers'"):
        main("answer", None, True, tmp_path / "x.json")
    with pytest.raises(KeyError, match="did you mean 'decide'"):
        main("answers", "decides", True, tmp_path / "x.json")
