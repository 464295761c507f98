"""The checks of 11 refuse what people get wrong, written in other ways than theirs."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from ensemble_lab.exercises.distillation import _students, check_barycentre, check_gradient


def by_torch(student, teacher, label, tau, alpha, loss=None):
    """Both gradients by automatic differentiation: what a right solution amounts to."""
    z = torch.tensor(student, requires_grad=True)
    p = (torch.tensor(teacher) / tau).softmax(-1)
    soft = tau**2 * functional.kl_div((z / tau).log_softmax(-1), p, reduction="sum")
    hard = functional.cross_entropy(z[None], torch.tensor([label]))
    whole = alpha * hard + (1 - alpha) * soft
    (one,) = torch.autograd.grad(soft, z, retain_graph=True)
    (two,) = torch.autograd.grad(whole, z)
    return one.numpy(), two.numpy()


def flat(z, tau=1.0):
    e = np.exp(np.asarray(z) / tau)
    return e / e.sum()


def with_parts(pull=None, whole=None):
    """A solution with a part exchanged."""

    def solution(z, v, label, tau, alpha):
        soft = tau * (flat(z, tau) - flat(v, tau)) if pull is None else pull(z, v, tau, label)
        if whole is not None:
            return soft, whole(z, v, label, tau, alpha, soft)
        hot = np.arange(len(z)) == label
        return soft, alpha * (flat(z) - hot) + (1 - alpha) * soft

    return solution


def test_right_gradients_pass():
    assert check_gradient(by_torch)
    assert check_gradient(with_parts())
    assert check_gradient(lambda *case: [part.tolist() for part in with_parts()(*case)])


def by_slope(loss):
    """The gradient of any loss, by small steps."""

    def pull(z, v, tau, label):
        step = 1e-6
        return np.array(
            [
                (loss(z + step * e, v, tau) - loss(z - step * e, v, tau)) / (2 * step)
                for e in np.eye(len(z))
            ]
        )

    return pull


def kl(p, q):
    return float(np.sum(p * np.log(p / q)))


@pytest.mark.parametrize(
    ("pull", "hint"),
    [
        (by_slope(lambda z, v, tau: kl(flat(v, tau), flat(z, tau))), "that of the plain"),
        (lambda z, v, tau, label: flat(z, tau) - flat(v, tau), "One factor of tau is lost"),
        (lambda z, v, tau, label: tau**2 * (flat(z, tau) - flat(v, tau)), "Is tau² all of it?"),
        (lambda z, v, tau, label: tau * (flat(v, tau) - flat(z, tau)), "rise or fall"),
        (by_slope(lambda z, v, tau: tau * kl(flat(v, tau), flat(z))), "the teacher alone"),
        (lambda z, v, tau, label: tau * (flat(z, tau) - flat(v)), "the student alone"),
        (lambda z, v, tau, label: tau * (flat(z, 1 / tau) - flat(v, 1 / tau)), "flatter"),
        (by_slope(lambda z, v, tau: tau**2 * kl(flat(z, tau), flat(v, tau))), "which one has"),
        (lambda z, v, tau, label: (z - v) / len(z), "very high temperature"),
        (
            by_slope(lambda z, v, tau: tau**2 * kl(flat(v, tau), flat(z, tau)) / len(z)),
            "their mean",
        ),
        (lambda z, v, tau, label: tau * (flat(z, tau) - (v == v.max())), "an answer"),
        (lambda z, v, tau, label: 1.0, "numbers"),
    ],
)
def test_wrong_gradients_of_the_teacher_are_refused_with_their_hint(pull, hint):
    verdict = check_gradient(with_parts(pull))
    assert not verdict and hint in verdict.message


def test_the_label_is_none_that_the_logits_give_away():
    for student, teacher, label, *_ in _students():
        assert label not in (student.argmax(), teacher.argmax())
    guess = [label == teacher.argmin() for _, teacher, label, *_ in _students()]
    assert not all(guess)


def hot(z, label):
    return np.arange(len(z)) == label


@pytest.mark.parametrize(
    ("whole", "hint"),
    [
        (lambda z, v, y, t, a, s: (1 - a) * (flat(z) - hot(z, y)) + a * s, "has the share alpha"),
        (lambda z, v, y, t, a, s: a * (flat(z, t) - hot(z, y)) + (1 - a) * s, "no teacher?"),
        (lambda z, v, y, t, a, s: a * (hot(z, y) - flat(z)) + (1 - a) * s, "the same sign?"),
        (lambda z, v, y, t, a, s: a * flat(z) + (1 - a) * s, "Where does the label"),
        (lambda z, v, y, t, a, s: a * (flat(z) - hot(z, y)) + s, "With alpha 1"),
        (lambda z, v, y, t, a, s: flat(z) - hot(z, y) + s, "Where is alpha?"),
        (
            lambda z, v, y, t, a, s: t * t * a * (flat(z) - hot(z, y)) + (1 - a) * s,
            "needs the tau²",
        ),
        (lambda z, v, y, t, a, s: a * (flat(z) - (v == v.max())) + (1 - a) * s, "teacher would"),
        (lambda z, v, y, t, a, s: a * (flat(z) - hot(z, y)) + (1 - a) * t * s, "How often"),
    ],
)
def test_wrong_mixtures_are_refused_with_their_hint(whole, hint):
    verdict = check_gradient(with_parts(whole=whole))
    assert not verdict and hint in verdict.message and verdict.message.startswith("whole")


# -- the barycentre -----------------------------------------------------------------------------


def centre(p, w):
    return np.average(p, axis=0, weights=w)


def least(p, w, q, log=math.log):
    return sum(
        weight * sum(a * log(a / b) for a, b in zip(one, q, strict=True) if a > 0)
        for weight, one in zip(w, p, strict=True)
    )


def test_right_centres_pass():
    assert check_barycentre(lambda p, w: (centre(p, w), least(p, w, centre(p, w))))

    def by_descent(p, w):
        """By small steps down the sum itself."""
        z = torch.zeros(p.shape[1], dtype=torch.float64, requires_grad=True)
        step = torch.optim.LBFGS([z], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15)
        p, w = torch.tensor(p), torch.tensor(w)

        def total():
            step.zero_grad()
            loss = (w[:, None] * (torch.xlogy(p, p) - p * z.log_softmax(-1))).sum()
            loss.backward()
            return loss

        for _ in range(5):
            step.step(total)
        q = z.detach().softmax(-1).numpy()
        return q, least(p.numpy(), w.numpy(), q)

    assert check_barycentre(by_descent)


def normal(x):
    return x / x.sum()


def powers(p, w):
    return normal(np.prod(np.maximum(p, 1e-12) ** w[:, None], axis=0))


@pytest.mark.parametrize(
    ("q", "hint"),
    [
        (lambda p, w: sum(p) / len(p), "twice the weight"),
        (lambda p, w: sum(w[:, None] * p), "sum to 1"),
        (lambda p, w: sum(w[:, None] * p) / len(p), "the number of teachers"),
        (lambda p, w: powers(p, normal(w)), "which one comes first?"),
        (lambda p, w: powers(p, np.ones(len(w)) / len(w)), "of their logarithms"),
        (lambda p, w: powers(p, w), "forbid a class"),
        (lambda p, w: p[list(w).index(max(w))], "one teacher or all"),
        (lambda p, w: max(p, key=max), "one teacher or all"),
        (lambda p, w: normal(np.quantile(p, 0.5, axis=0)), "The median"),
        (lambda p, w: normal(sum(b * (a == a.max()) for a, b in zip(p, w, strict=True))), "votes"),
        (lambda p, w: flat(centre(p, w)), "What does softmax add?"),
        (lambda p, w: normal(centre(p**2, w) ** 0.5), "a mean of squares"),
        (lambda p, w: np.ones(p.shape[1]) / p.shape[1], "centre"),
        (lambda p, w: 1.0, "centre"),
    ],
)
def test_wrong_centres_are_refused_with_their_hint(q, hint):
    verdict = check_barycentre(lambda p, w: (q(p, w), 0.0))
    assert not verdict and hint in verdict.message


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (lambda p, w, q: -sum(x * math.log(x) for x in q), "entropy of the centre"),
        (lambda p, w, q: least(p, w, q) / sum(w), "or the weighted mean?"),
        (lambda p, w, q: least(p, w, q, math.log2), "to the base 2?"),
        (lambda p, w, q: least(p, 1 + 0 * w, q), "weights count in the sum"),
        (lambda p, w, q: least(p, 1 + 0 * w, q) / len(w), "weights count in the sum"),
        (lambda p, w, q: sum(b * kl(q, np.maximum(a, 1e-12)) for a, b in zip(p, w, strict=True)),
         "averaged over"),
        (lambda p, w, q: -least(p, w, q), "be negative?"),
        (lambda p, w, q: -sum(b * a @ np.log(q) for a, b in zip(p, w, strict=True)),
         "cross-entropy"),
        (lambda p, w, q: 0.0, "for 2 teachers the least sum"),
        (lambda p, w, q: float("nan"), "least"),
    ],
)  # fmt: skip
def test_wrong_sums_are_refused_with_their_hint(value, hint):
    verdict = check_barycentre(lambda p, w: (centre(p, w), value(p, w, centre(p, w))))
    assert not verdict and hint in verdict.message
