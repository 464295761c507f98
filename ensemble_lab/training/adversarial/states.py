"""Pairs of generator and discriminator as they were after some step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.training.adversarial.networks import Weights, forward
from ensemble_lab.training.adversarial.rows import checked_rows, generator_of
from ensemble_lab.training.another_output.rules import count

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pairs:
    """Generators and discriminators of m seeds after one step of training.

    Parameters
    ----------
    step : int
        How many steps they had learned.
    seeds : (m,) tuple of int
    generators, discriminators : list of tensors
        Weights W (m, out, in) and b (m, out, 1) of each layer in turn.
    averaged : list of tensors
        Moving averages of the generators' weights.
    """

    step: int
    seeds: tuple[int, ...]
    generators: Weights
    discriminators: Weights
    averaged: Weights

    def sample(self, n: int, rng=None, averaged: bool = False) -> np.ndarray:
        """Samples (m, n, d) of all generators, which read the same noise.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator or int, optional
            One seed, one result.
        averaged : bool
            Use the averaged weights.
        """
        noise = generator_of(rng).standard_normal((count(n, "n"), self.latent))
        return self.of_noise(noise, averaged)

    def of_noise(self, noise, averaged: bool = False) -> np.ndarray:
        """Samples (m, n, d) for noise (n, latent)."""
        noise = checked_rows(noise, "noise", columns=self.latent)
        return self._outputs(self.averaged if averaged else self.generators, noise)

    def mixture(self, n: int, rng=None, averaged: bool = False) -> np.ndarray:
        """Samples (n, d) of the ensemble: each is by one generator, drawn at random.

        A mode that one of the generators has lost may be another's.
        """
        rng = generator_of(rng)
        whose = rng.integers(len(self.seeds), size=count(n, "n"))
        return self.sample(n, rng, averaged)[whose, np.arange(n)]

    def score(self, X) -> np.ndarray:
        """What each discriminator says of rows X (n, d): (m, n).

        Logits of a GAN, so that D(x) = 1 / (1 + exp(-score)); a Wasserstein critic's own numbers.
        """
        return self._outputs(self.discriminators, checked_rows(X, "X", columns=self.columns))[
            ..., 0
        ]

    def networks(self) -> tuple[Weights, Weights, Weights]:
        """Generators, discriminators and averaged generators."""
        return self.generators, self.discriminators, self.averaged

    @property
    def latent(self) -> int:
        """How many numbers of noise a generator reads."""
        return self.generators[0].shape[-1]

    @property
    def columns(self) -> int:
        """d, the columns of a row."""
        return self.discriminators[0].shape[-1]

    def _outputs(self, weights: Weights, x: np.ndarray) -> np.ndarray:
        import torch

        some: Tensor = weights[0]
        x = some.new_tensor(x.T).expand(len(some), -1, -1)  # (m, in, n)
        with torch.no_grad():
            return forward(weights, x).mT.cpu().numpy()
