"""What a traced decoding keeps, token by token, and the files that hold it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ensemble_lab.core.errors import shown

ACCEPTED, CORRECTED, BONUS, PLAIN = VERDICTS = ("accepted", "corrected", "bonus", "plain")
TOP = 5  # tokens of a distribution that are kept
DIGITS = 3  # significant ones in a file


@dataclass(frozen=True)
class Place:
    """One token of the text and how it came there.

    Parameters
    ----------
    token : str
        What stands there in the end.
    verdict : {"accepted", "corrected", "bonus", "plain"}
        Drafted and kept; drafted otherwise and replaced; the target's own behind drafted tokens
        that were all accepted; the target's own where nothing had been drafted.
    drafted : str or None
        What the draft had there.
    r : float or None
        The number in [0, 1) that decided: the drafted token is accepted where r < p / q. None
        where nothing was drawn.
    rejection : float
        Sum of max(p - q, 0), the chance that a drafted token is rejected here; 0 where nothing
        was drafted.
    tokens : tuple of str
        The likeliest tokens of p and q, with `token` and `drafted` among them.
    p, q : tuple of float
        Their probabilities under the target and under the draft; q is 0 where nothing was drafted.
    """

    token: str
    verdict: str
    drafted: str | None
    r: float | None
    rejection: float
    tokens: tuple[str, ...]
    p: tuple[float, ...]
    q: tuple[float, ...]

    @property
    def residual(self) -> tuple[float, ...]:
        """max(p - q, 0) over its sum: what a correction is drawn from; p where they are equal."""
        if self.rejection < 1e-6:
            return self.p
        return tuple(max(p - q, 0.0) / self.rejection for p, q in zip(self.p, self.q, strict=True))

    @property
    def ratio(self) -> float | None:
        """What r was compared with, p / q of the drafted token; None where nothing was drafted."""
        if self.drafted is None:
            return None
        at = self.tokens.index(self.drafted)
        return self.p[at] / self.q[at]


@dataclass(frozen=True)
class TracedRound:
    """The drafted tokens of a round, how many were accepted, and the places that it filled."""

    drafted: tuple[str, ...]
    accepted: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Trace:
    """One generation with everything that its rounds saw.

    Parameters
    ----------
    prompt, draft : str
        What they are called in a picture.
    target : str
        Which weights wrote it.
    gamma : int
    temperature : float
    text : str
    rounds : tuple of TracedRound
    """

    prompt: str
    draft: str
    target: str
    gamma: int
    temperature: float
    text: str
    rounds: tuple[TracedRound, ...]

    @property
    def places(self) -> tuple[tuple[int, Place], ...]:
        """(round, place) of every token of the text."""
        return tuple((i, place) for i, one in enumerate(self.rounds) for place in one.places)


def write_traces(path: str | Path, traces: Trace | Iterable[Trace], **about: str) -> None:
    """Write traces as JSON, with what else is to be known of them."""
    kept = [_brief(astuple(one)) for one in ([traces] if isinstance(traces, Trace) else traces)]
    lines = ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in kept)
    head = json.dumps(about, ensure_ascii=False, indent=1)
    columns = json.dumps([[f.name for f in fields(kind)] for kind in (Trace, TracedRound, Place)])
    text = f'{{"about": {head},\n"columns": {columns},\n"traces": [\n{lines}\n]}}\n'
    Path(path).write_text(text, encoding="utf-8")


def read_traces(path: str | Path) -> list[Trace]:
    """What `write_traces` wrote.

    Raises
    ------
    ValueError
        Another file, or a damaged one.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["traces"]
        return [
            Trace(*head, tuple(TracedRound(tuple(d), a, tuple(map(_read_place, places)))
                               for d, a, places in rounds))
            for *head, rounds in found
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        why = shown(error)
        raise ValueError(
            f"{shown(str(path), 200)} holds no traces ({why}); record them again"
        ) from None


def _read_place(kept: Sequence) -> Place:
    return Place(*(tuple(part) if isinstance(part, list) else part for part in kept))


def _brief(value: Any) -> Any:
    """Nested tuples as lists of numbers with few digits."""
    if isinstance(value, float):
        short = float(np.format_float_positional(value, DIGITS, fractional=False))
        return int(short) if short.is_integer() else short
    return [_brief(part) for part in value] if isinstance(value, tuple) else value
