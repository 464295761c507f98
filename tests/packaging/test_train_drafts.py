"""The scripts that distil drafts: what a pass of training sees, batches, checkpoints, judging."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ensemble_lab.models.borrowed import open_layers, save_layers
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.head import HeadDraft
from recipes import distilling, judge_drafts, train_drafts, write_own_text
from recipes.train_ngram import Answer
from tests.support.toy_lm import NO_WORDS, network, toy_head

IDS = (0, 1, 2, 4)


@pytest.fixture
def target():
    model = network(0)
    return LanguageModel(model, NO_WORDS, "a toy")


@pytest.fixture
def texts(target, monkeypatch, tmp_path):
    """Six answers of a toy with its states on them, cut after four tokens of a prompt."""
    monkeypatch.setattr(distilling, "CONTEXT", 4)
    monkeypatch.setattr(distilling, "GROUP", 2)
    prompts = [[1], [2, 3], [4, 5, 0, 1, 2, 3], [3, 3, 1], [0, 5], [5, 4, 3, 2, 1, 0, 1]]
    made = decode(target, prompts, max_new_tokens=12)
    answers = [
        Answer("kind", True, i % 2 == 0, prompt, list(one.tokens))
        for i, (prompt, one) in enumerate(zip(prompts, made))
    ]
    return distilling.compute_states(target.model, answers, 1.0, tmp_path / "states.bin")


def test_states_are_the_targets_and_a_whole_file_is_not_made_again(texts, target, tmp_path):
    answer = texts.answers[2]
    tokens = torch.tensor([answer.prompt + answer.tokens])
    states = target.model.model(tokens).last_hidden_state[0]
    assert torch.equal(texts.states_of(2), states.to(torch.bfloat16))
    assert texts.there == list(range(6))
    silent = SimpleNamespace(config=target.model.config)  # cannot read a thing
    again = distilling.compute_states(silent, texts.answers, 1.0, tmp_path / "states.bin")
    assert np.array_equal(again.states, texts.states)
    half = distilling.compute_states(silent, texts.answers, 0.5, tmp_path / "states.bin")
    assert len(half.there) in (2, 4) and set(half.there) < set(texts.there)
    read = target.model
    distilling.compute_states(read, texts.answers, 0.5, tmp_path / "half.bin")
    with pytest.raises(ValueError, match=r"fewer answers than share=1.0 asks for: delete it"):
        distilling.compute_states(read, texts.answers, 1.0, tmp_path / "half.bin")


def test_texts_that_are_joined_keep_their_states(texts):
    both = distilling.joined([texts, texts])
    assert both.answers == texts.answers * 2 and both.there == list(range(12))
    assert all(torch.equal(both.states_of(i), texts.states_of(i % 6)) for i in both.there)
    assert distilling.joined([texts]) is texts


def test_what_is_judged_was_held_out_and_is_of_every_kind(monkeypatch):
    monkeypatch.setattr(judge_drafts, "A_KIND", 2)
    answers = [
        Answer(kind, greedy, held_out, [i], [i])
        for kind in "ba"
        for greedy in (True, False)
        for held_out in (True, False)
        for i in range(3)
    ]
    chosen = judge_drafts.first_of_each_kind(answers)
    assert [(one.kind, one.prompt) for one in chosen] == [
        ("a", [0]), ("a", [1]), ("b", [0]), ("b", [1]),
    ]  # fmt: skip
    assert all(one.greedy and one.held_out for one in chosen)


def test_a_model_asks_until_it_ends_and_then_answers(monkeypatch):
    """The turn's end is 9; what the template puts between the turns is not the model's."""
    monkeypatch.setattr(write_own_text, "ASKED", 3)
    monkeypatch.setattr(write_own_text, "ANSWERED", 2)
    short, long = (write_own_text.Chat([9, 7, 8], greedy=True) for _ in range(2))
    assert [short.take(token) for token in (1, 9, 5, 5, 2, 9, 3)] == [1, 9, 7, 8, 2, 9, 3]
    assert (short.asked, short.answered, short.ended) == ([1], [2], True)
    assert [long.take(token) for token in (1, 2, 3, 4, 5, 5, 6, 6)] == [1, 2, 3, 9, 7, 8, 6, 6]
    assert (long.asked, long.answered, long.ended) == ([1, 2, 3], [6, 6], False)
    long.take(6)
    assert (long.answered, long.ended) == ([6, 6], True)


def test_a_batch_is_cut_padded_and_counts_the_answers_distributions(texts):
    batch = texts.batch([0, 2])
    long = texts.answers[2]
    assert batch.tokens[1].tolist() == long.prompt[-4:] + long.tokens
    assert batch.tokens[0, :13].tolist() == [1, *texts.answers[0].tokens]
    assert batch.counts[1].tolist() == [False] * 3 + [True] * 13
    assert batch.counts[0].tolist() == [True] * 13 + [False] * 3
    assert torch.equal(batch.states[1], texts.states_of(2)[2:])


@torch.inference_mode()
def test_a_pass_of_training_is_what_the_head_does_when_it_drafts(texts, target, monkeypatch):
    """After i tokens from its own states, the distribution at a place is that of pass i there."""
    monkeypatch.setattr(train_drafts, "PASSES", 3)
    head = toy_head(3, target.model.config, IDS).attach(target.model)
    tokens = torch.tensor([[1, 2, 3, 0, 5, 4, 2, 1]])
    states = target.model.model(tokens).last_hidden_state
    counts = torch.ones_like(tokens, dtype=torch.bool)
    pairs = train_drafts.HeadTrainer(head).distributions(distilling.Batch(tokens, states, counts))
    assert len(pairs) == 3
    for ours, theirs in pairs:
        rows = target.model.lm_head(states[0, 1:])[:, list(IDS)]
        assert torch.allclose(theirs, rows) and ours.shape == rows.shape
    for last in range(3, 8):
        for i in range(3):  # i states before `last` are the head's own
            text, at = tokens[:, 1 : last + 1], states[:, :last].clone()
            for place in range(last - i, last):
                made = head.step(
                    at[:, :place], text[:, :place], position_ids=torch.arange(place)[None]
                )
                at[:, place] = made[:, -1]
            made = head.step(at, text, position_ids=torch.arange(last)[None])
            assert torch.allclose(head.logits(made[0, -1]), pairs[i][0][last - 1])


def test_training_goes_on_from_its_checkpoint(texts, target, monkeypatch, tmp_path):
    monkeypatch.setattr(train_drafts, "EVERY", 2)
    monkeypatch.setattr(train_drafts, "BATCH", 2)
    head = toy_head(3, target.model.config, IDS).attach(target.model).float()
    head.embedding, head.rows = head.embedding.float(), head.rows.bfloat16()
    before = head.join.weight.clone()
    told = train_drafts.fit(train_drafts.HeadTrainer(head), texts, 0.003, tmp_path / "head.pt")
    assert not torch.equal(head.join.weight, before)
    assert told[-1]["step"] >= 1 and len(told[-1]["held_out"]) == train_drafts.PASSES
    assert all(0 <= seen["agree"] <= 1 and seen["kl"] >= 0 for seen in told[-1]["held_out"])
    run = train_drafts.Run(head, tmp_path / "head.pt")
    assert (run.steps, run.history) == (told[-1]["step"], told)
    assert (
        train_drafts.fit(train_drafts.HeadTrainer(head), texts, 0.003, tmp_path / "head.pt") == told
    )


@torch.inference_mode()
def test_judged_from_recorded_states_as_decoded_with_the_target(texts, target):
    """The rounds are those of a real decoding."""
    head = toy_head(5, target.model.config, IDS).attach(target.model)
    for i, answer in enumerate(texts.answers):
        tokens = torch.tensor([answer.prompt + answer.tokens])
        states = judge_drafts.RecordedStates(target.model.model(tokens).last_hidden_state[0])
        draft = HeadDraft(head, states)
        found = [
            (stayed, added) for _, stayed, added in judge_drafts.rounds_of(draft, states, answer, 3)
        ]
        real = decode(
            target, answer.prompt, head, gamma=3, max_new_tokens=len(answer.tokens)
        ).rounds
        assert [added for _, added in found] == [len(r.tokens) for r in real], i
        assert sum(added for _, added in found) == len(answer.tokens)


def test_layers_are_stored_without_what_is_borrowed(tmp_path, target):
    small = network(7, layers=1, tie_word_embeddings=True).to(torch.bfloat16)
    save_layers(small, tmp_path / "draft", {"seed": 0})
    from safetensors.torch import load_file

    names = load_file(tmp_path / "draft/model.safetensors")
    assert names and not any("embed" in name or "lm_head" in name for name in names)
    again = open_layers(tmp_path / "draft", target.model)
    assert again.get_input_embeddings().weight is target.model.get_input_embeddings().weight
    assert again.lm_head.weight is target.model.lm_head.weight
    weight = small.model.layers[0].mlp.up_proj.weight
    assert torch.equal(again.model.layers[0].mlp.up_proj.weight, weight.double())
    plain, quick = (decode(target, [[1, 2]], d, max_new_tokens=20)[0] for d in (None, again))
    assert plain.tokens == quick.tokens


def test_embeddings_of_another_size_are_refused(tmp_path):
    save_layers(network(7, layers=1), tmp_path, {})
    with pytest.raises(
        ModelError, match=r"embeddings of shape \(6, 16\); the target's are \(9, 16\)"
    ):
        open_layers(tmp_path, network(0, vocabulary=9))
