"""Recorded training of adversarial pairs on a ring of eight Gaussians.

`recipes/record_pairs.py` trained them. Kept are, for each of five seeds and at some steps, samples
of the generator, the field of the discriminator, and how many modes are covered; and both losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ensemble_lab.catalogue import data_folder

FILE = "ring.npz"
# How a pair learns: the method, and its settings where they are not the defaults.
KINDS = {
    "non-saturating": ("GAN", {}),
    "minimax": ("GAN", {"loss": "minimax"}),
    "WGAN-GP, penalty 0.1": ("WassersteinGAN", {}),
    "WGAN-GP, penalty 10": ("WassersteinGAN", {"penalty": 10.0}),
}
RATIOS = (0.3, 1.0, 3.0)  # of the discriminator's learning rate over the generator's
SEEDS = range(5)
STEPS = (0, 50, 100, 200, 300, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000)
EVERY = 20  # steps of which a recorded loss is the mean
LAST = 5  # recorded losses of which the one that is told is the mean
SHOWN, JUDGED = 100, 2500  # samples that are drawn, and samples that are judged
EDGE, CELLS = 3.0, 21  # the field reaches from -3 to 3, with so many cells a side
SCALE = 10_000  # coordinates are whole numbers of 1/10000


@dataclass(frozen=True, eq=False)
class Recorded:
    """Five seeds of one setting; T states of each."""

    samples: np.ndarray  # (5, T, n, 2)
    field: np.ndarray  # (5, T, CELLS, CELLS) from 0 (generated) to 1 (real), upwards
    modes: np.ndarray  # (5, T) covered by 2,500 samples
    good: np.ndarray  # (5, T) share of these that lie within 3 sd of a centre
    losses: np.ndarray  # (5, 2, STEPS[-1] / EVERY) of discriminator and generator
    critic: bool  # whether the discriminator gives a score instead of a probability

    def losses_at(self, step: int) -> np.ndarray:
        """Losses (5, 2), means of the 100 steps up to there; of the first ones at step 0."""
        end = max(1, -(-step // EVERY))
        return self.losses[:, :, max(0, end - LAST) : end].mean(2)

    @property
    def chance(self) -> float:
        """The loss of a discriminator that tells nothing apart."""
        return 0.0 if self.critic else float(np.log(4))


@cache
def held() -> dict[str, np.ndarray]:
    """All arrays of the file; their first axes are kinds, ratios and seeds."""
    with np.load(data_folder() / "adversarial" / FILE, allow_pickle=False) as file:
        return dict(file)


def centres() -> np.ndarray:
    """Centres (8, 2) of the modes."""
    return held()["centres"]


@cache
def recorded(kind: str, ratio: float) -> Recorded:
    """The pairs of a setting."""
    at = list(KINDS).index(kind), RATIOS.index(ratio)
    found = {name: held()[name][at] for name in ("samples", "field", "modes", "good", "losses")}
    return Recorded(
        found["samples"] / SCALE,
        found["field"] / 255,
        found["modes"].astype(int),
        found["good"] / JUDGED,
        found["losses"].astype(float),
        critic=kind.startswith("WGAN"),
    )
