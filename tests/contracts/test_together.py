"""Models that write one text together: what their settings take, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

pytest.importorskip("torch")
P, Q = [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]


@contract("SpeculativeCascade")
@pytest.mark.parametrize("form", [float, np.float32, np.float64])
def test_cascades_take_numbers_and_tell_what_is_lost(form):
    models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in (P, Q)]
    for rule, alpha, lost in (
        ("chow", 0.5, 0),
        ("chow", 0.75, 0.4),
        ("v3", 0, 0.06),
        ("v1", 1, 0.4),
    ):
        cascade = lab.SpeculativeCascade(rule, form(alpha))
        found = lab.exact_divergence(*models, [0], 2, 1, cascade)
        assert found.total_variation == pytest.approx(lost)


@contract("SpeculativeCascade")
def test_no_cascades_are_refused():
    tiny, small = (lab.load(name) for name in ("tiny", "tiny-draft"))
    cascade = lab.SpeculativeCascade("opt", 0.1)
    collected(
        {
            f"alpha {x!r}": lambda x=x: lab.SpeculativeCascade("opt", x)
            for x in (-1.1, 1.1, math.nan, math.inf, "0.1", None, True, [0.5])
        }
        | {
            f"rule {x!r}": lambda x=x: lab.SpeculativeCascade(x, 0.1)
            for x in ("OPT", "v4", "", None, 1, ["opt"], {"opt": 1})
        }
        | {
            f"verification {x!r}": lambda x=x: lab.decode(
                tiny, "a", small, temperature=1.0, verification=x
            )
            for x in ("opt", lab.SpeculativeCascade)
        }
        | {
            "greedy": lambda: lab.decode(tiny, "a", small, verification=cascade),
            "no draft": lambda: lab.decode(tiny, "a", temperature=1.0, verification=cascade),
            "lookup": lambda: lab.decode(
                tiny, "a", "lookup", temperature=1.0, verification=cascade
            ),
        }
    )
