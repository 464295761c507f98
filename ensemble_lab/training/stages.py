"""What all boosting shares: stages that are made one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from numbers import Real

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.settings import check_count
from ensemble_lab.training.networks import Network


def check_stages(n_estimators: int, learning_rate: float) -> None:
    """Refuse less than one stage, and steps that go nowhere or back.

    Raises
    ------
    ValueError
        The number or the rate, and what would do.
    """
    check_count(n_estimators, "n_estimators", "boosting takes 1 stage or more")
    if not isinstance(learning_rate, Real) or not 0 < learning_rate < np.inf:
        raise ValueError(f"learning_rate={shown(learning_rate)}: use a number above 0, such as 0.1")


def seeded(estimator, seed: Callable):
    """A copy of `estimator`; `seed()` gives each `random_state` of it and of its parts."""
    copy = clone(estimator)
    names = [name for name in sorted(copy.get_params()) if name.endswith("random_state")]
    return copy.set_params(**{name: seed() for name in names})


def fitted(member, X, y, **how):
    """Fit and return the member.

    A network takes an interrupt for the end of its own training, at the end of a pipeline too:
    here it goes on to the whole.
    """
    member.fit(X, y, **how)
    end = member[-1] if isinstance(member, Pipeline) else member
    if isinstance(end, Network) and len(end.members_.losses) < end.epochs:
        raise KeyboardInterrupt
    return member


def finished(stages: Iterator[tuple]) -> list[tuple]:
    """All stages, or those done when the keyboard interrupts; without any the interrupt goes on."""
    done = []
    try:
        for stage in stages:
            done.append(stage)
    except KeyboardInterrupt:
        if not done:
            raise
    return done


def last(staged: Iterator):
    """What comes after the last stage."""
    return deque(staged, maxlen=1).pop()
