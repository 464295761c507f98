"""One draft object in several streams and with several targets, and files edited by hand."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.decode import decode, stream
from ensemble_lab.tokens.drafts import fit_heads
from ensemble_lab.tokens.drafts.intersection import IntersectionDraft
from ensemble_lab.tokens.drafts.jacobi import JacobiDraft
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.parallel_heads import ParallelHeads
from ensemble_lab.tokens.drafts.strings import StringDraft
from ensemble_lab.tokens.drafts.suffix import SuffixDraft
from tests.support.tokenizers import Pieces, metaspace
from tests.support.toy_lm import network, toy

ASKED = {"gamma": 3, "max_new_tokens": 20}
FOUR = LanguageModel(network(0, 1), Pieces("a", "b", "ab", " ", "c", "d"), "four letters")
THREE = LanguageModel(network(1, 1, vocabulary=5), Pieces("a", "b", " ", "c", "x"), "three letters")
TWO = LanguageModel(network(2, 1, vocabulary=2), Pieces("a", "b"), "two letters")


# Several streams


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    "make",
    [SuffixDraft, JacobiDraft, LookupDraft,
     lambda: IntersectionDraft(FOUR, THREE), lambda: StringDraft(FOUR, THREE)],
)  # fmt: skip
def test_a_draft_follows_one_stream_at_a_time(make, rows):
    draft = make()
    first = stream(FOUR, [[0, 1], [1]], draft, **ASKED)
    next(iter(first))
    second = stream(FOUR, [[1]] * rows, draft, **ASKED)
    with pytest.raises(ModelError, match="give each stream a draft of its own"):
        next(iter(first))
    assert all(one.tokens for one in first.generations)  # what was written is still there
    for _ in second:
        pass
    assert second.generations[0].tokens == decode(FOUR, [1], max_new_tokens=20).tokens


def test_a_corpus_saved_while_a_text_is_written_loses_nothing(tmp_path):
    draft, tokenizer = SuffixDraft(), metaspace()
    going = stream(toy(0), [1, 2, 3, 1, 2], draft, **ASKED)
    next(iter(going))
    draft.save(tmp_path / "corpus.safetensors", tokenizer)
    for _ in going:
        pass
    draft.save(tmp_path / "corpus.safetensors", tokenizer)
    kept = [token for text in draft.texts for token in text]
    assert tuple(kept) == going.generations[0].tokens


def test_a_corpus_that_forgets_while_a_text_is_written():
    """The match was in a state that the new automaton does not have."""
    prompt = [1, 2, 3, 4, 5, 1, 4, 2, 5, 3]
    draft = SuffixDraft([prompt * 2], most_tokens=40)
    going = stream(toy(0), prompt, draft, **ASKED)
    draft.add([0] * 20)
    draft.add([0])  # now only this one is left
    for _ in going:
        pass
    assert going.generations[0].tokens == decode(toy(0), prompt, max_new_tokens=20).tokens


# Several targets


def test_outputs_of_a_target_with_more_tokens():
    draft, large, small = SuffixDraft(), toy(5, vocabulary=30), toy(3, vocabulary=4)
    made = decode(large, [1, 2, 3, 1, 2], draft, gamma=4, max_new_tokens=30)
    assert draft.highest == max(made.tokens) > 3
    known = [token for token in made.tokens if token < 4] or [1]
    with pytest.raises(ModelError, match="the corpus holds the token id"):
        decode(small, known, draft, gamma=4)


@pytest.mark.parametrize("kind", [IntersectionDraft, StringDraft])
def test_a_draft_that_was_made_for_another_target(kind):
    draft = kind(FOUR, THREE)
    with pytest.raises(ModelError, match=rf"made for .*four.*make one with {kind.__name__}\("):
        decode(TWO, [0, 1], draft, **ASKED)
    again = LanguageModel(FOUR.model, FOUR.tokenizer, "the same tokens")
    assert decode(again, [0], draft, **ASKED).tokens == decode(FOUR, [0], max_new_tokens=20).tokens


def test_a_tokenizer_with_tokens_beyond_the_targets_table():
    """The draft's text would be the token 3, 'ab', which the target cannot read."""
    target = LanguageModel(
        network(4, 1, vocabulary=3), Pieces("a", "b", " ", "ab", "ba", "a b"), "a small table"
    )
    draft = LanguageModel(network(50, 1, vocabulary=3), Pieces("a", "b", " "), "letters")
    settings = {"gamma": 6, "max_new_tokens": 20}
    made = decode(target, [0, 1, 2], StringDraft(target, draft), **settings)
    assert made.tokens == decode(target, [0, 1, 2], max_new_tokens=20).tokens


# Files


def test_heads_at_a_path_that_is_a_text(tmp_path):
    path = str(tmp_path / "heads.safetensors")
    ParallelHeads(16, 2).save(path)
    assert len(ParallelHeads.read(path).up) == 2


@pytest.mark.parametrize(
    "hits",
    ["abc", 5, {"a": 1}, [[]], [[], []], [[0.5]], [[0.5]] * 3, [["a"], ["b"]], [[0.5], [2.0]],
     [[float("nan")], [0.1]]],
)  # fmt: skip
def test_heads_with_hits_that_are_none(tmp_path, hits):
    weights = {
        name: one.to(torch.bfloat16) for name, one in ParallelHeads(16, 2).named_parameters()
    }
    path = tmp_path / "heads.safetensors"
    save_file(weights, path, metadata={"about": json.dumps({"hits": hits})})
    with pytest.raises(ModelError, match="hits=.* of 2 heads: give each a list of shares"):
        ParallelHeads.read(path)


@pytest.mark.parametrize(
    "about", [{}, [1], None, "x", {"vocabulary": 3, "weights": "x"}, {"vocabulary": "3"}]
)
def test_a_corpus_that_does_not_say_whose_it_is(tmp_path, about):
    path = tmp_path / "corpus.safetensors"
    tokens = torch.tensor([1, 2, -1], dtype=torch.int32)
    save_file({"tokens": tokens}, path, metadata={"about": json.dumps(about)})
    with pytest.raises(ModelError, match=r"holds no corpus.* write it with SuffixDraft\.save"):
        SuffixDraft.load(path, metaspace())


def test_a_corpus_with_a_negative_token(tmp_path):
    path = tmp_path / "corpus.safetensors"
    tokens = torch.tensor([1, -5, -1], dtype=torch.int32)
    about = {"vocabulary": "x", "weights": "y"}
    save_file({"tokens": tokens}, path, metadata={"about": json.dumps(about)})
    with pytest.raises(ModelError, match="its tokens hold -5"):
        SuffixDraft.load(path, metaspace())


def test_a_corpus_without_a_tokenizer(tmp_path):
    path = tmp_path / "corpus.safetensors"
    for tokenizer in (None, "smollm2", toy(0).tokenizer):
        with pytest.raises(ModelError, match="does not list its tokens: give the target's"):
            SuffixDraft([[1]]).save(path, tokenizer)
    SuffixDraft([[1]]).save(path, metaspace())
    with pytest.raises(ModelError, match="does not list its tokens: give the target's"):
        SuffixDraft.load(path, None)


# Training


def test_texts_too_short_to_judge_are_found_before_training(monkeypatch):
    target, trained = toy(0), []
    monkeypatch.setattr(fit_heads, "_train", lambda *_: trained.append(True))
    written = fit_heads.written
    short = [[1]] * 3  # the prompts that are left out

    def cut(target, prompts, **how):
        return [(n, text[: n + 1] if prompts == short else text) for n, text in written(
            target, prompts, **how)]  # fmt: skip

    monkeypatch.setattr(fit_heads, "written", cut)
    prompts = [[1] if i % 8 == 0 else [2, 1 + i % 3] for i in range(17)]
    with pytest.raises(ModelError, match="no text is long enough"):
        ParallelHeads.fit(target, prompts, 2, steps=1, max_new_tokens=8, progress=False)
    assert not trained


def test_training_leaves_the_callers_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    prompts = np.arange(32).reshape(16, 2) % 6
    ParallelHeads.fit(toy(0), prompts.tolist(), 2, steps=1, max_new_tokens=8, progress=False)
    assert torch.equal(torch.rand(4), expected)
