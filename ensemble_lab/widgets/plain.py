r"""Names as text: a name in a table, a notebook or a reply is never shown as markup.

Plotly reads a kind of HTML in every text of a figure, fills in ``%{…}`` and typesets ``$…$`` as a
formula. So the texts of a `Picture` are plain, with ``\n`` for a line break, and `drawable` escapes
all of them for plotly: an explorer need not. An explorer only uses `named`, for names that would
break a line or fill the picture.
"""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import numpy as np

from ensemble_lab.core.outcomes import Outcomes

MOST = 40  # characters of a name in a sentence or a legend; the tables have the full name
# Invisible characters that a page or a terminal obeys: control characters and those that change the
# direction of writing.
UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff]")
BLANK = frozenset("\t\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
READ = re.compile(r"[&<>$\n]|%(?=\{)")  # what plotly reads as more than a character
WRITTEN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;", "%": "&#37;", "\n": "<br>"}
# Templates are in plotly's own language. They contain no names, and so no tags.
TAG = re.compile(r"<(?!br>|/?extra>)")
NUMBERS = {int, float, bool, type(None)}


def named(name: Any, most: int = MOST) -> str:
    r"""A name on one line, cut in its middle: models of a family differ at the end.

    >>> named("a-very-long-name-7b", most=10), named("two\nlines")
    ('a-ver…e-7b', 'two lines')
    """
    name = str(name)
    if not name.isprintable():
        name = legible(name).replace("\n", " ")
    head = most // 2
    return name if len(name) <= most else f"{name[:head]}…{name[head + 1 - most :]}"


def one_line(text: str, between: str = " ") -> str:
    """The lines of a finding in a row."""
    return text.replace("\n", between)


def legible(text: str) -> str:
    """The text without invisible or invalid characters; all kinds of blanks become spaces."""
    return UNSEEN.sub(lambda found: " " if found[0] in BLANK else "\ufffd", whole(str(text)))


def escaped(text: str) -> str:
    r"""The text as plotly shows it letter by letter, its lines parted.

    >>> escaped("<b>%{y}</b>\n35% of $5")
    '&lt;b&gt;&#37;{y}&lt;/b&gt;<br>35% of &#36;5'
    """
    if not text.isprintable():
        text = legible(text)
    return READ.sub(lambda found: WRITTEN[found[0]], text) if READ.search(text) else text


def unescaped(text: str) -> str:
    """A text of plotly's as plain text, on one line.

    >>> unescaped("<b>1 of 2</b>,<br>x &lt; 3")
    '1 of 2, x < 3'
    """
    return html.unescape(re.sub(r"<[^<>]*>", "", re.sub(r"(?i)<br\s*/?>", " ", text)))


def drawable(value: Any, key: str = "") -> Any:
    """Traces or a layout with all texts escaped, wherever plotly reads them.

    Only templates and formats of numbers are left unchanged, except for tags.
    """
    kind = type(value)
    if kind in NUMBERS:
        return value
    if kind is dict:
        return {name: drawable(part, name) for name, part in value.items()}
    if isinstance(value, str):
        if value.isalnum():  # most are plotly's own words, such as "markers"
            return value
        if key.endswith("template"):
            return TAG.sub("&lt;", value)
        return value if key.endswith("format") else escaped(value)
    if kind is list or kind is tuple:
        if NUMBERS.issuperset(map(type, value)):
            return value
        return [drawable(part, key) for part in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        return drawable(value.tolist(), key)
    return value


# -- halves of characters -----------------------------------------------------------------------


def whole(value: Any) -> Any:
    r"""A text whose half characters are written out: they cannot be stored, sent or printed.

    >>> whole("a\ud800")
    'a\\ud800'
    """
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def whole_names(outcomes: Outcomes) -> Outcomes:
    """The outcomes under names that a data frame can hold: nearly always unchanged."""
    changed = {}
    for field in ("models", "items", "labels"):
        names = getattr(outcomes, field)
        names = names.tolist() if isinstance(names, np.ndarray) else list(names)
        try:
            "".join(name for name in names if isinstance(name, str)).encode()
        except UnicodeEncodeError:
            changed[field] = [whole(name) for name in names]
    return replace(outcomes, **changed) if changed else outcomes
