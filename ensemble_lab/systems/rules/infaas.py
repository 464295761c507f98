"""INFaaS: callers name an accuracy and a limit; the rule finds the variant and the machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil

from ensemble_lab.core.errors import several
from ensemble_lab.systems.rules.fleet import Fleet, Variant
from ensemble_lab.systems.rules.planning import BatchTime, fitted
from ensemble_lab.systems.simulator.inputs import instance, positive, share, whole


def cheapest_variant(
    ways: Sequence[Variant],
    times: Sequence[BatchTime],
    rate: float,
    accuracy: float,
    limit: float,
    warm: int | None = None,
) -> tuple[int, int]:
    """The variant that serves a rate on the fewest machines, and their number.

    A variant qualifies if it is accurate enough and one request, and loading unless it is `warm`,
    fit into the limit. Its machines run the largest batch that keeps the limit. Among equals: the
    one that answers first, loading included.

    Parameters
    ----------
    ways, times : sequences (variants,)
    rate : float
        Requests a second.
    accuracy, limit : float
        The least share of right answers, and seconds.
    warm : int, optional
        The variant that is loaded.

    Raises
    ------
    ValueError
        No variant qualifies; a negative rate, an accuracy outside 0 to 1.
    """
    rate, limit = positive(rate, "rate", zero=True), positive(limit, "limit", " s")
    accuracy, options = share(accuracy, "accuracy"), []
    ways, times = several(ways, "ways"), several(times, "times")
    if len(ways) != len(times):
        raise ValueError(f"there are {len(ways)} ways and {len(times)} times; give one of each")
    if warm is not None and whole(warm, "warm", 0) >= len(ways):
        raise ValueError(f"warm={warm}, but the last of {len(ways)} ways is {len(ways) - 1}")
    for way, time in zip(ways, times, strict=True):
        instance(way, Variant, "a way")
        instance(time, BatchTime, "a time")
    for i, (way, time) in enumerate(zip(ways, times, strict=True)):
        batch = time.largest(limit, way.engine.slots)
        first = time(1) + (0.0 if i == warm else way.load)
        if way.accuracy >= accuracy and batch and (i == warm or first <= limit):
            options.append((max(1, ceil(rate / time.rate(batch) - 1e-9)), first, i))
    if not options:
        raise ValueError(
            f"no variant is right in {accuracy:g} of the cases within {limit:g} s; lower the"
            " accuracy or raise the limit"
        )
    count, _, variant = min(options)
    return variant, count


class INFaaS(Fleet):
    """The cheapest variant that is accurate and fast enough; replicate or upgrade as rates change.

    Every 15 s the last period's rate, with a quarter more for bursts, is given to
    `cheapest_variant`: the answer is more machines of the same variant (replicate) or another
    variant (upgrade). Romero et al. 2021, "INFaaS: Automated Model-less Inference Serving"
    (USENIX ATC).

    Parameters
    ----------
    variants, sample
        As in `Fleet`.
    accuracy : float
        The least share of right answers.
    """

    period = 15.0

    def __init__(self, variants, sample, accuracy: float):
        super().__init__(variants, sample)
        self.accuracy = share(accuracy, "accuracy")

    def first(self, machines):
        self.warm: list[int | None] = [None] * len(self.variants)
        return self.choose(self.expected, machines)

    def choose(self, rates: Sequence[float], machines: int) -> dict[tuple[int, int], int]:
        """Machines for each (model, variant) at these rates."""
        wanted = {}
        for model, rate in enumerate(rates):
            self.warm[model], count = cheapest_variant(
                self.variants[model], self.times[model], 1.25 * rate, self.accuracy, self.limit,
                self.warm[model],
            )  # fmt: skip
            wanted[model, self.warm[model]] = count
        return fitted(wanted, machines)

    def tick(self, cluster):
        self.arrange(Counter(self.choose(self.rates(), len(cluster.machines))), cluster)
