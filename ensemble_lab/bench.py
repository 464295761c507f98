"""Benchmarks: one script a family in `benchmarks/`, one record a claim."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.requested import RequestError

Record = dict
Measurement = Callable[[bool], Record]


def main(
    name: str,
    only: str | None,
    quick: bool,
    json_path: str | Path,
    prompts: str | Path | None = None,
) -> int:
    """Measure the records of one benchmark and write them to a JSON file.

    Parameters
    ----------
    name : str
        A script in ``benchmarks/``, such as ``answers``.
    only : str, optional
        One record; the others in the file are kept.
    quick : bool
        Smaller inputs and fewer rounds: whether it runs, not how fast.
    json_path : path
        Where the list of records goes; each is written as soon as it is measured.
    prompts : path, optional
        JSON lines to measure on, for a benchmark that decodes prompts.

    Raises
    ------
    UnknownName
        There is no such benchmark or record.
    RequestError
        The benchmark takes no prompts, or the file holds something else.
    """
    records = scripts()
    check_known(name, records, "benchmark", "folder benchmarks")
    measurements = load(records[name], prompts)
    if only is not None:
        check_known(only, measurements, "record", f"benchmark {name!r}")
    path = Path(json_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {r["name"]: r for r in json.loads(path.read_text())} if path.exists() else {}
    for wanted in [only] if only else measurements:
        print(f"{wanted} …", end=" ", flush=True, file=sys.stderr)
        kept[wanted] = measurements[wanted](quick)
        print(line(kept[wanted]), file=sys.stderr)
        ordered = [kept[n] for n in measurements if n in kept]
        path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    return 0


def scripts() -> dict[str, Path]:
    """Benchmark scripts by name: they stand beside the package in a checkout.

    Raises
    ------
    FileNotFoundError
        An installed package has none.
    """
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    if not folder.is_dir():
        raise FileNotFoundError("benchmarks/ is only in a checkout: clone the repository")
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def load(path: Path, prompts: str | Path | None = None) -> dict[str, Measurement]:
    """The `RECORDS` of a benchmark script: name to a function of `quick`.

    A script that decodes prompts has a function `use_prompts`, which is given their file.
    """
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if prompts is not None:
        if not hasattr(module, "use_prompts"):
            raise RequestError(f"the benchmark {shown(path.stem)} takes no --prompts; leave it out")
        module.use_prompts(prompts)
    return module.RECORDS


def line(record: Record) -> str:
    """One record as a sentence."""
    return (
        f"ours {record['ours']:.4g} {record['unit']}, peer {record['peer']:.4g} {record['unit']},"
        f" ratio {record['ratio']:.3g}"
    )
