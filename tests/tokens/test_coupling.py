"""Position-seeded draws: sampled with any draft is sampled plainly, token for token."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ensemble_lab.tokens import verification
from ensemble_lab.tokens.coupling import coupled
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import (
    VOCABULARY,
    counted,
    exact_distribution,
    mutant,
    p_value,
    toy,
    toy_head,
)
from tests.tokens.test_tokens_lossless import RAGGED, TableDraft
from tests.tokens.test_trees import FORKED, FixedTree

NEW = 20
SETTINGS = {"verification": "coupled", "temperature": 0.9, "top_p": 0.95, "max_new_tokens": NEW}
LEVEL = 0.001


def drafts():
    return {
        "lookup": "lookup",
        "model": toy(1, layers=1, hidden=8),
        "early exit": "early-exit:1",
        "head": toy_head(3, toy(0, hidden=8).model.config, ids=(0, 1, 2, 4)),
        "own": TableDraft(),
        "tree": FORKED,
    }


def texts(draft, gamma, seed=4):
    made = decode(toy(0, hidden=8), RAGGED, draft, gamma=gamma, seed=seed, **SETTINGS)
    return [one.tokens for one in made], sum(r.accepted for one in made for r in one.rounds)


@pytest.mark.parametrize("gamma", [1, 3, 5])
@pytest.mark.parametrize("kind", drafts())
def test_sampled_with_a_draft_is_sampled_plainly(kind, gamma):
    accepted = 0
    for seed in (4, -1, 2**64 - 2):
        plain, none = texts(None, None, seed)
        found, more = texts(drafts()[kind], gamma, seed)
        accepted += more
        assert found == plain and none == 0
    assert accepted  # else nothing of a draft was in the texts


def test_the_length_that_adapts_changes_no_token():
    assert texts("lookup", None)[0] == texts(None, None)[0]
    assert texts(None, None, seed=5)[0] != texts(None, None)[0]


ROWS = 6_000


def p_of_texts():
    """Of the joint counts of three tokens, of the rows of one seed."""
    target, prompt = toy(0, hidden=8), [1, 2, 3]
    draft, settings = FixedTree([0, 1], [-1, -1]), {**SETTINGS, "max_new_tokens": 3}
    made = decode(target, [prompt] * ROWS, draft, gamma=2, seed=0, **settings)
    tokens = torch.tensor([one.tokens for one in made])
    rule = Sampling(SETTINGS["temperature"], top_p=SETTINGS["top_p"])
    return p_value((counted(tokens), exact_distribution(target, rule, prompt, 3)))


def test_the_distribution_is_the_targets():
    assert p_of_texts() > LEVEL


COUNTER = "counter=[0, 0, len(text) + depth, row]"
LAW_FAULTS = {
    "rows alike": (COUNTER, "counter=[0, 0, len(text) + depth, 0]"),
    "positions alike": (COUNTER, "counter=[0, 0, 0, row]"),
    "the largest": (".argmax(-1)", ".argmin(-1)"),
}


@pytest.mark.parametrize("fault", LAW_FAULTS)
def test_the_statistics_see_a_planted_fault(monkeypatch, fault):
    monkeypatch.setattr(verification, "coupled", mutant(coupled, *LAW_FAULTS[fault]))
    assert p_of_texts() < LEVEL


TEXT_FAULTS = {
    "depth forgotten": (COUNTER, "counter=[0, 0, len(text) + (depth > 0), row]"),
    "a place for a position": ("enumerate(places)", "enumerate(range(len(places)))"),
}


@pytest.mark.parametrize("fault", TEXT_FAULTS)
def test_the_comparison_sees_a_planted_fault(monkeypatch, fault):
    monkeypatch.setattr(verification, "coupled", mutant(coupled, *TEXT_FAULTS[fault]))
    assert texts(FORKED, 5)[0] != texts(None, None)[0]


def test_a_position_has_the_same_numbers_from_wherever_it_is_reached():
    p = torch.full((2, 2, VOCABULARY), 1 / VOCABULARY, dtype=torch.float64)
    tokens = [coupled(p, 0, [[0] * at, [0] * at]) for at in range(200)]
    for one, after in pairwise(tokens):  # the second place is the next text's first
        assert torch.equal(one[:, 1], after[:, 0])
    rows = np.array([one[:, 0].tolist() for one in tokens]).T
    assert abs(np.corrcoef(*rows)[0, 1]) < 4 / len(tokens) ** 0.5
