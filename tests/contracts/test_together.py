"""Models that write one text together: what their settings take, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
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


@pytest.fixture(scope="module")
def pair():
    return [lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft")]


@contract("CombinedModel", "Averaging", "ProductOfExperts")
@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series])
def test_models_and_weights_come_in_any_form(pair, form):
    said = set()
    for kind in (lab.Averaging, lab.ProductOfExperts):
        for weights in (form([1.0, 0.0]), form([2, 0])):
            for models in (tuple(pair), (one for one in pair)):
                both = lab.CombinedModel(models, kind(weights))
                said.add(lab.decode(both, "The sea was", max_new_tokens=3).tokens)
    assert said == {lab.decode(pair[0], "The sea was", max_new_tokens=3).tokens}


@contract("ContrastiveDecoding", "ProxyTuning")
def test_no_contrast_is_the_expert_and_no_shift_the_base(pair):
    right = lab.decode(pair[0], "The sea was", max_new_tokens=3).tokens
    for rule in (lab.ContrastiveDecoding(np.float32(0)), lab.ContrastiveDecoding(1, 1)):
        both = lab.CombinedModel(pair, rule)
        assert lab.decode(both, "The sea was", pair[1], max_new_tokens=3).tokens == right
    for alpha, others in ((0, pair), (np.int64(2), [pair[1]] * 2)):
        three = lab.CombinedModel([pair[0], *others], lab.ProxyTuning(alpha))
        assert lab.decode(three, "The sea was", "lookup", max_new_tokens=3).tokens == right


@contract("CombinedModel", "Averaging", "ProductOfExperts", "ContrastiveDecoding", "ProxyTuning")
def test_no_combinations_are_refused(pair):
    combined, wrong = lab.CombinedModel, (-0.1, math.nan, math.inf, "0.1", None, True, [0.5])
    weights = ("ab", 1, {"tiny": 1}, {1, 2}, [[1, 2]], ["a", 1], [True, 1], [None, 1])
    weights += ([-1, 2], [0, 0], [math.nan, 1], [math.inf, 1], [])
    kinds = (lab.Averaging, lab.ProductOfExperts)
    collected(
        {f"{kind} {x!r}": lambda kind=kind, x=x: kind(x) for kind in kinds for x in weights}
        | {f"beta {x!r}": lambda x=x: lab.ContrastiveDecoding(x) for x in wrong}
        | {f"alpha {x!r}": lambda x=x: lab.ContrastiveDecoding(1, x) for x in (*wrong, 1.1)}
        | {f"form {x!r}": lambda x=x: lab.ContrastiveDecoding(1, 1, x) for x in ("li", None, 1)}
        | {f"shift {x!r}": lambda x=x: lab.ProxyTuning(x) for x in wrong}
        | {
            f"models {x!r}": lambda x=x: combined(x, lab.Averaging())
            for x in ("tiny", None, 1, [], ["tiny", "tiny-draft"], {"a": pair[0]}, pair[0])
        }
        | {
            f"combination {x!r}": lambda x=x: combined(pair, x)
            for x in ("averaging", None, 1, lab.Averaging, lab.Mixture(0.5))
        }
        | {
            "three weights": lambda: combined(pair, lab.Averaging([1, 1, 1])),
            "three models": lambda: combined([*pair, pair[0]], lab.ContrastiveDecoding()),
            "two models": lambda: combined(pair, lab.ProxyTuning()),
            "early exit": lambda: lab.decode(combined(pair, lab.Averaging()), "a", "early-exit:1"),
            "compiled": lambda: lab.decode(combined(pair, lab.Averaging()), "a", compiled=True),
        }
    )


@contract("measure_members")
def test_members_are_measured_or_refused(pair):
    both = lab.CombinedModel(pair, lab.Averaging())
    for prompts in ("a", ["a", "b"], (one for one in "ab"), np.array(["a", "b"])):
        found = lab.measure_members(both, prompts, pair[1], max_new_tokens=3, gamma=2)
        assert [one.weights for one in found] == [one.weights for one in pair]
        assert all(one.calls > 0 and 0 <= one.divergence.total_variation <= 1 for one in found)
    wrong = (pair[0], pair, None, "tiny")
    collected(
        {f"target {x!r}": lambda x=x: lab.measure_members(x, "a") for x in wrong}
        | {f"prompts {x!r}": lambda x=x: lab.measure_members(both, x) for x in (None, 1, [])}
        | {"draft": lambda: lab.measure_members(both, "a", "nothing")}
    )


@contract("big_little")
def test_two_models_write_by_turns_or_are_refused(pair):
    right = lab.decode(pair[0], "The sea was", max_new_tokens=4).tokens
    for prompt in ("The sea was", pair[0].token_ids("The sea was")):
        for way in (
            {"fallback": 2},
            {"rollback": 0},
            {"most": np.int64(1), "rollback": np.float32(0)},
        ):
            made = lab.big_little(*pair, prompt, max_new_tokens=4, **way)
            assert made.tokens == right
            for many in ([prompt], (prompt, "The big model"), np.array(["The sea was", "a"])):
                batch = lab.big_little(*pair, many, max_new_tokens=4, **way)
                assert len(batch) == len(many) and batch[0].tokens == right
    wrong = (-0.1, math.nan, "0.1", None, True, [0.5])
    calls = {
        f"{name} {x!r}": lambda name=name, x=x: lab.big_little(*pair, "a", **{name: x})
        for name in ("fallback", "rollback", "most", "max_new_tokens")
        for x in wrong
    }
    collected(
        calls
        | {f"{x!r}": lambda x=x: lab.big_little(*pair, x) for x in (None, 1, ["a", None], [])}
        | {f"large {x!r}": lambda x=x: lab.big_little(x, pair[1], "a") for x in (None, "tiny")}
        | {f"small {x!r}": lambda x=x: lab.big_little(pair[0], x, "a") for x in (None, "tiny")}
    )


@contract("VocabularyUnion", "decode_union")
@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series])
def test_vocabularies_are_joined_from_any_form(pair, form):
    union = lab.VocabularyUnion(form(pair))
    assert len(union) == union.shared + 1 == len(union.pieces)
    right = lab.decode(pair[0], "The sea was", max_new_tokens=4).text
    for weights, most in ((form([1.0, 0.0]), 4), (form([2, 0]), np.int64(4))):
        for top_k in (None, 1, np.int32(5)):
            way = {"weights": weights, "top_k": top_k, "max_new_tokens": most}
            for models in (form(pair), (one for one in pair), union):
                assert lab.decode_union(models, "The sea was", **way).text == right


@contract("VocabularyUnion", "decode_union")
def test_no_unions_are_refused(pair):
    union, written = lab.VocabularyUnion, lab.decode_union
    wrong = (0, -1, 1.5, "2", True, [1], math.nan)
    weights = ("ab", 1, [1], [1, -1], [0, 0], [math.nan, 1], ["a", 1], [True, 1], {"tiny": 1})
    calls = {
        f"{name} {x!r}": lambda name=name, x=x: written(pair, "a", **{name: x})
        for name, values in (
            ("top_k", wrong),
            ("max_new_tokens", (*wrong, None)),
            ("gate", (-0.1, math.nan, "0.5", True, [1])),
            ("temperature", (-1, math.nan, math.inf, "1", None, True)),
            ("seed", (1.5, "1", 2**70)),
            ("weights", weights),
        )
        for x in values
    }
    models = ("tiny", None, 1, [], ["tiny", "tiny-draft"], {"a": pair[0]}, pair[0], [pair[0], None])
    collected(
        calls
        | {f"models {x!r}": lambda x=x: union(x) for x in models}
        | {f"of models {x!r}": lambda x=x: written(x, "a") for x in models}
        | {
            f"prompt {x!r}": lambda x=x: written(pair, x)
            for x in (None, 1, [], ["a", "b"], [1, 2], [{"role": "user", "content": "a"}])
        }
    )
