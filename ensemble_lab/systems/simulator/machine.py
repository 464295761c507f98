"""A machine that answers as an engine does: continuous batching, in whole steps.

At the end of each step the machine lets waiting tasks in, as long as there is room, and reads their
prompts. Then each running task writes one token a step (Yu et al. 2022, Orca; vLLM).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from ensemble_lab.systems.simulator.inputs import instance, positive, whole


@dataclass(frozen=True)
class Engine:
    """How long an engine takes, in seconds.

    A step of b running tasks takes ``step + per_task * b``. Reading a prompt of t tokens takes
    ``prompt + per_token * t`` more, in which the others wait.

    Parameters
    ----------
    step, per_task, prompt, per_token : float
        Seconds.
    slots : int
        Tasks that can run together.
    capacity : float
        Tokens of prompts and outputs that fit into memory together.

    Raises
    ------
    ValueError
        A negative time, a step without time, no slot, no capacity.
    """

    step: float
    per_task: float = 0.0
    prompt: float = 0.0
    per_token: float = 0.0
    slots: int = 1
    capacity: float = inf

    def __post_init__(self):
        for name in ("step", "per_task", "prompt", "per_token"):
            object.__setattr__(self, name, positive(getattr(self, name), name, " seconds", True))
        if not self.step + self.per_task:
            raise ValueError("a step takes no time; give step or per_task above 0")
        object.__setattr__(self, "slots", whole(self.slots, "slots"))
        if self.capacity != inf:
            object.__setattr__(self, "capacity", positive(self.capacity, "capacity", " tokens"))


class Task:
    """A request on a machine; a request may be several tasks, one after or beside the other.

    Attributes
    ----------
    request : int
        Its number in the trace.
    model : int
    prompt : int
        Tokens to be read before the next token; a rule lowers it where a prefix is cached.
    output : int
        Tokens to be written.
    tokens : int
        Tokens written so far.
    kept : bool
        Whether its cache is on the machine already, so that nothing is read.
    arrival, until : float
        When the request came, and until when its answer is of use.
    """

    __slots__ = (
        "arrival", "due", "held", "kept", "model", "output", "prompt", "request", "tokens", "until",
    )  # fmt: skip

    def __init__(self, request, model, prompt, output, arrival, until):
        self.request, self.model, self.prompt, self.output = request, model, prompt, output
        self.arrival, self.until = arrival, until
        self.tokens = self.due = self.held = 0
        self.kept = False

    def copy(self, *, prompt: int | None = None, output: int | None = None) -> Task:
        """Another task for the same request."""
        return Task(
            self.request,
            self.model,
            self.prompt if prompt is None else prompt,
            self.output if output is None else output,
            self.arrival,
            self.until,
        )

    @property
    def left(self) -> int:
        """Tokens still to be written (of a running task: when its machine last stopped)."""
        return self.output - self.tokens


class Machine:
    """One machine of a cluster; rules read it, and change `queue` and `engine`.

    Attributes
    ----------
    number : int
        Its place in the cluster.
    engine : Engine
    queue : deque of Task
        Waiting here, the first to be let in first.
    running : list of Task
        In no order.
    models : set of int
        Models that are loaded; only rules look at it.
    ready : float
        Seconds at which it can begin to work: infinite while it is switched off.
    quantum : float
        The most steps before tasks are let in and stopped again.
    busy, paid : float
        Seconds it has worked, and seconds it was switched on.
    """

    __slots__ = (
        "_begin", "_due", "_end", "_on", "_reading", "_seconds", "_stamp", "_steps", "busy",
        "engine", "held", "models", "number", "paid", "quantum", "queue", "ready", "running",
        "steps",
    )  # fmt: skip

    def __init__(self, number: int, engine: Engine, models=()):
        self.number = whole(number, "number", 0)
        self.engine, self.models = instance(engine, Engine, "engine"), set(models)
        self.queue: deque[Task] = deque()
        self.running: list[Task] = []
        self.ready, self.quantum = 0.0, inf
        self.busy = self.paid = 0.0
        self.held = 0  # tokens of prompts and outputs of those that run
        self.steps = 0  # steps made since the start
        self._on: float | None = 0.0  # since when it is paid for
        self._stamp = 0  # the one event of this machine that still counts
        self._begin = self._end = self._reading = self._seconds = 0.0
        self._steps = 0
        self._due: float = inf  # the step at which the first of those that run ends

    @property
    def load(self) -> int:
        """Tasks here, running and waiting."""
        return len(self.running) + len(self.queue)

    @property
    def room(self) -> bool:
        """Whether one more task may run, as far as slots count."""
        return len(self.running) < self.engine.slots

    def fits(self, task: Task) -> bool:
        """Whether `task` may run now: a slot and memory are free."""
        engine = self.engine
        size = task.prompt + task.output
        return len(self.running) < engine.slots and self.held + size <= engine.capacity
