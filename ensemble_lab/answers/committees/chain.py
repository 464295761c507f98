"""LLM chain ensembles: each link keeps the share of items of which it is surest.

Confidences of different models mean different things, so only their ranks are compared: `fit`
learns each link's confidences, and a new item is placed among them. So one item can be decided
alone, as in a live run.

References
----------
Farr, Manzonelli, Cruickshank, Starbird and West, LLM Chain Ensembles for Scalable and Accurate Data
Annotation, arXiv 2410.13006.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ensemble_lab.answers.cascades.cascade import replied
from ensemble_lab.core.decision import ABSTAINED, Choice, or_unparsed
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy, model_names, ranged
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.scales import finite_confidence

LEVELS = 101  # quantiles kept of each link's confidences


@dataclass(frozen=True)
class ChainEnsemble(Policy):
    """Passes items down a chain of models; each link keeps a fixed share by rank of confidence.

    The answer is that of the link, among those asked, in whose confidences the item ranks highest;
    a tie goes to the later link. A link without a readable answer or confidence passes the item on.
    Where nothing has a rank the latest answer counts; where no reply could be read the first one
    does, and is wrong.

    Parameters
    ----------
    order : tuple of str
        The links; usually from cheap to expensive.
    keep : tuple of float, one shorter than `order`, optional
        The share that each link keeps of the items that reach it. By default every link ends with
        the same share of all items: 1/3 and 1/2 for three links. Items of equal confidence stay
        together, so a link may keep more.
    quantiles : tuple of tuples, optional
        Learned by `fit`: 101 quantiles of each link's confidences in the items that reach it.
    """

    order: tuple[str, ...]
    keep: tuple[float, ...] | None = ranged(None, 0.0, 1.0, "share that each link keeps", 0.05)
    quantiles: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "order", model_names(self.order, "order"))
        links = len(self.order)
        if self.keep is None:
            keep = tuple(1 / (links - j) for j in range(links - 1))
            object.__setattr__(self, "keep", keep)
        elif not isinstance(self.keep, tuple | list) or len(self.keep) != links - 1:
            raise ValueError(
                f"keep={shown(self.keep)} for {links} links; every link except the last has a"
                f" share, so give a tuple of {links - 1}"
            )
        super().__post_init__()

    def fit(self, outcomes: Outcomes) -> Self:
        """Learn which confidences rank where. The right answers are not looked at.

        Raises
        ------
        ValueError
            No confidence, or a link of which no confidence is known.
        """
        check_outcomes(outcomes)
        columns = outcomes.columns(self.order)
        sure = finite_confidence(outcomes, "ChainEnsemble", columns)
        running, learned = np.ones(len(outcomes), bool), []
        for link, column in enumerate(columns):
            mine = np.where(replied(outcomes, column), sure[:, link], np.nan)
            known = ~np.isnan(mine)
            if not known.any():
                raise ValueError(
                    f"no confidence of {shown(self.order[link], 60)} is known here; record some, or"
                    " leave the link out"
                )
            # Where no item reaches the link, those of all items stand in.
            seen = mine[known & running] if (known & running).any() else mine[known]
            learned.append(tuple(np.quantile(seen, np.linspace(0, 1, LEVELS)).tolist()))
            if link < len(self.keep):
                running &= ~(_rank(mine, learned[-1]) >= 1 - self.keep[link])
        return replace(self, quantiles=tuple(learned))

    def waves(self, models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return tuple((name,) for name in self.order)

    def choose(self, outcomes: Outcomes) -> Choice:
        if self.quantiles is None:
            raise ValueError("this ChainEnsemble is not fitted; call fit(outcomes) first")
        columns = outcomes.columns(self.order)
        sure = finite_confidence(outcomes, "ChainEnsemble", columns)
        called = np.zeros(outcomes.correct.shape, bool)
        running = np.ones(len(outcomes), bool)
        chosen, highest = np.full(len(outcomes), ABSTAINED), np.full(len(outcomes), -1.0)
        for link, column in enumerate(columns):
            called[:, column] = running
            answered = running & replied(outcomes, column)
            rank = _rank(sure[:, link], self.quantiles[link])  # NaN without a confidence
            better = answered & ~(rank < highest) & ~(np.isnan(rank) & (highest >= 0))
            chosen = np.where(better, column, chosen)
            highest = np.where(better & ~np.isnan(rank), rank, highest)
            if link < len(self.keep):
                running &= ~(answered & (rank >= 1 - self.keep[link]))
        return Choice(or_unparsed(chosen, outcomes, columns), called)


def _rank(confidence: np.ndarray, quantiles) -> np.ndarray:
    """Share (n,) of a link's confidences that lie below, in [0, 1]; NaN without a confidence."""
    return np.interp(confidence, quantiles, np.linspace(0, 1, len(quantiles)))
