"""Decoding on a GPU: the target's text and distribution, and clocks that see the GPU's work."""

from time import perf_counter

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.tokens import verification
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import (
    counted,
    drawn,
    exact_distribution,
    language_model,
    mutant,
    network,
    p_value,
    toy,
    toy_head,
)
from tests.tokens.test_tokens_compiled import DRAFTS, RAGGED, by_generate, draft_of
from tests.tokens.test_tokens_compiled import toy as small_llama

pytestmark = pytest.mark.gpu
BOTH_WAYS = pytest.mark.parametrize("as_one", [False, True], ids=["eager", "compiled"])
NEW = 32
PROMPTS = [
    "Write a short story about a lighthouse.\n",
    "Write a poem about fog.\n",
    "Write a Python function that adds two matrices.\n",
    "What is the difference between tea and coffee?\n",
    "Anna has 3 apples and buys 40 more. How many apples has she now?\n",
    "Plums.\n",
]


@BOTH_WAYS
@pytest.mark.parametrize("draft", DRAFTS)
def test_greedy_text_in_float64_is_what_the_target_alone_writes_on_the_cpu(device, draft, as_one):
    alone, target, small = small_llama(), small_llama(), draft_of(draft)
    target.model.to(device)
    if draft == "model":
        small.model.to(device)
    there = [by_generate(alone.model, prompt, 20) for prompt in RAGGED]
    for gamma in (1, 3, None) if draft else (None,):
        made = decode(target, RAGGED, small, gamma=gamma, max_new_tokens=20, compiled=as_one)
        assert [one.tokens for one in made] == there, gamma


def tiny(device, dtype):
    return [lab.load(name, device, dtype) for name in ("tiny", "tiny-draft")]


def generated(target, prompt, most):
    """What transformers' greedy search gives, on the target's device and in its format."""
    asked = {name: ids.to(target.device) for name, ids in target.encode(prompt).items()}
    with torch.inference_mode():
        out = target.model.generate(**asked, max_new_tokens=most, do_sample=False)
    return tuple(out[0, asked["input_ids"].shape[1] :].tolist())


@BOTH_WAYS
def test_the_shipped_pair_in_float64_writes_what_generate_writes(device, as_one):
    target, small = tiny(device, "float64")
    alone = [generated(target, prompt, NEW) for prompt in PROMPTS]
    for draft in (None, small, "lookup", "early-exit:1"):
        made = decode(target, PROMPTS, draft, max_new_tokens=NEW, compiled=as_one)
        assert [one.tokens for one in made] == alone, draft


@torch.inference_mode()
def gap_where_they_part(target, prompt, ours, theirs):
    """How far the two best logits lie apart at the first different token, in roundings; or None.

    A rounding is that of the largest logit in the target's format.
    """
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
    if at is None:
        assert len(ours) == len(theirs)
        return None
    ids = [[*target.encode(prompt)["input_ids"][0].tolist(), *theirs[:at]]]
    logits = target.model(torch.tensor(ids, device=target.device)).logits[0, -1].double()
    first, second = logits.topk(2).values.tolist()
    return (first - second) / (logits.abs().max().item() * torch.finfo(target.dtype).eps)


# In float32 a graphics processor may sum in any order; errors grow over the layers.
MOST = {"float32": 300, "bfloat16": 8}


def gaps(device, dtype, as_one):
    target, small = tiny(device, dtype)
    found = []
    for prompt in PROMPTS:
        alone = generated(target, prompt, NEW)
        for draft in (None, small, "early-exit:1"):
            ours = decode(target, prompt, draft, max_new_tokens=NEW, compiled=as_one).tokens
            found.append(gap_where_they_part(target, prompt, ours, alone))
    return [gap for gap in found if gap is not None]


@BOTH_WAYS
@pytest.mark.parametrize("dtype", MOST)
def test_fewer_bits_part_only_at_near_ties(device, dtype, as_one):
    found = gaps(device, dtype, as_one)
    assert all(gap < MOST[dtype] for gap in found), max(found)


def test_the_margin_sees_a_planted_fault(device, monkeypatch):
    wrong = "choices.gather(1, (accepted - 1).clamp(min=0)[:, None])"
    fault = mutant(verification.accept_greedy, "choices.gather(1, accepted[:, None])", wrong)
    monkeypatch.setattr(verification, "accept_greedy", fault)
    assert max(gaps(device, "float32", False)) > MOST["float32"]


RULE = {"temperature": 1.3}
LEVEL = 1e-4


def p_of_samples(device, kind):
    """Pearson's p-value of 20,000 pairs of tokens drawn on the device, given the exact ones."""
    target = language_model(network(0, hidden=8).to(device))
    small = {
        "model": lambda: language_model(network(1, 1, hidden=8).to(device)),
        "head": lambda: toy_head(3, target.model.config, ids=(0, 1, 2, 4)),
    }.get(kind, lambda: kind)()
    rows = [[1, 2, 3]] * 5000
    tokens = [
        drawn(target, rows, small, 2, seed, gamma=2, max_new_tokens=6, **RULE) for seed in range(4)
    ]
    distribution = exact_distribution(toy(0, hidden=8), Sampling(**RULE), [1, 2, 3], 2)
    return p_value((counted(torch.cat(tokens)), distribution))


@pytest.mark.parametrize("draft", ["model", "early-exit:1", "head"])
def test_samples_follow_the_targets_distribution(device, draft):
    assert p_of_samples(device, draft) > LEVEL


def test_the_distribution_sees_a_planted_fault(device, monkeypatch):
    fault = mutant(verification.accept_sampled, "r * at_q < at_p", "r * at_p < at_q")
    monkeypatch.setattr(verification, "accept_sampled", fault)
    assert p_of_samples(device, "model") < LEVEL


@BOTH_WAYS
def test_the_parts_of_the_rounds_add_up_to_the_wall(device, as_one):
    target, small = tiny(device, "float32")
    settings = {"gamma": 4, "max_new_tokens": NEW, "compiled": as_one}
    decode(target, PROMPTS, small, **settings)  # libraries are loaded
    decoding = stream(target, PROMPTS, small, **settings)
    begun = perf_counter()
    rounds = list(decoding)
    wall = perf_counter() - begun
    every = [next(one for one in of_rows if one is not None) for of_rows in rounds]
    assert all(one.draft > 0 and one.verify > 0 for one in every if one.proposed)
    told = sum(one.draft + one.verify + one.host for one in every)
    assert 0.7 * wall < told < 1.02 * wall


def test_compiled_reads_are_replayed_from_graphs(card):
    target, small = tiny(card, "bfloat16")
    decoding = stream(target, PROMPTS[0], small, gamma=4, max_new_tokens=NEW, compiled=True)
    before = dict(decoding.session.reader.graphs)
    assert {shape[1] for *_, shape in before} == {2, 4, 8}  # widths for 1 to 5 tokens, padded
    assert list(decoding)
    assert decoding.session.reader.graphs.keys() == before.keys()  # nothing captured on the way
