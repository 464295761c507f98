"""ServerlessLLM: start a request where its model can be loaded soonest."""

from __future__ import annotations

from collections import deque
from itertools import islice
from math import inf

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import positive


def seconds_to_load(size: float, *, pinned: bool, disk: float, pcie: float, wait: float = 0.0):
    """Seconds until a model is on the device: from pinned memory at once, or after others by disk.

    Parameters
    ----------
    size : float
        Bytes (or any unit that the bandwidths are in, a second).
    pinned : bool
        Whether the memory of the host holds the model.
    disk, pcie : float
        Bandwidths; a model from the disk is sent on while it is read.
    wait : float
        Seconds until the disk is free.
    """
    size, disk, pcie = (
        positive(value, name) for value, name in ((size, "size"), (disk, "disk"), (pcie, "pcie"))
    )
    wait = positive(wait, "wait", " s", zero=True)
    if not isinstance(pinned, bool | np.bool_):
        raise ValueError(f"pinned={shown(pinned)}; give True or False")
    return size / pcie if pinned else wait + size / min(disk, pcie)


def seconds_to_start(order, model: int, slots: int, answer: float, load) -> float:
    """Seconds until a request for `model` starts on a machine that holds one model at a time.

    Parameters
    ----------
    order : sequence of (model, tasks, ...)
        The model that is loaded, and then those that will be, each with the tasks there.
    model, slots : int
        What is asked for, and how many tasks run together.
    answer : float
        Seconds that an answer takes.
    load : function of a model
        Seconds to load it.
    """
    loaded, tasks = order[0][0], order[0][1]
    if len(order) == 1 and loaded == model:
        return answer * (tasks // slots)
    seconds = answer * -(-tasks // slots)  # rounded up
    for group in islice(order, 1, None):
        other, tasks = group[0], group[1]
        seconds += load(other)
        if other == model:
            return seconds + answer * (tasks // slots)
        seconds += answer * -(-tasks // slots)
    return seconds + load(model)


class ServerlessLLM(Rule):
    """Each machine holds one model at a time; loads are planned by the time that they take.

    A request goes where it can start soonest: after the tasks there, if another model runs, and
    after the load, if its own is not there. The memory of the host keeps the models that were
    loaded last. Fu et al. 2024, "ServerlessLLM: Low-Latency Serverless Inference for Large Language
    Models" (OSDI). The paper also moves running answers out of the way.

    Parameters
    ----------
    sizes : sequence of float
        Of each model, in GB.
    disk, pcie : float
        GB a second.
    pinned : float
        GB of models that the memory of a host keeps.
    answer : float
        Seconds that an answer is expected to take.

    Attributes
    ----------
    loads : list of int
        Loads from a disk, and loads from pinned memory.
    """

    def __init__(self, sizes, disk=5.0, pcie=25.0, pinned=100.0, answer: float = 5.0):
        sizes = [positive(size, "size", " GB") for size in several(sizes, "sizes")]
        self.answer = positive(answer, "answer", " s")
        self.pinned = positive(pinned, "pinned", " GB", zero=True)
        self.sizes = sizes
        self.pinned_s, self.disk_s = (
            [seconds_to_load(size, pinned=held, disk=disk, pcie=pcie) for size in sizes]
            for held in (True, False)
        )

    def start(self, cluster):
        most = int(cluster.requests.model.max())
        if most >= len(self.sizes):
            raise ValueError(f"requests ask for model {most}; there are {len(self.sizes)} sizes")
        if any(len(machine.models) > 1 for machine in cluster.machines):
            raise ValueError("a machine holds several models; give each at most one")
        # Of each machine, model by model in the order of loading: [model, tasks, those that wait].
        self.order = [deque([[min(m.models, default=None), 0, deque()]]) for m in cluster.machines]
        self.kept = [dict.fromkeys(machine.models) for machine in cluster.machines]
        self.loads = [0, 0]

    def to_load(self, machine):
        """A function of a model: seconds to load it on `machine` once that is idle."""
        kept, pinned, disk = self.kept[machine.number], self.pinned_s, self.disk_s
        return lambda model: pinned[model] if model in kept else disk[model]

    def to_start(self, machine, model, now):
        """Seconds until a request for `model` can start on `machine`."""
        order, slots = self.order[machine.number], machine.engine.slots
        seconds = seconds_to_start(order, model, slots, self.answer, self.to_load(machine))
        wait = machine.ready - now
        return wait + seconds if wait > 0 else seconds

    def choose(self, task, cluster):
        model, now, best, least = task.model, cluster.now, None, inf
        for machine in cluster.on:
            seconds = self.to_start(machine, model, now)
            if seconds < least or (seconds == least and machine.load < best.load):
                best, least = machine, seconds
        return best

    def place(self, task, cluster):
        order = self.order[(machine := self.choose(task, cluster)).number]
        # Those that wait for a load share it. A model that others wait behind takes no more tasks.
        same = [group for group in order if group[0] == task.model]
        if not same or (same[-1] is order[0] and len(order) > 1):
            order.append([task.model, 0, deque()])
            same = [order[-1]]
        same[-1][1] += 1
        same[-1][2].append(task)
        return machine

    def admit(self, machine, cluster):
        machine.queue.clear()  # they wait in `order`
        order = self.order[machine.number]
        _, tasks, waiting = order[0]
        if waiting and machine.fits(waiting[0]):
            return waiting.popleft()
        if not tasks and len(order) > 1:
            order.popleft()
            self._load(machine, order[0][0], cluster)
        return None

    def after(self, task, machine, cluster):
        self.order[machine.number][0][1] -= 1
        return True

    def _load(self, machine, model, cluster):
        kept = self.kept[machine.number]
        self.loads[model in kept] += 1
        cluster.load_model(machine, {model}, self.to_load(machine)(model))
        kept.pop(model, None)
        kept[model] = None
        while sum(self.sizes[other] for other in kept) > self.pinned:
            del kept[next(iter(kept))]
