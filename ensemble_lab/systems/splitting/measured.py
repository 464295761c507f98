"""What a split model tells: its stages, each step, and a whole text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple


class Recovery(NamedTuple):
    """A stage that was lost and replaced."""

    stage: int
    """Which stage, from 0."""
    after: int
    """How many new tokens there were."""
    reason: str
    """What the client noticed."""
    resent: int
    """Bytes of inputs that the new stage was sent, its header included."""
    seconds: float
    """From the notice to the new stage's first states."""


class Step(NamedTuple):
    """One new token, and what it took. Entry i of each tuple is of stage i."""

    token: int
    """The token's id."""
    sent: tuple[int, ...]
    """Bytes to each stage, headers included."""
    received: tuple[int, ...]
    """Bytes from each stage."""
    stage_seconds: tuple[float, ...]
    """Computing in each stage."""
    link_seconds: tuple[float, ...]
    """On the way to and from each stage: link, sockets and waiting."""
    client_seconds: float
    """Embedding, head and choice of the token, in this process."""
    recoveries: tuple[Recovery, ...]
    """The stages that were lost at this token."""


class StageInfo(NamedTuple):
    """One stage of a split model."""

    first: int
    """Its first layer."""
    last: int
    """The layer behind its last one."""
    pid: int
    """The number of its process."""
    alive: bool
    """Whether the process runs."""


class Continued(NamedTuple):
    """A text that stages wrote, and what it took. Entry i of each tuple is of stage i."""

    text: str
    """The text, without special tokens."""
    tokens: tuple[int, ...]
    """Its token ids, with the end-of-sequence token."""
    sent: tuple[int, ...]
    """Bytes to each stage, headers included."""
    received: tuple[int, ...]
    """Bytes from each stage."""
    stage_seconds: tuple[float, ...]
    """Computing in each stage."""
    link_seconds: tuple[float, ...]
    """On the way to and from each stage."""
    client_seconds: float
    """In this process."""
    recoveries: tuple[Recovery, ...]
    """The stages that were lost, in order."""

    @classmethod
    def of(cls, text: str, steps: Sequence[Step]) -> Continued:
        """The sums over the steps of a text."""
        _, *rows, client, recoveries = zip(*steps, strict=True)
        totals = [tuple(map(sum, zip(*row, strict=True))) for row in rows]
        return cls(
            text,
            tuple(step.token for step in steps),
            *totals,
            sum(client),
            tuple(itertools.chain(*recoveries)),
        )
