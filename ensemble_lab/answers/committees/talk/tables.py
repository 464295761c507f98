"""What is in a transcript as a table, and a transcript's lines out of a table.

A column is a member in a round: ``big@2`` is what `big` said in round 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.recording import Recording, item_name
from ensemble_lab.core.recordings.tabulate import tabulate

KEPT = ("text", "answer", "confidence", "cost", "latency", "tokens", "asked")


def outcomes_of(recording: Recording, truth: Mapping | None, grade: Callable | None) -> Outcomes:
    """See `Transcript.outcomes`."""
    if not isinstance(truth, Mapping | None):
        raise TypeError(f"truth is {shown(truth)}; give a mapping of item to right answer")
    if grade is not None and not callable(grade):
        raise TypeError(f"grade is {shown(grade)}; give a function of answer and truth")
    replies = {pair: dict(line) for pair, line in recording.replies.items()}
    if not replies:
        raise ValueError("nothing is said in this transcript yet; ask a committee first")
    items = list(dict.fromkeys(item for item, _ in replies))
    # By round and by name: which reply of a round comes first is a matter of chance.
    columns = sorted({column for _, column in replies}, key=lambda c: (round_of(c), c))
    facts = {item: {"truth": truth[item]} for item in items if truth and item in truth}
    if grade is not None:
        for (item, _), line in replies.items():
            if item in facts:
                right = facts[item]["truth"]
                line["correct"] = grade(line["answer"], right) if "answer" in line else 0.0
    table = tabulate(replies, items, columns, facts)
    return replace(table, model_group=[column.rpartition("@")[0] for column in columns])


def frame_of(recording: Recording):
    """See `Transcript.frame`."""
    import pandas as pd

    rows = []
    for (item, column), line in recording.replies.items():
        member, _, at = column.rpartition("@")
        row = {"item": item, "round": int(at), "member": member}
        row["saw"] = "\t".join(line.get("saw", ()))
        rows.append(row | {name: line.get(name) for name in KEPT})
    return pd.DataFrame(rows)


def lines_of(frame) -> Iterator[dict]:
    """The lines of a recording that `frame_of` made a frame of."""
    if not hasattr(frame, "columns") or not {"item", "member", "round"} <= {*frame.columns}:
        raise ValueError(f"frame is {shown(frame)}; give what Transcript.frame() returned")
    for row in frame.to_dict("records"):
        at = row["round"]
        if not isinstance(at, int) or at < 1:
            raise ValueError(f"a row has the round {shown(at)}; give whole numbers from 1")
        line = {"item": item_name(row["item"]), "model": f"{row['member']}@{at}"}
        line |= {name: row[name] for name in KEPT if _is_there(row.get(name))}
        if row.get("saw"):
            line["saw"] = row["saw"].split("\t")
        yield line


def round_of(column: str) -> int:
    """The round of a column such as ``big@2``."""
    return int(column.rpartition("@")[2])


def _is_there(value) -> bool:
    return value is not None and value == value
