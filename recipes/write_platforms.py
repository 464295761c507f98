"""Write `docs/platforms.md` and what the doctor knows of it, from the records of `make platforms`.

    python -m recipes.write_platforms

The page says where the package was run, with which versions, on which day, and what was not run.
`ensemble_lab/doctor/tried.json` has the part that `ensemble-lab doctor` compares a machine with.
"""

from __future__ import annotations

import json
from pathlib import Path

from ensemble_lab.core.whole import write_whole
from recipes.platforms import CASES

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "benchmarks/results/platforms.json"
PAGE, TRIED = ROOT / "docs/platforms.md", ROOT / "ensemble_lab/doctor/tried.json"
OUTCOMES = ("passed", "failed", "error", "skipped")
HEAD = """# Where it was run

Written by `python -m recipes.write_platforms` from `benchmarks/results/platforms.json`, which
`make platforms` measures: each case in a fresh environment of its own, far from the checkout, with
the wheel, `ensemble-lab doctor` and the README's example. Notebooks run by `jupyter execute`, each
alone in an empty folder. Seconds are those of a busy machine with two cores. `make test`, with
PyTorch, was run on Python 3.11.
"""
MEMORY = """
## Notebooks in 1 and 2 GB

JupyterLab's server and one kernel share a control group whose limit the system enforces, without
swap, as a container of Binder does. The memory is the most that could not be given back: files that
can be read again are not counted. Where SmolLM2 does not fit, a notebook that can do without it
says so. Kernels stay open, and their memory adds up.
"""


def written(records: list[dict]) -> str:
    """The page: a table of cases, one of notebooks by memory, and what was not run."""
    ran = [one for one in records if one["result"] != "not run" and "limit" not in one]
    limited = [one for one in records if "limit" in one]
    rows = ["| case | what | result | notebooks | tests | most MB | notebooks, s | date |",
            "|---|---|---|---|---|--:|--:|---|"]  # fmt: skip
    rows += [case(one) for one in ran]
    parts = [HEAD, "\n".join(rows), "\n## Versions\n", "\n".join(map(versions, ran))]
    if limited:
        parts += [MEMORY, memory(limited)]
    parts += ["\n## Not run\n", "\n".join(filter(None, map(missing, records)))]
    names = {one["name"] for one in records}
    parts += [f"- {of.what}: not tried yet." for of in CASES if of.name not in names]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def case(found: dict) -> str:
    """One row of the table."""
    notebooks = found.get("notebooks", {})
    passed = [number(name) for name, one in notebooks.items() if not one.get("error")]
    failed = [number(name) for name, one in notebooks.items() if one.get("error")]
    told = f"{', '.join(passed)}; {len(notebooks)} of {found.get('notebooks_in_all')} tried"
    told += f"; failed: {', '.join(failed)}" if failed else ""
    peak = max((one.get("peak_mb", 0) for one in notebooks.values()), default=0)
    seconds = round(sum(one.get("seconds", 0) for one in notebooks.values()))
    result = found["result"] + (f": {found['why'].splitlines()[-1]}" if found.get("why") else "")
    cells = [f"`{found['name']}`", found["what"], result, told if notebooks else "",
             counts(found.get("tests", {})), peak or "", seconds or "",
             found["date"]]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def number(notebook: str) -> str:
    """A notebook's number; the name of one that has none."""
    first = notebook.partition("_")[0]
    return first if first[0].isdigit() else notebook


def counts(tests: dict) -> str:
    """Tests by outcome, in words."""
    if "error" in tests and isinstance(tests["error"], str):
        return "failed"
    told = ", ".join(f"{tests[word]:,} {word}" for word in OUTCOMES if word in tests)
    told += f"; {tests['after_fix']} passed only after a fix" if "after_fix" in tests else ""
    return told + "".join(f"; `{name}`" for name in tests.get("not_passed", ()))


def versions(found: dict) -> str:
    """The versions of one case, as an item of a list."""
    told = ", ".join(f"{name} {version}" for name, version in found.get("versions", {}).items())
    return f"- `{found['name']}`: {told}; {found['system']}." if told else ""


def memory(limited: list[dict]) -> str:
    """Notebooks by limit: the most memory in MB, or that it does not fit."""
    names = sorted({name for one in limited for name in one["notebooks"]})
    rows = [f"| notebook | {' | '.join(one['name'].removeprefix('binder ') for one in limited)} |",
            "|---|" + "---|" * len(limited)]  # fmt: skip
    for name in names:
        cells = [fits(one["notebooks"].get(name)) for one in limited]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    *some, last = (f"{len(one['notebooks'])} of {one['notebooks_in_all']}" for one in limited)
    dates = ", ".join(sorted({one["date"] for one in limited}))
    return "\n".join([*rows, "", f"Tried: {', '.join(some)} and {last}; {dates}."])


def fits(found: dict | None) -> str:
    """What one notebook did under one limit."""
    if found is None:
        return "not run"
    if found.get("error"):
        return f"no: {found['error']}"
    without = f" without {found['without']}" if found.get("without") else ""
    return f"fits{without}, {found['peak_mb']} MB"


def missing(found: dict) -> str:
    """One case that was not run, as an item of a list."""
    if found["result"] != "not run":
        return ""
    return f"- {found['what']}: {found['why']}."


def known(records: list[dict]) -> dict:
    """What `ensemble-lab doctor` compares a machine with.

    Returns
    -------
    dict
        ``pythons``, of versions that passed, with the date and what was left out; ``memory``, bytes
        of a limit to the numbers of the notebooks that fit and that are too large, and how many
        notebooks there are.
    """
    pythons, limits = {}, {}
    for one in records:
        if one["result"] == "passed" and "python" in one.get("versions", {}):
            version = ".".join(one["versions"]["python"].split(".")[:2])
            without = "" if version == "3.11" else "PyTorch"  # 3.11 has `make test`
            pythons[version] = {"date": one["date"], "without": without}
        if "limit" in one and one["result"] != "not run":
            of = {"fit": [], "too large": [], "in all": one["notebooks_in_all"]}
            for name, found in sorted(one["notebooks"].items()):
                of["too large" if found.get("error") else "fit"].append(number(name))
            limits[str(one["limit"])] = of
    return {"pythons": dict(sorted(pythons.items())), "memory": limits}


if __name__ == "__main__":
    read = json.loads(RECORDS.read_text(encoding="utf-8"))
    write_whole(PAGE, written(read))
    write_whole(TRIED, json.dumps(known(read), indent=1) + "\n")
