"""Negative correlation at every strength and seed, trained as one batch when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from itertools import count

import numpy as np
from sklearn.datasets import load_diabetes

from ensemble_lab.training.ambiguity import ambiguity_decomposition
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.negative_correlation import regression_loss
from ensemble_lab.training.networks import perceptron

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
SEEDS = range(5)
PROBLEMS = ("a wave", "diabetes")


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows for five splits, and a line through the inputs to draw curves over."""

    X: np.ndarray  # (n, d)
    y: np.ndarray  # (n,), of all splits together
    learned: np.ndarray  # (5, r) of int, the rows that a split learns from
    held: np.ndarray  # (5, h) of int, those that it is judged on
    grid: np.ndarray  # (g, d)
    x: np.ndarray  # (n,), what the curves are drawn over, for the rows
    across: np.ndarray  # (g,), the same for the grid
    truth: np.ndarray  # (g,), targets without noise; empty where nobody knows them
    titles: tuple[str, str]  # of the curves' axes, with units
    epochs: int
    learning_rate: float


@dataclass(frozen=True, eq=False)
class Sweep:
    """What came of every strength; errors are squared, on held-out rows."""

    problem: Problem
    curves: np.ndarray  # (strengths, m, g), members of the first seed over the problem's grid
    together: np.ndarray  # (strengths, 5), error of the mean
    alone: np.ndarray  # (strengths, 5), mean of the members' errors
    ambiguity: np.ndarray  # (strengths, 5), how far they differ


@cache
def sweep(data: str, members: int, units: int) -> Sweep:
    """Train m networks for each strength and seed, all at once, and judge them."""
    where = {"a wave": wave, "diabetes": diabetes}[data]()
    shape = len(STRENGTHS), len(SEEDS), members
    trained = learned_together(where, shape, units)
    said = trained.outputs(where.X)[..., 0].astype(float).reshape(*shape, -1)  # (S, 5, m, n)
    errors = np.array([
        [ambiguity_decomposition(one[:, held], where.y[held])
         for one, held in zip(of, where.held, strict=True)]
        for of in said
    ])  # fmt: skip
    curves = trained.outputs(where.grid)[..., 0].reshape(*shape, -1)[:, 0]
    return Sweep(where, curves, *np.moveaxis(errors, -1, 0))


def learned_together(where: Problem, shape: tuple[int, int, int], units: int):
    """Members of all strengths, seeds and places (S, 5, m), trained as one batch."""
    strengths, _, m = shape
    rows = np.tile(where.learned.repeat(m, 0), (strengths, 1))  # (S * 5 * m, r)
    return train_members(
        make=repeated(partial(perceptron, where.X.shape[1], 1, units), len(SEEDS) * m),
        X=where.X,
        y=where.y,
        members=len(rows),
        loss=partial(penalised, m=m),
        rows=rows,
        same_order=True,
        epochs=where.epochs,
        batch_size=rows.shape[1],
        learning_rate=where.learning_rate,
    )


def penalised(outputs, targets, weights, m: int):
    """Losses (S * 5 * m,): every m members are an ensemble, with the strength of their place."""
    from torch.func import vmap

    strength = outputs.new_tensor(STRENGTHS).repeat_interleave(len(SEEDS))
    parts = (part.unflatten(0, (len(strength), m)) for part in (outputs, targets, weights))
    return vmap(lambda *one: regression_loss(*one[:3], strength=one[3]))(*parts, strength).flatten()


def repeated(make, period: int):
    """Makes networks whose initial weights come round again after `period` of them.

    So every strength starts from the same networks, and what differs later is its doing.
    """
    from ensemble_lab.training.batched.members import set_seed

    made = count()

    def make_next():
        set_seed(next(made) % period)
        return make()

    return make_next


# -- the problems -------------------------------------------------------------------------------


def wave() -> Problem:
    """25 noisy rows of a sine; judged on 500 others."""
    rng = np.random.default_rng(0)
    learned = np.arange(25 * len(SEEDS)).reshape(len(SEEDS), -1)
    x = rng.uniform(-3, 3, learned.size + 500)
    y = np.sin(2 * x) + 0.4 * rng.normal(size=len(x))
    across = np.linspace(-3, 3, 121)
    held = np.tile(np.arange(learned.size, len(x)), (len(SEEDS), 1))
    return Problem(
        X=x[:, None],
        y=y,
        learned=learned,
        held=held,
        grid=across[:, None],
        x=x,
        across=across,
        truth=np.sin(2 * across),
        titles=("x (no unit)", "y (no unit)"),
        epochs=500,
        learning_rate=0.05,
    )


def diabetes() -> Problem:
    """442 patients, 200 to learn from; curves over the body mass index, all else at its mean."""
    data = load_diabetes(scaled=False)
    X = (data.data - data.data.mean(0)) / data.data.std(0)
    order = np.stack([np.random.default_rng(seed).permutation(len(X)) for seed in SEEDS])
    index = data.feature_names.index("bmi")
    across = np.linspace(*np.quantile(data.data[:, index], (0, 1)), 121)
    grid = np.zeros((len(across), X.shape[1]))
    grid[:, index] = (across - data.data[:, index].mean()) / data.data[:, index].std()
    return Problem(
        X=X,
        y=(data.target - data.target.mean()) / data.target.std(),
        learned=order[:, :200],
        held=order[:, 200:],
        grid=grid,
        x=data.data[:, index],
        across=across,
        truth=np.array([]),
        titles=("body mass index (kg/m²)", "progression (standard deviations)"),
        epochs=200,
        learning_rate=0.02,
    )
