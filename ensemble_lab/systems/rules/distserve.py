"""DistServe: machines that read prompts, and machines that write answers."""

from __future__ import annotations

from math import inf

from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import positive, whole


def time_to_first_token(
    rate: float, seconds: float, *, stages: int = 1, speedup: float = 1.0
) -> float:
    """Mean seconds from arrival to the first token, of a machine that reads one prompt at a time.

    An M/D/1 queue: arrivals are Poisson, and all prompts take as long. Cut into `stages` machines
    (inter-operator parallelism) a prompt takes as long as before, but the next one may come in
    after one stage. On several machines at once (intra-operator parallelism) it is `speedup` times
    as fast. DistServe (Zhong et al. 2024, OSDI), section 3.1.

    Parameters
    ----------
    rate : float
        Requests a second.
    seconds : float
        Time to read a prompt on one machine.

    Raises
    ------
    ValueError
        A rate or a time that is not positive, no stage, a queue that grows for ever.
    """
    rate, seconds = positive(rate, "rate", " requests/s"), positive(seconds, "seconds")
    stages, speedup = whole(stages, "stages"), positive(speedup, "speedup")
    alone = seconds / speedup
    longest = alone / stages
    if rate * longest >= 1:
        raise ValueError(
            f"{rate:g} requests/s of {longest:g} s each are a load of {rate * longest:g}; the queue"
            " grows for ever from 1 on, so lower the rate or add stages"
        )
    return alone + rate * longest**2 / (2 * (1 - rate * longest))


class DistServe(Rule):
    """The first machines read prompts and write one token; the rest write the others.

    No answer waits while a prompt is read. The cache of a prompt moves to the least loaded writer.

    Parameters
    ----------
    readers : int
        Machines that read prompts.
    bandwidth : float, optional
        Tokens of cache that move in a second; at once by default.
    """

    def __init__(self, readers: int = 1, bandwidth: float | None = None):
        self.readers = whole(readers, "readers")
        self.bandwidth = inf if bandwidth is None else positive(bandwidth, "bandwidth")

    def start(self, cluster):
        machines = cluster.machines
        if len(machines) <= self.readers:
            raise ValueError(
                f"{len(machines)} machines with {self.readers} readers leave none to write; give"
                " more machines or fewer readers"
            )
        self.reads, self.writes = machines[: self.readers], machines[self.readers :]
        self.given = [0] * len(machines)  # tasks of each, those on the way too
        self.outputs = cluster.requests.output.tolist()

    def place(self, task, cluster):
        task.output = 1
        return min(self.reads, key=lambda machine: machine.load)

    def after(self, task, machine, cluster):
        if machine.number >= self.readers:
            self.given[machine.number] -= 1
            return True
        rest = self.outputs[task.request] - 1
        if not rest:
            return True
        target = min(self.writes, key=lambda machine: self.given[machine.number])
        self.given[target.number] += 1
        written = task.copy(prompt=task.prompt + 1, output=rest)
        written.kept = True
        cluster.send(written, target, cluster.now + task.prompt / self.bandwidth)
        return False
