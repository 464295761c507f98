"""The loop in which discriminators and generators of several seeds learn in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ensemble_lab.training.adversarial.networks import Weights, forward, initial
from ensemble_lab.training.adversarial.states import Pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ensemble_lab.training.adversarial.gan import Adversarial

BLOCK = 20  # steps whose random numbers are drawn at once


class Turn(NamedTuple):
    """What one step of m discriminators reads."""

    real: Tensor  # (m, d, B)
    noise: Tensor  # (m, latent, B)
    share: Tensor  # (m, 1, B), uniform in [0, 1): where between real and fake rows


class Training:
    """Generators and discriminators of m seeds in training.

    Step t of a seed reads what that seed and t alone decide: neither the other seeds nor an
    interruption changes what a seed learns.
    """

    def __init__(self, how: Adversarial, X: Tensor):
        import torch

        self.how, self.X, self.step = how, X, 0
        rngs = [np.random.default_rng((seed, 0)) for seed in how.seeds]
        hidden, columns = list(how.hidden), X.shape[1]
        self.generators = initial([how.latent, *hidden, columns], rngs, X)
        self.discriminators = initial([columns, *hidden, 1], rngs, X)
        self.averaged = [w.detach().clone() for w in self.generators]

        def adam(weights: Weights, rate: float) -> torch.optim.Optimizer:
            # Each number is updated on its own, so one optimiser steps for all seeds.
            return torch.optim.Adam(weights, lr=rate, betas=how.betas, fused=True)

        self.generator_adam = adam(self.generators, how.generator_rate)
        self.discriminator_adam = adam(self.discriminators, how.discriminator_rate)

    def turns(self) -> Iterator[list[Turn]]:
        """The turns of each step from now on: as many as a step trains the discriminator."""
        import torch

        how, (n, _) = self.how, self.X.shape
        shape = BLOCK, how.n_critic
        while True:
            block, first = divmod(self.step, BLOCK)
            drawn = []
            for seed in how.seeds:
                rng = np.random.default_rng((seed, 1, block))
                rows = rng.integers(n, size=(*shape, how.batch_size))
                noise = rng.standard_normal((*shape, how.latent, how.batch_size))
                drawn.append((rows, noise, rng.random((*shape, 1, how.batch_size))))
            rows, noise, share = (np.stack(of, axis=2) for of in zip(*drawn, strict=True))
            real = self.X[torch.as_tensor(rows, device=self.X.device)].mT.contiguous()
            noise, share = self.X.new_tensor(noise), self.X.new_tensor(share)
            for t in range(first, BLOCK):
                yield [Turn(real[t, i], noise[t, i], share[t, i]) for i in range(how.n_critic)]

    def learn(self, turns: list[Turn]) -> tuple[Tensor, Tensor]:
        """One step: losses (m,) of discriminators and generators before their last update."""
        import torch

        for real, noise, share in turns:
            # 1. The generators write as many samples as there are real rows.
            fake = forward(self.generators, noise)  # (m, d, B)
            # 2. The discriminators learn to tell the two apart; the generators stand still.
            loss = self.how.discriminator_loss(
                self.discriminators, real, fake.detach(), share
            )  # (m,)
            update(self.discriminator_adam, self.discriminators, loss)
        # 3. The generators learn to raise the scores of these samples; the discriminators stand
        #    still.
        score = forward(self.discriminators, fake)[:, 0]  # (m, B)
        rise = self.how.generator_loss(score)  # (m,)
        update(self.generator_adam, self.generators, rise)
        # 4. The average follows.
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.generators, 1 - self.how.average)
        self.step += 1
        return loss.detach(), rise.detach()

    def pairs(self) -> Pairs:
        """The networks as they are now, copied."""
        kept = ([w.detach().clone() for w in of] for of in self.networks())
        return Pairs(self.step, self.how.seeds, *kept)

    def networks(self) -> tuple[Weights, Weights, Weights]:
        return self.generators, self.discriminators, self.averaged


def update(optimiser: torch.optim.Optimizer, weights: Weights, loss: Tensor) -> None:
    """One step down the losses (m,); a seed's gradient is of its own loss alone."""
    optimiser.zero_grad()
    # `backward` lays gradients out as the weights are, as fused Adam needs; `autograd.grad` does
    # not. It leaves all other weights without a gradient.
    loss.sum().backward(inputs=weights)
    optimiser.step()
