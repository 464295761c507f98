"""Checks of notebook 04: Thompson sampling, what a discount forgets, a log with propensities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: Thompson sampling --------------------------------------------------------------------------


def _thompson(
    prior: tuple = (1.0, 1.0),
    score: Callable = lambda rng, beta: rng.beta(*beta),
    learns: Callable = lambda arm, right: np.arange(len(right)) == arm,
    counts: Callable = lambda right: np.array([right, 1 - right]),
    early: bool = False,
    best: Callable = np.argmax,
) -> Callable:
    """Which models are asked, with parts exchanged; `early` counts a grade before the choice."""

    def asked(correct, rng) -> np.ndarray:
        beta = np.repeat(np.array(prior)[:, None], correct.shape[1], axis=1)
        chosen = np.zeros(len(correct), int)
        for i, right in enumerate(correct):
            before = counts(right) if early else 0
            chosen[i] = best(score(rng, beta + before))
            beta = beta + counts(right) * learns(chosen[i], right)
        return chosen

    return asked


THOMPSON_MISTAKES = (
    (_thompson(score=lambda rng, beta: beta[0] / beta.sum(axis=0)),
     "That asks the highest mean. Where is the draw?"),
    (_thompson(learns=lambda arm, right: np.ones(len(right), bool)),
     "Which grades are seen: those of all models, or of the one that was asked?"),
    (_thompson(counts=lambda right: np.array([right, 0 * right])),
     "What does a wrong answer change?"),
    (_thompson(counts=lambda right: np.array([0 * right, 1 - right])),
     "What does a right answer change?"),
    (_thompson(counts=lambda right: np.array([1 - right, right])),
     "Which of the two numbers grows with right answers?"),
    (_thompson(prior=(2.0, 2.0)), "What is believed before any answer is known?"),
    (_thompson(prior=(0.5, 0.5)), "What is believed before any answer is known?"),
    (_thompson(learns=lambda arm, right: np.zeros(len(right), bool)),
     "Does the belief change after an answer?"),
    (_thompson(early=True), "Is the question's grade known before the model is asked?"),
    (_thompson(best=np.argmin), "Is the model with the highest draw asked, or the lowest?"),
    (lambda correct, rng: np.repeat(_thompson()(correct, rng)[:1], len(correct)),
     "Is there a new choice for every question?"),
)  # fmt: skip


def _streams():
    """Two, three and four models of different strength."""
    for seed, rates in enumerate(((0.3, 0.8), (0.7, 0.4, 0.55), (0.2, 0.4, 0.9, 0.6))):
        rng = draws(40 + seed)
        correct = (rng.random((30, len(rates))) < rates).astype(float)
        yield correct, draws(seed)


check_thompson = Check(
    """Check a function that asks by Thompson sampling.

    It takes ``(correct, rng)``: whether each of m models would be right on each of n questions,
    (n, m), and a NumPy generator. A model's belief is Beta(1 + right, 1 + wrong), of the answers
    that were seen. For each question it draws an accuracy of every model, in their order, with
    ``rng.beta``, asks the model with the highest draw, and sees that model's grade alone. It
    returns the positions of the models that were asked, (n,).
    """,
    cases=_streams,
    parts=[
        Part("who is asked", _thompson(), THOMPSON_MISTAKES,
             lambda at, correct, rng: f"for {correct.shape[1]} models, who is asked question"
             f" {at[0]} (from 0)",
             asked="{} positions, one a question"),
    ],
    success="nobody set how much to explore: a belief that is wide sometimes draws high",
)  # fmt: skip

# -- 2: what a discount forgets --------------------------------------------------------------------


def _means(
    prior: float = 1.0,
    old: Callable = lambda discount: discount,
    new: Callable = lambda discount: 1.0,
    prior_fades: bool = False,
) -> Callable:
    """The belief's mean after each grade, with parts exchanged."""

    def means(grades, discount, level) -> np.ndarray:
        right, both, start, found = 0.0, 0.0, prior, []
        for grade in grades:
            start *= discount if prior_fades else 1
            right = right * old(discount) + grade * new(discount)
            both = both * old(discount) + new(discount)
            found.append((start + right) / (2 * start + both))
        return np.array(found)

    return means


def _window(grades, discount, level) -> np.ndarray:
    """The means of a window as long as the memory."""
    length = max(round(1 / (1 - discount)), 1) if discount < 1 else len(grades)
    parts = [grades[max(0, i + 1 - length) : i + 1] for i in range(len(grades))]
    return np.array([(1 + part.sum()) / (2 + len(part)) for part in parts])


MEANS_MISTAKES = (
    (_means(old=lambda discount: 1.0), "That forgets nothing. What do old grades weigh now?"),
    (_means(new=lambda discount: discount), "Does the newest grade lose weight at once?"),
    (_means(prior=0.0), "What is believed before any answer is known?"),
    (_means(prior_fades=True), "Is the prior forgotten, or only grades?"),
    (_means(old=lambda discount: 1 - discount), "How much of the old weight is left?"),
    (_window, "That is a window. Do old grades end, or fade?"),
    (lambda g, d, level: 1 - _means()(g, d, level),
     "Is it the mean of right, or of wrong answers?"),
    (lambda g, d, level: g.cumsum() / (1 + np.arange(len(g))),
     "That is the mean of all grades. What do old ones weigh now?"),
)  # fmt: skip


def _first(grades, discount, level, means) -> int:
    below = means < level
    return int(below.argmax()) + 1 if below.any() else len(grades)


FIRST_MISTAKES = (
    (lambda g, d, level, m: int((m < level).argmax()) if (m < level).any() else len(g),
     "After the first grade, how many are known?"),
    (lambda g, d, level, m: int((m < level).argmax()) + 1,
     "What if the mean never falls below the level?"),
    (lambda g, d, level, m: int((m < level).sum()),
     "How often it is below is counted here. When is it below for the first time?"),
    (lambda g, d, level, m: int((g < 1).argmax()) + 1, "Is one wrong answer enough?"),
    (lambda g, d, level, m: int((m > level).argmax()) + 1, "Must the mean be above, or below?"),
    (lambda g, d, level, m: len(g) - int((m < level)[::-1].argmax()) if (m < level).any()
     else len(g), "Is it the first time, or the last?"),
)  # fmt: skip


def _fading():
    """A model that is right, and then is not; one that stays; one that falls and comes back."""
    for seed, (parts, discount, level) in enumerate((
        (((0.9, 20), (0.3, 25)), 0.9, 0.6),
        (((1.0, 12), (0.0, 12)), 0.8, 0.45),
        (((0.95, 30),), 0.95, 0.3),
        (((0.9, 10), (0.1, 12), (0.95, 20)), 0.75, 0.5),
    )):  # fmt: skip
        rng = draws(50 + seed)
        grades = np.concatenate([rng.random(n) < rate for rate, n in parts]).astype(float)
        yield grades, discount, level


def _of_grades(what: str) -> Callable[..., str]:
    return lambda at, grades, discount, level, *known: (
        f"for {len(grades)} grades and a discount of {discount:g}, {what}"
        + (f" after grade {at[0] + 1}" if at else f" below {level:g}")
    )


check_discount = Check(
    """Check a function that says how soon a discount notices that a model has become worse.

    It takes ``(grades, discount, level)``: grades of one model, 1 for right and 0 for wrong, (n,);
    what each new grade multiplies the weight of all older grades by; and a mean. The belief is
    Beta(1 + right, 1 + wrong), where grades count by their weight and the newest weighs 1. It
    returns (means, first): the mean of the belief after each grade, (n,), and how many grades are
    known when it is below `level` for the first time; n if it never is.
    """,
    cases=_fading,
    parts=[
        Part("the mean of the belief", _means(), MEANS_MISTAKES, _of_grades("the mean"),
             key="means"),
        Part("the first time", _first, FIRST_MISTAKES, _of_grades("the number of grades when the"
             " mean is first"), key="first"),
    ],
    success="the weights sum to at most 1 / (1 - discount): a short memory notices soon, and is"
    " never sure",
)  # fmt: skip

# -- 3: a log in which only the chosen model answered ----------------------------------------------


def _weights(grade, chosen, propensity, policy) -> np.ndarray:
    """(n,) the chance that the new policy asks as the log did, over the log's own."""
    return policy[np.arange(len(grade)), chosen] / propensity


def _value(grade, chosen, propensity, policy) -> float:
    return float((_weights(grade, chosen, propensity, policy) * grade).mean())


def _effective(grade, chosen, propensity, policy, *known) -> float:
    weights = _weights(grade, chosen, propensity, policy)
    return float(weights.sum() ** 2 / (weights**2).sum())


VALUE_MISTAKES = (
    (lambda g, c, p, q: float(g.mean()), "That is what the log's own policy got."),
    (lambda g, c, p, q: float((g / p).mean()),
     "How likely is the new policy to ask the same model?"),
    (lambda g, c, p, q: float((g * q[np.arange(len(g)), c]).mean()),
     "Which models did the log ask too often, and which too seldom?"),
    (lambda g, c, p, q: float((g * p).mean()), "Do rare choices stand for more, or for less?"),
    (lambda g, c, p, q: float((_weights(g, c, p, q) * g).sum() / _weights(g, c, p, q).sum()),
     "You divide by the sum of weights. What does the inverse-propensity estimate divide by?"),
    (lambda g, c, p, q: float((_weights(g, c, p, q) * g).sum()), "Is it a sum, or a mean?"),
    (lambda g, c, p, q: float(g[q.argmax(axis=1) == c].mean()),
     "Of the questions where both agree you took a plain mean. Does each stand for as many?"),
    (lambda g, c, p, q: float((g * q.max(axis=1) / p).mean()),
     "Is it the chance of the model that the log asked, or of the likeliest one?"),
)  # fmt: skip
EFFECTIVE_MISTAKES = (
    (lambda g, c, p, q, *k: float(len(g)), "Do all questions tell as much?"),
    (lambda g, c, p, q, *k: float((_weights(g, c, p, q) > 0).sum()),
     "Do all questions that both ask alike tell as much?"),
    (lambda g, c, p, q, *k: float(_weights(g, c, p, q).sum()), "Is that the sum of the weights?"),
    (lambda g, c, p, q, *k: float((_weights(g, c, p, q) ** 2).sum()),
     "That grows where a few weights are large. Should it?"),
    (lambda g, c, p, q, *k: float((1 / p).sum() ** 2 / (1 / p**2).sum()),
     "Are these the weights of the estimate, or the inverse propensities alone?"),
    (lambda g, c, p, q, *k: 1 / _effective(g, c, p, q), "Which of the two sums is above the line?"),
)  # fmt: skip


def _logs():
    """A log of two models, one of three with a sure policy, one of three with a mixed one."""
    for seed, (n, m, sure) in enumerate(((12, 2, True), (16, 3, True), (15, 3, False))):
        rng = draws(60 + seed)
        chances = rng.dirichlet(np.full(m, 3.0), n).round(2).clip(0.05)
        chances /= chances.sum(axis=1, keepdims=True)
        chosen = np.array([rng.choice(m, p=row) for row in chances])
        grade = (rng.random(n) < 0.4 + 0.4 * (chosen == 0)).astype(float)
        policy = rng.dirichlet(np.full(m, 1.0), n)
        policy = np.eye(m)[rng.integers(0, m, n)] if sure else policy
        yield grade, chosen, chances[np.arange(n), chosen], policy


def _of_log(what: str) -> Callable[..., str]:
    return lambda at, grade, chosen, propensity, policy, *known: (
        f"for a log of {len(grade)} questions and {policy.shape[1]} models, {what}"
    )


check_propensity = Check(
    """Check a function that estimates a new policy's accuracy from the log of an old one.

    It takes ``(grade, chosen, propensity, policy)``: the grade of the one answer to each of n
    questions, (n,); which of m models gave it, (n,); how likely the old policy was to ask that
    model, (n,); and how likely the new one is to ask each model, (n, m). It returns
    (value, effective): the inverse-propensity estimate, the mean of grades times weights, and
    how many questions of equal weight would tell as much, the squared sum of the weights over
    the sum of their squares.
    """,
    cases=_logs,
    parts=[
        Part("the estimate", _value, VALUE_MISTAKES, _of_log("the estimate"), key="value"),
        Part("the effective number", _effective, EFFECTIVE_MISTAKES,
             _of_log("the effective number of questions"), key="effective"),
    ],
    success="a log can judge a policy that never ran, if the old one gave every model a chance and"
    " wrote it down",
)  # fmt: skip
