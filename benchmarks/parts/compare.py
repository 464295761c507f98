"""Ours against a peer in one run, and the record that a benchmark writes about it."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from ensemble_lab.instruments.meter import Meter

# Reported when the benchmark used them, that is, when they are imported.
PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "sklearn", "torch", "transformers")
DISTRIBUTION = {"sklearn": "scikit-learn"}


@dataclass(frozen=True)
class Comparison:
    """Two callables timed side by side.

    Parameters
    ----------
    ours, peer
        Median seconds of one call.
    ratio
        `peer / ours`: above 1 ours is quicker.
    spread
        Smallest and largest ratio among the rounds.
    repeats
        Rounds timed.
    """

    ours: float
    peer: float
    ratio: float
    spread: tuple[float, float]
    repeats: int


def side_by_side(
    ours: Callable[[], Any], peer: Callable[[], Any], repeats: int = 5, device: str = "cpu"
) -> Comparison:
    """Time two callables in turn, after one warm-up call each.

    They alternate, and the first one alternates too, so that a machine that warms up or is
    disturbed in the middle affects both equally.

    Raises
    ------
    ValueError
        `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats} times nothing; use 5 or more for a median")
    ours(), peer()
    times: dict[Callable, list[float]] = {_Timed(ours): [], _Timed(peer): []}
    mine, theirs = times
    for i in range(repeats):
        for call in (mine, theirs) if i % 2 == 0 else (theirs, mine):
            times[call].append(call(device))
    rounds = [p / o for o, p in zip(times[mine], times[theirs], strict=True)]
    o, p = median(times[mine]), median(times[theirs])
    return Comparison(o, p, p / o, (min(rounds), max(rounds)), repeats)


class _Timed:
    """One of the two callables (an object of its own, so that both may be the same function)."""

    def __init__(self, call: Callable[[], Any]):
        self._call = call

    def __call__(self, device: str) -> float:
        with Meter(device) as meter:
            self._call()
        return meter.seconds


def record(
    name: str,
    ours: float,
    peer: float,
    unit: str,
    device: str = "cpu",
    higher_is_better: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Build one benchmark record.

    Parameters
    ----------
    name
        What was measured.
    ours, peer
        The two figures, in `unit`.
    device
        Device the figures were taken on; its model name is looked up.
    higher_is_better
        False for times and costs, True for accuracies and throughputs.
    **more
        Further JSON fields, such as the spread.

    Returns
    -------
    dict
        `name, ours, peer, ratio, unit, device, versions, date`; a `ratio` above 1 means that ours
        is better.
    """
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "ratio": ours / peer if higher_is_better else peer / ours,
        "unit": unit,
        "device": device_name(device),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **more,
    }


def device_name(device: str = "cpu") -> str:
    """Model name of a device, with the CPU's count of logical cores that this process may use."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    if str(device).startswith("mps"):
        return f"Apple {platform.machine()} GPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_cpu_model()}, {cores} cores"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Version of Python, of this package and of each imported package that matters."""
    found = {"python": platform.python_version()}
    used = [name for name in PACKAGES if name in sys.modules]
    for name in ["ensemble-lab", *(DISTRIBUTION.get(name, name) for name in used)]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a checkout that was never installed
            found[name] = "not installed"
    return found
