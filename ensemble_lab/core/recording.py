"""A recording: one JSON object a line, appended as models answer, so that a kill loses nothing.

The first line is a header. A line with a ``model`` is a reply; one without holds what is known of
an item (truth, group, features), and the last such line stands; one with ``graded`` grades a reply
that stands above it. A last line cut short by a kill is dropped and asked again. What editors do
to text (another end of line, blank lines, a byte order mark, no last newline) changes nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from ensemble_lab.core.errors import MOST_SHOWN, shown
from ensemble_lab.core.outcomes import MEASURES, Outcomes
from ensemble_lab.core.reply import exact
from ensemble_lab.core.tabulate import tabulate

HEADER = {"ensemble_lab": "recording", "version": 1}
BOM = b"\xef\xbb\xbf"  # some editors begin UTF-8 with it
UTF16 = (b"\xff\xfe", b"\xfe\xff")
NUMBERS = (*MEASURES, "correct", "graded")


def json_line(line: dict) -> str:
    """One line of a recording."""
    return json.dumps(line) + "\n"


def is_recording(data: bytes) -> bool:
    """Whether a file is meant as a recording: it begins with our header, or holds it elsewhere.

    A header counts with a byte order mark, any end of line, in UTF-16, of another version, or
    cut short: `Recording.parse` says what is wrong with it.
    """
    text = data.lstrip(BOM + b"".join(UTF16)).replace(b"\0", b"")
    lines = text.splitlines() if b'"ensemble_lab"' in text else []
    lines = [_without_marks(line) for line in lines]
    first = next((line for line in lines if line), b"")
    cut = first.startswith(b'{"ensemble_lab"') and json_line(HEADER).encode().startswith(first)
    return cut or any(map(_is_header, lines))


def _is_header(line: bytes) -> bool:
    """Whether this is a header of a recording, of any version."""
    try:
        found = json.loads(line) if b'"ensemble_lab"' in line else None
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("ensemble_lab") == HEADER["ensemble_lab"]


@dataclass
class Recording:
    """What a recording file holds.

    Parameters
    ----------
    facts : dict
        Item to what is known of it: ``truth``, ``group``, ``features``.
    replies : dict
        (item, model) to the fields of its `Reply`, with ``correct`` where it was graded.
    length : int
        Bytes of the file that are whole lines.
    """

    facts: dict = field(default_factory=dict)
    replies: dict = field(default_factory=dict)
    length: int = 0

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording; see `parse`."""
        return cls.parse(Path(path).read_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Recording:
        """Read the bytes of a recording.

        Raises
        ------
        ValueError
            Not a recording, text that is not UTF-8, or a damaged line other than the last: named
            by its number, with the mend.
        """
        if data.startswith(UTF16) or b"\0" in data[:4]:
            raise ValueError("it is no UTF-8 text (UTF-16, perhaps); save it as UTF-8")
        recording, begun, end = cls(), False, 0
        # Of bytes these are ends of line: \n, \r and \r\n, which JSON never holds in a text.
        lines = data.splitlines(keepends=True)
        texts = [_without_marks(raw) for raw in lines]
        last = max((i for i, text in enumerate(texts, 1) if text), default=0)
        for number, (text, raw) in enumerate(zip(texts, lines, strict=True), 1):
            if number == last and _is_cut(text, raw, begun):
                break
            if text and begun:
                recording._add(_parsed(text, number), number)
            elif text:
                _check_header(text, lines)
                begun = True
            end += len(raw)
            recording.length = end if begun else 0
        return recording

    def _add(self, line: dict, number: int) -> None:
        if not isinstance(line, dict) or "item" not in line:
            second = isinstance(line, dict) and "ensemble_lab" in line
            why = "is a second header; delete it" if second else "names no item; delete it"
            raise ValueError(f"line {number} {why}")
        try:
            item, model = item_name(line.pop("item")), line.pop("model", None)
            if not isinstance(model, str | None):
                raise ValueError(f"the model is {shown(model)}; make it text")
            line = _checked(line)
        except (TypeError, ValueError) as error:
            raise ValueError(f"line {number}: {error}") from None
        if model is None:
            self.facts[item] = line  # what was learned later stands
            return
        pair = f"item {shown(item, 40)} and model {shown(model, 40)}"
        if "graded" in line:
            if (item, model) not in self.replies:
                raise ValueError(f"line {number} grades {pair}, which no line above it answers")
            self.replies[item, model]["correct"] = line["graded"]
        elif (item, model) in self.replies:
            raise ValueError(f"line {number} repeats {pair}; delete one of the two lines")
        else:
            self.replies[item, model] = line

    def outcomes(self) -> Outcomes:
        """The recording as a table: items and models in the order of their first appearance."""
        if not self.replies:
            raise ValueError("nothing is recorded yet")
        models = list(dict.fromkeys(model for _, model in self.replies))
        items = list(dict.fromkeys([*self.facts, *(item for item, _ in self.replies)]))
        return tabulate(self.replies, items, models, self.facts)


def item_name(name):
    """The name of an item as JSON gives it back: text, or a finite number.

    Raises
    ------
    TypeError, ValueError
        Any other name.
    """
    plain = exact(name, "item name")
    if plain is None or isinstance(plain, bool) or plain in (math.inf, -math.inf):
        raise ValueError(f"the item name {shown(name)} is no text and no finite number; rename it")
    return name_in_utf8(plain, "item")


def name_in_utf8(name, what: str):
    """`name`, or a `ValueError` where it holds half a character, which no file could keep."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        half = ascii(name)[:MOST_SHOWN]
        raise ValueError(f"the {what} name {half} holds half a character; rename it") from None
    return name


def _without_marks(raw: bytes) -> bytes:
    text = raw.strip()
    while text.startswith(BOM):
        text = text.removeprefix(BOM).strip()
    return text


def _is_cut(text: bytes, raw: bytes, begun: bool) -> bool:
    """Whether the last line was cut short: an object that was never parses."""
    if not begun:
        return text != (header := json_line(HEADER).strip().encode()) and header.startswith(text)
    if not text.strip(b"\0"):  # what a file system leaves after the power failed
        return True
    try:
        json.loads(text.decode())
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"  # cut within a character
    except ValueError:
        # Ended and closed, it was whole once, and an editor damaged it.
        damaged = text.endswith(b"}") and raw.endswith((b"\n", b"\r"))
        return text.startswith(b"{") and not damaged
    return False


def _parsed(text: bytes, number: int):
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError:
        raise ValueError(f"line {number} is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        why = f"line {number} is no JSON ({error.msg} at character {error.pos + 1})"
        if error.msg == "Extra data":
            raise ValueError(f"{why}; put each object on a line of its own") from None
        raise ValueError(f"{why}; delete the line to have it asked again") from None


def _check_header(text: bytes, lines: list[bytes]) -> None:
    try:
        line = json.loads(text.decode())
    except ValueError:
        line = text[:400].decode(errors="replace")
    if line == HEADER:
        return
    if isinstance(line, dict) and line.get("ensemble_lab") == HEADER["ensemble_lab"]:
        raise ValueError(
            f"it has version {shown(line.get('version'))}, this package reads {HEADER['version']};"
            " update the package"
        )
    for number, raw in enumerate(lines, 1):
        if _is_header(raw):
            raise ValueError(f"its header is in line {number}; move it up to be the first")
    header = json_line(HEADER).strip()
    raise ValueError(f"the first line is {shown(line)}, not the header of a recording, {header}")


def _checked(line: dict) -> dict:
    """The fields of one line: a null is a number that is not known, else it is left out."""
    found = {name: _field(name, value) for name, value in line.items()}
    return {name: value for name, value in found.items() if value is not None or name in NUMBERS}


def _field(name: str, value):
    if value is None:
        return None
    if name in ("answer", "truth", "group"):
        return exact(value, name)
    if name == "features" and isinstance(value, dict):
        return {key: exact(given, f"feature {shown(key, 40)}") for key, given in value.items()}
    if name == "probability" and isinstance(value, list):
        return [[exact(label, "label"), float(p)] for label, p in value]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in ("features", "probability") or (name in NUMBERS and not number):
        raise ValueError(f"the {name} is {shown(value)}, which no recording holds; mend the line")
    return value
