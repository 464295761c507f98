"""The benchmark of coverage counts what it says, on draws with a known answer."""

import numpy as np
import pytest

from benchmarks.advise import goal_reached
from benchmarks.parts import covering, draws
from benchmarks.parts.covering import TABLES
from ensemble_lab.advice.selection import Estimate


def test_an_interval_is_made_narrower_and_holds_or_not():
    promise = Estimate(0.70, 0.60, 0.80)
    assert covering._kept(promise, 0.64, 1.0)["covered"]
    half = covering._kept(promise, 0.64, 0.5)
    assert not half["covered"] and half["width"] == pytest.approx(0.1)
    assert half["error"] == pytest.approx(0.06)
    assert covering._kept(Estimate(2.0, 2.0, 2.0), 2.0 + 1e-12, 0.5)["covered"]


def test_the_summary_by_hand():
    one = {"accuracy": {"error": 0.01, "covered": True, "width": 0.1, "truth": 0.7},
           "cost": {"error": 0.2, "covered": False, "width": 1.0, "truth": 2.0},
           "others": {"error": 0.04, "covered": False, "width": 0.1, "truth": 0.6},
           "winner": 0.03, "naive": 0.05, "luck": 0.0}  # fmt: skip
    two = one | {"accuracy": one["accuracy"] | {"error": 0.03, "covered": False}}
    found = draws.summed([one, two])
    assert found["draws"] == 2 and found["coverage_accuracy"] == 0.5 and found["coverage_cost"] == 0
    assert found["points_too_high"] == [2.0, 1.0] and found["points_too_high_naive"] == [5.0, 0.0]
    assert found["points_too_high_other_rows"] == [4.0, 0.0] and found["coverage_other_rows"] == 0
    assert found["cost_error_percent"] == [10.0, 0.0] and found["width_points"] == 10.0


def test_draws_are_kept_and_ctrl_c_returns_those_of_every_table(tmp_path, monkeypatch):
    made = []

    class Here:
        """A pool that works in this process, and is interrupted after five draws."""

        def __init__(self, workers):
            pass

        def shutdown(self, **how):
            pass

    def done(working, make, left):
        for key in left:
            if len(made) == 5:
                raise KeyboardInterrupt
            made.append(key)
            yield {"table": key[0], "n": key[1], "draw": key[2]}

    monkeypatch.setattr(draws, "version", lambda tables: "one")
    monkeypatch.setattr(draws, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(draws, "_done", done)
    monkeypatch.setattr(draws.tempfile, "gettempdir", lambda: str(tmp_path))
    first = draws.all_draws(("a", "b"), (10,), 4)
    assert [one["draw"] for one in first] == [0, 0, 1, 1]
    monkeypatch.setattr(draws, "_done", lambda working, make, left: iter(
        {"table": t, "n": n, "draw": d} for t, n, d in left))  # fmt: skip
    assert len(draws.all_draws(("a", "b"), (10,), 4)) == 8 and len(made) == 5


def test_the_trial_has_sixteen_candidates_and_knows_the_truth():
    one = covering.in_trial("rafdb-services", 300, 0)
    assert one["candidates"] == 16 and one["chosen"]
    table = covering.whole("rafdb-services")
    truth = one["accuracy"]["truth"]
    assert table.accuracy().max() - 0.1 < truth < table.oracle()
    assert one["winner"] != one["accuracy"]["error"] != one["naive"]
    assert covering.in_trial("rafdb-services", 300, 0) == one  # a draw is the same again


def test_luck_of_the_draws_is_taken_out():
    """Errors that are luck and a bias of 2: without the luck the bias is left, and no spread."""
    luck = np.array([-1.0, 0.5, 1.0])
    assert np.allclose(draws.without(luck, 3 * luck + 2), 2)
    assert np.allclose(draws.without(np.zeros(3), luck), luck)


def test_luck_is_what_models_do_on_the_drawn_rows_more_than_on_others():
    one = covering.in_trial("rafdb-services", 300, 1)
    table = covering.whole("rafdb-services")
    rows = covering._rows(table, 300, 1)
    inside = np.isin(np.arange(len(table)), rows)
    right = np.asarray(table.correct)
    assert one["luck"] == pytest.approx(right[inside].mean() - right[~inside].mean())


def test_a_version_is_the_code_that_decides_and_what_it_does(monkeypatch):
    first = draws.version(TABLES[:1])
    assert draws.version(TABLES[:1]) == first
    same = "x = 1\n\n\ndef f():\n    return x\n"
    told = '"""Words."""\n\nx = 1  # one\n\n\ndef f():\n    """More."""\n    return x\n'
    assert draws._bare(same) == draws._bare(told) != draws._bare(same.replace("1", "2"))
    monkeypatch.setattr(draws.pool, "candidates", lambda outcomes: ())
    changed = draws.version(TABLES[:1])
    assert changed != first
    monkeypatch.setattr(draws.covering, "drawn", lambda *key: {})
    assert draws.version(TABLES[:1]) not in (first, changed)


def test_the_goal_says_where_it_is_missed():
    good = {"coverage_accuracy": 0.95, "points_too_high": [0.2, 0.1],
            "coverage_other_rows": 0.95, "points_too_high_other_rows": [-0.2, 0.1]}  # fmt: skip
    wide, high = good | {"coverage_other_rows": 0.99}, good | {"points_too_high": [0.4, 0.1]}
    told = goal_reached(good, {"a": good, "b": wide, "c": high})
    assert told.endswith(
        "on the whole table reached together and in 2 of 3 tables and sizes;"
        " on the other rows reached together and in 2 of 3 tables and sizes"
    )
    assert "on the whole table missed together" in goal_reached(high, {"c": high})
