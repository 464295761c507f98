"""Loki and Proteus: more machines first; when there are no more, less accurate variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil

import numpy as np

from ensemble_lab.systems.rules.fleet import Fleet

UNSERVED = 100.0  # what a request without an answer costs, in right answers


def allocate(
    rates: Sequence[float],
    capacity: Sequence[Sequence[float]],
    accuracy: Sequence[Sequence[float]],
    machines: int,
) -> dict[tuple[int, int], int]:
    """Machines for each (model, variant): few of the best variants, or all with the best mix.

    As long as the first variants of all models serve their rates, the fewest machines with them
    are taken (hardware scaling). Beyond that an integer programme chooses x machines that serve
    y requests a second: the most right answers, ``sum (accuracy + 100) * y``, with
    ``y <= capacity * x``, at most the rate of each model and at most all machines (accuracy
    scaling); the 100 says that an answer comes before a better answer.

    Parameters
    ----------
    rates : sequence of float
        Requests a second for each model.
    capacity, accuracy : sequences of sequences of float
        Of each variant of each model: what a machine serves a second, and its right answers.
    machines : int
    """
    best = {(m, 0): ceil(r / capacity[m][0] - 1e-9) for m, r in enumerate(rates)
            if capacity[m][0] > 0 or r == 0}  # fmt: skip
    if len(best) == len(rates) and sum(best.values()) <= machines:
        return {job: count for job, count in best.items() if count}
    from scipy.optimize import Bounds, LinearConstraint, milp

    jobs = [(m, v) for m, ways in enumerate(capacity) for v in range(len(ways))]
    n = len(jobs)
    able = np.array([capacity[m][v] for m, v in jobs])
    gain = np.array([accuracy[m][v] for m, v in jobs]) + UNSERVED
    of_model = np.array([[m == model for m, _ in jobs] for model in range(len(rates))], float)
    rows = [
        LinearConstraint(np.hstack([-np.diag(able), np.eye(n)]), ub=0.0),
        LinearConstraint(np.hstack([np.zeros_like(of_model), of_model]), ub=np.asarray(rates)),
        LinearConstraint(np.r_[np.ones(n), np.zeros(n)], ub=machines),
    ]
    found = milp(
        np.r_[np.full(n, 1e-6), -gain],  # of equal ones, the fewest machines
        integrality=np.r_[np.ones(n), np.zeros(n)],
        bounds=Bounds(0, np.r_[np.full(n, machines), np.full(n, np.inf)]),
        constraints=rows,
    )
    counts = np.round(found.x[:n]).astype(int)
    return {job: int(count) for job, count in zip(jobs, counts, strict=True) if count}


class Loki(Fleet):
    """Hardware scaling while there are machines, then accuracy scaling, every 30 s.

    The plan is for the last period's rate and a quarter more; a machine counts with the largest
    batch that takes half the limit. Each model keeps at least one machine. Ahmad et al. 2024,
    "Loki: A System for Serving ML Inference Pipelines with Hardware and Accuracy Scaling" (HPDC),
    after their "Proteus" (ASPLOS 2024).
    """

    period = 30.0

    def first(self, machines):
        half = self.limit / 2
        self.capacity = [
            [time.rate(time.largest(half, way.engine.slots)) for way, time in zip(*both, strict=True)]
            for both in zip(self.variants, self.times, strict=True)
        ]
        self.accuracy = [[way.accuracy for way in ways] for ways in self.variants]
        return self.choose(self.expected, machines)

    def choose(self, rates: Sequence[float], machines: int) -> dict[tuple[int, int], int]:
        """Machines for each (model, variant) at these rates."""
        # A model without requests keeps a machine: a hundredth of a request a limit.
        rates = [max(1.25 * rate, 0.01 / self.limit) for rate in rates]
        return allocate(rates, self.capacity, self.accuracy, machines)

    def tick(self, cluster):
        self.arrange(Counter(self.choose(self.rates(), len(cluster.machines))), cluster)
