"""Clipper: find the largest batch that keeps the limit, as TCP finds a rate."""

from __future__ import annotations

from collections import defaultdict

from ensemble_lab.systems.rules.fleet import Fleet


class Clipper(Fleet):
    """Batch size by additive increase and multiplicative decrease.

    Each machine has a batch size of its own. It grows by 1 while requests wait and answers keep
    their limit, counted from the time they are taken up, and shrinks by a tenth when one does not;
    at most one change a step. With a batch time of ``fixed + each * b`` it settles round
    ``floor((limit - fixed) / each)``. Crankshaw et al. 2017, "Clipper: A Low-Latency Online
    Prediction Serving System" (NSDI).
    """

    def start(self, cluster):
        self.batch = defaultdict(lambda: 1.0)  # by machine
        self.changed = defaultdict(lambda: -1)  # step of the last change
        super().start(cluster)

    def slots(self, machine):
        return min(int(self.batch[machine.number]), machine.engine.slots)

    def after(self, task, machine, cluster):
        number = machine.number
        if self.changed[number] < machine.steps:
            if cluster.now - cluster.started[task.request] > task.until - task.arrival:
                self.batch[number] = max(1.0, self.batch[number] * 0.9)
                self.changed[number] = machine.steps
            elif machine.queue and self.batch[number] < machine.engine.slots:
                self.batch[number] += 1
                self.changed[number] = machine.steps
        return super().after(task, machine, cluster)
