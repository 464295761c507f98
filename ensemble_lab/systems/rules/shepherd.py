"""SHEPHERD: a running batch makes room only for one that is worth several times as much."""

from __future__ import annotations

from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.simulator.machine import Machine, Task


class Shepherd(Fleet):
    """On each machine the largest batch in time; preempted for one `worth` times as large.

    All machines hold all models; a batch is of one model. A batch in time is: of the requests of
    a model that wait, those of the earliest deadlines, as many as are answered before the first
    of these deadlines. A preempted batch waits again and begins anew. With 3.03 the rule serves at
    least 1/12.62 of what one could that knows the future. Zhang et al. 2023, "SHEPHERD: Serving
    DNNs in the Wild" (NSDI).
    """

    worth = 3.03

    def start(self, cluster):
        self._check(cluster.requests)
        self.began = [cluster.now] * len(cluster.machines)
        for machine in cluster.machines:
            machine.models = set(range(len(self.variants)))

    def place(self, task, cluster):
        return min(cluster.on, key=lambda machine: machine.load)

    def batch(self, machine: Machine, now: float) -> list[Task]:
        """The largest batch in time among those that wait."""
        best: list[Task] = []
        waiting: list[list[Task]] = [[] for _ in self.variants]
        for task in machine.queue:
            waiting[task.model].append(task)
        for model, tasks in enumerate(waiting):
            time, slots = self.times[model][0], self.variants[model][0].engine.slots
            tasks = [task for task in tasks if now + time(1) <= task.until]
            if len(tasks) > len(best):
                tasks.sort(key=lambda task: task.until)
                size = time.largest(tasks[0].until - now, slots)
                best = max(best, tasks[:size], key=len)
        return best

    def stop(self, machine, cluster):
        running = machine.running
        if len(machine.queue) < self.worth * len(running):
            return []
        batch = self.batch(machine, cluster.now)
        if len(batch) < self.worth * len(running):
            return []
        for task in running:
            task.tokens = 0
        machine.queue.extend(running)
        return list(running)

    def admit(self, machine, cluster):
        now, queue = cluster.now, machine.queue
        if not machine.running:
            for task in [t for t in queue if now + self.times[t.model][0](1) > t.until]:
                queue.remove(task)
                cluster.drop(task)
            self.began[machine.number] = now
            self.chosen = self.batch(machine, now)
            if self.chosen:
                machine.engine = self.variants[self.chosen[0].model][0].engine
        elif self.began[machine.number] < now:
            return None
        if not self.chosen:
            return None
        task = self.chosen.pop(0)
        queue.remove(task)
        return task

    def after(self, task, machine, cluster):
        cluster.quality[task.request] = self.variants[task.model][0].accuracy
        return True
