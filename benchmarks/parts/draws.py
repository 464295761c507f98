"""Many draws of `covering`: made in turn, kept in a file, and summed up."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from benchmarks.parts import covering
from ensemble_lab.advice import pool

# Modules of ensemble_lab.advice that a draw depends on. Of `pool` it depends on the candidates.
DECIDING = ("advice", "checks", "columns", "folds", "limits", "recipes", "scores", "selection",
            "sums")  # fmt: skip
PROBED = 100  # rows


def all_draws(tables, sizes, draws: int, make=covering.drawn, workers: int = 2) -> list[dict]:
    """Every draw; those of an earlier run of the same version are read from its file.

    Ctrl-C returns the draws that were made of every table, and the file keeps all.
    """
    path = Path(tempfile.gettempdir()) / (
        f"ensemble_lab_{make.__name__}_{version(tables)}_{os.getuid()}.jsonl"
    )
    found = {}
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            one = json.loads(line)
            found[one["table"], one["n"], one["draw"]] = one
    wanted = [(name, n, draw) for draw in range(draws) for name in tables for n in sizes]
    left = [key for key in wanted if key not in found]
    working = ProcessPoolExecutor(workers)
    try:
        with path.open("a", encoding="utf-8") as file:
            for one in tqdm(_done(working, make, left), total=len(left), desc="draws", unit=""):
                found[one["table"], one["n"], one["draw"]] = one
                file.write(json.dumps(one) + "\n")
                file.flush()
    except KeyboardInterrupt:
        made = [draw for draw in range(draws)
                if all((name, n, draw) in found for name in tables for n in sizes)]  # fmt: skip
        if not made:
            raise
        wanted = [key for key in wanted if key[2] in made]
    finally:
        working.shutdown(wait=False, cancel_futures=True)
    return [found[key] for key in wanted]


def _done(working: ProcessPoolExecutor, make, left: list[tuple]) -> Iterator[dict]:
    for start in range(0, len(left), 48):  # in order, so that an early end has whole draws
        tasks = [working.submit(make, *key) for key in left[start : start + 48]]
        yield from (task.result() for task in as_completed(tasks))


def version(tables) -> str:
    """Names what a draw depends on: another version makes other draws.

    These are the code of the modules that decide, without docstrings and comments; for each table
    its candidates; and one small draw, which reads all the rest: policies, data, libraries.
    """
    advice = Path(pool.__file__).parent
    paths = [*(advice / f"{name}.py" for name in DECIDING), Path(covering.__file__)]
    parts = [_bare(path.read_text("utf-8")) for path in paths]
    for name in tables:
        parts.append(repr(pool.candidates(covering.whole(name))))
        parts.append(json.dumps(covering.drawn(name, PROBED, 0)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _bare(source: str) -> str:
    """The code without docstrings and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return ast.dump(tree)


def summed(found: list[dict]) -> dict:
    """Coverage and mean error of one table and size, or of several together."""
    accuracy, others, cost = (
        [one[kind] for one in found] for kind in ("accuracy", "others", "cost")
    )
    luck = np.array([one["luck"] for one in found])

    def points(values) -> list[float]:
        return [round(100 * value, 3) for value in mean_of(np.asarray(values))]

    paid = np.array([one["truth"] for one in cost])
    return {
        "draws": len(found),
        "coverage_accuracy": round(float(np.mean([one["covered"] for one in accuracy])), 4),
        "coverage_cost": round(float(np.mean([one["covered"] for one in cost])), 4),
        "points_too_high": points([one["error"] for one in accuracy]),
        "coverage_other_rows": round(float(np.mean([one["covered"] for one in others])), 4),
        "points_too_high_other_rows": points([one["error"] for one in others]),
        "points_too_high_other_rows_without_luck": points(
            without(luck, np.array([one["error"] for one in others]))
        ),
        "points_too_high_out_of_fold": points([one["winner"] for one in found]),
        "points_too_high_naive": points([one["naive"] for one in found]),
        "width_points": round(100 * float(np.mean([one["width"] for one in accuracy])), 2),
        "cost_error_percent": points([one["error"] for one in cost] / np.maximum(paid, 1e-12)),
    }


def mean_of(values: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error; NaN for the error of one value."""
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return float(values.mean()), float(error)


def without(luck: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`values` less what follows from `luck`, whose mean over all draws is known to be 0.

    References
    ----------
    Owen, Monte Carlo Theory, Methods and Examples, 2013, section 8.9: control variates.
    """
    spread = luck - luck.mean()
    return values - luck * (spread @ values) / max(spread @ spread, 1e-300)
