"""Checks of notebook 11: the gradient with its tau², and the barycentre of several teachers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr, rel_entr, softmax

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: the gradient ----------------------------------------------------------------------------


def _pulled(student, teacher, label, tau, alpha, *known) -> np.ndarray:
    return tau * (softmax(student / tau) - softmax(teacher / tau))


def _pushed(student, label) -> np.ndarray:
    return softmax(student) - np.eye(len(student))[label]


def _whole(student, teacher, label, tau, alpha, pulled) -> np.ndarray:
    return alpha * _pushed(student, label) + (1 - alpha) * pulled


def _reverse(student, teacher, label, tau, alpha) -> np.ndarray:
    """Of tau² KL(student || teacher)."""
    q, p = softmax(student / tau), softmax(teacher / tau)
    apart = np.log(q / p)
    return tau * q * (apart - q @ apart)


PULL_MISTAKES = (
    (lambda *case: _pulled(*case) / case[3] ** 2,
     "Your gradient is that of the plain divergence. What becomes of it beside the label's as tau"
     " grows, and which factor stands before the divergence?"),
    (lambda *case: _pulled(*case) / case[3],
     "One factor of tau is lost. The tau² stands outside; what does z / tau give by the chain"
     " rule?"),
    (lambda *case: _pulled(*case) * case[3],
     "Is tau² all of it? The student's logits are divided by tau inside: what does the chain rule"
     " add?"),
    (lambda *case: -_pulled(*case),
     "A step goes against the gradient. Should the student's probability of a class rise or fall"
     " where the teacher gives it more?"),
    (lambda z, v, label, tau, alpha: tau * (softmax(z) - softmax(v / tau)),
     "Who is softened: the teacher alone, or the student, too?"),
    (lambda z, v, label, tau, alpha: tau * (softmax(z / tau) - softmax(v)),
     "Who is softened: the student alone, or the teacher, too?"),
    (lambda z, v, label, tau, alpha: tau * (softmax(z * tau) - softmax(v * tau)),
     "Does a high temperature make your probabilities flatter or steeper?"),
    (_reverse, "KL(teacher || student) or KL(student || teacher): which one has this gradient?"),
    (lambda z, v, label, tau, alpha: (z - v) / len(z),
     "This is what is left at a very high temperature. What is it at this one?"),
    (lambda *case: _pulled(*case) / len(case[0]),
     "Is the divergence a sum over the classes, or their mean?"),
    (lambda z, v, label, tau, alpha: tau * (softmax(z / tau) - np.eye(len(z))[v.argmax()]),
     "Does your teacher give an answer, or probabilities?"),
)  # fmt: skip
WHOLE_MISTAKES = (
    (lambda z, v, label, tau, alpha, pulled: alpha * pulled + (1 - alpha) * _pushed(z, label),
     "Which of the two has the share alpha: the label or the teacher?"),
    (lambda z, v, label, tau, alpha, pulled:
     alpha * (softmax(z / tau) - np.eye(len(z))[label]) + (1 - alpha) * pulled,
     "At which temperature does a student answer when there is no teacher?"),
    (lambda z, v, label, tau, alpha, pulled: -alpha * _pushed(z, label) + (1 - alpha) * pulled,
     "Do both parts of your gradient have the same sign?"),
    (lambda z, v, label, tau, alpha, pulled: alpha * softmax(z) + (1 - alpha) * pulled,
     "Where does the label come in?"),
    (lambda z, v, label, tau, alpha, pulled: alpha * _pushed(z, label) + pulled,
     "With alpha 1, what is left of the teacher in your gradient?"),
    (lambda z, v, label, tau, alpha, pulled: _pushed(z, label) + pulled,
     "Where is alpha?"),
    (lambda z, v, label, tau, alpha, pulled:
     tau**2 * alpha * _pushed(z, label) + (1 - alpha) * pulled,
     "Which of the two parts needs the tau²?"),
    (lambda z, v, label, tau, alpha, pulled:
     alpha * _pushed(z, v.argmax()) + (1 - alpha) * pulled,
     "Is the label what the teacher would answer?"),
    (lambda z, v, label, tau, alpha, pulled: alpha * _pushed(z, label) + (1 - alpha) * tau * pulled,
     "Your first part has its tau already. How often is it counted in the second?"),
)  # fmt: skip


def _students():
    """Logits of both, a label that neither gives, a temperature and a share."""
    rng = draws(0)
    for k, tau, alpha in ((3, 4.0, 0.3), (4, 2.0, 0.1), (5, 0.5, 0.6)):
        student, teacher = rng.normal(size=k), 3 * rng.normal(size=k)
        given = student.argmax(), teacher.argmax()
        label = next(int(c) for c in teacher.argsort()[::-1] if c not in given)
        yield student, teacher, label, tau, alpha


def _of_student(what: str) -> Callable[..., str]:
    return lambda at, z, v, label, tau, alpha, *known: (
        f"for {len(z)} classes and tau {tau:g} the entry {at[0]} of {what}"
    )


check_gradient = Check(
    """Check a function that gives the gradient of the distillation loss.

    It takes ``(student, teacher, label, tau, alpha)`` and returns (gradient of
    tau² KL(teacher || student), gradient of the whole loss), each (k,), by the student's logits.
    `student` and `teacher` are logits (k,), `label` is a class.
    """,
    cases=_students,
    parts=[
        Part("an entry of the teacher's part", _pulled, PULL_MISTAKES,
             _of_student("the teacher's part"), key="teacher"),
        Part("an entry of the whole", _whole, WHOLE_MISTAKES,
             _of_student("the whole"), key="whole"),
    ],
    success="tau (q - p): with tau² before the divergence, teacher and label keep their shares at"
    " any temperature",
)  # fmt: skip

# -- 2: the barycentre --------------------------------------------------------------------------


def _mean(teachers, weights) -> np.ndarray:
    return weights @ teachers / weights.sum()


def _apart(teachers, weights, centre) -> float:
    return float(weights @ rel_entr(teachers, centre).sum(1))


def _scaled(teachers, weights, power: np.ndarray) -> np.ndarray:
    """The normalised product of the teachers, each to a power."""
    return softmax(power @ np.log(np.maximum(teachers, 1e-12)))


CENTRE_MISTAKES = (
    (lambda p, w: p.mean(0), "Does a teacher of twice the weight count twice?"),
    (lambda p, w: w @ p, "Do your probabilities sum to 1 where the weights do not?"),
    (lambda p, w: w @ p / len(w), "By what do you divide: by the number of teachers?"),
    (lambda p, w: _scaled(p, w, w / w.sum()),
     "This is the best centre of KL(q || p). In the task, which one comes first?"),
    (lambda p, w: _scaled(p, w, np.full(len(w), 1 / len(w))),
     "Is it the mean of the probabilities, or of their logarithms? And where are the weights?"),
    (lambda p, w: _scaled(p, w, w),
     "You multiply the teachers. Can a single teacher forbid a class?"),
    (lambda p, w: p[w.argmax()], "Do you ask one teacher or all of them?"),
    (lambda p, w: p[p.max(1).argmax()], "Do you ask one teacher or all of them?"),
    (lambda p, w: np.median(p, axis=0) / np.median(p, axis=0).sum(),
     "The median minimises another distance. Which number minimises -sum w p log q?"),
    (lambda p, w: (w / w.sum()) @ np.eye(p.shape[1])[p.argmax(1)],
     "Do the teachers give votes, or probabilities?"),
    (lambda p, w: softmax(w @ p / w.sum()), "The mean sums to 1 already. What does softmax add?"),
    (lambda p, w: np.sqrt(w @ p**2) / np.sqrt(w @ p**2).sum(),
     "Is it the mean, or a mean of squares?"),
)  # fmt: skip
LEAST_MISTAKES = (
    (lambda p, w, q: float(entr(q).sum()),
     "This is the entropy of the centre. What do the teachers' own entropies take from it?"),
    (lambda p, w, q: _apart(p, w, q) / w.sum(),
     "Is it the weighted sum that is asked for, or the weighted mean?"),
    (lambda p, w, q: _apart(p, np.ones(len(w)), q), "Where do the weights count in the sum?"),
    (lambda p, w, q: _apart(p, np.ones(len(w)), q) / len(w),
     "Where do the weights count in the sum?"),
    (lambda p, w, q: _apart(p, w, q) / np.log(2), "Is your logarithm natural, or to the base 2?"),
    (lambda p, w, q: float(w @ rel_entr(q, np.maximum(p, 1e-12)).sum(1)),
     "Which distribution is averaged over: the teacher's, or the centre?"),
    (lambda p, w, q: -_apart(p, w, q), "Can a divergence be negative?"),
    (lambda p, w, q: float(-(w @ (p @ np.log(q)))),
     "This is the cross-entropy. Is it 0 for teachers that all agree?"),
)  # fmt: skip


def _panels():
    """Teachers (t, k) and weights (t,) that do not sum to 1; some are sure."""
    rng = draws(0)
    for t, k in ((2, 3), (3, 4), (4, 3)):
        teachers = rng.dirichlet(np.ones(k), size=t)
        if t == 3:
            teachers[0] = np.eye(k)[1]
        yield teachers, rng.uniform(0.5, 3.0, size=t)


check_barycentre = Check(
    """Check a function that finds the distribution closest to several teachers.

    It takes ``(teachers, weights)`` and returns (the distribution q (k,) with the least sum of
    w KL(p || q) over the teachers, that sum). `teachers` are probabilities (t, k), `weights` (t,)
    are above 0 and need not sum to 1.
    """,
    cases=_panels,
    parts=[
        Part("a probability of the centre", _mean, CENTRE_MISTAKES,
             lambda at, p, w, *known: f"for {len(p)} teachers the probability of class {at[0]}",
             key="centre"),
        Part("the least sum", _apart, LEAST_MISTAKES,
             lambda at, p, w, *known: f"for {len(p)} teachers the least sum", key="least"),
    ],
    success="the mean: a student of the mean learns all its teachers at once, and what is left is"
    " how much they disagree",
)  # fmt: skip
