"""GANs of several seeds on a ring of eight Gaussians: in our one batch, and in a loop."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import softplus

from ensemble_lab.training import GAN, Ring, modes_covered
from ensemble_lab.training.batched.threads import threads_for

RING = Ring(sd=0.1)
ROWS, SAMPLES = 10_000, 2_500
# With these, all seeds of both sides reach all modes in 500 steps.
BETAS, DISCRIMINATOR_RATE = (0.0, 0.9), 3e-3


@dataclass(frozen=True)
class Pairs:
    """How many seeds learn, and for how long."""

    members: int = 5
    steps: int = 500

    def ours(self, first):
        """Trained in one batch, with average weights and states; modes that each seed covers."""
        how = GAN(
            seeds=range(first, first + self.members),
            steps=self.steps,
            betas=BETAS,
            discriminator_rate=DISCRIMINATOR_RATE,
            device="cpu",
            progress=False,
        )
        return covered(how.fit(RING.sample(ROWS, rng=0)).sample(SAMPLES, rng=first))

    def loop(self, first):
        """One after another, by modules and `backward`, without averages and states."""
        how, X = GAN(), torch.as_tensor(RING.sample(ROWS, rng=0), dtype=torch.float32)
        with threads_for(0):  # one thread: these steps are too small to share
            samples = [self._learn(how, X, seed) for seed in range(first, first + self.members)]
        return covered(samples)

    def _learn(self, how, X, seed):
        torch.manual_seed(seed)
        generator, discriminator = network(how.latent, how.hidden, 2), network(2, how.hidden, 1)
        both = (generator, how.generator_rate), (discriminator, DISCRIMINATOR_RATE)
        of_generator, of_discriminator = (
            torch.optim.Adam(net.parameters(), lr=rate, betas=BETAS, fused=True)
            for net, rate in both
        )
        for _ in range(self.steps):
            real = X[torch.randint(len(X), (how.batch_size,))]
            fake = generator(torch.randn(how.batch_size, how.latent))
            scores = discriminator(torch.cat([real, fake.detach()]))
            on_real, on_fake = scores.chunk(2)
            of_discriminator.zero_grad()
            (softplus(-on_real).mean() + softplus(on_fake).mean()).backward()
            of_discriminator.step()
            of_generator.zero_grad()
            discriminator.requires_grad_(False)  # its gradients are not needed here
            softplus(-discriminator(fake)).mean().backward()
            discriminator.requires_grad_(True)
            of_generator.step()
        with torch.no_grad():
            return generator(torch.randn(SAMPLES, how.latent)).numpy()


def network(inputs, hidden, outputs):
    sizes, layers = [inputs, *hidden], []
    for some, more in pairwise(sizes):
        layers += [nn.Linear(some, more), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


def covered(samples):
    """How many of the ring's modes each seed's samples cover."""
    return [modes_covered(rows, RING.centres, RING.sd).covered for rows in samples]
