"""Committees of language models: which of many answers is chosen, and after how many.

Run with ``python -m benchmarks committees --json benchmarks/results/committees.json``.
"""

from benchmarks.parts.agreeing import codet_agreement

RECORDS = {"codet-agreement": codet_agreement}
