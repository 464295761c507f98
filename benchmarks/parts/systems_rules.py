"""How quickly an hour of real traffic goes through each rule (a record of `systems`)."""

from dataclasses import replace

import numpy as np

import ensemble_lab as lab
from benchmarks.parts.compare import record
from ensemble_lab.instruments import Meter
from ensemble_lab.systems.simulator.requests import Requests
from ensemble_lab.systems.table import RULES, compare_rules, draw_scene

RATE = 2.0  # times that of the hour, so that the twelve machines are nine tenths full
SEEDS = range(5)


def hour(quick=False) -> Requests:
    """The conversations that Azure served in an hour of November 2023."""
    rows = lab.load_trace("azure-conversation")[: 1000 if quick else None]
    return Requests(rows.arrival_s, rows.prompt_tokens, rows.output_tokens).faster(RATE)


def azure_trace(quick):
    """Seconds of the slowest rule for all requests of the hour; and the table of the rules."""
    trace, seconds = hour(quick), {}
    drawn = draw_scene(trace, 0)
    parts = drawn.sample, drawn.requests
    whole = Requests(
        *(
            np.concatenate([getattr(part, field) for part in parts])
            for field in ("arrival", "prompt", "output", "model", "limit")
        ),
        parts[0].blocks + parts[1].blocks,
    )
    scene = replace(drawn, requests=whole)
    for name, make in RULES.items():
        rule = make(scene)
        with Meter("cpu") as timed:
            scene.serve(rule)
        seconds[name] = timed.seconds
    slowest = max(seconds, key=seconds.get)
    table = compare_rules([draw_scene(trace, seed) for seed in list(SEEDS)[: 1 if quick else None]])
    return record(
        "azure-trace",
        seconds[slowest],
        seconds["least loaded"],
        "s",
        goal="at most 0.5 s under any rule",
        peer_is="the rule that sends each request to the least loaded machine",
        slowest=slowest,
        requests=len(whole),
        by_rule=seconds,
        table=table.round(4).to_dict("index"),
        spread=table.attrs["spread"].round(4).to_dict("index"),
    )
