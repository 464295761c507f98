"""FastServe: short answers overtake long ones, though nobody knows which are short."""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from itertools import count
from math import ceil, inf, log2

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.cluster import Rule


def first_level(seconds: float, quantum: float) -> int:
    """The first queue whose quantum, ``quantum * 2**level``, covers a first step of `seconds`."""
    return max(0, ceil(log2(seconds / quantum) - 1e-9))


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
    promote : float
        Seconds of waiting after which a task goes to the first queue; never by default.
    """

    def __init__(self, quantum: float = 0.1, promote: float = inf):
        for name, value in (("quantum", quantum), ("promote", promote)):
            if not value > 0:
                raise ValueError(f"{name} is {shown(value)}; give seconds above 0")
        self.quantum, self.promote = quantum, promote
        self.period = promote

    def start(self, cluster):
        self.waiting = defaultdict(list)  # by machine, heaps of (level, turn, task)
        self.turns = count()
        self.seat = {}  # of each request: (level, turn)
        self.used = {}  # seconds of its quantum
        self.since = {}  # when it last began to run or to wait, or was looked at
        for machine in cluster.machines:
            step = machine.engine.step + machine.engine.per_task * machine.engine.slots
            machine.quantum = max(1, int(self.quantum / step + 1e-9))

    def admit(self, machine, cluster):
        heap = self._arrived(machine, cluster.now)
        if not heap or not machine.fits(heap[0][2]):
            return None
        task = heappop(heap)[2]
        self.since[task.request] = cluster.now
        return task

    def stop(self, machine, cluster):
        heap, now = self._arrived(machine, cluster.now), cluster.now
        if not heap:
            return []
        for task in machine.running:
            request = task.request
            used, level = self.used[request] + now - self.since[request], self.seat[request][0]
            while used >= self.quantum * 2**level - 1e-9:  # down, to the end of the next queue
                used -= self.quantum * 2**level
                level += 1
                self.seat[request] = (level, next(self.turns))
            self.used[request], self.since[request] = used, now
        return self._overtaken(machine, heap, now)

    def tick(self, cluster):
        for heap in self.waiting.values():
            for i, (level, _, task) in enumerate(heap):
                if level and cluster.now - self.since[task.request] >= self.promote:
                    self.used[task.request] = 0.0
                    self.seat[task.request] = (0, next(self.turns))
                    heap[i] = (*self.seat[task.request], task)
            heapify(heap)
        for machine in cluster.on:
            cluster.wake(machine)

    def _arrived(self, machine, now):
        engine, heap = machine.engine, self.waiting[machine.number]
        for task in machine.queue:
            seconds = engine.prompt + engine.per_token * task.prompt + engine.step + engine.per_task
            self.seat[task.request] = (first_level(seconds, self.quantum), next(self.turns))
            self.used[task.request], self.since[task.request] = 0.0, now
            heappush(heap, (*self.seat[task.request], task))
        machine.queue.clear()
        return heap

    def _overtaken(self, machine, heap, now):
        """Running tasks that make room for waiting ones of a higher queue."""
        slots = machine.engine.slots - len(machine.running)
        memory = machine.engine.capacity - machine.held
        running = sorted(machine.running, key=lambda task: self.seat[task.request])
        stopped, chosen = [], []
        while heap:
            size, victims = heap[0][2].prompt + heap[0][2].output, 0
            while slots + victims < 1 or memory < size:
                if victims == len(running):
                    break
                victim = running[-1 - victims]
                if self.seat[victim.request] < heap[0][:2]:
                    break
                victims += 1
                memory += victim.held
            else:
                chosen.append(heappop(heap))
                slots, memory = slots + victims - 1, memory - size
                stopped += [running.pop() for _ in range(victims)]
                continue
            break
        for task in stopped:
            task.kept, self.since[task.request] = True, now
            heappush(heap, (*self.seat[task.request], task))
        for entry in chosen:
            heappush(heap, entry)
        return stopped
