"""Block verification: exact by enumeration, never fewer accepted than by tokens, and the engine's.

The familywise level of the statistics is 0.001.
"""

import math
from collections import Counter
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.tokens import blocks, verification
from ensemble_lab.tokens.accept import NO_TOKEN, accept_block
from ensemble_lab.tokens.blocks import block_round, expected_accepted
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.plain import one_round
from ensemble_lab.tokens.sampling import Sampling
from tests.support.toy_lm import every_way, mutant, p_value, toy
from tests.tokens import test_plain as plain
from tests.tokens.test_plain import PROMPT, SIZE, joint, table

LEVEL = 0.001 / 4


def always(p):
    """A model whose distribution is the same everywhere."""
    return lambda tokens: np.tile(np.array(p, float), (len(tokens), 1))


def of_a_round(target, draft, gamma):
    """The joint distribution of gamma + 1 tokens: a round's, and then the target's own."""
    added = Counter()
    ways = every_way(lambda rng: blocks.block_round(target, draft, list(PROMPT), gamma, rng))
    for share, (drafted, accepted, follow) in ways:
        added[*drafted[:accepted], follow] += share
    of_target, found = joint(target, gamma + 1), np.zeros((SIZE,) * (gamma + 1))
    for text, share in added.items():
        found[text] += share * of_target[text] / of_target[text].sum()
    return found


def mean_accepted(a_round, target, draft, gamma):
    ways = every_way(lambda rng: a_round(target, draft, list(PROMPT), gamma, rng))
    return math.fsum(share * accepted for share, (_, accepted, _) in ways)


@pytest.mark.parametrize("gamma", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_distribution_is_the_targets(seed, gamma):
    target, draft = table(seed), table(seed + 100)
    assert np.abs(of_a_round(target, draft, gamma) - joint(target, gamma + 1)).max() < 1e-12


@pytest.mark.parametrize("gamma", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_a_block_accepts_at_least_as_many(seed, gamma):
    target, draft = table(seed, zeros=0), table(seed + 100, zeros=0)
    one_by_one = mean_accepted(one_round, target, draft, gamma)
    together = mean_accepted(block_round, target, draft, gamma)
    assert together >= one_by_one - 1e-12
    assert (together > one_by_one + 1e-6) == (gamma > 1)  # here it is more, but for one token


PAIR = [Fraction(1, 3), Fraction(2, 3)], [Fraction(2, 3), Fraction(1, 3)]
BY_HAND = {1: ("2/3", "2/3"), 2: ("10/9", "11/9"), 3: ("38/27", "5/3"), 4: ("130/81", "166/81")}


@pytest.mark.parametrize("gamma", BY_HAND)
def test_the_worked_pair(gamma):
    target, draft = map(always, PAIR)
    for rule, a_round, exact in zip(("token", "block"), (one_round, block_round), BY_HAND[gamma]):
        assert expected_accepted(*PAIR, gamma, rule) == Fraction(exact)
        assert mean_accepted(a_round, target, draft, gamma) == pytest.approx(
            float(Fraction(exact)), abs=1e-12
        )


parts = st.lists(st.integers(0, 4), min_size=1, max_size=3)


@given(parts, parts, st.integers(0, 4))
def test_expected_accepted_is_the_formula_and_no_less_for_a_block(a, b, gamma):
    pairs = [(x + (i == 0), y + (i == 0)) for i, (x, y) in enumerate(zip(a, b))]
    p, q = ([Fraction(x, sum(v)) for x in v] for v in zip(*pairs))
    alpha = sum(map(min, p, q))
    by_token = sum(alpha**i for i in range(1, gamma + 1))
    assert expected_accepted(p, q, gamma) == by_token
    assert by_token <= expected_accepted(p, q, gamma, "block") <= gamma
    assert expected_accepted(p, p, gamma, "block") == gamma


BLOCK_FAULTS = {
    "a contiguous prefix": (
        "            accepted = i\n",
        "            accepted += accepted == i - 1\n",
    ),
    "residual of tokens": ("kept[accepted] * behind", "behind"),
    "acceptance of tokens": (
        "min(kept[-1] * p[i][x] / q[i][x], 1.0)",
        "kept[-1] * min(p[i][x] / q[i][x], 1.0)",
    ),
    "a prefix passes by its own chance": ("h = excess / (excess + 1 - kept[i])", "h = kept[i]"),
    "bonus one place early": ("p[accepted]\n", "p[min(accepted, gamma - 1)]\n"),
}


@pytest.mark.parametrize("fault", BLOCK_FAULTS)
def test_enumeration_sees_a_planted_fault(monkeypatch, fault):
    monkeypatch.setattr(blocks, "block_round", mutant(block_round, *BLOCK_FAULTS[fault]))
    target, draft = table(0, zeros=0), table(100, zeros=0)
    assert np.abs(of_a_round(target, draft, 3) - joint(target, 4)).max() > 1e-3


# The engine


@pytest.fixture
def by_block(monkeypatch):
    """The comparison of the engine with plain decoding, for blocks."""
    monkeypatch.setattr(plain, "one_round", block_round)
    monkeypatch.setattr(plain, "stream", partial(plain.stream, verification="block"))
    plain.distribution_of_rounds.cache_clear()
    yield lambda *case: p_value(
        (plain.rounds_of_the_engine(*case), plain.distribution_of_rounds(*case))
    )
    plain.distribution_of_rounds.cache_clear()


@pytest.mark.parametrize("case", [("model", 3, 1), ("model", 2, 2)])
def test_sampled_rounds_follow_plain_blocks(by_block, case):
    assert by_block(*case) > LEVEL


ENGINE_FAULTS = {
    "a contiguous prefix": (
        "((r < h) & within(drafted, count)).mul(place).amax(-1)",
        "((r < h) & within(drafted, count)).cumprod(-1).sum(-1)",
    ),
    "residual of tokens": ("share = kept[rows, accepted][:, None] * behind", "share = behind"),
    "acceptance of tokens": (
        "(kept[-1] * at_p[:, i] / at_q[:, i]).clamp(max=1)",
        "kept[-1] * (at_p[:, i] / at_q[:, i]).clamp(max=1)",
    ),
    "one place early": ("inside[:, 1:], (0, 1)", "inside[:, :-1], (0, 1)"),
}


@pytest.mark.parametrize("fault", ENGINE_FAULTS)
def test_the_statistics_see_a_planted_fault(monkeypatch, by_block, fault):
    monkeypatch.setattr(verification, "accept_block", mutant(accept_block, *ENGINE_FAULTS[fault]))
    assert by_block("model", 3, 1) < LEVEL


def test_rows_of_different_counts_are_blocks_of_their_own():
    """Rows of 0 to 3 drafted tokens follow the same law as alone."""
    rng, rows, k = np.random.default_rng(0), 40_000, 3
    p, q = rng.dirichlet(np.ones(3), k + 1), rng.dirichlet(np.ones(3), k)
    generator = torch.Generator().manual_seed(0)
    drafted = torch.stack(
        [torch.multinomial(torch.tensor(one), rows, True, generator=generator) for one in q], 1
    )
    count = torch.arange(rows) % (k + 1)
    batch = (torch.tensor(x).expand(rows, -1, -1) for x in (p, q))
    target, draft = batch
    accepted, follow = accept_block(target, drafted, count, draft, generator)
    pairs = []
    for n in range(k + 1):
        exact, models = torch.zeros(n + 1, 3, dtype=torch.float64), (p[: n + 1], q[:n])
        behind = [lambda tokens, of=of: of[: len(tokens)] for of in models]
        for share, (_, taken, after) in every_way(
            lambda rng, behind=behind, n=n: block_round(*behind, [0], n, rng)
        ):
            exact[taken, after] += share
        mine = count == n
        seen = torch.zeros(n + 1, 3).index_put_(
            (accepted[mine], follow[mine]), torch.ones(int(mine.sum())), accumulate=True
        )
        pairs.append((seen, exact))
    assert p_value(*pairs) > LEVEL


def test_a_block_ends_where_the_target_has_no_distribution():
    p, q = torch.full((1, 4, 4), 0.25), torch.full((1, 3, 4), 0.25)
    p[0, 1] = math.nan
    drafted, count = torch.tensor([[1, 2, 3]]), torch.tensor([3])
    for _ in range(9):  # the first token is as likely as it was drafted
        accepted, follow = accept_block(p, drafted, count, q)
        assert (accepted.item(), follow.item()) == (1, NO_TOKEN)
    p[0, 0] = math.nan
    accepted, follow = accept_block(p, drafted, count, q)
    assert (accepted.item(), follow.item()) == (0, NO_TOKEN)


@pytest.mark.parametrize("draft", ["lookup", "greedy"])
def test_nothing_changes_for_drafts_that_are_certain(draft):
    prompt, settings = [1, 2, 3, 1, 2, 3, 1, 2], {"gamma": 3, "seed": 5, "max_new_tokens": 20}
    settings |= {"temperature": 1.0} if draft == "lookup" else {}
    draft = "lookup" if draft == "lookup" else toy(1, layers=1)
    made = [
        decode(toy(0), prompt, draft, verification=rule, **settings) for rule in ("token", "block")
    ]
    assert made[0].tokens == made[1].tokens
    assert [r.accepted for r in made[0].rounds] == [r.accepted for r in made[1].rounds]


# The tiny pair

RULE = {"temperature": 1.0, "top_k": 4}
TEXT = "The sea was"


def likely_texts(target, sampling, prompt, n):
    """The n-grams that may follow a prompt, each with its probability."""
    texts = {(): 1.0}
    for _ in range(n):
        prefixes = list(texts)
        with torch.inference_mode():
            read = target.model(torch.tensor([[*prompt, *one] for one in prefixes]))
        p = sampling.distribution(read.logits[:, -1])
        texts = {
            (*one, int(x)): share * float(p[i, x])
            for i, (one, share) in enumerate(texts.items())
            for x in p[i].nonzero()[:, 0]
        }
    return texts


def test_texts_of_the_tiny_pair_follow_the_target():
    target, draft = (lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft"))
    prompt = target.tokenizer(TEXT)["input_ids"]
    exact = likely_texts(target, Sampling(**RULE), prompt, 3)
    settings = {"gamma": 3, "max_new_tokens": 5, "seed": 3, **RULE}
    made = decode(target, [prompt] * 800, draft, verification="block", **settings)
    counts = Counter(one.tokens[:3] for one in made)
    assert set(counts) <= set(exact)
    seen = torch.tensor([counts[text] for text in exact])
    assert p_value((seen, torch.tensor(list(exact.values()), dtype=torch.float64))) > LEVEL
