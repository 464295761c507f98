"""What the rules share: variants of models, and machines that change what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ensemble_lab.core.errors import several
from ensemble_lab.systems.rules.planning import BatchTime, shares
from ensemble_lab.systems.simulator.cluster import Cluster, Rule
from ensemble_lab.systems.simulator.inputs import instance, positive, share
from ensemble_lab.systems.simulator.machine import Engine, Machine, Task
from ensemble_lab.systems.simulator.requests import Requests


@dataclass(frozen=True)
class Variant:
    """One way to answer the requests for a model.

    Parameters
    ----------
    engine : Engine
        How fast a machine is with it.
    accuracy : float
        Share of answers that are right, in [0, 1].
    load : float
        Seconds that a machine needs to load it.
    """

    engine: Engine
    accuracy: float = 1.0
    load: float = 0.0

    def __post_init__(self):
        instance(self.engine, Engine, "engine")
        share(self.accuracy, "accuracy")
        positive(self.load, "load", zero=True)


class Fleet(Rule):
    """Each machine holds one variant of one model; its requests go where the answer comes soonest.

    Machines are shared in proportion to the models' work in an earlier trace. This is the plain
    rule that others change: they call `arrange` when they want other variants on the machines.

    Parameters
    ----------
    variants : sequence of sequences of Variant
        The variants of each model, the best first.
    sample : Requests
        An earlier trace: rates and lengths of requests are taken from it.

    Raises
    ------
    ValueError
        A model without variants; at the start, requests for more models than that.
    """

    def __init__(self, variants: Sequence[Sequence[Variant]], sample: Requests):
        self.variants = [
            several(ways, "variants of a model") for ways in several(variants, "variants")
        ]
        if not self.variants or not all(self.variants):
            raise ValueError("a model has no variant; give each model at least one")
        for way in (way for ways in self.variants for way in ways):
            instance(way, Variant, "a variant")
        self._check(instance(sample, Requests, "sample"))
        self.span = max(float(sample.arrival[-1] - sample.arrival[0]), 1e-9)
        # Of each model: its rate, mean (prompt, output), and the BatchTime of each variant.
        self.expected, self.sizes, self.times = [], [], []
        for model, ways in enumerate(self.variants):
            here = sample.model == model
            self.expected.append(float(here.sum()) / self.span)
            some = here if here.any() else slice(None)
            sizes = float(sample.prompt[some].mean()), float(sample.output[some].mean())
            self.sizes.append(sizes)
            self.times.append([BatchTime.of(way.engine, *sizes) for way in ways])
        self.limit = float(sample.limit.min())

    def _check(self, requests: Requests) -> None:
        asked = int(requests.model.max()) + 1
        if asked > len(self.variants):
            raise ValueError(
                f"requests ask for {asked} models, {type(self).__name__} has variants of"
                f" {len(self.variants)}; give variants of each"
            )

    def start(self, cluster):
        self._check(cluster.requests)
        self.seen = [0] * len(self.variants)
        self.held: list[tuple[int, int] | None] = [None] * len(cluster.machines)
        self.jobs = list(self.held)  # what each machine holds or turns to: (model, variant)
        wanted = Counter(self.first(len(cluster.machines)))
        self.arrange(wanted, cluster)
        for machine in cluster.on:
            machine.ready = cluster.now  # what is there at the start is loaded

    def first(self, machines: int) -> dict[tuple[int, int], int]:
        """How many machines hold each (model, variant) at the start."""
        work = [self.work(model, 0) for model in range(len(self.variants))]
        return {(m, 0): count for m, count in enumerate(shares(work, machines))}

    def work(self, model: int, variant: int) -> float:
        """The share of a machine with full batches that the model's requests would take."""
        time, slots = self.times[model][variant], self.variants[model][variant].engine.slots
        return self.expected[model] / time.rate(slots)

    def arrange(self, wanted: Counter, cluster: Cluster) -> None:
        """Let this many machines hold each (model, variant); the others are switched off.

        Machines that hold what is wanted stay. The others finish what runs, and then change;
        what waits there goes elsewhere.
        """
        left, changing = Counter(wanted), []
        for machine in cluster.machines:
            if left[self.jobs[machine.number]] > 0:
                left[self.jobs[machine.number]] -= 1
            else:
                changing.append(machine)
        changing.sort(key=lambda machine: machine.load)
        jobs, moved = left.elements(), []
        for machine in changing:
            self.jobs[machine.number] = next(jobs, None)
            moved += machine.queue
            machine.queue.clear()
            self._turn(machine, cluster)
        self.holders = [[] for _ in self.variants]
        for machine in cluster.machines:
            if (job := self.jobs[machine.number]) is not None:
                self.holders[job[0]].append(machine)
        for task in moved:
            if (machine := self.soonest(task, cluster)) is None:
                cluster.drop(task)
            else:
                cluster.send(task, machine)

    def _turn(self, machine: Machine, cluster: Cluster) -> None:
        """Change what an idle machine holds; one that runs is asked again when it ends."""
        job = self.jobs[machine.number]
        if machine.running:
            return
        self.held[machine.number] = job
        if job is None:
            cluster.switch_off(machine)
            return
        model, variant = job
        way = self.variants[model][variant]
        machine.engine = way.engine
        if machine.ready == inf:
            machine.models = {model}
            cluster.switch_on(machine, way.load)
        else:
            cluster.load_model(machine, {model}, way.load)

    def slots(self, machine: Machine) -> int:
        """The most tasks that run together on `machine`."""
        return machine.engine.slots

    def soonest(self, task: Task, cluster: Cluster) -> Machine | None:
        """The machine that is expected to answer first; None where none holds the model."""
        best, least = None, inf
        for machine in self.holders[task.model]:
            model, variant = self.jobs[machine.number]
            seconds = self.times[model][variant].behind(machine.load, self.slots(machine))
            if machine.ready > cluster.now:
                seconds += machine.ready - cluster.now
            if seconds < least:
                best, least = machine, seconds
        return best

    def place(self, task, cluster):
        self.seen[task.model] += 1
        return self.soonest(task, cluster)

    def admit(self, machine, cluster):
        if self.held[machine.number] != self.jobs[machine.number]:
            self._turn(machine, cluster)
        if cluster.now < machine.ready or self.held[machine.number] != self.jobs[machine.number]:
            return None
        queue = machine.queue
        if queue and len(machine.running) < self.slots(machine) and machine.fits(queue[0]):
            return queue.popleft()
        return None

    def after(self, task, machine, cluster):
        model, variant = self.held[machine.number]
        cluster.quality[task.request] = self.variants[model][variant].accuracy
        return True

    def rates(self) -> list[float]:
        """Requests a second for each model since the last call, which is one period ago."""
        rates = [count / self.period for count in self.seen]
        self.seen = [0] * len(self.variants)
        return rates
