"""Metrics of routers: plain loops over odd objects, and what they refuse."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab import metrics
from tests.contracts.hostile import examples
from tests.contracts.objects import held
from tests.contracts.registry import collected, contract

NO_COLUMN = [
    None, 0.5, "0.5", "abc", b"ab", {"a": 1}, {0.1, 0.2}, object(), [1, "2", 0], ["x"] * 3,
    [1, None, 0], [1, math.nan, 0], [1, 1j, 0], [[1, 0], [0, 1], [1, 1]], [[1], [0, 1], [1]],
    np.ones((3, 2)), np.array(1.0), np.array(["2020", "2021", "2022"], "M8[Y]"), [10**400, 0, 1],
    [1, 0], [1, 0, 1, 0], [],
]  # fmt: skip
NO_RIGHT = [[2, 0, 1], [-1e-9, 0, 1], [math.inf, 0, 1]]
NO_SHARE = ["0.5", None, True, math.nan, math.inf, -0.1, 1.1, 50, [0.5, 0.6], 1j]
GOOD = ([3.0, 1.0, 2.0], [0, 1, 0], [1, 1, 0])
FUNCTIONS = {
    "curve": metrics.curve,
    "apgr": metrics.apgr,
    "quantiles": lambda *given: metrics.apgr(*given, quantiles=10),
    "cpt": lambda *given: metrics.cpt(*given, 0.5),
    "first": lambda s, w, b: metrics.apgr_difference(s, GOOD[0], w, b),
    "second": lambda s, w, b: metrics.apgr_difference(GOOD[0], s, w, b, seed=0),
}


@contract("metrics")
@examples(100)
@given(st.data(), st.integers(1, 6))
def test_an_area_is_that_of_a_loop(data, n):
    column = lambda values: data.draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    scores = column(st.integers(-3, 3))
    weak, strong = (column(st.sampled_from([0, 0.5, 1])) for _ in "ws")
    assume(sum(strong) > sum(weak))
    gained = [Fraction(s) - Fraction(w) for w, s in zip(weak, strong)]
    below = [sum(t < s for t in scores) + Fraction(sum(t == s for t in scores), 2) for s in scores]
    true = sum(d * b for d, b in zip(gained, below)) / (n * sum(gained))
    given = [held(data.draw, values) for values in (scores, weak, strong)]
    assert math.isclose(metrics.apgr(*given), true, abs_tol=1e-9)


@contract("metrics")
def test_scores_and_grades_that_fit_no_items_are_refused():
    calls = {}
    for name, call in FUNCTIONS.items():
        for place in range(3):
            for bad in NO_COLUMN + (NO_RIGHT if place else []):
                given = [*GOOD]
                given[place] = bad
                calls[f"{name} {place} {bad!r}"] = lambda call=call, given=given: call(*given)
        calls[f"{name} swapped"] = lambda call=call: call(GOOD[0], GOOD[2], GOOD[1])
        calls[f"{name} equal"] = lambda call=call: call(GOOD[0], GOOD[1], GOOD[1])
    # A curve has accuracies also where there is no gap.
    assert metrics.curve(GOOD[0], GOOD[1], GOOD[1])[1].tolist() == [1 / 3] * 4
    collected(
        {what: call for what, call in calls.items() if what[:7] not in ("curve s", "curve e")}
    )


@contract("metrics")
def test_shares_levels_and_numbers_are_checked():
    weak, strong = GOOD[1:]
    table = lab.Outcomes(models=["a", "b"], items=[0, 1], correct=[[1, 0], [0, 1]])
    decision = lab.Cascade(("a",)).decide(table)
    no_list = [None, 3, "ab", {}, [1, "2"], [1, None], [1, math.inf], [1, 2, 3], [], [[1, 2]]]
    collected(
        {f"share {x!r}": lambda x=x: metrics.cpt(*GOOD, x) for x in NO_SHARE}
        | {f"weak {x!r}": lambda x=x: metrics.pgr(0.5, x, 1.0) for x in NO_SHARE}
        | {f"strong {x!r}": lambda x=x: metrics.pgr(0.5, 0.1, x) for x in NO_SHARE}
        | {
            f"accuracy {x!r}": lambda x=x: metrics.pgr(x, 0.1, 0.9)
            for x in ("0.5", 68.0, math.nan, [0.5, None], [[1], [2, 3]], 1j)
        }
        | {
            f"band {x!r}": lambda x=x: metrics.noise_band(weak, strong, x)
            for x in ("0.5", -0.1, [0.5, 2], math.nan, None, 1j)
        }
        | {
            f"level {x!r}": lambda x=x: metrics.apgr_difference(*GOOD[:1], *GOOD, level=x)
            for x in (0, 1, 95, "0.95", None)
        }
        | {
            f"seed {x!r}": lambda x=x: metrics.apgr_difference(*GOOD[:1], *GOOD, seed=x)
            for x in (-1, 1.5, "0", True)
        }
        | {
            f"quantiles {x!r}": lambda x=x: metrics.apgr(*GOOD, quantiles=x)
            for x in (0, -1, 2.5, "10", True, [10])
        }
        | {f"cost {x!r}": lambda x=x: metrics.aiq(x, [0.1, 0.2]) for x in no_list}
        | {f"quality {x!r}": lambda x=x: metrics.hull([1, 2], x) for x in no_list}
        | {
            f"between {x!r}": lambda x=x: metrics.aiq([1, 2], [0.1, 0.2], between=x)
            for x in ((0, 2), (2, 1), (1,), (1, 2, 3), 3, "12", (1, math.nan), (1, None), {1: 2})
        }
        | {
            f"usd {x!r}": lambda x=x: metrics.arena_score(0.5, x)
            for x in (0, -1, 201, math.nan, math.inf, "1", None, [0.1, 0], 1j)
        }
        | {"shapes": lambda: metrics.arena_score([0.1, 0.2], [1, 2, 3])}
        | {
            f"right {x!r}": lambda x=x: metrics.arena_score(x, 0.5)
            for x in (75.97, -0.1, "0.7", None, math.nan)
        }
        | {
            f"decision {x!r}": lambda x=x: metrics.oracle_gain(x, table)
            for x in (None, table, [1, 0], "a", lab.Cascade(("a",)))
        }
        | {
            f"outcomes {x!r}": lambda x=x: metrics.oracle_gain(decision, x)
            for x in (None, decision, [[1]], "t.csv", table.take([0]), table.select(models=["a"]))
        }
        | {
            f"options {x!r}": lambda x=x: metrics.oracle_gain(decision, table, options=x)
            for x in ("4", 0, [2, 2, 2], [[2], [2, 3]], [2, None], 1j)
        }
    )


@contract("load_prices", "priced")
def test_prices_and_prompts_are_numbers_from_0_up():
    table = lab.Outcomes(models=["a"], items=[0, 1], correct=[[1], [0]], tokens=[[1], [2]])
    prices = {"a": (1.0, 2.0)}
    no_pair = [
        None,
        1,
        "12",
        (1,),
        (1, 2, 3),
        (1, None),
        (-1, 2),
        (1, math.inf),
        ("1", "2"),
        {1: 2},
    ]
    collected(
        {
            f"prompt {x!r}": lambda x=x: lab.priced(table, x, prices)
            for x in (
                None,
                "10",
                True,
                -1,
                math.nan,
                [1],
                [1, 2, 3],
                [1, "2"],
                [[1], [2]],
                {1: 2},
                1j,
            )
        }
        | {f"pair {x!r}": lambda x=x: lab.priced(table, 10, {"a": x}) for x in no_pair}
        | {
            f"prices {x!r}": lambda x=x: lab.priced(table, 10, x)
            for x in (3, "a", [1, 2], {}, table)
        }
        | {f"outcomes {x!r}": lambda x=x: lab.priced(x, 10, prices) for x in (None, [1], "t.csv")}
        | {
            "no tokens": lambda: lab.priced(
                lab.Outcomes(models=["a"], items=[0], correct=[[1]]), 10, prices
            )
        }
    )
    assert np.allclose(lab.priced(table, [10, 0], prices).cost[:, 0], [12e-6, 4e-6], rtol=1e-12)
    assert {"input", "output", "match"} <= {*lab.load_prices().columns}
