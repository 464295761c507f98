"""A file on disk: its kind by its name, unpacked within limits, and errors that name it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ensemble_lab.core.errors import excerpt, shown

ZIPPED = ".gz"
# Errors of files that are damaged, or made to do harm. Arrow raises NotImplementedError for a type
# that it cannot read.
REFUSED = (
    ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError, OSError, EOFError,
    MemoryError, zlib.error,
)  # fmt: skip
MOST_UNPACKED = 2**30  # bytes: a small file may unpack to more than the memory holds
MOST_WHY = 260  # characters of a reason


def existing(path: str | Path) -> Path:
    """The path of a file or folder that exists.

    Raises
    ------
    ValueError, FileNotFoundError
        Something that is not a path, an address, or no such file.
    """
    if not isinstance(path, str | Path):
        raise ValueError(f"path is {shown(path)} ({type(path).__name__}); give the path of a file")
    if "://" in str(path):
        raise ValueError(f"{shown(str(path))} is an address; download the file and give its path")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no file {shown(str(path), 200)}; give the path of a file that exists"
        )
    return path


@contextmanager
def refusal(path: Path) -> Iterator[None]:
    """Errors inside name the file and are short."""
    try:
        yield
    except RecursionError:
        deep = "something in it is nested too deeply; make it text or numbers"
        raise ValueError(f"{shown(str(path), 200)} could not be read: {deep}") from None
    except REFUSED as error:
        why = excerpt(f"it lacks {error}" if type(error) is KeyError else str(error), MOST_WHY)
        raise ValueError(f"{shown(str(path), 200)} could not be read: {why}") from error


def is_zipped(path: Path) -> bool:
    """Whether the name ends in ``.gz``."""
    return path.suffix.lower() == ZIPPED


def kind_of(path: Path) -> str:
    """The end of the name, before ``.gz``: such as ``.csv`` or ``.jsonl``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return (suffixes[-2:-1] or [".csv"])[0] if is_zipped(path) else "".join(suffixes[-1:])


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is ``.gz``."""
    return _unpacked(path) if is_zipped(path) else path.read_bytes()


def _unpacked(path: Path) -> bytes:
    parts, room = [], MOST_UNPACKED
    with gzip.open(path) as file:
        while part := file.read(2**20):
            room -= len(part)
            if room < 0:
                raise ValueError(
                    f"it unpacks to more than {MOST_UNPACKED / 2**30:.2g} GiB; if you trust it,"
                    " unpack it yourself and read a part of it"
                )
            parts.append(part)
    return b"".join(parts)
