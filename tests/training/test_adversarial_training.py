"""Adversarial pairs in training: each seed as if alone, steps as if never stopped, what breaks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid  # noqa: E402

from ensemble_lab.training import GAN, Ring, WassersteinGAN, modes_covered  # noqa: E402
from ensemble_lab.training.adversarial.training import Training  # noqa: E402

SMALL = {"steps": 30, "record_every": 10, "batch_size": 16, "hidden": (8, 8), "progress": False}
SMALL |= {"dtype": "float64", "seeds": (3, 7, 5)}
KINDS = [GAN, WassersteinGAN]
X = Ring().sample(200, rng=0)


def small(kind=GAN, **settings):
    return kind(**SMALL | settings)


def of_seed(pairs, i):
    return [w[i] for of in pairs.networks() for w in of]


def close(one, other, rtol=1e-9, atol=1e-11):
    for w, v in zip(one, other, strict=True):
        torch.testing.assert_close(w, v, rtol=rtol, atol=atol)


# -- seeds, steps and averages ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_seed_learns_what_it_learns_alone(kind):
    together = small(kind).fit(X)
    for i, seed in enumerate(together.seeds):
        alone = small(kind, seeds=[seed]).fit(X)
        for one, other in zip(together.states, alone.states, strict=True):
            close(of_seed(one, i), of_seed(other, 0))
        assert np.allclose(together.generator_losses[:, [i]], alone.generator_losses, 1e-9)
        assert np.allclose(together.sample(9, 1)[i], alone.sample(9, 1)[0], 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_more_goes_on_as_if_it_had_not_stopped(kind):
    whole, parts = small(kind).fit(X), small(kind, steps=7, record_every=3).fit(X).more(23)
    assert whole.steps == parts.steps == 30 and parts.last.step == 30
    assert [state.step for state in parts.states[:4]] == [0, 3, 6, 7]
    for one, other in zip(whole.last.networks(), parts.last.networks(), strict=True):
        assert all(map(torch.equal, one, other))
    assert np.array_equal(whole.discriminator_losses, parts.discriminator_losses)


def test_an_interruption_keeps_what_is_learned(monkeypatch):
    learn = Training.learn

    def interrupted(self, turns):
        if self.step == 13:
            raise KeyboardInterrupt
        return learn(self, turns)

    monkeypatch.setattr(Training, "learn", interrupted)
    trained = small().fit(X)
    assert trained.steps == trained.last.step == 13
    assert [state.step for state in trained.states] == [0, 10, 13]
    monkeypatch.setattr(Training, "learn", learn)
    for one, other in zip(trained.more(17).last.networks(), small().fit(X).last.networks()):
        close(one, other, 0, 0)


def test_training_needs_no_gradients_from_outside():
    with torch.no_grad():
        inside = small().fit(X)
    assert np.array_equal(inside.sample(3, 0), small().fit(X).sample(3, 0))


def test_average_weights_are_the_moving_average_of_all_states():
    trained = small(average=0.8, record_every=1).fit(X)
    expected = trained.states[0].generators
    for state in trained.states[1:]:
        expected = [0.8 * old + 0.2 * new for old, new in zip(expected, state.generators)]
        close(expected, state.averaged)
    assert not np.allclose(trained.sample(5, 0), trained.sample(5, 0, averaged=True))


def test_states_are_not_changed_by_going_on():
    trained = small().fit(X)
    before = trained.last
    first = before.sample(5, rng=0)
    trained.more(10)
    assert np.array_equal(before.sample(5, rng=0), first) and trained.last is not before


# -- beside plain PyTorch --------------------------------------------------------------------------


def module(weights, i):
    """A network of seed i as a plain module of its own."""
    layers = []
    for w, b in zip(weights[::2], weights[1::2]):
        layer = nn.Linear(w.shape[2], w.shape[1], dtype=w.dtype)
        layer.weight.data, layer.bias.data = w[i].detach().clone(), b[i, :, 0].detach().clone()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def papers_losses(how, discriminator, real, fake, share):
    """Losses of discriminator and generator as the papers write them, for rows (B, d)."""
    if isinstance(how, WassersteinGAN):
        between = share * real + (1 - share) * fake
        norms = torch.func.vmap(torch.func.grad(lambda x: discriminator(x)[0]))(between).norm(dim=1)
        apart = discriminator(fake).mean() - discriminator(real).mean()
        return apart + how.penalty * ((norms - 1) ** 2).mean()
    ones, cross = torch.ones(len(real), 1, dtype=real.dtype), binary_cross_entropy_with_logits
    return cross(discriminator(real), ones) + cross(discriminator(fake), 0 * ones)


@pytest.mark.parametrize(
    "how", [small(GAN), small(GAN, loss="minimax", n_critic=2), small(WassersteinGAN, penalty=10.0)]
)
def test_training_is_that_of_modules_and_papers_losses(how):
    training = Training(how, torch.as_tensor(X))
    start, i = training.pairs(), 1
    generator, discriminator = module(start.generators, i), module(start.discriminators, i)
    adam_g, adam_d = (
        torch.optim.Adam(net.parameters(), lr=rate, betas=how.betas)
        for net, rate in ((generator, how.generator_rate), (discriminator, how.discriminator_rate))
    )
    for turns, _ in zip(training.turns(), range(5)):
        for real, noise, share in turns:
            fake = generator(noise[i].T)
            adam_d.zero_grad()
            loss = papers_losses(how, discriminator, real[i].T, fake.detach(), share[i].T)
            loss.backward()
            adam_d.step()
        score = discriminator(fake)
        adam_g.zero_grad()
        if isinstance(how, WassersteinGAN):
            rise = -score.mean()
        elif how.loss == "minimax":
            rise = torch.log(1 - score.sigmoid()).mean()
        else:
            rise = -logsigmoid(score).mean()
        rise.backward()
        adam_g.step()
        found = training.learn(turns)
        close([found[0][i], found[1][i]], [loss.detach(), rise.detach()], 1e-8)
    end = training.pairs()
    for weights, net in ((end.generators, generator), (end.discriminators, discriminator)):
        for mine, theirs in zip(module(weights, i).parameters(), net.parameters()):
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


def test_turns_read_rows_of_the_data_by_seed_and_step_alone():
    read = []
    for seeds in ((3, 7), (7,)):
        training = Training(small(seeds=seeds, n_critic=2), torch.as_tensor(X))
        turns = []
        for training.step in (19, 20):  # the last of a block of random numbers, and the next
            turns += next(training.turns())
        read.append(torch.stack([turn.real[-1] for turn in turns]))
    assert torch.equal(*read)
    assert len(read[0].unique(dim=0)) == 4  # another batch in each turn
    rows = read[0].mT.reshape(-1, 2).tolist()
    assert {tuple(row) for row in rows} <= {tuple(row) for row in X}


# -- what breaks -----------------------------------------------------------------------------------


def test_a_seed_that_becomes_nan_is_named_and_keeps_what_it_learned():
    trained, right = small(steps=20).fit(X), small(steps=40).fit(X)
    kept = [w.clone() for w in of_seed(trained.last, 1)]
    trained._training.generators[0].data[1, 0, 0] = torch.nan
    with pytest.warns(UserWarning, match="seed 7: .* NaN or infinite in step 20; .* of step 20"):
        trained.more(20)
    assert trained.stopped == {7: 20} and trained.last.step == 40
    close(of_seed(trained.last, 1), kept, 0, 0)
    for i in (0, 2):  # the others go on as if nothing had happened
        close(of_seed(trained.last, i), of_seed(right.last, i))
    assert np.isnan(trained.discriminator_losses[20:, 1]).all()
    assert np.isfinite(trained.discriminator_losses[:20]).all()
    assert np.isfinite(trained.sample(10, 0)).all() and np.isfinite(trained.last.score(X)).all()


def test_data_that_overflow_are_refused_and_learning_that_does_is_told():
    with pytest.raises(ValueError, match=r"1e\+40, which float32 does not hold: scale X"):
        small(dtype="float32").fit(1e40 * X / abs(X).max())
    with pytest.warns(UserWarning, match=r"Use lower rates than \(1e\+200"):
        trained = small(generator_rate=1e200, discriminator_rate=1e200).fit(X)
    assert set(trained.stopped) == {3, 5, 7} and trained.steps == 10
    assert trained.more(5).steps == trained.last.step == 10  # nothing is left to train
    assert np.isfinite(trained.sample(10, 0)).all()


def test_a_discriminator_that_is_always_right_is_told():
    slow = {"generator_rate": 1e-9, "discriminator_rate": 0.03, "hidden": (16,)}
    with pytest.warns(UserWarning, match="seeds 3, 7, 5 are right about nearly every row"):
        small(steps=300, **slow).fit(X + 20)
    small(WassersteinGAN, steps=100, **slow).fit(X + 20)  # a critic is never right or wrong


def test_equal_rows_are_told_and_learned():
    with pytest.warns(UserWarning, match="all 3 rows of X are equal"):
        trained = small(steps=2).fit([[1.0], [1.0], [1.0]])
    assert trained.sample(4).shape == (3, 4, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_a_row_and_a_column(kind):
    trained = small(kind, batch_size=1, n_critic=1, hidden=(), latent=1).fit(X[:, :1])
    assert trained.steps == 30 and np.isfinite(trained.generator_losses).all()
    assert trained.sample(1).shape == (3, 1, 1) and trained.last.score([[0.0]]).shape == (3, 1)


# -- samples ---------------------------------------------------------------------------------------


def test_a_mixture_takes_each_sample_from_one_generator():
    trained = small().fit(X)
    mixed = trained.last.mixture(3000, rng=5)
    rng = np.random.default_rng(5)
    whose = rng.integers(3, size=3000)
    assert np.array_equal(mixed, trained.sample(3000, rng)[whose, np.arange(3000)])
    assert abs(np.bincount(whose) / 3000 - 1 / 3).max() < 0.05


def test_samples_and_scores_are_those_of_modules():
    trained = small().fit(X)
    z = np.random.default_rng(0).standard_normal((6, 2))
    for i in range(3):
        generator, critic = (module(of, i) for of in trained.last.networks()[:2])
        with torch.no_grad():
            expected = generator(torch.as_tensor(z)).numpy(), critic(torch.as_tensor(X))[:, 0]
        assert np.allclose(trained.sample(6, rng=0)[i], expected[0])
        assert np.allclose(trained.last.score(X)[i], expected[1])


@pytest.mark.slow
def test_seeds_of_a_plain_gan_lose_modes_that_wasserstein_keeps():
    ring = Ring(sd=0.1)

    def covered(kind, steps):
        samples = kind(steps=steps, progress=False).fit(ring.sample(10_000, rng=0)).sample(2500, 0)
        return [modes_covered(rows, ring.centres, ring.sd).covered for rows in samples]

    assert min(covered(GAN, 500)) <= 3 and min(covered(WassersteinGAN, 1000)) >= 6
