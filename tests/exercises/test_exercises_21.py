"""The checks of notebook 21 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

from ensemble_lab.exercises.capstone import check_budgeted, check_optimism
from ensemble_lab.exercises.draws import drawn_with


def optimism(public, hidden, by="public", truth=None, mean=np.mean):
    """The exercise as a loop over splits and policies."""
    gaps = []
    for one, other in zip(public.tolist(), hidden.tolist(), strict=True):
        judged = one if by == "public" else other
        best = judged.index(max(judged))
        gaps.append(one[best] - (other[best] if truth is None else truth(one, other)))
    return mean(gaps)


def test_another_way_to_the_optimism_passes():
    assert check_optimism(optimism)
    with drawn_with(3):
        assert check_optimism(optimism)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda p, h: optimism(p, h, by="hidden"), "must have no say"),
        (lambda p, h: optimism(p, h, truth=lambda one, other: max(other)), "best on the hidden"),
        (lambda p, h: p.max() - h.max(), ""),
        (lambda p, h: optimism(p, h, truth=lambda one, other: np.mean(other)), "mean of all"),
        (lambda p, h: optimism(p, h, truth=lambda one, other: np.mean(one)), "had no say"),
        (lambda p, h: np.mean(p) - np.mean(h), "which is about 0"),
        (lambda p, h: -optimism(p, h), "promises too much"),
        (lambda p, h: optimism(p, h, mean=np.median), "a mean or a median"),
        (lambda p, h: (p - h)[:, p.mean(0).argmax()].mean(), "a winner of its own"),
        (lambda p, h: optimism(p, h, mean=lambda gaps: gaps[0]), "all splits"),
        (lambda p, h: 0.0, ""),
        (lambda p, h: None, "return"),
    ],
)
def test_wrong_optimisms_are_refused_with_their_hint(wrong, hint):
    verdict = check_optimism(wrong)
    assert not verdict and hint in verdict.message


def chosen(accuracy, cost, budget):
    """The exercise by sorting."""
    order = sorted(range(len(cost)), key=lambda i: (-accuracy[i], cost[i], i))
    return next((i for i in order if cost[i] <= budget), -1)


def test_another_way_to_the_choice_passes():
    assert check_budgeted(chosen)
    with drawn_with(3):
        assert check_budgeted(chosen)


def argmax(accuracy, cost, budget, able=np.less_equal, none=-1):
    """The first of the most accurate that are able."""
    able = able(cost, budget)
    return int(np.where(able, accuracy, -1).argmax()) if able.any() else none


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda a, c, b: int(np.argmax(a)), "keep the budget?"),
        (lambda a, c, b: chosen(a, np.where(c == b, b + 1, c), b), "exactly the budget"),
        (lambda a, c, b: chosen(a, np.nan_to_num(c), b), ""),
        (argmax, "equally accurate"),
        (lambda a, c, b: chosen(-c, c, b), "the cheapest. Is it"),
        (lambda a, c, b: chosen(a / c, c, b), "Accuracy a dollar"),
        (lambda a, c, b: chosen(c, c, b), "spend all"),
        (lambda a, c, b: max(chosen(a, c, b), 0), "no policy keeps"),
        (lambda a, c, b: 2, ""),
        (lambda a, c, b: None, "return"),
    ],
)
def test_wrong_choices_are_refused_with_their_hint(wrong, hint):
    verdict = check_budgeted(wrong)
    assert not verdict and hint in verdict.message
