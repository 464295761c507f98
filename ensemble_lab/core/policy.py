"""`Policy`: a rule for which models to ask and which answer to give.

A policy is written once, as array arithmetic over recorded outcomes (`choose`), and is replayed on
tables (`decide`) and run on live models (`ensemble_lab.run`) without change.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any, Self

import numpy as np

from ensemble_lab.core.decision import Choice, Decision, graded
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.frozen import settled
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import check_outcomes


def ranged(default: Any, low: float, high: float, help: str, step: float | None = None):
    """A dataclass field that declares its range, so that a slider can be built from it.

    The range applies to the value itself, or to every number inside a tuple or mapping.
    """
    about = {"low": low, "high": high, "step": step, "help": help}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Policy(ABC):
    """A frozen dataclass: its fields are its settings and, after `fit`, what it learned.

    Subclasses define `choose`, and `waves` where they ask models one after another.
    """

    def __post_init__(self):
        for f in fields(self):
            # A caller's dict that changes later must not change the policy.
            object.__setattr__(self, f.name, settled(getattr(self, f.name)))
            value = getattr(self, f.name)
            if "low" not in f.metadata or (value is None and f.default is None):
                continue
            # A field that is one number by default is one number.
            for number in (value,) if isinstance(f.default, Real) else _numbers(value):
                _check_range(self, f, number)

    def fit(self, outcomes: Outcomes) -> Self:
        """A fitted copy. Policies that learn nothing return themselves."""
        return self

    @abstractmethod
    def choose(self, outcomes: Outcomes) -> Choice:
        """Which models to ask and which answer to give, for every item; see `Choice`.

        `outcomes` come without `correct` and `truth`. In a live run a model not yet asked is
        absent, and a policy asks for it by marking it as called.
        """

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Models in the order of asking: those of one tuple are asked together."""
        return (tuple(models),)

    def decide(self, outcomes: Outcomes, *, parallel: bool = True) -> Decision:
        """Replay the policy on recorded outcomes.

        Parameters
        ----------
        outcomes : Outcomes
            n items by m models. `correct` and `truth` are used only for grading.
        parallel : bool
            Whether models asked together run at the same time: then the slowest one's latency
            counts, else the sum.

        Returns
        -------
        Decision
        """
        check_outcomes(outcomes)
        # Blinded: a policy that looks at the right answers sees NaN.
        choice = self.choose(outcomes.blinded())
        waves = tuple(tuple(outcomes.columns(wave)) for wave in self.waves(outcomes.models))
        return graded(choice, outcomes, waves, parallel)

    def sweep(self, outcomes: Outcomes, grid: Mapping[str, Sequence]) -> dict:
        """Columns for every combination in `grid`; policies with a faster way override it."""
        return replay_grid(self, outcomes, grid)


def replay_grid(policy: Policy, outcomes: Outcomes, grid: Mapping[str, Sequence]) -> dict:
    """Columns for every combination in `grid`, one replay each."""
    rows = []
    for values in itertools.product(*grid.values()):
        tried = replace(policy, **dict(zip(grid, values, strict=True)))
        decision = tried.decide(outcomes)
        rows.append(
            {name: getattr(tried, name) for name in grid}
            | {
                "accuracy": decision.accuracy,
                "coverage": decision.coverage,
                "cost": decision.mean_cost,
                "latency": decision.mean_latency,
                "calls": float(decision.called.sum(axis=1).mean()),
                "graded": int((~np.isnan(decision.correct)).sum()),
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def model_names(values, what: str) -> tuple[str, ...]:
    """The model names in the field `what`, each once and in order.

    Raises
    ------
    ValueError
        No name, one string, a name twice, or a value that `several` does not read as a list.
    """
    if isinstance(values, str):
        raise ValueError(f"{what}={shown(values)}; give a tuple of at least one model name")
    names = tuple(several(values, what))
    if not names:
        raise ValueError(f"{what}=(); give a tuple of at least one model name")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"{what} holds {shown(name)}, which is not a model name: names are text"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{what}={shown(names)} names a model twice; name each once")
    return names


def _numbers(value):
    """Every number in a value, a tuple of values or a mapping to values."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def _check_range(policy: Policy, f, number) -> None:
    low, high = f.metadata["low"], f.metadata["high"]
    name = f"{type(policy).__name__}.{f.name}"
    try:
        value = math.nan if isinstance(number, str | bytes) else float(number)
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value) and not isinstance(number, float):
        raise ValueError(f"{name} is {shown(number)}; it takes numbers from {low} to {high}")
    if math.isnan(value) or not low <= value <= high:
        percent = value / 100
        hint = f" (did you mean {percent:g}?)" if high <= 2 and high < value <= 100 else ""
        raise ValueError(f"{name} is {shown(number)}, outside {low} to {high}{hint}")
