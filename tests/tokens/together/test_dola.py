"""DoLa: its formula by hand, its layers one by one, decoding with drafts on top, and refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.together.combinations import Averaging
from ensemble_lab.tokens.together.combined import CombinedModel
from ensemble_lab.tokens.together.dola import DoLa, jensen_shannon
from ensemble_lab.tokens.together.members import measure_members
from tests.support.toy_lm import NO_WORDS, counted, exact_distribution, network, p_value, toy

PROMPTS = ([4], [1, 2, 3, 4, 5, 1, 2, 3], [5, 0, 5, 0, 5])
deep = [toy(3, layers=4)]


def log(*rows):
    return [torch.tensor(row, dtype=torch.float64).log() for row in rows]


# One token, by hand and by definition


def test_the_formula_by_hand():
    p, near, far = [0.5, 0.4, 0.1], [0.5, 0.3, 0.2], [0.8, 0.1, 0.1]
    assert jensen_shannon(*log(p, near)) < jensen_shannon(*log(p, far))
    for candidates, chosen in (((near, far), 1), ((far, near), 0)):
        assert int(DoLa((1, 2)).premature(log(p, *candidates))) == chosen
        ratio = np.array(p) / far
        for alpha, kept in ((0.1, [1, 1, 1]), (0.25, [1, 1, 0]), (1, [1, 0, 0])):
            right = ratio * kept / (ratio * kept).sum()
            made = DoLa((1, 2), alpha=alpha).combined(log(p, *candidates)).exp().numpy()
            assert made == pytest.approx(right, abs=1e-12)
    half = np.array(p) / np.sqrt(far)
    made = DoLa((1,), beta=0.5).combined(log(p, far)).exp().numpy()
    assert made == pytest.approx(half / half.sum(), abs=1e-12)


def test_the_layer_is_that_of_the_papers_divergence_not_of_the_codes():
    """KL(m || p) + KL(m || q), which the authors' code computes, may choose another layer."""

    def as_in_the_code(p, q):
        p, q = np.array(p), np.array(q)
        m = (p + q) / 2
        return (m * np.log(m / p)).sum() + (m * np.log(m / q)).sum()

    p, one, other = [0.6, 0.38, 0.02], [0.35, 0.63, 0.02], [0.61, 0.39 - 1e-12, 1e-12]
    paper = [jensenshannon(p, q) for q in (one, other)]
    assert DoLa((1, 2)).premature(log(p, one, other)) == np.argmax(paper) == 0
    assert np.argmax([as_in_the_code(p, q) for q in (one, other)]) == 1


pairs = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(-15, 15), min_size=n, max_size=n), min_size=3, max_size=3)
)


@settings(deadline=None)
@given(pairs, st.floats(0, 3), st.floats(0, 1))
def test_identities(logits, beta, alpha):
    p, a, b = torch.tensor(logits, dtype=torch.float64)
    own = p.log_softmax(-1)
    for q in (a, b):
        distance = jensenshannon(p.softmax(-1).numpy(), q.softmax(-1).numpy()) ** 2
        assert float(jensen_shannon(own, q.log_softmax(-1))) == pytest.approx(distance, abs=1e-9)
    assert (DoLa(beta=0, alpha=0).combined([p, a, b]) - own).abs().max() < 1e-12
    kept = own >= own.max() + (math.log(alpha) if alpha else -math.inf)
    made = DoLa(beta=beta, alpha=alpha).combined([p, a, b])
    assert ((made > -math.inf) == kept).all()
    # Against itself: the model to the power 1 - beta, within the plausible tokens
    itself = DoLa(beta=beta, alpha=alpha).combined([p, p, p]).exp()
    right = ((1 - beta) * own).where(kept, -math.inf).softmax(-1)
    assert (itself - right).abs().max() < 1e-9
    swapped = DoLa(beta=beta, alpha=alpha).combined([p, b, a])
    distances = [float(jensen_shannon(own, q.log_softmax(-1))) for q in (a, b)]
    if abs(distances[0] - distances[1]) > 1e-9:  # otherwise the first of both is taken
        assert torch.equal(made, swapped)


def test_every_token_chooses_its_own_layer():
    generator = torch.Generator().manual_seed(0)
    logits = list(3 * torch.randn(4, 2, 5, 6, dtype=torch.float64, generator=generator))
    rule = DoLa((1, 2, 3))
    made, chosen = rule.combined(logits), rule.premature(logits)
    assert len(set(chosen.flatten().tolist())) == 3
    for i in range(2):
        for j in range(5):
            one = rule.combined([x[i, j] for x in logits])
            assert torch.equal(one, made[i, j])
            assert int(rule.premature([x[i, j] for x in logits])) == chosen[i, j]


# The layers


def states_of(model, ids):
    """The states after the embedding and after every layer, as transformers gives them."""
    return model(ids, output_hidden_states=True).hidden_states


@pytest.mark.parametrize("layers", [(1,), (3, 1), (1, 2, 3), None])
def test_logits_are_those_of_the_layers(layers):
    target = CombinedModel(deep, DoLa(layers))
    ids, model = torch.tensor([[1, 2, 3, 4], [5, 5, 0, 1]]), deep[0].model
    with torch.inference_mode():
        found, states = target.model.each(ids), states_of(model, ids)
        assert torch.allclose(found[0], model(ids).logits)
        for layer, logits in zip(layers or (2,), found[1:], strict=True):
            assert torch.allclose(logits, model.lm_head(model.model.norm(states[layer])))


@pytest.mark.parametrize(
    "rule", [DoLa((1, 3)), DoLa((2,), 0.5, 0), DoLa((1, 2, 3), 1, 0.3)], ids=str
)
def test_greedy_texts_are_those_of_the_formula_whatever_drafts(rule):
    target = CombinedModel(deep, rule)
    right = [plain_dola(rule, prompt, 14) for prompt in PROMPTS]
    for draft in (None, "lookup", toy(1, layers=1)):
        made = decode(target, list(PROMPTS), draft, max_new_tokens=14, gamma=3)
        assert [one.tokens for one in made] == right
    greedy = [one.tokens for one in decode(deep[0], list(PROMPTS), max_new_tokens=14)]
    assert right != greedy


def plain_dola(rule, prompt, n):
    text, model = list(prompt), deep[0].model
    for _ in range(n):
        with torch.inference_mode():
            states = states_of(model, torch.tensor([text]))
            logits = [model(torch.tensor([text])).logits[0, -1]]
            logits += [model.lm_head(model.model.norm(states[j]))[0, -1] for j in rule.layers]
        text.append(int(rule.combined(logits).argmax()))
    return tuple(text[len(prompt) :])


def test_sampled_texts_follow_the_distribution():
    target = CombinedModel(deep, DoLa((1, 2), 0.5, 0.05))
    made = decode(target, [[1, 2, 3]] * 1500, toy(1, layers=1), max_new_tokens=2, seed=3, gamma=1,
                  temperature=1.2)  # fmt: skip
    exact = exact_distribution(target, Sampling(1.2), [1, 2, 3], 2)
    assert p_value((counted(torch.tensor([one.tokens for one in made])), exact)) > 0.001


def test_no_contrast_is_the_model():
    asked = {"max_new_tokens": 12, "temperature": 1.1, "seed": 4}
    for rule in (DoLa((1, 2), 0, 0),):
        target = CombinedModel(deep, rule)
        made = decode(target, list(PROMPTS), **asked)
        assert [x.tokens for x in made] == [
            x.tokens for x in decode(deep[0], list(PROMPTS), **asked)
        ]
    for rule in (DoLa(beta=0), DoLa(beta=3, alpha=1)):
        for prompt in PROMPTS:
            made = decode(CombinedModel(deep, rule), prompt, max_new_tokens=12)
            assert made.tokens == decode(deep[0], prompt, max_new_tokens=12).tokens


def test_in_combinations_and_measured():
    target = CombinedModel(deep, DoLa((1, 2)))
    both = CombinedModel([target, toy(1)], Averaging((1, 0)))
    for prompt in PROMPTS:
        made = decode(both, prompt, "lookup", max_new_tokens=10).tokens
        assert made == decode(target, prompt, max_new_tokens=10).tokens
    [found] = measure_members(target, list(PROMPTS), max_new_tokens=6)
    assert found.calls > 18 and found.seconds > 0 and found.divergence.total_variation > 0.01
    [found] = measure_members(CombinedModel(deep, DoLa((1,), 0, 0)), [1], max_new_tokens=4)
    assert max(found.divergence) < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_tiny_model_on_packed_weights(dtype):
    tiny = lab.load("tiny", dtype=dtype)
    target = CombinedModel([tiny], DoLa((1, 2, 3)))
    made = [decode(target, "The sea was", x, max_new_tokens=16, gamma=3) for x in (None, "lookup")]
    assert made[0].text
    if dtype == "float32":
        assert made[0].tokens == made[1].tokens
        none = CombinedModel([tiny], DoLa((1, 2, 3), beta=0))
        right = decode(tiny, "The sea was", max_new_tokens=16).tokens
        assert decode(none, "The sea was", max_new_tokens=16).tokens == right


# What is refused


@pytest.mark.parametrize(
    "way, message",
    [
        ({"layers": ()}, "layers="),
        ({"layers": (0,)}, "from 1 up"),
        ({"layers": (1, 1)}, "different"),
        ({"layers": (1.5,)}, "a layer=1.5"),
        ({"layers": "12"}, "one string"),
        ({"layers": 2}, "layers"),
        ({"beta": -1}, "beta=-1"),
        ({"beta": math.nan}, "beta=nan"),
        ({"alpha": 1.1}, "alpha=1.1"),
    ],
)
def test_what_is_no_rule(way, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DoLa(**way)


def test_models_that_have_no_such_layers():
    for layers in ((4,), (1, 9)):
        with pytest.raises(ValueError, match="cannot be contrasted with the last of 4: use 1 to 3"):
            CombinedModel(deep, DoLa(layers))
    with pytest.raises(ValueError, match="a model of one layer"):
        CombinedModel([toy(1, layers=1)], DoLa())
    with pytest.raises(ValueError, match=r"takes 1 models \(model\), not 2"):
        CombinedModel([toy(0), toy(1)], DoLa())
    with pytest.raises(ModelError, match="no common states or layers"):
        CombinedModel([CombinedModel([toy(0), toy(1)], Averaging())], DoLa((1,)))
    with pytest.raises(ModelError, match="no common states or layers"):
        decode(CombinedModel(deep, DoLa((1,))), [1, 2], "early-exit:1", gamma=2)
    broken = LanguageModel(network(3), NO_WORDS, "the broken one")
    broken.model.lm_head.weight.data[2] = math.nan
    with pytest.raises(ModelError, match="the broken one"):
        decode(CombinedModel([broken], DoLa((1,))), [1, 2])


def test_a_model_that_does_more_between_its_layers_is_refused():
    from transformers import CohereConfig, CohereForCausalLM

    config = CohereConfig(vocab_size=6, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
                          num_attention_heads=2, logit_scale=0.25, pad_token_id=None,
                          bos_token_id=None, eos_token_id=None)  # fmt: skip
    scaled = LanguageModel(CohereForCausalLM(config).double().eval(), NO_WORDS, "scaled")
    with torch.no_grad():
        scaled.model.model.embed_tokens.weight.mul_(20)
    with pytest.raises(ModelError, match="does more between its layers"):
        CombinedModel([scaled], DoLa((1,)))
