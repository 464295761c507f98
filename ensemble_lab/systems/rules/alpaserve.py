"""AlpaServe: spread models over several machines, so that a burst for one finds all of them."""

from __future__ import annotations

from dataclasses import replace

from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.rules.planning import BatchTime, shares
from ensemble_lab.systems.simulator.cluster import serve_requests
from ensemble_lab.systems.simulator.inputs import instance, positive, whole
from ensemble_lab.systems.simulator.machine import Engine, Machine


def pipeline_engine(engine: Engine, stages: int, overhead: float = 0.0) -> Engine:
    """A group of machines, each with a part of every layer stack, as one engine.

    A step of b tasks goes through the stages in `stages` parts, which follow one another: it takes
    ``step + per_task * b / stages`` and `overhead` seconds a stage. Prompts are read in that
    manner too, and there are the slots of all machines.

    Raises
    ------
    ValueError
        No stage, a negative overhead.
    """
    instance(engine, Engine, "engine")
    stages, overhead = whole(stages, "stages"), positive(overhead, "overhead", zero=True)
    return replace(
        engine,
        step=engine.step + stages * overhead,
        per_task=engine.per_task / stages,
        prompt=engine.prompt / stages,
        per_token=engine.per_token / stages,
        slots=engine.slots * stages,
        capacity=engine.capacity * stages,
    )


def pooled_wait(rate: float, seconds: float, stages: int = 1, overhead: float = 0.0) -> float:
    """Mean wait in a pipeline that all models share, by M/D/1.

    Requests that need `seconds` on one machine come at `rate`, Poisson; the first stage is busy
    ``D = seconds / stages + overhead`` with each and is the only one with a queue:
    ``rate * D**2 / (2 * (1 - rate * D))``. Of two models alone each waits
    ``pooled_wait(rate / 2, seconds)``.

    Raises
    ------
    ValueError
        More load than capacity; a rate or a time that is not positive.
    """
    rate, seconds = positive(rate, "rate"), positive(seconds, "seconds", " s")
    stages, overhead = whole(stages, "stages"), positive(overhead, "overhead", zero=True)
    busy = seconds / stages + overhead
    if rate * busy >= 1:
        raise ValueError(f"the load is {rate * busy:g}, the wait grows for ever; keep it below 1")
    return rate * busy**2 / (2 * (1 - rate * busy))


class AlpaServe(Fleet):
    """Groups of machines as pipelines that hold several models; late requests are refused at once.

    Machines are cut into groups of equal size; the size that answers most of an earlier trace in
    time is taken. A group of s machines holds the models of s machines. A request goes to the
    group that answers it soonest, if that is within its limit. Li et al. 2023, "AlpaServe:
    Statistical Multiplexing with Model Parallelism for Deep Learning Serving" (OSDI).

    Parameters
    ----------
    variants, sample
        As in `Fleet`.
    overhead : float
        Seconds a stage and step.
    size : int, optional
        Machines in a group; searched for by default.
    """

    def __init__(self, variants, sample, overhead: float = 0.0, size: int | None = None):
        super().__init__(variants, sample)
        self.sample, self.overhead = sample, positive(overhead, "overhead", zero=True)
        self.size = size if size is None else whole(size, "size")

    def start(self, cluster):
        self._check(cluster.requests)
        count = len(cluster.machines)
        if self.size is None:
            sizes = [size for size in range(1, count + 1) if count % size == 0]
            self.size = max(sizes, key=lambda size: self.attained(size, count))
        if count % self.size:
            raise ValueError(
                f"{count} machines cannot be cut into groups of {self.size}; take a size that"
                " divides their number"
            )
        self.groups = [cluster.machines[i : i + self.size] for i in range(0, count, self.size)]
        work = [self.work(model, 0) for model in range(len(self.variants))]
        spread = [m for m, n in enumerate(shares(work, count)) for _ in range(n)]
        slowest = max((ways[0].engine for ways in self.variants), key=lambda engine: engine.step)
        engine = pipeline_engine(slowest, self.size, self.overhead if self.size > 1 else 0.0)
        self.group_times = [BatchTime.of(engine, *sizes) for sizes in self.sizes]
        for number, group in enumerate(self.groups):
            group[0].engine = engine
            group[0].models = set(spread[number :: len(self.groups)])

    def attained(self, size: int, count: int) -> float:
        """The share of the earlier trace that groups of this size answer in time."""
        machines = [Machine(i, self.variants[0][0].engine) for i in range(count)]
        rule = AlpaServe(self.variants, self.sample, self.overhead, size)
        return serve_requests(self.sample, machines, rule).goodput

    def place(self, task, cluster):
        groups = [group[0] for group in self.groups if task.model in group[0].models]
        if not groups:
            return None
        time = self.group_times[task.model]
        machine = min(groups, key=lambda machine: machine.load)
        seconds = time.behind(machine.load, machine.engine.slots)
        return machine if cluster.now + seconds <= task.until else None

    def admit(self, machine, cluster):
        queue = machine.queue
        return queue.popleft() if queue and machine.fits(queue[0]) else None

    def after(self, task, machine, cluster):
        for other in self.groups[machine.number // self.size]:
            other.busy = machine.busy  # they work together
        cluster.quality[task.request] = self.variants[task.model][0].accuracy
        return True
