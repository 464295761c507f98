"""Routers: names, labels and the order of items change nothing; what is wrong is refused."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.forms import arrays
from tests.contracts.hostile import examples, odd_names, several_of, tables
from tests.contracts.plain import Table
from tests.contracts.registry import collected, contract, quiet

complete = tables(
    items=st.integers(6, 10).map(lambda n: [f"q{i}" for i in range(n)]),
    models=st.sampled_from([["small", "big"], ["a", "b", "c"]]),
    labels=st.just(["A", "B", "C"]),
    answers=True,
    graded=False,
    whole=True,
    measures=("confidence", "cost"),
    facts=False,
)
KINDS = {
    "RandomRouter": lambda first: lab.RandomRouter(),
    "LengthRouter": lambda first: lab.LengthRouter(),
    "GroupRouter": lambda first: lab.GroupRouter(),
    "QualityRouter": lambda first: lab.QualityRouter(),
    "GapRouter": lambda first: lab.GapRouter(),
    "FactorRouter": lambda first: lab.FactorRouter(rank=1),
    "NeighbourRouter": lambda first: lab.NeighbourRouter(3, groups=True),
    "SimilarityRouter": lambda first: lab.SimilarityRouter(),
    "LabelRouter": lambda first: lab.LabelRouter(first=first, bins=2),
    "BudgetRouter": lambda first: lab.BudgetRouter(1e6, lab.GroupRouter()),
    # These depend on the order of the items that they are fitted on.
    "ClusterRouter": lambda first: lab.ClusterRouter(2),
    "EloRouter": lambda first: lab.EloRouter(2),
    "DynamicSelection": lambda first: lab.DynamicSelection(2),
    "SubsetRouter": lambda first: lab.SubsetRouter(2),
    "CachedRouter": lambda first: lab.CachedRouter(0.0, lab.GroupRouter()),
}
BY_ORDER = ("ClusterRouter", "EloRouter")


@contract(*KINDS, "Router")
@examples(60)
@given(table=complete, data=st.data())
def test_names_and_orders_change_no_score(table, data):
    kind = data.draw(st.sampled_from(list(KINDS)), label="router")
    for i, item in enumerate(table.items):
        number = data.draw(st.integers(0, 99)) + i / 16
        table.facts[item] |= {"feature:question_chars": number, "feature:embedding_00": -number / 7}
        table.facts[item]["group"] = data.draw(st.sampled_from(["x", "y"]))
    table.__post_init__()
    odd = data.draw(several_of(odd_names, least=14, most=16).filter(lambda v: len(v) >= 13))
    models = dict(zip(table.models, reversed(odd), strict=False))
    items = dict(zip(table.items, odd, strict=False))
    rows = [row | {"item": items[row["item"]], "model": models[row["model"]]} for row in table.rows]
    facts = {items[item]: known for item, known in table.facts.items()}
    order = list(table.items)
    if kind not in BY_ORDER:
        order = data.draw(st.permutations(order))
    other = Table([models[m] for m in table.models], [items[i] for i in order], rows, facts)
    before, after = lab.Outcomes(**arrays(table)), lab.Outcomes(**arrays(other))
    with quiet():
        one = KINDS[kind](before.models[0]).fit(before)
        two = KINDS[kind](after.models[0]).fit(after)
        place = [table.items.index(item) for item in order]
        scores, moved = one.scores(before)[place], two.scores(after)
        decision = one.decide(before)
    if kind != "RandomRouter":
        assert np.allclose(scores, moved, atol=1e-4), kind
    assert scores.shape == moved.shape == (len(order), len(table.models))
    assert np.isfinite(scores).all() and len(decision) == len(order)
    assert (decision.called.sum(axis=1) > 0).all() or kind == "CachedRouter"


@contract("Router", "Route")
def test_a_route_names_a_model_of_the_pool():
    table = lab.Outcomes(
        models=["small", "big"], items=range(4), correct=[[1, 0], [1, 0], [0, 1], [0, 1]],
        group=["x", "x", "y", "y"],
    )  # fmt: skip
    route = lab.GroupRouter().fit(table).route("?", group="y")
    assert route.model == "big" and set(route.scores) == {"small", "big"} and "y" in route.why
    router = lab.GroupRouter().fit(table)
    collected(
        {f"question {q!r}": lambda q=q: router.route(q, group="x") for q in ("", " ", None, 7, [])}
        | {"no group": lambda: router.route("?")}
        | {"features": lambda: router.route("?", group="x", features=lambda texts: 3)}
    )


@contract(*KINDS)
def test_settings_that_are_wrong_are_refused():
    table = lab.Outcomes(
        models=["small", "big"], items=range(4), correct=[[1, 0], [1, 0], [0, 1], [0, 1]],
        cost=[[1, 2]] * 4, group=["x", "x", "y", "y"], features={"n": [1, 2, 3, 4]},
    )  # fmt: skip
    no_number = ["high", None, True, math.nan, -0.1, 1.1, 85, [0.5]]
    no_count = ["3", 0, -1, math.nan]
    no_names = ["small", (), (1, 2), ("small", "small"), {"small"}, 7]
    collected(
        {
            f"weight {x!r}": lambda x=x: lab.GroupRouter(cost_weight=x)
            for x in no_number
            if x is not True
        }
        | {f"models {x!r}": lambda x=x: lab.GroupRouter(models=x) for x in no_names}
        | {f"features {x!r}": lambda x=x: lab.QualityRouter(features=x) for x in no_names}
        | {f"cached {x!r}": lambda x=x: lab.CachedRouter(features=x) for x in no_names}
        | {f"neighbours {x!r}": lambda x=x: lab.NeighbourRouter(x) for x in no_count}
        | {f"size {x!r}": lambda x=x: lab.SubsetRouter(x) for x in no_count}
        | {f"of {x!r}": lambda x=x: lab.SubsetRouter(2, x) for x in ("QualityRouter", None, 7)}
        | {f"budget of {x!r}": lambda x=x: lab.BudgetRouter(2, x) for x in (lab.GroupRouter, 7)}
        | {f"cache of {x!r}": lambda x=x: lab.CachedRouter(0.1, x) for x in (lab.MajorityVote(),)}
        | {f"fit {x!r}": lambda x=x: lab.GroupRouter().fit(x) for x in (None, "t", [[1]])}
        | {f"scores {x!r}": lambda x=x: lab.GroupRouter().fit(table).scores(x) for x in (None, 3)}
        | {
            "price": lambda: lab.GroupRouter(prices={"small": -1.0}),
            "prices of another": lambda: lab.GroupRouter(prices={"tiny": 1.0}).fit(table),
            "a feature": lambda: lab.QualityRouter(features=("m",)).fit(table),
            "one feature": lambda: lab.LengthRouter(feature="m").fit(table),
            "no length": lambda: lab.LengthRouter().fit(table),
            "radius": lambda: lab.CachedRouter(-1.0),
            "no answers": lambda: lab.CachedRouter(0.1, lab.GroupRouter()).fit(table),
            "no confidence": lambda: lab.LabelRouter(first="small").fit(table),
        }
    )
