"""In bfloat16 a replay may turn a near-tie, and nothing else.

A stage that takes over reads many tokens at once, which rounds otherwise than one by one. So where
its text leaves the whole model's, the whole model must have been undecided.
"""

import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.systems.splitting import text as replaying
from ensemble_lab.systems.splitting.wire import HEADER

PROMPTS = ("The sea is", "The house", "Every girl")  # the last two turn on one machine at least
MOST = 40


@pytest.fixture(scope="module")
def brief():
    return lab.load("tiny", dtype="bfloat16")


def logits_after(model, ids, tokens):
    """Logits (V,) behind the prompt and these tokens, which are read one by one."""
    with torch.inference_mode():
        read = model.model(torch.tensor([ids]), use_cache=True)
        for token in tokens:
            cache = read.past_key_values
            read = model.model(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
    return read.logits[0, -1].float()


def margin(logits):
    """Two logits may each be off by two steps of bfloat16 at the largest one."""
    return float(2 * 2 * torch.finfo(torch.bfloat16).eps * logits.abs().max())


def check_near_tie(model, prompt, tokens):
    """The first token that is not the whole model's has nearly its best one's logit."""
    whole = model.generate(prompt, len(tokens)).tokens
    for at, (own, other) in enumerate(zip(whole, tokens, strict=True)):
        if own != other:
            logits = logits_after(model, model.token_ids(prompt), whole[:at])
            assert int(logits.argmax()) == own
            gap = float(logits[own] - logits[other])
            assert gap < margin(logits), f"token {at}: {gap:.3f} is no near-tie"
            return at
    return None


def replayed(stages, prompt, most=MOST, every=1):
    """The text of stages that have dropped their caches before every so many tokens."""
    text = stages.stream(prompt, most)
    for step in text:
        assert not step.recoveries
        if len(text.tokens) % every == 0:
            text._reader[:] = [None] * len(stages.slots)  # so the next step sends all inputs
    return text.tokens


@pytest.mark.parametrize("after", [1, 2, 3])
def test_every_cut_turns_near_ties_alone(brief, after):
    with lab.split(brief, after, spares=1) as stages:
        for prompt in PROMPTS:
            undisturbed = stages.generate(prompt, MOST).tokens
            assert undisturbed == brief.generate(prompt, MOST).tokens  # bit by bit
            check_near_tie(brief, prompt, replayed(stages, prompt))
        text = stages.stream(PROMPTS[0], MOST)
        for _ in text:
            if len(text.tokens) == 20:
                stages.kill(1)
        check_near_tie(brief, PROMPTS[0], text.tokens)


def test_smollm2_in_bfloat16_sends_1152_bytes_a_token():
    model, prompt = lab.load("smollm2", dtype="bfloat16"), "What is the capital of France?"
    with lab.split(model, 15, spares=0) as stages:
        made = stages.generate(prompt, 12)
        assert made.tokens == model.generate(prompt, 12).tokens
        read = len(model.token_ids(prompt)) + len(made.tokens) - 1
        assert made.sent == (len(made.tokens) * HEADER + read * 1152,) * 2
        check_near_tie(model, prompt, replayed(stages, prompt, 12, every=5))


def test_reading_at_once_moves_a_logit_by_less_than_half_the_margin(brief):
    for prompt in PROMPTS:
        ids, tokens = brief.token_ids(prompt), list(brief.generate(prompt, 20).tokens)
        for most in (1, 10, 20):
            one_by_one = logits_after(brief, ids, tokens[:most])
            at_once = logits_after(brief, list(ids) + tokens[:most], [])
            assert (one_by_one - at_once).abs().max() < margin(one_by_one) / 2


@pytest.mark.parametrize("wrong", range(4))
def test_a_wrong_layer_is_no_near_tie(brief, wrong):
    """One layer has the weights of the next one."""
    other = lab.load("tiny", dtype="bfloat16")
    layers = other.model.model.layers
    layers[wrong].load_state_dict(layers[(wrong + 1) % 4].state_dict())
    for prompt in PROMPTS:
        with pytest.raises(AssertionError, match="is no near-tie"):
            check_near_tie(brief, prompt, other.generate(prompt, MOST).tokens)


def test_a_replay_in_another_order_is_no_near_tie(brief, monkeypatch):
    """The stage reads the right bytes, but those of the last token first."""
    joined = replaying.joined
    monkeypatch.setattr(
        replaying, "joined", lambda pieces, *more: joined(pieces[-1:] + pieces[:-1], *more)
    )
    with lab.split(brief, 2, spares=0) as stages, pytest.raises(AssertionError, match="near-tie"):
        check_near_tie(brief, PROMPTS[0], replayed(stages, PROMPTS[0], every=10))
