"""Partitions of a table with two models, made quickly, and what a replay of them takes."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import ensemble_lab as lab

EACH = 1_000_000  # items a file
POLICY = lab.Cascade(("small", "big"), (0.7,))
ABOUT = {
    "version": 1,
    "models": ["small", "big"],
    "labels": list("ABCD"),
    "cost_is_estimated": False,
    "model_group": None,
    "json": [],
}


def write_partition(path, number, items=EACH):
    """One file of the table, as `Outcomes.to_parquet` writes it, but compressed less."""
    rng = np.random.default_rng(number)
    truth = rng.integers(0, 4, items, dtype=np.int8)
    columns = {"item": np.arange(items) + number * items, "truth": truth}
    for j, (rate, price) in enumerate(((0.7, 2e-7), (0.9, 4e-6))):
        right = rng.random(items, np.float32) < rate
        answer = np.where(right, truth, (truth + 1) % 4).astype(np.int8)
        columns |= {
            f"correct:{j}": right.astype(float),
            f"answer:{j}": answer,
            f"confidence:{j}": rng.integers(0, 256, items) / 256,
            f"cost:{j}": price * rng.integers(50, 500, items),
            f"latency:{j}": rng.integers(1, 400, items) / 100,
        }
    about = json.dumps(ABOUT).encode()
    table = pa.table(columns).replace_schema_metadata({b"ensemble_lab": about})
    pq.write_table(table, path, compression="zstd", compression_level=1)


def peak():
    """The most memory that this process has had, in MB.

    Linux says it in its status: `getrusage` begins at what the parent had when it forked.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: in bytes
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024


def measured(way, folder):
    """Seconds, items and MB added to this process by one way of replaying a folder's files."""
    files = sorted(Path(folder).glob("*.parquet"))
    start, before = time.perf_counter(), peak()
    if way == "parts":
        found = lab.replay(POLICY, files, progress=False)
        items, accuracy, cost = found.items, found.accuracy, found.mean_cost
    elif way == "whole":
        (file,) = files
        found = POLICY.decide(lab.Outcomes.read(file))
        items, accuracy, cost = len(found), found.accuracy, found.mean_cost
    else:  # the files are read and nothing is done with them
        items = sum(
            batch.num_rows
            for file in files
            for batch in pq.ParquetFile(file, buffer_size=2**20).iter_batches(
                2**16, use_threads=False
            )
        )
        accuracy = cost = None
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "items": items,
        "added_mb": peak() - before,
        "accuracy": accuracy,
        "cost": cost,
    }


def alone(way, folder, warm):
    """`measured` in its own process, after a small table was replayed the same way."""
    work = [sys.executable, "-m", "benchmarks.parts.replay", way, str(folder), str(warm)]
    done = subprocess.run(work, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


if __name__ == "__main__":
    way, folder, warm = sys.argv[1:]
    measured(way, warm)  # imports, and buffers that stay
    print(json.dumps(measured(way, folder)))
