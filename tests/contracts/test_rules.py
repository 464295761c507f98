"""Rules for placing and scheduling: every setting that is none is refused with the fix."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.systems.simulator.requests import Requests
from tests.contracts.registry import collected, contract, quiet

NO_NUMBER = ["1", None, True, math.nan, math.inf, -0.5, [0.5], 1j, lab]
NO_COUNT = [0, -1, 1.5, True, "2", None, [2], math.nan]
NO_SHARE = [*NO_NUMBER, 1.5]
ENGINE = lab.Engine(0.1, 0.01, slots=4)
LARGE, SMALL = lab.Variant(ENGINE, 0.9, 1.0), lab.Variant(lab.Engine(0.05, slots=4), 0.6)
WAYS = [[LARGE, SMALL], [LARGE, SMALL]]
TIMES = [lab.BatchTime(0.1, 0.01), lab.BatchTime(0.05, 0.0)]
SAMPLE = Requests(np.arange(40) / 4, np.zeros(40, int), np.ones(40, int), np.arange(40) % 2, 2.0)
OUTCOMES = lab.Outcomes(
    models=["large", "small"], items=[0, 1], correct=[[1, 0], [1, 1]],
    answer=[[0, 1], [1, 1]], labels=["A", "B"],
)  # fmt: skip
RULES = {
    "Fleet": lambda *given: lab.Fleet(*given),
    "Clipper": lambda *given: lab.Clipper(*given),
    "Nexus": lambda *given: lab.Nexus(*given),
    "InferLine": lambda *given: lab.InferLine(*given),
    "INFaaS": lambda *given: lab.INFaaS(*given, accuracy=0.5),
    "Cocktail": lambda *given: lab.Cocktail(*given, OUTCOMES),
    "Loki": lambda *given: lab.Loki(*given),
    "Shepherd": lambda *given: lab.Shepherd(*given),
    "AlpaServe": lambda *given: lab.AlpaServe(*given),
}
FORMS = {
    "tuple": tuple,
    "array": np.array,
    "float32": lambda values: np.array(values, np.float32),
    "tensor": torch.tensor,
    "Series": lambda values: pd.Series(values, index=range(9, 9 - len(values), -1)),
    "polars": pl.Series,
    "iterator": iter,
    "fractions": lambda values: [Fraction(value) for value in values],
}


def scene(**more):
    return lab.Scene(**{
        "requests": SAMPLE, "sample": SAMPLE, "variants": WAYS, "machines": 4,
        "outcomes": OUTCOMES, **more,
    })  # fmt: skip


@contract(*RULES, "Scene")
@pytest.mark.parametrize("name", RULES)
def test_a_rule_takes_variants_and_a_sample_in_any_sequence_and_nothing_else(name):
    make = RULES[name]
    with quiet():
        served = scene().serve(make(WAYS, SAMPLE))
        again = scene().serve(make(iter([tuple(WAYS[0]), iter(WAYS[1])]), SAMPLE))
    np.testing.assert_array_equal(served.finished, again.finished)
    assert not served.dropped.all()
    wrong = {f"variants {i}": lambda v=v: make(v, SAMPLE) for i, v in enumerate(
        [None, [], [[]], "ab", LARGE, [LARGE], [[ENGINE]], [["a"]], {0: [LARGE]}, WAYS[:1], 3]
    )}  # fmt: skip
    wrong |= {
        f"sample {i}": lambda v=v: make(WAYS, v)
        for i, v in enumerate([None, [1, 2], "trace", Requests, 3])
    }
    collected(wrong)
    collected({"no rule": lambda: scene().serve(make), "None": lambda: scene().serve(None)})


@contract("INFaaS", "AlpaServe", "Cocktail")
def test_what_single_rules_take():
    bare = lab.Outcomes(models=["large", "small"], items=[0], correct=[[1, 0]])
    collected({
        **{f"accuracy {i}": lambda v=v: lab.INFaaS(WAYS, SAMPLE, v)
           for i, v in enumerate(NO_SHARE)},
        **{f"overhead {i}": lambda v=v: lab.AlpaServe(WAYS, SAMPLE, v)
           for i, v in enumerate(NO_NUMBER)},
        **{f"size {i}": lambda v=v: lab.AlpaServe(WAYS, SAMPLE, size=v)
           for i, v in enumerate(v for v in NO_COUNT if v is not None)},
        "size that does not divide": lambda: scene().serve(lab.AlpaServe(WAYS, SAMPLE, size=3)),
        **{f"outcomes {i}": lambda v=v: lab.Cocktail(WAYS, SAMPLE, v)
           for i, v in enumerate([None, bare, [[0, 1]], OUTCOMES.select(models=["large"])])},
        "accuracy that none has": lambda: scene().serve(lab.INFaaS(WAYS, SAMPLE, 0.95)),
    })  # fmt: skip


@contract("Variant", "BatchTime", "pipeline_engine", "pooled_wait")
def test_numbers_of_variants_batches_and_pipelines():
    assert lab.Variant(ENGINE, np.float32(0.5), Fraction(1, 2)).load == 0.5
    assert lab.BatchTime(1, 2)(3) == 7
    assert lab.pipeline_engine(ENGINE, np.int64(1)) == ENGINE
    assert lab.pooled_wait(Fraction(1, 2), 1) == lab.md1_wait(0.5, 1)
    collected({
        **{f"accuracy {i}": lambda v=v: lab.Variant(ENGINE, v) for i, v in enumerate(NO_SHARE)},
        **{f"load {i}": lambda v=v: lab.Variant(ENGINE, 0.5, v) for i, v in enumerate(NO_NUMBER)},
        **{f"engine {i}": lambda v=v: lab.Variant(v)
           for i, v in enumerate([None, 0.1, lab.Engine])},
        **{f"fixed {i}": lambda v=v: lab.BatchTime(v, 1) for i, v in enumerate(NO_NUMBER)},
        **{f"each {i}": lambda v=v: lab.BatchTime(1, v) for i, v in enumerate(NO_NUMBER)},
        "no time": lambda: lab.BatchTime(0, 0),
        **{f"stages {i}": lambda v=v: lab.pipeline_engine(ENGINE, v)
           for i, v in enumerate(NO_COUNT)},
        **{f"stage {i}": lambda v=v: lab.pooled_wait(0.1, 1, v) for i, v in enumerate(NO_COUNT)},
        **{f"overhead {i}": lambda v=v: lab.pipeline_engine(ENGINE, 2, v)
           for i, v in enumerate(NO_NUMBER)},
        **{f"rate {i}": lambda v=v: lab.pooled_wait(v, 1) for i, v in enumerate([0, *NO_NUMBER])},
        **{f"time {i}": lambda v=v: lab.pooled_wait(1, v) for i, v in enumerate([0, *NO_NUMBER])},
        "engine": lambda: lab.pipeline_engine(0.1, 2),
        "overload": lambda: lab.pooled_wait(2, 0.5),
    })  # fmt: skip


@contract("squishy_bins", "cheapest_variant", "allocate_machines")
@pytest.mark.parametrize("form", FORMS)
def test_plans_are_the_same_for_rates_in_any_form(form):
    rates, keep = [3.0, 20.5], FORMS[form]
    wanted = lab.squishy_bins(rates, TIMES, 1.0, 4)
    assert lab.squishy_bins(keep(rates), iter(TIMES), 1.0, np.int64(4)) == wanted
    able, right = [[4.0, 8.0], [8.0, 16.0]], [[0.75, 0.5], [1.0, 0.5]]
    plan = lab.allocate_machines(rates, able, right, 4)
    kept = [[keep(row) for row in rows] for rows in (able, right)]
    assert lab.allocate_machines(keep(rates), *kept, 4) == plan
    assert lab.allocate_machines(rates, np.array(able), tuple(right), np.int32(4)) == plan
    rate = next(iter(keep([20.5])))
    with quiet():
        assert lab.cheapest_variant(iter(WAYS[0]), tuple(TIMES), float(rate), 0.7, 2) == (0, 1)


@contract("squishy_bins", "cheapest_variant", "allocate_machines")
def test_plans_of_what_is_none_are_refused():
    able, right, ways = [[4.0, 8.0]], [[0.75, 0.5]], WAYS[0]
    bins, cheapest, allocate = lab.squishy_bins, lab.cheapest_variant, lab.allocate_machines
    no_rates = [
        None,
        [],
        "3",
        ["3"],
        [None],
        [-1],
        [math.nan],
        [math.inf],
        [[1]],
        [1, 2],
        [True],
        3,
    ]
    collected({
        **{f"bins {i}": lambda v=v: bins(v, TIMES[:1], 1, 4) for i, v in enumerate(no_rates)},
        **{f"rates {i}": lambda v=v: allocate(v, able, right, 4) for i, v in enumerate(no_rates)},
        **{f"times {i}": lambda v=v: bins([1], v, 1, 4)
           for i, v in enumerate([None, [], [1.0], TIMES, TIMES[0], "t"])},
        **{f"limit {i}": lambda v=v: bins([1], TIMES[:1], v, 4)
           for i, v in enumerate([0, 0.2, *NO_NUMBER])},
        **{f"slots {i}": lambda v=v: bins([1], TIMES[:1], 1, v) for i, v in enumerate(NO_COUNT)},
        **{f"machines {i}": lambda v=v: allocate([1], able, right, v)
           for i, v in enumerate(NO_COUNT)},
        **{f"capacity {i}": lambda v=v: allocate([1], v, right, 4)
           for i, v in enumerate([None, [], [[]], [4, 8], [[4]], [[-1, 2]], [["4", 8]], 3, "4"])},
        **{f"accuracy {i}": lambda v=v: allocate([1], able, v, 4)
           for i, v in enumerate([None, [], [[0.5]], [[0.5, 1.5]], [[-0.1, 1]], [[None, 1]]])},
        **{f"ways {i}": lambda v=v: cheapest(v, TIMES, 1, 0.5, 1)
           for i, v in enumerate([None, [], ways[:1], [1, 2], "ab", LARGE])},
        **{f"rate {i}": lambda v=v: cheapest(ways, TIMES, v, 0.5, 1)
           for i, v in enumerate(NO_NUMBER)},
        **{f"right {i}": lambda v=v: cheapest(ways, TIMES, 1, v, 1)
           for i, v in enumerate([0.95, *NO_SHARE])},
        **{f"within {i}": lambda v=v: cheapest(ways, TIMES, 1, 0.5, v)
           for i, v in enumerate([0, 0.01, *NO_NUMBER])},
        **{f"warm {i}": lambda v=v: cheapest(ways, TIMES, 1, 0.5, 2, v)
           for i, v in enumerate([2, -1, 0.5, "0", True])},
    })  # fmt: skip


@contract("draw_scene", "compare_rules", "Scene")
def test_scenes_and_tables():
    drawn = lab.draw_scene(SAMPLE, 0, engine=ENGINE, machines=5, popularity=(0.5, 0.5))
    again = lab.draw_scene(
        SAMPLE, np.int64(0), engine=ENGINE, machines=np.int64(5), popularity=pd.Series([0.5, 0.5])
    )
    np.testing.assert_array_equal(drawn.requests.model, again.requests.model)
    make = {"plain": lambda scene: lab.Fleet(scene.variants, scene.sample)}
    with quiet():
        tables = [lab.compare_rules(scenes, make) for scenes in ([drawn, again], iter([drawn]))]
    pd.testing.assert_frame_equal(*tables)
    draw, compare = lab.draw_scene, lab.compare_rules
    collected({
        **{f"trace {i}": lambda v=v: draw(v, 0) for i, v in enumerate([None, [1, 2], Requests, 3])},
        **{f"seed {i}": lambda v=v: draw(SAMPLE, v)
           for i, v in enumerate([-1, 0.5, "0", None, True])},
        **{f"engine {i}": lambda v=v: draw(SAMPLE, 0, engine=v) for i, v in enumerate([None, 0.1])},
        **{f"machines {i}": lambda v=v: draw(SAMPLE, 0, machines=v)
           for i, v in enumerate(NO_COUNT)},
        **{f"limit {i}": lambda v=v: draw(SAMPLE, 0, limit=v)
           for i, v in enumerate([0, *NO_NUMBER])},
        **{f"load {i}": lambda v=v: draw(SAMPLE, 0, load=v) for i, v in enumerate(NO_NUMBER)},
        **{f"popularity {i}": lambda v=v: draw(SAMPLE, 0, popularity=v)
           for i, v in enumerate([None, [], 1, "ab", [0.5], [1.5, -0.5], [[1.0]], ["1"], {0: 1},
                                  [1.0] + [0.0] * len(SAMPLE)])},
        **{f"scenes {i}": lambda v=v: compare(v, make)
           for i, v in enumerate([None, [], drawn, [3], "scene", [None]])},
        **{f"rules {i}": lambda v=v: compare([drawn], v)
           for i, v in enumerate([None, {}, [lab.Fleet], lab.Fleet, {"a": 3}, {"a": lambda s: 3}])},
    })  # fmt: skip
