"""Prompts by kind, from JSON lines with `turns` or `prompt` and perhaps a `category`."""

import json
from pathlib import Path

from ensemble_lab.reports.request import RequestError

FORM = '{"category": "chat", "turns": ["…"]}, or with "prompt": "…" in place of the turns'


def read_prompts(path):
    """Lists of turns by category; a prompt without one is of the kind `all`."""
    by_kind = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            kind, turns = read_line(line, f"{path}, line {number}")
            by_kind.setdefault(kind, []).append(turns)
    if not by_kind:
        raise RequestError(f"{path} holds no prompt; write one a line: {FORM}")
    return by_kind


def read_line(line, where):
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise RequestError(f"{where} is not JSON ({error}); write {FORM}") from None
    turns = entry.get("turns", [entry.get("prompt")]) if isinstance(entry, dict) else None
    if not isinstance(turns, list) or not turns or not all(is_text(turn) for turn in turns):
        raise RequestError(f"{where} has neither turns nor a prompt that are text; write {FORM}")
    return str(entry.get("category", "all")), turns


def is_text(turn):
    return isinstance(turn, str) and turn.strip() != ""


def token_ids(target, turns, most):
    """Token ids of a prompt for each turn of the user; answers between are the target's own."""
    from ensemble_lab.tokens.decode import decode

    messages = []
    for i, turn in enumerate(turns):
        messages.append({"role": "user", "content": turn})
        prompt = messages if target.tokenizer.chat_template else "\n\n".join(turns[: i + 1])
        yield target.encode(prompt)["input_ids"][0].tolist()
        if target.tokenizer.chat_template and turns[i + 1 :]:
            answer = decode(target, messages, max_new_tokens=most).text
            messages.append({"role": "assistant", "content": answer})
