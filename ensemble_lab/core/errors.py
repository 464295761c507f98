"""Errors that name the bad value and the mend."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name, known: Iterable) -> str:
    """A hint such as ``; did you mean 'big'?``, or the first few known names."""
    known = [str(k) for k in known]
    close = get_close_matches(str(name), known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "; known are " + ", ".join(known[:5]) + (", …" if len(known) > 5 else "")


class UnknownName(KeyError):
    """A `KeyError` whose message is shown as written, not as a repr."""

    def __str__(self) -> str:
        return self.args[0]


def check_known(name, known, what: str, where: str) -> None:
    """Raise `UnknownName` with the nearest names unless `name` is among `known`."""
    if name not in known:
        raise UnknownName(f"no {what} {name!r} in the {where}{nearest(name, known)}")


def require(outcomes, name: str, who: str):
    """The field `name` of `outcomes`, or a `ValueError` that says who needs it."""
    value = getattr(outcomes, name)
    if value is None:
        raise ValueError(
            f"{who} needs {name!r}, which these outcomes do not have"
            f" (they have {', '.join(outcomes.known)}); record it or choose another policy"
        )
    return value
