"""What cannot be decoded is refused by name with the fix, and what is stopped is kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

from ensemble_lab.core.errors import UnknownName
from ensemble_lab.models.errors import ModelError, NotEnoughMemory
from ensemble_lab.tokens import verification
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.lengths import AdaptiveLength
from tests.support.toy_lm import language_model, network, toy
from tests.tokens.test_tokens_cache import Peer

PROMPT = [1, 2, 3]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"gamma": 0}, "gamma=0 .*use 1 or more"),
        ({"gamma": -3}, "gamma=-3 .*use 1 or more"),
        ({"temperature": -0.1}, "temperature=-0.1; use 0 for greedy"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"temperature": 1.0, "top_p": 0.0}, r"top_p=0.0 is not in \(0, 1\]"),
        ({"temperature": 1.0, "top_p": 1.01}, r"top_p=1.01 is not in \(0, 1\]"),
        ({"temperature": 1.0, "top_p": float("nan")}, "top_p=nan"),
        ({"temperature": 1.0, "top_k": 0}, "top_k=0 leaves no token"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 asks for no token"),
        ({"draft": "early-exit:2"}, "after layer 2; this model has 2"),
        ({"draft": "early-exit:0"}, "after layer 0; this model has 2"),
        ({"draft": "early-exit:two"}, "draft='early-exit:two'; write the layers"),
        ({"draft": 3}, "draft=3 is not a model"),
        *(
            ({"seed": seed, "temperature": heat}, f"seed={seed!r} is not a whole number; give one")
            for seed in (1.5, "3", True)
            for heat in (0.0, 1.0)
        ),
        ({"seed": 2**70}, "seed=1180591620717411303424 does not fit into 64 bits"),
        ({"seed": -(2**70)}, "seed=-1180591620717411303424 does not fit into 64 bits"),
    ],
)
def test_a_setting_out_of_its_range(settings, message):
    with pytest.raises(ValueError, match=message):
        decode(toy(0), PROMPT, **settings)


def test_a_seed_of_numpy_is_the_same_seed():
    made = [
        decode(toy(0), PROMPT, temperature=1.0, seed=seed, gamma=2, max_new_tokens=9).tokens
        for seed in (4, np.int64(4), np.uint8(4))
    ]
    assert made[0] == made[1] == made[2]


def test_the_adaptive_length_has_a_range_too():
    with pytest.raises(ValueError, match="most=0 drafts nothing"):
        AdaptiveLength(0)
    with pytest.raises(ValueError, match="matches of 3 to 2 tokens"):
        LookupDraft(longest=2, shortest=3)


@pytest.mark.parametrize("name, near", [("lokup", "lookup"), ("early-exit", "early-exit:8")])
def test_an_unknown_draft_gets_the_nearest_name(name, near):
    with pytest.raises(UnknownName, match=f"no draft '{name}'.*did you mean '{near}'"):
        decode(toy(0), PROMPT, name)


def test_vocabularies_that_differ():
    small = language_model(network(1, 1, vocabulary=5))
    for draft in (small, small.model):
        with pytest.raises(ModelError, match="draft's vocabulary has 5 tokens, the target's 6"):
            decode(toy(0), PROMPT, draft)


@pytest.mark.parametrize("prompts", [[], [[]], [PROMPT, []]])
def test_an_empty_prompt(prompts):
    with pytest.raises(ModelError, match="prompt is empty"):
        decode(toy(0), prompts)


@pytest.mark.parametrize("length", [64, 80])
def test_a_prompt_that_fills_the_context(length):
    with pytest.raises(ModelError, match=f"prompt of {length} tokens leaves nothing of the 64"):
        decode(toy(0), [PROMPT, [1] * length])


# What is not refused


@pytest.mark.parametrize("draft", ["lookup", "early-exit:1", "model"])
def test_a_draft_longer_than_the_context_left(draft):
    prompt = [1, 2, 3, 4] * 15
    draft = toy(1, 1) if draft == "model" else draft
    plain = decode(toy(0), prompt, max_new_tokens=50)
    assert len(plain.tokens) == 4  # the context has 64
    for gamma in (5, 64, 500):
        made = decode(toy(0), prompt, draft, gamma=gamma, max_new_tokens=50)
        assert made.tokens == plain.tokens


def test_a_huge_draft_length_takes_no_more_memory_than_it_can_use():
    made = decode(toy(0), PROMPT, "lookup", gamma=10**9, max_new_tokens=5)
    assert made.tokens == decode(toy(0), PROMPT, max_new_tokens=5).tokens


@pytest.mark.parametrize("draft", [None, "lookup", "early-exit:1", "model"])
def test_rows_of_very_different_length(draft):
    draft = toy(1, 1) if draft == "model" else draft
    prompts = [[2], [4, 5, 1] * 20 + [0], [0, 3]]
    made = decode(toy(0), prompts, draft, gamma=4, max_new_tokens=20)
    assert [len(one.tokens) for one in made] == [20, 3, 20]
    for prompt, one in zip(prompts, made):
        assert one.tokens == decode(toy(0), prompt, max_new_tokens=20).tokens


# Models that cannot be read by position

SMALL = {
    "vocab_size": 6,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "eos_token_id": None,
    "bos_token_id": None,
    "pad_token_id": None,
}


def small(name, **settings):
    config = getattr(transformers, name + "Config")(**{**SMALL, **settings})
    kind = {"T5": "T5ForConditionalGeneration", "Roberta": "RobertaForMaskedLM"}
    kind |= {"GPT2": "GPT2LMHeadModel", "Bart": "BartForConditionalGeneration"}
    config.is_decoder = name not in ("T5", "Bart", "Roberta")
    with torch.random.fork_rng():
        return getattr(transformers, kind.get(name, name + "ForCausalLM"))(config).eval()


T5 = {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 1, "decoder_start_token_id": 0}
BART = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_layers": 1}
JAMBA = {"num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1}
BAMBA = {"mamba_n_heads": 4, "mamba_d_state": 8, "attn_layer_indices": [1]}


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("T5", T5, "T5ForConditionalGeneration is not a decoder-only"),
        ("Bart", BART, "BartForConditionalGeneration is not a decoder-only"),
        ("Roberta", {}, "RobertaForMaskedLM"),
        ("Mistral", {"sliding_window": 8}, "MistralForCausalLM has sliding_attention layers"),
        ("Gemma2", {"head_dim": 8}, "Gemma2ForCausalLM has sliding_attention layers"),
        ("Mamba", {"state_size": 4}, "MambaForCausalLM has linear_attention layers"),
        ("Jamba", JAMBA, "JambaForCausalLM has .* layers"),
        ("Bamba", BAMBA, "BambaForCausalLM has .* layers"),
        ("GPT2", {"n_embd": 16, "n_head": 2, "n_layer": 2}, "GPT2LMHeadModel"),
    ],
)
def test_a_model_of_another_kind(name, settings, message):
    model = small(name, **settings)
    with pytest.raises(ModelError, match=message):
        decode(language_model(model), PROMPT, max_new_tokens=2)
    if name not in ("T5", "Bart", "Roberta"):
        with pytest.raises(ModelError, match=message):  # as a draft as well
            decode(toy(0), PROMPT, model, max_new_tokens=2)


FAMILIES = {
    "Mistral": {"sliding_window": None},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Olmo2": {},
    "Gemma": {"head_dim": 8},
    "Granite": {"logits_scaling": 4.0, "embedding_multiplier": 3.0},
    "Cohere": {},
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("draft", ["lookup", "early-exit:1"])
def test_other_families_are_read_as_they_are_or_refused(name, draft, monkeypatch):
    """Whatever their forward does beside layers and head, it is in the logits."""
    settings = {"max_position_embeddings": 64, "initializer_range": 0.5, **FAMILIES[name]}
    model = small(name, num_key_value_heads=1, **settings).double()
    seen = []
    chain = verification.Verification.chain

    def spied(self, logits, proposal, texts):
        seen.append((list(texts[0]), proposal.tokens[0].tolist(), logits[0]))
        return chain(self, logits, proposal, texts)

    monkeypatch.setattr(verification.Verification, "chain", spied)
    try:
        decode(language_model(model), [1, 2, 3, 1, 2], draft, gamma=3, max_new_tokens=8)
    except ModelError as error:
        assert name in str(error)
        return
    for text, drafted, logits in seen:
        theirs = Peer(model, [0]).read([*text, *drafted], len(text) + len(drafted) - 1)
        torch.testing.assert_close(logits, theirs[len(text) - 1 :], rtol=0, atol=1e-6)


# Memory


def test_out_of_memory_says_what_would_fit(monkeypatch):
    # A token of this model takes 2 layers x (key + value) x 8 numbers x 8 bytes = 256 bytes.
    capacity = 3 + 20 + 4 + 1
    monkeypatch.setattr("ensemble_lab.tokens.prompts.available_memory", lambda *_: 3.5 * 256 * 28)
    settings = {"gamma": 4, "max_new_tokens": 20}
    assert len(decode(toy(0), [PROMPT] * 3, "lookup", **settings)) == 3
    with pytest.raises(NotEnoughMemory, match=rf"5 rows of {capacity} tokens .* 3(\.0)? such rows"):
        decode(toy(0), [PROMPT] * 5, "lookup", **settings)


def test_where_not_one_row_fits_a_shorter_text_might(monkeypatch):
    monkeypatch.setattr("ensemble_lab.tokens.prompts.available_memory", lambda *_: 256 * 20)
    with pytest.raises(NotEnoughMemory, match="tokens would fit"):
        decode(toy(0), PROMPT, gamma=4, max_new_tokens=40)


# Stops


def test_stopped_in_mid_stream_and_taken_up_again():
    whole = decode(toy(0), PROMPT, "lookup", gamma=2, max_new_tokens=20)
    decoding = stream(toy(0), PROMPT, "lookup", gamma=2, max_new_tokens=20)
    for i, _ in enumerate(decoding):
        if i == 2:
            break
    [part] = decoding.generations
    assert len(part.rounds) == 3
    assert part.tokens == whole.tokens[: len(part.tokens)]
    assert 3 <= len(part.tokens) < 20
    for _ in decoding:
        pass
    assert decoding.generations[0].tokens == whole.tokens


class Interrupted(LookupDraft):
    """A draft during whose fourth turn somebody presses Ctrl-C."""

    def propose(self, rows, most):
        self.turns = getattr(self, "turns", 0) + 1
        if self.turns == 4:
            raise KeyboardInterrupt
        return super().propose(rows, most)


def test_the_keyboard_stops_and_what_there_is_is_kept():
    prompts = [PROMPT, [4, 5]]
    whole = decode(toy(0), prompts, max_new_tokens=20)
    made = decode(toy(0), prompts, Interrupted(), gamma=2, max_new_tokens=20)
    for one, full in zip(made, whole):
        assert len(one.rounds) == 3
        assert 3 <= len(one.tokens) < 20
        assert one.tokens == full.tokens[: len(one.tokens)]


def test_another_error_is_not_swallowed():
    broken = SimpleNamespace(begin=lambda *_: None, propose=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decode(toy(0), PROMPT, broken, gamma=2)


def test_a_closed_stream_leaves_inference_mode():
    for _ in stream(toy(0), PROMPT, max_new_tokens=3):
        assert not torch.is_inference_mode_enabled()
        break
    assert not torch.is_inference_mode_enabled()
