"""Loki and Proteus: more machines first; when there are no more, less accurate variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.errors import several
from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.simulator.inputs import numbers, share, whole


def allocate_machines(
    rates: Sequence[float],
    capacity: Sequence[Sequence[float]],
    accuracy: Sequence[Sequence[float]],
    machines: int,
) -> dict[tuple[int, int], int]:
    """Machines for each (model, variant): the most right answers, then the fewest machines.

    x machines with a variant serve at most ``capacity * x`` requests a second; a model gets no
    more answers than its rate. As long as the most accurate variants serve all rates, the plan is
    the fewest machines with them (hardware scaling); beyond that, the mix of variants that gives
    the most right answers a second (accuracy scaling). This integer programme is solved exactly:
    all mixes for each model, then machines are divided among models by dynamic programming.

    Parameters
    ----------
    rates : sequence of float
        Requests a second for each model.
    capacity, accuracy : sequences of sequences of float
        Of each variant of each model: what a machine serves a second, and its share of right
        answers.
    machines : int

    Raises
    ------
    ValueError
        Other numbers of models or variants; a negative rate or capacity, an accuracy outside 0
        to 1, no machine.
    """
    rates, machines = numbers(rates, "rates"), whole(machines, "machines")
    capacity, accuracy = _rows(capacity, "capacity"), _rows(accuracy, "accuracy")
    shapes = [[own.shape for own in of_all] for of_all in (capacity, accuracy)]
    if shapes[0] != shapes[1] or rates.shape != (len(capacity),):
        raise ValueError(
            f"{rates.size} rates, capacities of {len(capacity)} models and accuracies of"
            f" {len(accuracy)}; give one rate a model and both for each of its variants"
        )
    if rates.min() < 0 or min(own.min() for own in capacity) < 0:
        raise ValueError("a rate or a capacity is negative; give requests a second from 0 up")
    for own in accuracy:
        share(own.min(), "accuracy"), share(own.max(), "accuracy")
    total, plans = np.zeros(1), [{}]  # by number of machines: right answers a second, and the plan
    for model, rate in enumerate(rates):
        own, mixes = _mixes(rate, capacity[model], accuracy[model], machines)
        sums = np.full((machines + 1, len(own)), -np.inf)  # all machines so far, those of the model
        for before, right in enumerate(total):
            ks = np.arange(min(len(own), machines + 1 - before))
            sums[before + ks, ks] = right + own[ks]
        best = sums.argmax(axis=1)
        total = sums.max(axis=1)
        plans = [
            plans[n - k] | {(model, v): int(x) for v, x in enumerate(mixes[k]) if x}
            for n, k in enumerate(best.tolist())
        ]
    return plans[int(total.argmax())]


def _rows(values, what: str) -> list[np.ndarray]:
    rows = values if isinstance(values, np.ndarray) else several(values, what)
    return [numbers(row, what) for row in rows]


def _mixes(rate, capacity, accuracy, machines) -> tuple[np.ndarray, list]:
    """For each number of machines the best right answers a second, and the mix (variants,).

    A machine costs 1e-9 right answers, so that of equal mixes the smaller one wins.
    """
    grid = np.indices((machines + 1,) * len(capacity)).reshape(len(capacity), -1)
    grid = grid[:, grid.sum(axis=0) <= machines]
    order = np.argsort(-accuracy, kind="stable")  # the most accurate serve first
    served = np.minimum(np.cumsum((grid.T * capacity)[:, order], axis=1), rate)
    right = np.diff(served, axis=1, prepend=0) @ accuracy[order] - 1e-9 * grid.sum(axis=0)
    count = grid.sum(axis=0)
    best = [np.flatnonzero(count == n)[right[count == n].argmax()] for n in range(machines + 1)]
    return right[best], grid[:, best].T.tolist()


class Loki(Fleet):
    """Hardware scaling while there are machines, then accuracy scaling, every 30 s.

    The plan is for the last period's rate and a quarter more; a machine counts with the largest
    batch that takes half the limit. Under overload a model may be left without a machine: its
    requests are dropped. Ahmad et al. 2024, "Loki: A System for Serving ML Inference Pipelines
    with Hardware and Accuracy Scaling" (HPDC), after their "Proteus" (ASPLOS 2024).
    """

    period = 30.0

    def first(self, machines):
        half = self.limit / 2
        self.capacity = [
            [
                time.rate(time.largest(half, way.engine.slots))
                for way, time in zip(*both, strict=True)
            ]
            for both in zip(self.variants, self.times, strict=True)
        ]
        self.accuracy = [[way.accuracy for way in ways] for ways in self.variants]
        return self.choose(self.expected, machines)

    def choose(self, rates: Sequence[float], machines: int) -> dict[tuple[int, int], int]:
        """Machines for each (model, variant) at these rates."""
        # A model that nobody asked for keeps a machine if one is left.
        rates = [max(1.25 * rate, 0.01 / self.limit) for rate in rates]
        return allocate_machines(rates, self.capacity, self.accuracy, machines)

    def tick(self, cluster):
        self.arrange(Counter(self.choose(self.rates(), len(cluster.machines))), cluster)
