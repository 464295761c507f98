"""`Heard`: a member's reply to a policy; several members are heard at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heard:
    """A member's reply: the completion for the client, and its line for a table.

    Parameters
    ----------
    line : dict
        As `ensemble_lab.core.reply.entry` gives it.
    body : dict
        The completion.
    usage : dict
        Token counts of all calls that it took.
    seconds : float
    unknown : int
        Calls of which neither tokens nor cost are known: they failed, or lost to a second call.
    judge : str, optional
        The member that said how sure this reply is, a `Verifier`'s.
    judge_failed : str, optional
        How its call failed.
    """

    line: dict = field(repr=False)
    body: dict = field(repr=False)
    usage: dict
    seconds: float
    unknown: int = 0
    judge: str | None = None
    judge_failed: str | None = None


async def gathered(calls: list) -> list:
    """The results of several calls at the same time; the first error cancels the others."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def sum_or_none(values) -> float | None:
    """The sum, or None where a value is not known."""
    values = list(values)
    return None if None in values else sum(values)
