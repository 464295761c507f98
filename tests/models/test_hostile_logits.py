"""Logits that are not numbers, temperatures near 0, weights written behind PyTorch's back."""

import math
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models import ModelError, load
from ensemble_lab.models.finite import GumbelMax
from ensemble_lab.tokens.accept import NO_TOKEN, accept_greedy, accept_sampled, likeliest
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import language_model, mutant, network, toy_head

PROMPT = [1, 2, 3]
BAD = [math.nan, math.inf, -math.inf]


def spoilt(bad, dtype=torch.float32):
    """A model all of whose logits are `bad`."""
    net = network(0).to(dtype)
    net.lm_head.register_forward_hook(lambda layer, given, out: torch.full_like(out, bad))
    return language_model(net)


def overflowing(token=5):
    """A model whose numbers overflow once it has read a certain token."""
    net = network(0).float()
    with torch.no_grad():
        net.model.embed_tokens.weight[token] = torch.nan
    return language_model(net)


# Nothing to choose from


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("temperature", [0.0, 1e-38, 1.0])
@pytest.mark.parametrize("draft", [None, "lookup", "early-exit:1", "model"])
@pytest.mark.parametrize("compare", ["decode", "stream"])
def test_no_text_is_made_of_nothing(bad, temperature, draft, compare):
    target = spoilt(bad)
    draft = network(1).float() if draft == "model" else draft
    settings = {"temperature": temperature, "max_new_tokens": 6, "seed": 0}
    with pytest.raises(ModelError, match=r"'a toy' gives logits that are NaN.*float32") as told:
        if compare == "decode":
            decode(target, [PROMPT, [1, 2, 1, 2, 1]], draft, **settings)
        else:
            for _ in stream(target, PROMPT, draft, **settings):
                pass
    assert len(str(told.value)) <= 300


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_head_does_not_hide_it(temperature):
    net = network(0).double()
    head = toy_head(1, net.config, [1, 2, 3])
    with torch.no_grad():
        net.lm_head.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="NaN or infinite"):
        decode(language_model(net), PROMPT, head, temperature=temperature, max_new_tokens=4)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_it_is_seen_where_it_begins(temperature):
    target, draft = overflowing(), network(0).float()
    clean = language_model(network(0).float())
    seen = 0
    for seed in range(12):
        asked = {"temperature": temperature, "seed": seed, "max_new_tokens": 12, "gamma": 3}
        written = decode(clean, PROMPT, draft, **asked).tokens
        decoding = stream(target, PROMPT, draft, **asked)
        if 5 in written[:-1]:
            seen += 1
            with pytest.raises(ModelError):
                list(decoding)
            made = decoding.generations[0].tokens
            assert 5 not in made[:-1] and made == written[: len(made)]
        else:
            list(decoding)
            assert decoding.generations[0].tokens == written
    assert temperature == 0 or seen


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_reply_of_nothing_is_refused(bad, temperature):
    net = network(0).float()
    target = language_model(net)
    target.temperature, target.seed, target.max_new_tokens = temperature, 0, 8
    assert target(PROMPT).confidence > 0
    net.lm_head.register_forward_hook(lambda layer, given, out: torch.full_like(out, bad))
    with pytest.raises(ModelError, match=r"'a toy' gives logits"):
        target(PROMPT)


def test_half_precision_names_the_fix():
    with pytest.raises(ModelError, match=r"float16.*dtype='float32', or 'bfloat16'"):
        decode(spoilt(math.nan, torch.float16), PROMPT, max_new_tokens=2)


def test_minus_infinity_of_some_tokens_is_a_distribution():
    net = network(0).float()
    net.lm_head.register_forward_hook(
        lambda layer, given, out: out.index_fill(-1, torch.tensor([0, 4]), -math.inf)
    )
    for temperature in (0.0, 1e-38, 1.0):
        made = decode(language_model(net), PROMPT, temperature=temperature, max_new_tokens=9)
        assert len(made.tokens) == 9 and not {0, 4} & set(made.tokens)


def test_a_draft_of_nothing_changes_nothing():
    target, draft = language_model(network(0).float()), network(1).float()
    plain = decode(target, PROMPT, max_new_tokens=9).tokens
    with torch.no_grad():
        draft.lm_head.weight.fill_(math.nan)
    assert decode(target, PROMPT, draft, gamma=3, max_new_tokens=9).tokens == plain
    assert len(decode(target, PROMPT, draft, temperature=1.0, max_new_tokens=9).tokens) == 9


@given(st.lists(st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]), min_size=1))
def test_the_likeliest_is_none_where_there_is_no_distribution(logits):
    found = likeliest(torch.tensor([logits])).item()
    fine = not any(map(math.isnan, logits)) and math.isfinite(max(logits))
    assert found == (int(np.argmax(logits)) if fine else NO_TOKEN)


def test_rows_that_have_ended_may_say_what_they_like():
    drafted, count = torch.tensor([[1, 2]]), torch.tensor([2])
    choices = torch.tensor([[1, NO_TOKEN, 3]])
    accepted, follow = accept_greedy(choices, drafted, count)
    assert (accepted.item(), follow.item()) == (1, NO_TOKEN)
    p = torch.full((1, 3, 4), 0.25)
    p[0, 1] = math.nan
    for _ in range(9):
        accepted, follow = accept_sampled(p, drafted, count, None)
        assert accepted.item() <= 1
        assert (follow.item() == NO_TOKEN) == (accepted.item() == 1)


def test_a_classifier_gives_no_label_of_nothing():
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(math.nan)
    model = load(layer, device="cpu", labels=["a", "b"])
    with pytest.raises(ModelError, match="not probabilities"):
        model([0.0, 1.0])


def test_the_old_ways_are_caught():
    old = mutant(likeliest, "token.where(top.abs() < math.inf, NO_TOKEN)", "token")
    assert old(torch.tensor([[math.nan, 1.0]])).item() != NO_TOKEN


# Temperatures near 0

TEMPERATURES = [1e-2, 1e-5, 1e-30, 1e-37, 1e-38, 1e-39, 1e-42, 1.5e-45, 2.0**-149]


@pytest.mark.parametrize("temperature", [*TEMPERATURES, 1e-46, 1e-300, 5e-324])
@pytest.mark.parametrize("draft", [None, "lookup"])
def test_small_temperatures_are_greedy_where_nothing_ties(temperature, draft):
    target = language_model(network(2, spread=1.0).float())
    greedy = decode(target, PROMPT, max_new_tokens=12).tokens
    asked = {"temperature": temperature, "seed": 1, "max_new_tokens": 12}
    assert decode(target, PROMPT, draft, **asked).tokens == greedy
    assert target.generate(PROMPT, **asked).tokens == target.generate(PROMPT, 12).tokens


@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=9),
    temperature=st.sampled_from(TEMPERATURES),
    top_k=st.none() | st.integers(1, 12),
    top_p=st.none() | st.sampled_from([5e-324, 1e-9, 0.5, 1 - 1e-16, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
)
def test_small_temperatures_share_among_the_largest(logits, temperature, top_k, top_p, dtype):
    scores = torch.tensor([logits]).to(dtype)
    distribution = Sampling(temperature, top_k, top_p).distribution(scores)[0]
    exact = scores[0].double()
    wanted = ((exact - exact.max()) / temperature).softmax(-1)
    if top_k is None and top_p in (None, 1.0):
        torch.testing.assert_close(distribution.double(), wanted, atol=1e-4, rtol=1e-3)
    assert distribution.sum().item() == pytest.approx(1, abs=1e-5)
    assert not distribution[wanted < 1e-12].gt(1e-6).any()


@given(st.floats(0.01, 1e30), st.lists(st.floats(-90, 90, width=32), min_size=1, max_size=9))
def test_other_temperatures_give_the_very_bits_of_before(temperature, logits):
    scores = torch.tensor([logits])
    assert torch.equal(
        Sampling(temperature).distribution(scores), (scores / temperature).softmax(-1)
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_noise_decides_only_between_equals(temperature):
    scores = torch.tensor([[3.0, 7.0, 7.0, -1e4]]).repeat(4000, 1)
    draws = GumbelMax(temperature, 0, torch.device("cpu"))(torch.empty(0), scores).argmax(-1)
    share = torch.bincount(draws, minlength=4) / 4000
    np.testing.assert_allclose(share, [0, 0.5, 0.5, 0], atol=0.04)


# Weights written behind PyTorch's back


def merged(net):
    """As an adapter is merged: a product of two thin matrices is added."""
    generator = torch.Generator().manual_seed(3)
    for layer in net.model.layers:
        w = layer.mlp.up_proj.weight
        a, b = (torch.randn(n, 2, generator=generator).to(w.dtype) for n in w.shape)
        w.data += 3 * a @ b.T


def averaged(net):
    for p in net.parameters():
        p.data.mul_(0.6)


def one_row(net):
    net.lm_head.weight.data[4] += 3.0


def one_number(net):
    net.lm_head.weight.data.view(-1)[17] += 40.0


def permuted(net):
    weight = net.lm_head.weight.data
    weight.copy_(weight.flip(0).clone())


def assigned(net):
    net.lm_head.weight.data = net.lm_head.weight.data.flip(0).clone()


def another_norm(net):
    norm = torch.nn.LayerNorm(net.config.hidden_size)
    net.model.norm = norm.to(net.dtype)


WRITES = [merged, averaged, one_row, one_number, permuted, assigned, another_norm]


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_write_through_data_is_seen(write, compiled):
    if compiled and (write not in (averaged, one_number) or shutil.which("g++") is None):
        pytest.skip("compiled for two of them, where there is a compiler")
    net = network(0, 3, spread=1.0).float()
    target = language_model(net)
    asked = {"max_new_tokens": 16, "temperature": 1.0, "seed": 0, "compiled": compiled}
    old = decode(target, PROMPT, **asked).tokens
    with torch.no_grad():
        write(net)
    fresh = network(0, 3, spread=1.0).float()
    with torch.no_grad():
        write(fresh)
    expected = decode(language_model(fresh), PROMPT, **asked).tokens
    assert decode(target, PROMPT, **asked).tokens == expected != old


def test_weights_that_stay_are_packed_once():
    net = network(0).float()
    twin = packed(net)
    for _ in range(3):
        decode(language_model(net), PROMPT, max_new_tokens=4)
        assert packed(net) is twin
