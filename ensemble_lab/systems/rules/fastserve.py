"""FastServe: short answers overtake long ones, though nobody knows which are short."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from math import ceil, inf, log2

from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import positive


def first_level(seconds: float, quantum: float) -> int:
    """The first queue whose quantum, ``quantum * 2**level``, covers a first step of `seconds`."""
    return max(0, ceil(log2(seconds / quantum) - 1e-9))


def overtaken(waiting, running, slots: int, memory: float) -> list:
    """Running tasks that make room for waiting ones of a higher queue.

    Parameters
    ----------
    waiting : heap of (seat, task)
        The lowest seat comes in first.
    running : dict of seat to task
    slots, memory : int, float
        What is free. None is stopped for a task that then still does not fit.
    """
    stopped, chosen, seats = [], [], None
    while waiting:
        seat, task = waiting[0]
        size, victims = task.prompt + task.output, []
        while slots + len(victims) < 1 or memory < size:
            seats = sorted(running) if seats is None else seats
            if not seats or seats[-1] < seat:
                break
            victims.append(running[seats.pop()])
            memory += victims[-1].held
        if slots + len(victims) < 1 or memory < size:
            break
        chosen.append(heappop(waiting))
        slots, memory = slots + len(victims) - 1, memory - size
        stopped += victims
    for entry in chosen:
        heappush(waiting, entry)
    return stopped


class FastServe(Rule):
    """A skip-join multi-level feedback queue.

    A request joins the queue whose quantum covers its first step, with the reading of its prompt.
    When it has used its quantum up it goes to the end of the next queue, whose quantum is twice as
    long. At the end of a step the machine runs those of the highest queues, first come first
    served inside each. A stopped task keeps its cache, in the memory of the host. Wu et al. 2023,
    "Fast Distributed Inference Serving for Large Language Models".

    Parameters
    ----------
    quantum : float
        Seconds that the first queue grants. A machine looks at its queues about as often.
    promote : float, optional
        Seconds of waiting after which a task goes to the first queue; never by default.
    """

    def __init__(self, quantum: float = 0.1, promote: float | None = None):
        self.quantum = positive(quantum, "quantum", " s")
        self.promote = self.period = inf if promote is None else positive(promote, "promote", " s")

    def start(self, cluster):
        self.waiting = defaultdict(list)  # by machine, heaps of (seat, task)
        self.seat = {}  # of each request: (level, when it joined that queue, its number)
        self.left = {}  # of one that waits: seconds of its quantum, and since when it waits
        self.ends = {}  # of one that runs: when its quantum ends
        for machine in cluster.machines:
            engine = machine.engine
            steps = self.quantum / (engine.step + engine.per_task * engine.slots)
            machine.quantum = max(1, int(steps + 1e-9))

    def place(self, task, cluster):
        loads = [len(m.running) + len(m.queue) + len(self.waiting[m.number]) for m in cluster.on]
        return cluster.on[loads.index(min(loads))]

    def wait(self, task, heap, seat, left, now):
        self.seat[task.request], self.left[task.request] = seat, (left, now)
        heappush(heap, (seat, task))

    def arrived(self, machine, now):
        engine, heap = machine.engine, self.waiting[machine.number]
        while machine.queue:
            task = machine.queue.popleft()
            seconds = engine.prompt + engine.per_token * task.prompt + engine.step + engine.per_task
            level = first_level(seconds, self.quantum)
            self.wait(task, heap, (level, now, task.request), self.quantum * 2**level, now)
        return heap

    def admit(self, machine, cluster):
        heap = self.arrived(machine, cluster.now)
        if heap and machine.fits(heap[0][1]):
            task = heappop(heap)[1]
            self.ends[task.request] = cluster.now + self.left[task.request][0]
            return task

    def stop(self, machine, cluster):
        heap, now, ends = self.arrived(machine, cluster.now), cluster.now, self.ends
        engine, running = machine.engine, machine.running
        slots, memory = engine.slots - len(running), engine.capacity - machine.held
        if len(heap) <= slots and sum(t.prompt + t.output for _, t in heap) <= memory:
            return []
        for request in [t.request for t in running if ends[t.request] <= now + 1e-9]:
            level = self.seat[request][0]
            while ends[request] <= now + 1e-9:  # down, to the end of the next queue
                level += 1
                self.seat[request] = (level, ends[request], request)
                ends[request] += self.quantum * 2**level
        seats = {self.seat[task.request]: task for task in running}
        stopped = overtaken(heap, seats, slots, memory)
        for task in stopped:
            task.kept = True
            self.wait(task, heap, self.seat[task.request], ends[task.request] - now, now)
        return stopped

    def tick(self, cluster):
        for machine in cluster.on:
            old, self.waiting[machine.number] = self.waiting[machine.number], []
            for seat, task in old:
                left, since = self.left[task.request]
                if seat[0] and cluster.now - since >= self.promote:
                    seat, left, since = (0, cluster.now, task.request), self.quantum, cluster.now
                self.wait(task, self.waiting[machine.number], seat, left, since)
            cluster.wake(machine)
