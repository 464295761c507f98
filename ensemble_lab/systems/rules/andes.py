"""Andes: give tokens to the readers that would otherwise wait for them."""

from __future__ import annotations

from math import inf
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import positive


def quality_of_experience(times, due: float, speed: float) -> float:
    """1 less the share of the expected reading that was lost by waiting for tokens.

    A reader expects the first token at `due` and takes ``1 / speed`` seconds for each. Waiting
    delays all that comes later; what came early is read in its own time. Areas lie between the
    curves of tokens begun, over the time until the end of the reading. Liu et al. 2024, "Andes:
    Defining and Enhancing Quality-of-Experience in LLM-Based Text Streaming Services".

    Parameters
    ----------
    times : array_like (tokens,)
        When each token came, not decreasing; infinite for one that never came.
    due : float
        Seconds, on the clock of `times`.
    speed : float
        Tokens a second.

    Returns
    -------
    float
        1 where the reader never waits for a token, 0 where nothing comes.

    Raises
    ------
    ValueError
        No token, times out of order, a `due` that is not finite, a speed that is not
        positive.
    """
    if not isinstance(times, np.ndarray):
        times = several(times, "times")
    times = np.asarray(times)
    if times.ndim != 1 or not len(times) or times.dtype.kind not in "iuf":
        raise ValueError(f"times is {shown(times.tolist())}; give one time a token")
    times = times.astype(float)
    if np.isnan(times).any() or (times[1:] < times[:-1]).any():
        raise ValueError("times are not in order; sort them, and write inf for a missing token")
    if not isinstance(due, Real) or isinstance(due, bool) or not -inf < due < inf:
        raise ValueError(f"due={shown(due)}; give the second at which the reader begins")
    speed = positive(speed, "speed", " tokens/s")
    expected = due + np.arange(len(times)) / speed
    begun = np.maximum.accumulate(np.maximum(times - expected, 0.0)) + expected
    came = begun[np.isfinite(times)]
    end = max(came[-1] if len(came) else -inf, expected[-1]) + 1 / speed
    return float(1 - (np.minimum(begun, end) - expected).sum() / (end - expected).sum())


def gain(ahead: float, asked: float, horizon: float) -> float:
    """Quality that a reader loses over the next `horizon` seconds if no token comes.

    Parameters
    ----------
    ahead, asked : float
        Seconds until the reader has nothing to read, and seconds since the first token was
        expected; negative where that time is past or still to come.
    horizon : float
        Seconds.
    """
    without = horizon - ahead if ahead > 0 else horizon
    if without <= 0:
        return 0.0
    share = without / max(asked + horizon, 1e-9)
    return share * share


class Streams(Rule):
    """First come, first served, with an account of what readers get.

    A machine on which somebody waits is looked at every `period` seconds; between two looks the
    tokens of an answer are taken to come evenly.

    Parameters
    ----------
    wait : float
        Seconds from arrival within which the first token is expected.
    speed : float
        Tokens that a reader takes in a second.
    period : float
        Seconds.

    Attributes
    ----------
    experience : list of float (requests,)
        Quality of experience of each answer, 0 where there is none.
    """

    eager = False

    def __init__(self, wait: float = 1.0, speed: float = 4.8, period: float = 1.0):
        self.wait, self.period = positive(wait, "wait", " s"), positive(period, "period", " s")
        self.speed = positive(speed, "speed", " tokens/s")

    def start(self, cluster):
        requests, n = cluster.requests, len(cluster.requests)
        self.output = requests.output.tolist()
        self.due = (requests.arrival + self.wait).tolist()  # when the first token is expected
        self.wanted = self.due.copy()  # when the reader wants the next token
        self.written, self.delay, self.lost = [0] * n, [0.0] * n, [0.0] * n
        self.experience = [0.0] * n
        self.last = [0.0] * n  # when each was last looked at
        self.look = set()  # machines to be looked at

    def admit(self, machine, cluster):
        task = super().admit(machine, cluster)
        if task is not None:
            self.last[task.request] = cluster.now
        return task

    def tick(self, cluster):
        for machine in cluster.on:
            if machine.queue:
                self.look.add(machine.number)
                cluster.wake(machine, full=True)

    def stop(self, machine, cluster):
        if machine.number not in self.look:
            return []
        self.look.remove(machine.number)
        for task in machine.running:
            self._note(task, cluster)
        return self.give_way(machine, cluster)

    def give_way(self, machine, cluster):
        return []

    def after(self, task, machine, cluster):
        self._note(task, cluster)
        i, n = task.request, self.output[task.request]
        whole = n * self.delay[i] + n * (n + 1) / (2 * self.speed)
        self.experience[i] = 1 - self.lost[i] / whole
        return True

    def _note(self, task, cluster):
        i, now = task.request, cluster.now
        before, after = self.written[i], self.output[i] - task.left
        new = after - before
        if new:
            came = self.last[i] + (now - self.last[i]) / new if before else cluster.first[i]
            due = self.due[i] + before / self.speed
            first, last = came - due, now - due - (new - 1) / self.speed  # how late they came
            delay = self.delay[i]
            if first > delay:
                delay = first
            self.lost[i] += new * delay
            if last > delay:  # tokens come slower than they are read: those at the end wait more
                more, step = last - delay, (last - first) / (new - 1)
                late = min(new, int(more / step) + 1)
                self.lost[i] += late * (more - (late - 1) * step / 2)
                delay = last
            self.written[i], self.delay[i] = after, delay
            self.wanted[i] = due + new / self.speed + delay
        self.last[i] = now


class Andes(Streams):
    """Run the answers whose readers lose most quality a token of memory if they must wait.

    Every `period` seconds the tasks of a machine, running and waiting, are put in that order. Those
    that have no place are stopped; the memory of the host keeps their cache. On average a request
    is stopped at most once. Liu et al. 2024, "Andes: Defining and Enhancing
    Quality-of-Experience in LLM-Based Text Streaming Services".

    Parameters
    ----------
    wait, speed, period : float
        As in `Streams`.
    horizon : float
        Seconds ahead for which the loss is reckoned.
    """

    def __init__(self, wait=1.0, speed=4.8, period=1.0, horizon: float = 10.0):
        super().__init__(wait, speed, period)
        self.horizon = positive(horizon, "horizon", " s")

    def give_way(self, machine, cluster):
        engine, queue = machine.engine, machine.queue
        if not queue or (len(queue) == 1 and machine.fits(queue[0])):
            return []
        tasks, now = [*machine.running, *queue], cluster.now
        worth = []
        for task in tasks:
            i = task.request
            lost = gain(self.wanted[i] - now, now - self.due[i], self.horizon)
            worth.append(lost / (task.prompt + task.tokens + 1))
        slots, memory, taken = engine.slots, engine.capacity, set()
        # The most worth first; equal ones stay in their order.
        order = sorted(range(len(tasks)), key=worth.__getitem__, reverse=True)
        for k in order:
            size = tasks[k].prompt + tasks[k].output
            if slots and size <= memory:
                slots, memory = slots - 1, memory - size
                taken.add(k)
        running = len(machine.running)
        out = [k for k in range(running) if k not in taken]
        if cluster.stopped + len(out) > max(task.request for task in tasks) + 1:
            out = []
        queue.clear()
        queue.extend(tasks[k] for k in order if k >= running)
        for k in out:
            tasks[k].kept = True
            queue.append(tasks[k])
        return [tasks[k] for k in out]
