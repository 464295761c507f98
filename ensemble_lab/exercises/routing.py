"""Checks of notebook 03: the area that rates a router, and a router that asks its neighbours."""

from __future__ import annotations

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: APGR ------------------------------------------------------------------------------------


def _cuts(score, weak, strong, ascending=False, ties=True) -> tuple[np.ndarray, np.ndarray]:
    """Share sent (k + 1,) and accuracy (k + 1,) of all cuts of the order, from none to all."""
    order = np.argsort(score if ascending else -score, kind="stable")
    right = weak.sum() + np.r_[0.0, np.cumsum((strong - weak)[order])]
    ranked = score[order]
    # Equal scores go together: a cut between them is no cut.
    kept = np.r_[True, (ranked[1:] != ranked[:-1]) | (not ties), True]
    return np.flatnonzero(kept) / len(score), right[kept] / len(score)


def _trapezoids(x, y) -> float:
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def _area(area=_trapezoids, scaled=None, **cuts):
    """A function of a case to the area under a curve; `scaled` makes PGR of accuracies."""

    def of(score, weak, strong) -> float:
        x, y = _cuts(score, weak, strong, **cuts)
        return area(x, (scaled or _pgr)(y, weak.mean(), strong.mean()))

    return of


def _pgr(accuracy, weak, strong):
    return (accuracy - weak) / (strong - weak)


_apgr = _area()


def _sent_only(score, weak, strong) -> float:
    """The accuracy of the strong model on what is sent, without the questions that stay."""
    order = np.argsort(-score, kind="stable")
    n = len(score)
    mean = np.r_[weak.mean(), np.cumsum(strong[order]) / np.arange(1, n + 1)]
    return _trapezoids(np.arange(n + 1) / n, _pgr(mean, weak.mean(), strong.mean()))


def _of_right_ones(score, weak, strong) -> float:
    """What the strong model gets right is counted as gained, also where the weak one is right."""
    return _apgr(score, np.zeros(len(weak)), strong)


APGR_MISTAKES = (
    (_area(ascending=True),
     "Which questions go to the strong model first, those with a high score or with a low one?"),
    (_area(lambda x, y: float((np.diff(x) * y[:-1]).sum())),
     "Between two cuts the curve is a sloping line. Which height does your strip have?"),
    (_area(lambda x, y: float((np.diff(x) * y[1:]).sum())),
     "Between two cuts the curve is a sloping line. Is its height that of the right end?"),
    (_area(lambda x, y: float(y.mean())),
     "Are all cuts equally far apart, and how wide is the strip of the first and of the last?"),
    (_area(ties=False),
     "Two questions have the same score. Which of them is sent first, and who decided that?"),
    (_area(scaled=lambda a, weak, strong: a / strong),
     "What is recovered when nothing is sent? And what does your formula give there?"),
    (_area(scaled=lambda a, weak, strong: (a - weak) / strong),
     "What is recovered when everything is sent? Which gap is the whole?"),
    (_area(scaled=lambda a, weak, strong: a / (strong - weak)),
     "What would the weak model have got right without any router?"),
    (_area(scaled=lambda a, weak, strong: a - weak),
     "Points or a share of the gap: what is the unit of your area?"),
    (_area(scaled=lambda a, weak, strong: a),
     "Is this the area under the accuracy, or under the share of the gap that is recovered?"),
    (_area(lambda x, y: _trapezoids(x[1:-1], y[1:-1])),
     "Where does the curve begin and end? Do you have the cuts at which none and all are sent?"),
    (_area(lambda x, y: _trapezoids(x[1:], y[1:])),
     "Where does the curve begin? Do you have the cut at which nothing is sent?"),
    (_sent_only,
     "Who answers the questions that are not sent, and do they count?"),
    (_of_right_ones,
     "The weak model is right on a question that is sent. What is gained there?"),
    (lambda score, weak, strong: _apgr(score, weak, strong) - 0.5,
     "Is the area asked for, or how far it is above that of a random order?"),
)  # fmt: skip


def _routed():
    """(score, weak, strong): two small cases, one of them with ties, then many questions."""
    yield (
        np.array([0.2, 0.9, 0.5, 0.7]),
        np.array([1.0, 0.0, 0.0, 1.0]),
        np.array([1.0, 1.0, 1.0, 0.0]),
    )
    yield (
        np.array([0.6, 0.6, 0.1, 0.6, 0.3]),
        np.array([1.0, 0.0, 0.0, 0.0, 1.0]),
        np.array([0.0, 1.0, 1.0, 1.0, 1.0]),
    )
    rng = draws(4)
    hard = rng.random(200)
    score = (hard + rng.normal(0, 0.3, 200)).round(1)  # many are equal
    yield score, (rng.random(200) > hard) * 1.0, (rng.random(200) > 0.4 * hard) * 1.0


def _about_apgr(at, score, weak, strong) -> str:
    if len(score) > 5:
        return f"for {len(score)} questions with {len(np.unique(score))} different scores, APGR"
    return (
        f"for the scores {score.tolist()}, weak right {weak.astype(int).tolist()}, strong right"
        f" {strong.astype(int).tolist()}, APGR"
    )


check_apgr = Check(
    """Check a function that rates an order of questions by APGR.

    It takes ``(score, weak, strong)``, arrays (n,): a score of each question, and whether each
    model is right there, 0 or 1. The questions with the highest scores go to the strong model
    first. It returns the area under the share of the gap that is recovered, over the share of the
    questions that are sent, from none to all; between questions with equal scores the curve is a
    straight line.
    """,
    cases=_routed,
    parts=[Part("APGR", _apgr, APGR_MISTAKES, _about_apgr)],
    success="high scores first, ties together, and both ends of the curve",
)

# -- 2: a router that asks the neighbours -------------------------------------------------------


def _far(stored, new) -> np.ndarray:
    """Distances (new, stored)."""
    return np.linalg.norm(new[:, None, :] - stored[None, :, :], axis=2)


def _nearby(fit, shown, k, value=lambda c: c[:, 1] - c[:, 0], far=_far, first=0) -> np.ndarray:
    """Mean of `value` over the stored questions `first` to `first` + k in the order of `far`."""
    (stored, correct), (new, _) = fit, shown
    near = np.argsort(far(stored, new), axis=1, kind="stable")[:, first : first + k]
    return value(correct)[near].mean(axis=1)


NEIGHBOUR_MISTAKES = (
    (lambda fit, shown, k: _nearby(shown, shown, k),
     "Which half may the router look at, and is a question its own neighbour?"),
    (lambda fit, shown, k: _nearby(shown, shown, k, first=1),
     "The router is judged on the answers to `shown`. May it look at them?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, value=lambda c: c[:, 1]),
     "Both models may be right nearby. What does the strong one add to the weak one?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, value=lambda c: 1 - c[:, 0]),
     "Where the weak model fails, is the strong one always right?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, value=lambda c: c.mean(axis=1)),
     "Does the mean of both models tell which of them to ask?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, value=lambda c: c[:, 0] - c[:, 1]),
     "Is your score high where the strong model is the better one?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, far=lambda a, b: -_far(a, b)),
     "Are the neighbours those at the smallest distance, or at the largest?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, far=lambda a, b: -(b @ a.T)),
     "A long vector has a large product with many others. Is it near them?"),
    (lambda fit, shown, k: _nearby(fit, shown, k, first=1),
     "The nearest question of `fit` is left out. Is it the question itself?"),
    (lambda fit, shown, k: _nearby(fit, shown, k + 1),
     "How many neighbours did you take?"),
    (lambda fit, shown, k: k * _nearby(fit, shown, k),
     "Is the score a mean over the neighbours, or a sum?"),
    (lambda fit, shown, k: np.sign(_nearby(fit, shown, k)),
     "A score puts questions in an order. What is left of it when only its sign is kept?"),
    (lambda fit, shown, k: _nearby(fit, shown, k,
                                   far=lambda a, b: abs(b[:, None] - a[None]).sum(axis=2)),
     "Is the distance the square root of a sum of squares?"),
    (lambda fit, shown, k: np.full(len(shown[0]), np.mean(fit[1][:, 1] - fit[1][:, 0])),
     "Do all questions have the same neighbours?"),
)  # fmt: skip


def _halves():
    """(fit, shown, k): each half has points (n, d) and correct (n, 2), the weak model first."""
    rng = draws(1)
    for stored, new, d, k in ((12, 3, 2, 3), (60, 20, 3, 7), (40, 40, 5, 1)):
        halves = []
        for n in (stored, new):
            points = rng.normal(size=(n, d)) + 0.5
            weak = rng.random(n) < 1 / (1 + np.exp(2 * points[:, 0]))
            strong = rng.random(n) < 0.7
            halves.append((points, np.stack([weak, strong], axis=1) * 1.0))
        yield *halves, k


def _about_score(at, fit, shown, k) -> str:
    near = np.argsort(_far(fit[0], shown[0])[at[0]])[:k].tolist()
    which = near if len(near) < 5 else [*near[:4], "…"]
    listed = ", ".join(map(str, which))
    return (
        f"question {at[0]} of `shown` has as its {k} nearest of `fit` the questions {listed}; its"
        " score"
    )


check_neighbour_scores = Check(
    """Check a function that scores questions by their nearest neighbours.

    It takes ``(fit, shown, k)``. `fit` and `shown` are pairs of points (n, d) and correct (n, 2),
    the weak model first. It returns a score for each question of `shown`: over the k questions of
    `fit` at the smallest Euclidean distance, by how much the strong model is right more often.
    """,
    cases=_halves,
    parts=[
        Part(
            "a score",
            _nearby,
            NEIGHBOUR_MISTAKES,
            _about_score,
            asked="{} numbers, one for each question of `shown`",
        )
    ],
    success="neighbours from `fit` only, and the difference of the two models",
)
