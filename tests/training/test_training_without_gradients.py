"""Training where a notebook has switched gradients off: each trainer learns what it always does."""

from functools import partial

import numpy as np
import pytest
import torch

from ensemble_lab import training
from ensemble_lab.tokens import ParallelHeads, boost_tokens
from tests.support.toy_lm import toy

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
PROMPTS = [[1, 2, 3], [2, 3]] * 8
FEW = {"steps": 2, "seed": 0, "progress": False}
NETWORK = partial(training.perceptron, hidden=4)
CLASSIFIER = partial(training.NetworkClassifier, NETWORK, epochs=2, random_state=0)


def distilled():
    made = training.distil(toy(0), toy(1), PROMPTS, max_new_tokens=8, **FEW)
    return made.draft.model.lm_head.weight.detach().numpy()


def heads():
    made = ParallelHeads.fit(toy(0), PROMPTS, heads=2, max_new_tokens=8, **FEW)
    return np.concatenate([p.detach().numpy().ravel() for p in made.parameters()])


def boosted():
    made = boost_tokens(toy(0), [[1, 2, 3, 4], [2, 3, 1, 1]], rounds=1, **FEW)
    return made.combined().models[-1].model.lm_head.weight.detach().numpy()


TRAINERS = {
    "classifier": lambda: CLASSIFIER().fit(X, Y).predict_proba(X),
    "regressor": lambda: (
        training.NetworkRegressor(NETWORK, epochs=2, random_state=0).fit(X, X[:, 0]).predict(X)
    ),
    "experts": lambda: (
        training.ExpertsClassifier(epochs=2, random_state=0).fit(X, Y).predict_proba(X)
    ),
    "dual encoder": lambda: training.DualEncoder(epochs=2, random_state=0).fit(X, X).embed(X, 0),
    "gan": lambda: training.GAN(steps=2, progress=False).fit(X).sample(3, 0),
    "gan that goes on": lambda: (
        training.WassersteinGAN(steps=1, progress=False).fit(X).more(1).sample(3, 0)
    ),
    "draft": distilled,
    "heads": heads,
    "boosted tokens": boosted,
}


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", TRAINERS)
def test_it_learns_where_gradients_are_off(name, off):
    right = TRAINERS[name]()
    with off():
        found = TRAINERS[name]()
        assert not torch.is_grad_enabled()  # as before
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", TRAINERS)
def test_it_learns_where_numbers_are_doubles_by_default(name):
    torch.set_default_dtype(torch.float64)
    try:
        assert np.isfinite(TRAINERS[name]()).all()
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_warning_names_the_line_that_trains():
    with pytest.warns(UserWarning, match="all 40 rows of X are equal") as told:
        training.GAN(steps=1, progress=False).fit(X * 0)
    assert told[0].filename == __file__
