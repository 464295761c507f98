"""The checks of notebook 07 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest
import torch

from ensemble_lab.exercises.together import (
    _contrast,
    _experts,
    _pairs,
    check_cascade,
    check_contrast,
)
from ensemble_lab.tokens import ContrastiveDecoding, SpeculativeCascade

# -- the cascade ---------------------------------------------------------------------------------


def cascade(p, q, alpha, good=None, aim=None, left=None, scale=True):
    """The exercise with its parts exchanged."""
    good = p >= (1 - alpha) * max(p) if good is None else good(p, q, alpha)
    pi = q * good + (1 - (q * good).sum()) * p if aim is None else aim(p, q, good)
    rest = np.clip(pi - q, 0, None) if left is None else left(pi, p, q)
    return pi, rest / (rest.sum() or 1) if scale else rest


def test_other_right_ways_pass():
    assert check_cascade(cascade)
    assert check_cascade(lambda *case: dict(zip(("pi", "residual"), cascade(*case))))


def test_the_right_answer_is_the_packages():
    for p, q, alpha in _pairs():
        rule, (here, ahead) = SpeculativeCascade("v3", alpha), map(torch.tensor, (p, q))
        aim = rule.aim(here, ahead)
        rest = rule.rest(aim, ahead)
        pi, residual = check_cascade.right(p, q, alpha)
        assert pi == pytest.approx(aim.numpy()) and pi.sum() == pytest.approx(1)
        assert residual == pytest.approx((rest / rest.sum()).numpy())


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"good": lambda p, q, alpha: p >= max(p) - alpha}, "That rule is V2"),
        ({"good": lambda p, q, alpha: q >= (1 - alpha) * max(q)}, "the draft's?"),
        ({"good": lambda p, q, alpha: p >= alpha * max(p)}, "0 or 1?"),
        ({"good": lambda p, q, alpha: p > (1 - alpha) * max(p)}, "at the limit"),
        ({"aim": lambda p, q, good: q * good}, "who writes"),
        ({"aim": lambda p, q, good: q * good / max((q * good).sum(), 1e-12)}, "scale up"),
        ({"aim": lambda p, q, good: np.where(good, q, p)}, "then any token"),
        ({"aim": lambda p, q, good: q * good + p}, "How often"),
        ({"aim": lambda p, q, good: p * good + (1 - (p * good).sum()) * p}, "Who writes it?"),
    ],
)
def test_a_wrong_cascade_is_refused_with_its_hint(wrong, hint):
    verdict = check_cascade(lambda *case: cascade(*case, **wrong))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"left": lambda pi, p, q: np.clip(p - q, 0, None)}, "correct towards p"),
        ({"left": lambda pi, p, q: p}, "second chance"),
        ({"left": lambda pi, p, q: pi}, "draw from pi"),
        ({"scale": False}, "the sum 1"),
        ({"left": lambda pi, p, q: np.clip(q - pi, 0, None)}, "too seldom"),
        ({"left": lambda pi, p, q: abs(pi - q)}, "give it a chance"),
    ],
)
def test_a_wrong_residual_is_refused_with_its_hint(wrong, hint):
    verdict = check_cascade(lambda *case: cascade(*case, **wrong))
    assert not verdict and hint in verdict.message, verdict.message


# -- contrast ------------------------------------------------------------------------------------


def contrast(expert, amateur, beta, alpha, limit=None, power=None):
    good = expert >= alpha * expert.max() if limit is None else limit(expert, amateur, alpha)
    ratio = (power or (lambda e, a, b: e * (e / a) ** b))(expert, amateur, beta)
    return np.where(good, ratio, 0) / (ratio[good].sum() or 1)


def test_other_right_ways_of_contrast_pass():
    assert check_contrast(contrast)
    assert check_contrast(lambda *case: contrast(*case).tolist())


def test_contrast_is_the_packages():
    for expert, amateur, beta, alpha in _experts():
        logits = [torch.tensor(one).log() for one in (expert, amateur)]
        found = ContrastiveDecoding(beta, alpha).combined(logits).exp().numpy()
        assert _contrast(expert, amateur, beta, alpha) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"limit": lambda e, a, alpha: e >= 0}, "where is the limit?"),
        ({"limit": lambda e, a, alpha: e >= alpha}, "a share of the expert's"),
        ({"limit": lambda e, a, alpha: a >= alpha * a.max()}, "the amateur's?"),
        ({"power": lambda e, a, b: e / a**b}, "nothing of it is left"),
        ({"power": lambda e, a, b: a * (a / e) ** b}, "which one subtracted"),
        ({"power": lambda e, a, b: e * (e * a) ** b}, "or add it?"),
        ({"power": lambda e, a, b: np.clip((1 + b) * e - b * a, 0, None)}, "a ratio"),
    ],
)
def test_a_wrong_contrast_is_refused_with_its_hint(wrong, hint):
    with np.errstate(all="ignore"):
        verdict = check_contrast(lambda *case: contrast(*case, **wrong))
    assert not verdict and hint in verdict.message, verdict.message


def test_a_limit_after_the_contrast_is_refused():
    def late(expert, amateur, beta, alpha):
        made = contrast(expert, amateur, beta, 0)
        made[made < alpha * made.max()] = 0
        return made / made.sum()

    assert "you limit the contrast" in check_contrast(late).message
