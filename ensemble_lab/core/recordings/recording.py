"""A recording: one JSON object a line, appended as models answer, so that a kill loses nothing.

The first line is a header. A line with a ``model`` is a reply; one without holds what is known of
an item (truth, group, features, and in ``asked`` a hash of what the models were asked), and the
last such line stands; one with ``graded`` grades a reply that stands above it; one with ``failed``
says that the model in ``by`` gave no usable reply, and of what kind the error was. A last line cut
short by a kill is dropped and asked again. What editors do to text (another end of line, blank
lines, a byte order mark, no last newline) changes nothing.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ensemble_lab.core.errors import MOST_SHOWN, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.lines import (
    BOM,
    json_line,
    lines_with,
    loads,
    whole_lines,
    without_marks,
)
from ensemble_lab.core.recordings.tabulate import tabulate, warn_without_probabilities
from ensemble_lab.core.reply import exact, unwrapped
from ensemble_lab.core.states import MEASURES

HEADER = {"ensemble_lab": "recording", "version": 1}
UTF16 = (b"\xff\xfe", b"\xfe\xff")
NUMBERS = (*MEASURES, "correct", "graded")
TEXTS = ("text", "asked", "failed", "by")


def is_recording(data: bytes) -> bool:
    """Whether a file is meant as a recording: it begins with our header, or holds it elsewhere.

    A header counts with a byte order mark, any end of line, in UTF-16, of another version, or
    cut short: `Recording.parse` says what is wrong with it.
    """
    if data.startswith(UTF16) or b"\0" in data[:4]:
        data = data.lstrip(BOM + b"".join(UTF16)).replace(b"\0", b"")
    first = without_marks(data[:400].lstrip()).splitlines()[:1]
    if first and first[0].startswith(b'{"ensemble_lab"'):
        if json_line(HEADER).encode().startswith(first[0].strip()):
            return True
    return any(map(_is_header, lines_with(b'"ensemble_lab"', data)))


def _is_header(line: bytes) -> bool:
    """Whether this is a header of a recording, of any version."""
    try:
        found = loads(line) if b'"ensemble_lab"' in line else None
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
    failed : dict
        (item, model) to the kind of the error, where no reply came since; the latest is the last.
    length : int
        Bytes of the file that are whole lines.
    """

    facts: dict = field(default_factory=dict)
    replies: dict = field(default_factory=dict)
    failed: dict = field(default_factory=dict)
    length: int = 0

    @classmethod
    def load(cls, path: str | Path, texts: bool = True) -> Recording:
        """Read a recording line by line; see `parse`."""
        with Path(path).open("rb") as file:
            return cls.of(file, texts)

    @classmethod
    def parse(cls, data: bytes, texts: bool = True) -> Recording:
        """Read the bytes of a recording.

        Parameters
        ----------
        data : bytes
        texts : bool
            Keep the raw texts, which a table does not need, and which may be most of the file.

        Raises
        ------
        ValueError
            Not a recording, text that is not UTF-8, or a damaged line other than the last: named
            by its number, with the fix.
        """
        return cls.of(io.BytesIO(data), texts)

    @classmethod
    def of(cls, file: BinaryIO, texts: bool = True) -> Recording:
        """Read an open file line by line; see `parse`."""
        begin = file.read(4)
        if begin.startswith(UTF16) or b"\0" in begin:
            raise ValueError("it is no UTF-8 text (UTF-16, perhaps); save it as UTF-8")
        file.seek(0)
        recording, begun = cls(), False
        for number, end, text, raw, last in whole_lines(file):
            if last and _is_cut(text, raw, begun):
                break
            if begun:
                recording._add(_parsed(text, number), number, texts)
            else:
                _check_header(text, file)
                begun = True
            recording.length = end
        return recording

    def add(self, line: dict) -> None:
        """Take in one line, as the next of the file."""
        self._add(dict(line), len(self.facts) + len(self.replies) + 2, texts=True)

    def _add(self, line: dict, number: int, texts: bool) -> None:
        if not isinstance(line, dict) or "item" not in line:
            second = isinstance(line, dict) and "ensemble_lab" in line
            why = "is a second header; delete it" if second else "names no item; delete it"
            raise ValueError(f"line {number:d} {why}")
        try:
            item, model = item_name(line.pop("item")), line.pop("model", None)
            if not isinstance(model, str | None):
                raise ValueError(f"the model is {shown(model)}; make it text")
            line = _checked(line)
            if not texts:
                line.pop("text", None)
        except (TypeError, ValueError) as error:
            raise ValueError(f"line {number:d}: {error}") from None
        if "failed" in line:
            pair = item, line.get("by")
            if pair not in self.replies:
                self.failed.pop(pair, None)  # in the order of the last failures
                self.failed[pair] = line["failed"]
            return
        if model is None:
            self.facts[item] = line  # what was learned later stands
            return
        pair = f"item {shown(item, 40)} and model {shown(model, 40)}"
        if "graded" in line:
            if (item, model) not in self.replies:
                raise ValueError(f"line {number:d} grades {pair}, which no line above it answers")
            self.replies[item, model]["correct"] = line["graded"]
        elif (item, model) in self.replies:
            raise ValueError(f"line {number:d} repeats {pair}; delete one of the two lines")
        else:
            self.replies[item, model] = line
            self.failed.pop((item, model), None)

    def outcomes(self) -> Outcomes:
        """The recording as a table: items and models in the order of their first appearance."""
        if not self.replies:
            raise ValueError("nothing is recorded yet")
        models = list(dict.fromkeys(model for _, model in self.replies))
        items = list(dict.fromkeys([*self.facts, *(item for item, _ in self.replies)]))
        return self.table(items, models)

    def table(self, items: Sequence, models: Sequence[str]) -> Outcomes:
        """These items and models as far as they are recorded.

        Warns
        -----
        UserWarning
            How many replies have no probabilities where others have some.
        """
        made = tabulate(self.replies, items, models, self.facts)
        pairs = [(item, model) for model in models for item in items]
        replies = {pair: self.replies[pair] for pair in pairs if pair in self.replies}
        warn_without_probabilities(replies)
        return made


def item_name(name):
    """The name of an item as JSON gives it back: text, or a finite number.

    Raises
    ------
    TypeError, ValueError
        Any other name.
    """
    plain = exact(name_in_utf8(name, "item"), "item name")
    if plain is None or isinstance(plain, bool) or plain in (math.inf, -math.inf):
        raise ValueError(f"the item name {shown(name)} is no text and no finite number; rename it")
    return plain


def name_in_utf8(name, what: str):
    """`name`, or a `ValueError` where it holds half a character, which no file could keep."""
    bare = unwrapped(name)
    try:
        str.__str__(bare if isinstance(bare, str) else "").encode()
    except UnicodeEncodeError:
        half = ascii(name)[:MOST_SHOWN]
        raise ValueError(f"the {what} name {half} holds half a character; rename it") from None
    return name


def _is_cut(text: bytes, raw: bytes, begun: bool) -> bool:
    """Whether the last line was cut short: an object that was never parses."""
    if not begun:
        return text != (header := json_line(HEADER).strip().encode()) and header.startswith(text)
    if not text.strip(b"\0"):  # what a file system leaves after the power failed
        return True
    try:
        loads(text)
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"  # cut within a character
    except ValueError:
        # Ended and closed, it was whole once, and an editor damaged it.
        damaged = text.endswith(b"}") and raw.endswith((b"\n", b"\r"))
        return text.startswith(b"{") and not damaged
    return False


def _parsed(text: bytes, number: int):
    try:
        return loads(text)
    except UnicodeDecodeError:
        raise ValueError(f"line {number:d} is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        why = f"line {number:d} is no JSON ({error.msg} at character {error.pos + 1})"
        if error.msg == "Extra data":
            raise ValueError(f"{why}; put each object on a line of its own") from None
        raise ValueError(f"{why}; delete the line to have it asked again") from None
    except ValueError as error:
        why = "holds a number of over 4,300 digits" if "digits" in str(error) else str(error)
        raise ValueError(f"line {number:d} {why}; delete the line to have it asked again") from None


def _check_header(text: bytes, file: BinaryIO) -> None:
    try:
        line = loads(text)
    except ValueError:
        line = text[:400].decode(errors="replace")
    if line == HEADER:
        return
    if isinstance(line, dict) and line.get("ensemble_lab") == HEADER["ensemble_lab"]:
        raise ValueError(
            f"it has version {shown(line.get('version'))}, this package reads {HEADER['version']};"
            " update the package"
        )
    file.seek(0)
    for number, _, other, _, _ in whole_lines(file):
        if _is_header(other):
            raise ValueError(f"its header is in line {number:d}; move it up to be the first")
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
    if name == "probability" and _is_distribution(value):
        return [[exact(label, "label"), float(p)] for label, p in value]
    wrong = name in ("features", "probability") or (name in NUMBERS and not _is_number(value))
    if wrong or (name in TEXTS and not isinstance(value, str)):
        raise ValueError(f"the {name} is {shown(value)}, which no recording holds; fix the line")
    return value


def _is_number(value) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and not abs(value) > sys.float_info.max


def _is_distribution(value) -> bool:
    pairs = isinstance(value, list) and all(isinstance(pair, list) for pair in value)
    return pairs and all(len(pair) == 2 and _is_number(pair[1]) for pair in value)
