"""Draft trees and lossy rules: arguments in every form that holds them, and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

pytest.importorskip("torch")
P, Q = [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]
NUMBERS = (0, -1, 1.5, "2", True, None, math.nan, 10**6)


@contract("verify_children", "children_distribution", "best_shape", "shape_tokens")
@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series])
def test_distributions_and_chances_come_in_any_form(form):
    chances, accepted = lab.children_distribution(form(P), form(Q), np.int64(2))
    assert np.allclose(chances, P) and accepted == pytest.approx(107 / 140)
    rng = np.random.default_rng(0)
    index, token = lab.verify_children(form(P), form(Q), form([3, 2]), rng)
    assert index in (None, 0, 1) and 0 <= token < 4
    shape = lab.best_shape(form([0.5, 0.25]), np.int64(4), depth=np.int64(2))
    assert lab.shape_tokens(form(shape), form([0.5, 0.25])) == 2.125
    assert lab.best_shape([Fraction(1, 2)], 3) == (-1, 0, 1)


@contract("verify_children", "children_distribution", "best_shape", "shape_tokens")
def test_what_is_no_distribution_shape_or_number_is_refused():
    wrong = ([], [0.5], [0.5, 0.6], [1.5, -0.5], [math.nan, 1], "ab", None, 1, [P, P], [True])
    children = ([4], [-1], [1, 1], [0.5], "ab", None, 3, [None])
    rng = np.random.default_rng(0)
    shapes = ((), (0,), (-1, 1), (-2,), (-1, 0.5), (-1, True), "ab", None, 3, [[-1]], {-1: 0})
    collected(
        {f"p {x!r}": lambda x=x: lab.children_distribution(x, Q, 2) for x in wrong}
        | {f"q {x!r}": lambda x=x: lab.verify_children(P, x, [0], rng) for x in wrong}
        | {f"children {x!r}": lambda x=x: lab.verify_children(P, Q, x, rng) for x in children}
        | {"never drawn": lambda: lab.verify_children(P, [0, 0, 0, 1], [0], rng)}
        | {
            f"how many {x!r}": lambda x=x: lab.children_distribution(P, Q, x)
            for x in (-1, 1.5, "2", True, None)
        }
        | {"too many": lambda: lab.children_distribution([0.02] * 50, [0.02] * 50, 9)}
        | {
            f"chances {x!r}": lambda x=x: lab.best_shape(x, 3)
            for x in ([], [2], [math.nan], "a", 1)
        }
        | {f"nodes {x!r}": lambda x=x: lab.best_shape([0.5], x) for x in NUMBERS}
        | {f"depth {x!r}": lambda x=x: lab.best_shape([0.5], 3, x) for x in NUMBERS[:5]}
        | {f"shape {x!r}": lambda x=x: lab.shape_tokens(x, [0.5]) for x in shapes}
        | {f"tree {x!r}": lambda x=x: lab.DraftTree("head", x) for x in shapes if x is not None}
    )


@contract("DraftTree", "decode", "stream")
def test_a_tree_of_the_tiny_pair_writes_the_plain_text():
    tiny, small = (lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft"))
    asked = {"max_new_tokens": 12}
    plain = lab.decode(tiny, "The sea was", **asked).tokens
    for tree in (
        lab.DraftTree(small, nodes=6, width=2, depth=3),
        lab.DraftTree(small, shape=np.array([-1, -1, 0])),
        lab.DraftTree(small.model, shape=[-1, 0, -1]),
    ):
        for gamma in (4, None):
            assert lab.decode(tiny, "The sea was", tree, gamma=gamma, **asked).tokens == plain
    seeded = {"temperature": 1.0, "gamma": 3, "seed": 2, **asked}
    tree = lab.DraftTree(small, shape=(-1, -1, 0))
    assert (
        lab.decode(tiny, "a", tree, **seeded).tokens == lab.decode(tiny, "a", tree, **seeded).tokens
    )


@contract("DraftTree", "hits_by_depth")
def test_what_grows_no_tree_is_refused():
    tiny = lab.load("tiny")
    collected(
        {
            f"{name} {x!r}": lambda name=name, x=x: lab.DraftTree("head", **{name: x})
            for name in ("nodes", "width", "depth")
            for x in NUMBERS
        }
        | {
            f"draft {x!r}": lambda x=x: lab.decode(tiny, "a", lab.DraftTree(x), gamma=3)
            for x in (None, "lookup", "no such", 7, lab.DraftTree("head"), [])
        }
        | {"head of another": lambda: lab.hits_by_depth(tiny, "a")}
        | {"no head": lambda: lab.hits_by_depth(tiny, "a", tiny)}
        | {
            f"hits {name} {x!r}": lambda name=name, x=x: lab.hits_by_depth(tiny, "a", **{name: x})
            for name in ("most", "depth", "max_new_tokens")
            for x in NUMBERS[:5]
        }
    )


@contract("Typical", "Lenience", "Mixture", "exact_divergence", "measured_divergence")
def test_rules_take_numbers_and_tell_what_is_lost():
    models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in (P, Q)]
    for rule, lost in (
        (lab.Mixture(np.float32(0.5)), 0.2),
        (lab.Mixture(1), 0.0),
        (lab.Mixture(0), 0.4),
        (lab.Lenience(1), 0.0),
    ):
        for tokens in ([0], (0, 1), np.array([0])):
            found = lab.exact_divergence(*models, tokens, np.int64(2), 1, rule)
            assert found.total_variation == pytest.approx(lost) and found.kl >= 0
    tiny, small = (lab.load(name) for name in ("tiny", "tiny-draft"))
    found = lab.measured_divergence(tiny, small, ["a", "b"], lab.Typical(), max_new_tokens=6)
    assert 0 <= found.total_variation <= 1 and found.kl >= 0


@contract("Typical", "Lenience", "Mixture", "exact_divergence", "measured_divergence")
def test_rules_out_of_range_are_refused():
    tiny, small = (lab.load(name) for name in ("tiny", "tiny-draft"))
    models = [lambda tokens, x=x: np.array([x] * len(tokens)) for x in (P, Q)]
    wrong = (-0.1, 1.1, math.nan, "a", None, True, [0.5])
    no_rules = ("typical", None, 1, lab.Typical)
    collected(
        {
            f"{kind} {x!r}": lambda kind=kind, x=x: kind(x)
            for kind in (lab.Typical, lab.Lenience, lab.Mixture)
            for x in wrong
        }
        | {f"delta {x!r}": lambda x=x: lab.Typical(delta=x) for x in (0, *wrong)}
        | {"no lenience": lambda: lab.Lenience(0)}
        | {f"rule {x!r}": lambda x=x: lab.exact_divergence(*models, [0], 1, 1, x) for x in no_rules}
        | {
            f"measured {x!r}": lambda x=x: lab.measured_divergence(tiny, small, "a", x)
            for x in no_rules
        }
        | {
            f"gamma, n {x!r}": lambda x=x: lab.exact_divergence(*models, [0], *x, lab.Typical())
            for x in ((0, 1), (1, 0), (1.5, 1), (1, "2"), (True, 1), (1, 40))
        }
        | {"no text": lambda: lab.exact_divergence(*models, [], 1, 1, lab.Typical())}
        | {
            f"verification {x!r}": lambda x=x: lab.decode(
                tiny, "a", small, temperature=1.0, verification=x
            )
            for x in ("lenience", "mixture", "Typical", lab.Typical, 0.5)
        }
        | {
            f"greedy {x!r}": lambda x=x: lab.decode(tiny, "a", small, verification=x)
            for x in ("typical", lab.Lenience(0.5), lab.Mixture(0.5))
        }
    )
