"""The answer in a text: what members of a vote compare."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ensemble_lab.core.errors import nearest, shown

Parse = Callable[[str], str | None]
NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")
FENCED = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
FORMS = "'exact', 'last number', {choice = 'ABCD'}, {json = 'field'} or {regex = 'pattern'}"


def exact(text: str) -> str | None:
    """The text without surrounding space."""
    return text.strip() or None


def last_number(text: str) -> str | None:
    """The last number, without commas between thousands: the usual rule for GSM8K.

    >>> last_number("3 x 400 = 1,200."), last_number("none")
    ('1200', None)
    """
    found = NUMBER.findall(text)
    return found[-1].replace(",", "") if found else None


def choice(letters: str) -> Parse:
    """The last letter of `letters` that stands alone, in capitals.

    >>> choice("ABCD")("A is wrong. The answer is (C).")
    'C'
    """
    pattern = re.compile(rf"(?<![^\W_])[{re.escape(letters)}](?![^\W_]|['’])")
    return lambda text: (pattern.findall(text) or [None])[-1]


def json_field(name: str) -> Parse:
    """A field of the JSON object that the text is, or holds between fences.

    >>> json_field("label")('{"label": "spam"}')
    'spam'
    """

    def parse(text: str) -> str | None:
        for part in (*FENCED.findall(text), text):
            try:
                value = json.loads(part).get(name)
            except (ValueError, AttributeError, RecursionError):
                continue
            if isinstance(value, str):
                return value
            return None if value is None else json.dumps(value, sort_keys=True)
        return None

    return parse


def pattern(text: str) -> Parse:
    """The last match of a regular expression: its first group, if it has one."""
    compiled = re.compile(text)

    def parse(text: str) -> str | None:
        found = [*compiled.finditer(text)][-1:]
        return found[0].group(min(compiled.groups, 1)) if found else None

    return parse


def parser(form: Any) -> Parse:
    """The parser that a setting names, or a function unchanged.

    Raises
    ------
    ValueError
        Another form: the forms are named.
    """
    if callable(form):
        return form
    simple = {"exact": exact, "last number": last_number}
    if isinstance(form, str) and form in simple:
        return simple[form]
    makers = {"choice": choice, "json": json_field, "regex": pattern}
    if isinstance(form, Mapping) and len(form) == 1:
        ((kind, value),) = form.items()
        if kind in makers and isinstance(value, str) and value:
            try:
                return makers[kind](value)
            except re.error as error:
                raise ValueError(
                    f"parse: {shown(value)} is no regular expression: {error}"
                ) from None
    hint = nearest(form, simple) if isinstance(form, str) else ""
    raise ValueError(f"parse is {shown(form)}; give {FORMS}{hint}")
