"""What runs in a submission's kernel behind its last cell: the checks of the package."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ensemble_lab.exercises.draws import drawn_with

KIND = "application/vnd.ensemble-lab.verdict+json"
MOST = 300  # characters of a message


def judge(names: Mapping[str, Any], module: str, check: str, function: str, seed: int | None,
          checks: str | None) -> None:  # fmt: skip
    """Judge one function of a notebook, and show whether it passed and the first hint.

    Parameters
    ----------
    names : mapping
        The notebook's names.
    module, check, function : str
        Where the check is, its name, and the function's.
    seed : int, optional
        Judges on other cases too.
    checks : str, optional
        A file with a check of the same name, which is asked too.
    """
    from IPython.display import display

    passed, message = _judged(names.get(function), module, check, function, seed, checks)
    display({KIND: {"passed": passed, "message": message[:MOST]}}, raw=True)


def _judged(answer, module: str, check: str, function: str, seed: int | None,
            checks: str | None) -> tuple[bool, str]:  # fmt: skip
    if not callable(answer):
        return False, f"there is no function {function}: its cell failed, or was not filled in"
    asked: list[tuple[str, Callable]] = [("", getattr(import_module(module), check))]
    if checks is not None and callable(own := runpy.run_path(checks).get(check)):
        asked.append(("hidden check: ", own))
    for said, one in asked:
        verdict = one(answer)
        if not verdict:
            return False, f"{said}{verdict.message}"
    if seed is not None:
        with drawn_with(seed):
            verdict = asked[0][1](answer)
        if not verdict:
            return False, f"hidden cases: {verdict.message}"
    return True, verdict.message
