"""Deferral, limited teacher and DoLa: what their settings take, and what is refused."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract

pytest.importorskip("torch")
WRONG = (-0.1, 1.1, math.nan, math.inf, "0.1", None, True, [0.5])
NO_PROMPT = (None, 1, [], ["a", "b"], {"a": 1})


@pytest.fixture(scope="module")
def pair():
    return [lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft")]


@contract("ConfidenceDeferral", "defer_tokens", "measure_deferral")
@pytest.mark.parametrize("form", [int, np.int64, np.float32])
def test_thresholds_at_their_ends_are_the_models(pair, form):
    asked = {"max_new_tokens": np.int64(4)}
    for prompt in ("The sea was", pair[0].token_ids("The sea was")):
        for threshold, model in ((0, pair[1]), (1, pair[0])):
            right = lab.decode(model, prompt, max_new_tokens=4).tokens
            for measure in ("max probability", "margin", "entropy"):
                rule = lab.ConfidenceDeferral(measure, form(threshold))
                assert lab.defer_tokens(*pair, prompt, rule, **asked).tokens == right
                both = lab.CombinedModel(pair, rule)
                assert lab.decode(both, prompt, pair[1], **asked).tokens == right
            for prompts in (prompt, [prompt], (one for one in [prompt])):
                found = lab.measure_deferral(*pair, prompts, rule, **asked)
                assert found.share == threshold and found.small.calls == 4
                assert (found.large, found.small)[1 - threshold].divergence.kl < 1e-9


@contract("LearnedDeferral", "fit_deferral", "fit_deferral_to_texts", "token_differences")
@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series])
def test_gates_take_weights_in_any_form(pair, form):
    gate = lab.LearnedDeferral(form([-20.0, 0.0, 0.0]), np.float32(10), 0.5)
    plain = lab.ConfidenceDeferral("max probability", 0.5)
    texts = {lab.defer_tokens(*pair, "The sea was", one, max_new_tokens=9) .tokens
             for one in (gate, plain)}  # fmt: skip
    assert len(texts) == 1
    learned = lab.fit_deferral(*pair, ["a", "The sea was"], max_new_tokens=8, threshold=1)
    found = lab.token_differences(*pair, "a", max_new_tokens=np.int64(8))
    assert "greedy tokens of tiny" in learned.trained_on and len(found.differs) <= 8
    for texts in ("The sea was calm.", ["The sea was calm.", "a cat"], np.array(["a cat"])):
        read = lab.fit_deferral_to_texts(*pair, texts, threshold=np.float64(1))
        assert "given texts" in read.trained_on and len(read.weights) == 3
    right = lab.decode(pair[1], "a", max_new_tokens=5).tokens
    assert lab.defer_tokens(*pair, "a", learned, max_new_tokens=5).tokens == right


@contract("Extrapolation", "limited_teacher")
@pytest.mark.parametrize("form", [int, np.int64])
def test_none_or_all_of_the_tokens_are_the_teachers(pair, form):
    for prompt in ("The sea was", pair[0].token_ids("The sea was")):
        right = [lab.decode(one, prompt, max_new_tokens=6).tokens for one in pair]
        for first, model in ((0, 1), (6, 0), (99, 0)):
            made = lab.limited_teacher(*pair, prompt, form(first), "lookup", max_new_tokens=6)
            assert made.tokens == right[model]
        for alpha in (0, 1):
            both = lab.CombinedModel(pair, lab.Extrapolation(form(alpha)))
            made = lab.limited_teacher(*pair, prompt, 6, alpha=form(alpha), max_new_tokens=6)
            assert made.tokens == right[1 - alpha]
            assert lab.decode(both, prompt, max_new_tokens=6).tokens == right[1 - alpha]
        found = lab.measure_limited_teacher(*pair, [prompt], form(3), max_new_tokens=6)
        assert found.share == 0.5 and found.large.calls == found.small.calls == 3


@contract("ConfidenceDeferral", "LearnedDeferral", "Extrapolation")
def test_no_rules_are_refused():
    gate, ones = lab.LearnedDeferral, (1, 1, 1)
    weights = ("abc", 1, None, (1, 2), (1, 2, 3, 4), ("a", 1, 1), (math.nan, 1, 1), {"a": 1})
    collected(
        {f"threshold {x!r}": lambda x=x: lab.ConfidenceDeferral("margin", x) for x in WRONG}
        | {f"gate {x!r}": lambda x=x: gate(ones, 0, x) for x in WRONG}
        | {f"weights {x!r}": lambda x=x: gate(x, 0) for x in weights}
        | {f"bias {x!r}": lambda x=x: gate(ones, x) for x in WRONG[2:]}
        | {f"said {x!r}": lambda x=x: gate(ones, 0, 0.5, x) for x in (None, 1, ["a"])}
        | {
            f"measure {x!r}": lambda x=x: lab.ConfidenceDeferral(x)
            for x in ("logit", "", None, 1, ["margin"], "MARGIN")
        }
        | {f"alpha {x!r}": lambda x=x: lab.Extrapolation(x) for x in WRONG if x != 1.1}
    )


@contract("defer_tokens", "measure_deferral", "limited_teacher", "measure_limited_teacher")
@contract("fit_deferral", "fit_deferral_to_texts", "token_differences")
def test_what_cannot_be_deferred_is_refused(pair):
    rule = lab.ConfidenceDeferral()
    calls = {
        "defer": lambda a, b, x, **way: lab.defer_tokens(a, b, x, rule, **way),
        "measure": lambda a, b, x, **way: lab.measure_deferral(a, b, x, rule, **way),
        "measured": lambda a, b, x, **way: lab.measure_limited_teacher(a, b, x, 3, **way),
        "limited": lambda a, b, x, **way: lab.limited_teacher(a, b, x, 3, **way),
        "fit": lab.fit_deferral,
        "differences": lab.token_differences,
    }
    several = ("measure", "measured", "fit", "differences")
    for name, call in calls.items():
        wrong = NO_PROMPT if name not in several else (None, 1, [], {"a": 1})
        collected(
            {f"{name} {x!r}": partial(call, *pair, x) for x in wrong}
            | {f"{name} of {x!r}": partial(call, x, pair[1], "a") for x in (None, "tiny")}
            | {f"{name} by {x!r}": partial(call, pair[0], x, "a") for x in (None, "tiny")}
            | {
                f"{name} {x!r} tokens": partial(call, *pair, "a", max_new_tokens=x)
                for x in (0, -1, 1.5, "4", None, True)
            }
        )
    collected(
        {
            f"rule {x!r}": lambda x=x: lab.defer_tokens(*pair, "a", x)
            for x in (None, "margin", lab.ConfidenceDeferral, lab.Averaging(), 0.5)
        }
        | {
            f"first {x!r}": lambda x=x: lab.limited_teacher(*pair, "a", x)
            for x in (-1, 0.5, "3", None, True)
        }
        | {
            f"alpha {x!r}": lambda x=x: lab.limited_teacher(*pair, "a", 3, alpha=x)
            for x in WRONG
            if x != 1.1
        }
        | {f"fit {x!r}": lambda x=x: lab.fit_deferral(*pair, "a", threshold=x) for x in WRONG}
        | {
            "temperature": lambda: lab.defer_tokens(*pair, "a", rule, temperature=-1),
            "seed": lambda: lab.defer_tokens(*pair, "a", rule, seed="a"),
            "the same two": lambda: lab.fit_deferral_to_texts(pair[0], pair[0], "The sea was"),
            "no texts": lambda: lab.fit_deferral_to_texts(*pair, []),
            "a token": lambda: lab.fit_deferral_to_texts(*pair, [[5]]),
            "one model": lambda: lab.fit_deferral_to_texts(pair[0], "tiny-draft", "The sea was"),
            "no model": lambda: lab.fit_deferral_to_texts(None, pair[1], "The sea was"),
            "ends": lambda: lab.fit_deferral_to_texts(*pair, "The sea was", threshold=2),
            "the same model": lambda: lab.fit_deferral(pair[0], pair[0], "a"),
        }
    )


@contract("DoLa")
@pytest.mark.parametrize("form", [list, tuple, np.array, pd.Series])
def test_layers_come_in_any_form(pair, form):
    right = lab.decode(pair[0], "The sea was", max_new_tokens=5).tokens
    texts = set()
    for layers in (form([1, 3]), form([3, 1])):
        both = lab.CombinedModel([pair[0]], lab.DoLa(layers))
        texts.add(lab.decode(both, "The sea was", "lookup", max_new_tokens=5).tokens)
        none = lab.CombinedModel([pair[0]], lab.DoLa(layers, np.float32(0)))
        assert lab.decode(none, "The sea was", max_new_tokens=5).tokens == right
    assert len(texts) == 1


@contract("DoLa")
def test_layers_that_there_are_not_are_refused(pair):
    layers = (0, 1, "12", (), (0,), (-1,), (1, 1), (1.5,), ("a",), (None,), (True,), {1: 2})
    collected(
        {f"layers {x!r}": lambda x=x: lab.DoLa(x) for x in layers}
        | {f"beta {x!r}": lambda x=x: lab.DoLa(beta=x) for x in WRONG if x != 1.1}
        | {f"alpha {x!r}": lambda x=x: lab.DoLa(alpha=x) for x in WRONG}
        | {f"layer {x}": lambda x=x: lab.CombinedModel(pair[:1], lab.DoLa((x,))) for x in (4, 30)}
        | {
            "one layer": lambda: lab.CombinedModel(pair[1:], lab.DoLa()),
            "two models": lambda: lab.CombinedModel(pair, lab.DoLa()),
        }
    )


@contract("boost_tokens", "TokenBoosting", "token_score")
def test_experts_learn_from_texts_in_any_form(pair):
    texts = ["The sea was calm.", "The sea was cold."]
    ids = [pair[1].token_ids(text) for text in texts]
    how = {"rounds": np.int64(1), "steps": 2, "rate": np.float32(0.01), "progress": False}
    found = set()
    for given in (texts, tuple(texts), np.array(texts), pd.Series(texts), ids):
        made = lab.boost_tokens(pair[1], given, **how)
        assert made.errors[0] < made.baseline and len(made.experts) == len(made.weights) == 1
        score = lab.token_score(made.combined(), given)
        assert score == pytest.approx(lab.token_score(made.experts[0], given))
        found.add(round(score.loss, 9))
    assert len(found) == 1


@contract("boost_tokens", "token_score")
def test_what_trains_no_expert_is_refused(pair):
    wrong = (0, -1, math.nan, "4", None, True, [1])
    weak, text = pair[1], "The sea was calm."
    both = lab.CombinedModel(pair, lab.Averaging())
    collected(
        {
            f"{name} {x!r}": lambda name=name, x=x: lab.boost_tokens(weak, text, **{name: x})
            for name in ("rounds", "steps", "batch", "rate")
            for x in wrong
        }
        | {f"base {x!r}": lambda x=x: lab.boost_tokens(x, text) for x in (None, "tiny", both)}
        | {f"model {x!r}": lambda x=x: lab.token_score(x, text) for x in (None, "tiny", 1)}
        | {f"texts {x!r}": lambda x=x: lab.boost_tokens(weak, x) for x in (None, 1, [], "", [[1]])}
        | {f"text {x!r}": lambda x=x: lab.token_score(weak, x) for x in (None, 1, [], "", [[1]])}
        | {
            "seed": lambda: lab.boost_tokens(weak, text, seed="a"),
            "long": lambda: lab.token_score(weak, [[5] * 600]),
        }
    )
