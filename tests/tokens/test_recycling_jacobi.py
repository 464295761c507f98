"""Token recycling and Jacobi decoding: what they propose by brute force, and the target's text."""

import itertools

import numpy as np
import pytest
import torch

from ensemble_lab.models import load
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts import recycling
from ensemble_lab.tokens.drafts.jacobi import JacobiDraft
from ensemble_lab.tokens.drafts.recycling import RANKS, RecyclingDraft, tree_shape
from ensemble_lab.tokens.reading.rows import Rows
from tests.support.toy_lm import toy

RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4], [2, 4, 4, 1, 0, 5]]
NEW = 24
DRAFTS = {"recycling": lambda: RecyclingDraft(3), "jacobi": JacobiDraft}


@pytest.mark.parametrize("gamma", [1, 4, 9, 60])
@pytest.mark.parametrize("kind", DRAFTS)
def test_greedy_text_is_the_plain_text(kind, gamma):
    target, draft = toy(0), DRAFTS[kind]()
    plain = [one.tokens for one in decode(target, RAGGED, max_new_tokens=NEW)]
    for _ in range(2):
        made = decode(target, RAGGED, draft, gamma=gamma, max_new_tokens=NEW)
        assert [one.tokens for one in made] == plain
    assert sum(r.accepted for one in made for r in one.rounds)


@pytest.mark.parametrize("kind", DRAFTS)
def test_sampled_and_coupled_it_is_sampled_plainly(kind):
    target, draft = toy(0, hidden=8), DRAFTS[kind]()
    how = {"temperature": 0.9, "top_p": 0.95, "verification": "coupled", "max_new_tokens": NEW}
    for seed in range(3):
        plain = [one.tokens for one in decode(target, RAGGED, seed=seed, **how)]
        made = decode(target, RAGGED, draft, gamma=5, seed=seed, **how)
        assert [one.tokens for one in made] == plain


@pytest.mark.parametrize("kind", DRAFTS)
def test_the_shipped_model_writes_its_plain_text(kind):
    target, prompt = load("tiny", dtype="float64"), "Write a short story about a lighthouse.\n"
    plain = decode(target, prompt, max_new_tokens=40)
    assert decode(target, prompt, DRAFTS[kind](), gamma=8, max_new_tokens=40).tokens == plain.tokens


@pytest.mark.parametrize("kind", DRAFTS)
def test_a_shape_larger_than_the_room(kind):
    prompt = [1, 2, 3, 4] * 15
    plain = decode(toy(0), prompt, max_new_tokens=50).tokens
    assert len(plain) == 4  # the context has 64
    made = decode(toy(0), prompt, DRAFTS[kind](), gamma=16, max_new_tokens=50)
    assert made.tokens == plain


# Token recycling


def test_the_table_holds_the_likeliest_tokens_of_the_latest_reading():
    draft, seen = RecyclingDraft(3), {}
    honest = draft.observe

    def observe(tokens, logits):
        for token, row in zip(tokens.flatten().tolist(), logits.flatten(0, 1)):
            seen[token] = row.sort(descending=True).indices[:3].tolist()
        honest(tokens, logits)

    draft.observe = observe
    decode(toy(0), RAGGED, draft, gamma=6, max_new_tokens=NEW)
    assert draft.candidates.shape == (6, 3) and draft.candidates.dtype == np.int32
    for token in range(6):
        assert draft.candidates[token].tolist() == seen.get(token, [-1] * 3)
    assert len(seen) == 6


def test_a_tree_is_read_from_the_table():
    draft = RecyclingDraft(2)
    draft.candidates = np.array([[1, 2], [2, 0], [-1, -1], [0, 1]], np.int32)
    rows = Rows([[3], [2]], 9, torch.device("cpu"))
    made = draft.propose(rows, 4)  # 3: 0, then its 1; 1; then the 2 of the 1 after 0
    assert made.counts == [4, 0]
    assert made.tokens[0].tolist() == [0, 1, 1, 2] and made.parents[0] == [-1, 0, -1, 1]
    assert RecyclingDraft().propose(rows, 4).counts == [0, 0]


def expected(shape):
    """Tokens accepted of a tree by `RANKS`."""
    chances = {-1: 1.0}
    for node, (parent, rank) in enumerate(shape):
        chances[node] = chances[parent] * RANKS[rank]
    return sum(chances.values()) - 1


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_no_tree_of_its_size_is_expected_to_be_accepted_further(keep):
    for size in range(5):
        best = 0.0
        for parents in itertools.product(*(range(-1, node) for node in range(size))):
            ranks = [parents[:node].count(parent) for node, parent in enumerate(parents)]
            if max(ranks, default=0) < keep:
                best = max(best, expected(list(zip(parents, ranks))))
        shape = tree_shape(size, keep)
        assert len(shape) == size and abs(expected(shape) - best) < 1e-12
    assert [rank for _, rank in tree_shape(6, 1)] == [0] * 6


def test_a_tree_in_the_wrong_order_of_ranks_is_seen(monkeypatch):
    monkeypatch.setattr(recycling, "RANKS", RANKS[::-1])
    assert expected(recycling.tree_shape(4, 3)) < expected([(-1, 0), (0, 0), (-1, 1), (1, 0)])


def test_the_table_of_another_vocabulary_is_refused():
    draft = RecyclingDraft()
    decode(toy(0), RAGGED, draft, gamma=4, max_new_tokens=4)
    assert draft.candidates.shape == (6, 8) and (draft.candidates[:, 6:] == -1).all()
    with pytest.raises(ModelError, match="of 6 tokens; this one has 4: make a new RecyclingDraft"):
        decode(toy(0, vocabulary=4), [1, 2], draft, gamma=4, max_new_tokens=8)


@pytest.mark.parametrize("keep", [0, 9, 1.5, "2", True])
def test_a_number_of_candidates_out_of_range(keep):
    with pytest.raises(ValueError, match="keep="):
        RecyclingDraft(keep)


def test_a_tree_needs_a_size_before_anything_is_read():
    for most in (1, NEW):  # with one token no round would follow the first
        with pytest.raises(ModelError, match="give a gamma, such as gamma=12"):
            decode(toy(0), RAGGED, RecyclingDraft(), max_new_tokens=most)


# Jacobi


@torch.inference_mode()
def test_every_guess_is_the_targets_token_after_the_guesses_before_it():
    target, draft, gamma = toy(0), JacobiDraft(), 6
    made = decode(target, RAGGED, draft, gamma=gamma, max_new_tokens=NEW)
    for prompt, one, passes in zip(RAGGED, made, draft.passes):
        text = [*prompt, *one.tokens]
        assert passes[0] == (len(prompt), [prompt[-1]] * gamma)
        for done, (n, guesses) in enumerate(passes):
            assert n - len(prompt) >= done  # after k passes at least k tokens are right
            if done:
                before, old = passes[done - 1]
                logits = target.model(torch.tensor([text[:before] + old])).logits[0]
                own = logits.argmax(-1)[before - 1 :].tolist()[n - before :]
                last = text[n - 1]
                assert guesses == (own + [last] * gamma)[: len(guesses)]
        assert len(one.rounds) <= NEW


def test_right_guesses_end_it_in_one_pass():
    """The fixed point: where the guesses are the greedy text, all of them stay."""
    target, draft = toy(0), JacobiDraft()
    plain = decode(target, RAGGED[2], max_new_tokens=9).tokens
    begin = draft.begin

    def knowing(rows, sampling, generator):
        begin(rows, sampling, generator)
        draft._corrected = [list(plain)]

    draft.begin = knowing
    made = decode(target, RAGGED[2], draft, gamma=8, max_new_tokens=9)
    assert made.tokens == plain and len(made.rounds) == 1
