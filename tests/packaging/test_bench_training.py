"""What the benchmark of the training level compares is alike, and it says what it lacks."""

import sys

import pytest

from benchmarks.parts.run import load, main, scripts
from benchmarks.parts.training_peers import Task, accuracy, digits
from ensemble_lab.reports.request import RequestError


@pytest.mark.parametrize("side", ["ours", "loop", "torchensemble"])
def test_each_side_trains_all_members_to_tell_digits_apart(side, capfd):
    if side == "torchensemble":
        pytest.importorskip("torchensemble", reason="pip install --no-deps torchensemble")
    predict_proba = getattr(Task(3, 4), side)(0)
    _, held_out, _, _ = digits()
    assert predict_proba(held_out).shape == (len(held_out), 10)
    assert abs(predict_proba(held_out).sum(1) - 1).max() < 1e-5
    assert accuracy(predict_proba) > 0.9
    assert capfd.readouterr().out == ""


def test_without_its_peer_it_says_how_to_have_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchensemble", None)
    path = tmp_path / "x.json"
    with pytest.raises(RequestError, match="pip install --no-deps torchensemble"):
        main("training", "bagging-vs-torchensemble", True, path)
    assert not path.exists()


def test_where_batching_pays_is_read_off_the_costs():
    found = load(scripts()["training"])["cost-of-members"](True)
    costs = {int(m): cost for m, cost in found["seconds_a_member"].items()}
    assert list(costs) == [1, 2, 4]
    assert found["ours"] == min(costs.values())
    assert costs[found["batching_pays_up_to"]] <= 1.1 * found["ours"]
