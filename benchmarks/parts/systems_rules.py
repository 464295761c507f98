"""How quickly an hour of real traffic goes through each rule (a record of `systems`)."""

from dataclasses import replace
from statistics import median

import numpy as np

import ensemble_lab as lab
from benchmarks.parts.compare import record
from ensemble_lab.instruments import Meter
from ensemble_lab.systems.rules.andes import Andes, Streams
from ensemble_lab.systems.simulator.requests import Requests
from ensemble_lab.systems.table import ENGINE, RULES, compare_rules, draw_scene

RATE = 2.0  # times that of the hour, so that the twelve machines are nine tenths full
SEEDS, ROUNDS = range(5), 5
TOKENS, MODELS = 16_000, 12  # the longest request of the hour has 14,089 tokens


def hour(quick=False, trace="azure-conversation", rate=RATE) -> Requests:
    """What Azure served in an hour of November 2023."""
    rows = lab.load_trace(trace)[: 1000 if quick else None]
    return Requests(rows.arrival_s, rows.prompt_tokens, rows.output_tokens).faster(rate)


def where_short(quick) -> dict:
    """Rules that do little in the hour, where memory is short or many models have bursts."""
    seeds = list(SEEDS)[: 1 if quick else None]
    talk, code = hour(quick, rate=1.6), hour(quick, "azure-code")
    tight, many = replace(ENGINE, capacity=TOKENS), [1 / MODELS] * MODELS
    memory = [draw_scene(talk, seed, engine=tight) for seed in seeds]
    bursts = [draw_scene(code, seed, popularity=many, limit=10.0) for seed in seeds]
    tables = {
        "16,000 tokens of memory": (memory, ("least loaded", "FastServe", "Andes")),
        "code for twelve models": (bursts, ("a model a machine", "AlpaServe")),
    }
    found = {}
    for name, (scenes, rules) in tables.items():
        table = compare_rules(scenes, {rule: RULES[rule] for rule in rules})
        found[name] = {
            "table": table.round(4).to_dict("index"),
            "spread": table.attrs["spread"].round(4).to_dict("index"),
        }
    readers = {"least loaded": Streams(), "Andes": Andes()}
    for rule in readers.values():
        memory[0].serve(rule)
    found["quality of experience, 16,000 tokens of memory"] = {
        name: round(float(np.mean(rule.experience)), 4) for name, rule in readers.items()
    }
    return found


def azure_trace(quick):
    """Seconds of the slowest rule for all requests of the hour, and the table of the rules."""
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
        runs = []
        for _ in range(1 if quick else ROUNDS):
            rule = make(scene)
            with Meter("cpu") as timed:
                scene.serve(rule)
            runs.append(timed.seconds)
        seconds[name] = median(runs)
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
        where_short=where_short(quick),
    )
