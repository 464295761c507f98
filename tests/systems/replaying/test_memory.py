"""A million items in the memory of one batch."""

import pytest

from benchmarks.parts.replay import alone, write_partition


def test_a_million_items_need_the_memory_of_a_batch(tmp_path):
    """Peaks of two processes: the same file in parts, and read into one table."""
    for name, items in (("warm", 70_000), ("full", 1_000_000)):
        (tmp_path / name).mkdir()
        write_partition(tmp_path / name / "0.parquet", 0, items)
    parts, whole = (alone(way, tmp_path / "full", tmp_path / "warm") for way in ("parts", "whole"))
    assert parts["items"] == whole["items"] == 1_000_000
    assert parts["accuracy"] == whole["accuracy"]
    assert parts["cost"] == pytest.approx(whole["cost"], rel=1e-12)
    assert parts["added_mb"] < 60 < 150 < whole["added_mb"]
