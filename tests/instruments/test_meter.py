"""Meter and side-by-side comparisons."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from benchmarks.parts.compare import record, side_by_side
from ensemble_lab.instruments import Meter

MB = 10**6


def test_flops_of_a_product_are_exact():
    m, n, k = 7, 11, 13
    with Meter(flops=True) as meter:
        torch.ones(m, k) @ torch.ones(k, n)
    assert meter.flops == 2 * m * n * k
    with Meter() as meter:
        torch.ones(m, k) @ torch.ones(k, n)
    assert meter.flops is None


def test_seconds_cover_the_block_and_nothing_before():
    time.sleep(0.05)
    with Meter() as meter:
        time.sleep(0.1)
    assert meter.seconds >= 0.1  # sleep never returns early
    first = meter.seconds
    with meter:
        pass
    assert meter.seconds < first


def test_peak_memory_sees_what_was_freed_again():
    with Meter() as idle:
        pass
    with Meter() as meter:
        block = np.ones(200 * MB, dtype=np.uint8)
        time.sleep(0.05)  # ten looks
        del block
    assert meter.peak_memory - idle.peak_memory > 150 * MB
    with Meter() as after:
        pass
    assert meter.peak_memory - after.peak_memory > 150 * MB


def test_counts_add_up_and_start_again():
    with Meter() as meter:
        meter.count(tokens=5, cost=0.25)
        meter.count(tokens=7)
        meter.count(cost=0.5)
    assert (meter.tokens, meter.cost) == (12, 0.75)
    with meter:
        meter.count(tokens=1)
    assert (meter.tokens, meter.cost) == (1, 0.0)


def test_an_error_passes_through_measured():
    with pytest.raises(KeyError), Meter(flops=True) as meter:
        time.sleep(0.01)
        raise KeyError("mine")
    assert meter.seconds >= 0.01
    assert meter.peak_memory > 0


def test_unknown_device_is_named():
    with pytest.raises(ValueError, match=r"no clock for device 'tpu'; use 'cpu'"), Meter("tpu"):
        pass


def test_cpu_needs_no_torch_and_no_psutil():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['psutil'] = None\n"
        "from ensemble_lab.instruments import Meter\n"
        "with Meter() as meter: meter.count(tokens=3)\n"
        "assert meter.seconds > 0 and meter.tokens == 3 and meter.peak_memory is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_side_by_side_alternates_after_a_warm_up():
    calls = []

    def quick():
        calls.append("ours")
        time.sleep(0.002)

    def slow():
        calls.append("peer")
        time.sleep(0.02)

    both = side_by_side(quick, slow, repeats=5)
    assert calls[:6] == ["ours", "peer", "ours", "peer", "peer", "ours"]
    assert calls.count("ours") == calls.count("peer") == 6
    assert both.ratio == both.peer / both.ours > 1
    assert both.spread[0] <= both.spread[1]
    assert side_by_side(slow, quick, repeats=3).ratio < 1
    assert side_by_side(quick, quick, repeats=1).repeats == 1
    with pytest.raises(ValueError, match="repeats=0 times nothing"):
        side_by_side(quick, slow, repeats=0)


def test_record_has_the_designs_fields_and_above_one_is_ours():
    made = record("decide", ours=0.5, peer=2.0, unit="s", spread=[3.0, 5.0])
    fields = ["name", "ours", "peer", "ratio", "unit", "device", "versions", "date", "spread"]
    assert list(made) == fields
    assert made["ratio"] == 4.0
    assert record("a", 0.9, 0.6, "accuracy", higher_is_better=True)["ratio"] == pytest.approx(1.5)
    assert made["versions"]["numpy"] == np.__version__
    assert made["versions"]["torch"] == torch.__version__
    assert "cores" in made["device"]
    assert len(made["date"]) == 10
