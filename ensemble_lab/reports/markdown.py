"""The places of code in a markdown text, where nothing is a tag, a title or a formula."""

from __future__ import annotations

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence

# A fence may be in a list or a quotation; the closing one has the same length, on its own line.
OPENS = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?P<fence>`{3,}+(?!.*`)|~{3,})")
LIST_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]")
INDENTED = re.compile(r"(?: {4}| {0,3}\t)\s*\S")
TICKS = re.compile(r"`+")
# A line that starts like this is HTML up to its end mark; without one, up to a blank line.
HTML = re.compile(
    r"(?i)[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*<(?:(?P<raw>script|pre|style|textarea)(?=[\s>])"
    r"|(?P<comment>!--)|(?P<instruction>\?)|(?P<data>!\[CDATA\[)|(?P<declaration>![a-z])|/?[a-z])"
)
ENDS = {
    "raw": re.compile(r"(?i)</(?:script|pre|style|textarea)>"),
    "comment": re.compile("-->"),
    "instruction": re.compile(r"\?>"),
    "data": re.compile(r"\]\]>"),
    "declaration": re.compile(">"),
    None: re.compile(r"^[\s>]*$"),
}


def code_spans(text: str, indented: bool = False, certain: bool = False) -> list[tuple[int, int]]:
    """Start and end of all code in a markdown text: fenced blocks and code spans, in order.

    Parameters
    ----------
    text : str
    indented : bool
        Whether blocks indented by four spaces count too.
    certain : bool
        Only certain code: no fence or mark in a block of HTML, none that is never closed, and none
        beyond its list or quotation.

    Returns
    -------
    list of (int, int)
        A fence that is never closed continues to the end of the text, as in CommonMark.
    """
    blocks, markup = _blocks(text, indented, certain)
    spans, start = [], 0
    for block in [*sorted(blocks + markup), (len(text), len(text))]:
        spans += _inline(text, start, block[0])
        start = block[1]
    return sorted(spans + blocks)


def without_code(text: str) -> str:
    """`text` with blanks in place of its code, so that all other positions are unchanged."""
    parts, at = [], 0
    for start, end in code_spans(text, indented=True):
        parts += [text[at:start], re.sub(r"[^\n]", " ", text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def is_inside(place: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a place of the text lies in one of the spans, which are in order."""
    before = bisect(spans, place, key=lambda span: span[0]) - 1
    return before >= 0 and place < spans[before][1]


def _blocks(text: str, indented: bool, certain: bool) -> tuple[list, list]:
    """Fenced and, on request, indented blocks; and those of HTML where it must be certain."""
    blocks, markup, at, opened, ends = [], [], 0, None, None
    before_blank, in_list = True, False
    for line in text.splitlines(keepends=True):
        here = at, at + len(line)
        if certain and opened and _leaves(line, opened[2]):
            opened = None
        if opened:
            start, fence, _ = opened
            if re.fullmatch(rf"[\s>]*{re.escape(fence[0])}{{{len(fence)},}}\s*", line):
                blocks.append((start, here[1]))
                opened = None
        elif ends:
            markup.append(here)
            ends = None if ends.search(line) else ends
        elif found := OPENS.match(line):
            opened = at, found["fence"], line[: found.start("fence")].strip()
        elif certain and (found := HTML.match(line)):
            markup.append(here)
            ends = ENDS[found.lastgroup]
            ends = None if ends.search(line, found.end()) else ends
        elif indented and INDENTED.match(line) and before_blank and not in_list:
            blocks.append(here)
        else:
            in_list = bool(LIST_ITEM.match(line)) or (in_list and line[:1] in " \t\r\n")
            before_blank = not line.strip()
        at += len(line)
    if opened and not certain:
        blocks.append((opened[0], len(text)))
    return blocks, markup


def _leaves(line: str, container: str) -> bool:
    """Whether a line is outside the quotation or list, if any, of a fence."""
    if container.startswith(">"):
        return not line.lstrip().startswith(">")
    return bool(container) and line[:1] not in " \t\r\n"


def _inline(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Code spans between two places: a run of marks up to the next of the same length.

    A span ends with its paragraph, and a mark after a backslash opens none.
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
            begin = first + _is_escaped(part, first)  # that mark is an ordinary character
            same = starts[last - begin]
            closes = bisect(same, first)
            if begin < last and closes < len(same):
                done = same[closes] + last - begin
                spans.append((offset + begin, offset + done))
    return spans


def _is_escaped(text: str, place: int) -> bool:
    """Whether there is an odd number of backslashes before the place."""
    at = place
    while at and text[at - 1] == "\\":
        at -= 1
    return (place - at) % 2 == 1
