"""Narrower transformers: widths of any type and form, and what is neither a width nor a model."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

BOTH = "narrowed", "narrowed_weights"
FUNCTIONS = [getattr(lab, name) for name in BOTH]
NO_WIDTH = [
    0,
    -1,
    5,
    1.5,
    0.0,
    -0.5,
    0.3,
    math.nan,
    math.inf,
    True,
    None,
    "2",
    1j,
    {2: 2},
    10**5000,
]
NO_WIDTHS = [
    [],
    [2],
    [2, 2, 2],
    [[2], [2]],
    [2, None],
    ["2", "2"],
    {2, 4},
    np.ones((2, 2)),
    np.zeros(2),
]


def model(**settings):
    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 4, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | settings))


@contract(*BOTH)
@pytest.mark.parametrize(
    "keep", [list, tuple, np.array, torch.tensor, pd.Series, lambda two: list(map(np.int8, two))]
)
def test_widths_come_in_any_form(keep):
    full = model()
    true = lab.narrowed_weights(full, 2, 0.5)
    for heads, units in ((keep([2, 2]), keep([0.5, 0.5])), (keep([2, 2])[0], keep([2, 2]))):
        if keep([0.5])[0] == 0:  # whole numbers only
            units = keep([2, 2])
        small = lab.narrowed(full, heads, units)
        for name, value in lab.narrowed_weights(full, heads, units).items():
            assert torch.equal(value, true[name])
            assert torch.equal(small.get_parameter(name), true[name])


@contract(*BOTH)
def test_what_is_no_width_is_refused():
    full = model()
    collected(
        {f"{f.__name__} {name} {i}": lambda f=f, n=name, x=x: f(full, **{n: x})
         for f in FUNCTIONS for name in ("heads", "units")
         for i, x in enumerate([*NO_WIDTH, *NO_WIDTHS])}
    )  # fmt: skip


@contract(*BOTH)
def test_what_is_no_model_is_refused():
    wrong = [None, "tiny", 7, torch.nn.Linear(2, 2), model().model, {}, np.ones(3)]
    collected(
        {f"{f.__name__} {i}": lambda f=f, x=x: f(x, 2)
         for f in FUNCTIONS for i, x in enumerate(wrong)}
    )  # fmt: skip
