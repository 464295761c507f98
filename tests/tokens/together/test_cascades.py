"""Speculative cascades: their distributions in fractions, by enumeration, and in the engine.

The familywise level of the statistics is 0.001.
"""

import itertools
from collections import Counter
from fractions import Fraction as F

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.errors import UnknownName
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens import lossy
from ensemble_lab.tokens.decode import decode
from ensemble_lab.tokens.divergences import _parts, exact_divergence, measured_divergence
from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.together import cascades
from ensemble_lab.tokens.together.cascades import SpeculativeCascade
from tests.support.toy_lm import counted, every_way, p_value, toy
from tests.tokens.test_lossy import mixed_distribution, seen_by
from tests.tokens.test_plain import PROMPT, SIZE, joint, table

P, Q = [F(4, 10), F(3, 10), F(2, 10), F(1, 10)], [F(1, 10), F(2, 10), F(3, 10), F(4, 10)]
NAMES = ("chow", "diff", "opt", "v1", "v2", "v3")
LEVEL = 0.001 / 40


def by_definition(rule, p, q, alpha):
    """pi as the paper defines it, from lists of numbers."""
    distance = sum(max(b - a, 0) for a, b in zip(p, q))
    least = {"chow": 1 - alpha, "diff": max(p) - alpha, "opt": max(p) - alpha * distance}
    if rule in least:
        return list(q if max(q) >= least[rule] else p)
    kept = [
        {"v1": b >= max(p) - alpha, "v2": a >= max(p) - alpha, "v3": a >= (1 - alpha) * max(p)}[
            rule
        ]
        for a, b in zip(p, q)
    ]
    left = 1 - sum(b for b, k in zip(q, kept) if k)
    return [(b if k else 0) + left * a for a, b, k in zip(p, q, kept)]


def pi_of(rule, p, q):
    """The chances (V,) of the token of a place, as the verification gives them."""
    p, q = (torch.tensor([float(x) for x in d], dtype=torch.float64) for d in (p, q))
    return np.sum(_parts(rule, p, q, True), 0)


def accepted_of(rule, p, q):
    p, q = (torch.tensor([float(x) for x in d], dtype=torch.float64) for d in (p, q))
    return sum(_parts(rule, p, q, True)[0])


# One token


@pytest.mark.parametrize(
    "name, alpha, pi, accepted",
    [
        ("v1", 0.2, (F(1, 25), F(23, 100), F(8, 25), F(41, 100)), F(47, 50)),
        ("v2", 0.2, (F(13, 50), F(8, 25), F(19, 50), F(1, 25)), F(16, 25)),
        ("v3", 0, (F(23, 50), F(27, 100), F(9, 50), F(9, 100)), F(57, 100)),
        ("diff", 0, Q, 1),
        ("opt", 0, Q, 1),
        ("chow", 0.5, P, F(3, 5)),
        ("chow", 0.6, Q, 1),
    ],
)
def test_the_worked_pair_by_hand(name, alpha, pi, accepted):
    rule = SpeculativeCascade(name, alpha)
    assert by_definition(name, P, Q, F(str(alpha))) == list(pi)
    assert pi_of(rule, P, Q) == pytest.approx([float(x) for x in pi], abs=1e-12)
    assert accepted_of(rule, P, Q) == pytest.approx(float(accepted), abs=1e-12)


# Sixteenths are exact in binary, so that ties are ties on both sides.
pairs = st.integers(1, 5).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 16), min_size=n - 1, max_size=n - 1)] * 2)
)


def sixteenths(cuts):
    edges = [0, *sorted(cuts), 16]
    return [F(b - a, 16) for a, b in itertools.pairwise(edges)]


@settings(deadline=None)
@given(st.sampled_from(NAMES), pairs, st.integers(-16, 16))
def test_any_pair_by_definition(name, cuts, alpha):
    p, q = map(sixteenths, cuts)
    pi = [float(x) for x in by_definition(name, p, q, F(alpha, 16))]
    rule = SpeculativeCascade(name, alpha / 16)
    assert sum(pi) == pytest.approx(1)
    assert pi_of(rule, p, q) == pytest.approx(pi, abs=1e-12)
    # Verification is lossless against pi, and no verification of pi accepts more.
    assert accepted_of(rule, p, q) == pytest.approx(sum(map(min, pi, map(float, q))), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_the_ends_are_the_draft_and_the_target(name, dtype):
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 3, 1000):
        p, q = (torch.randn(50, size, dtype=dtype, generator=generator).softmax(-1) for _ in "pq")
        assert (SpeculativeCascade(name, 1).aim(p, q) - q).abs().max() < 1e-6
        if name != "opt":
            assert torch.equal(SpeculativeCascade(name, -1).aim(p, q), p)
        if not name.startswith("v"):
            assert (SpeculativeCascade(name, 0.3).aim(p, p) - p).abs().max() < 1e-6


def test_the_token_rules_sharpen_even_a_draft_that_equals_the_target():
    for name in ("v1", "v2", "v3"):
        assert pi_of(SpeculativeCascade(name, 0), P, P) == pytest.approx([0.64, 0.18, 0.12, 0.06])


@pytest.mark.parametrize("name", NAMES)
def test_a_target_that_is_nan_is_seen(name):
    q = torch.tensor([[[0.0, 1.0]] * 2])
    p = torch.full((1, 2, 2), float("nan"))
    rule = SpeculativeCascade(name, 1)
    assert rule.aim(p, q).isnan().all()
    _, follow = lossy.accept_lossy(rule, p, torch.tensor([[1]]), torch.tensor([1]), q)
    assert follow.tolist() == [-1]


# Several tokens, by another enumeration


def plain_round(name, alpha, p_of, q_of, tokens, gamma, rng):
    """A round of a cascade, written for one text: the tokens that it adds."""
    added = []
    for _ in range(gamma + 1):
        p, q = p_of(tokens + added)[-1], q_of(tokens + added)[-1]
        pi = np.array(by_definition(name, p, q, alpha))
        if len(added) == gamma:
            return [*added, int(rng.choice(len(pi), p=pi))]
        x = int(rng.choice(len(q), p=q))
        if not rng.random() < pi[x] / q[x]:
            rest = np.maximum(pi - q, 0)
            return [*added, int(rng.choice(len(rest), p=rest / rest.sum()))]
        added.append(x)


@pytest.mark.parametrize("gamma, n", [(1, 3), (2, 2)])
@pytest.mark.parametrize("name, alpha", [("chow", 0.5), ("diff", 0.1), ("opt", 0.3), ("v1", 0.3),
                                         ("v2", 0.2), ("v3", 0.4)])  # fmt: skip
def test_texts_follow_the_cascade_at_every_position(name, alpha, gamma, n):
    target, draft = table(0, zeros=0), table(100, zeros=0)
    chances = Counter()

    def play(rng):
        added = []
        while len(added) < n:
            text = list(PROMPT) + added
            added += plain_round(name, alpha, target, draft, text, gamma, rng)
        return tuple(added[:n])

    for share, text in every_way(play):
        chances[text] += share
    made, exact = np.zeros((SIZE,) * n), joint(target, n)
    for text, share in chances.items():
        made[text] = share

    def cascade(tokens):
        ps, qs = target(tokens), draft(tokens)
        return np.array([by_definition(name, p, q, alpha) for p, q in zip(ps, qs)])

    assert np.abs(made - joint(cascade, n)).max() < 1e-12
    rule = SpeculativeCascade(name, alpha)
    found = exact_divergence(target, draft, list(PROMPT), gamma, n, rule)
    assert found.total_variation == pytest.approx(np.abs(made - exact).sum() / 2, abs=1e-10)


# The engine


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_follows_the_distribution(name):
    assert p_value(*seen_by(SpeculativeCascade(name, 0.3))) > LEVEL


@pytest.mark.parametrize("fault", ["v1 looks at p", "v3 takes the sum", "no rest of the target"])
def test_the_statistics_see_a_planted_fault(monkeypatch, fault):
    right, alpha = {"v1 looks at p": ("v1", 0.3), "v3 takes the sum": ("v3", 0.5)}.get(
        fault, ("v2", 0.2)
    )
    rule = SpeculativeCascade(right, alpha)
    exact = [chances for _, chances in seen_by(rule, rows=10)]
    if fault == "v1 looks at p":
        monkeypatch.setitem(cascades.RULES, "v1", cascades.RULES["v2"])
    elif fault == "v3 takes the sum":
        monkeypatch.setitem(cascades.RULES, "v3", lambda p, q, alpha: p >= 1 - alpha)
    else:
        monkeypatch.setattr(
            SpeculativeCascade, "aim", lambda self, p, q: q.where(p >= p.amax(-1, True) - 0.2, p)
        )
    pairs = [(counts, chances) for (counts, _), chances in zip(seen_by(rule), exact)]
    assert p_value(*pairs) < LEVEL


def cascade_distribution(target, draft, sampling, name, alpha, prompt, n):
    """The joint distribution (V,) * n of n tokens, read without any cache."""
    size, chances = target.model.config.vocab_size, torch.ones(1, dtype=torch.float64)
    for i in range(n):
        prefixes = [[*prompt, *rest] for rest in itertools.product(range(size), repeat=i)]
        with torch.inference_mode():
            p, q = (
                sampling.distribution(one.model(torch.tensor(prefixes)).logits[:, -1]).tolist()
                for one in (target, draft)
            )
        pi = torch.tensor(
            [by_definition(name, a, b, alpha) for a, b in zip(p, q)], dtype=torch.float64
        )
        chances = (chances[:, None] * pi).flatten()
    return chances.reshape((size,) * n)


@pytest.mark.parametrize("gamma", [1, 4, None])
@pytest.mark.parametrize("name, alpha", [("diff", 0.1), ("v1", 0.3), ("v3", 0.4)])
def test_sampled_texts_follow_the_cascade(name, alpha, gamma):
    """The texts end with the third token, so the last one is nobody's bonus."""
    target, draft = toy(0, hidden=8), toy(1, layers=1, hidden=8)
    made = decode(target, [[1, 2, 3]] * 3000, draft, gamma=gamma, max_new_tokens=3, seed=4,
                  temperature=1.2, verification=SpeculativeCascade(name, alpha))  # fmt: skip
    tokens = torch.tensor([one.tokens for one in made])
    exact = cascade_distribution(target, draft, Sampling(1.2), name, alpha, [1, 2, 3], 3)
    assert p_value((counted(tokens), exact)) > LEVEL


@pytest.mark.parametrize("kind", ["model", "early-exit:1"])
@pytest.mark.parametrize("name", NAMES)
def test_the_draft_writes_alone_at_alpha_1(name, kind):
    draft = toy(1, layers=1) if kind == "model" else kind
    settings = {"gamma": 3, "max_new_tokens": 16, "seed": 5, "temperature": 1.1}
    rule = SpeculativeCascade(name, 1)
    for one in decode(toy(0), [[4], [1, 2, 3]], draft, verification=rule, **settings):
        assert all(r.accepted == len(r.proposed) for r in one.rounds) and len(one.tokens) == 16


def test_the_target_writes_alone_at_alpha_minus_1():
    target, draft = toy(0, hidden=8), toy(1, layers=1, hidden=8)
    settings = {"gamma": 2, "max_new_tokens": 3, "seed": 1, "temperature": 1.1}
    for name in ("chow", "v2"):
        rule = SpeculativeCascade(name, -1)
        made = decode(target, [[1, 2, 3]] * 2000, draft, verification=rule, **settings)
        exact = mixed_distribution(target, target, Sampling(1.1), 1, [1, 2, 3], 3)
        assert p_value((counted(torch.tensor([one.tokens for one in made])), exact)) > LEVEL


def test_more_is_kept_the_more_is_lost_on_the_tiny_pair():
    target, draft = (lab.load(name, dtype="float64") for name in ("tiny", "tiny-draft"))
    asked = {"gamma": 3, "max_new_tokens": 24, "seed": 2}
    found = {
        alpha: measured_divergence(
            target, draft, ["The sea was", "Count:"], SpeculativeCascade("v3", alpha), **asked
        ).total_variation
        for alpha in (-1, 0.9, 1)
    }
    assert found[-1] < 1e-6 < found[0.9] < found[1]


# What is refused


@pytest.mark.parametrize("name", ["token-v3", "OPT", "", None, 1, ["chow"]])
def test_rules_that_there_are_not(name):
    with pytest.raises(UnknownName, match="no rule"):
        SpeculativeCascade(name, 0.1)


@pytest.mark.parametrize("alpha", [-1.1, 1.01, float("nan"), "a", None, True])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match="alpha="):
        SpeculativeCascade("opt", alpha)


def test_what_cannot_be_verified_by_a_cascade():
    rule = SpeculativeCascade("opt", 0.1)
    with pytest.raises(ValueError, match="give a temperature above 0"):
        decode(toy(0), [1], toy(1, layers=1), gamma=2, verification=rule)
    with pytest.raises(ModelError, match="needs a draft with probabilities everywhere"):
        decode(toy(0), [1], "lookup", temperature=1.0, verification=rule)
    with pytest.raises(ValueError, match=r"is a class: give a rule, such as SpeculativeCascade\("):
        decode(toy(0), [1], temperature=1.0, verification=SpeculativeCascade)
