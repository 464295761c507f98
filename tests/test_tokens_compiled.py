"""The compiled mode: the same tokens as eager, and few compilations."""

import subprocess
import sys

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from ensemble_lab.tokens import compiled
from ensemble_lab.tokens.decode import decode
from tests.toy_lm import language_model, network

RAGGED = [[1, 2, 3, 4, 1, 2], [5], [2, 3, 2, 3, 2, 3, 2, 3, 2]]
DRAFTS = (None, "lookup", "model", "early-exit:1")
END = 7


def toy(seed=0, layers=3, **settings):
    settings = {"eos_token_id": END, "max_position_embeddings": 48} | settings
    return language_model(network(seed, layers, 12, **settings))


@pytest.fixture
def count(monkeypatch):
    """Compiles by tracing alone, and counts how often."""
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr(compiled, "BACKEND", counter)
    return counter


@pytest.fixture
def fixed(monkeypatch):
    """The shapes that a GPU gets."""
    monkeypatch.setattr(compiled, "is_fixed", lambda device: True)


def draft_of(name):
    return toy(9, 1, hidden=8) if name == "model" else name


def by_generate(model, prompt, most):
    tokens = torch.tensor([prompt])
    settings = {"max_new_tokens": most, "do_sample": False, "pad_token_id": 0}
    made = model.generate(tokens, attention_mask=torch.ones_like(tokens), **settings)
    return tuple(made[0, len(prompt) :].tolist())


def check_greedy(target, draft, gamma):
    made = decode(target, RAGGED, draft, gamma=gamma, max_new_tokens=20, compiled=True)
    for prompt, one in zip(RAGGED, made):
        assert one.tokens == by_generate(target.model, prompt, 20)


@pytest.mark.parametrize("draft", DRAFTS)
def test_compiled_greedy_is_generate(count, draft):
    target = toy(attn_implementation="eager" if draft == "lookup" else "sdpa")
    for gamma in (1, 2, 5, None) if draft else (None,):
        check_greedy(target, draft_of(draft), gamma)


@pytest.mark.parametrize("draft", DRAFTS)
def test_so_it_is_with_a_gpus_shapes(count, fixed, draft):
    target = toy()
    for gamma in (1, 5) if draft else (None,):
        check_greedy(target, draft_of(draft), gamma)


def test_and_through_the_compiler_itself():
    check_greedy(toy(), "lookup", 3)


@pytest.mark.parametrize("draft", DRAFTS)
def test_samples_are_those_of_eager(count, draft):
    target, draft = toy(), draft_of(draft)
    rule = {"temperature": 1.0, "top_k": 6, "seed": 4, "max_new_tokens": 20}
    rule |= {"gamma": 3} if draft else {}
    runs = [decode(target, RAGGED, draft, compiled=c, **rule) for c in (False, True)]
    eager, ours = ([one.tokens for one in made] for made in runs)
    assert ours == eager


def test_one_compilation_serves_all_lengths(count):
    target = toy(eos_token_id=None)
    for gamma in (2, 1, 4, 7, None):
        decode(target, RAGGED, "lookup", gamma=gamma, max_new_tokens=25, compiled=True)
    assert count.frame_count == 1
    decode(target, RAGGED[:2], "lookup", max_new_tokens=12, compiled=True)  # another capacity
    assert count.frame_count == 1
    for prompt in RAGGED:
        decode(target, prompt, "lookup", max_new_tokens=20, compiled=True)
    assert count.frame_count == 2  # one row is a kind of its own
