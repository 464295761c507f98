"""Lines of JSON: as a recording writes them, and as editors change them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

BOM = b"\xef\xbb\xbf"  # some editors begin UTF-8 with it
STEERING = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def json_line(line: dict) -> str:
    """One line of a recording. Most characters are not escaped, which saves up to two thirds.

    Characters that an editor may read as an end of line, or a terminal as a command, are escaped.
    """
    text = json.dumps(line, ensure_ascii=False)
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def loads(text: bytes):
    """The object in a line.

    Raises
    ------
    ValueError
        No JSON in UTF-8, or nested deeper than Python reads.
    """
    try:
        return json.loads(text.decode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def whole_lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes, bytes, bool]]:
    r"""Number, end, text, bytes and whether it is the last one, of each line that is not blank.

    Ends of line in bytes are \n, \r and \r\n, which JSON never has inside a text.
    """
    held, number, end = None, 0, 0
    for chunk in file:  # up to a \n
        for raw in chunk.splitlines(keepends=True):
            number, end = number + 1, end + len(raw)
            if text := without_marks(raw):
                if held is not None:
                    yield *held, False
                held = number, end, text, raw
            elif held is not None:
                held = held[0], end, *held[2:]  # blank lines belong to the line above
    if held is not None:
        yield *held, True


def lines_with(mark: bytes, data: bytes) -> Iterator[bytes]:
    """The lines that hold `mark`, found without a copy of all the others."""
    at = data.find(mark)
    while at >= 0:
        start = max(data.rfind(b"\n", 0, at), data.rfind(b"\r", 0, at)) + 1
        ends = [end for end in (data.find(b"\n", at), data.find(b"\r", at)) if end >= 0]
        end = min(ends, default=len(data))
        yield without_marks(data[start:end])
        at = data.find(mark, end)


def without_marks(raw: bytes) -> bytes:
    """A line without the spaces, the end of line and the byte order marks around it."""
    text = raw.strip()
    while text.startswith(BOM):
        text = text.removeprefix(BOM).strip()
    return text
