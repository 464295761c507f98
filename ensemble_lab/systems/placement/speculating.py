"""Speculation over a link: several tokens share one round trip."""

from __future__ import annotations

import math

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.inputs import is_finite, positive


def seconds_per_token(
    verify: float, round_trip: float, draft: float = 0.0, tokens: float = 1.0
) -> float:
    """Mean seconds for a token where a round of drafting and checking crosses a link once.

    ``(draft + verify + round_trip) / tokens``. Without speculation a round gives one token and no
    time goes into the draft: the compute of one token and a round trip.

    Parameters
    ----------
    verify : float
        Seconds in which the target reads a draft, over all stages.
    round_trip : float
        Seconds on the link in a round, there and back.
    draft : float
        Seconds in which the draft is written.
    tokens : float
        Mean tokens that a round gives, from 1 up: the accepted ones and the target's own.

    Raises
    ------
    ValueError
        A negative time, or less than one token a round.

    References
    ----------
    Leviathan, Kalman and Matias, Fast inference from transformers via speculative decoding, ICML
    2023.

    Examples
    --------
    >>> round(seconds_per_token(0.025, round_trip=0.050), 6)
    0.075
    >>> round(seconds_per_token(0.030, round_trip=0.050, draft=0.004, tokens=2.1), 6)
    0.04
    """
    verify, draft = positive(verify, "verify", " s"), positive(draft, "draft", " s", zero=True)
    round_trip = positive(round_trip, "round_trip", " s", zero=True)
    if not is_finite(tokens) or not 1 <= tokens < math.inf:
        raise ValueError(f"tokens={shown(tokens)}; a round gives at least its own one token")
    return (draft + verify + round_trip) / float(tokens)
