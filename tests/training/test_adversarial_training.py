"""Adversarial pairs in training: each seed as if alone, steps as if never stopped, what breaks."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ensemble_lab.training import GAN, Ring, WassersteinGAN  # noqa: E402

KINDS = [GAN, WassersteinGAN]
SMALL = {"steps": 30, "record_every": 10, "batch_size": 16, "hidden": (8, 8), "progress": False}
X = Ring().sample(200, rng=0)


def small(kind=GAN, **settings):
    return kind(**SMALL | {"dtype": "float64", "seeds": (3, 7, 5)} | settings)


def weights(pairs, i):
    return [w[i] for of in (pairs.generators, pairs.discriminators, pairs.averaged) for w in of]


@pytest.mark.parametrize("kind", KINDS)
def test_each_seed_learns_what_it_learns_alone(kind):
    together = small(kind).fit(X)
    for i, seed in enumerate(together.seeds):
        alone = small(kind, seeds=[seed]).fit(X)
        for one, other in zip(together.states, alone.states):
            for w, v in zip(weights(one, i), weights(other, 0)):
                torch.testing.assert_close(w, v, rtol=1e-9, atol=1e-11)
        assert np.allclose(together.generator_losses[:, [i]], alone.generator_losses, 1e-9)
        assert np.allclose(together.sample(9, 1)[i], alone.sample(9, 1)[0], 1e-9)
