"""`ensemble-lab advise`: from a file to a page, a policy in a file, and a sentence."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ensemble_lab.advice.advice import advise
from ensemble_lab.advice.chosen import accuracy_from_choices, refuse_only_chosen
from ensemble_lab.advice.grading import rows_to_grade
from ensemble_lab.advice.html import is_own_page
from ensemble_lab.advice.other_pages import (
    chosen_page,
    from_sheet,
    graded_page,
    sheet,
    ungraded_page,
)
from ensemble_lab.advice.page import write_advice
from ensemble_lab.advice.saving import save_advised
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.read_table import read_table
from ensemble_lab.core.recordings.recording import is_recording
from ensemble_lab.core.whole import write_whole


class Told(NamedTuple):
    """What the command did: lines to print, and whether Ctrl-C ended it early."""

    lines: list[str]
    stopped: bool = False


def advise_file(
    path: str | Path,
    out: str | Path,
    columns: Mapping[str, Any] | None = None,
    *,
    cluster: str | None = None,
    time: str | None = None,
    propensity: str | None = None,
    graded_rows: str | Path | None = None,
    rows: int = 300,
    **limits,
) -> Told:
    """Read a table, advise, and write the page.

    Parameters
    ----------
    path : path
        A table, as `read_table` takes it.
    out : path
        The page. Beside it go the policy, or the rows to grade.
    columns : mapping, optional
        Arguments of `read_table`.
    cluster, time, propensity : str, optional
        Columns: rows that belong together; a clock; how likely each choice was.
    graded_rows : path, optional
        The rows to grade, filled in.
    rows : int
        How many rows to grade where nothing is graded.
    **limits
        Of `advise`.

    Raises
    ------
    ValueError, LookupError, TypeError, OSError
        Of the table or the limits; a page that is not ours in the place of `out`.
    """
    out = checked_place(out)
    columns = {name: value for name, value in (columns or {}).items() if value is not None}
    special = {"cluster": cluster, "propensity": propensity, "time": time}
    features = [name for name in (cluster, propensity) if name is not None]
    if features:
        columns["feature"] = [*columns.get("feature", []), *features]
    if time is not None:
        columns["time"] = time
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", UserWarning)
        if _is_own_table(path):  # its fields have names and types already
            outcomes, told, said = Outcomes.read(path), "", []
        else:
            told = read_table(path, **columns)
            outcomes, said = told.outcomes, told.sentences
            special["time"] = time and "time"
    said = list(dict.fromkeys([*said, *(str(one.message) for one in heard)]))
    lines = [str(told or outcomes)]
    outcomes, given = _without(outcomes, special)
    if graded_rows is not None:
        found, graded = from_sheet(_with_answers(outcomes), Path(graded_rows))
        write_whole(out, graded_page(outcomes, found, graded, said))
        return Told([*lines, found.to_string(index=False), f"written: {out}"])
    if propensity is not None:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", UserWarning)
            found = accuracy_from_choices(outcomes, given["propensity"])
        said += [str(one.message) for one in heard]
        write_whole(out, chosen_page(outcomes, found, said))
        return Told([*lines, found.to_string(index=False), f"written: {out}"])
    if np.isnan(outcomes.correct).all():
        return _ungraded(_with_answers(outcomes), out, path, rows, said, lines)
    refuse_only_chosen(outcomes)
    advice = advise(outcomes, cluster=given["cluster"], time=given["time"], **limits)
    files: list[Path] = []
    try:
        files = save_advised(advice.policy, out.with_suffix(".toml"), advice.outcomes)
    except ValueError as error:
        said.append(f"The policy is not saved: {error}")
    write_advice(advice, out, files, said)
    written = ", ".join(str(file) for file in (out, *files))
    return Told([*lines, repr(advice), f"written: {written}"], advice.scores.stopped)


def _ungraded(outcomes, out: Path, path, rows: int, said: list[str], lines: list[str]) -> Told:
    chosen = rows_to_grade(outcomes, rows)
    file = out.with_suffix(".rows.csv")
    if file.exists():
        raise ValueError(
            f"{shown(str(file), 150)} is there, perhaps with grades in it; move it away, or give it"
            " with --graded-rows"
        )
    write_whole(file, sheet(outcomes, chosen).to_csv(index=False))
    again = shlex.join(
        ["ensemble-lab", "advise", str(path), "--graded-rows", str(file), "--out", str(out)]
    )
    write_whole(out, ungraded_page(outcomes, chosen, file, again, said))
    return Told([*lines, f"no answer is graded; rows to grade: {file}", f"written: {out}"])


def checked_place(out: str | Path) -> Path:
    """Where the page goes: a folder that exists, and no file of somebody else.

    Raises
    ------
    ValueError
        No folder, a name that is not .html, or a file that is not such a page.
    """
    out = Path(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {shown(str(out), 150)} is no name of a page; end it with .html")
    if not out.parent.is_dir():
        raise ValueError(f"no folder {shown(str(out.parent), 150)}; make it first")
    for file, own in ((out, is_own_page), (out.with_suffix(".toml"), _is_own_policy)):
        if file.is_dir():
            raise ValueError(f"{shown(str(file), 150)} is a folder; give the name of a file")
        if file.exists():
            with open(file, encoding="utf-8", errors="replace") as there:
                if not own(there.read(2000)):
                    raise ValueError(
                        f"{shown(str(file), 150)} is a file that this command did not write; give"
                        " another name, or move it away"
                    )
    return out


def servers_from(texts: Sequence[str] | None) -> int | dict[str, int] | None:
    """The servers that ``--servers 4`` names, or ``--servers small=2 --servers big=8``.

    Raises
    ------
    ValueError
        No whole number, a model twice, or both forms.
    """
    if not texts:
        return None
    found: dict[str, int] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not number.isascii() or not number.isdigit() or len(number) > 7 or name in found:
            raise ValueError(
                f"--servers {shown(text, 60)}; give a whole number, or MODEL=NUMBER once a model"
            )
        found[name] = int(number)
    if "" in found and len(found) > 1:
        raise ValueError(f"--servers {shown(texts, 60)}; give one number, or one for each model")
    return found.get("", found)


def _is_own_table(path: str | Path) -> bool:
    """Whether this package wrote the file: `Outcomes.to_parquet`, or a recording."""
    path = Path(path)
    if path.suffix.lower() == ".parquet" and path.is_file():
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return b"ensemble_lab" in (pq.read_schema(path).metadata or {})
        except (pa.ArrowException, OSError):  # read_table says what is wrong with it
            return False
    if path.suffix.lower() == ".jsonl" and path.is_file():
        with open(path, "rb") as file:
            return is_recording(file.readline())
    return False


def _is_own_policy(start: str) -> bool:
    return start.startswith("# Written by ensemble_lab")


def _without(outcomes: Outcomes, special: Mapping[str, str | None]):
    """The outcomes without those features, which no router may learn from, and their values."""
    found: dict[str, Any] = dict.fromkeys(special)
    for what, name in special.items():
        if name is None:
            continue
        if name in outcomes.features:
            found[what] = outcomes.features[name].tolist()
        elif name == "group" and outcomes.group is not None:
            found[what] = outcomes.group.tolist()
        else:
            raise ValueError(f"--{what} {shown(name, 60)} is no fact about an item here")
    kept = {k: v for k, v in outcomes.features.items() if k not in special.values()}
    return replace(outcomes, features=kept), found


def _with_answers(outcomes: Outcomes) -> Outcomes:
    if outcomes.answer is None:
        raise ValueError(
            "this table has neither grades nor answers: give the column of one of them, with"
            " --correct or --answer"
        )
    return outcomes
