"""Checks of the notebooks' exercises, one module a notebook, with hints for known mistakes."""

from ensemble_lab.exercises.check import Check, Part, Verdict

__all__ = ["Check", "Part", "Verdict"]
