"""The sections of a notebook or document that search finds, as a script: it needs no server."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ensemble_lab.reports.markdown import without_code

if TYPE_CHECKING:
    from nbformat import NotebookNode

HEADING = re.compile(r"(?m)^#{1,3}[ \t]+(.+?)[ \t#]*$")
# Marks of markdown that are not words.
ADDRESS = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
MARKS = re.compile(r"^[-:| ]+$|^[ \t]*[-*+>] |^#+ |</?[a-zA-Z][^<>]*>|[*`|]+", re.MULTILINE)


@dataclass
class Section:
    """A place that search can lead to.

    Attributes
    ----------
    page, anchor : str
        The file, and the id of a place in it or nothing.
    title, heading : str
        Of the page, and of the section.
    texts : list of str
    """

    page: str
    anchor: str
    title: str
    heading: str
    texts: list[str] = field(default_factory=list)


def sections_of(notebook: NotebookNode, page: str, title: str) -> list[Section]:
    """The sections between headings of the first three levels, with the code that is in sight."""
    found = [Section(page, "", title, title)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            add_text(found, cell.source, lambda heading, cell=cell: cell.id)
        elif cell.cell_type == "code" and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            found[-1].texts.append(cell.source)
    return [section for section in found if section.texts or section.heading != title]


def add_text(found: list[Section], source: str, anchor) -> None:
    """Add a markdown text to the last section, and a section for each heading in it."""
    at, last = 0, found[-1]
    for heading in HEADING.finditer(without_code(source)):
        _add(last, source[at : heading.start()])
        words = plain_words(source[heading.start(1) : heading.end(1)])
        if words != last.title:
            last = Section(last.page, anchor(words), last.title, words)
            found.append(last)
        at = heading.end()
    _add(last, source[at:])


def _add(section: Section, source: str) -> None:
    words = plain_words(source)
    if words:
        section.texts.append(words)


def plain_words(source: str) -> str:
    r"""A markdown text without its marks.

    >>> plain_words("**Bold** and [a link](x.html), `code`\n\n- a row\n\n| a |\n|--:|\n| 1 |")
    'Bold and a link, code a row a 1'
    """
    words = " ".join(MARKS.sub(" ", ADDRESS.sub(r"\1", source)).split())
    return re.sub(r" (?=[.,:;!?)])", "", words)


def as_script(sections: Sequence[Section]) -> str:
    """The script that search reads; ASCII, so that no page's encoding matters."""
    rows = [[s.page, s.anchor, s.title, s.heading, " ".join(s.texts)] for s in sections]
    lines = ",\n".join(json.dumps(row).replace("<", "\\u003c") for row in rows)
    return f"window.sections = [\n{lines}\n];\n"
