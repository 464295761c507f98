"""What users of other libraries report of drafts with another tokenizer, and of parallel heads.

Each test is a kind of report: a start token put in at every round, positions counted in the
target's tokens, equal ids of different content, padded tables, special tokens that differ, ids
beyond a table, proposals that end within a word, fixed trees for another number of heads, text that
changes with the tree, heads of another model.
"""

from __future__ import annotations

import math

import pytest
import torch

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet, refused
from tests.contracts.test_tokens import NO_PROMPTS
from tests.support.tiny_llama import make_tokenizer
from tests.support.tokenizers import Pieces, metaspace, model_of

DRAFTS = ("IntersectionDraft", "StringDraft")
PROMPT = "the big model checks it"
NO_MODEL = (None, 3, "tiny", math.nan, {}, ["tiny"], make_tokenizer, object())


@pytest.fixture(scope="module")
def pair():
    """A target whose texts have fewer tokens than the draft's."""
    return model_of(make_tokenizer(None), 0), model_of(metaspace("ab " * 9, 12), 1)


def texts(target, draft, **how):
    plain = lab.decode(target, PROMPT, max_new_tokens=16)
    with quiet() as said:
        made = lab.decode(target, PROMPT, draft, max_new_tokens=16, **how)
    assert made.tokens == plain.tokens
    return made, said


@contract(*DRAFTS, "decode", "stream")
@pytest.mark.parametrize("name", DRAFTS)
def test_a_start_token_is_read_once_and_positions_are_the_drafts_own(pair, name):
    target, draft = pair
    mine = getattr(lab, name)(target, draft)
    texts(target, mine, gamma=3)
    for row in mine.reader.read_before:
        assert row.count(draft.tokenizer.bos_token_id) == 1 == row[:1].count(1)
        assert len(row) > len(target.tokenizer(PROMPT).input_ids)


@contract("decode", "common_tokens")
def test_tables_of_one_tokenizer_that_are_padded_are_no_other_tokenizer():
    tokenizer = make_tokenizer(None)
    target, draft = (model_of(tokenizer, i, vocabulary=len(tokenizer) + 8 * i) for i in (1, 0))
    made, said = texts(target, draft, gamma=2)
    assert not said and made.rounds[0].proposed
    assert lab.common_tokens(target, draft).target == lab.common_tokens(target, draft).draft


@contract("decode", "common_tokens")
def test_equal_ids_of_different_content_are_seen():
    target, draft = model_of(Pieces(*"the bigmodlcksi"), 0), model_of(Pieces(*"isklcdomgb eht"), 1)
    _, [said] = texts(target, draft, gamma=2)
    common = lab.common_tokens(target, draft)
    assert len(common) == len(set(common.draft)) and str(common) in str(said.message)


@contract("decode", "common_tokens")
def test_special_tokens_that_differ_leave_the_others_common():
    ours, theirs = make_tokenizer(None), make_tokenizer(None)
    theirs.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    ours.add_special_tokens({"additional_special_tokens": ["<|call|>"]})
    target, draft = model_of(ours, 0), model_of(theirs, 1)
    texts(target, draft, gamma=2)
    common = lab.common_tokens(target, draft)
    assert not set(ours.all_special_ids) & set(common.target)
    assert common.target == common.draft


@contract("common_tokens", *DRAFTS)
def test_what_is_no_pair_of_models_is_refused(pair):
    target, draft = pair
    collected(
        {
            f"{name} {x!r} {i}": lambda name=name, x=x, i=i: getattr(lab, name)(
                *((x, draft) if i else (target, x))
            )
            for name in (*DRAFTS, "common_tokens")
            for x in NO_MODEL
            for i in (0, 1)
        }
    )
    nothing = model_of(Pieces(*"αβγδ"), 1)
    with refused(nothing.weights):
        lab.decode(target, PROMPT, nothing)


@pytest.fixture(scope="module")
def heads():
    made = lab.ParallelHeads(8, 3, {"hits": [[0.5, 0.2], [0.3, 0.1], [0.2, 0.1]]})
    torch.nn.init.normal_(made.down, std=0.5)
    return made


@contract("ParallelHeads", "decode", "stream")
@pytest.mark.parametrize("gamma", [1, 2, 5, 20])
def test_no_number_of_heads_or_nodes_changes_the_text(pair, heads, gamma):
    target, _ = pair
    for draft in (heads, heads.tree()):
        made, _ = texts(target, draft, gamma=gamma)
        assert len(made.rounds[0].proposed) <= gamma


@contract("ParallelHeads")
def test_heads_refuse_other_models_and_what_cannot_be_trained(pair, heads, tmp_path):
    target, _ = pair
    fit = lab.ParallelHeads.fit
    enough = [PROMPT] * 16
    collected(
        {f"prompts {what}": lambda x=x: fit(target, x, steps=1) for what, x in NO_PROMPTS.items()}
        | {f"target {x!r}": lambda x=x: fit(x, enough, steps=1) for x in NO_MODEL}
        | {f"heads {x!r}": lambda x=x: lab.ParallelHeads(8, x) for x in (0, -1, 1.5, "3", None)}
        | {f"steps {x!r}": lambda x=x: fit(target, enough, steps=x) for x in (0, 1.5, "9", True)}
        | {"no file": lambda: lab.ParallelHeads.read(tmp_path / "none.safetensors")}
        | {"no hits": lambda: lab.ParallelHeads(8).tree()}
        | {"width": lambda: lab.decode(target, PROMPT, lab.ParallelHeads(16), gamma=2)}
    )
