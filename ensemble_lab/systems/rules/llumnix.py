"""Llumnix: requests move between machines while they are answered."""

from __future__ import annotations

from math import inf
from numbers import Real
from operator import attrgetter

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import positive, whole


def freeness(free: float, running: int) -> float:
    """Tokens that each running task could still get: ``free / running``, infinite for none.

    `free` is the free memory less what the waiting want; below 0 they want more than there is.
    """
    running = whole(running, "running", 0)
    if not isinstance(free, Real) or isinstance(free, bool) or not -inf < free < inf:
        raise ValueError(f"free={shown(free)}; give a finite number of tokens")
    return _freeness(free, running)


def _freeness(free: float, running: int) -> float:  # unchecked: called for each machine and request
    return free / running if running else inf


def to_move(source: tuple[float, int], target: tuple[float, int], sizes) -> int | None:
    """Which task to move from one machine to another so that both come closer; None for none.

    A move counts if the source becomes freer and yet not freer than the target. So the least free
    machine is never less free than before, and moves come to an end.

    Parameters
    ----------
    source, target : (free, running)
        As in `freeness`.
    sizes : sequence of float
        Tokens held by each task of the source.

    Returns
    -------
    int or None
        The place in `sizes` of the move that leaves the smallest difference.
    """
    (free, running), (free_there, running_there) = source, target
    now, there = _freeness(free, running), _freeness(free_there, running_there)
    best, least = None, there - now
    for i, size in enumerate(sizes):
        after = _freeness(free + size, running - 1)
        difference = _freeness(free_there - size, running_there + 1) - after
        if after > now and 0 < difference < least:
            best, least = i, difference
    return best


class Llumnix(Rule):
    """Send each request to the freest machine, and even the machines out by moving tasks.

    Every `period` seconds the least free machine is paired with the freest, the second least with
    the second freest, and so on; each pair moves at most one task. The cache of a task moves with
    it, and while the last of it moves the task stands still. A machine here keeps memory for the
    whole of an answer; in the paper moves also prevent that memory runs out. Sun et al. 2024,
    "Llumnix: Dynamic Scheduling for Large Language Model Serving" (OSDI).

    Parameters
    ----------
    period, pause : float
        Seconds between two rounds, and seconds that a moved task stands still.
    """

    eager = False

    def __init__(self, period: float = 1.0, pause: float = 0.03):
        self.period, self.pause = positive(period, "period", " s"), positive(pause, "pause", " s")

    def start(self, cluster):
        if inf in [machine.engine.capacity for machine in cluster.machines]:
            raise ValueError("Llumnix weighs free memory; give each engine a finite capacity")
        self.wanted = [0] * len(cluster.machines)  # tokens of those that wait or are on the way
        self.targets = {}  # by number of the source

    def free(self, machine):
        free = machine.engine.capacity - machine.held - self.wanted[machine.number]
        return free, len(machine.running)

    def place(self, task, cluster):
        free = [_freeness(*self.free(machine)) for machine in cluster.on]
        most = max(free)
        freest = [machine for machine, f in zip(cluster.on, free, strict=True) if f == most]
        machine = min(freest, key=attrgetter("load"))
        self.wanted[machine.number] += task.prompt + task.output
        return machine

    def admit(self, machine, cluster):
        task = super().admit(machine, cluster)
        if task is not None:
            self.wanted[machine.number] -= task.prompt + task.output
        return task

    def tick(self, cluster):
        order = sorted(cluster.on, key=lambda m: (_freeness(*self.free(m)), -m.load))
        for source, target in zip(order[: len(order) // 2], reversed(order), strict=False):
            if source.running and not target.queue:
                self.targets[source.number] = target
                cluster.wake(source, full=True)

    def stop(self, machine, cluster):
        target = self.targets.pop(machine.number, None)
        if target is None or target.queue:
            return []
        tasks = [task for task in machine.running if task.held <= self.free(target)[0]]
        i = to_move(self.free(machine), self.free(target), [task.held for task in tasks])
        if i is None:
            return []
        tasks[i].kept = True
        self.wanted[target.number] += tasks[i].held
        cluster.send(tasks[i], target, cluster.now + self.pause)
        return [tasks[i]]
