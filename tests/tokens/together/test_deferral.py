"""Token-level deferral and the limited teacher: identities, enumeration, drafts on top, refusals.

The familywise level of the statistics is 0.001.
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.core.errors import UnknownName
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.trees import DraftTree
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.together import deferring, limited
from ensemble_lab.tokens.together.combinations import Averaging
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.deferral import ConfidenceDeferral, LearnedDeferral, features_of
from ensemble_lab.tokens.together.deferring import defer_tokens, measure_deferral
from ensemble_lab.tokens.together.gates import (
    fit_deferral,
    fit_deferral_to_texts,
    negative_likelihood,
    token_differences,
)
from ensemble_lab.tokens.together.limited import (
    Extrapolation,
    limited_teacher,
    measure_limited_teacher,
)
from tests.support.toy_lm import (
    NO_WORDS,
    counted,
    every_way,
    exact_distribution,
    mutant,
    network,
    p_value,
    toy,
)
from tests.tokens.together.test_combined import plain_text

PROMPTS = ([4], [1, 2, 3], [5, 0, 5, 0, 5])
LEVEL = 0.001 / 4
RULES = {
    "max probability": ConfidenceDeferral("max probability", 0.45),
    "margin": ConfidenceDeferral("margin", 0.2),
    "entropy": ConfidenceDeferral("entropy", 0.4),
    "gate": LearnedDeferral((-4, 1, 0.5), 0.9, 0.4),
}


def pair():
    return toy(0), toy(1, layers=1)


# One token, by hand and by definition


def test_the_rules_by_hand():
    q = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]], dtype=torch.float64).log()

    def asks(measure, threshold):
        return ConfidenceDeferral(measure, threshold).asks(q).tolist()

    assert asks("max probability", 0.45) == [False, True]
    assert asks("max probability", 0.5 - 1e-9) == [False, True]
    assert asks("margin", 0.1) == [False, True] and asks("margin", 0.21) == [True, True]
    sure = [1 + sum(x * math.log(x) for x in row) / math.log(3) for row in q.exp().tolist()]
    assert sure[0] > sure[1]
    assert asks("entropy", sum(sure) / 2) == [False, True]
    gate = LearnedDeferral((1, -2, 0), 0.1)
    z = [0.5 - 2 * 0.2 + 0.1, 0.4 - 0 + 0.1]
    assert gate.scores(q).tolist() == pytest.approx(z)
    assert gate.chances(q).tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in z])
    between = 1 / (1 + math.exp(-0.35))
    assert replace(gate, threshold=between).asks(q).tolist() == [False, True]


logits_of = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(-40, 40), min_size=n, max_size=n), min_size=2, max_size=2)
)


@settings(deadline=None)
@given(logits_of, st.sampled_from([torch.float32, torch.float64]), st.floats(0, 1))
def test_the_ends_are_the_two_models(logits, dtype, threshold):
    large, small = torch.tensor(logits, dtype=dtype)
    p, q = large.log_softmax(-1), small.log_softmax(-1)
    for measure in ("max probability", "margin", "entropy"):
        assert torch.equal(ConfidenceDeferral(measure, 0).combined([large, small]), q)
        assert torch.equal(ConfidenceDeferral(measure, 1).combined([large, small]), p)
    for weights in ((-3, 2, 0.5), (0, 0, 0), (1e4, 0, 0)):
        for threshold_, right in ((0, p), (1, q)):
            rule = LearnedDeferral(weights, -1, threshold_)
            assert torch.equal(rule.combined([large, small]), right)
    for rule in RULES.values():  # whatever is asked, a model beside itself is that model
        assert torch.equal(rule.combined([small, small]), q)
        made = rule.combined([large, small])
        assert torch.equal(made, p) or torch.equal(made, q)
    # q + alpha (p - q) inside [0, 1] is a mean
    mixed = Extrapolation(threshold).combined([large, small]).exp()
    if 0 < threshold < 1:
        mean = Averaging((threshold, 1 - threshold)).combined([large, small]).exp()
        assert (mixed - mean).abs().max() < 1e-5
    assert torch.equal(Extrapolation(0).combined([large, small]), q)
    assert torch.equal(Extrapolation(1).combined([large, small]), p)


def test_beyond_the_teacher_by_hand():
    p, q = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]], dtype=torch.float64).log()
    right = np.array([0.7, 0.4, 0.1, 0]) / 1.2  # 0.1 + 2 * 0.3, 0.2 + 2 * 0.1, 0.3 - 2 * 0.1, ...
    assert Extrapolation(2).combined([p, q]).exp().numpy() == pytest.approx(right)


# Several tokens


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("ends", [None, 2])
def test_greedy_texts_are_those_of_the_formula_whatever_drafts(name, ends):
    large, small, rule = toy(0, eos_token_id=ends), toy(1, layers=1), RULES[name]
    both, shares = CombinedModel([large, small], rule), []
    for prompt in PROMPTS:
        right = plain_text(both, prompt, 14)
        if ends in right:
            right = right[: right.index(ends) + 1]
        for draft in (None, "lookup", small, DraftTree(toy(1, layers=1), nodes=5)):
            assert decode(both, prompt, draft, max_new_tokens=14, gamma=3).tokens == right
        made = defer_tokens(large, small, prompt, rule, max_new_tokens=14)
        assert made.tokens == right == sum((r.tokens for r in made.rounds), ())
        with torch.inference_mode():
            text = [*prompt, *right]
            logits = small.model(torch.tensor([text])).logits[0, len(prompt) - 1 : -1]
        asked = rule.asks(logits).tolist()
        assert sum(len(r.tokens) > r.accepted for r in made.rounds) == sum(asked)
        assert all(r.proposed == r.tokens[: r.accepted] for r in made.rounds)
        shares += asked
    assert ends is not None or 0 < np.mean(shares) < 1


def joint_of(monkeypatch, function, n):
    """The exact chances (V,) * n of n tokens, by going through whatever can be drawn."""
    chances = torch.zeros((6,) * n, dtype=torch.float64)
    for chance, text in every_way(function):
        chances[text] += chance
    return chances


@pytest.mark.parametrize("name", ["max probability", "gate"])
def test_sampled_texts_follow_the_combined_distribution_exactly(monkeypatch, name):
    large, small, rule = *pair(), RULES[name]

    def play(rng):
        def drawn(p, generator):
            return torch.tensor([rng.choice(6, p[0].tolist())])

        monkeypatch.setattr(deferring, "sampled", drawn)
        asked = {"max_new_tokens": 2, "temperature": 1.3}
        return defer_tokens(large, small, [1, 2, 3], rule, **asked).tokens

    made = joint_of(monkeypatch, play, 2)
    both = CombinedModel([large, small], rule)
    exact = exact_distribution(both, Sampling(1.3), [1, 2, 3], 2)
    assert (made - exact).abs().max() < 1e-12
    for one in (large, small):
        alone = exact_distribution(one, Sampling(1.3), [1, 2, 3], 2)
        assert (made - alone).abs().max() > 1e-3


@pytest.mark.parametrize("verification", ["token", "block"])
def test_a_draft_keeps_the_distribution(verification):
    large, small = toy(0, hidden=8), toy(1, layers=1, hidden=8)
    both = CombinedModel([large, small], RULES["max probability"])
    made = decode(both, [[1, 2, 3]] * 2000, small, max_new_tokens=3, seed=3, gamma=2,
                  temperature=1.2, verification=verification)  # fmt: skip
    exact = exact_distribution(both, Sampling(1.2), [1, 2, 3], 3)
    assert p_value((counted(torch.tensor([one.tokens for one in made])), exact)) > LEVEL


def test_the_ends_are_texts_of_one_model():
    large, small = pair()
    asked = {"max_new_tokens": 16, "temperature": 1.1, "seed": 7}
    for prompt in PROMPTS:
        texts = [decode(one, prompt, max_new_tokens=16).tokens for one in (large, small)]
        for measure in ("max probability", "margin", "entropy"):
            for threshold, right in ((1, texts[0]), (0, texts[1])):
                rule = ConfidenceDeferral(measure, threshold)
                made = defer_tokens(large, small, prompt, rule, max_new_tokens=16)
                assert made.tokens == right
                assert len(made.rounds) == (16 if threshold else 1)
        # Every token is drawn in turn, as in decoding without a draft.
        always = defer_tokens(large, small, prompt, ConfidenceDeferral(threshold=1), **asked)
        assert always.tokens == decode(large, prompt, **asked).tokens


@pytest.mark.parametrize(
    "old, new",
    [("rule.asks(scores)", "rule.asks(-scores)"),
     ("scores = big.read(text)", "scores = big.read([*text, 0])"),
     ("own, draft = [], 0.0\n                else", "draft = 0.0\n                else"),
     ("and token not in ends", "")],
)  # fmt: skip
def test_planted_faults_are_seen(old, new):
    wrong, found = mutant(defer_tokens, old, new), False
    for ends, prompt in itertools.product((None, 2), PROMPTS):
        large, small, rule = toy(0, eos_token_id=ends), toy(1, layers=1), RULES["max probability"]
        right = decode(CombinedModel([large, small], rule), prompt, max_new_tokens=14).tokens
        for function in (defer_tokens, wrong):
            made = function(large, small, prompt, rule, max_new_tokens=14)
            same = made.tokens == right == sum((r.tokens for r in made.rounds), ())
            assert same or function is wrong
        found |= not same
    assert found


def test_calls_seconds_and_divergence_are_reported():
    large, small, rule = *pair(), RULES["max probability"]
    asked = {"max_new_tokens": 9}
    found = measure_deferral(large, small, list(PROMPTS), rule, **asked)
    made = [defer_tokens(large, small, prompt, rule, **asked) for prompt in PROMPTS]
    calls = sum(len(r.tokens) > r.accepted for one in made for r in one.rounds)
    assert 0 < calls < 27 and found.large.calls == calls and found.small.calls == 27
    assert found.share == calls / 27 and found.large.seconds > 0 and found.small.seconds > 0
    for i, member in enumerate((found.large, found.small)):
        distance = []
        for prompt, text in zip(PROMPTS, made):
            for j in range(len(text.tokens)):
                ids = torch.tensor([[*prompt, *text.tokens[:j]]])
                with torch.inference_mode():
                    p, q = (one.model(ids).logits[0, -1].softmax(-1) for one in (large, small))
                pi = p if rule.asks(q.log()) else q
                distance.append(float((pi - (p, q)[i]).abs().sum()) / 2)
        assert member.divergence.total_variation == pytest.approx(np.mean(distance))
    ends = [measure_deferral(*pair(), [1], ConfidenceDeferral(threshold=t)) for t in (0, 1)]
    assert [one.share for one in ends] == [0, 1]
    assert ends[0].small.divergence.total_variation == 0 == ends[0].large.calls
    assert ends[1].large.divergence.total_variation == 0 < ends[1].small.divergence.kl


def test_an_interrupt_keeps_what_is_written(monkeypatch):
    large, small, rule = *pair(), RULES["max probability"]
    right = defer_tokens(large, small, [1, 2, 3], rule, max_new_tokens=14).tokens
    draw, calls = deferring.sampled, []

    def interrupted(p, generator):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return draw(p, generator)

    monkeypatch.setattr(deferring, "sampled", interrupted)
    made = defer_tokens(large, small, [1, 2, 3], rule, max_new_tokens=14)
    assert made.tokens == right[:7] == sum((r.tokens for r in made.rounds), ())


# The gate


def test_differences_are_those_of_greedy_texts():
    large, small = pair()
    found = token_differences(large, small, list(PROMPTS), max_new_tokens=8)
    at = 0
    for number, prompt in enumerate(PROMPTS):
        for i, token in enumerate(decode(large, prompt, max_new_tokens=8).tokens):
            ids = torch.tensor([[*prompt, *found.tokens[at - i : at].tolist()]])
            with torch.inference_mode():
                q = small.model(ids).logits[0, -1].softmax(-1)
            top = sorted(q.tolist())[::-1]
            assert (found.text[at], found.tokens[at]) == (number, token)
            assert found.differs[at] == (int(q.argmax()) != token)
            entropy = -sum(x * math.log(x) for x in top)
            assert found.features[at] == pytest.approx([top[0], top[0] - top[1], entropy])
            at += 1
    assert at == len(found.tokens) == 24


def test_a_gate_is_the_regression_on_these():
    large, small = pair()
    prompts = [[i, j] for i in range(6) for j in range(6)]
    gate = fit_deferral(large, small, prompts, max_new_tokens=6, threshold=0.4)
    found = token_differences(large, small, prompts, max_new_tokens=6)
    z = found.features @ np.array(gate.weights) + gate.bias
    chance = 1 / (1 + np.exp(-z))
    # Where the gradient of the regularised likelihood is 0
    assert chance.mean() == pytest.approx(found.differs.mean(), abs=1e-3)
    slope = found.features.T @ (found.differs - chance)
    assert slope == pytest.approx(np.array(gate.weights), abs=0.05)
    assert f"{len(z)} greedy tokens of a toy after 36 prompts" in gate.trained_on
    assert f"differs in {found.differs.mean():.0%}" in gate.trained_on and gate.threshold == 0.4
    shares = [
        measure_deferral(large, small, [1, 2], replace(gate, threshold=t), max_new_tokens=20).share
        for t in (0, chance.mean(), 1)
    ]
    assert shares[0] == 1 >= shares[1] >= shares[2] == 0


def test_nothing_to_learn_is_said():
    with pytest.raises(ValueError, match="differ nowhere in 6 tokens"):
        fit_deferral(toy(0), toy(0), [1, 2], max_new_tokens=6)


# The limited teacher


def test_the_first_tokens_are_the_teachers():
    large, small = pair()
    for prompt in PROMPTS:
        texts = [decode(one, prompt, max_new_tokens=12).tokens for one in (large, small)]
        for draft in (None, "lookup", small):
            asked = {"max_new_tokens": 12, "draft": draft, "gamma": 2}
            assert limited_teacher(large, small, prompt, 0, **asked).tokens == texts[1]
            for first in (12, 500):
                assert limited_teacher(large, small, prompt, first, **asked).tokens == texts[0]
            made = limited_teacher(large, small, prompt, 5, **asked)
            rest = decode(small, [*prompt, *texts[0][:5]], max_new_tokens=7).tokens
            assert made.tokens == texts[0][:5] + rest == sum((r.tokens for r in made.rounds), ())
            made = limited_teacher(large, small, prompt, 5, alpha=0, **asked)
            assert made.tokens == texts[1]
        helped = CombinedModel([large, small], Extrapolation(1.5))
        made = limited_teacher(large, small, prompt, 4, alpha=1.5, max_new_tokens=12)
        assert made.tokens[:4] == plain_text(helped, prompt, 4)


def test_an_end_or_the_context_ends_both_parts():
    large, small = toy(0, eos_token_id=2), toy(1, layers=1, eos_token_id=2)
    for prompt, first in itertools.product(PROMPTS, range(12)):
        made = limited_teacher(large, small, prompt, first, max_new_tokens=12).tokens
        assert 2 not in made[:-1]
    short = LanguageModel(network(3, max_position_embeddings=8), NO_WORDS, "short")
    for models in ((toy(0), short), (short, toy(0))):
        for first in (0, 2, 20):
            assert len(limited_teacher(*models, [1, 2, 3], first).tokens) == 5


def test_an_interrupt_in_the_first_part_ends_the_text(monkeypatch):
    large, small, asked = toy(0), toy(1), []

    def interrupted(model, ids, *_, **__):  # decode returns what it has
        asked.append(model)
        return decode(model, ids, max_new_tokens=2)

    monkeypatch.setattr(limited, "decode", interrupted)
    made = limited_teacher(large, small, [1], 5, max_new_tokens=12)
    assert asked == [large] and len(made.tokens) == 2


@pytest.mark.parametrize("fault", [False, True])
def test_both_parts_are_drawn_apart(monkeypatch, fault):
    large, small = toy(0, spread=0.3), toy(1, spread=0.3)
    if fault:
        monkeypatch.setattr(limited, "OTHER_SEED", 0)
    asked = {"temperature": 1.5, "max_new_tokens": 2}
    made = [limited_teacher(large, small, [1], 1, seed=i, **asked).tokens for i in range(700)]
    p = exact_distribution(large, Sampling(1.5), [1], 1)
    q = [exact_distribution(small, Sampling(1.5), [1, x], 1) for x in range(6)]
    seen = p_value((counted(torch.tensor(made)), torch.stack([a * b for a, b in zip(p, q)])))
    assert (seen < LEVEL) == fault


# What is refused


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, "a", None, True])
def test_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError, match="threshold="):
        ConfidenceDeferral("margin", threshold)
    with pytest.raises(ValueError, match="threshold="):
        LearnedDeferral((1, 1, 1), 0, threshold)


def test_what_is_no_rule():
    with pytest.raises(UnknownName, match="no measure"):
        ConfidenceDeferral("perplexity")
    for weights in ((1, 2), (1, 2, math.nan), "abc", (1, 2, 3, 4)):
        with pytest.raises(ValueError, match="weights"):
            LearnedDeferral(weights, 0)
    with pytest.raises(ValueError, match="bias=inf"):
        LearnedDeferral((1, 2, 3), math.inf)
    for wrong in (Averaging(), ConfidenceDeferral, "margin", None):
        with pytest.raises(ValueError, match=r"give one, such as ConfidenceDeferral\(\)"):
            defer_tokens(*pair(), [1], wrong)
    with pytest.raises(ValueError, match="alpha=-1"):
        limited_teacher(*pair(), [1], 1, alpha=-1)
    with pytest.raises(ValueError, match="first=-1"):
        limited_teacher(*pair(), [1], -1)


def test_models_that_do_not_fit_or_are_broken():
    broken = LanguageModel(network(3), NO_WORDS, "the broken one")
    broken.model.lm_head.weight.data[2] = math.nan
    asks = ConfidenceDeferral(threshold=0.9)
    calls = [
        lambda a, b: defer_tokens(a, b, [1, 2], asks),
        lambda a, b: limited_teacher(a, b, [1, 2], 3, max_new_tokens=6),
        lambda a, b: limited_teacher(a, b, [1, 2], 3, max_new_tokens=6, alpha=2),
        lambda a, b: token_differences(a, b, [1, 2]),
    ]
    for call in calls:
        for models in ((toy(0), broken), (broken, toy(0))):
            with pytest.raises(ModelError, match="the broken one"):
                call(*models)
        with pytest.raises(ModelError, match="vocabularies of 6 and 5"):
            call(toy(0), toy(0, vocabulary=5))
        with pytest.raises(ModelError, match="is not a language model"):
            call(toy(0), "tiny-draft")
    with pytest.raises(ModelError, match="2 prompts in a list"):
        defer_tokens(*pair(), [[1], [2]], asks)


# A gate by likelihood


def likelihood_of(texts, gate, large, small):
    """The log-likelihood of texts by going through all the ways in which models take turns."""
    total = 0.0
    for text in texts:
        steps = []
        for i in range(1, len(text)):
            with torch.inference_mode():
                p, q = (
                    x.model(torch.tensor([text[:i]])).logits[0, -1].softmax(-1)
                    for x in (large, small)
                )
            g = float(gate.chances(q.log()))
            steps.append(((1 - g) * float(q[text[i]]), g * float(p[text[i]])))
        ways = itertools.product((0, 1), repeat=len(steps))
        total += math.log(
            sum(math.prod(one[k] for one, k in zip(steps, way, strict=True)) for way in ways)
        )
    return total


def test_the_likelihood_is_the_sum_over_who_writes():
    large, small = pair()
    texts = [[1, 2, 3, 4], [5, 0, 1], [2, 2, 2, 5, 4]]
    rows, p, q = [], [], []
    for text in texts:
        ids = torch.tensor([text])
        with torch.inference_mode():
            scores = [x.model(ids).logits[0, :-1].log_softmax(-1) for x in (large, small)]
        rows.append(features_of(scores[1]))
        for logs, one in zip((p, q), scores, strict=True):
            logs.append(one.gather(-1, ids[0, 1:, None])[:, 0])
    x = torch.cat(rows).numpy()
    x = np.column_stack([x, np.ones(len(x))])
    p, q = torch.cat(p).numpy(), torch.cat(q).numpy()
    for gate in ([0.5, -1, 0.3, 0.2], [3, 2, -4, 1], [0, 0, 0, 0]):
        gate = np.array(gate, float)
        value, slope = negative_likelihood(gate, x, p, q)
        right = likelihood_of(texts, LearnedDeferral(gate[:3], gate[3]), large, small)
        assert value == pytest.approx(gate @ gate / 2 - right)
        for i in range(4):
            step = np.eye(4)[i] * 1e-6
            up, down = (negative_likelihood(gate + s, x, p, q)[0] for s in (step, -step))
            assert slope[i] == pytest.approx((up - down) / 2e-6, abs=1e-6)


def test_a_gate_learns_who_writes_better():
    large, small = pair()
    both = CombinedModel([large, small], RULES["margin"])  # texts in which they take turns
    prompts = [[i, j] for i in range(6) for j in range(6)]
    made = decode(both, prompts, max_new_tokens=8, temperature=1.0, seed=2)
    texts = [p + list(m.tokens) for p, m in zip(prompts, made)]
    gate = fit_deferral_to_texts(large, small, texts)
    assert gate.trained_on == f"{36 * 9} tokens of 36 given texts, by their likelihood"
    some = texts[:6]
    best = likelihood_of(some, gate, large, small)
    fixed = [LearnedDeferral((0, 0, 0), b) for b in (-9, 0, 9)]
    assert all(best > likelihood_of(some, one, large, small) for one in fixed)
    whole = fit_deferral_to_texts(large, small, [p + list(m.tokens) for p, m in zip(
        prompts, decode(large, prompts, max_new_tokens=8, temperature=1.0, seed=2))])  # fmt: skip
    q = torch.tensor([0.6, 0.2, 0.1, 0.1, 0, 0]).log()
    assert whole.chances(q) > gate.chances(q)  # texts of the large model alone
    with pytest.raises(ValueError, match="all 3 tokens the same probability"):
        fit_deferral_to_texts(toy(0), toy(0), [[1, 2, 3, 4]])


def test_the_limited_teacher_is_measured():
    large, small = pair()
    for first, alpha, draft in ((3, 1, None), (3, 1.5, None), (0, 1, None), (8, 1, "lookup")):
        way = {"alpha": alpha, "max_new_tokens": 8}
        found = measure_limited_teacher(large, small, list(PROMPTS), first, draft, **way)
        made = [limited_teacher(large, small, prompt, first, draft, **way) for prompt in PROMPTS]
        assert found.share == pytest.approx(first / 8)
        if draft is None:
            assert found.large.calls == 3 * first
            assert found.small.calls == 3 * (8 if alpha != 1 else 8 - first)
        assert (found.large.seconds > 0) == (first > 0)
        distance = [[], []]
        for prompt, text in zip(PROMPTS, made):
            for j in range(8):
                ids = torch.tensor([[*prompt, *text.tokens[:j]]])
                with torch.inference_mode():
                    p, q = (one.model(ids).logits[0, -1].softmax(-1) for one in (large, small))
                pi = Extrapolation(alpha if j < first else 0).combined([p.log(), q.log()]).exp()
                for i, own in enumerate((p, q)):
                    distance[i].append(float((pi - own).abs().sum()) / 2)
        for i, member in enumerate((found.large, found.small)):
            assert member.divergence.total_variation == pytest.approx(np.mean(distance[i]))
