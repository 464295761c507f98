"""Errors that name the bad value and the fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

MOST_SHOWN = 80  # characters of somebody's value in a message


def shown(value, most: int = MOST_SHOWN) -> str:
    """A value as a message shows it: plain Python, on one line, cut to `most` characters.

    >>> import numpy as np
    >>> shown(np.int64(7)), shown([np.float64(0.5)]), shown("a" * 100, most=12)
    ('7', '[0.5]', "'aaaaaaaaaa…")
    """
    return excerpt(_written(_bare(value, most)), most)


def excerpt(text: str, most: int = MOST_SHOWN) -> str:
    r"""The begin of a text on one line, cut to `most` characters.

    What steers a terminal, turns the direction of writing or cannot be seen is escaped.

    >>> excerpt("red:\x1b[31m")
    'red:\\x1b[31m'
    """
    text = " ".join(text[: 4 * most].split())
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"


class _More:
    """What is left out."""

    def __repr__(self) -> str:
        return "…"


MORE = _More()


def _written(value) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of more than 4,300 digits
        return f"a {type(value).__name__} that is too long to be written"
    except Exception as error:  # somebody's own class
        return f"a {type(value).__name__} that cannot be written ({type(error).__name__})"
    # Where an object lies in memory helps nobody.
    return re.sub(r" (object )?at 0x[0-9a-fA-F]+", "", text)


def _bare(value, most: int, deep: int = 4):
    """The value without the types of numpy and torch, which write them into a repr, and not long.

    A text of megabytes is not written out to be cut, nor what lies many levels deep or holds
    itself.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str | bytes):
        return value[: most + 1]
    nested = isinstance(value, Mapping) or type(value) in (tuple, list, set, frozenset)
    if nested and not deep:
        return MORE
    if isinstance(value, Mapping) and len(value) <= 10:
        return {_bare(k, most, deep - 1): _bare(v, most, deep - 1) for k, v in value.items()}
    if nested and not isinstance(value, Mapping):
        few = [_bare(part, most, deep - 1) for part in list(value)[:10]]
        return [*few, MORE] if len(value) > 10 else type(value)(few)
    return value


def nearest(name, known: Iterable) -> str:
    """A hint such as ``; did you mean 'big'?``, or the first few known names."""
    known = [str(k) for k in known]
    if not known:
        return ""
    close = get_close_matches(str(name), known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(shown(c, 30) for c in close) + "?"
    few = ", ".join(excerpt(k, 16) for k in known[:5])
    return f"; known are {few}" + (", …" if len(known) > 5 else "")


def several(values, what: str) -> list:
    """`values` as a list: what a caller gave where several things are expected.

    Lists, tuples, ranges, generators, one-dimensional arrays, tensors and columns of data frames
    are several things. A string, a mapping, a data frame and a set iterate as something else.

    Parameters
    ----------
    values
    what : str
        What they are, in the plural, for the message: ``"models"``.

    Raises
    ------
    ValueError
        One string, a mapping, a data frame, a set, a single value or an array of more dimensions:
        named with the fix.
    """
    kind = type(values).__name__
    if isinstance(values, str | bytes):
        raise ValueError(f"{what} is one string, {shown(values)}; pass a list: [{shown(values)}]")
    if isinstance(values, Mapping):
        raise ValueError(f"{what} is a {kind}, which iterates over its keys; give a list")
    columns = getattr(values, "column_names", getattr(values, "columns", None))
    if columns is not None and not callable(columns):
        name = shown(next(reversed(list(columns)), "name"), 40)
        raise ValueError(
            f"{what} is a {kind}, which iterates over its columns; give one column of it, such as"
            f" frame[{name}]"
        )
    if isinstance(values, set | frozenset):
        raise ValueError(f"{what} is a {kind}, which has no order; give a list")
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"{what} has {values.ndim} dimensions; give a list of one dimension")
    for plain in ("tolist", "to_list", "to_pylist"):  # numpy, torch, pandas; polars; pyarrow
        if hasattr(values, plain):
            return getattr(values, plain)()
    if not isinstance(values, Iterable):
        raise ValueError(f"{what} is {shown(values)} ({kind}); give a list")
    return list(values)


class UnknownName(KeyError):
    """A `KeyError` whose message is shown as written, not as a repr."""

    def __str__(self) -> str:
        return self.args[0]


def check_known(name, known, what: str, where: str) -> None:
    """Raise `UnknownName` with the nearest names unless `name` is among `known`."""
    try:
        there = name in known
    except TypeError:  # a list or another thing that names nothing
        there = False
    if not there:
        raise UnknownName(f"no {what} {shown(name)} in the {where}{nearest(name, known)}")
