"""A target and a draft on this device: acceptance, costs, and what they were really worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import shown
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.settings import number
from ensemble_lab.tokens.decode import Generation, decode
from ensemble_lab.tokens.lengths import speedup

if TYPE_CHECKING:
    from ensemble_lab.models.language import LanguageModel


@dataclass(frozen=True)
class Pair:
    """What was measured of a target and a draft.

    Parameters
    ----------
    gamma : int
        Drafted tokens a round.
    alpha : float
        Accepted over examined drafted tokens; NaN where nothing was drafted.
    c, v : float
        Seconds of a draft step and of a verification, in plain steps.
    speedup : float
        Plain decode time over this one's for as many tokens, the median over the prompts.
    low, high : float
        The least and the most of the prompts.
    """

    gamma: int
    alpha: float
    c: float
    v: float
    speedup: float
    low: float
    high: float

    @property
    def formula(self) -> float:
        """The speedup that the formula has for this alpha, gamma, c and v."""
        return float(speedup(self.alpha, self.gamma, self.c, self.v))


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
    Each round counts the median of all rounds that verified as many tokens, so that another
    program's moment does not count. The prompt's reading is left out on both sides.
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
    """Acceptance (alpha) of one or several generations: accepted over examined drafted tokens."""
    alone = isinstance(generations, Generation)
    rounds = list(_rounds([generations] if alone else generations))
    examined = sum(min(r.accepted + 1, len(r.proposed)) for r in rounds)
    return sum(r.accepted for r in rounds) / examined if examined else float("nan")


def pair_of(values: Pair | Mapping[str, float]) -> Pair:
    """A pair, or one from a mapping with at least ``alpha`` and ``c``.

    Raises
    ------
    ValueError
        A value that is missing, unknown or out of its range.
    """
    if isinstance(values, Pair):
        return values
    if not isinstance(values, Mapping):
        raise ValueError(f"{shown(values)} is no pair; give a mapping with alpha and c")
    known = {"gamma": 4, "v": 1.0, "speedup": float("nan")} | dict(values)
    known = {"low": known["speedup"], "high": known["speedup"]} | known
    try:
        pair = Pair(**known)
    except TypeError as error:
        why = shown(str(error).removeprefix("Pair.__init__() "))
        raise ValueError(f"{shown(dict(values))} is no pair ({why}); give alpha and c") from None
    for name in ("alpha", "c", "v", "gamma"):
        number(getattr(pair, name), name)
    if not (0 <= pair.alpha <= 1 and pair.c >= 0 and pair.v > 0 and pair.gamma >= 1):
        raise ValueError(
            f"{shown(dict(values))} is no pair: alpha lies in [0, 1], c from 0 up, v above 0,"
            " gamma from 1 up"
        )
    return pair


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
