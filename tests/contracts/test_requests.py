"""Requests to language models: arrays in any form, and what is none."""

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

GIVEN = {"arrival": [0.0, 1.5, 1.5], "prompt": [3, 0, 7], "output": [1, 2, 9]}


@contract("Requests")
@pytest.mark.parametrize(
    "form", [list, tuple, np.array, pd.Series, lambda x: np.array(x, np.float32)]
)
def test_requests_take_arrays_in_any_form(form):
    found = lab.Requests(**{name: form(values) for name, values in GIVEN.items()})
    assert len(found) == 3
    for name, values in GIVEN.items():
        np.testing.assert_array_equal(getattr(found, name), values)
    assert (found.model == 0).all() and (found.limit == np.inf).all()


@contract("Requests")
def test_what_is_no_trace_is_refused():
    def but(**other):
        return lambda: lab.Requests(**GIVEN | other)

    collected({
        **{f"arrival {i}": but(arrival=v)
           for i, v in enumerate([[], 1.0, [0, 2, 1], [0, 1, np.nan], [0, 1, np.inf], [0, 1]])},
        **{f"prompt {i}": but(prompt=v)
           for i, v in enumerate([[-1, 2, 3], [0.5, 1, 1], [1, 2], 3])},
        **{f"output {i}": but(output=v) for i, v in enumerate([[0, 1, 1], [1, 1]])},
        **{f"model {i}": but(model=v) for i, v in enumerate([[-1, 0, 0], [0, 0], [0.5, 0, 0]])},
        **{f"limit {i}": but(limit=v) for i, v in enumerate([0, -1.0, np.nan, [1, 1, 0]])},
        "blocks": but(blocks=((1,),)),
        "other rows": but(arrival=pd.Series([0, 1, 2], index=[2, 1, 0]), prompt=pd.Series([1] * 3)),
    })  # fmt: skip
