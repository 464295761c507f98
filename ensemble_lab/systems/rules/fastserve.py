"""FastServe: short answers overtake long ones, though nobody knows which are short."""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
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
        self.waiting = defaultdict(list)  # by machine, heaps of (seat, task)
        self.seat = {}  # of each request: (level, when it joined that queue, its number)
        self.left = {}  # seconds of its quantum, while it waits
        self.ends = {}  # when its quantum ends, while it runs
        self.since = {}  # when it began to wait
        for machine in cluster.machines:
            step = machine.engine.step + machine.engine.per_task * machine.engine.slots
            machine.quantum = max(1, int(self.quantum / step + 1e-9))

    def admit(self, machine, cluster):
        heap = self._arrived(machine, cluster.now)
        if not heap or not machine.fits(heap[0][1]):
            return None
        task = heappop(heap)[1]
        self.ends[task.request] = cluster.now + self.left[task.request]
        return task

    def stop(self, machine, cluster):
        heap, engine = self._arrived(machine, cluster.now), machine.engine
        if len(machine.running) + len(heap) <= engine.slots:
            if machine.held + sum(task.prompt + task.output for _, task in heap) <= engine.capacity:
                return []
        now, ends = cluster.now + 1e-9, self.ends
        for request in [task.request for task in machine.running if ends[task.request] <= now]:
            level = self.seat[request][0]
            while ends[request] <= now:  # down, to the end of the next queue
                level += 1
                self.seat[request] = (level, ends[request], request)
                ends[request] += self.quantum * 2**level
        stopped = self._overtaken(machine, heap)
        for task in stopped:
            task.kept = True
            self.left[task.request] = ends[task.request] - cluster.now
            self._wait(task, heap, cluster.now)
        return stopped

    def tick(self, cluster):
        for machine in cluster.on:
            heap = self.waiting[machine.number]
            for i, (seat, task) in enumerate(heap):
                if seat[0] and cluster.now - self.since[task.request] >= self.promote:
                    self.seat[task.request] = (0, cluster.now, task.request)
                    self.left[task.request] = self.quantum
                    heap[i] = (self.seat[task.request], task)
            heapify(heap)
            cluster.wake(machine)

    def _arrived(self, machine, now):
        engine, heap = machine.engine, self.waiting[machine.number]
        while machine.queue:
            task = machine.queue.popleft()
            seconds = engine.prompt + engine.per_token * task.prompt + engine.step + engine.per_task
            level = first_level(seconds, self.quantum)
            self.seat[task.request] = (level, now, task.request)
            self.left[task.request] = self.quantum * 2**level
            self._wait(task, heap, now)
        return heap

    def _wait(self, task, heap, now):
        self.since[task.request] = now
        heappush(heap, (self.seat[task.request], task))

    def _overtaken(self, machine, heap):
        """Running tasks that make room for waiting ones of a higher queue."""
        slots = machine.engine.slots - len(machine.running)
        memory = machine.engine.capacity - machine.held
        running = {task.request: task for task in machine.running}
        stopped, chosen = [], []
        while heap:
            size, victims = heap[0][1].prompt + heap[0][1].output, []
            while slots + len(victims) < 1 or memory < size:
                last = max(running, key=self.seat.__getitem__, default=None)
                if last is None or self.seat[last] < heap[0][0]:
                    break
                victims.append(running.pop(last))
                memory += victims[-1].held
            else:
                chosen.append(heappop(heap))
                slots, memory = slots + len(victims) - 1, memory - size
                stopped += victims
                continue
            break
        for entry in chosen:
            heappush(heap, entry)
        return stopped
