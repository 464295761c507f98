"""Nexus: pack models into machines by how much of a machine each needs, and drop early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.rules.planning import BatchTime, of_models
from ensemble_lab.systems.simulator.inputs import positive, whole


@dataclass(frozen=True)
class Bin:
    """What one machine does in turn: in each `cycle` (seconds) one batch of each of its models.

    ``batches`` holds (model, batch) pairs; `occupancy` is the share of the cycle that they take.
    """

    cycle: float
    batches: tuple[tuple[int, int], ...]
    occupancy: float


def squishy_bins(
    rates: Sequence[float], times: Sequence[BatchTime], limit: float, slots: int
) -> list[Bin]:
    """Machines for models with these rates so that each answer keeps the limit.

    Full machines run batches of the largest B with ``2 * time(B) <= limit``: a request that just
    missed a batch waits for one and runs in the next. What is left of a model's rate r takes a
    batch b every ``b / r`` seconds with ``time(b) + b / r <= limit``; such parts share machines
    as long as their batches fit into the shortest cycle, the fullest machine first.

    Parameters
    ----------
    rates : sequence of float
        Requests a second for each model.
    times : sequence of BatchTime
    limit : float
        Seconds from arrival to answer.
    slots : int
        The largest batch.

    Raises
    ------
    ValueError
        A model that cannot keep the limit, not even alone; a negative rate, a limit of 0.
    """
    rates, times = of_models(rates, times)
    limit, slots = positive(limit, "limit", " s"), whole(slots, "slots")
    bins, parts = [], []
    for model, (rate, time) in enumerate(zip(rates, times, strict=True)):
        most = time.largest(limit / 2, slots)
        if not most:
            raise ValueError(
                f"model {model} needs {2 * time(1):g} s for a request that waits for another; the"
                f" limit is {limit:g} s: raise it, or take a faster variant"
            )
        full = floor(rate / time.rate(most))
        bins += [Bin(time(most), ((model, most),), 1.0)] * full
        if (rest := rate - full * time.rate(most)) > 1e-9 * rate:
            fits = [b for b in range(1, most + 1) if time(b) <= b / rest <= limit - time(b)]
            if fits:
                batch, cycle = fits[-1], fits[-1] / rest
            elif 1 / rest > limit - time(1):  # too rare to wait for a second: alone, just in time
                batch, cycle = 1, limit - time(1)
            else:  # too often for any smaller batch
                batch, cycle = most, time(most)
            parts.append(Bin(cycle, ((model, batch),), time(batch) / cycle))
    shared: list[Bin] = []
    for part in sorted(parts, key=lambda part: -part.occupancy):
        merged = [(i, _merge(one, part, rates, times)) for i, one in enumerate(shared)]
        merged = [(i, one) for i, one in merged if one.occupancy <= 1 + 1e-9]
        if merged:
            i, one = max(merged, key=lambda pair: pair[1].occupancy)
            shared[i] = one
        else:
            shared.append(part)
    return bins + shared


def _merge(one, other, rates, times) -> Bin:
    """Both on one machine: the shorter cycle, with smaller batches of the other."""
    cycle = min(one.cycle, other.cycle)
    pairs = []
    for bin in (one, other):
        pairs += [(m, b if bin.cycle == cycle else ceil(b * cycle / bin.cycle - 1e-9))
                  for m, b in bin.batches]  # fmt: skip
    return Bin(cycle, tuple(pairs), sum(times[m](b) for m, b in pairs) / cycle)


class Nexus(Fleet):
    """Squishy bins for the rates of an earlier trace, and requests dropped before they are late.

    The bins are planned once. Where they need more machines than there are, they are planned for
    the largest share of the rates that fits; machines without a bin are switched off. A request
    that would be late in the batch that it would join is dropped, so that those behind it are in
    time. Shen et al. 2019, "Nexus: A GPU Cluster Engine for Accelerating DNN-Based Video Analysis"
    (SOSP).
    """

    def start(self, cluster):
        self._check(cluster.requests)
        self.first_times = [ways[0] for ways in self.times]
        slots, share = min(ways[0].engine.slots for ways in self.variants), 1.0
        while len(bins := squishy_bins(self.scaled(share), self.first_times, self.limit, slots)) > (
            len(cluster.machines)
        ):
            share *= 0.95
        self.bins = bins
        self.batches = [dict(one.batches) for one in bins]
        for machine in cluster.machines[: len(bins)]:
            machine.models = set(self.batches[machine.number])
        for machine in cluster.machines[len(bins) :]:
            cluster.switch_off(machine)
        self.holders = [[m for m in cluster.on if model in m.models]
                        for model in range(len(self.variants))]  # fmt: skip
        self.began = [cluster.now] * len(bins)

    def scaled(self, share: float) -> list[float]:
        """A share of the rates, and of each model at least one request a limit."""
        return [max(rate * share, 1 / self.limit) for rate in self.expected]

    def place(self, task, cluster):
        def wait(machine):
            batch = self.batches[machine.number][task.model]
            return (machine.load + 1) * self.bins[machine.number].cycle / batch

        return min(self.holders[task.model], key=wait)

    def admit(self, machine, cluster):
        batches, queue = self.batches[machine.number], machine.queue
        while queue:
            if not machine.running:
                self.began[machine.number] = cluster.now
            elif len(batches) > 1 and self.began[machine.number] < cluster.now:
                return None  # the batch of one model ends before that of another begins
            model = (machine.running or queue)[0].model
            task = next((task for task in queue if task.model == model), None)
            if task is None or len(machine.running) >= batches[model]:
                return None
            queue.remove(task)
            size = min(batches[model], len(machine.running) + len(queue) + 1)
            if cluster.now + self.first_times[model](size) <= task.until:
                machine.engine = self.variants[model][0].engine
                return task
            cluster.drop(task)
        return None

    def after(self, task, machine, cluster):
        cluster.quality[task.request] = self.variants[task.model][0].accuracy
        return True
