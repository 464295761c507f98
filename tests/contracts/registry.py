"""Which public names have a contract, and what a refusal must be like."""

from __future__ import annotations

import re
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

COVERED: dict[str, list[str]] = {}
ROOT = str(Path(__file__).parents[2] / "ensemble_lab")
FOREIGN = ("np.", "numpy", "dtype", "pyarrow.lib", "<class")
RAW = (
    "not supported between",
    "object is not",
    "has no attribute",
    "unhashable",
    "not subscriptable",
)
RAW += ("invalid literal", "could not convert", "must be real number", "ambiguous", "out of bounds")


def contract(*names: str):
    """Mark a test as the contract of public names."""

    def mark(test):
        for name in names:
            COVERED.setdefault(name, []).append(test.__name__)
        return test

    return mark


def check_refusal(error: BaseException, thing: str | None = None) -> None:
    """The error is one of ours, short, plain, and names the offending thing.

    Raises
    ------
    AssertionError
        Anything else.
    """
    text = str(error)
    ours = type(error).__module__.startswith("ensemble_lab")  # such as ModelError
    assert ours or isinstance(error, (ValueError, TypeError, KeyError)), repr(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    assert where.filename.startswith(ROOT), f"{where.filename} says {error!r}, not we"
    assert len(text) <= 300, f"{len(text)} characters: {text}"
    assert text.count("\n") <= 1, f"{text.count(chr(10)) + 1} lines: {text}"
    for word in FOREIGN:
        assert word not in re.sub(r"pandas\.read_csv\([^)]*\)", "", text), f"{word} in {text!r}"
    assert not any(words in text for words in RAW), f"Python's own words: {text}"
    if thing is not None:
        ways = {thing[:18], repr(thing)[1:19], repr(thing[:18])[1:-1], " ".join(thing.split())[:18]}
        assert any(way in text for way in ways), f"{thing!r} is not named: {text}"


class Accepted(AssertionError):
    """What had to be refused was accepted."""


@contextmanager
def refused(thing: str | None = None):
    """What is inside must be refused, with words that name `thing`."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        check_refusal(error, thing)
    else:
        raise Accepted(f"accepted, although {thing!r} is wrong")


def collected(calls: dict) -> None:
    """Every one of these calls must be refused; says which are not."""
    faults = {}
    for what, call in calls.items():
        try:
            with refused():
                call()
        except AssertionError as error:
            faults[what] = str(error).split("\n")[0][:200]
    assert not faults, faults


@contextmanager
def quiet():
    """What is said aloud is ours: a UserWarning of two lines; anything else is an error."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield said
    for one in said:
        if issubclass(one.category, ResourceWarning):
            continue
        text = str(one.message)
        assert one.category is UserWarning, f"{one.category.__name__}: {text}"
        assert len(text) <= 300 and text.count("\n") <= 1, f"{len(text)} characters: {text}"
        assert not any(word in text for word in FOREIGN), text
