"""Settings of a GAN and of a Wasserstein GAN: what their two networks learn from each other."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.models.gradients import trains
from ensemble_lab.training.adversarial import losses
from ensemble_lab.training.adversarial.networks import Weights, forward
from ensemble_lab.training.adversarial.rows import checked_rows
from ensemble_lab.training.another_output.rules import count

if TYPE_CHECKING:
    from torch import Tensor

    from ensemble_lab.training.adversarial.trained import Trained

GENERATOR_LOSSES = {
    "non-saturating": losses.non_saturating_loss,
    "minimax": losses.minimax_loss,
}


@dataclass(frozen=True, kw_only=True)
class Adversarial(ABC):
    """The settings that a GAN and a Wasserstein GAN share."""

    seeds: Iterable[int] = (0, 1, 2, 3, 4)
    steps: int = 2000
    batch_size: int = 64
    latent: int = 2
    hidden: tuple[int, ...] = (64, 64)
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.9)
    n_critic: int = 1
    average: float = 0.99
    record_every: int = 100
    dtype: str = "float32"
    device: str | None = None
    progress: bool = True

    # A discriminator with a lower loss, in nats, is right about nearly every row.
    certain_below: ClassVar[float | None] = None

    def __post_init__(self):
        seeds = tuple(checked_seed(seed) for seed in several(self.seeds, "seeds"))
        if not seeds or len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds={shown(seeds)}: give different ones, such as range(5)")
        hidden = self.hidden if isinstance(self.hidden, tuple | list) else (self.hidden,)
        object.__setattr__(self, "seeds", seeds)
        object.__setattr__(self, "hidden", tuple(count(units, "hidden") for units in hidden))
        for name in ("steps", "batch_size", "latent", "n_critic", "record_every"):
            object.__setattr__(self, name, count(getattr(self, name), name))
        for name in ("generator_rate", "discriminator_rate"):
            check_number(getattr(self, name), name, "a finite number above 0", above=0)
            object.__setattr__(self, name, float(getattr(self, name)))
        check_number(self.average, "average", "a number from 0 to below 1", below=1)
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ValueError(f"betas={shown(self.betas)}: give two numbers, such as (0.5, 0.9)")
        for beta in self.betas:
            check_number(beta, "betas", "numbers from 0 to below 1", below=1)
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))
        check_choice(self.dtype, "number format", ("float32", "float64"))

    @trains("adversarial training")
    def fit(self, X) -> Trained:
        """Train a pair of each seed on rows X (n, d).

        Interrupted by the keyboard, it keeps what is learned; `more` goes on from there.

        Parameters
        ----------
        X : (n, d) array
            Numbers around 1 in size, from -1 to 1 or standardised.

        Returns
        -------
        Trained

        Raises
        ------
        ValueError
            Rows that are not finite numbers, also in `dtype`.

        Warns
        -----
        UserWarning
            A seed's loss became NaN or infinite; discriminators that are always right; rows that
            are all equal.
        """
        import torch

        from ensemble_lab.models.device import pick_device
        from ensemble_lab.training.adversarial.trained import Trained
        from ensemble_lab.training.adversarial.training import Training

        X = checked_rows(X, "X")
        if (X == X[0]).all():
            warnings.warn(
                f"all {len(X)} rows of X are equal: the generators learn one point", stacklevel=3
            )
        rows = torch.as_tensor(X, dtype=getattr(torch, self.dtype), device=pick_device(self.device))
        if not rows.isfinite().all():
            raise ValueError(
                f"X goes up to {abs(X).max():.3g}, which {self.dtype} does not hold: scale X to"
                " numbers around 1"
            )
        return Trained(Training(self, rows)).more(self.steps)

    @abstractmethod
    def discriminator_loss(
        self, discriminators: Weights, real: Tensor, fake: Tensor, share: Tensor
    ) -> Tensor:
        """Losses (m,) for real and fake rows (m, d, B); `share` (m, 1, B) is for a penalty."""

    @abstractmethod
    def generator_loss(self, score: Tensor) -> Tensor:
        """Losses (m,) for the scores (m, B) of fake rows."""


@dataclass(frozen=True, kw_only=True)
class GAN(Adversarial):
    """Generators that learn to be taken for data by discriminators that learn to tell them apart.

    Both are small networks with ReLU units. A discriminator gives a row's logit of being real.

    Parameters
    ----------
    loss : {"non-saturating", "minimax"}
        What the generator learns from: -log D(G(z)), or log(1 - D(G(z))), whose gradient vanishes
        where the discriminator is sure.
    seeds : list of int
        m different seeds, each of a pair of its own. All are trained as one batch, and each learns
        what it would learn alone.
    steps : int
        In each, the discriminator is updated `n_critic` times, then the generator once.
    batch_size : int
        B, rows of an update, drawn with replacement.
    latent : int
        How many standard normal numbers a generator reads.
    hidden : tuple of int
        Units of the hidden layers of both networks.
    generator_rate, discriminator_rate : float
        Learning rates of Adam.
    betas : (float, float)
        Of Adam.
    n_critic : int
    average : float
        How much of a generator's average weights is kept in a step, in [0, 1).
    record_every : int
        Steps from one state that is kept to the next.
    dtype : {"float32", "float64"}
    device : str, optional
        A GPU where there is one.
    progress : bool
        Show a bar.

    Raises
    ------
    ValueError
        Seeds that are not different, or a setting out of its range.

    References
    ----------
    Goodfellow et al., Generative adversarial nets, NeurIPS 2014. Yazıcı et al., The unusual
    effectiveness of averaging in GAN training, ICLR 2019 (average weights).

    Examples
    --------
    >>> from ensemble_lab import GAN, Ring
    >>> trained = GAN(seeds=[0, 1], steps=20, record_every=10, progress=False).fit(
    ...     Ring().sample(1000, rng=0)
    ... )
    >>> trained.sample(500, rng=0).shape, [state.step for state in trained.states]
    ((2, 500, 2), [0, 10, 20])
    """

    loss: str = "non-saturating"

    certain_below: ClassVar[float | None] = 0.01

    def __post_init__(self):
        super().__post_init__()
        check_choice(self.loss, "loss", tuple(GENERATOR_LOSSES))

    def discriminator_loss(self, discriminators, real, fake, share):
        """Cross-entropy (m,) of real and fake rows."""
        return losses.discriminator_loss(*scores(discriminators, real, fake))

    def generator_loss(self, score):
        """The chosen loss (m,)."""
        return GENERATOR_LOSSES[self.loss](score)


@dataclass(frozen=True, kw_only=True)
class WassersteinGAN(Adversarial):
    """A GAN whose critics estimate how far the generated rows have to be moved (WGAN-GP).

    A critic learns scores that differ as much as they can between real and fake rows, with slopes
    near 1. The difference estimates the Wasserstein distance, and gives a slope where a
    discriminator's probability is flat.

    Parameters
    ----------
    penalty : float
        lambda, the weight of `gradient_penalty`, from 0: the papers have 10 for images and their
        code 0.1 for points in the plane.
    n_critic : int
        Updates of the critic in a step.
    **settings
        All others as in `GAN`; there is no `loss`.

    Raises
    ------
    ValueError
        Seeds that are not different, or a setting out of its range.

    References
    ----------
    Arjovsky, Chintala and Bottou, Wasserstein generative adversarial networks, ICML 2017. Gulrajani
    et al., Improved training of Wasserstein GANs, NeurIPS 2017.
    """

    n_critic: int = 3
    penalty: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        check_number(self.penalty, "penalty", "a finite number from 0 up")

    def discriminator_loss(self, discriminators, real, fake, share):
        """How much higher fake rows score than real ones, plus the penalty: (m,)."""
        on_real, on_fake = scores(discriminators, real, fake)
        between = (share * real + (1 - share) * fake).mT  # (m, B, d)
        slopes = losses.gradient_penalty(lambda x: forward(discriminators, x.mT)[:, 0], between)
        return on_fake.mean(-1) - on_real.mean(-1) + self.penalty * slopes

    def generator_loss(self, score):
        """The mean score (m,), with a minus."""
        return -score.mean(-1)


def scores(discriminators: Weights, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (m, B) of real and of fake rows (m, d, B), in one pass."""
    import torch

    return forward(discriminators, torch.cat([real, fake], -1))[:, 0].chunk(2, -1)


def check_number(value, what: str, kind: str, above=None, below=math.inf) -> None:
    """Refuse what is no number from 0 up, or not above `above`, or not below `below`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value < below or value == above:
        raise ValueError(f"{what}={shown(value)}: use {kind}")


def check_choice(value, what: str, known: tuple[str, ...]) -> None:
    """Refuse what is not one of the known words."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{what} {shown(value)}: use {' or '.join(map(shown, known))}")
