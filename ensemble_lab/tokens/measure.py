"""Measures how quick a pair of target and draft is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any

from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.tokens.decode import Generation, decode

if TYPE_CHECKING:
    from ensemble_lab.models.language import LanguageModel
from ensemble_lab.tokens.pairs import Pair


def measure_pair(
    target: LanguageModel, prompts: Sequence, draft, gamma: int, **settings: Any
) -> Pair:
    """Decode every prompt plainly and with the draft, one after the other, and compare.

    Parameters
    ----------
    target, draft, gamma
        As in `decode`.
    prompts
        As in `decode`; each is decoded alone.
    **settings
        As in `decode`, the same for both.

    Raises
    ------
    ModelError, ValueError
        As in `decode`.

    Notes
    -----
    Each round counts as the median of all rounds that verified as many tokens, so a pause by
    another program does not count. Reading the prompt is left out on both sides.
    """
    both = [
        (decode(target, one, **settings), decode(target, one, draft, gamma=gamma, **settings))
        for one in read_prompts(prompts)[0]
    ]
    plain, drafted = (list(side) for side in zip(*both, strict=True))
    step = _middle(r.verify + r.host for r in _rounds(plain))
    full = [r for r in _rounds(drafted) if len(r.proposed) == gamma] or list(_rounds(drafted))
    gains = [a / b for a, b in zip(_a_token(plain), _a_token(drafted), strict=True)]
    return Pair(
        gamma,
        acceptance(drafted),
        _middle(r.draft / max(len(r.proposed), 1) for r in full) / step,
        _middle(r.verify + r.host for r in full) / step,
        median(gains),
        min(gains),
        max(gains),
    )


def acceptance(generations: Generation | Iterable[Generation]) -> float:
    """Acceptance (alpha) of one or several generations: accepted tokens over verified ones."""
    alone = isinstance(generations, Generation)
    rounds = list(_rounds([generations] if alone else generations))
    examined = sum(min(r.accepted + 1, len(r.proposed)) for r in rounds)
    return sum(r.accepted for r in rounds) / examined if examined else float("nan")


def _a_token(generations: Sequence[Generation]) -> list[float]:
    """Seconds a token of each generation, by the median of rounds of each length."""
    taken = defaultdict(list)
    for r in _rounds(generations):
        taken[len(r.proposed)].append(r.draft + r.verify + r.host)
    typical = {k: median(seconds) for k, seconds in taken.items()}
    return [
        sum(typical[len(r.proposed)] for r in one.rounds) / len(one.tokens) for one in generations
    ]


def _rounds(generations: Iterable[Generation]):
    return chain.from_iterable(one.rounds for one in generations)


def _middle(values: Iterable[float]) -> float:
    return median(list(values))
