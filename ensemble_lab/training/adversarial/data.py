"""Data on which adversarial pairs are looked at: Gaussians on a ring, small digits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.datasets import load_digits

from ensemble_lab.core.errors import shown
from ensemble_lab.training.adversarial.rows import generator_of
from ensemble_lab.training.another_output.rules import count
from ensemble_lab.training.inputs.targets import numbers


@dataclass(frozen=True)
class Ring:
    """Equally likely Gaussians whose centres are even on a circle around 0.

    Parameters
    ----------
    modes : int
        How many Gaussians.
    radius : float
        Of the circle.
    sd : float
        Standard deviation of each Gaussian in both directions.

    Raises
    ------
    ValueError
        No mode; a radius or standard deviation that is not finite and above 0.

    References
    ----------
    Metz et al., Unrolled generative adversarial networks, ICLR 2017; Srivastava et al., VEEGAN,
    NeurIPS 2017 (the ring of eight as a test of mode collapse).

    Examples
    --------
    >>> Ring(4).centres.round(6).tolist()
    [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [-0.0, -2.0]]
    >>> Ring().sample(500, rng=0).shape
    (500, 2)
    """

    modes: int = 8
    radius: float = 2.0
    sd: float = 0.02

    def __post_init__(self):
        count(self.modes, "modes")
        for name in ("radius", "sd"):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                raise ValueError(f"{name}={shown(value)}: use a finite number above 0")

    @property
    def centres(self) -> np.ndarray:
        """Centres (modes, 2), counter-clockwise from (radius, 0)."""
        turn = 2 * np.pi * np.arange(self.modes) / self.modes
        return self.radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)

    def sample(self, n: int, rng=None) -> np.ndarray:
        """Rows (n, 2); `rng` is a numpy Generator or its seed."""
        rng = generator_of(rng)
        which = rng.integers(self.modes, size=count(n, "n"))
        return self.centres[which] + self.sd * rng.standard_normal((n, 2))

    def density(self, x) -> np.ndarray:
        """The probability density (…) at points x (…, 2), per unit of area.

        Raises
        ------
        ValueError
            Points of other than two numbers.
        """
        x = numbers(x, "x", "give points of two numbers").astype(float)
        if x.shape[-1:] != (2,):
            raise ValueError(f"x has shape {shown(x.shape)}: give points of two numbers (…, 2)")
        squares = ((x[..., None, :] - self.centres) ** 2).sum(-1) / self.sd**2  # (…, modes)
        return np.exp(-squares / 2).mean(-1) / (2 * np.pi * self.sd**2)


def small_digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels.

    Returns
    -------
    X : (1797, 64) array
        Brightness, from -1 (dark) to 1.
    y : (1797,) array of int
        The digits.
    """
    X, y = load_digits(return_X_y=True)
    return X / 8 - 1, y
