"""Where the package runs: each case in a fresh environment of its own, written down with its date.

Run with ``make platforms`` (``python -m recipes.platforms``, an hour); ``--only NAME`` runs one
case. Cases that passed with all their notebooks are not run again without ``--again``; of one that
failed today, only what failed is. Each case, and each notebook, is written as soon as it is there.
What cannot be run on the machine is written as "not run", with the reason. `docs/platforms.md` is
made from the file by ``python -m recipes.write_platforms``.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.parts.fresh import (
    TESTERS,
    VERSIONS,
    Failed,
    build_wheel,
    call,
    clean,
    fresh,
    install,
    lowest,
    without_ours,
)
from ensemble_lab.core.whole import write_whole

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/platforms.json"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TESTS = ("tests/core", "tests/answers")
BINDER = {"1 GB": 2**30, "2 GB": 2**31}


class NotRun(Exception):
    """Why a case cannot be run on this machine."""


@dataclass(frozen=True)
class Case:
    """What is tried.

    Parameters
    ----------
    name : str
    what : str
        A phrase for the table.
    run : callable
        ``run(folder, case, chosen, save)`` returns what was found; raises `Failed` or `NotRun`.
        ``chosen`` says of a notebook whether to run it, ``save`` writes what is known in between.
    """

    name: str
    what: str
    run: Callable


def beside(path):
    """The packages that a notebook needs beside the base installation and `lab`."""
    return json.loads(path.read_text())["metadata"].get("ensemble_lab", {}).get("beside", [])


PLAIN = [path for path in NOTEBOOKS if not beside(path)]


# Cases in fresh environments


def installed(
    work, case, chosen, save, *, python, by, extras=(), tests=(), no_network=False, low=False
):
    """Install the wheel, ask the doctor, run the README's example, notebooks and tests."""
    with fresh(work, python, by) as there:
        wheel = build_wheel(work)
        if low:
            install(there, by, "-r", lowest(extras, python, there.folder))
            install(there, by, "--no-deps", wheel)
        else:
            install(there, by, f"{wheel}[{','.join(extras)}]" if extras else wheel)
        if tests:
            install(there, by, *TESTERS)
        if no_network:
            there.prefix = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
        found = {"versions": there.versions(), "doctor": there.doctor()}
        enough = notebooks_for(extras)
        found |= {"quickstart": there.quickstart(), "notebooks": of_today(case.name, "notebooks")}
        found["notebooks_in_all"] = len(enough)
        for path in filter(chosen, enough):
            if found["notebooks"].get(path.stem, {"error": "not run"}).get("error"):
                found["notebooks"][path.stem] = attempt(there, path)
                save(found)
        if tests:
            known = of_today(case.name, "tests")
            failed = known.get("not_passed")
            again = there.tests(*(failed or tests))
            found["tests"] = after_fix(known, again) if failed else again
    return found


def after_fix(known, again):
    """The counts of a run of tests of which those that failed ran again, alone, after a fix."""
    if "error" in again:
        return known
    now = again.get("passed", 0)
    found = {"passed": known.get("passed", 0) + now, "skipped": known.get("skipped", 0)}
    left = {word: again[word] for word in ("failed", "not_passed") if word in again}
    return found | left | {"after_fix": known.get("after_fix", 0) + now}


def attempt(there, path):
    """What a notebook took in an environment, or its error."""
    try:
        return there.notebook(path)
    except Failed as failed:
        return {"error": str(failed)}


def of_today(name, part):
    """A part of what a case has found today, such as its notebooks; empty where it has none."""
    known = next((one for one in read() if one["name"] == name), {})
    same_day = known.get("date") == date.today().isoformat()
    return dict(known.get(part, {})) if same_day else {}


def notebooks_for(extras):
    """The notebooks that an installation with these extras is enough for."""
    if "lab" not in extras:
        return []  # nothing there runs notebooks
    here = {"torch", "transformers"} if "models" in extras else set()
    return [path for path in NOTEBOOKS if here.issuperset(beside(path))]


def colab(work, case, chosen, save):
    """`make colab`: Colab's published versions on its Python."""
    words = ["-q", "-m", "nightly or not nightly", "tests/packaging/test_colab.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    last = done.stdout.strip().splitlines()[-1]
    if done.returncode:
        raise Failed(clean(done.stdout[-2000:]))
    counts = dict(reversed(word.split()) for word in last.split(" in ")[0].strip("= ").split(", "))
    pins = (ROOT / "constraints-colab.txt").read_text().splitlines()
    names = ("numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "plotly", "ipywidgets")
    pinned = dict(line.split("==") for line in pins if "==" in line)
    return {
        "versions": {"python": "3.13", **{name: pinned[name] for name in names}},
        "tests": {k: int(v) for k, v in counts.items() if k in ("passed", "failed", "skipped")},
    }


def under_limit(work, case, chosen, save, *, size):
    """JupyterLab's server and one kernel under a limit; what fits in less is not run again."""
    from benchmarks.parts.memory_limit import NoLimit, run_limited

    less = of_today("binder 1 GB", "notebooks") if size > BINDER["1 GB"] else {}
    versions = json.loads(call(sys.executable, "-c", VERSIONS, cwd=work, env=without_ours()))
    found = {"limit": size, "versions": versions, "notebooks": of_today(case.name, "notebooks")}
    found["notebooks_in_all"] = len(NOTEBOOKS)
    for path in filter(chosen, NOTEBOOKS):
        if path.stem in found["notebooks"]:  # too little memory stays too little
            continue
        small = less.get(path.stem, {"error": "not run"})
        whole = not small.get("error") and not small.get("without")
        try:
            one = small if whole else run_limited(path, size, work)
        except NoLimit as why:
            raise NotRun(str(why)) from None
        found["notebooks"][path.stem] = {key: value for key, value in one.items() if value}
        save(found)
    return found


def not_run(work, case, chosen, save, *, why):
    """A case for another machine: say why."""
    raise NotRun(why)


CASES = [
    Case("pip", "pip, the wheel alone", partial(installed, python="3.11", by="pip")),
    *(Case(f"python {python}", "`[lab]`, no PyTorch",
           partial(installed, python=python, by="uv", extras=("lab",), tests=TESTS))
      for python in ("3.12", "3.13")),
    Case("uv", "`uv pip install`, `[lab]`",
         partial(installed, python="3.11", by="uv", extras=("lab",))),
    Case("lowest versions", "the oldest versions that `pyproject.toml` allows, `[lab]`",
         partial(installed, python="3.11", by="uv", extras=("lab",), low=True)),
    Case("no network", "`[lab]`, in a network namespace without a way out",
         partial(installed, python="3.11", by="uv", extras=("lab",), no_network=True)),
    *(Case(f"binder {name}", f"JupyterLab and one kernel in {name} of memory, without swap",
           partial(under_limit, size=size)) for name, size in BINDER.items()),
    Case("colab's versions", "`make colab`: Colab's published versions, no PyTorch", colab),
    Case("pip, models", "pip, `[models,lab]`",
         partial(installed, python="3.11", by="pip", extras=("models", "lab"))),
    *(Case(name, what, partial(not_run, why=why)) for name, what, why in [
        ("conda", "`conda env create -f environment.yml`",
         "no channel of conda can be reached here; its names and bounds are compared with"
         " pyproject.toml by a test"),
        ("colab", "Google Colab itself", "nobody has opened it; its published versions are tried"),
        ("binder", "Binder itself",
         "nobody has opened it; its build pack is rendered by a test, and its memory is tried"),
        ("windows", "Windows", "no such machine; that wheels exist is tested"),
        ("macos", "macOS on Apple silicon", "no such machine; that wheels exist is tested"),
        ("gpu", "a GPU", "apart: `make gpu`, its records are in benchmarks/results/gpu.json"),
    ]),
]  # fmt: skip


# Records


def read():
    """The cases that are written down."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []


def write(found):
    """Put a case's record in its place; the others stand."""
    kept = {one["name"]: one for one in read()} | {found["name"]: found}
    ordered = [kept[case.name] for case in CASES if case.name in kept]
    write_whole(RESULTS, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def tried(case, work, chosen):
    """Run one case, with the notebooks that are chosen, and write what was found."""
    start, about = perf_counter(), {"name": case.name, "what": case.what, "result": "unfinished"}
    about["date"] = date.today().isoformat()
    about["system"] = f"{platform.system()}, {platform.machine()}, {' '.join(platform.libc_ver())}"

    tests = of_today(case.name, "tests")  # until they have run again

    def save(found):
        write(
            about
            | ({"tests": tests} if tests else {})
            | found
            | {"seconds": round(perf_counter() - start)}
        )

    try:
        found = case.run(work, case, chosen, save)
        about["result"] = "failed" if faults(found) else "passed"
        save(found)
    except NotRun as why:
        write({**about, "result": "not run", "why": str(why)})
    except Failed as failed:
        write({**about, "result": "failed", "why": str(failed)})
    return next(one for one in read() if one["name"] == case.name)


def faults(found):
    """The parts of a record that failed; a notebook that does not fit a memory is a result."""
    tests = found.get("tests", {})
    wrong = [name for name in ("failed", "error") if tests.get(name)]
    wrong += ["doctor"] if "broken" in found.get("doctor", "") else []
    if found.get("limit"):
        return wrong
    return wrong + [name for name, one in found.get("notebooks", {}).items() if one.get("error")]


def complete(found):
    """Whether a case has passed with all its notebooks."""
    tried = len(found.get("notebooks", {}))
    return found["result"] == "passed" and tried == found.get("notebooks_in_all", tried)


def line(found):
    """One record as a line."""
    said = found.get("why") or ", ".join(faults(found))
    return f"{found['result']:10}  {found['name']}  {found.get('seconds', 0)} s  {said}"


def main(arguments=None):
    """Command line: run the cases; the exit status."""
    asked = argparse.ArgumentParser("python -m recipes.platforms", description=__doc__)
    asked.add_argument("--only", nargs="+", metavar="NAME", help="these cases; all if left out")
    asked.add_argument("--again", action="store_true", help="also those that have passed")
    asked.add_argument("--notebooks", nargs="+", metavar="NUMBER", help="such as 00 01; else all")
    asked = asked.parse_args(arguments)
    starts = tuple(f"{one}{end}" for one in asked.notebooks or () for end in "_.")

    def chosen(path):
        return not starts or path.name.startswith(starts)

    known = {case.name: case for case in CASES}
    if unknown := set(asked.only or ()) - known.keys():
        print(f"no case {sorted(unknown)}; there are {sorted(known)}", file=sys.stderr)
        return 2
    done = {one["name"] for one in read() if complete(one)}
    with tempfile.TemporaryDirectory(prefix="platforms") as work:
        for name in asked.only or known:
            if asked.again or name not in done:
                print(line(tried(known[name], Path(work), chosen)), flush=True)
    return int(any(one["result"] in ("failed", "unfinished") for one in read()))


if __name__ == "__main__":
    sys.exit(main())
