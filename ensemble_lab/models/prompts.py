"""What people hand over as prompts, understood or refused, never read as something else.

A prompt becomes one of three things: a text, a chat (a list of messages) or a list of token ids.
A tokenizer's output is a mapping, an array of ids is not a list, and a generator can be read once;
so whether one prompt was given or several is decided here, once, for everything that takes prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from operator import index
from typing import Any, NoReturn

from ensemble_lab.core.errors import several, shown
from ensemble_lab.models.chats import chat, plain
from ensemble_lab.models.errors import ModelError

Prompt = str | Sequence[Mapping[str, Any]] | Sequence[int]
FORMS = "text, a list of {'role': ..., 'content': ...} messages, or token ids"
OTHER_INPUTS = ("pixel_values", "input_features", "input_values", "inputs_embeds")


class Unpadded(list):
    """Token ids without padding: an attention mask came with them, and told where that was."""


def read_prompts(given: Any) -> tuple[list[Prompt], bool]:
    """The prompts in what was given, and whether it was one prompt rather than several.

    Parameters
    ----------
    given
        One prompt: text, a message, a chat, token ids (a list, a 1-d array or tensor), or what a
        tokenizer returned for one text. Several: a list, tuple, generator, array or column of
        prompts, a 2-d array or tensor of ids, or what a tokenizer returned for several texts, of
        which an attention mask hides the padding.

    Returns
    -------
    prompts : list
        Each a str, a list of messages, or a list of int (`Unpadded` where a mask came with it).
    alone : bool
        Whether the caller gave one prompt, not a list of one.

    Raises
    ------
    ModelError
        Anything else, named with the fix.
    """
    if isinstance(given, str):
        return [str(given)], True
    if isinstance(given, Mapping):
        return _of_mapping(given)
    if getattr(given, "ndim", 1) == 2 and hasattr(given, "tolist"):  # data frames have none
        return [_ids(row) for row in given.tolist()] or _empty(), False
    parts = _parts(given)
    parts = [plain(part) for part in parts]
    if not parts:
        _empty()
    if all(isinstance(part, Number) for part in parts):
        return [_ids(parts)], True
    if all(isinstance(part, Mapping) and "input_ids" not in part for part in parts):
        return [chat(parts)], True
    return [_one_of(part, number) for number, part in enumerate(parts, 1)], False


def read_prompt(given: Any) -> Prompt:
    """The only prompt in what was given.

    Raises
    ------
    ModelError
        There are several, or what is there is no prompt.
    """
    prompts, _ = read_prompts(given)
    if len(prompts) > 1:
        raise ModelError(f"these are {len(prompts)} prompts; give one at a time")
    return prompts[0]


def _parts(given: Any) -> list:
    """What iterates as several things, as a list."""
    fields = getattr(given, "_fields", None) or getattr(given, "model_fields", None)
    if fields:
        raise ModelError(
            f"the prompt is a {type(given).__name__}, which iterates over its fields; give {FORMS}"
        )
    if not isinstance(given, Iterable) and not hasattr(given, "column_names"):
        raise ModelError(f"prompt {shown(given)} is neither text nor a list of messages or ids")
    try:
        return several(given, "the prompt")
    except ValueError as error:
        raise ModelError(str(error)) from None


def _empty() -> NoReturn:
    raise ModelError("the prompt is empty: give at least one token to continue")


def _is_nan(part: Any) -> bool:
    return isinstance(part, float) and part != part


def _one_of(part: Any, number: int) -> Prompt:
    """One of several prompts."""
    if part is None or type(part).__name__ in ("NAType", "NaTType") or _is_nan(part):
        raise ModelError(f"prompt {number} is missing ({part}): leave it out, or fill it")
    if isinstance(part, Number):
        raise ModelError(
            f"prompt {number} is {shown(part)}: token ids and other prompts are mixed; give ids"
            " as a list of lists, texts as a list of texts"
        )
    if isinstance(part, Mapping) and "input_ids" not in part:
        raise ModelError(
            f"prompt {number} is a single message among other prompts: put every chat in a list"
            " of its own"
        )
    try:
        found, _ = read_prompts(part)
    except ModelError as error:
        raise ModelError(f"prompt {number}: {error}"[:300]) from None
    if len(found) > 1:
        raise ModelError(f"prompt {number} is itself a list of {len(found)}: give one flat list")
    return found[0]


def _ids(values: Sequence[Any]) -> list[int]:
    """Token ids as Python's integers."""
    if not values:
        _empty()
    for value in values:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise ModelError(
                f"token id {shown(value)} is no whole number: give ids as integers, or the text"
            )
    return [index(value) for value in values]


def _of_mapping(given: Mapping) -> tuple[list[Prompt], bool]:
    """What a tokenizer returned, or a single message."""
    if "input_ids" in given:
        return _encoded(given)
    if "role" in given or "content" in given:
        return [chat([given])], True
    keys = ", ".join(map(str, given))
    fix = next((f"give prompt[{key!r}]" for key in ("messages", "prompt", "text") if key in given),
                f"a prompt is {FORMS}")  # fmt: skip
    raise ModelError(f"the prompt is a mapping of {shown(keys)}, not of input_ids; {fix}")


def _encoded(given: Mapping) -> tuple[list[list[int]], bool]:
    """Ids out of a tokenizer's output, without those that its attention mask hides."""
    for key in OTHER_INPUTS:
        if given.get(key) is not None:
            raise ModelError(f"the prompt holds {key}, and only token ids are read: leave it out")
    ids, mask = given["input_ids"], given.get("attention_mask")
    if isinstance(ids, str | bytes | Mapping) or getattr(ids, "ndim", 1) not in (1, 2):
        raise ModelError(f"input_ids holds {shown(ids)}: give a list of ids, or a list of lists")
    rows, alone = _rows(ids)
    rows = [_ids(row) for row in rows]
    if mask is not None:
        seen, _ = _rows(mask)
        if [len(row) for row in rows] != [len(row) for row in seen]:
            raise ModelError(
                "attention_mask and input_ids differ in length: give both as the tokenizer made"
                " them"
            )
        if wrong := [value for row in seen for value in row if value not in (0, 1)]:
            raise ModelError(f"attention_mask holds {shown(wrong[0])}: give 1 or 0 for every id")
        rows = [
            Unpadded(token for token, on in zip(row, shows, strict=True) if on)
            for row, shows in zip(rows, seen, strict=True)
        ]
    if not rows or not all(rows):
        _empty()
    return rows, alone


def _rows(table: Any) -> tuple[list[list], bool]:
    """Numbers as a list of rows, and whether there was one row only, not a table."""
    rows = table.tolist() if hasattr(table, "tolist") else list(table)
    if all(isinstance(plain(value), Number) for value in rows):
        return [[plain(value) for value in rows]], True
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    if not all(isinstance(row, list | tuple) for row in rows):
        raise ModelError("input_ids mixes ids and lists: give a list of ids, or a list of lists")
    return [[plain(value) for value in row] for row in rows], False


def chat_messages(prompt: Any) -> list[dict[str, Any]]:
    """Return one prompt, text or a chat, as chat messages.

    Raises
    ------
    ModelError
        Neither text nor a chat.
    """
    try:
        found = read_prompt(prompt)
    except ModelError as error:
        if "neither text nor" in str(error):
            raise
        raise ModelError(
            f"prompt {shown(prompt)} is neither text nor a list of messages: {error}"[:300]
        ) from None
    if isinstance(found, str):
        return [{"role": "user", "content": found}]
    if not isinstance(found[0], Mapping):
        raise ModelError(
            f"prompt {shown(prompt)} is neither text nor a list of messages: give the text that"
            " these token ids stand for"
        )
    return found
