"""Where code stands in a markdown text: nothing there is a tag, a title or a formula."""

from __future__ import annotations

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence

# A fence may stand in a list or a quotation; the one that closes it is as long, and alone.
OPENS = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?P<fence>`{3,}+(?!.*`)|~{3,})")
LIST_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]")
INDENTED = re.compile(r"(?: {4}| {0,3}\t)\s*\S")
TICKS = re.compile(r"`+")


def code_spans(text: str, indented: bool = False) -> list[tuple[int, int]]:
    """Start and end of all code in a markdown text: fenced blocks and code spans, in order.

    Parameters
    ----------
    text : str
    indented : bool
        Blocks that are code because four spaces stand before them as well.

    Returns
    -------
    list of (int, int)
        A fence that is never closed goes on to the end of the text, as in CommonMark.
    """
    blocks = _blocks(text, indented)
    spans, start = [], 0
    for block in [*blocks, (len(text), len(text))]:
        spans += _inline(text, start, block[0])
        start = block[1]
    return sorted(spans + blocks)


def without_code(text: str) -> str:
    """`text` with blanks in the place of its code, so that all other places stay where they are."""
    parts, at = [], 0
    for start, end in code_spans(text, indented=True):
        parts += [text[at:start], re.sub(r"[^\n]", " ", text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def is_inside(place: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a place of the text lies in one of the spans, which are in order."""
    before = bisect(spans, place, key=lambda span: span[0]) - 1
    return before >= 0 and place < spans[before][1]


def _blocks(text: str, indented: bool) -> list[tuple[int, int]]:
    """Fenced and, where asked for, indented blocks."""
    blocks, at, opened = [], 0, None
    before_blank, in_list = True, False
    for line in text.splitlines(keepends=True):
        if opened:
            start, fence = opened
            if re.fullmatch(rf"[\s>]*{re.escape(fence[0])}{{{len(fence)},}}\s*", line):
                blocks.append((start, at + len(line)))
                opened = None
        elif found := OPENS.match(line):
            opened = at, found["fence"]
        elif indented and INDENTED.match(line) and before_blank and not in_list:
            blocks.append((at, at + len(line)))
        else:
            in_list = bool(LIST_ITEM.match(line)) or (in_list and line[:1] in " \t\r\n")
            before_blank = not line.strip()
        at += len(line)
    if opened:
        blocks.append((opened[0], len(text)))
    return blocks


def _inline(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Code spans between two places: a run of marks up to the next of the same length.

    A span ends with its paragraph, and a mark behind a backslash opens none.
    """
    spans = []
    for paragraph in re.finditer(r"(?:(?!\n[ \t]*\r?\n).)+", text[start:end], re.DOTALL):
        part, offset, done = paragraph[0], start + paragraph.start(), 0
        runs = [found.span() for found in TICKS.finditer(part)]
        starts = defaultdict(list)  # by length where the runs begin, in order
        for first, last in runs:
            starts[last - first].append(first)
        for first, last in runs:
            if first < done:  # inside of the span before
                continue
            begin = first + _is_escaped(part, first)  # that mark is a letter like any other
            same = starts[last - begin]
            closes = bisect(same, first)
            if begin < last and closes < len(same):
                done = same[closes] + last - begin
                spans.append((offset + begin, offset + done))
    return spans


def _is_escaped(text: str, place: int) -> bool:
    """Whether an odd number of backslashes stands before the place."""
    at = place
    while at and text[at - 1] == "\\":
        at -= 1
    return (place - at) % 2 == 1
