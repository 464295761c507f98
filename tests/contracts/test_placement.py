"""Rules for one model on several machines: numbers in any form, and nothing that is none.

The wrong ones are what people bring to such rules elsewhere: a machine whose speed is not known and
stands as 0 (exo #336), a rounded layer too many for the smallest machine (exo #2227), more machines
than layers, one number where each machine needs one (LLamaSharp #308), a context with NaN (mab2rec
#17) or of another shape than the actions (Pearl #125), a bandwidth of 0, one in text with its unit,
a time in milliseconds as a text, a masked measurement, data behind dates.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

NO_TIME = ["1", None, True, math.nan, math.inf, -0.5, [0.5], 1j, lab, "25 ms"]
NO_RATE = [0, *NO_TIME, "100 Mbit/s"]
NO_COUNT = [0, -1, 1.5, True, "2", None, [2], math.nan]
NO_SHARE = [v for v in NO_TIME if v is not None] + [1.5]
MASKED = np.ma.masked_array([1.0, 2.0], [False, True])
DATES = pd.to_datetime(["2026-01-01", "2026-01-02"])
NO_ROW = [None, [], "12", ["1", "2"], [None, 1], [-1, 2], [math.nan, 1], [math.inf, 1], [[1, 2]],
          [True, False], 3, {0: 1, 1: 2}, {1, 2}, MASKED, DATES]  # fmt: skip
OTHER = [*NO_ROW, [1], [1, 2, 3]]  # where there must be two
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


def each(name, call, values):
    """A call for every wrong value."""
    return {f"{name} {i}": lambda v=v: call(v) for i, v in enumerate(values)}


@contract("cut_seconds", "best_cut", "place_by_length", "early_exit_seconds", "pipelined_decode",
          "channel_gate", "layers_by_memory", "layers_by_speed")  # fmt: skip
@pytest.mark.parametrize("form", FORMS)
def test_numbers_come_in_any_form(form):
    keep = FORMS[form]
    found = lab.cut_seconds(keep([1.0, 1.0]), keep([0.25, 0.25]), keep([3000, 500]), 8000)
    assert found.tolist() == [3.5, 1.75, 2.0]
    assert lab.best_cut(keep([1.0, 1.0]), keep([0.25, 0.25]), keep([3000, 500]), np.int64(8000))
    sent = lab.place_by_length(keep([10, 40]), keep([0.0, 0.5]), keep([1.0, 0.25]), Fraction(3))
    assert sent.tolist() == [False, True]
    exits = lab.early_exit_seconds(keep([0.25, 0.75]), 0.5, 1, np.float32(2))
    assert exits.tolist() == [3.0, 1.0]
    assert lab.pipelined_decode(keep([1.0, 1.0]), np.int32(1), 1)[0, 0].tolist() == [0, 1]
    gate = lab.channel_gate(torch.tensor([[0.75, 0.25]]), keep([1.0, 0.0]), 1, 8)
    assert gate.tolist() == [[False, True]]
    assert lab.layers_by_memory(keep([16.0, 8.0]), 3).tolist() == [2, 1]
    assert lab.layers_by_speed(keep([1.0, 0.5]), 3, keep([3, 3])).tolist() == [1, 2]


@contract("cut_seconds", "best_cut", "place_by_length", "early_exit_seconds", "seconds_per_token")
def test_what_is_no_time_and_no_bandwidth_is_refused():
    ok = [1.0, 2.0]
    collected({
        **each("device", lambda v: lab.cut_seconds(v, ok, ok, 1), NO_ROW),
        **each("server", lambda v: lab.cut_seconds(ok, v, ok, 1), OTHER),
        **each("sent", lambda v: lab.best_cut(ok, ok, v, 1), OTHER),
        **each("bandwidth", lambda v: lab.best_cut(ok, ok, ok, v), NO_RATE),
        **each("round_trip", lambda v: lab.cut_seconds(ok, ok, ok, 1, v), NO_TIME),
        **each("lengths", lambda v: lab.place_by_length(v, ok, ok, 1), NO_ROW),
        **each("a device", lambda v: lab.place_by_length(ok, v, ok, 1), OTHER),
        **each("a server", lambda v: lab.place_by_length(ok, ok, v, 1), OTHER),
        **each("link", lambda v: lab.place_by_length(ok, ok, ok, v), NO_TIME),
        **each("confidence", lambda v: lab.early_exit_seconds(v, 0.5, 1, 1), [*NO_ROW, [90, 95]]),
        **each("threshold", lambda v: lab.early_exit_seconds([0.5], v, 1, 1), [*NO_SHARE, None]),
        **each("exit", lambda v: lab.early_exit_seconds([0.5], 0.5, v, 1), NO_TIME),
        **each("remote", lambda v: lab.early_exit_seconds([0.5], 0.5, 1, v), NO_TIME),
        **each("verify", lambda v: lab.seconds_per_token(v, 1), NO_RATE),
        **each("trip", lambda v: lab.seconds_per_token(1, v), NO_TIME),
        **each("draft", lambda v: lab.seconds_per_token(1, 1, v), NO_TIME),
        **each("tokens", lambda v: lab.seconds_per_token(1, 1, 1, v), [0, 0.99, *NO_TIME]),
    })  # fmt: skip


@contract("pipelined_decode", "channel_gate", "layers_by_memory", "layers_by_speed")
def test_what_is_no_stage_no_expert_and_no_machine_is_refused():
    gate = [[0.5, 0.5]]
    collected({
        **each("stages", lambda v: lab.pipelined_decode(v, 1, 1), [*NO_ROW, [0, 1]]),
        **each("batches", lambda v: lab.pipelined_decode([1], v, 1), NO_COUNT),
        **each("decoded", lambda v: lab.pipelined_decode([1], 1, v), NO_COUNT),
        **each("hop", lambda v: lab.pipelined_decode([1], 1, 1, v), NO_TIME),
        **each("relevance", lambda v: lab.channel_gate(v, [1, 1], 1),
               [None, [], [1, 2], "ab", [[-1, 1]], [[math.nan, 1]], [[1, 2], [3]], [["a", "b"]]]),
        **each("seconds", lambda v: lab.channel_gate(gate, v, 1), OTHER),
        **each("k", lambda v: lab.channel_gate(gate, [1, 1], v), [3, *NO_COUNT]),
        **each("price", lambda v: lab.channel_gate(gate, [1, 1], 1, v), NO_TIME),
        **each("memory", lambda v: lab.layers_by_memory(v, 9), [*NO_ROW, [0, 16]]),
        **each("layers", lambda v: lab.layers_by_memory([1, 1], v), [1, *NO_COUNT]),
        **each("each", lambda v: lab.layers_by_memory([4, 4], 4, v), [3, 5, *NO_SHARE[:-1], 0]),
        **each("speed", lambda v: lab.layers_by_speed(v, 9), [*NO_ROW, [0, 1]]),
        **each("many", lambda v: lab.layers_by_speed([1, 1], v), NO_COUNT),
        **each("room", lambda v: lab.layers_by_speed([1, 1], 9, v),
               [*(v for v in OTHER if v is not None), [4, 4], [4.9, 4.9]]),
    })  # fmt: skip


@contract("MuLinUCB")
def test_a_bandit_takes_contexts_that_fit_and_nothing_else():
    front, context = [0.0, 1.0], [[1.0, 2.0], [0.0, 0.0]]

    def made(**given):
        return lab.MuLinUCB(**{"front": front, "context": context, "horizon": 16, **given})

    told = made(front=np.array(front, np.float32), context=torch.tensor(context), alpha=Fraction(1))
    assert told.choose() == made().choose() == 0
    assert made(mu=None).every == 0 and made(mu=0).every == 1 and made(mu=1).every == 16
    learns = made()
    learns.learn(np.int64(0), np.float32(2))
    collected({
        **each("front", lambda v: made(front=v), [*OTHER, [1.0]]),
        **each("context", lambda v: made(context=v),
               [None, [], [1, 2], [[1], [0], [0]], [[1], [1]], [[math.nan], [0]], [["a"], ["b"]],
                [[1, 2], [0]]]),
        "one cut": lambda: made(front=[1.0], context=[[0.0]]),
        **each("horizon", lambda v: made(horizon=v), NO_COUNT),
        **each("mu", lambda v: made(mu=v), NO_SHARE),
        **each("alpha", lambda v: made(alpha=v), NO_TIME),
        **each("ridge", lambda v: made(ridge=v), NO_RATE),
        **each("weight", lambda v: made().choose(v), [*NO_SHARE, None]),
        **each("cut", lambda v: made().learn(v, 1), [2, *(v for v in NO_COUNT if v != 0)]),
        **each("seconds", lambda v: made().learn(0, v), NO_TIME),
    })  # fmt: skip
