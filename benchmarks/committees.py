"""Committees of language models: which of many answers is chosen, and after how many.

Run with ``python -m benchmarks committees --json benchmarks/results/committees.json``.
"""

from functools import partial

from benchmarks.explorers import slider_of
from benchmarks.parts.agreeing import codet_agreement
from benchmarks.parts.stopping_peer import stopping_replay

RECORDS = {
    "stopping-replay": stopping_replay,
    "codet-agreement": codet_agreement,
    "slider-verifier": partial(slider_of, "verifier"),
}
