"""Formulas of the papers against simulation, brute force and transformers' own samplers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ensemble_lab.tokens import accept
from ensemble_lab.tokens.accept import accept_greedy, accept_sampled
from ensemble_lab.tokens.lengths import best_gamma, speedup, tokens_a_round
from ensemble_lab.tokens.sampling import Sampling

TIMES = 100_000


def probabilities(seed, size=7, zeros=0.3):
    """Two random distributions, either with zeros where the other may have none."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(2, size, generator=generator, dtype=torch.float64)
    weights *= torch.rand(2, size, generator=generator) > zeros
    weights[:, 0] += 0.05
    return weights / weights.sum(1, keepdim=True)


def rounds(p, q, gamma, seed, times=TIMES):
    """Rounds with the same p and q at every place: accepted, the token behind, drafted."""
    generator = torch.Generator().manual_seed(seed)
    drafted = torch.multinomial(q.expand(times, -1), gamma, True, generator=generator)
    count = torch.full((times,), gamma)
    many_p, many_q = p.expand(times, gamma + 1, -1), q.expand(times, gamma, -1)
    accepted, follow = accept_sampled(many_p, drafted, count, many_q, generator)
    return accepted, follow, drafted


def close(mean, exact, spread, times=TIMES):
    """Whether a mean lies within five standard errors."""
    return abs(mean - exact) <= 5 * spread / math.sqrt(times) + 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_alpha_is_the_overlap_of_the_probabilities(seed):
    p, q = probabilities(seed)
    alpha = torch.minimum(p, q).sum().item()
    accepted, _, _ = rounds(p, q, 1, seed)
    assert close(accepted.double().mean().item(), alpha, math.sqrt(alpha * (1 - alpha)))


@pytest.mark.parametrize("seed, gamma", [(0, 1), (1, 3), (2, 5), (3, 8)])
def test_tokens_a_round(seed, gamma):
    p, q = probabilities(seed)
    alpha = torch.minimum(p, q).sum().item()
    made = rounds(p, q, gamma, seed)[0].double() + 1
    formula = (1 - alpha ** (gamma + 1)) / (1 - alpha)
    assert tokens_a_round(alpha, gamma) == pytest.approx(formula, rel=1e-12)
    assert close(made.mean().item(), formula, made.std().item())


@given(alpha=st.floats(0, 1), gamma=st.integers(0, 40))
def test_tokens_a_round_is_the_sum_of_powers(alpha, gamma):
    exact = sum(alpha**i for i in range(gamma + 1))
    assert tokens_a_round(alpha, gamma) == pytest.approx(exact, rel=1e-6)


@given(alpha=st.floats(0, 1), c=st.floats(0, 2), v=st.floats(0.5, 4), most=st.integers(1, 40))
def test_best_gamma_is_brute_force(alpha, c, v, most):
    gains = [1.0] + [
        sum(alpha**i for i in range(gamma + 1)) / (gamma * c + v) for gamma in range(1, most + 1)
    ]
    best = best_gamma(alpha, c, v, most)
    assert 0 <= best <= most
    assert gains[best] == pytest.approx(max(gains), rel=1e-6)  # equal lengths tie by rounding
    assert best == 0 or speedup(alpha, best, c, v) > 1


def test_best_gamma_knows_when_not_to_draft():
    assert best_gamma(0.0, 0.0) == 0
    assert best_gamma(0.5, 1.0) == 0
    assert best_gamma(0.9, 0.05, 4.0, 4) == 0  # verification is too expensive
    assert best_gamma(1.0, 0.0, most=9) == 9
    assert best_gamma(0.8, 0.1) == 6


def test_a_token_without_probability_never_passes(monkeypatch):
    """Not even for a uniform number that is exactly 0."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape, dtype=torch.float64))
    p = torch.tensor([0.0, 0.25, 0.75], dtype=torch.float64).expand(200, 2, 3)
    q = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).expand(200, 1, 3)
    drafted, count = torch.zeros(200, 1, dtype=torch.long), torch.ones(200, dtype=torch.long)
    for distribution in (q, None):
        accepted, follow = accept_sampled(p, drafted, count, distribution)
        assert not accepted.any()
        assert set(follow.tolist()) == {1, 2}
    likely = torch.ones_like(drafted)
    assert accept_sampled(p, likely, count, None)[0].all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), certain=st.booleans())
def test_the_token_behind_is_always_possible(seed, certain):
    p, q = probabilities(seed, zeros=0.6)
    q = None if certain else q
    drafted = torch.randint(7, (300, 3), generator=torch.Generator().manual_seed(seed))
    if q is not None:
        drafted = torch.multinomial(q.expand(300, -1), 3, True)
    count = torch.arange(300) % 4
    many_q = None if q is None else q.expand(300, 3, -1)
    accepted, follow = accept_sampled(p.expand(300, 4, -1), drafted, count, many_q)
    assert (p[follow] > 0).all() and (accepted <= count).all()
    for row, stayed in zip(drafted, accepted):
        assert (p[row[:stayed]] > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_residual_is_the_rest_of_p(seed):
    """min(p, q) + (1 - alpha) residual / sum of residual = p."""
    p, q = probabilities(seed)
    rows, at = torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    drafted = torch.zeros(1, 1, dtype=torch.long)
    left = accept.residual(p[None], q[None, None], drafted, at, rows)[0]
    both = torch.minimum(p, q)
    assert torch.allclose(both + (1 - both.sum()) * left / left.sum(), p)


@given(st.lists(st.integers(0, 2), min_size=4, max_size=4), st.data())
def test_greedy_acceptance_is_the_common_prefix(drafted, data):
    choices = data.draw(st.lists(st.integers(0, 2), min_size=5, max_size=5))
    count = data.draw(st.integers(0, 4))
    same = 0
    while same < count and drafted[same] == choices[same]:
        same += 1
    found = accept_greedy(torch.tensor([choices]), torch.tensor([drafted]), torch.tensor([count]))
    assert [x.item() for x in found] == [same, choices[same]]


# The distribution that is sampled

logits_of = st.lists(
    st.floats(-30, 30, width=32) | st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=12
)


@settings(max_examples=300, deadline=None)
@given(
    logits=logits_of,
    temperature=st.floats(0.05, 5),
    top_k=st.none() | st.integers(1, 14),
    top_p=st.none() | st.floats(0.01, 1),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_distribution_is_that_of_transformers(logits, temperature, top_k, top_p, dtype):
    scores = torch.tensor([logits], dtype=dtype)
    theirs = TemperatureLogitsWarper(float(temperature))(None, scores)
    if top_k is not None:
        theirs = TopKLogitsWarper(top_k)(None, theirs)
    if top_p is not None and top_p < 1:
        theirs = TopPLogitsWarper(top_p)(None, theirs)
    distribution = Sampling(temperature, top_k, top_p).distribution(scores)
    assert distribution.dtype == dtype
    assert torch.equal(distribution, theirs.softmax(-1))
    assert distribution.sum().item() == pytest.approx(1)


@settings(max_examples=100, deadline=None)
@given(logits=logits_of, top_p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_tokens_that_reach_p(logits, top_p):
    full = Sampling(1.0).distribution(torch.tensor(logits, dtype=torch.float64))
    distribution = Sampling(1.0, top_p=top_p).distribution(
        torch.tensor(logits, dtype=torch.float64)
    )
    kept = full[distribution > 0]
    assume(abs(kept.sum() - top_p) > 1e-9)  # on the edge rounding decides
    assert kept.sum() >= top_p
    assert kept.sum() - kept.min() < top_p + 1e-9
    assert len(kept) == len(full) or kept.min() >= full[distribution == 0].max()


def test_greedy_is_the_distribution_of_one_token():
    logits = torch.tensor([[0.0, 3.0, 3.0], [5.0, -1.0, 2.0]])
    distribution = Sampling(0.0).distribution(logits)
    assert distribution.argmax(-1).tolist() == logits.argmax(-1).tolist()
    assert distribution.sum(-1).tolist() == [1, 1] and set(distribution.flatten().tolist()) == {
        0,
        1,
    }


@pytest.mark.parametrize("temperature", [1e-3, 1e-8, 1e-30])
@pytest.mark.parametrize("top_p", [None, 0.9])
def test_a_very_low_temperature_is_a_distribution_all_the_same(temperature, top_p):
    distribution = Sampling(temperature, top_p=top_p).distribution(
        torch.tensor([[3.0, 12.0, -40.0]])
    )
    assert distribution.tolist() == [[0, 1, 0]]


def test_speedup_takes_many_lengths_at_once():
    gammas = np.arange(1, 9)
    one_by_one = [speedup(0.7, int(gamma), 0.1, 1.2) for gamma in gammas]
    assert speedup(0.7, gammas, 0.1, 1.2).tolist() == pytest.approx(one_by_one)
