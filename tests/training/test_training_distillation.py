"""Losses of students: the notes' table, torchdistill's formula, barycentres, heads, faults."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.distillation.divergences import generalised_jsd
from ensemble_lab.training.distillation.losses import (
    distillation_loss,
    pooled,
    softened,
)

ONE = torch.ones(1, 1, dtype=torch.float64)
TEACHER = torch.tensor([2.0, 0.0, -2.0], dtype=torch.float64)
STUDENT = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
# Computed for the notes by another program: tau, tau² KL, and its gradient by the student's logits.
TABLE = [
    (1, 0.1156114, (-0.2015724, 0.1274180, 0.0741543)),
    (2, 0.2410756, (-0.3175211, 0.1249348, 0.1925863)),
    (4, 0.3057213, (-0.3490058, 0.0771998, 0.2718060)),
]


def targets_of(label, *logits):
    """Targets (1, 1, 1 + t, k) for one row of one student; a label of None is none."""
    k = len(logits[0])
    hot = torch.zeros(k, dtype=torch.float64)
    if label is not None:
        hot[label] = 1
    return torch.stack([hot, *(one.softmax(-1) for one in logits)])[None, None]


def judged(student, targets, **settings):
    """Loss and gradient (k,) of one row."""
    z = student.clone().requires_grad_()
    loss = distillation_loss(z[None, None], targets, ONE, **settings)
    (slope,) = torch.autograd.grad(loss.sum(), z)
    return loss.item(), slope.numpy()


@pytest.mark.parametrize(("tau", "value", "slope"), TABLE)
def test_the_table_of_the_notes(tau, value, slope):
    for label in (None, 0):  # with alpha 0 the label does not count
        found = judged(STUDENT, targets_of(label, TEACHER), temperature=tau, alpha=0)
        assert found[0] == pytest.approx(value, abs=1e-6)
        assert found[1] == pytest.approx(np.array(slope), abs=1e-6)


def test_in_the_limit_it_is_the_squared_distance_of_centred_logits():
    value, slope = judged(STUDENT, targets_of(None, TEACHER), temperature=2000, alpha=0)
    assert value == pytest.approx(1 / 3, abs=1e-5)  # ((z - v)² / 2).mean()
    assert slope == pytest.approx([-1 / 3, 0, 1 / 3], abs=1e-3)
    assert judged(STUDENT, targets_of(None, TEACHER), temperature=20, alpha=0)[0] == pytest.approx(
        0.3321560, abs=1e-6
    )


logits = st.lists(st.floats(-6, 6), min_size=3, max_size=3).map(
    lambda z: torch.tensor(z, dtype=torch.float64)
)


@settings(deadline=None)
@given(logits, logits, st.integers(0, 2), st.floats(0.5, 20), st.floats(0.01, 1))
def test_it_is_torchdistills_formula_where_alpha_is_set(v, z, label, tau, alpha):
    """KDLoss of torchdistill 1.1: alpha CE + (1 - alpha) tau² KL by `kl_div`, batchmean."""
    mine, _ = judged(z, targets_of(label, v), temperature=tau, alpha=alpha)
    soft = functional.kl_div(
        (z / tau).log_softmax(-1)[None], (v / tau).softmax(-1)[None], reduction="batchmean"
    )
    hard = functional.cross_entropy(z[None], torch.tensor([label]))
    assert mine == pytest.approx((alpha * hard + (1 - alpha) * tau**2 * soft).item(), abs=1e-9)


@settings(deadline=None)
@given(logits, logits, st.floats(0.5, 20))
def test_the_gradient_is_tau_times_the_difference_and_torchdistills_without_alpha_is_not(v, z, tau):
    """With alpha None torchdistill returns plain KL, whose gradient shrinks as 1 / tau."""
    q, p = ((one / tau).softmax(-1).numpy() for one in (z, v))
    _, slope = judged(z, targets_of(None, v), temperature=tau, alpha=0)
    assert slope == pytest.approx(tau * (q - p), abs=1e-9)
    theirs = z.clone().requires_grad_()
    functional.kl_div(
        (theirs / tau).log_softmax(-1)[None], (v / tau).softmax(-1)[None], reduction="batchmean"
    ).backward()
    assert slope == pytest.approx(tau**2 * theirs.grad.numpy(), abs=1e-9)


@settings(deadline=None)
@given(logits, st.floats(0.5, 20))
def test_a_student_that_says_what_its_teacher_says_stays(v, tau):
    value, slope = judged(v, targets_of(None, v), temperature=tau, alpha=0)
    assert value == pytest.approx(0, abs=1e-12) and slope == pytest.approx(0, abs=1e-9)


def test_many_students_at_once_are_each_alone():
    """Temperatures and alphas one a student; weights, and rows with and without a label."""
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(3, 5, 4, generator=rng, dtype=torch.float64)
    teachers = torch.randn(3, 5, 2, 4, generator=rng, dtype=torch.float64).softmax(-1)
    hot = functional.one_hot(torch.arange(15).reshape(3, 5) % 4, 4).double()
    hot[:, 2] = 0
    targets = torch.cat([hot[:, :, None], teachers], 2)
    weights = torch.rand(3, 5, generator=rng, dtype=torch.float64)
    tau, alpha = [1.0, 4.0, 9.0], [0.0, 0.3, 1.0]
    both = distillation_loss(z, targets, weights, temperature=tau, alpha=alpha)
    for i in range(3):
        total = 0.0
        for j in range(5):
            value, _ = judged(
                z[i, j], targets[i : i + 1, j : j + 1], temperature=tau[i], alpha=alpha[i]
            )
            total += weights[i, j].item() * value
        assert both[i].item() == pytest.approx(total / weights[i].sum().item(), abs=1e-9)
    # A student of labels alone learns nothing from a row without one.
    plain = cross_entropy(z[2:], hot[2:].argmax(-1), weights[2:] * hot[2:].sum(-1))
    labelled = weights[2:] * hot[2:].sum(-1)
    assert both[2].item() == pytest.approx(
        (plain * labelled.sum() / weights[2].sum()).item(), abs=1e-9
    )


laws = st.lists(
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda w: [x / sum(w) for x in w]),
    min_size=2,
    max_size=4,
)


@settings(deadline=None)
@given(laws, st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.booleans())
def test_the_mean_of_teachers_minimises_their_summed_divergence(laws, other, by_confidence):
    """By a loop: sum of w KL(p || q) is least at the (weighted) mean, and only there."""

    def total(q):
        return sum(
            (max(p) if by_confidence else 1.0)
            * sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
            for p in laws
        )

    soft = torch.tensor(laws, dtype=torch.float64).T  # (k, t)
    mean = pooled(soft, soft.amax(0) if by_confidence else None)[:, 0].tolist()
    other = [x / sum(other) for x in other]
    assert sum(mean) == pytest.approx(1)
    assert total(mean) <= total(other) + 1e-12
    step = [0.99 * a + 0.01 * b for a, b in zip(mean, other, strict=True)]
    assert total(mean) <= total(step) + 1e-12


def test_the_loss_of_several_teachers_is_that_of_their_softened_mean():
    v, w = TEACHER, torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64)
    soft = ((v / 4).softmax(-1) + (w / 4).softmax(-1)) / 2  # softened first, then the mean
    value, _ = judged(STUDENT, targets_of(None, v, w), temperature=4, alpha=0)
    expected = 16 * functional.kl_div((STUDENT / 4).log_softmax(-1), soft, reduction="sum")
    assert value == pytest.approx(expected.item(), abs=1e-9)


def test_confidence_is_that_of_the_teacher_before_it_is_softened():
    v, w = TEACHER, torch.tensor([0.0, 0.1, 0.0], dtype=torch.float64)
    sure = [one.softmax(-1).max() for one in (v, w)]
    soft = sum(s * (one / 9).softmax(-1) for s, one in zip(sure, (v, w), strict=True)) / sum(sure)
    value, _ = judged(STUDENT, targets_of(None, v, w), temperature=9, alpha=0, by_confidence=True)
    expected = 81 * functional.kl_div((STUDENT / 9).log_softmax(-1), soft, reduction="sum")
    assert value == pytest.approx(expected.item(), abs=1e-9)


def test_a_head_a_teacher_is_that_many_students_of_one_teacher():
    v, w = TEACHER, torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64)
    heads = torch.cat([STUDENT, 2 * STUDENT])
    value, slope = judged(heads, targets_of(1, v, w), temperature=4, alpha=0.3)
    one, first = judged(STUDENT, targets_of(1, v), temperature=4, alpha=0.3)
    two, second = judged(2 * STUDENT, targets_of(1, w), temperature=4, alpha=0.3)
    assert value == pytest.approx((one + two) / 2)
    assert slope == pytest.approx(np.concatenate([first, second]) / 2)
    with pytest.raises(ValueError, match="2 heads of 3 classes for 3 teachers"):
        judged(heads, targets_of(1, v, w, v), temperature=4, alpha=0.3)


def test_classes_of_probability_zero_are_never_softened_into_being():
    """A forest is often sure, and a saturated student may say 0 too: no NaN, in float32 neither."""
    p = torch.tensor([1.0, 0.0, 0.0])
    assert softened(p, 20.0).tolist() == [1, 0, 0]
    z = torch.tensor([[[0.0, 300.0, -300.0]]], requires_grad=True)
    targets = torch.stack([torch.zeros(3), p])[None, None]
    loss = distillation_loss(z, targets, torch.ones(1, 1), temperature=1.0, alpha=0.5)
    loss.sum().backward()
    assert loss.item() == pytest.approx(150) and z.grad.isfinite().all()


@pytest.mark.parametrize("beta", [0, 0.5, 1])
def test_the_generalised_divergence_has_gradients_where_the_student_is_sure(beta):
    z = torch.tensor([0.0, 300.0, -300.0], requires_grad=True)  # float32: e^-300 is 0
    generalised_jsd(
        torch.tensor([1.0, 0.5, 0.0]).log_softmax(-1), z.log_softmax(-1), beta
    ).backward()
    assert z.grad.isfinite().all()


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    proba = rng.dirichlet(np.ones(3), size=(60, 1))
    hot = np.eye(3)[rng.integers(3, size=60)][:, None]
    hot[::3] = 0
    return X, np.concatenate([hot, proba], axis=1)


def make():
    return torch.nn.Linear(4, 3)


def trained(X, y, members=1, **how):
    settings = {"epochs": 3, "device": "cpu", "progress": False, "dtype": "float64"} | how
    return train_members(make, X, y, members=members, **settings)


def test_a_batch_of_students_learns_what_each_learns_in_plain_pytorch(rows):
    """Three temperatures in one batch beside a loop, from the same start and in the same order."""
    X, y = rows
    tau = [1.0, 4.0, 20.0]
    found = trained(X, y, 3, loss=partial(distillation_loss, temperature=tau, alpha=0.2), seed=5)
    start, orders, _ = np.random.SeedSequence(5).spawn(3)
    rngs = [np.random.default_rng(one) for one in orders.spawn(3)]
    inputs, hot, soft = (torch.tensor(a).double() for a in (X, y[:, 0], y[:, 1]))
    for i, seed in enumerate(start.generate_state(3)):
        with torch.random.fork_rng():
            torch.manual_seed(int(seed))
            network = make().double()
        step = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.0)
        p = (soft.log() / tau[i]).softmax(-1)
        for _ in range(3):
            for some in torch.tensor(rngs[i].permutation(60)).split(32):
                z = network(inputs[some])
                kl = functional.kl_div((z / tau[i]).log_softmax(-1), p[some], reduction="batchmean")
                ce = -(hot[some] * z.log_softmax(-1)).sum(-1).mean()
                step.zero_grad()
                (0.2 * ce + 0.8 * tau[i] ** 2 * kl).backward()
                step.step()
        np.testing.assert_allclose(network(inputs).detach().numpy(), found.outputs(X)[i], atol=1e-6)


def test_rows_weights_and_held_out_rows_go_with_soft_targets(rows):
    X, y = rows
    loss = partial(distillation_loss, temperature=2.0, alpha=0.2)
    drawn = np.array([[0, 1, 2, 3] * 5, [4, 5, 6, 7] * 5])
    two = trained(X, y, 2, loss=loss, rows=drawn, batch_size=20, same_order=True)
    weights = np.zeros((2, 60))
    weights[0, :4] = weights[1, 4:8] = 5
    same = trained(X, y, 2, loss=loss, weights=weights, batch_size=60, same_order=True)
    np.testing.assert_allclose(two.outputs(X), same.outputs(X), atol=1e-9)
    held = trained(X, y, 2, loss=loss, validation=(X, y), patience=2, epochs=5)
    assert np.isfinite(held.losses).all() and held.losses[-1].max() < held.losses[0].min()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda y: np.where(np.arange(60)[:, None, None] == 7, np.nan, y), "row 7 of y"),
        (lambda y: 2 * y, "sum to 1"),
        (lambda y: np.where(np.arange(y.shape[1])[:, None] == 1, 0.0, y), r"is \[0\.0, 0\.0"),
        (lambda y: y - 0.1, "row 0 of y"),
        (lambda y: np.log(y + 1e-9), "row 0 of y"),  # logits
        (lambda y: y[..., :2] / y[..., :2].sum(-1, keepdims=True).clip(0.1), "2 classes"),
        (lambda y: y.argmax(-1)[:, 0], "one number a row"),
        (lambda y: y[:-1], "60 rows and y 59"),
    ],
)
def test_targets_that_are_no_probabilities_are_named(rows, spoil, words):
    X, y = rows
    with pytest.raises(ValueError, match=words):
        trained(X, spoil(y), loss=distillation_loss)


@pytest.mark.parametrize(
    "fault",
    [
        lambda v, z, tau: (z / tau).log_softmax(-1) * 0,  # of the teacher alone
        lambda v, z, tau: (z.softmax(-1) / tau).log_softmax(-1),  # softmax twice
        lambda v, z, tau: z.log_softmax(-1),  # the student is not softened
    ],
)
def test_the_table_catches_known_faults(fault):
    """As reported of other packages: each leaves the values of the table."""
    for tau, value, _ in TABLE[1:]:
        logs, p = fault(TEACHER, STUDENT, tau), (TEACHER / tau).softmax(-1)
        wrong = tau**2 * functional.kl_div(logs, p, reduction="sum")
        assert abs(wrong.item() - value) > 1e-3
