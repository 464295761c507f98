"""Notebook 03's checks refuse what people get wrong, written in other ways than the checks' own."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from ensemble_lab import metrics
from ensemble_lab.exercises.routing import check_apgr, check_neighbour_scores


def test_the_metric_of_the_package_passes():
    assert check_apgr(metrics.apgr)


def by_items(score, weak, strong, cuts=None, tied="together"):
    """PGR at every cut, by a loop over thresholds or over places: (share, PGR)."""
    order = sorted(range(len(score)), key=lambda i: -score[i])
    if tied == "together":
        sent = [np.zeros(len(score), bool), *(score >= t for t in sorted(set(score))[::-1])]
    else:
        sent = [np.isin(np.arange(len(score)), order[:k]) for k in range(len(score) + 1)]
    share = np.array([s.mean() for s in sent])
    right = np.array([np.where(s, strong, weak).mean() for s in sent])
    return share, right, (right - weak.mean()) / (strong.mean() - weak.mean())


def test_another_right_way_passes():
    def mine(score, weak, strong):
        share, _, recovered = by_items(score, weak, strong)
        return np.trapezoid(recovered, share)

    assert check_apgr(mine)


def left(x, y):
    return sum((b - a) * height for a, b, height in zip(x, x[1:], y, strict=False))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda s, w, b: metrics.apgr(-s, w, b), "high score or with a low one"),
        (lambda s, w, b: left(by_items(s, w, b)[0], by_items(s, w, b)[2]), "Which height"),
        (lambda s, w, b: by_items(s, w, b)[2].mean(), "equally far apart"),
        (lambda s, w, b: np.trapezoid(by_items(s, w, b, tied="")[2], dx=1 / len(s)),
         "Which of them is sent first"),
        (lambda s, w, b: np.trapezoid(by_items(s, w, b)[1] / b.mean(), by_items(s, w, b)[0]),
         "when nothing is sent"),
        (lambda s, w, b: np.trapezoid(by_items(s, w, b)[1], by_items(s, w, b)[0]),
         "under the accuracy"),
        (lambda s, w, b: metrics.apgr(s, w, b) * (b.mean() - w.mean()), "unit of your area"),
        (lambda s, w, b: metrics.apgr(s, w, b) + w.mean() / (b.mean() - w.mean()),
         "without any router"),
        (lambda s, w, b: metrics.apgr(s, 0 * w, b), "What is gained there"),
        (lambda s, w, b: metrics.apgr(s, w, b) - 0.5, "above that of a random order"),
        (lambda s, w, b: np.trapezoid(by_items(s, w, b)[2][1:-1], by_items(s, w, b)[0][1:-1]),
         "begin and end"),
        (lambda s, w, b: 0.5, "work out by hand: for the scores"),
        (lambda s, w, b: metrics.curve(s, w, b), "one number"),
        (lambda s, w, b: None, "one number"),
    ],
)  # fmt: skip
def test_wrong_areas_are_refused_with_their_hint(wrong, hint):
    verdict = check_apgr(wrong)
    assert not verdict
    assert hint in verdict.message


def asked(stored, new, k, correct, metric="euclidean"):
    """Mean correctness (new, 2) of the k nearest stored questions."""
    near = NearestNeighbors(n_neighbors=k, metric=metric).fit(stored[0]).kneighbors(new[0])[1]
    return correct[near].mean(axis=1)


def gap(rates):
    return rates[:, 1] - rates[:, 0]


def test_scikit_learns_neighbours_pass():
    assert check_neighbour_scores(lambda fit, shown, k: gap(asked(fit, shown, k, fit[1])))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda f, s, k: gap(asked(s, s, k, s[1])), "its own neighbour"),
        (lambda f, s, k: asked(f, s, k, f[1])[:, 1], "add to the weak one"),
        (lambda f, s, k: 1 - asked(f, s, k, f[1])[:, 0], "always right"),
        (lambda f, s, k: asked(f, s, k, f[1]).mean(axis=1), "mean of both"),
        (lambda f, s, k: -gap(asked(f, s, k, f[1])), "the better one"),
        (lambda f, s, k: gap(asked(f, s, k + 1, f[1])), "How many neighbours"),
        (lambda f, s, k: k * gap(asked(f, s, k, f[1])), "or a sum"),
        (lambda f, s, k: gap(asked(f, s, k, f[1], "manhattan")), "sum of squares"),
        (lambda f, s, k: gap(asked(f, s, len(f[0]), f[1])), "the same neighbours"),
        (lambda f, s, k: gap(f[1])[np.argsort(-s[0] @ f[0].T, axis=1)[:, :k]].mean(axis=1),
         "large product"),
        (lambda f, s, k: gap(f[1])[np.linalg.norm(s[0][:, None] - f[0], axis=2)
                                   .argsort(axis=1)[:, -k:]].mean(axis=1), "at the largest"),
        (lambda f, s, k: np.zeros(len(s[0])), "question 1 of `shown` has as its 3 nearest"),
        (lambda f, s, k: 0.5, "one for each question"),
    ],
)  # fmt: skip
def test_wrong_scores_are_refused_with_their_hint(wrong, hint):
    verdict = check_neighbour_scores(wrong)
    assert not verdict
    assert hint in verdict.message or hint in " ".join(verdict.more)


def test_the_nearest_question_is_not_left_out():
    def skips(fit, shown, k):
        near = NearestNeighbors(n_neighbors=k + 1).fit(fit[0]).kneighbors(shown[0])[1]
        return gap(fit[1])[near[:, 1:]].mean(axis=1)

    verdict = check_neighbour_scores(skips)
    assert not verdict and "is left out" in verdict.message
