"""Adversarial pairs and what judges them: rows and settings in any form, and what is neither."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, quiet

torch = pytest.importorskip("torch")

ROWS = [[0.0, 1.0], [2.0, 3.0], [4.0, 4.0], [1.0, 0.0]]
KEEP = [list, np.array, np.float32, torch.tensor, pd.DataFrame, tuple]
KINDS = [lab.GAN, lab.WassersteinGAN]
# Not rows of finite numbers: people bring one dimension, gaps, text, images and nothing.
NO_ROWS = [None, "ab", 7, [], [1.0, 2.0], [[math.nan, 1.0]] * 9, [[math.inf, 1.0]] * 9, {"a": 1}]
NO_ROWS += [
    [["a", "b"]] * 9,
    np.zeros((9, 2, 2)),
    np.zeros((0, 2)),
    np.zeros((9, 0)),
    [[1j, 2]] * 9,
]
NO_COUNT = [0, -1, 1.5, True, "2", None, [2], math.nan]
NO_RATE = [0, -0.1, math.nan, math.inf, "0.1", None, True, [0.1]]


def small(kind=lab.GAN, **settings):
    few = {"seeds": [1, 2], "steps": 3, "batch_size": 4, "hidden": (4,), "progress": False}
    return kind(**few | settings)


@contract("GAN", "WassersteinGAN")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_in_any_form(kind):
    true = small(kind).fit(ROWS).sample(5, rng=0)
    for keep in KEEP:
        with quiet():
            assert np.array_equal(small(kind).fit(keep(ROWS)).sample(5, rng=0), true)


@contract("GAN", "WassersteinGAN")
def test_settings_of_numpy_are_numbers_and_seeds_any_list():
    numbers = {"steps": np.int64(3), "batch_size": np.uint8(4), "hidden": [np.int32(4)]}
    numbers |= {"generator_rate": np.float64(1e-3), "betas": [0, np.float32(0.9)], "average": 0}
    for seeds in (range(1, 3), np.array([1, 2]), (one for one in (1, 2)), pd.Series([1, 2])):
        how = small(seeds=seeds, **numbers)
        assert how.seeds == (1, 2) and hash(how) == hash(replace(how))
    assert how.fit(ROWS).sample(np.int64(2), np.random.default_rng(0)).shape == (2, 2, 2)
    assert small(hidden=7).hidden == (7,) and small(hidden=()).fit(ROWS).steps == 3


@contract("GAN", "WassersteinGAN")
def test_what_is_no_setting_is_refused():
    counts = ("steps", "batch_size", "latent", "n_critic", "record_every")
    rates = ("generator_rate", "discriminator_rate")
    seeds = [5, [], [1, 1], [0.5], [-1], "12", None, [True], {1, 2}, [None]]
    collected(
        {f"{name} {x!r}": lambda n=name, x=x: small(**{n: x}) for name in counts for x in NO_COUNT}
        | {f"{name} {x!r}": lambda n=name, x=x: small(**{n: x}) for name in rates for x in NO_RATE}
        | {f"seeds {x!r}": lambda x=x: small(seeds=x) for x in seeds}
        | {f"hidden {x!r}": lambda x=x: small(hidden=x) for x in [(0,), "ab", None, 1.5, (4, None)]}
        | {f"average {x!r}": lambda x=x: small(average=x) for x in [1, -0.1, "0", None, math.nan]}
        | {f"betas {x!r}": lambda x=x: small(betas=x) for x in [0.5, (1, 0.9), (0.5,), None, "ab"]}
        | {f"loss {x!r}": lambda x=x: small(loss=x) for x in ["wasserstein", None, 1, ["minimax"]]}
        | {f"dtype {x!r}": lambda x=x: small(dtype=x) for x in ["float16", None, torch.float64]}
        | {f"penalty {x!r}": lambda x=x: small(lab.WassersteinGAN, penalty=x)
           for x in [-1, math.nan, math.inf, None, "1", True]}
        | {f"device {x!r}": lambda x=x: small(device=x).fit(ROWS) for x in ["cuda:99", "tpu", 7.5]}
    )  # fmt: skip


@contract("GAN", "WassersteinGAN")
def test_what_is_no_rows_is_refused_before_and_after_training():
    trained = small().fit(ROWS)
    wide = [[1.0, 2.0, 3.0]]
    last, wrong = trained.last, [*NO_ROWS, wide]
    collected(
        {f"fit {i}": lambda x=x: small().fit(x) for i, x in enumerate(NO_ROWS)}
        | {f"score {i}": lambda x=x: last.score(x) for i, x in enumerate(wrong)}
        | {f"noise {i}": lambda x=x: last.of_noise(x) for i, x in enumerate(wrong)}
        | {f"sample {x!r}": lambda x=x: trained.sample(x) for x in NO_COUNT}
        | {f"mixture {x!r}": lambda x=x: last.mixture(x) for x in NO_COUNT}
        | {f"more {x!r}": lambda x=x: trained.more(x) for x in NO_COUNT}
        | {f"rng {x!r}": lambda x=x: trained.sample(2, x) for x in ["a", -1, 1.5, [None]]}
    )  # fmt: skip
    assert trained.steps == 3  # what was refused has changed nothing


@contract("modes_covered", "frechet_distance", "precision_recall")
def test_judges_take_rows_in_any_form():
    for keep in [*KEEP, pl.DataFrame]:
        with quiet():
            rows = keep(ROWS) if keep is not pl.DataFrame else pl.DataFrame(ROWS, orient="row")
            assert lab.modes_covered(rows, rows, 0.1).covered == 4
            assert lab.frechet_distance(rows, ROWS) < 1e-9
            assert lab.precision_recall(rows, ROWS, 1).precision == 1


@contract("modes_covered", "frechet_distance", "precision_recall")
def test_what_no_judge_can_read_is_refused():
    wide, calls = [[1.0, 2.0, 3.0]] * 4, {}
    judges = {
        "modes": lambda x, y: lab.modes_covered(x, y, 0.1),
        "frechet": lab.frechet_distance,
        "precision": lambda x, y: lab.precision_recall(x, y, 1),
    }
    for name, judge in judges.items():
        for i, x in enumerate([*NO_ROWS, wide]):
            calls[f"{name} {i} first"] = lambda f=judge, x=x: f(x, ROWS)
            calls[f"{name} {i} second"] = lambda f=judge, x=x: f(ROWS, x)
    one = [[1.0, 2.0]]
    calls |= {"one row": lambda: lab.frechet_distance(one, ROWS)}
    calls |= {"few real": lambda: lab.precision_recall(ROWS, ROWS * 2, 4)}
    calls |= {"few fake": lambda: lab.precision_recall(ROWS * 2, ROWS, 4)}
    calls |= {f"k {x!r}": lambda x=x: lab.precision_recall(ROWS, ROWS, x) for x in NO_COUNT}
    calls |= {f"sd {x!r}": lambda x=x: lab.modes_covered(ROWS, ROWS, x) for x in NO_RATE}
    collected(calls)


@contract("best_discriminator")
def test_distributions_come_in_any_form():
    for keep in (list, tuple, np.array, torch.tensor, pd.Series, pl.Series):
        with quiet():
            found = lab.best_discriminator(keep([0.5, 0.5]), keep([1.0, 0.0]))
        assert found.probability.tolist() == [1 / 3, 1.0]
    wrong = [None, "ab", 7, [], [0.5, 0.6], [1.5, -0.5], [math.nan, 1.0], [[0.5, 0.5]], [1.0], {}]
    collected(
        {f"data {x!r}": lambda x=x: lab.best_discriminator(x, [0.5, 0.5]) for x in wrong}
        | {f"generator {x!r}": lambda x=x: lab.best_discriminator([0.5, 0.5], x) for x in wrong}
    )


@contract("gradient_penalty")
def test_what_is_no_critic_or_no_tensor_of_rows_is_refused():
    x = torch.ones(3, 2)
    assert float(lab.gradient_penalty(lambda x: x.sum(-1, keepdim=True), x)) == pytest.approx(
        (math.sqrt(2) - 1) ** 2
    )
    wrong = [None, ROWS, np.ones((3, 2)), torch.ones(2), torch.ones(3, 2, dtype=int), "ab"]
    collected(
        {f"x {x!r}": lambda x=x: lab.gradient_penalty(lambda x: x.sum(-1), x) for x in wrong}
        | {"constant": lambda: lab.gradient_penalty(lambda x: torch.ones(3), x)}
        | {"detached": lambda: lab.gradient_penalty(lambda x: x.detach().sum(-1), x)}
        | {"a list": lambda: lab.gradient_penalty(lambda x: x.sum(-1).tolist(), x)}
    )


@contract("Ring", "small_digits")
def test_rings_have_modes_a_radius_and_a_width():
    ring = lab.Ring(np.int64(3), np.float64(1), 1)
    nowhere = [None, "ab", 7, [1.0], ["a", "b"]]
    assert ring.sample(np.int64(4), rng=0).shape == (4, 2) and ring.centres.shape == (3, 2)
    assert lab.small_digits()[0].shape == (1797, 64)
    collected(
        {f"modes {x!r}": lambda x=x: lab.Ring(modes=x) for x in NO_COUNT}
        | {f"radius {x!r}": lambda x=x: lab.Ring(radius=x) for x in NO_RATE}
        | {f"sd {x!r}": lambda x=x: lab.Ring(sd=x) for x in NO_RATE}
        | {f"n {x!r}": lambda x=x: lab.Ring().sample(x) for x in NO_COUNT}
        | {f"rng {x!r}": lambda x=x: lab.Ring().sample(3, x) for x in ["a", -1, 1.5]}
        | {f"at {x!r}": lambda x=x: lab.Ring().density(x) for x in nowhere}
    )  # fmt: skip
