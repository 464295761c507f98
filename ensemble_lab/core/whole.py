"""Files that are whole or not there: what stops a program leaves no half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: str | Path, text: str) -> Path:
    r"""Write `text` beside `path` and move it there: readers see the old file or the new one.

    A link in the place of `path` is replaced, not followed.

    Parameters
    ----------
    path : path
    text : str
        Written in UTF-8; half a character, as a broken name has one, as ``\udc80``.

    Raises
    ------
    OSError
        A full disk, a folder in the way, a folder that cannot be written. The old file stays.
    """
    path = Path(path)
    with (
        moved_to(path) as part,
        # "x": what a stranger put there stays.
        open(part, "x", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.write(text)
    return path


@contextmanager
def moved_to(path: Path) -> Iterator[Path]:
    """The path of a file to be written beside `path`, which takes its place when it is whole."""
    # Of its own name, for a long one has no room left.
    part = path.with_name(f".ensemble-lab-{secrets.token_hex(4)}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:  # Ctrl-C as well
        part.unlink(missing_ok=True)
        raise
