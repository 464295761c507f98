"""A bandit that learns the best cut while it works: muLinUCB of the Autodidactic Neurosurgeon."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.placement.given import row, table
from ensemble_lab.systems.simulator.inputs import positive, share, whole


class MuLinUCB:
    """Chooses a cut for each frame, and learns from how long the rest took behind the cut.

    The seconds behind cut p are supposed to be ``context[p] @ theta`` with an unknown theta. Ridge
    regression estimates it, and the cut with the least optimistic total is taken:
    ``front[p] + context[p] @ theta - alpha * sqrt((1 - weight) * context[p] @ A^-1 @ context[p])``.

    The last cut keeps all layers on the device. Its context is zero, so its seconds teach nothing
    about theta, and its own total never changes: plain LinUCB that once prefers the device stays
    there for ever, whatever becomes of the link. MuLinUCB forbids that cut in every
    ``horizon**mu``-th frame. All frames weigh the same, old ones too: it leaves the device soon
    after a change, and finds the best cut later.

    Parameters
    ----------
    front : sequence of float, (n,)
        Seconds on the device before each cut, known beforehand.
    context : array, (n, d)
        What decides the time behind each cut, such as bytes and operations; the last row is zero.
    horizon : int
        How many frames will come.
    mu : float, optional
        From 0 to 1; None is plain LinUCB. The paper bounds the regret best for 0.25.
    alpha : float
        Seconds of optimism for an uncertainty of one.
    ridge : float
        Strength of the regression's prior; A begins as this times the identity.

    Attributes
    ----------
    theta : numpy.ndarray, (d,)
        The estimate so far.

    Raises
    ------
    ValueError
        Shapes that do not fit, a last row that is not zero, a setting out of its range.

    References
    ----------
    Zhang, Chen and Xu, Autodidactic Neurosurgeon: collaborative deep inference for mobile edge
    intelligence via online learning, The Web Conference 2021.

    Examples
    --------
    >>> bandit = MuLinUCB(front=[0.0, 2.0], context=[[1.0], [0.0]], horizon=100)
    >>> bandit.choose()
    0
    >>> bandit.learn(0, seconds=30.0)
    >>> bandit.choose()
    1
    """

    def __init__(self, front, context, *, horizon: int, mu: float | None = 0.25,
                 alpha: float = 1.0, ridge: float = 1.0):  # fmt: skip
        self.front = row(front, "front")
        self.context = table(context, "context")
        if len(self.context) != len(self.front):
            raise ValueError(
                f"context has shape {self.context.shape}; give a row for each of the"
                f" {len(self.front)} cuts"
            )
        if len(self.front) < 2:
            raise ValueError("front has one cut; give the device alone and at least one other")
        if self.context[-1].any():
            raise ValueError(
                f"the last row of context is {shown(self.context[-1])}; it is the device alone,"
                " with nothing behind the cut, so give zeros"
            )
        frames = whole(horizon, "horizon")
        # The rounds between two forced ones; 0 for never.
        self.every = 0 if mu is None else max(1, round(frames ** share(mu, "mu")))
        self.alpha = positive(alpha, "alpha", zero=True)
        self.frame = 0
        self._a = positive(ridge, "ridge") * np.eye(self.context.shape[1])  # (d, d)
        self._b = np.zeros(self.context.shape[1])  # (d,)

    @property
    def theta(self) -> np.ndarray:
        """The estimate so far."""
        return np.linalg.solve(self._a, self._b)

    def choose(self, weight: float = 0.0) -> int:
        """The cut for the next frame.

        Parameters
        ----------
        weight : float
            How much the frame matters, from 0 to 1; nothing is tried out on a frame of weight 1.

        Raises
        ------
        ValueError
            Another weight.
        """
        weight = share(weight, "weight")
        self.frame += 1
        width = np.einsum("pd,dp->p", self.context, np.linalg.solve(self._a, self.context.T))
        total = self.front + self.context @ self.theta
        total -= self.alpha * np.sqrt((1 - weight) * width)
        forced = self.every and self.frame % self.every == 0
        return int(np.argmin(total[:-1] if forced else total))

    def learn(self, cut: int, seconds: float) -> None:
        """Take in how long everything behind the cut took: link and server together.

        Raises
        ------
        ValueError
            No cut of that number, or no time.
        """
        cut, seconds = whole(cut, "cut", 0), positive(seconds, "seconds", zero=True)
        if cut >= len(self.front):
            raise ValueError(f"cut={cut}; give a cut from 0 to {len(self.front) - 1}")
        x = self.context[cut]
        self._a += np.outer(x, x)
        self._b += x * seconds
