"""Drafts whose tables are padded to another size: the target's distribution exactly, both ways.

Drafts with another tokenizer are known as such, whatever the sizes.
"""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import ensemble_lab as lab
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.vocabulary import vocabulary_fingerprint
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.drafts.combined import StackedDraft, TurnsDraft
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.drafts.model import ModelDraft
from ensemble_lab.tokens.drafts.ngram import NgramDraft, NgramTable
from ensemble_lab.tokens.sampling import Sampling, sampled
from ensemble_lab.tokens.tracing import trace
from tests.support.tiny_llama import make_tokenizer
from tests.support.toy_lm import counted, drawn, exact_distribution, network, p_value, toy, toy_head

TEXTS = ["Write a short story about a lighthouse.\n", "Count to five.\n"]
SMALL, LARGE = 4, 6
PROMPTS = [[1, 2, 3], [3, 0, 2, 2, 1]]
RULES = [
    {"temperature": 0.7},
    {"temperature": 1.2, "top_k": 3},
    {"temperature": 1.0, "top_p": 0.8},
]
ROWS = 4000
LEVEL = 0.001 / 30


class Letters:
    """A tokenizer of a few letters; those of one alphabet agree."""

    eos_token_id = chat_template = None

    def __init__(self, letters="abcd"):
        self.letters = letters

    def __len__(self):
        return len(self.letters)

    def get_vocab(self):
        return {letter: i for i, letter in enumerate(self.letters)}

    def decode(self, tokens, **_):
        return "".join(self.letters[t] if t < len(self) else "?" for t in tokens)

    def __call__(self, text, **_):
        return {"input_ids": [self.letters.index(c) for c in text if c in self.letters]}


def letters(model, alphabet="abcd"):
    return LanguageModel(model, Letters(alphabet), f"a toy of {alphabet}")


def pair(ours, theirs):
    """A target and a draft with tables of these sizes."""
    return (
        letters(network(0, 2, vocabulary=ours, hidden=8)),
        letters(network(1, 1, vocabulary=theirs, hidden=8)),
    )


# The right text


def padded(model, rows):
    wide = copy.deepcopy(model.model)
    wide.resize_token_embeddings(rows, mean_resizing=False)
    return LanguageModel(wide, model.tokenizer, "padded")


@pytest.mark.parametrize("ours, theirs", [(2048, 2112), (2112, 2048), (2112, 2176)])
@pytest.mark.parametrize("gamma", [3, None])
def test_the_greedy_text_is_the_targets_own(ours, theirs, gamma):
    target, draft = lab.load("tiny", dtype="float64"), lab.load("tiny-draft", dtype="float64")
    target, draft = (padded(one, n) for one, n in ((target, ours), (draft, theirs)))
    plain = decode(target, TEXTS, max_new_tokens=24)
    made = decode(target, TEXTS, draft, gamma=gamma, max_new_tokens=24)
    assert [one.tokens for one in made] == [one.tokens for one in plain]
    assert sum(r.accepted for one in made for r in one.rounds) > 0


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("ours, theirs", [(LARGE, SMALL), (SMALL, LARGE)])
def test_sampled_tokens_follow_the_targets_distribution(ours, theirs, rule):
    target, draft = pair(ours, theirs)
    rows, found = [PROMPTS[i % 2] for i in range(ROWS)], []
    for gamma in (1, 3):
        made = drawn(target, rows, draft, 3, seed=gamma, gamma=gamma, max_new_tokens=8, **rule)
        for i, prompt in enumerate(PROMPTS):
            distribution = exact_distribution(target, Sampling(**rule), prompt, 3)
            if ours > theirs and rule == RULES[0]:
                assert (
                    distribution.sum((1, 2))[theirs:].min() > 0.001
                )  # ids that only the target has
            found.append((counted(made[i::2], ours), distribution))
    assert min(p_value(one) for one in found) > LEVEL


def cut_late(self, logits):
    """The fault of a distribution that is normalised over ids that cannot be drawn."""
    distribution = self.sampling.distribution(logits)[:, : self.table]
    return sampled(distribution, self.generator), distribution


def test_a_distribution_that_was_cut_too_late_is_seen(monkeypatch):
    target, draft = pair(SMALL, LARGE)
    rule = {"temperature": 2.5}
    distribution = exact_distribution(target, Sampling(**rule), PROMPTS[0], 2)
    settings = {"gamma": 2, "max_new_tokens": 8, **rule}
    for fault in (None, cut_late):
        if fault:
            monkeypatch.setattr(ModelDraft, "draw", fault)
        made = drawn(target, [PROMPTS[0]] * ROWS, draft, 2, seed=0, **settings)
        assert (p_value((counted(made, SMALL), distribution)) < LEVEL) == bool(fault)


def test_only_ids_that_both_have_are_proposed():
    for ours, theirs in ((LARGE, SMALL), (SMALL, LARGE)):
        target, draft = pair(ours, theirs)
        for rule in ({}, RULES[0]):
            prompts = [[1, 2, ours - 1], [ours - 1] * 5]  # the smaller table may not have these
            made = decode(target, prompts, draft, gamma=3, max_new_tokens=20, seed=0, **rule)
            drafted = [t for one in made for r in one.rounds for t in r.proposed]
            assert drafted and max(drafted) < SMALL
            if not rule:
                plain = decode(target, prompts, max_new_tokens=20)
                assert [one.tokens for one in made] == [one.tokens for one in plain]


def test_compiled_and_traced(monkeypatch):
    monkeypatch.setattr("ensemble_lab.tokens.reading.compiled.BACKEND", "eager")
    target, draft = pair(LARGE, SMALL)
    plain = decode(target, PROMPTS, max_new_tokens=12)
    made = decode(target, PROMPTS, draft, gamma=2, max_new_tokens=12, compiled=True)
    assert [one.tokens for one in made] == [one.tokens for one in plain]
    kept = trace(target, PROMPTS[0], draft, gamma=2, max_new_tokens=8)
    assert all(sum(place.q) <= 1 + 1e-9 for _, place in kept.places)


# Heads and tables


@pytest.mark.parametrize("rows", [6, 9])
def test_a_head_of_another_padding(rows):
    target = letters(network(0, 2, vocabulary=rows, hidden=8))
    config = network(0, 2, vocabulary=7, hidden=8).config
    head = toy_head(3, config, ids=(0, 1, 2, 4))
    with pytest.raises(ModelError, match=f"writes 7 tokens; the target has 8 and {rows}"):
        decode(target, PROMPTS, head)  # of which tokenizer nobody knows
    head.about["vocabulary"] = vocabulary_fingerprint(target.tokenizer)
    plain = decode(target, PROMPTS, max_new_tokens=12)
    for draft in (head, TurnsDraft(LookupDraft(), head, sure=range(2, 6))):
        made = decode(target, PROMPTS, draft, gamma=3, max_new_tokens=12)
        assert [one.tokens for one in made] == [one.tokens for one in plain]
    rule = RULES[0]
    batch = [PROMPTS[0]] * ROWS
    made = drawn(target, batch, head, 2, seed=1, gamma=2, max_new_tokens=8, **rule)
    distribution = exact_distribution(target, Sampling(**rule), PROMPTS[0], 2)
    assert p_value((counted(made, rows), distribution)) > LEVEL
    head.about["vocabulary"] = "another"
    with pytest.raises(ModelError, match="the head holds tokens of another tokenizer"):
        decode(target, PROMPTS, head)


def table_of(token, **about):
    words = np.zeros(16, np.uint32)
    words[3] = 7 << 20 | 9 << 16 | token
    return NgramDraft(NgramTable(words, 2, about))


def test_a_table_with_ids_that_the_target_lacks():
    target = letters(network(0, 2, vocabulary=LARGE, hidden=8))
    assert table_of(5).table.highest == 5
    assert decode(target, PROMPTS[0], table_of(5), max_new_tokens=4)
    wrong = table_of(6)
    lookup = LookupDraft()
    head = toy_head(3, target.model.config, ids=(0, 1))
    for draft in (
        wrong,
        StackedDraft(lookup, wrong),
        TurnsDraft(StackedDraft(lookup, wrong), head),
    ):
        with pytest.raises(ModelError, match="the n-gram table holds the token id 6; .* 0 to 5"):
            decode(target, PROMPTS[0], draft)
    with pytest.raises(ModelError, match="the n-gram table holds tokens of another tokenizer"):
        decode(target, PROMPTS[0], table_of(1, vocabulary="another"))


def test_probabilities_of_another_width_are_named():
    def propose(rows, most):
        tokens = rows.tokens.new_zeros(len(rows), 1)
        probabilities = torch.nn.functional.one_hot(tokens, SMALL).double()
        return Proposal(tokens, [1] * len(rows), probabilities)

    draft = SimpleNamespace(begin=lambda *_: None, propose=propose)
    target = letters(network(0, 2, vocabulary=LARGE, hidden=8))
    with pytest.raises(ModelError, match="draft gives 4 probabilities for a token, the target 6"):
        decode(target, PROMPTS[0], draft, gamma=1, temperature=1.0)


# Tokenizers


@pytest.mark.parametrize("alphabet, common", [("abdcef", 6), ("abxdef", 5)])
def test_equal_sizes_with_different_tokenizers_are_another_tokenizer(alphabet, common):
    target = letters(network(0, vocabulary=LARGE, hidden=8), "abcdef")
    draft = letters(network(1, vocabulary=LARGE, hidden=8), alphabet)
    plain = decode(target, PROMPTS, max_new_tokens=12)
    with pytest.warns(UserWarning, match=f"another tokenizer than the target: {common} tokens"):
        made = decode(target, PROMPTS, draft, gamma=2, max_new_tokens=12)
    assert [one.tokens for one in made] == [one.tokens for one in plain]


def test_the_same_network_with_other_words_is_another_model():
    tiny = lab.load("tiny", dtype="float64")
    other = LanguageModel(tiny.model, make_tokenizer(None), "other words")
    with pytest.warns(UserWarning, match=r"the draft \('other words'\) has another tokenizer"):
        made = decode(tiny, TEXTS[0], other, gamma=2, max_new_tokens=4)
    assert made.tokens == decode(tiny, TEXTS[0], max_new_tokens=4).tokens
    # With its own tokenizer the same network is a draft.
    assert decode(tiny, TEXTS[0], tiny, gamma=2, max_new_tokens=4).acceptance == 1


@pytest.mark.parametrize("ours, theirs", [("abcdef", "abcd"), ("abcd", "abcdef")])
def test_more_tokens_behind_the_common_ones_agree(ours, theirs):
    target = letters(network(0, vocabulary=len(ours), hidden=8), ours)
    draft = letters(network(1, vocabulary=len(theirs), hidden=8), theirs)
    plain = decode(target, PROMPTS, max_new_tokens=12)
    made = decode(target, PROMPTS, draft, gamma=3, max_new_tokens=12)
    assert [one.tokens for one in made] == [one.tokens for one in plain]


def test_a_tokenizer_that_grew_is_compared_again():
    target, draft = pair(SMALL, SMALL)
    decode(target, PROMPTS[0], draft, max_new_tokens=2)
    draft.tokenizer.letters = "abcxd"
    with pytest.warns(UserWarning, match="another tokenizer"):
        decode(target, PROMPTS[0], draft, max_new_tokens=2)


def test_networks_without_a_tokenizer_need_equal_sizes():
    target, draft = pair(LARGE, SMALL)
    with pytest.raises(
        ModelError, match=r"has 4 tokens, the target's 6.*LanguageModel\(network"
    ) as e:
        decode(target, PROMPTS[0], draft.model)
    assert len(str(e.value)) <= 300
    assert decode(target, PROMPTS[0], network(1, 1, vocabulary=LARGE), max_new_tokens=3)
    assert decode(toy(0), PROMPTS[0], toy(1, 1), max_new_tokens=3)  # neither can tell its tokens
