"""A trace through a cluster of machines under a rule, event by event.

An event is an arrival, the end of some steps of a machine, or the time of a rule. A machine is not
looked at step by step: it jumps to the step at which a task ends or one may come in. Tests hold
this equal to a simulation that makes every step.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import ceil, inf, isnan, nan

import numpy as np

from ensemble_lab.core.errors import several
from ensemble_lab.systems.simulator.inputs import instance
from ensemble_lab.systems.simulator.machine import Machine, Task
from ensemble_lab.systems.simulator.requests import Requests
from ensemble_lab.systems.simulator.served import Served


class Rule:
    """Where a request goes, and what a machine does next; a method overrides what it changes.

    `period` is the time between two calls of `tick`, in seconds; none by default. `eager` says
    whether a full machine calls `stop` as soon as another task comes; otherwise it does so when it
    would look at its queue anyway, and when the rule wakes it.
    """

    period, eager = inf, True

    def start(self, cluster: Cluster) -> None:
        """Before the first request: choose models and engines of the machines."""

    def place(self, task: Task, cluster: Cluster) -> Machine | None:
        """The machine whose queue `task` joins; None drops it. Default: the least loaded."""
        loads = [len(machine.running) + len(machine.queue) for machine in cluster.on]
        return cluster.on[loads.index(min(loads))]

    def admit(self, machine: Machine, cluster: Cluster) -> Task | None:
        """The next task to run, taken from `machine.queue`, or None. Default: the first."""
        queue = machine.queue
        return queue.popleft() if queue and machine.fits(queue[0]) else None

    def stop(self, machine: Machine, cluster: Cluster) -> list[Task]:
        """Running tasks to be stopped before others come in; the rule queues or sends them."""
        return []

    def after(self, task: Task, machine: Machine, cluster: Cluster) -> bool:
        """At the end of `task`: whether its request is answered. False: the rule goes on."""
        return True

    def tick(self, cluster: Cluster) -> None:
        """Every `period` seconds, while there is work."""


class Cluster:
    """Machines, a clock and the work on them; what a rule sees and acts on.

    Attributes
    ----------
    now : float
        Seconds.
    machines : list of Machine
    requests : Requests
    """

    def __init__(self, requests: Requests, machines: list[Machine], rule: Rule):
        self.requests, self.machines, self.rule = requests, machines, rule
        self.now = float(requests.arrival[0])
        n = len(requests)
        self.started, self.first, self.finished = ([nan] * n for _ in range(3))
        self.quality = [1.0] * n
        self.stopped = 0
        self._open = [True] * n  # neither answered nor dropped
        self.active = 0  # requests that have come and are neither answered nor dropped
        self._events, self._order = [], count()
        self._stops = type(rule).stop is not Rule.stop
        self._eager = self._stops and rule.eager
        for machine in machines:
            machine._on = self.now
            machine.ready = self.now
        self.on = list(machines)

    # What a rule may do.

    def send(self, task: Task, machine: Machine, at: float | None = None) -> None:
        """Queue `task` at `machine`, now or at a later time (seconds)."""
        if at is None or at <= self.now:
            machine.queue.append(task)
            self.wake(machine)
        else:
            heappush(self._events, (at, next(self._order), machine, task))

    def drop(self, task: Task) -> None:
        """Give `task` up: its request is not answered."""
        self._close(task)

    def switch_on(self, machine: Machine, seconds: float = 0.0) -> None:
        """Pay for `machine` from now on; it works after `seconds` of loading."""
        if machine._on is None:
            machine._on, machine.ready = self.now, self.now + seconds
            self.on = [m for m in self.machines if m._on is not None]
            self.at(machine.ready, machine)

    def switch_off(self, machine: Machine) -> None:
        """Stop paying for `machine` now.

        Raises
        ------
        ValueError
            It has tasks left.
        """
        if machine.load:
            raise ValueError(f"machine {machine.number} has {machine.load} tasks; move them first")
        if machine._on is not None:
            machine.paid += self.now - machine._on
            machine._on, machine.ready = None, inf
            self.on = [m for m in self.machines if m._on is not None]

    def load_model(self, machine: Machine, models, seconds: float) -> None:
        """Put `models` in place of those of an idle machine, which takes `seconds`."""
        if machine.running:
            raise ValueError(f"machine {machine.number} still runs {len(machine.running)} tasks")
        machine.models = set(models)
        machine.ready = max(machine.ready, self.now) + seconds
        self.at(machine.ready, machine)

    def at(self, time: float, machine: Machine) -> None:
        """Look at `machine` again at `time`."""
        heappush(self._events, (time, next(self._order), machine, None))

    def wake(self, machine: Machine, *, full: bool = False) -> None:
        """Let `machine` look at its queue at the end of the step that it is in, if `full` always.

        Without `full` a machine without a free slot looks only where the rule is `eager`.
        """
        if machine._end <= self.now:
            self._next(machine)
        elif machine.room or self._eager or full:
            # The first end of a step from now on; rounding may not put it off by one step.
            begun = (self.now - machine._begin - machine._reading) / machine._seconds
            steps = max(ceil(begun - 1e-9), 1)
            if steps < machine._steps:
                self._jump(machine, steps)

    # The machinery.

    def run(self) -> Served:
        """Serve all requests."""
        rule, requests, events = self.rule, self.requests, self._events
        rule.start(self)
        if rule.period < inf:
            heappush(events, (self.now + rule.period, next(self._order), None, None))
        times = requests.arrival.tolist()
        rows = zip(
            times,
            requests.model.tolist(),
            requests.prompt.tolist(),
            requests.output.tolist(),
            (requests.arrival + requests.limit).tolist(),
            strict=True,
        )
        place = rule.place
        for number, (time, model, prompt, output, until) in enumerate(rows):
            while events and events[0][0] < time:
                self._event(heappop(events))
            self.now = time
            self.active += 1
            task = Task(number, model, prompt, output, time, until)
            machine = place(task, self)
            if machine is None:
                self.drop(task)
            else:
                machine.queue.append(task)
                self.wake(machine)
        while events and self.active:
            self._event(heappop(events))
        if self.active:
            raise RuntimeError(
                f"{self.active} requests wait for ever under {type(rule).__name__}: no machine"
                " that is switched on can take them"
            )
        for machine in self.machines:
            if machine._on is not None:
                machine.paid += self.now - machine._on
        busy, paid = (np.array([getattr(m, k) for m in self.machines]) for k in ("busy", "paid"))
        return Served(
            requests, *map(np.array, (self.started, self.first, self.finished, self.quality)),
            busy, paid, self.stopped,
        )  # fmt: skip

    def _close(self, task: Task) -> None:
        if not self._open[task.request]:
            raise RuntimeError(
                f"{type(self.rule).__name__} answers or drops request {task.request} a second time"
            )
        self._open[task.request] = False
        self.active -= 1

    def _event(self, event) -> None:
        self.now, _, machine, what = event
        if machine is None:  # the rule's own time
            self.rule.tick(self)
            heappush(self._events, (self.now + self.rule.period, next(self._order), None, None))
        elif type(what) is int:  # the end of some steps, unless an earlier end was set since
            if what == machine._stamp:
                self._next(machine)
        elif what is not None:  # a task that was under way
            machine.queue.append(what)
            self.wake(machine)
        elif machine._end <= self.now:
            self._next(machine)

    def _next(self, machine: Machine) -> None:
        """Count the steps made, end and stop tasks, let others in, and jump again."""
        rule, now, running = self.rule, self.now, machine.running
        machine._end = inf  # a task that the rule sends here from here on is let in below
        if machine._steps:
            machine.steps += machine._steps
            machine.busy += now - machine._begin
            machine._steps = 0
            done = machine.steps
            if machine._due <= done:
                ended, going, due = [], [], inf
                for task in running:
                    if task.due <= done:
                        ended.append(task)
                    else:
                        going.append(task)
                        if task.due < due:
                            due = task.due
                machine.running, machine._due, running = going, due, going
                for task in ended:
                    task.tokens = task.output
                    machine.held -= task.held
                    if rule.after(task, machine, self):
                        self.finished[task.request] = now
                        self._close(task)
        if now < machine.ready:
            machine._end = now
            return
        if self._stops and running:
            for task in running:
                task.tokens = task.output - (task.due - machine.steps)
            stopped = rule.stop(machine, self)
            for task in stopped:
                running.remove(task)
                machine.held -= task.held
                self.stopped += 1
            if stopped:
                machine._due = min([task.due for task in running], default=inf)
        reading, new = 0.0, []
        while (task := rule.admit(machine, self)) is not None:
            engine = machine.engine  # the rule may have changed it for this task
            task.held = task.prompt + task.output
            machine.held += task.held
            task.due = machine.steps + task.left
            machine._due = min(machine._due, task.due)
            running.append(task)
            new.append(task)
            if not task.kept:
                reading += engine.prompt + engine.per_token * task.prompt
            if isnan(self.started[task.request]):
                self.started[task.request] = now
        if running:
            machine._begin, machine._reading, engine = now, reading, machine.engine
            machine._seconds = engine.step + engine.per_task * len(running)
            first = now + reading + machine._seconds
            for task in new:
                if isnan(self.first[task.request]):
                    self.first[task.request] = first
            self._jump(machine, int(min(machine._due - machine.steps, machine.quantum)))
        else:
            machine._end = now

    def _jump(self, machine: Machine, steps: int) -> None:
        machine._steps = steps
        machine._end = machine._begin + machine._reading + steps * machine._seconds
        machine._stamp = stamp = next(self._order)
        heappush(self._events, (machine._end, stamp, machine, stamp))


def serve_requests(requests: Requests, machines: list[Machine], rule: Rule) -> Served:
    """Serve a trace on `machines` under `rule`.

    Parameters
    ----------
    requests : Requests
    machines : list of Machine
        Used up: make new ones for each run.
    rule : Rule
        Used up too where it remembers anything.

    Raises
    ------
    ValueError
        No machine, one that was used before, or one twice; something else than requests, machines
        or a rule.
    RuntimeError
        Requests that no machine can ever take.
    """
    instance(requests, Requests, "requests")
    machines = several(machines, "machines")
    if not machines:
        raise ValueError("there is no machine; give at least one")
    for machine in machines:
        instance(machine, Machine, "a machine")
    if len(set(map(id, machines))) < len(machines):
        raise ValueError("a machine is there twice; make one for each place")
    instance(rule, Rule, "rule")
    used = [machine.number for machine in machines if machine.steps or machine.load]
    if used:
        raise ValueError(f"machine {used[0]} was used before; make new machines for each run")
    return Cluster(requests, machines, rule).run()
