"""SHEPHERD: a running batch makes room only for one that is worth several times as much."""

from __future__ import annotations

from bisect import insort

from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.simulator.cluster import Cluster
from ensemble_lab.systems.simulator.machine import Task


class Shepherd(Fleet):
    """The largest batch in time from one queue for all; preempted for one `worth` times as large.

    All machines hold all models; a batch is of one model. Of the requests that wait for a model it
    takes those of the earliest deadlines, as many as are answered before the first of these
    deadlines. A free machine takes the largest such batch. A new request may preempt the smallest
    batch that runs: those requests wait again and begin anew. With 3.03 the rule serves at
    least 1/12.62 of what one could that knows the future. Zhang et al. 2023, "SHEPHERD: Serving
    DNNs in the Wild" (NSDI).
    """

    worth = 3.03

    def start(self, cluster):
        self._check(cluster.requests)
        self.waiting: list[list[Task]] = [[] for _ in self.variants]  # by deadline
        self.began = [cluster.now] * len(cluster.machines)
        for machine in cluster.machines:
            machine.models = set(range(len(self.variants)))

    def place(self, task, cluster):
        insort(self.waiting[task.model], task, key=lambda task: task.until)
        return min(cluster.on, key=lambda machine: len(machine.running))

    def batch(self, cluster: Cluster) -> tuple[int, int]:
        """Model and size of the largest batch in time; what cannot be in time is dropped."""
        model, most = 0, 0
        for number, tasks in enumerate(self.waiting):
            time, slots = self.times[number][0], self.variants[number][0].engine.slots
            while tasks and cluster.now + time(1) > tasks[0].until:
                cluster.drop(tasks.pop(0))
            if len(tasks) > most:
                size = min(len(tasks), time.largest(tasks[0].until - cluster.now, slots))
                model, most = (number, size) if size > most else (model, most)
        return model, most

    def stop(self, machine, cluster):
        least = self.worth * len(machine.running)
        if max(map(len, self.waiting)) < least or self.batch(cluster)[1] < least:
            return []
        for task in machine.running:
            task.tokens = 0
            insort(self.waiting[task.model], task, key=lambda task: task.until)
        return list(machine.running)

    def admit(self, machine, cluster):
        machine.queue.clear()  # it only woke the machine: the tasks are in `waiting`
        if not machine.running:
            self.began[machine.number] = cluster.now
            model, self.left = self.batch(cluster)
            self.joins = model
            machine.engine = self.variants[model][0].engine
        elif self.began[machine.number] < cluster.now:
            return None
        if not self.left:
            return None
        self.left -= 1
        return self.waiting[self.joins].pop(0)

    def after(self, task, machine, cluster):
        cluster.quality[task.request] = self.variants[task.model][0].accuracy
        return True
