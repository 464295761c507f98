"""What is known about a question before any model is asked, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.outcomes import Outcomes

EMBEDDING = "embedding_"  # the parts of one vector: they share one scale


def numeric_names(outcomes: Outcomes) -> tuple[str, ...]:
    """The features that are numbers, in the order of their names."""
    numeric = tuple(k for k, v in sorted(outcomes.features.items()) if _as_numbers(v) is not None)
    if not numeric:
        raise ValueError(
            "these outcomes have no numeric features to choose by; add feature:NAME columns"
            " or use a cascade, which needs none"
        )
    return numeric


def numbers(outcomes: Outcomes, name: str) -> np.ndarray:
    """A feature (n,) as numbers, NaN where it is not known."""
    check_known(name, outcomes.features, "feature", "outcomes")
    found = _as_numbers(outcomes.features[name])
    if found is None:
        text = next(v for v in outcomes.features[name].tolist() if not isinstance(v, Real | None))
        raise ValueError(
            f"feature {shown(name)} holds {shown(text)}: choose by a feature that is numbers"
        )
    return found


def _as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Numbers (n,) as floats, None among them as NaN; None where some are not numbers."""
    if values.dtype.kind in "iufb":
        return values.astype(float)
    known = [value for value in values.tolist() if value is not None]
    if not known or not all(isinstance(value, Real) for value in known):
        return None
    return np.array([np.nan if value is None else value for value in values.tolist()], float)


def gap(outcomes: Outcomes, name: str, values: np.ndarray) -> str:
    """The message for a feature that is not known for an item."""
    row = int(np.argmin(np.isfinite(values)))
    gone = "is not known" if np.isnan(values[row]) else f"is {values[row]:g}"
    return (
        f"feature {shown(name)} {gone} for item {shown(outcomes.items[row])}, so no model can be"
        " chosen by it: fill it in, or leave such items out"
    )


def complete(outcomes: Outcomes, name: str) -> np.ndarray:
    """A feature (n,) that is known for every item."""
    values = numbers(outcomes, name)
    if not np.isfinite(values).all():
        raise ValueError(gap(outcomes, name, values))
    return values


@dataclass(frozen=True, eq=False)
class Space:
    """Features as points (n, d), in the units of the items that it was learned on.

    The parts of an embedding keep their distances: they are divided by one number. Any other
    feature is divided by its own standard deviation. Groups follow as 0 and 1, one column each; an
    item of an unknown group has only 0 there.
    """

    names: tuple[str, ...]
    mean: np.ndarray = field(repr=False)
    spread: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, outcomes: Outcomes, names: Sequence[str] | None = None, groups=False) -> Space:
        """The named features, by default all numeric ones; with `groups` where they are known."""
        names = numeric_names(outcomes) if names is None else tuple(names)
        points = np.column_stack([complete(outcomes, name) for name in names])
        spread = points.std(axis=0)
        parts = np.array([name.startswith(EMBEDDING) for name in names])
        if parts.any():
            spread[parts] = np.sqrt(np.mean(spread[parts] ** 2))
        spread[spread == 0] = 1.0
        known = () if not groups or outcomes.group is None else _group_names(outcomes)
        return cls(names, points.mean(axis=0), spread, known)

    def points(self, outcomes: Outcomes) -> np.ndarray:
        """(n, d); a feature that is missing or has a gap is refused by name."""
        columns = [complete(outcomes, name) for name in self.names]
        points = (np.column_stack(columns) - self.mean) / self.spread
        if not self.groups:
            return points
        return np.hstack([points, one_hot(group_codes(outcomes, self.groups), len(self.groups))])


def embedding_names(outcomes: Outcomes) -> tuple[str, ...]:
    """The parts of the embedding, and all numeric features where there is none."""
    return tuple(n for n in sorted(outcomes.features) if n.startswith(EMBEDDING)) or numeric_names(
        outcomes
    )


def group_codes(outcomes: Outcomes, groups: tuple[str, ...]) -> np.ndarray:
    """Position (n,) of each item's group in `groups`, -1 where it is another or not known.

    Raises
    ------
    ValueError
        The outcomes have no groups at all.
    """
    if outcomes.group is None:
        raise ValueError(
            "these outcomes have no group, and this router was fitted with groups such as"
            f" {shown(groups[0])}: give each item its group, or fit without"
        )
    place = {group: code for code, group in enumerate(groups)}
    return np.array([place.get(group, -1) for group in outcomes.group.tolist()], int)


def _group_names(outcomes: Outcomes) -> tuple:
    return tuple(sorted({g for g in outcomes.group.tolist() if g is not None}, key=str))


def groups_of(outcomes: Outcomes) -> tuple:
    """The groups of these outcomes, or a `ValueError` where they have none."""
    if outcomes.group is None or not (names := _group_names(outcomes)):
        raise ValueError(
            "these outcomes have no groups to choose by; give each item one (a subject, a"
            " language), or use a router that reads features"
        )
    return names


def one_hot(codes: np.ndarray, k: int) -> np.ndarray:
    """(n, k) of 0 and 1; a negative code has only 0."""
    return (codes[:, None] == np.arange(k)).astype(float)
