"""Cascades: ask a small model first, and the next one only where it is not confident.

Every stage that was called costs money and time, whichever stage gives the final answer.

References
----------
Viola and Jones, Rapid object detection using a boosted cascade, CVPR 2001.
Chen, Zaharia and Zou, FrugalML, NeurIPS 2020; FrugalGPT, arXiv 2305.05176.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from numbers import Real

import numpy as np

from ensemble_lab.core.decision import ABSTAINED, Choice, or_unparsed
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names, ranged
from ensemble_lab.core.required import require
from ensemble_lab.core.scales import check_scales

Threshold = float | Mapping[Hashable, float]


@dataclass(frozen=True)
class Cascade(Policy):
    """Ask the models in `order`; stop at the first that is confident enough.

    A stage answers where its confidence reaches its threshold and defers below it: threshold 0
    never defers, one above 1 always does. A stage also defers where its confidence is missing, or
    where thresholds go by label and its label has none. A reply without a parsed answer cannot stop
    the cascade. Where the last stage has no answer either, the latest answer counts; where no reply
    could be read at all, the first reply counts, and is wrong. In a table without answers every
    model that was asked is taken to have replied.

    Parameters
    ----------
    order : tuple of str
        Model names, one a stage.
    thresholds : tuple, one shorter than `order`
        A number, or a mapping of label to number where each label has its own.
    abstain : tuple of float, one a stage, optional
        Early abstention: a confidence below it ends the cascade without an answer, so that
        hopeless items are not paid for twice (Zellinger, Liu and Thomson, arXiv 2502.09054).

    Raises
    ------
    ValueError
        The wrong number of thresholds, NaN or out of range; thresholds for "0" where the label is
        0; a model twice; no confidence, or one outside [0, 1].
    KeyError
        A model that the outcomes do not have.

    Warns
    -----
    UserWarning
        No label of the outcomes has a threshold, so a stage never stops the cascade.

    Examples
    --------
    >>> from ensemble_lab.core.outcomes import Outcomes
    >>> table = Outcomes(models=["small", "big"], items=[0, 1], correct=[[1, 1], [0, 1]],
    ...                  confidence=[[0.9, 1], [0.4, 1]], cost=[[1, 10], [1, 10]])
    >>> decision = Cascade(("small", "big"), (0.5,)).decide(table)
    >>> decision.accuracy, decision.cost.tolist()
    (1.0, [1.0, 11.0])
    """

    order: tuple[str, ...]
    thresholds: tuple[Threshold, ...] = ranged((), 0.0, 2.0, "defer below this confidence", 0.01)
    abstain: tuple[float, ...] | None = ranged(
        None, 0.0, 2.0, "give up below this confidence", 0.01
    )

    def __post_init__(self):
        object.__setattr__(self, "order", model_names(self.order, "order"))
        for name in ("thresholds", "abstain"):
            object.__setattr__(self, name, _levels_of(getattr(self, name), name))
        stages = len(self.order)
        if len(self.thresholds) != stages - 1:
            raise ValueError(
                f"{len(self.thresholds)} thresholds for {stages} stages; every stage except the"
                f" last has one, so give {stages - 1}"
            )
        if self.abstain is not None and len(self.abstain) != stages:
            raise ValueError(f"abstain has {len(self.abstain)} entries; give one a stage, {stages}")
        super().__post_init__()

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return tuple((name,) for name in self.order)

    def choose(self, outcomes: Outcomes) -> Choice:
        columns = outcomes.columns(self.order)
        if len(columns) > 1 or self.abstain is not None:
            require(outcomes, "confidence", "Cascade")
            check_scales(outcomes, columns if self.abstain is not None else columns[:-1])
        running = np.ones(len(outcomes), bool)  # items that have not stopped yet
        chosen = np.full(len(outcomes), ABSTAINED)
        given_up = np.zeros(len(outcomes), bool)
        called = np.zeros(outcomes.correct.shape, bool)
        for stage, column in enumerate(columns):
            called[:, column] = running
            answered = running & replied(outcomes, column)
            chosen[answered] = column
            if self.abstain is not None:
                lost = answered & (outcomes.confidence[:, column] < self.abstain[stage])
                given_up |= lost
                running &= ~lost
            if stage < len(self.thresholds):
                level = _levels(self.thresholds[stage], outcomes, column)
                running &= ~(
                    answered & (outcomes.confidence[:, column] >= level)
                )  # NaN: not confident
        chosen = np.where(given_up, ABSTAINED, or_unparsed(chosen, outcomes, columns))
        return Choice(chosen, called)

    def sweep(self, outcomes: Outcomes, grid: Mapping[str, Sequence]) -> dict:
        """Every combination of threshold levels at once; see `ensemble_lab.frontier`."""
        from ensemble_lab.answers.cascades.sweep import sweep_thresholds

        levels = grid.get("thresholds", ())
        if not len(levels) or not all(isinstance(level, Real) for level in levels):
            return super().sweep(outcomes, grid)
        deferring = len(self.thresholds)
        if not deferring:
            raise ValueError("a cascade of one stage has no threshold; leave thresholds out")
        for level in levels:
            replace(self, thresholds=(level,) * deferring)  # refuses one out of range
        if set(grid) == {"thresholds"} and self.abstain is None:
            return sweep_thresholds(self.order, outcomes, np.asarray(levels, float))
        return super().sweep(
            outcomes, {**grid, "thresholds": list(product(levels, repeat=deferring))}
        )


def replied(outcomes: Outcomes, column: int) -> np.ndarray:
    """(n,) bool: the model gave a parsed answer; True where answers are not recorded."""
    if outcomes.answer is not None:
        return outcomes.answer[:, column] >= 0
    return np.ones(len(outcomes), bool)


def _levels_of(values, name: str) -> tuple | None:
    """A field of levels, one a stage, as a tuple; a number is one level."""
    if values is None or isinstance(values, Real):
        return None if values is None else (values,)
    return tuple(several(values, name))


def _levels(threshold: Threshold, outcomes: Outcomes, column: int):
    """The threshold of each item (n,): one for all, or that of the answer's label.

    NaN, which no confidence reaches, where there is no answer or its label has no threshold.
    """
    if not isinstance(threshold, Mapping):
        return threshold
    answer = require(outcomes, "answer", "a threshold for each label")[:, column]
    _check_labels(threshold, outcomes, column)
    by_code = np.array([*(threshold.get(label, np.nan) for label in outcomes.labels), np.nan])
    return by_code[np.maximum(answer, -1)]  # the last is for missing answers


def _check_labels(threshold: Mapping[Hashable, float], outcomes: Outcomes, column: int) -> None:
    """Refuse, or warn of, thresholds by label where no label of `outcomes` has one."""
    if not threshold or any(label in threshold for label in outcomes.labels):
        return
    spelt = {str(key): key for key in threshold}
    model = shown(outcomes.models[column], 40)
    for label in outcomes.labels:
        if str(label) in spelt:
            raise ValueError(
                f"the thresholds of {model} are for labels such as {shown(spelt[str(label)], 40)},"
                f" and the outcomes have {shown(label, 40)}: write them as the outcomes do"
            )
    if len(outcomes) > 1:  # a single item shows only its own labels
        known, given = shown(list(outcomes.labels), 60), shown(list(threshold), 60)
        warnings.warn(
            f"the thresholds of {model} are for labels {given}, and the outcomes have {known}: it"
            " never stops the cascade; give thresholds for labels of the outcomes",
            stacklevel=5,
        )
