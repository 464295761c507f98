"""A replay over partitions beside the same decision on one table, and on 100 million items.

It needs 1 GB in the temporary folder.
"""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.parts.compare import record
from benchmarks.parts.replay import EACH, alone, write_partition

ROUNDS = 5


def replay_rows(quick):
    """Items a second of two models, and the memory that they take."""
    each, files, rounds = (20_000, 2, 2) if quick else (EACH, 100, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder) / name for name in ("warm", "one", "all")}
        for place in places.values():
            place.mkdir()
        write_partition(places["warm"] / "0.parquet", 0, min(each, 70_000))
        write_partition(places["one"] / "0.parquet", 0, 2 * each)
        pairs = []
        for turn in range(rounds):
            ways = ("parts", "whole")[:: 1 if turn % 2 else -1]
            pairs.append({way: alone(way, places["one"], places["warm"]) for way in ways})
        for number in range(files):
            write_partition(places["all"] / f"{number:03}.parquet", number, each)
        everything = alone("parts", places["all"], places["warm"])
        reading = alone("read", places["all"], places["warm"])
        size = sum(path.stat().st_size for path in places["all"].iterdir())
    rates = [{way: one["items"] / one["seconds"] for way, one in pair.items()} for pair in pairs]
    ratios = [rate["parts"] / rate["whole"] for rate in rates]
    return record(
        "replay-rows",
        median(rate["parts"] for rate in rates),
        median(rate["whole"] for rate in rates),
        "items/s",
        higher_is_better=True,
        goal="100 million items of two models in less memory than their table takes",
        peer_is="Outcomes.read and decide on the same file in one table",
        spread=[round(min(ratios), 3), round(max(ratios), 3)],
        items=2 * each,
        added_mb={way: round(median(p[way]["added_mb"] for p in pairs), 1) for way in pairs[0]},
        same_accuracy=all(p["parts"]["accuracy"] == p["whole"]["accuracy"] for p in pairs),
        difference_of_costs=max(abs(p["parts"]["cost"] / p["whole"]["cost"] - 1) for p in pairs),
        in_partitions={
            "items": everything["items"],
            "files": files,
            "gb_on_disk": round(size / 1e9, 3),
            "seconds": round(everything["seconds"], 1),
            "items_per_second": round(everything["items"] / everything["seconds"]),
            "added_mb": round(everything["added_mb"], 1),
            "items_per_second_only_read": round(reading["items"] / reading["seconds"]),
        },
    )


RECORDS = {"replay-rows": replay_rows}
"""Name -> measurement; `quick` uses smaller inputs."""
