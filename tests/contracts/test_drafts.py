"""Drafts without a model: forms of the corpus, what is refused, and the target's own text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from tests.contracts.registry import contract, refused

torch = pytest.importorskip("torch")
TEXT = "Write a short story about a lighthouse.\n"
FORMS = [list, tuple, np.array, torch.tensor, pd.Series, lambda ids: (i for i in ids)]


@pytest.fixture(scope="module")
def target():
    return lab.load("tiny", dtype="float64")


@contract("SuffixDraft", "RecyclingDraft", "JacobiDraft")
def test_the_text_is_the_targets_own(target):
    plain = lab.decode(target, TEXT, max_new_tokens=16)
    for draft in (lab.SuffixDraft([plain.tokens]), lab.RecyclingDraft(), lab.JacobiDraft()):
        made = lab.decode(target, TEXT, draft, gamma=6, max_new_tokens=16)
        assert made.tokens == plain.tokens and made.rounds
    knowing = lab.SuffixDraft([[*target.token_ids(TEXT), *plain.tokens]])
    again = lab.decode(target, TEXT, knowing, gamma=6, max_new_tokens=16)
    assert len(again.rounds) <= 4  # 16 tokens, at most 7 a round


@contract("SuffixDraft", "SuffixAutomaton")
@pytest.mark.parametrize("form", FORMS)
def test_texts_in_any_form(form):
    draft = lab.SuffixDraft([form([1, 2, 3])])
    draft.add(form([4, 5]))
    assert list(draft.texts) == [[1, 2, 3], [4, 5]] and draft.highest == 5
    assert lab.SuffixAutomaton([1, 2, 1]).repeated() == (1, 1)


WRONG = {
    "text": lambda: lab.SuffixDraft("a text"),
    "texts": lambda: lab.SuffixDraft(["a text"]),
    "one text": lambda: lab.SuffixDraft([1, 2]),
    "mapping": lambda: lab.SuffixDraft({"a": [1]}),
    "None": lambda: lab.SuffixDraft(None),
    "negative": lambda: lab.SuffixDraft([[-1]]),
    "fraction": lambda: lab.SuffixDraft([[0.5]]),
    "huge": lambda: lab.SuffixDraft([[2**40]]),
    "factor": lambda: lab.SuffixDraft(factor=-1),
    "most_tokens": lambda: lab.SuffixDraft(most_tokens="many"),
    "add": lambda: lab.SuffixDraft().add(3),
    "deepest": lambda: lab.SuffixAutomaton(deepest=0),
    "keep": lambda: lab.RecyclingDraft(0),
    "keep True": lambda: lab.RecyclingDraft(True),
}


@contract("SuffixDraft", "SuffixAutomaton", "RecyclingDraft")
@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_draft_is_refused(what):
    with refused():
        WRONG[what]()


@contract("SuffixDraft")
def test_another_targets_tokens_are_refused(target):
    with refused("65535"):
        lab.decode(target, TEXT, lab.SuffixDraft([[65535]]), max_new_tokens=2)
    with refused():
        lab.SuffixDraft.load("no/such file", target.tokenizer)


@contract("JacobiDraft", "RecyclingDraft")
def test_gamma_is_still_checked(target):
    for draft in (lab.JacobiDraft(), lab.RecyclingDraft()):
        for gamma in (0, -1, 1.5, "4"):
            with refused():
                lab.decode(target, TEXT, draft, gamma=gamma, max_new_tokens=2)
