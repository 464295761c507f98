"""Measure the records of one benchmark: one script a family, one record a claim."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.parts.peers import PeerMissing
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.request import RequestError, excerpt, named

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

    Of all records, those whose peer is not installed are skipped, and one that fails stops no
    other; what the file had of them stays. ``only`` raises what stopped it.

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

    Returns
    -------
    int
        0, or 1 when a record failed.

    Raises
    ------
    UnknownName
        There is no such benchmark or record.
    PeerMissing
        The peer of the one record is not installed.
    RequestError
        The benchmark takes no prompts, a file holds something else, or it cannot be written.
    """
    records = scripts()
    check_known(name, records, "benchmark", "folder benchmarks")
    measurements = load(records[name], prompts)
    if only is not None:
        check_known(only, measurements, "record", f"benchmark {name!r}")
    path = Path(json_path)
    kept = measured_before(path, measurements)
    path.parent.mkdir(parents=True, exist_ok=True)
    failed = False
    for wanted in [only] if only else measurements:
        print(f"{wanted} …", end=" ", flush=True, file=sys.stderr)
        try:
            kept[wanted] = measurements[wanted](quick)
        except Exception as error:
            if only:
                raise
            absent = isinstance(error, PeerMissing)
            print("skipped:" if absent else "failed:", told(error), file=sys.stderr)
            failed |= not absent
            continue
        print(line(kept[wanted]), file=sys.stderr)
        ordered = [kept[n] for n in measurements if n in kept]
        write_whole(path, json.dumps(ordered, indent=1) + "\n")
    return int(failed)


def measured_before(path: Path, known: Iterable[str]) -> dict[str, Record]:
    """The records in `path` by name; nothing is measured for a file that would lose something.

    Raises
    ------
    RequestError
        It is damaged, or holds something else than records of this benchmark.
    """
    where = f"--json '{named(path)}'"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names = [record["name"] for record in found]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RequestError(f"{where}: {error.strerror}; name another file") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RequestError(
            f"{where} is not a list of records; move the file away, or name another"
        ) from error
    known = list(known)
    others = [name for name in names if name not in known]
    if others:
        raise RequestError(
            f"{where} has {shown(others[0])}, no record of this benchmark; name another file"
        )
    return dict(zip(names, found, strict=True))


def scripts() -> dict[str, Path]:
    """Benchmark scripts by name."""
    folder = Path(__file__).resolve().parents[1]
    return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


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


def told(error: Exception) -> str:
    """What went wrong, in one line; the kind of an error that no one foresaw comes before it."""
    said = excerpt(str(error), 300)
    return said if isinstance(error, RequestError) else f"{type(error).__name__}: {said}"


def line(record: Record) -> str:
    """One record as a sentence."""
    return (
        f"ours {record['ours']:.4g} {record['unit']}, peer {record['peer']:.4g} {record['unit']},"
        f" ratio {record['ratio']:.3g}"
    )
