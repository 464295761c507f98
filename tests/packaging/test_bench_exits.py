"""What the record of exits compares is one network's answers, and its multiply-adds are counted."""

import numpy as np
import pytest

from benchmarks.parts.exiting import SHARES, WIDTHS, Savers, multiply_adds, multiply_adds_of_exits
from benchmarks.parts.run import load, scripts


def test_multiply_adds_by_hand():
    assert multiply_adds(64, (8, 4), 10) == 64 * 8 + 8 * 4 + 4 * 10
    all_at_the_end = multiply_adds_of_exits(64, (8, 4), 10, [0, 1])
    assert all_at_the_end == 64 * 8 + 8 * 10 + 8 * 4 + 4 * 10  # the early head is computed too
    half = multiply_adds_of_exits(64, (8, 4), 10, [0.5, 0.5])
    assert half == pytest.approx((64 * 8 + 8 * 10 + all_at_the_end) / 2)


def test_all_calls_answer_the_same_rows_and_smaller_ones_cost_less():
    savers = Savers((16, 16, 16, 16), 2, 1)
    for call in savers.calls().values():
        proba = call()
        assert proba.shape == (len(savers.rows), 10)
        np.testing.assert_allclose(proba.sum(1), 1, atol=1e-6)
    costs = savers.multiply_adds()
    assert list(costs) == ["whole", "exits", *(f"width {width}" for width in WIDTHS)]
    assert costs["exits"] < costs["whole"] and costs["width 0.25"] < costs["width 0.5"]
    assert sum(SHARES) == pytest.approx(1)


def test_the_record_has_the_measured_and_the_expected_saving_side_by_side():
    found = load(scripts()["submodels"])["exits-saved"](True)
    assert found["ratio"] == found["by_setting"]["exits"]["ratio"]
    for one in found["by_setting"].values():
        assert one["expected_by_multiply_adds"] >= 1 and one["seconds"] > 0
    assert 0 < found["accuracy_of_the_exits_end"] <= 1
