"""Replies that a recording's file lacks, and a new file for them where it is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.recordings.lines import json_line
from ensemble_lab.core.recordings.recording import HEADER, Recording

MOST_OF_A_NAME = 40  # characters: a name of 255 bytes has no room for more


def lacking(there: Recording, complete: Recording) -> Iterator[dict]:
    """The lines of `complete` that are not in `there`, which may get them meanwhile."""
    for item, known in complete.facts.items():
        # Compared as written: two spellings of one number are not the same fact.
        if item not in there.facts or json_line(there.facts[item]) != json_line(known):
            yield {"item": item} | known
    for (item, model), line in complete.replies.items():
        found = there.replies.get((item, model))
        if found is None:
            yield {"item": item, "model": model} | line
        elif "correct" in line and "correct" not in found:
            yield {"item": item, "model": model, "graded": line["correct"]}
    for (item, model), kind in complete.failed.items():
        if (item, model) not in there.replies and (item, model) not in there.failed:
            yield {"item": item, "failed": kind, "by": model}


def rescued(path: Path, complete: Recording, new: Iterable[dict], error: Exception) -> Exception:
    """Write all replies to a new file next to `path`, and return an error that names it.

    Parameters
    ----------
    path : Path
        A recording that cannot be continued.
    complete : Recording
    new : iterable of dict
        Lines that were about to be written.
    error : OSError or ValueError
        Why it cannot be continued.

    Returns
    -------
    OSError or ValueError
        An error to raise, which names the file.

    Raises
    ------
    OSError
        Nothing can be written there.
    """
    lines = [HEADER, *lacking(Recording(), complete), *new]
    there = _written(path, "".join(map(json_line, lines)))
    why = str(error.__cause__ or error).removeprefix(f"{shown(str(path), 150)} ")
    kind = OSError if isinstance(error, OSError) else ValueError
    return kind(
        f"{shown(str(path), 90)} was damaged while it was recorded ({excerpt(why, 70)}): all"
        f" replies are in {shown(there.name)} next to it; record to that path to continue"
    )


def _written(path: Path, text: str) -> Path:
    """The path of a new file with `text` next to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        there = path.with_name(f"{path.stem[:MOST_OF_A_NAME]}.rescued-{number}.jsonl")
        try:
            file = there.open("x", encoding="utf-8", newline="\n")
        except FileExistsError:  # from an earlier time
            continue
        with file:
            file.write(text)
        return there
