"""Pages for tables that cannot be advised on yet: without grades, or with one answer an item."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble_lab.advice.grading import accuracy_from_grades
from ensemble_lab.advice.html import (
    bullets,
    code,
    document,
    heading,
    paragraph,
    section,
    table,
)
from ensemble_lab.advice.words import counted, percent
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT

MOST_MODELS = 30  # in a table of a page, and of answers beside the rows to grade


def ungraded_page(
    outcomes: Outcomes, chosen, file: Path, command: str, said: Sequence[str] = ()
) -> str:
    """A page about agreement only: no answer is graded.

    Parameters
    ----------
    outcomes : Outcomes
    chosen : pandas.DataFrame
        As `rows_to_grade` made it.
    file : Path
        Where these rows are.
    command : str
        What to run once they are graded.
    said : sequence of str
    """
    together = agreement(outcomes)
    differ = float((together["answers"] > 1).mean())
    sentence = (
        f"No answer is graded, so nobody can say which model is right. They differ on"
        f" {percent(differ)} of the items."
    )
    first = outcomes.answer[:, :MOST_MODELS]
    both = [
        [name, *(_share(first[:, j], first[:, k]) for k in range(first.shape[1]))]
        for j, name in enumerate(outcomes.models[:MOST_MODELS])
    ]
    names = [excerpt(name, 24) for name in outcomes.models[:MOST_MODELS]]
    hours = (
        f"{counted(len(chosen), 'row')} to grade are in {file.name}: fill in the column truth with"
        " the right answer of each, and run the command again with the file."
    )
    why = (
        "Rows on which the models differ decide which one is better, so more of them are chosen."
        " Every row had a chance, and its weight is one over it: keep the weights, and grade all of"
        " these rows, for the result is unbiased only so."
    )
    counts = chosen.groupby("stratum")["weight"].agg(["size", "first"])
    strata = [[f"{place + 1}", f"{row['size']:.0f}", f"{row['first']:.2f}"]
              for place, row in counts.iterrows()]  # fmt: skip
    return document(
        "No answer is graded",
        [
            paragraph("Would an ensemble pay?", "small"),
            heading(sentence),
            paragraph(
                "Agreement says nothing of who is right: models that learned from the same texts"
                " share mistakes. What agreement can say is which rows to grade."
            ),
            section("Which rows to grade", paragraph(hours), code(command), paragraph(why),
                    table(["stratum", "rows", "weight of each"], strata,
                          "From those on which all agree to those on which most differ")),
            section("Who agrees with whom", table(["model", *names], both,
                    "Share of the items on which two models give the same answer")),
            section("Doubts", bullets(list(said))),
        ],
    )  # fmt: skip


def graded_page(outcomes: Outcomes, found, chosen, said: Sequence[str] = ()) -> str:
    """A page about what the graded rows say of all models; `found` is of `accuracy_from_grades`."""
    found = found.sort_values("accuracy", ascending=False)
    best, total = found.iloc[0], len(outcomes)
    apart = found[found["gap_high"] < 0]
    sentence = (
        f"{excerpt(best.model, 60)} is right on {percent(best.accuracy)}"
        f" [{100 * best.low:.1f}, {100 * best.high:.1f}]"
    )
    others = len(found) - 1
    if others:
        less = "all" if len(apart) == others else f"{len(apart)} of"
        sentence += f"; {less} {counted(others, 'other model')} are less accurate for sure"
    sentence += "."
    rows = [
        [row.model, percent(row.accuracy), f"[{100 * row.low:.1f}, {100 * row.high:.1f}]",
         f"{100 * row.gap:+.1f}", f"[{100 * row.gap_low:+.1f}, {100 * row.gap_high:+.1f}]"]
        for row in found.itertuples()
    ]  # fmt: skip
    text = (
        f"From {len(chosen):,} graded rows that stand for {total:,}. A gap whose interval contains"
        " 0 may be none."
    )
    header = ["model", "right", "95 %", "gap in points", "95 % of the gap"]
    caption = "Weighted by how many items each graded row stands for"
    return document(
        "What the graded rows say",
        [
            paragraph("Which model is right?", "small"), heading(sentence), paragraph(text),
            section("All models", table(header, rows, caption, 0)),
            section("Doubts", bullets(list(said))),
        ],
    )  # fmt: skip


def chosen_page(outcomes: Outcomes, found, said: Sequence[str] = ()) -> str:
    """A page about a log in which only the chosen model answered, weighted by propensities."""
    found = found.sort_values("accuracy", ascending=False)
    known = found.dropna(subset=["accuracy"])
    best = known.iloc[0]
    sentence = (
        f"Asked about everything, {excerpt(best.model, 60)} would be right on"
        f" {percent(best.accuracy)} [{100 * best.low:.1f}, {100 * best.high:.1f}]."
    )
    seen = dict(zip(outcomes.models, outcomes.accuracy(), strict=True))
    rows = [
        [row.model, percent(row.accuracy), f"[{100 * row.low:.1f}, {100 * row.high:.1f}]",
         percent(seen[row.model]), f"{row.items:,}", f"{row.effective:,.0f}", f"{row.smallest:.3g}"]
        for row in known.itertuples()
    ]  # fmt: skip
    text = (
        "Only the chosen model answered each item, so the log alone misleads: each model was seen"
        " on the items that were sent to it. Here each answer is weighted by one over the"
        " propensity of its choice. Cascades and votes cannot be judged from such a log: they need"
        " the answers of several models to the same items. Send a random 5 % of the traffic to all"
        " models."
    )
    header = ["model", "right", "95 %", "in the log itself", "items", "effective items",
              "smallest propensity"]  # fmt: skip
    return document(
        "A log with one answer an item",
        [
            paragraph("Which model would be right?", "small"), heading(sentence), paragraph(text),
            section("All models", table(header, rows, "Weighted by propensity", 0)),
            section("Doubts", bullets(list(said))),
        ],
    )  # fmt: skip


def agreement(outcomes: Outcomes) -> pd.DataFrame:
    """Of each item, how many models answered it and how many different answers they gave."""
    answer = outcomes.answer
    ordered = np.sort(answer, axis=1)
    here = ordered != ABSENT
    new = here.copy()
    new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    return pd.DataFrame({"models": here.sum(axis=1), "answers": new.sum(axis=1)})


def sheet(outcomes: Outcomes, chosen) -> pd.DataFrame:
    """The rows to grade as a person fills them in: an empty column ``truth``, and the answers."""
    place = {item: i for i, item in enumerate(outcomes.items.tolist())}
    rows = [place[item] for item in chosen["item"].tolist()]
    found = chosen.assign(truth="")
    labels = np.array([*map(str, outcomes.labels), "", ""], object)  # the negative codes come last
    said = pd.DataFrame(
        {
            f"answer of {name}": labels[outcomes.answer[rows, j]]
            for j, name in enumerate(outcomes.models[:MOST_MODELS])
        },
        index=found.index,
    )
    return pd.concat([found, said], axis=1)


def filled_in(outcomes: Outcomes, path: Path) -> tuple[Outcomes, pd.DataFrame]:
    """The outcomes with the grades of a filled-in sheet, and its rows.

    Raises
    ------
    ValueError
        Another file, an item that the table does not have, or a row without truth.
    """
    try:
        given = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not CSV"
        raise ValueError(f"{shown(str(path), 150)} cannot be read: {why}") from None
    lacking = {"item", "weight", "stratum", "truth"} - set(given.columns)
    if lacking:
        raise ValueError(
            f"{shown(path.name, 60)} has no column {shown(min(lacking))}; give the file of rows"
            " that was written, with the column truth filled in"
        )
    names = {str(item): item for item in outcomes.items.tolist()}
    place = {item: i for i, item in enumerate(outcomes.items.tolist())}
    correct = np.full(outcomes.correct.shape, np.nan)
    for item, truth in zip(given["item"], given["truth"], strict=True):
        if item not in names:
            raise ValueError(f"item {shown(item, 40)} is not in the table; give the table it is of")
        if not truth.strip():
            raise ValueError(
                f"item {shown(item, 40)} has no truth; grade all rows, for leaving out those that"
                " are hard to grade makes the result biased"
            )
        i = place[names[item]]
        right = np.array(
            [_plain(str(label)) == _plain(truth) for label in outcomes.labels] + [0, 0]
        )
        correct[i] = np.where(
            outcomes.answer[i] == ABSENT, np.nan, right[outcomes.answer[i]].astype(float)
        )
    rows = pd.DataFrame(
        {
            "item": [names[item] for item in given["item"]],
            "weight": given["weight"].astype(float),
            "stratum": given["stratum"].astype(int),
        }
    )
    fields = {"models": outcomes.models, "items": outcomes.items, "correct": correct}
    return Outcomes(**fields, answer=outcomes.answer, labels=outcomes.labels), rows


def from_sheet(outcomes: Outcomes, path: Path):
    """What a filled-in sheet says: the frame of `accuracy_from_grades`, and its rows."""
    graded, rows = filled_in(outcomes, path)
    return accuracy_from_grades(graded, rows), rows


def _plain(text: str) -> float | str:
    """A label as it is compared: "18.0" is 18."""
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _share(one: np.ndarray, other: np.ndarray) -> str:
    both = (one != ABSENT) & (other != ABSENT)
    return percent(float((one[both] == other[both]).mean()), 0) if both.any() else ""
