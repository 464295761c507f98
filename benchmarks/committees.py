"""Committees of language models: which of many answers is chosen, and after how many.

Run with ``python -m benchmarks committees --json benchmarks/results/committees.json``.
"""

from benchmarks.parts.stopping_peer import stopping_replay

RECORDS = {"stopping-replay": stopping_replay}
