"""Metrics of routers, each equal to its source.

Between two models a score an item decides which items go to the strong one: `curve`, `pgr`, `apgr`
and `cpt` (Ong et al., RouteLLM, 2024). `noise_floor` and `noise_band` tell what chance gives, and
`apgr_difference` compares two routers on the same items. Between any number of models: `hull` and
`aiq` (Hu et al., RouterBench, 2024), `arena_score` (Lu et al., RouterArena, 2025) and
`oracle_gain`. `Decision.calls` has the share of calls of each model.
"""

from ensemble_lab.instruments.metrics.chance import (
    Difference,
    apgr_difference,
    noise_band,
    noise_floor,
)
from ensemble_lab.instruments.metrics.many_models import (
    aiq,
    arena_score,
    hull,
)
from ensemble_lab.instruments.metrics.oracle import OracleGain, oracle_gain
from ensemble_lab.instruments.metrics.two_models import apgr, cpt, curve, pgr

__all__ = [
    "Difference",
    "OracleGain",
    "aiq",
    "apgr",
    "apgr_difference",
    "arena_score",
    "cpt",
    "curve",
    "hull",
    "noise_band",
    "noise_floor",
    "oracle_gain",
    "pgr",
]
