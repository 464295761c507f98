"""A recording: one JSON object a line, appended as models answer, so that a kill loses nothing.

The first line is a header. A line with a ``model`` is a reply; one without holds what is known of
an item (truth, group, features). A last line cut short by a kill is dropped and asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ensemble_lab.core.checks import plain
from ensemble_lab.core.errors import check_known
from ensemble_lab.core.grading import grade
from ensemble_lab.core.outcomes import ABSENT, MEASURES, UNPARSED, Outcomes
from ensemble_lab.core.reply import Reply

HEADER = {"ensemble_lab": "recording", "version": 1}


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
        """Read a recording.

        Raises
        ------
        ValueError
            Not a recording, or a damaged line other than the last: named by its number.
        """
        recording = cls()
        lines = Path(path).read_bytes().splitlines(keepends=True)
        for number, raw in enumerate(lines, 1):
            ours = number > 1 or json_line(HEADER).encode().startswith(raw)
            if ours and not raw.endswith(b"\n"):  # cut short in the middle of writing
                break
            try:
                line = json.loads(raw)
            except ValueError as error:
                raise ValueError(f"line {number} is no JSON: {error}") from None
            if number == 1 and line != HEADER:
                raise ValueError(f"the first line is {line!r}, not the header of a recording")
            recording.length += len(raw)
            if number > 1:
                recording._add(line, number)
        return recording

    def _add(self, line: dict, number: int) -> None:
        if not isinstance(line, dict) or not isinstance(line.get("item"), str | int | float):
            raise ValueError(f"line {number} names no item")
        item = line.pop("item")
        if "model" not in line:
            self.facts[item] = line  # what was learned later stands
            return
        pair = (item, line.pop("model"))
        if pair in self.replies:
            raise ValueError(f"line {number} repeats item {pair[0]!r} and model {pair[1]!r}")
        self.replies[pair] = line

    def outcomes(self) -> Outcomes:
        """The recording as a table: items and models in the order of their first appearance."""
        if not self.replies:
            raise ValueError("nothing is recorded yet")
        models = list(dict.fromkeys(model for _, model in self.replies))
        items = list(self.facts) or list(dict.fromkeys(item for item, _ in self.replies))
        return tabulate(self.replies, items, models, self.facts)


def is_recording(data: bytes) -> bool:
    """Whether a file begins with our header, or with the part of it that a kill left."""
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    return bool(first) and json_line(HEADER).encode().strip().startswith(first)


def entry(reply: Reply, latency: float) -> dict:
    """The fields of a reply as a line of a recording; absent ones are left out.

    Raises
    ------
    TypeError
        An answer that JSON cannot hold: answers are strings or numbers.
    """
    law = reply.probability
    numbers = {name: getattr(reply, name) for name in MEASURES}
    if reply.latency is None:
        numbers["latency"] = latency
    line = {
        "answer": plain(reply.answer, "answer"),
        **{name: None if value is None else float(value) for name, value in numbers.items()},
        # Pairs: the keys of a JSON object would all turn into strings.
        "probability": law and [[plain(k, "label"), float(p)] for k, p in law.items()],
        "text": reply.text,
    }
    return {name: value for name, value in line.items() if value is not None}


def json_line(line: dict) -> str:
    """One line of a recording."""
    return json.dumps(line) + "\n"


def tabulate(
    replies: Mapping[tuple, dict],
    items: Sequence,
    models: Sequence[str],
    facts: Mapping | None = None,
    labels: Iterable | None = None,
) -> Outcomes:
    """Outcomes from reply entries by (item, model); pairs without one are absent."""
    facts = facts or {}
    truths = [facts.get(item, {}).get("truth") for item in items]
    labels = tuple(labels) if labels else _labels_in(replies.values(), truths)
    code = {label: j for j, label in enumerate(labels)}
    grid = [[replies.get((item, model)) for model in models] for item in items]
    answer = np.array([[_code(cell, code) for cell in row] for row in grid], np.int32)
    parts = {name: _measure(grid, name) for name in MEASURES}
    if any(t is not None for t in truths):
        parts["truth"] = np.array([ABSENT if t is None else code[t] for t in truths], np.int32)
    graded = _measure(grid, "correct")
    return Outcomes(
        models=models,
        items=np.array(items),
        correct=grade(answer, parts.get("truth"), labels) if graded is None else graded,
        answer=answer,
        labels=labels,
        probability=_laws(grid, code),
        features=_features(facts, items),
        group=_group(facts, items),
        **parts,
    )


def _labels_in(entries: Iterable[dict], truths: list) -> tuple:
    seen = [truth for truth in truths if truth is not None]
    for line in entries:
        seen += [label for label, _ in line.get("probability", ())]
        seen += [line["answer"]] if "answer" in line else []
    return tuple(sorted(set(seen), key=lambda label: (type(label).__name__, label)))


def _code(cell: dict | None, code: dict) -> int:
    if cell is None:
        return ABSENT
    if "answer" not in cell:
        return UNPARSED
    if cell["answer"] not in code:
        raise ValueError(f"the answer {cell['answer']!r} is not among the labels {list(code)[:8]}")
    return code[cell["answer"]]


def _measure(grid: list[list], name: str) -> np.ndarray | None:
    if not any(cell and name in cell for row in grid for cell in row):
        return None
    return np.array([[(cell or {}).get(name, np.nan) for cell in row] for row in grid], float)


def _laws(grid: list[list], code: dict) -> np.ndarray | None:
    """(n, m, k), if every reply gave a law: votes over laws would ignore members without."""
    if not all("probability" in cell for row in grid for cell in row if cell):
        return None
    laws = np.full((len(grid), len(grid[0]), len(code)), np.nan)
    for i, row in enumerate(grid):
        for j, cell in enumerate(row):
            if cell:
                laws[i, j] = 0.0
                for label, p in cell["probability"]:
                    check_known(label, code, "label", "labels given")
                    laws[i, j, code[label]] = p
    return laws


def _features(facts: Mapping, items: Sequence) -> dict[str, np.ndarray]:
    names = dict.fromkeys(name for known in facts.values() for name in known.get("features", {}))
    known = [facts.get(item, {}) for item in items]
    return {name: _column([f.get("features", {}).get(name) for f in known]) for name in names}


def _group(facts: Mapping, items: Sequence) -> np.ndarray | None:
    groups = [facts.get(item, {}).get("group") for item in items]
    return None if all(g is None for g in groups) else _column(groups)


def _column(values: list) -> np.ndarray:
    """(n,), with gaps None among strings and NaN among numbers."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, object)
    return np.array([np.nan if value is None else value for value in values])
