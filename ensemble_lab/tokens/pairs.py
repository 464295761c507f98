"""A target and a draft on this device: acceptance, costs, and the measured speedup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ensemble_lab.core.errors import shown
from ensemble_lab.models.settings import number
from ensemble_lab.tokens.lengths import speedup


@dataclass(frozen=True)
class Pair:
    """Measurements of a target and a draft.

    Parameters
    ----------
    gamma : int
        Drafted tokens a round.
    alpha : float
        Accepted tokens over verified ones; NaN where nothing was drafted.
    c, v : float
        Seconds of a draft step and of a verification, in plain steps.
    speedup : float
        Plain decode time over decode time with the draft for as many tokens, the median over the
        prompts.
    low, high : float
        The smallest and the largest over the prompts.
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
        """The speedup by the formula for this alpha, gamma, c and v."""
        return float(speedup(self.alpha, self.gamma, self.c, self.v))


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
        raise ValueError(f"{shown(values)} is not a pair; give a mapping with alpha and c")
    known = {"gamma": 4, "v": 1.0, "speedup": float("nan")} | dict(values)
    known = {"low": known["speedup"], "high": known["speedup"]} | known
    try:
        pair = Pair(**known)
    except TypeError as error:
        why = shown(str(error).removeprefix("Pair.__init__() "))
        raise ValueError(f"{shown(dict(values))} is not a pair ({why}); give alpha and c") from None
    for name in ("alpha", "c", "v", "gamma"):
        number(getattr(pair, name), name)
    if not (0 <= pair.alpha <= 1 and pair.c >= 0 and pair.v > 0 and pair.gamma >= 1):
        raise ValueError(
            f"{shown(dict(values))} is not a pair: alpha lies in [0, 1], c from 0 up, v above 0,"
            " gamma from 1 up"
        )
    return pair
