"""What one model says about one item."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One model's reply to one item, with whatever the model can tell about it.

    Parameters
    ----------
    answer
        The label or value the model answers. `None` is an answer that could not be parsed.
    confidence
        How sure the model is of `answer`, in [0, 1] where it is a probability.
    cost
        What the call cost, in USD.
    latency
        Seconds from call to reply. `None` lets the caller's clock decide.
    tokens
        Tokens generated.
    probability
        Label to probability, for models that give the whole law.
    text
        The raw text a language model wrote, before parsing.
    """

    answer: Hashable | None
    confidence: float | None = None
    cost: float | None = None
    latency: float | None = None
    tokens: int | None = None
    probability: Mapping[Hashable, float] | None = None
    text: str | None = None


Model = Callable[[Any], "Reply | Hashable"]
"""A model is anything that can be called with an item; a bare value counts as its answer."""


def as_reply(value: Reply | Hashable) -> Reply:
    """Wrap a bare answer in a `Reply`; a `Reply` passes through."""
    return value if isinstance(value, Reply) else Reply(value)
