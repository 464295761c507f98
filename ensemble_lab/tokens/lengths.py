"""How many tokens to draft: a fixed number, or the number that is fastest by measurements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.models.settings import whole

FORGET = 0.97  # factor for the weight of a measurement a round later
NEARLY_FREE = 0.06  # a draft token that takes less than this share of a plain step
RETRY = 16  # rounds after which a draft that does not pay is tried again
# Until the lengths have varied, each drafted token adds two per cent to a verification.
SLOPE = np.array([[1.0, 0.0], [0.02, 1.0]])  # from (base, rest) to (base, slope)
FLAT = np.diag([1e-6, 50.0])  # how strongly the rest is held at 0
TRUST = 2.0  # measurements of one length that count as much as the line through all


def speedup(alpha: float, gamma: int | np.ndarray, c: float, v: float = 1.0):
    """Speedup over plain decoding: (1 - alpha^(gamma+1)) / ((1 - alpha)(gamma c + v)).

    Parameters
    ----------
    alpha : float
        Chance that a drafted token is accepted, in [0, 1].
    gamma : int or array of int
        Draft length, from 0 up.
    c, v : float or array
        Cost of a draft step, from 0 up, and of a verification, above 0, in plain steps.

    Raises
    ------
    ValueError
        A value out of its range.

    References
    ----------
    Leviathan, Kalman and Matias, 2023, theorem 3.8 (there v = 1).
    """
    check_range("alpha", alpha, 0, 1)
    check_range("c", c, 0)
    check_range("v", v, 1e-9)
    lengths = np.asarray(gamma)
    if lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise ValueError(f"gamma={shown(gamma)}; it takes whole numbers from 0 up")
    return tokens_a_round(alpha, lengths) / (lengths * c + v)


def check_range(name: str, value, low: float, high: float = np.inf) -> None:
    """Raise `ValueError` unless all of `value` are finite numbers from `low` to `high`."""
    values = np.asarray(value)
    numbers = values.dtype.kind in "iuf" and np.isfinite(values).all()
    if not numbers or (values < low).any() or (values > high).any():
        span = f"numbers from {low:g}" + ("" if np.isinf(high) else f" to {high:g}")
        raise ValueError(f"{name}={shown(value)}; it takes {span}")


def tokens_a_round(alpha: float, gamma: int | np.ndarray):
    """Expected tokens of a round: 1 + alpha + … + alpha^gamma."""
    gamma = np.asarray(gamma)
    if alpha == 1:
        return gamma + 1.0
    return (1 - alpha ** (gamma + 1.0)) / (1 - alpha)


def best_gamma(alpha: float, c: float, v: float = 1.0, most: int = 64) -> int:
    """The draft length up to `most` with the largest `speedup`; 0 where drafting does not pay.

    Raises
    ------
    ValueError
        A value out of its range.
    """
    if whole(most, "most") < 0:
        raise ValueError(f"most={shown(most)}; it takes whole numbers from 0 up")
    lengths = np.arange(most + 1)
    gains = speedup(alpha, lengths, c, v)
    gains[0] = 1.0  # a plain step
    return int(gains.argmax())


@dataclass
class FixedLength:
    """Always `gamma` tokens.

    Raises
    ------
    ValueError
        Fewer than one token, or not a whole number.
    """

    gamma: int
    as_chain = False  # a draft that can propose trees does

    def __post_init__(self):
        if whole(self.gamma, "gamma") < 1:
            raise ValueError(f"gamma={self.gamma} drafts nothing; use 1 or more, or draft=None")

    @property
    def most(self) -> int:
        return self.gamma

    def ask(self) -> int:
        """How many tokens the draft is asked for."""
        return self.gamma

    def keep(self, kinds: Sequence[int]) -> int:
        """How many of a row's drafted tokens are verified."""
        return len(kinds)

    def learn(self, kinds, stayed, k: int, draft: float, verify: float) -> None:
        """Nothing to learn."""


class AdaptiveLength:
    """The number of tokens that pays, by the acceptance and the seconds measured so far.

    A draft may distinguish kinds of tokens (the length of a match, the length of a table's
    context); each kind has its own running acceptance. Expected tokens over measured seconds
    decide. Seconds are a line through all measurements, and more and more those of the length
    itself: some kernels read four tokens in nearly the time of three, and five in far more. Where
    no length pays, nothing is drafted.

    Parameters
    ----------
    most : int
        The most tokens to draft.
    """

    as_chain = False

    def __init__(self, most: int = 10):
        if whole(most, "most") < 1:
            raise ValueError(f"most={most} drafts nothing; use 1 or more, or draft=None")
        self.most = most
        self.trials = defaultdict(lambda: np.array([1.0, 2.0]))  # accepted and verified, by kind
        self.moments = np.zeros((2, 2)), np.zeros(2)  # of verification: of (1, k), with seconds
        self.lengths = np.zeros((2, most + 1))  # measurements, and their seconds, by length
        self.drafting = np.zeros(2)  # seconds, drafted tokens
        self.idle = 0  # rounds since the draft was last used

    def ask(self) -> int:
        """How many tokens the draft is asked for; 0 where it costs more than it gains.

        Now and then it is tried again, as the text may have changed.
        """
        each = self.drafting[0] / max(self.drafting[1], 1.0)
        if each < NEARLY_FREE * self._seconds(0):
            return self.most  # `keep` decides after the proposal
        best = self._best([0] * self.most, each)
        self.idle = 0 if best else self.idle + 1
        return best if best or self.idle % RETRY else 1

    def keep(self, kinds: Sequence[int]) -> int:
        """How many of a row's drafted tokens are verified: those that are worth their time."""
        return self._best(kinds, 0.0)

    def learn(self, kinds, stayed, k: int, draft: float, verify: float) -> None:
        """Learn from a round of k verified tokens: kinds and accepted ones by row, and seconds."""
        for row, many in zip(kinds, stayed, strict=True):
            for place, kind in enumerate(row[: many + 1]):  # none after the first rejected one
                self.trials[kind] = FORGET * self.trials[kind] + (place < many, 1.0)
        x = np.array([1.0, k])
        square, product = self.moments
        self.moments = FORGET * square + np.outer(x, x), FORGET * product + x * verify
        self.lengths *= FORGET
        self.lengths[:, k] += 1.0, verify
        if k:
            self.drafting = FORGET * self.drafting + (draft, k)

    def _seconds(self, k):
        """Seconds to verify k drafted tokens: a line, and the measurements of that length."""
        square, product = self.moments
        base, slope = SLOPE @ np.linalg.solve(SLOPE.T @ square @ SLOPE + FLAT, SLOPE.T @ product)
        line = np.maximum(base + max(slope, 0.0) * np.asarray(k), 1e-9)
        many, seconds = self.lengths[:, k]
        return (seconds + TRUST * line) / (many + TRUST)

    def _best(self, kinds: Sequence[int], each: float) -> int:
        """The length with the most expected tokens a second; drafting a token takes `each`."""
        rates = [stayed / examined for stayed, examined in (self.trials[kind] for kind in kinds)]
        tokens = 1 + np.concatenate([[0.0], np.cumprod(rates)]).cumsum()
        lengths = np.arange(len(tokens))
        return int((tokens / (self._seconds(lengths) + each * lengths)).argmax())
