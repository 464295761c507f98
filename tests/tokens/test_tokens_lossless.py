"""Sampled texts follow the target's distribution, whatever the draft; the test sees faults.

Each kind of draft gives 100,000 samples over four draft lengths, each length under a sampling rule
of its own that differs from kind to kind. The familywise level is 0.001.
"""

import gc
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from scipy.stats import chi2

from ensemble_lab.tokens import accept, session, verification
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.drafts.combined import TurnsDraft
from ensemble_lab.tokens.drafts.head import HeadDraft
from ensemble_lab.tokens.drafts.lookup import LookupDraft
from ensemble_lab.tokens.lengths import FixedLength
from ensemble_lab.tokens.reading import cache, reader
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import (
    VOCABULARY,
    counted,
    drawn,
    exact_distribution,
    mutant,
    p_value,
    toy,
    toy_head,
)

GAMMAS = (1, 2, 5, 8)
RULES = (
    {"temperature": 0.7},
    {"temperature": 1.3},
    {"temperature": 1.0, "top_k": 3},
    {"temperature": 1.1, "top_p": 0.8},
)
ROUNDABOUT = [1, 2, 3, 4, 1, 2, 5, 0, 1, 2]  # full of matches for a lookup
RAGGED = [[4], [1, 2, 3], [5, 0, 0, 2, 1, 3, 4], [2, 4, 4, 1, 0, 5, 3, 2, 1, 1, 0, 4]]
KINDS = ("chain", "ragged", "lookup", "early-exit", "head", "turns", "own")
ROWS = 5000
BATCHES = {1: 8, 2: 7, 5: 3, 8: 2}  # of so many rows, by draft length: long drafts take longer
LATER = (("ragged", 5), ("early-exit", 2))  # where tokens 4 to 6 are looked at as well
# For each case a test of 2 tokens and one of 3, for each kind one of all its cases; then later
# tokens and the length that adapts.
LEVEL = 0.001 / (len(KINDS) * (2 * len(GAMMAS) + 1) + len(LATER) + 1)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """One thread, and no garbage collector that walks millions of small tuples again and again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    torch.set_num_threads(threads)


class TableDraft:
    """A draft with a distribution of its own: of the last token alone, and with zeros in it.

    Every other row is proposed fewer tokens.
    """

    def __init__(self):
        weights = torch.rand(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(5))
        weights = weights.double() * (weights > 0.3)
        self.table = weights / weights.sum(1, keepdim=True)

    def begin(self, rows, sampling, generator):
        self.generator = generator

    def propose(self, rows, most):
        token, tokens, probabilities = rows.last(1)[0][:, 0], [], []
        for _ in range(most):
            probabilities.append(self.table[token])
            token = torch.multinomial(probabilities[-1], 1, generator=self.generator)[:, 0]
            tokens.append(token)
        counts = [most if i % 2 else most // 2 for i in range(len(rows))]
        return Proposal(torch.stack(tokens, 1), counts, torch.stack(probabilities, 1))


def draft_of(kind):
    small = toy(1, layers=1, hidden=8)
    head = toy_head(3, toy(0, hidden=8).model.config, ids=(0, 1, 2, 4))
    return {
        "chain": small,
        "ragged": small,
        "lookup": "lookup",
        "early-exit": "early-exit:1",
        "head": head,
        "turns": TurnsDraft(LookupDraft(), head, sure=range(2, 6)),
        "own": TableDraft(),
    }[kind]


def target_and_prompts(kind):
    prompts = {"ragged": RAGGED, "turns": RAGGED, "lookup": [ROUNDABOUT]}.get(kind, [[1, 2, 3]])
    return toy(0, hidden=8), prompts


def samples(kind, gamma, rule, n=3, batches=1, first_seed=0):
    """Pairs of tokens (B, n) and the prompt that they follow."""
    target, prompts = target_and_prompts(kind)
    rows = [prompts[i % len(prompts)] for i in range(ROWS)]
    settings = {"gamma": gamma, "max_new_tokens": (gamma or 8) + n, **rule}
    made = torch.stack(
        [
            drawn(target, rows, draft_of(kind), n, first_seed + seed, **settings)
            for seed in range(batches)
        ]
    )
    return [(made[:, i :: len(prompts)].reshape(-1, n), p) for i, p in enumerate(prompts)]


def p_of(pairs, rule, keep):
    """The p-value of the joint counts of the tokens `keep`, of all prompts together."""
    target, found = toy(0, hidden=8), []
    for tokens, prompt in pairs:
        n = tokens.shape[1]
        distribution = exact_distribution(target, Sampling(**rule), prompt, n)
        others = [i for i in range(n) if i not in keep]
        found.append(
            (counted(tokens[:, keep]), distribution.sum(others) if others else distribution)
        )
    return p_value(*found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_joint_distribution_of_sampled_tokens(kind):
    found, taken = [], 0
    for i, gamma in enumerate(GAMMAS):
        rule = RULES[(i + KINDS.index(kind)) % len(RULES)]
        pairs = samples(kind, gamma, rule, batches=BATCHES[gamma], first_seed=100 * gamma)
        taken += sum(len(tokens) for tokens, _ in pairs)
        found += [p_of(pairs, rule, keep) for keep in ([0, 1], [0, 1, 2])]
        assert min(found) > LEVEL, (kind, gamma, rule, found)
    assert taken >= 100_000
    # Fisher: all of them together. (The pairs are parts of the triples, so only these count.)
    together = chi2.sf(-2 * torch.tensor(found[1::2]).log().sum().item(), 2 * len(GAMMAS))
    assert together > LEVEL


@pytest.mark.parametrize("kind, gamma", LATER)
def test_later_tokens_follow_the_distribution_too(kind, gamma):
    rule = {"temperature": 1.0, "top_k": 4}
    pairs = samples(kind, gamma, rule, n=6, batches=2, first_seed=7)
    assert p_of(pairs, rule, [3, 4, 5]) > LEVEL


@pytest.mark.parametrize("rule", RULES[2:], ids=str)
def test_filtered_tokens_never_appear(rule):
    distribution = exact_distribution(toy(0, hidden=8), Sampling(**rule), [1, 2, 3], 3)
    assert (distribution == 0).sum() > 50  # else this would show nothing
    for kind in ("chain", "early-exit", "head", "own"):
        [(tokens, _)] = samples(kind, 2, rule)
        assert not counted(tokens)[distribution == 0].any()


class ConfidentDraft(TableDraft):
    """Calls a token good or poor after it was drawn, as a threshold on confidence would."""

    def propose(self, rows, most):
        proposal = super().propose(rows, most)
        kinds = (proposal.tokens % 2).tolist()
        return replace(proposal, kinds=[k[:n] for k, n in zip(kinds, proposal.counts)])


class OnlyGood(FixedLength):
    def keep(self, kinds):
        return len(kinds) if all(kinds) else 0


def test_what_was_drawn_does_not_decide_whether_it_is_verified(monkeypatch):
    """Else good tokens would be proposed more often than their recorded probability."""
    monkeypatch.setattr(import_module("ensemble_lab.tokens.choosing"), "FixedLength", OnlyGood)
    settings = {"gamma": 2, "max_new_tokens": 5, **RULES[1]}
    target, prompt = toy(0, hidden=8), [1, 2, 3]
    # A row a batch, for a batch verifies what any of its rows wants.
    rows = [drawn(target, [prompt], ConfidentDraft(), 1, seed, **settings) for seed in range(600)]
    distribution = exact_distribution(target, Sampling(**RULES[1]), prompt, 1)
    assert p_value((counted(torch.cat(rows)), distribution)) > LEVEL


# Faults


def stale_keys_stay(self, keys, values, *args, **kwargs):
    """A cache that never writes where something stands already: what was rejected lives on."""
    if not self.is_initialized:
        self.lazy_initialization(keys, values)
    for kept, states in ((self.keys, keys), (self.values, values)):
        index = self.place.positions[:, None, :, None].expand_as(states)
        there = kept.gather(2, index)
        kept.scatter_(2, index, there.where(there != 0, states))
    return self.keys[:, :, : self.place.reach], self.values[:, :, : self.place.reach]


FAULTS = {
    "ratio reversed": (verification, "accept_sampled", "r * at_q < at_p", "r * at_p < at_q"),
    "always accepted": (verification, "accept_sampled", "(r * at_q < at_p) & ", ""),
    "correction from p": (
        verification,
        "accept_sampled",
        "residual(behind, q, drafted, accepted, rows)",
        "behind",
    ),
    "residual at the wrong place": (accept, "residual", "q[rows, at]", "q[rows, at * 0]"),
    "bonus one place early": (
        verification,
        "accept_sampled",
        "behind = p[rows, accepted]",
        "behind = p[rows, torch.where(accepted == count, accepted - 1, accepted).clamp(min=0)]",
    ),
    "rejected tokens in sight": (
        reader.Reader,
        "_place",
        "mask = (keys <= seen[:, :, None])[:, None]",
        "mask = ((keys <= seen[:, :, None]) | (keys > seen[:, -1:, None]))[:, None]",
    ),
    "length not rolled back": (
        session.Session,
        "round",
        "kept = torch.minimum(accepted + 1, room) * on",
        "kept = torch.minimum(torch.full_like(accepted, k + 1), room) * on",
    ),
    "rejected keys not written over": (cache.RowLayer, "update", stale_keys_stay, None),
}


def planted(monkeypatch, where, name, old, new):
    fault = old if new is None else mutant(getattr(where, name), old, new)
    monkeypatch.setattr(where, name, fault)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_test_sees_a_planted_fault(monkeypatch, fault):
    planted(monkeypatch, *FAULTS[fault])
    rule = RULES[1]
    pairs = samples("chain", 2, rule, batches=4, first_seed=200)
    assert p_of(pairs, rule, [0, 1, 2]) < LEVEL


def test_a_head_that_names_another_distribution_than_it_drew_from_is_seen(monkeypatch):
    honest = HeadDraft.draw

    def shifted(self, logits):
        token, distribution = honest(self, logits)
        return token, distribution.roll(1, -1)

    assert p_of(samples("head", 2, RULES[1], batches=4), RULES[1], [0, 1, 2]) > LEVEL
    monkeypatch.setattr(HeadDraft, "draw", shifted)
    assert p_of(samples("head", 2, RULES[1], batches=4), RULES[1], [0, 1, 2]) < LEVEL


def test_without_a_fault_the_same_samples_pass(monkeypatch):
    """The mutants differ from the package by their fault alone."""
    faults = [fault for fault in FAULTS.values() if fault[3] is not None]
    same = [mutant(getattr(where, name), old, old) for where, name, old, _ in faults]
    for (where, name, _, _), function in zip(faults, same):
        monkeypatch.setattr(where, name, function)
    pairs = samples("chain", 2, RULES[1], batches=4, first_seed=200)
    assert p_of(pairs, RULES[1], [0, 1, 2]) > LEVEL
