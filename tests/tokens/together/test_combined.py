"""Combined models: identities, the formulas by hand, decoding with drafts on top, and refusals.

The familywise level of the statistics is 0.001.
"""

import math
import warnings
from time import perf_counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.trees import DraftTree
from ensemble_lab.tokens.lossy import Mixture
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.together.combinations import (
    Averaging,
    ContrastiveDecoding,
    ProductOfExperts,
    ProxyTuning,
)
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.members import measure_members
from tests.support.toy_lm import (
    NO_WORDS,
    counted,
    exact_distribution,
    network,
    p_value,
    toy,
    toy_head,
)

P, Q = ([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4])
LEVEL = 0.001 / 8
COMBINATIONS = {
    "averaging": (Averaging((2, 1)), 2),
    "product": (ProductOfExperts(), 2),
    "contrast": (ContrastiveDecoding(0.5, 0.2), 2),
    "original contrast": (ContrastiveDecoding(0.5, 0.2, "original"), 2),
    "proxy": (ProxyTuning(0.7), 3),
}


def combined_toy(kind):
    combination, n = COMBINATIONS[kind]
    return CombinedModel([toy(0), toy(1, layers=1), toy(2, hidden=8)][:n], combination)


def numbers(combination, *distributions):
    logits = [torch.tensor(d, dtype=torch.float64).log() for d in distributions]
    return combination.combined(logits).exp().numpy()


# One token, by hand and by definition


def test_the_worked_pair_by_hand():
    assert numbers(Averaging(), P, Q) == pytest.approx([0.25] * 4)
    root = np.array([2, math.sqrt(6), math.sqrt(6), 2])
    assert numbers(ProductOfExperts(), P, Q) == pytest.approx(root / root.sum())
    # p^1.5 q^-0.5 of the tokens with p >= 0.5 * 0.4
    right = np.array([0.4**1.5 / 0.1**0.5, 0.3**1.5 / 0.2**0.5, 0.2**1.5 / 0.3**0.5, 0])
    found = numbers(ContrastiveDecoding(0.5, 0.5), P, Q)
    assert found == pytest.approx(right / right.sum(), abs=1e-12)
    right = np.array([0.4 / 0.1**0.5, 0.3 / 0.2**0.5, 0.2 / 0.3**0.5, 0])
    found = numbers(ContrastiveDecoding(0.5, 0.5, "original"), P, Q)
    assert found == pytest.approx(right / right.sum(), abs=1e-12)
    right = np.array([0.4 * 2 / 1, 0.3 * 1 / 1, 0.2 * 1 / 1, 0.1 * 1 / 2])
    found = numbers(ProxyTuning(1), P, [0.4, 0.2, 0.2, 0.2], [0.2, 0.2, 0.2, 0.4])
    assert found == pytest.approx(right / right.sum(), abs=1e-12)


logits_of = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(-20, 20), min_size=n, max_size=n), min_size=3, max_size=3)
)


@settings(deadline=None)
@given(logits_of, st.floats(0, 3), st.floats(0, 1))
def test_identities(logits, strength, alpha):
    a, b, c = torch.tensor(logits, dtype=torch.float64)
    first = a.log_softmax(-1)

    def differ(combination, *given, right=first):
        return float((combination.combined(list(given)).exp() - right.exp()).abs().max())

    for kind in (Averaging, ProductOfExperts):
        assert differ(kind((1, 0)), a, b) < 1e-12 and differ(kind((0, 0, 3)), b, c, a) < 1e-12
        assert differ(kind(), a, a) < 1e-12 and differ(kind((0.3, 2, 1)), a, a, a) < 1e-12
        swapped = kind((2, 1)).combined([b, a])
        assert differ(kind((1, 2)), a, b, right=swapped) < 1e-12
    for form in ("reasoning", "original"):
        assert differ(ContrastiveDecoding(0, 0, form), a, b) < 1e-12
        within = ContrastiveDecoding(strength, alpha, form).combined([a, b])
        kept = first >= first.max() + (math.log(alpha) if alpha else -math.inf)
        assert (within[~kept] == -math.inf).all() and kept[a.argmax()]
    only = ContrastiveDecoding(strength, 1).combined([a, b]) > -math.inf
    assert only.tolist() == (first == first.max()).tolist()
    kept = ContrastiveDecoding(0, alpha).combined([a, b])
    assert differ(ContrastiveDecoding(strength, alpha), a, a, right=kept) < 1e-9
    assert differ(ProxyTuning(0), a, b, c) < 1e-12 and differ(ProxyTuning(2), a, b, b) < 1e-12


def test_tokens_that_a_model_never_writes():
    zero, one = torch.tensor([0.5, 0.5, 0.0]).log(), torch.tensor([0.2, 0.0, 0.8]).log()
    assert Averaging().combined([zero, one]).exp().tolist() == pytest.approx([0.35, 0.25, 0.4])
    assert ProductOfExperts().combined([zero, one]).exp().tolist() == pytest.approx([1, 0, 0])
    first = ProductOfExperts((1, 0)).combined([zero, one]).exp()
    assert first.tolist() == pytest.approx([0.5, 0.5, 0])
    contrast = ContrastiveDecoding(0.5, 0).combined([one, one])
    assert contrast.exp().tolist() == pytest.approx([0.2, 0, 0.8])
    tuned = ProxyTuning().combined([zero, one, one.exp().add(1).log()])
    assert tuned.exp()[2] == 0 and not tuned.isnan().any()


# Decoding


def plain_text(target, prompt, n):
    """Greedy decoding without a cache, by the formula."""
    text = list(prompt)
    for _ in range(n):
        with torch.inference_mode():
            logits = [one.model(torch.tensor([text])).logits[0, -1] for one in target.models]
        text.append(int(target.combination.combined(logits).argmax()))
    return tuple(text[len(prompt) :])


@pytest.mark.parametrize("kind", COMBINATIONS)
def test_greedy_texts_are_those_of_the_formula_whatever_drafts(kind):
    target = combined_toy(kind)
    prompts = [[4], [1, 2, 3, 4, 5, 1, 2, 3], [1, 2, 3]]
    right = [plain_text(target, prompt, 14) for prompt in prompts]
    asked = {"max_new_tokens": 14, "gamma": 3}
    for draft in (None, "lookup", toy(1, layers=1), DraftTree(toy(1, layers=1), nodes=5)):
        made = decode(target, prompts, draft, **asked)
        assert [one.tokens for one in made] == right, draft
    assert decode(target, prompts[1], toy(0), **asked).tokens == right[1]


@pytest.mark.parametrize("kind, draft", [("averaging", "model"), ("contrast", None)])
def test_sampled_texts_follow_the_combined_distribution(kind, draft):
    target = combined_toy(kind)
    made = decode(target, [[1, 2, 3]] * 3000, draft and toy(1, layers=1), max_new_tokens=3, seed=3,
                  gamma=2, temperature=1.2)  # fmt: skip
    tokens = torch.tensor([one.tokens for one in made])
    exact = exact_distribution(target, Sampling(1.2), [1, 2, 3], 3)
    assert p_value((counted(tokens), exact)) > LEVEL


def test_one_model_with_itself_is_that_model():
    settings = {"max_new_tokens": 16, "temperature": 1.1, "seed": 7, "gamma": 3}
    for kind in (Averaging, ProductOfExperts):
        target = CombinedModel([toy(0), toy(0)], kind())
        for draft in (None, toy(1, layers=1)):
            made = decode(target, [[4], [1, 2, 3]], draft, **settings)
            right = decode(toy(0), [[4], [1, 2, 3]], draft, **settings)
            assert [one.tokens for one in made] == [one.tokens for one in right]


def test_combinations_of_combinations():
    both = CombinedModel([toy(0), toy(1, layers=1)], Averaging())
    nested = CombinedModel([both, toy(2, hidden=8)], Averaging((2, 1)))
    flat = CombinedModel([toy(0), toy(1, layers=1), toy(2, hidden=8)], Averaging())
    asked = {"max_new_tokens": 12, "gamma": 2}
    made, right = (decode(one, [1, 2, 3], "lookup", **asked) for one in (nested, flat))
    assert made.tokens == right.tokens


def test_a_lossy_rule_on_top():
    target = combined_toy("product")
    asked = {"temperature": 1.0, "seed": 1, "gamma": 3, "max_new_tokens": 12}
    made = decode(target, [1, 2], toy(1, layers=1), verification=Mixture(0), **asked)
    assert all(r.accepted == len(r.proposed) for r in made.rounds)


def test_the_tiny_pair_on_packed_weights_and_as_a_model():
    pair = [lab.load(name, dtype="float32") for name in ("tiny", "tiny-draft")]
    target = CombinedModel(pair, Averaging())
    made = [
        decode(target, "The sea was", draft, max_new_tokens=20, gamma=3)
        for draft in (None, "lookup", pair[1])
    ]
    assert made[0].text and len({one.tokens for one in made}) == 1
    alone = target.generate("The sea was", max_new_tokens=20)
    assert alone.tokens == made[0].tokens and alone.text == made[0].text
    assert all(-50 < x <= 0 for x in alone.log_probabilities)
    assert 0 < target("The sea was").confidence <= 1


# Calls, seconds and divergence


def test_members_report_calls_seconds_and_divergence():
    target = combined_toy("averaging")
    asked = {"max_new_tokens": 9, "gamma": 2}
    begun = perf_counter()
    found = measure_members(target, [[1, 2, 3], [4]], "lookup", **asked)
    took = perf_counter() - begun
    made = [decode(target, prompt, "lookup", **asked) for prompt in ([1, 2, 3], [4])]
    assert [one.calls for one in found] == [sum(len(one.rounds) for one in made) + 1] * 2
    assert all(one.seconds > 0 for one in found) and sum(one.seconds for one in found) < took
    for model, one in zip(target.models, found):
        kl = []
        for prompt, text in zip(([1, 2, 3], [4]), made):
            for i in range(len(text.tokens)):
                ids = torch.tensor([[*prompt, *text.tokens[:i]]])
                with torch.inference_mode():
                    p, q = (x.model(ids).logits[0, -1].softmax(-1) for x in (target, model))
                kl.append(float((p * (p / q).log()).sum()))
        assert one.divergence.kl == pytest.approx(np.mean(kl))
        assert 0 < one.divergence.total_variation < 1
    same = CombinedModel([toy(0), toy(1)], Averaging((1, 0)))
    first, second = measure_members(same, [1, 2], max_new_tokens=4)
    assert max(first.divergence) < 1e-12 < second.divergence.total_variation
    plausible = measure_members(combined_toy("contrast"), [1, 2], max_new_tokens=4)
    assert 0 < plausible[0].divergence.kl < math.inf


# What is refused


@pytest.mark.parametrize("kind", [Averaging, ProductOfExperts])
@pytest.mark.parametrize(
    "weights, message",
    [((1, -0.1), "not from 0 up"), ((0, 0), "sum to 0"), ((1, math.nan), "not from 0 up"),
     ((1, math.inf), "not from 0 up"), ("ab", "one string"), ((1, "a"), "a weight='a'"),
     ((), "sum to 0")],
)  # fmt: skip
def test_weights_that_are_none(kind, weights, message):
    with pytest.raises(ValueError, match=message):
        kind(weights)


def test_models_that_do_not_fit_together():
    with pytest.raises(ValueError, match="3 weights for 2 models"):
        CombinedModel([toy(0), toy(1)], Averaging((1, 1, 1)))
    with pytest.raises(ValueError, match=r"takes 2 models \(expert, amateur\), not 3"):
        CombinedModel([toy(0)] * 3, ContrastiveDecoding())
    with pytest.raises(ModelError, match="vocabularies of 6 and 5 tokens"):
        CombinedModel([toy(0), toy(0, vocabulary=5)], Averaging())
    with pytest.raises(ModelError, match="have different vocabularies"):
        other = lab.load("tiny")
        words = lab.load("tiny").tokenizer
        words.add_tokens(["<one>"])
        mine = LanguageModel(other.model, words, "mine")
        third = lab.load("tiny").tokenizer
        third.add_tokens(["<two>"])
        CombinedModel([mine, LanguageModel(other.model, third, "yours")], Averaging())
    for models, message in (([], "models is empty"), ("tiny", "one string")):
        with pytest.raises(ValueError, match=message):
            CombinedModel(models, Averaging())
    with pytest.raises(ModelError, match="is not a language model"):
        CombinedModel([toy(0), "tiny"], Averaging())
    for wrong in ("averaging", None, Averaging):
        with pytest.raises(ValueError, match="give one, such as Averaging"):
            CombinedModel([toy(0), toy(1)], wrong)


def test_the_shortest_context_counts():
    short = LanguageModel(network(3, max_position_embeddings=8), NO_WORDS, "short")
    target = CombinedModel([toy(0), short], Averaging())
    assert len(decode(target, [1, 2, 3], max_new_tokens=20).tokens) == 5
    with pytest.raises(ModelError, match="leaves nothing of the 8"):
        decode(target, [1] * 8)


def test_a_model_with_nan_is_named():
    broken = LanguageModel(network(3), NO_WORDS, "the broken one")
    broken.model.lm_head.weight.data[2] = math.nan
    for models in ([toy(0), broken], [broken, toy(0)]):
        with pytest.raises(ModelError, match="the broken one"):
            decode(CombinedModel(models, Averaging()), [1, 2])


def test_an_amateur_that_is_the_expert_is_said():
    with pytest.warns(UserWarning, match="the amateur is the expert"):
        CombinedModel([toy(0), toy(0)], ContrastiveDecoding())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CombinedModel([toy(0), toy(1)], ContrastiveDecoding())
        CombinedModel([toy(0), toy(0)], Averaging())


@pytest.mark.parametrize("how", [{"draft": "early-exit:1"}, {"draft": "head"}, {"compiled": True}])
def test_what_needs_the_states_of_one_model(how):
    target = combined_toy("averaging")
    if how.get("draft") == "head":
        how = {"draft": toy_head(24, toy(0).model.config, (0, 1, 2, 4))}
    with pytest.raises(ModelError, match="no common states or layers"):
        decode(target, [1, 2, 3], gamma=2, **how)


def test_memory_is_that_of_all_models():
    config = combined_toy("proxy").model.config
    assert (config.num_hidden_layers, config.vocab_size) == (5, 6)
    # 2 and 1 layers of 1 head of 8 numbers, and 2 layers of 1 head of 4
    assert config.head_dim == math.ceil((3 * 8 + 2 * 4) / 5)
