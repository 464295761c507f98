"""Simulated tables, and how often the intervals of a decision hold the true mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import ensemble_lab as lab
from ensemble_lab.core.intervals import bootstrap, mean_interval

ASK = lab.Cascade(("small", "big"), (0.5,))
THREE = lab.Cascade(("small", "middle", "big"), (0.5, 0.5))


@dataclass(frozen=True)
class Case:
    """Draws one table of n items by `draw(rng, n)`: an interval; `true` is the mean."""

    name: str
    true: float
    draw: Callable[[np.random.Generator, int], tuple[float, float]]

    def holds(self, tables: int, n: int, seed: int = 0) -> float:
        """Share of the tables whose interval holds the mean; one without an interval does not."""
        rng = np.random.default_rng(seed)
        ends = np.array([self.draw(rng, n) for _ in range(tables)])
        slack = 1e-12 * abs(self.true)
        return float(((ends[:, 0] <= self.true + slack) & (self.true <= ends[:, 1] + slack)).mean())


def share(rate: float, seed: int | None = None) -> Case:
    """Accuracy of one model that is right on `rate` of the items; bootstrapped with a seed."""

    def draw(rng, n):
        right = (rng.random((n, 1)) < rate) * 1.0
        table = lab.Outcomes(models=["small"], items=range(n), correct=right)
        return lab.Cascade(("small",)).decide(table).interval(seed=seed)

    return Case(f"accuracy {rate:g}{'' if seed is None else ', bootstrap'}", rate, draw)


def raw_share(rate: float) -> Case:
    """The bootstrap of zeros and ones that nobody said to be a share."""

    def draw(rng, n):
        return bootstrap((rng.random(n) < rate) * 1.0, resamples=200)

    return Case(f"zeros and ones {rate:g}", rate, draw)


def difference(more: float, fewer: float, how=mean_interval) -> Case:
    """Two policies on the same items: one alone right on `more`, the other alone on `fewer`."""

    def draw(rng, n):
        values = rng.choice([1.0, 0.0, -1.0], size=n, p=[more, 1 - more - fewer, fewer])
        return how(values, bounds=(-1, 1))

    return Case(f"difference {more:g} - {fewer:g}, {how.__name__}", more - fewer, draw)


def _sure(rng, n: int, passed: float) -> np.ndarray:
    return np.where(rng.random(n) < passed, 0.1, 0.9)


def constant_price(passed: float, seed: int | None = None) -> Case:
    """A call of the big model costs 50 times one of the small model's."""

    def draw(rng, n):
        table = lab.Outcomes(
            models=["small", "big"],
            items=range(n),
            correct=np.ones((n, 2)),
            confidence=np.column_stack([_sure(rng, n, passed), np.ones(n)]),
            cost=np.tile([1.0, 50.0], (n, 1)),
        )
        return ASK.decide(table).interval("cost", seed=seed)

    name = f"two prices, {passed:g} passed on{'' if seed is None else ', bootstrap'}"
    return Case(name, 1 + 50 * passed, draw)


def three_prices(passed: float, again: float) -> Case:
    """1, 10 and 100 a call, `passed` on by the first and of these `again` by the second."""

    def draw(rng, n):
        sure = [_sure(rng, n, passed), _sure(rng, n, again), np.ones(n)]
        table = lab.Outcomes(
            models=["small", "middle", "big"],
            items=range(n),
            correct=np.ones((n, 3)),
            confidence=np.column_stack(sure),
            cost=np.tile([1.0, 10.0, 100.0], (n, 1)),
        )
        return THREE.decide(table).interval("cost")

    true = 1 + 10 * passed + 100 * passed * again
    return Case(f"three prices, {passed:g} and {again:g} passed on", true, draw)


def token_price(passed: float, sigma: float, seed: int | None = None) -> Case:
    """Prices by lognormal tokens, 50 times as high for the big model."""

    def draw(rng, n):
        tokens = np.exp(sigma * rng.standard_normal((n, 2)))
        table = lab.Outcomes(
            models=["small", "big"],
            items=range(n),
            correct=np.ones((n, 2)),
            confidence=np.column_stack([_sure(rng, n, passed), np.ones(n)]),
            cost=tokens * [1.0, 50.0],
        )
        return ASK.decide(table).interval("cost", seed=seed)

    true = float(np.exp(sigma**2 / 2)) * (1 + 50 * passed)
    name = f"prices by tokens of sigma {sigma:g}, {passed:g} passed on"
    return Case(name + ("" if seed is None else ", bootstrap"), true, draw)


DISTRIBUTIONS = {
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "gamma .3": (lambda rng, n: rng.gamma(0.3, size=n), 0.3),
    "Weibull .5": (lambda rng, n: rng.weibull(0.5, size=n), 2.0),
    "Pareto 3": (lambda rng, n: 1 + rng.pareto(3.0, size=n), 1.5),
    "Pareto 2": (lambda rng, n: 1 + rng.pareto(2.0, size=n), 2.0),
    "lognormal .5": (lambda rng, n: rng.lognormal(0, 0.5, size=n), float(np.exp(0.125))),
    "lognormal 1": (lambda rng, n: rng.lognormal(0, 1, size=n), float(np.exp(0.5))),
    "lognormal 1.5": (lambda rng, n: rng.lognormal(0, 1.5, size=n), float(np.exp(1.125))),
    "normal": (lambda rng, n: np.abs(rng.normal(10, 1, size=n)), 10.0),
}


def latency(distribution: str, seed: int | None = None) -> Case:
    """Seconds of one model, by a distribution with a tail."""
    sample, mean = DISTRIBUTIONS[distribution]

    def draw(rng, n):
        table = lab.Outcomes(
            models=["small"],
            items=range(n),
            correct=np.ones((n, 1)),
            latency=sample(rng, n)[:, None],
        )
        return lab.Cascade(("small",)).decide(table).interval("latency", seed=seed)

    return Case(f"latency {distribution}{'' if seed is None else ', bootstrap'}", mean, draw)


def escalated_latency(passed: float, distribution: str) -> Case:
    """Seconds of two models asked one after the other, the second ten times as slow."""
    sample, mean = DISTRIBUTIONS[distribution]

    def draw(rng, n):
        table = lab.Outcomes(
            models=["small", "big"],
            items=range(n),
            correct=np.ones((n, 2)),
            confidence=np.column_stack([_sure(rng, n, passed), np.ones(n)]),
            latency=np.column_stack([sample(rng, n), 10 * sample(rng, n)]),
        )
        return ASK.decide(table).interval("latency")

    return Case(f"latency {distribution}, {passed:g} passed on", mean * (1 + 10 * passed), draw)


RATES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.982, 0.985, 0.99)
PASSED = (0.01, 0.02, 0.03, 0.05, 0.1)
CASES = (
    *(share(rate) for rate in RATES),
    *(share(rate, seed=0) for rate in (0.5, 0.9, 0.95, 0.99)),
    *(raw_share(rate) for rate in (0.5, 0.9, 0.982, 0.985, 0.99)),
    *(difference(0.1, 0.05, how) for how in (mean_interval, bootstrap)),
    difference(0.02, 0.0),
    difference(0.01, 0.01),
    difference(0.4, 0.3),
    *(constant_price(passed) for passed in (*PASSED, 0.5, 0.99)),
    constant_price(0.03, seed=0),
    *(three_prices(passed, again) for passed in (0.05, 0.3) for again in (0.1, 0.5)),
    *(token_price(passed, sigma) for passed in (*PASSED, 0.5) for sigma in (0.5, 1.0)),
    token_price(0.03, 1.0, seed=0),
    *(latency(distribution) for distribution in DISTRIBUTIONS),
    latency("lognormal 1", seed=0),
    *(
        escalated_latency(passed, distribution)
        for passed in (0.02, 0.2)
        for distribution in ("Pareto 3", "lognormal 1")
    ),
)
