"""`read_traffic`: a gateway's traffic as a table of outcomes, with grades that came later."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ensemble_lab.core.errors import nearest, several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.recordings.recording import Recording
from ensemble_lab.core.recordings.tabulate import tabulate
from ensemble_lab.core.reply import exact

KEYS = ("request", "asked", "keyed")  # facts by which a request can be named, beside its item


def read_traffic(
    path: str | Path | Iterable[str | Path],
    *,
    policy: str | None = None,
    truth: Mapping | str | Path | None = None,
    correct: Mapping | str | Path | None = None,
) -> Outcomes:
    """The traffic of a gateway as a table: its items are requests, its models the members.

    The log may be read while the gateway writes it. A member that a request did not ask is absent
    there. A request that no member answered is left out. Requests with one question stay separate
    items. Nothing is graded until `truth` or `correct` is given.

    Parameters
    ----------
    path : path, or several
        Files of a `TrafficLog`, such as the parts of one that was moved away from time to time.
    policy : str, optional
        Only requests for this policy or member. Default: all.
    truth : mapping, or path of a CSV file, optional
        The right answer by request: by its item in the table, by the request id that the client
        sent, or by the hash of its question (`question_hash`). A file has a line of headings,
        ``request`` and ``truth``, and then a request a line.
    correct : mapping, or path of a CSV file, optional
        The grade in [0, 1] of the answer that the client got, by request; the headings are
        ``request`` and ``correct``. All members that gave this answer get the grade.

    Returns
    -------
    Outcomes
        With ``answer``, and ``confidence``, ``cost``, ``latency`` and ``tokens`` where members gave
        them; features and groups where the gateway had them. ``correct`` is NaN where it is not
        known.

    Raises
    ------
    ValueError
        No file or no log; no request for `policy`, with the policies that there are; a request
        twice; grades for requests that are not there; both `truth` and `correct`.

    Warns
    -----
    UserWarning
        How many requests asked some members only, as their policy decided. The others are not
        absent at random, so what is fitted on the table is biased.
    UserWarning
        How many grades name no request of the table.

    Examples
    --------
    >>> table = read_traffic("traffic.jsonl", truth={"req-1": "4"})  # doctest: +SKIP
    """
    if truth is not None and correct is not None:
        raise ValueError("truth and correct are both given; give right answers or grades")
    found = _read(path)
    items = _answered(found, policy)
    facts = {item: dict(found.facts.get(item, {})) for item in items}
    replies = {pair: line for pair, line in found.replies.items() if pair[0] in facts}
    if truth is not None:
        for item, value in _by_item(truth, "truth", facts).items():
            facts[item]["truth"] = _label(value, item)
    models = list(dict.fromkeys(model for _, model in replies))
    if correct is not None:
        for item, value in _by_item(correct, "correct", facts).items():
            lines = {one: replies[item, one] for one in models if (item, one) in replies}
            _grade(lines, facts[item], _in_unit(value, item))
    _warn_selected(found, items, models)
    return tabulate(replies, items, models, facts)


def _read(path) -> Recording:
    """All files as one recording."""
    paths = [path] if isinstance(path, str | Path) else several(path, "path")
    whole = Recording()
    for one in map(Path, paths):
        if not one.is_file():
            raise ValueError(f"no file {shown(str(one), 150)}; give the path of a traffic log")
        try:
            part = Recording.load(one, texts=False)
        except ValueError as error:
            raise ValueError(f"{shown(str(one), 100)} could not be read: {error}") from None
        for item in part.facts.keys() & whole.facts.keys():
            raise ValueError(
                f"request {shown(item, 40)} is in two files; give each part of a log once"
            )
        whole.facts |= part.facts
        whole.replies |= part.replies
        whole.failed |= part.failed
    return whole


def _answered(found: Recording, policy: str | None) -> list:
    """The requests with at least one reply, in the order of the log."""
    replied = dict.fromkeys(item for item, _ in found.replies)
    if not replied:
        raise ValueError("the log holds no reply yet; ask the gateway first")
    if policy is None:
        return list(replied)
    asked = {item: found.facts.get(item, {}).get("policy") for item in replied}
    if policy not in asked.values():
        known = sorted({name for name in asked.values() if isinstance(name, str)})
        raise ValueError(f"no request for {shown(policy, 40)}{nearest(policy, known)}")
    return [item for item in replied if asked[item] == policy]


def _by_item(given, what: str, facts: Mapping) -> dict:
    """Values by item, from values by item, by request id or by hash.

    Raises
    ------
    ValueError
        No name is known.
    """
    values = _in_file(given, what) if isinstance(given, str | Path) else given
    if not hasattr(values, "items"):
        raise ValueError(f"{what} is {shown(given)}; give a mapping from request, or a CSV file")
    values, found, used = dict(values.items()), {}, set()
    for item, known in facts.items():
        names = [item, *(known.get(key) for key in KEYS)]
        name = next((name for name in names if name is not None and name in values), None)
        if name is not None:
            found[item] = values[name]
            used.add(name)
    if not found:
        few = next(iter(values), None)
        raise ValueError(
            f"{what} names no request of the log: {shown(few, 40)} is no item, request id or hash,"
            f" such as {shown(next(iter(facts)), 40)}"
        )
    if len(used) < len(values):
        unknown = next(name for name in values if name not in used)
        warnings.warn(
            f"{len(values) - len(used):,} of {len(values):,} in {what} name no answered request,"
            f" such as {shown(unknown, 40)}",
            stacklevel=3,
        )
    return found


def _in_file(path: str | Path, what: str) -> dict[str, str]:
    """The two columns of a CSV file, as text: "007" is a name."""
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{shown(str(path), 150)} could not be read: {error}") from None
    if [name.strip() for name in head] != ["request", what]:
        raise ValueError(
            f"{shown(path.name, 60)} begins with {shown(head, 60)}; its headings are request,{what}"
        )
    found: dict[str, str] = {}
    for row in rows:
        if len(row) != 2 or found.get(row[0], row[1]) != row[1]:
            why = "is there twice" if len(row) == 2 else f"has {len(row)} cells"
            raise ValueError(f"{shown(path.name, 60)}: {shown(row[0], 40)} {why}; give it once")
        found[row[0]] = row[1]
    return found


def _label(value: Any, item):
    try:
        return exact(value, "truth")
    except (TypeError, ValueError) as error:
        raise ValueError(f"request {shown(item, 40)}: {error}") from None


def _in_unit(value: Any, item) -> float:
    try:
        grade = float(value)
    except (TypeError, ValueError):
        grade = -1.0
    if not 0 <= grade <= 1:
        raise ValueError(
            f"the grade of request {shown(item, 40)} is {shown(value)}; give 0 to 1, or leave it"
            " out"
        )
    return grade


def _grade(lines: Mapping[str, dict], known: Mapping, grade: float) -> None:
    """Give a grade to the reply that the client got, and to all with the same answer."""
    chosen = known.get("chosen")
    given = known.get("answer", lines.get(chosen, {}).get("answer"))
    for model, line in lines.items():
        if model == chosen or (given is not None and line.get("answer") == given):
            line["correct"] = grade


def _warn_selected(found: Recording, items: list, models: list) -> None:
    asked = {*found.replies, *found.failed}
    some = sum(any((item, model) not in asked for model in models) for item in items)
    if some:
        warnings.warn(
            f"in {some:,} of {len(items):,} requests the policy chose which members to ask; the"
            " others are not absent at random, so what is fitted on them is biased. Ask all members"
            " of a random share of the requests, by a vote, and read these by policy=…",
            stacklevel=3,
        )
