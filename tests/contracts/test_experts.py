"""Layers of experts: settings of any whole type, counts in any form, and what is neither."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet

torch = pytest.importorskip("torch")

COUNTS = [3, 0, 5]
KEEP = [list, tuple, np.array, torch.tensor, pd.Series, pl.Series]
NO_COUNT = [0, -1, 1.5, True, "2", None, [2]]
NO_NUMBER = ["1", True, math.nan, -0.5, [0.5], 1j]
NO_TOKENS = [None, "ab", [[1.0, 2.0]], np.zeros((3, 4)), torch.zeros(4), torch.zeros(3, 5)]
NO_TOKENS += [torch.zeros(3, 4).double(), torch.zeros(3, 4).long(), torch.full((3, 4), math.nan)]


def layer(**settings):
    return lab.MixtureOfExperts(**{"d_model": 4, "hidden": 8, "experts": 4, "k": 2} | settings)


@contract("MixtureOfExperts")
def test_numpy_settings_are_numbers():
    sizes = {"d_model": np.int64(4), "hidden": np.uint8(8), "experts": np.int32(4)}
    moe = layer(**sizes, k=np.int64(1), capacity=np.float32(1.5), router="switch")
    moe.load_state_dict(layer().state_dict())
    with quiet():
        found, routing = moe(torch.ones(3, 4))
    assert found.shape == (3, 4) and routing.choices.shape == (3, 1)


@contract("MixtureOfExperts")
def test_what_is_no_setting_or_token_is_refused():
    moe = layer(router="sigmoid")
    routing = moe(torch.zeros(3, 4))[1]
    counts = ("d_model", "hidden", "experts", "k")
    collected(
        {f"{name} {x!r}": lambda n=name, x=x: layer(**{n: x}) for name in counts for x in NO_COUNT}
        | {f"capacity {x!r}": lambda x=x: layer(capacity=x) for x in NO_NUMBER}
        | {f"router {x!r}": lambda x=x: layer(router=x) for x in [None, "top", ["switch"], 1]}
        | {f"tokens {x!r}": lambda x=x: moe(x) for x in NO_TOKENS}
        | {f"rate {x!r}": lambda x=x: moe.rebalance(routing, x) for x in ["1", None, True, [1]]}
        | {"no bias": lambda: layer().rebalance(routing)}
    )  # fmt: skip


@contract("balance_loss", "router_z_loss")
def test_losses_take_one_routing_or_several():
    routing = layer()(torch.eye(4))[1]
    for loss in (lab.balance_loss, lab.router_z_loss):
        assert loss(routing) == loss([routing]) == loss((routing, routing))
    wrong = [None, [], "ab", 7, [routing, None], routing.logits, [routing.logits]]
    collected(
        {f"{loss.__name__} {x!r}": lambda x=x, f=loss: f(x)
         for loss in (lab.balance_loss, lab.router_z_loss) for x in wrong}
    )  # fmt: skip


@contract("max_violation", "usage_entropy")
@pytest.mark.parametrize("keep", KEEP)
def test_counts_come_in_any_form(keep):
    with quiet():
        assert math.isclose(lab.max_violation(keep(COUNTS)), 0.875)
        shares = [3 / 8, 5 / 8]
        assert math.isclose(lab.usage_entropy(keep(COUNTS)), -sum(p * math.log(p) for p in shares))


@contract("max_violation", "usage_entropy")
def test_what_is_no_count_is_refused():
    wrong = [None, "ab", [], [0, 0], [-1, 2], [math.nan], [[1, 2]], ["a"], 7, {"a": 1}, [1j]]
    collected(
        {f"{f.__name__} {x!r}": lambda x=x, f=f: f(x)
         for f in (lab.max_violation, lab.usage_entropy) for x in wrong}
    )  # fmt: skip


@contract("experts_from_dense")
def test_groups_come_in_any_form():
    gate, up, down = torch.ones(6, 4), torch.ones(6, 4), torch.ones(4, 6)
    labels = [0, 1, 2, 2, 1, 0]
    true = lab.experts_from_dense(gate, up, down, labels, 2)
    assert true.down.shape == (3, 4, 2)
    for keep in KEEP:
        found = lab.experts_from_dense(gate, up, down, keep(labels), np.int64(2))
        assert all(map(torch.equal, found.state_dict().values(), true.state_dict().values()))
    assert lab.experts_from_dense(gate, up, down, np.int64(3)).down.shape == (3, 4, 2)


@contract("experts_from_dense")
def test_what_cannot_be_taken_apart_is_refused():
    gate, up, down = torch.ones(6, 4), torch.ones(6, 4), torch.ones(4, 6)
    groups = [4, 0, -3, True, 1.5, "3", None, [], [0, 1], ["a"] * 6, [0.0] * 6, [0] * 5 + [1]]
    weights = [(None, up, down), (gate, up, gate), (gate, up.numpy(), down), (gate, up[:5], down)]
    collected(
        {f"groups {x!r}": lambda x=x: lab.experts_from_dense(gate, up, down, x) for x in groups}
        | {f"weights {i}": lambda x=x: lab.experts_from_dense(*x, 3)
           for i, x in enumerate(weights)}
        | {"k": lambda: lab.experts_from_dense(gate, up, down, 3, 4)}
    )  # fmt: skip


@contract("digits_of_four_kinds")
def test_a_seed_is_a_kind_for_each_digit():
    X, y, kinds = lab.digits_of_four_kinds(np.int64(3))
    assert X.shape == (1797, 64) and set(y) == set(range(10)) and kinds.shape == (1797,)
    assert np.array_equal(X, lab.digits_of_four_kinds(np.random.RandomState(3))[0])
    for wrong in ("a", -1, 1.5, []):
        with pytest.raises(ValueError, match="random_state.*a whole number"):
            lab.digits_of_four_kinds(wrong)
