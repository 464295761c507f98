"""One model's reply to one item, and how it is written to a recording."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.states import MEASURES

SLACK = (
    9.99e-4  # a table allows 1e-3: a sum that passes here must pass there, in any order of terms
)


@dataclass(frozen=True)
class Reply:
    """One model's reply to one item, with all that the model reports about it.

    Parameters
    ----------
    answer
        The label or value: text or a number. `None` is an answer that could not be parsed.
    confidence
        The model's confidence in `answer`, in [0, 1] where it is a probability.
    cost
        Price of the call in USD.
    latency
        Seconds from call to reply. With `None` the caller's clock is used.
    tokens
        Tokens generated.
    probability
        Label to probability, for models that give one for each label.
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


def exact(value, what: str, where: str = ""):
    """A label, name or feature as plain Python that JSON restores with its type.

    Scalars of numpy and torch become Python's own, and so do subclasses of str and of numbers,
    such as the members of an Enum. Gaps (NaN, pandas' NA and NaT) become None.

    Parameters
    ----------
    value
    what, where : str
        For the message: the kind of value, and its item and model.

    Raises
    ------
    TypeError
        Neither text nor a number.
    ValueError
        A whole number that is too long for a table.
    """
    bare = unwrapped(value)
    if isinstance(bare, str):
        return in_utf8(str.__str__(bare))  # not str(): an Enum would give the name of its member
    if bare is None or isinstance(bare, bool):
        return bare
    if isinstance(bare, int):
        if abs(bare) > sys.float_info.max:
            raise ValueError(
                f"the {what} is a whole number of over 308 digits{where}; make it text"
            )
        return int(bare)
    if isinstance(bare, float):
        return None if bare != bare else float(bare)
    raise TypeError(
        f"the {what} {shown(value)} is {type(value).__name__}{where}; make it str or number"
    )


def in_utf8(text: str) -> str:
    """`text` with a replacement character for each half of one, which a file cannot hold.

    A model that stops inside an emoji ends in such a half; two halves in a row are joined.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def entry(reply: Reply, latency: float, where: str) -> dict:
    """The fields of a reply as a line of a recording; absent ones are left out.

    Parameters
    ----------
    reply : Reply
    latency : float
        Seconds by the caller's clock.
    where : str
        Model and item, for the messages: ``" for item 3, model 'small'"``.

    Raises
    ------
    TypeError, ValueError
        A value that could not be read again: named with its field and `where`.
    """
    if not isinstance(reply.text, str | None):
        raise TypeError(f"the text is {shown(reply.text)}{where}; make it str")
    written = {
        "answer": exact(reply.answer, "answer", where),
        "probability": _distribution(reply.probability, where),
        "text": None if reply.text is None else in_utf8(reply.text),
    }
    # A measure that is NaN is written as null: the model reports it, but not this time.
    measures = {name: getattr(reply, name) for name in MEASURES}
    measures["latency"] = latency if reply.latency is None else reply.latency
    return {name: value for name, value in written.items() if value is not None} | {
        name: _number(value, name, where) for name, value in measures.items() if value is not None
    }


def unwrapped(value):
    """A scalar of numpy or torch as Python's own, and None for pandas' gaps."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _number(value, name: str, where: str) -> float | None:
    """A measure as a float; None where it is NaN."""
    bare = unwrapped(value)
    if bare is None:
        return None
    # Text is not guessed: "90" may be a share or per cent. Decimals and fractions are numbers.
    if isinstance(bare, bool | str) or hasattr(bare, "ndim") or not hasattr(bare, "__float__"):
        raise TypeError(f"the {name} is {shown(value)}{where}; make it a number, or None")
    try:
        number = float(bare)
    except OverflowError:
        number = math.inf
    if math.isinf(number) or (number < 0 and name != "confidence"):
        rule = "finite" if name == "confidence" else "finite and not negative"
        raise ValueError(f"the {name} is {number:g}{where}; it is {rule}, or None")
    return None if math.isnan(number) else number


def _distribution(proba, where: str) -> list | None:
    """Pairs of label and probability: as keys of a JSON object all labels would become text."""
    if proba is None:
        return None
    if not hasattr(proba, "items") or hasattr(proba, "columns"):  # a column with an index has items
        kind = type(proba).__name__
        raise TypeError(
            f"the probability is {shown(proba)} ({kind}){where}; give a mapping:"
            " dict(zip(labels, probabilities))"
        )
    pairs = [
        [exact(label, "label", where), _number(p, "probability", where)]
        for label, p in proba.items()
    ]
    if pairs and all(p is None for _, p in pairs):
        return None
    labels = [label for label, _ in pairs]
    if None in labels or len(set(labels)) < len(labels):
        raise ValueError(f"the probability has a label twice, or none{where}: {shown(labels)}")
    if any(p is None for _, p in pairs):
        raise ValueError(f"the probability is known for some labels only{where}; give all or none")
    total = sum(p for _, p in pairs)
    if abs(total - 1) > SLACK:
        raise ValueError(
            f"the sum of the probability is {total:g}{where}; give probabilities that sum to 1,"
            " or None"
        )
    return pairs
