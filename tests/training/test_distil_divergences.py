"""Divergences: numbers by hand, formulas in loops, limits, gradients, planted faults."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.training.distillation import divergences
from ensemble_lab.training.distillation.divergences import generalised_jsd, total_variation
from tests.support.toy_lm import mutant

TEACHER, STUDENT = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
BETAS = (0.0, 0.1, 0.5, 0.8, 1.0)


def logits(p):
    return torch.tensor(p, dtype=torch.float64).log()


def kl_by_hand(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q) if a)


def jsd_by_hand(p, q, beta):
    if beta in (0, 1):
        return kl_by_hand(p, q) if beta == 0 else kl_by_hand(q, p)
    m = [beta * a + (1 - beta) * b for a, b in zip(p, q)]
    return beta * kl_by_hand(p, m) + (1 - beta) * kl_by_hand(q, m)


def distributions(n=4):
    weights = st.lists(st.floats(0.01, 1), min_size=n, max_size=n)
    return weights.map(lambda w: [x / sum(w) for x in w])


@pytest.mark.parametrize(
    ("beta", "nats"),
    [(0.0, 0.2748872), (0.1, 0.0244249), (0.5, 0.0664143), (0.9, 0.0244249), (1.0, 0.2748872)],
)
def test_known_numbers(beta, nats):
    found = generalised_jsd(logits(TEACHER), logits(STUDENT), beta)
    assert found.item() == pytest.approx(nats, abs=1e-6)


def test_total_variation_is_what_the_two_do_not_share():
    assert total_variation(logits(TEACHER), logits(STUDENT)).item() == pytest.approx(0.3)


@settings(deadline=None)
@given(distributions(), distributions(), st.sampled_from(BETAS))
def test_formulas_in_loops(p, q, beta):
    found = generalised_jsd(logits(p), logits(q), beta).item()
    assert found == pytest.approx(jsd_by_hand(p, q, beta), abs=1e-9)
    shared = sum(map(min, p, q))
    assert total_variation(logits(p), logits(q)).item() == pytest.approx(1 - shared, abs=1e-9)


@settings(deadline=None)
@given(distributions(), distributions(), st.sampled_from(BETAS))
def test_it_is_zero_only_where_both_are_equal_and_turning_round_swaps_the_ends(p, q, beta):
    found = generalised_jsd(logits(p), logits(q), beta).item()
    assert found >= -1e-12
    assert generalised_jsd(logits(p), logits(p), beta).item() == pytest.approx(0, abs=1e-12)
    turned = generalised_jsd(logits(q), logits(p), 1 - beta).item()
    assert found == pytest.approx(turned, abs=1e-9)


@settings(deadline=None)
@given(distributions(), distributions())
def test_pinsker(p, q):
    distance = total_variation(logits(p), logits(q)).item()
    assert 2 * distance**2 <= generalised_jsd(logits(p), logits(q), 0).item() + 1e-9
    assert generalised_jsd(logits(p), logits(q), 0.5).item() <= math.log(2) * distance + 1e-9


def test_the_interior_tends_to_nothing_and_its_slope_to_kl():
    p, q = logits([0.5, 0.3, 0.2]), logits([0.1, 0.3, 0.6])
    forward, reverse = (generalised_jsd(p, q, beta).item() for beta in (0, 1))
    assert abs(forward - reverse) > 0.05  # or the two ends could be confused
    near = 1e-5
    assert generalised_jsd(p, q, near).item() < 1e-5
    assert generalised_jsd(p, q, near).item() / near == pytest.approx(forward, rel=1e-3)
    assert generalised_jsd(p, q, 1 - near).item() / near == pytest.approx(reverse, rel=1e-3)


def test_as_trl_writes_it():
    """The same through `kl_div`, whose arguments are (log q, log p) for KL(p || q)."""
    rng = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 5, 7, generator=rng).double() for _ in range(2))
    p, q = teacher.log_softmax(-1), student.log_softmax(-1)

    def kl(a, b):
        return torch.nn.functional.kl_div(b, a, reduction="none", log_target=True)

    for beta in BETAS:
        weights = torch.tensor([1 - beta, beta], dtype=torch.float64).log()
        m = torch.logsumexp(torch.stack([q + weights[0], p + weights[1]]), 0)
        true = {0: kl(p, q), 1: kl(q, p)}.get(beta, beta * kl(p, m) + (1 - beta) * kl(q, m))
        found = generalised_jsd(teacher, student, beta)
        assert found.shape == (2, 5)  # any leading shape, one number a token
        torch.testing.assert_close(found, true.sum(-1))


def test_trl_itself():
    trainer = pytest.importorskip("trl.experimental.gkd.gkd_trainer").GKDTrainer
    rng = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 5, 7, generator=rng) for _ in range(2))
    for beta in BETAS:
        theirs = trainer.generalized_jsd_loss(student, teacher, beta=beta, reduction="none")
        torch.testing.assert_close(generalised_jsd(teacher, student, beta), theirs.sum(-1))


@pytest.mark.parametrize("beta", BETAS)
def test_gradients_by_differences(beta):
    rng = torch.Generator().manual_seed(1)
    teacher, student = (torch.randn(3, 6, generator=rng).double() for _ in range(2))
    student.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda z: generalised_jsd(teacher, z, beta), student)
    assert torch.autograd.gradcheck(lambda z: total_variation(teacher, z), student)


def test_the_gradient_of_forward_kl_is_the_difference():
    student = logits(STUDENT).requires_grad_(True)
    generalised_jsd(logits(TEACHER), student, 0).backward()
    np.testing.assert_allclose(student.grad, np.subtract(STUDENT, TEACHER), atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5])
def test_a_token_that_the_teacher_excludes_has_no_nan(beta):
    """Padding of -inf made gradients NaN in a peer, while the loss looked right."""
    teacher = logits([0.6, 0.4, 0.0])
    student = logits([0.3, 0.3, 0.4]).requires_grad_(True)
    found = generalised_jsd(teacher, student, beta)
    assert found.item() == pytest.approx(jsd_by_hand([0.6, 0.4, 0.0], [0.3, 0.3, 0.4], beta))
    found.backward()
    assert student.grad.isfinite().all()


def test_what_one_excludes_and_the_other_does_not_is_infinitely_far():
    both = logits([1.0, 0.0]), logits([0.5, 0.5])
    assert generalised_jsd(*both, 1).item() == math.inf
    assert generalised_jsd(*both, 0).item() == pytest.approx(math.log(2))
    assert generalised_jsd(*both, 0.5).item() < math.log(2)
    assert total_variation(*both).item() == pytest.approx(0.5)


def test_half_precision_is_read_in_float32():
    teacher, student = logits(TEACHER).half(), logits(STUDENT).bfloat16()
    found = generalised_jsd(teacher, student, 0)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(0.2748872, abs=3e-3)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        # The mixture of TRL before its pull request 3043.
        ("generalised_jsd", "p + math.log(beta)", "q + math.log(beta)"),
        ("generalised_jsd", "return kl(p, q)", "return kl(q, p)"),
        ("generalised_jsd", "(1 - beta) * kl(q, m)", "(1 - beta) * kl(m, q)"),
        ("total_variation", " / 2", ""),
        ("kl", "p.exp()", "q.exp()"),
    ],
)
def test_planted_faults_are_seen(monkeypatch, name, old, new):
    monkeypatch.setattr(divergences, name, mutant(getattr(divergences, name), old, new))
    p, q = [0.5, 0.3, 0.2], [0.1, 0.3, 0.6]
    found = [divergences.generalised_jsd(logits(p), logits(q), beta).item() for beta in BETAS]
    found.append(divergences.total_variation(logits(p), logits(q)).item())
    true = [jsd_by_hand(p, q, beta) for beta in BETAS] + [0.4]
    assert not np.allclose(found, true, atol=1e-6)
