"""Files that are complete or do not exist: an interrupted program leaves no half file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: str | Path, text: str) -> Path:
    r"""Write `text` to a file next to `path` and move it there: readers see the old or the new
    file.

    A link in the place of `path` is replaced, not followed.

    Parameters
    ----------
    path : path
    text : str
        Written in UTF-8; half a character, as in a broken name, is written as ``\udc80``.

    Raises
    ------
    OSError
        A full disk, a folder in its place, a folder that cannot be written. The old file is kept.
    """
    path = Path(path)
    with (
        moved_to(path) as part,
        # "x": a file that another user put there is kept.
        open(part, "x", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.write(text)
    return path


@contextmanager
def moved_to(path: Path) -> Iterator[Path]:
    """The path of a temporary file next to `path`, which replaces it when it is complete."""
    # With a name of its own: a long name would leave no room.
    part = path.with_name(f".ensemble-lab-{secrets.token_hex(4)}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:  # Ctrl-C as well
        part.unlink(missing_ok=True)
        raise
