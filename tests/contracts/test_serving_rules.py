"""Rules for serving language models: every setting that is none is refused with the fix."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.systems.simulator.cluster import serve_requests
from ensemble_lab.systems.simulator.machine import Machine
from ensemble_lab.systems.simulator.requests import Requests
from tests.contracts.registry import collected, contract, quiet

NO_NUMBER = ["1", True, math.nan, math.inf, -0.5, [0.5], 1j, lab]
NO_TIME = [0, *NO_NUMBER]
NO_COUNT = [0, -1, 1.5, True, "2", None, [2], math.nan]
ENGINE = lab.Engine(0.1, 0.01, slots=4, capacity=1000)
SAMPLE = Requests(
    np.arange(20) / 4, np.full(20, 8), np.full(20, 3), np.arange(20) % 2,
    blocks=tuple((i % 3, i) for i in range(20)),
)  # fmt: skip
MAKE = {
    "Andes": lab.Andes,
    "Streams": lab.Streams,
    "DistServe": lab.DistServe,
    "FastServe": lab.FastServe,
    "Llumnix": lab.Llumnix,
    "MuxServe": lambda **given: lab.MuxServe(SAMPLE, **given),
    "Preble": lab.Preble,
    "ServerlessLLM": lambda **given: lab.ServerlessLLM(**{"sizes": [1.0, 2.0], **given}),
}
SETTINGS = {
    "Andes": {"wait": 1, "speed": 5, "period": 2, "horizon": 9},
    "Streams": {"wait": 1, "speed": 5, "period": 2},
    "DistServe": {"bandwidth": 100},
    "FastServe": {"quantum": 1, "promote": 9},
    "Llumnix": {"period": 1, "pause": 2},
    "MuxServe": {"period": 3},
    "Preble": {"window": 60, "steal": 2},
    "ServerlessLLM": {"disk": 5, "pcie": 9, "answer": 2, "pinned": 3},
}
COUNTS = {"DistServe": ["readers"], "Preble": ["block", "cache"]}
FORMS = {
    "tuple": tuple,
    "array": np.array,
    "float32": lambda values: np.array(values, np.float32),
    "tensor": torch.tensor,
    "Series": lambda values: pd.Series(values, index=range(9, 9 - len(values), -1)),
    "polars": pl.Series,
    "iterator": iter,
}


def run(rule, requests=SAMPLE):
    return serve_requests(requests, [Machine(m, ENGINE) for m in range(3)], rule)


@contract(*MAKE)
@pytest.mark.parametrize("name", MAKE)
def test_a_rule_takes_numbers_in_any_form_and_nothing_else(name):
    make, settings = MAKE[name], SETTINGS[name]
    forms = [
        {key: form(value) for key, value in settings.items()}
        for form in (float, np.float64, np.int64, Fraction)
    ]
    with quiet():
        served = [run(make(**given)) for given in forms]
    for other in served[1:]:
        np.testing.assert_array_equal(other.finished, served[0].finished)
    assert not served[0].dropped.any()
    wrong = {
        f"{key} {i}": lambda key=key, v=v: make(**{key: v})
        for key in settings
        for i, v in enumerate(NO_NUMBER if key == "pinned" else NO_TIME)
    } | {
        f"{key} {i}": lambda key=key, v=v: make(**{key: v})
        for key in COUNTS.get(name, [])
        for i, v in enumerate(NO_COUNT)
    }
    collected(wrong)


@contract("MuxServe", "ServerlessLLM", "Preble", "DistServe", "Llumnix")
def test_what_single_rules_need():
    bare, endless = Requests([0.0], [1], [1]), lab.Engine(1.0)
    more = Requests([0.0], [1], [1], [7])

    def boundless(rule):
        return serve_requests(SAMPLE, [Machine(0, endless)], rule)

    collected({
        **{f"sample {i}": lambda v=v: lab.MuxServe(v)
           for i, v in enumerate([None, [1, 2], "trace", Requests, 3])},
        **{f"sizes {i}": lambda v=v: run(lab.ServerlessLLM(v))
           for i, v in enumerate([None, [], 3, "12", [0], [1, math.nan], ["1"], [[1, 2]], [1]])},
        "another model": lambda: run(lab.ServerlessLLM([1, 2]), more),
        "no blocks": lambda: run(lab.Preble(), bare),
        "steal": lambda: lab.Preble(steal=0.99),
        "no writer": lambda: run(lab.DistServe(3)),
        "no end of memory": lambda: boundless(lab.Llumnix()),
        "no end of shares": lambda: boundless(lab.MuxServe(SAMPLE)),
    })  # fmt: skip


@contract("quality_of_experience", "fair_shares", "spread_models")
@pytest.mark.parametrize("form", FORMS)
def test_plain_functions_take_numbers_in_any_form(form):
    keep = FORMS[form]
    with quiet():
        assert lab.quality_of_experience(keep([1.0, 2.0, 5.0]), 1, 1) == pytest.approx(5 / 6)
        assert lab.fair_shares(keep([1.0, 3.0]), [2, 2], 8).tolist() == [2, 6]
        assert lab.spread_models(keep([6.0, 5.0, 4.0, 3.0]), [0.125] * 4, 2) == [0, 1, 1, 0]


@contract(
    "quality_of_experience", "fair_shares", "spread_models", "freeness", "seconds_to_load",
    "time_to_first_token",
)  # fmt: skip
def test_plain_functions_refuse_what_is_none():
    quality, shares, spread = lab.quality_of_experience, lab.fair_shares, lab.spread_models
    first = lab.time_to_first_token
    no_rates = [None, [], "3", ["3"], [None], [-1], [math.nan], [math.inf], [[1]], [1, 2], [True]]

    def load(size=1.0, pinned=False, disk=1.0, pcie=1.0, wait=0.0):
        return lab.seconds_to_load(size, pinned=pinned, disk=disk, pcie=pcie, wait=wait)

    assert load(np.float32(2), np.True_) == 2
    assert first(Fraction(1, 2), 1) == 1.5
    collected({
        **{f"times {i}": lambda v=v: quality(v, 0, 1)
           for i, v in enumerate([None, [], "12", ["1"], [2, 1], [math.nan], [[1, 2]], [None], 3])},
        **{f"due {i}": lambda v=v: quality([1], v, 1)
           for i, v in enumerate([None, "1", True, math.nan, math.inf, [1]])},
        **{f"speed {i}": lambda v=v: quality([1], 0, v) for i, v in enumerate(NO_TIME)},
        **{f"rates {i}": lambda v=v: shares(v, [1], 8) for i, v in enumerate(no_rates)},
        **{f"lengths {i}": lambda v=v: shares([1], v, 8) for i, v in enumerate(no_rates)},
        **{f"capacity {i}": lambda v=v: shares([1], [1], v) for i, v in enumerate(NO_TIME)},
        **{f"models {i}": lambda v=v: spread(v, [1], 2) for i, v in enumerate(no_rates)},
        **{f"seconds {i}": lambda v=v: spread([1], v, 2) for i, v in enumerate(no_rates)},
        **{f"machines {i}": lambda v=v: spread([1], [1], v) for i, v in enumerate(NO_COUNT)},
        **{f"free {i}": lambda v=v: lab.freeness(v, 1)
           for i, v in enumerate([None, "1", True, math.nan, math.inf, [1]])},
        **{f"running {i}": lambda v=v: lab.freeness(1, v)
           for i, v in enumerate(v for v in NO_COUNT if v != 0)},
        **{f"{key} {i}": lambda key=key, v=v: load(**{key: v})
           for key in ("size", "disk", "pcie") for i, v in enumerate(NO_TIME)},
        **{f"wait {i}": lambda v=v: load(wait=v) for i, v in enumerate(NO_NUMBER)},
        **{f"pinned {i}": lambda v=v: load(pinned=v) for i, v in enumerate([None, 1, "yes", []])},
        **{f"rate {i}": lambda v=v: first(v, 1) for i, v in enumerate(NO_TIME)},
        **{f"time {i}": lambda v=v: first(0.1, v) for i, v in enumerate(NO_TIME)},
        **{f"stages {i}": lambda v=v: first(0.1, 1, stages=v) for i, v in enumerate(NO_COUNT)},
        **{f"speedup {i}": lambda v=v: first(0.1, 1, speedup=v) for i, v in enumerate(NO_TIME)},
        "overload": lambda: first(1, 1),
    })  # fmt: skip
