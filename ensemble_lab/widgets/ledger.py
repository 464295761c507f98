"""The ledger: what a reader guessed over the whole series, beside what was true.

`Predict` and `PredictCurve` add a line to a file in the working folder when they show an answer to
a reader. Nothing is written in a run without a reader, and nothing is ever sent anywhere.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.widgets.plain import escaped, named
from ensemble_lab.widgets.style import COMBINED, INK, LAYOUT, marker

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

FILE = "predictions.jsonl"
VERSION = 1
CLOSE = 0.05  # of the range: a guess this near counts as right
NONE_YET = "no predictions yet: type a guess in a notebook, then reveal the answer"


@dataclass(frozen=True)
class Prediction:
    """One guess. Of a curve, `guess` and `truth` have one number a place."""

    family: str
    question: str
    low: float
    high: float
    unit: str
    guess: tuple[float, ...]
    truth: tuple[float, ...]
    when: str

    @property
    def miss(self) -> float:
        """Mean of guess minus truth, as a share of the range; above 0 is too high."""
        return float(np.mean(np.subtract(self.guess, self.truth))) / (self.high - self.low)

    @property
    def distance(self) -> float:
        """Mean distance of guess and truth, as a share of the range."""
        apart = np.abs(np.subtract(self.guess, self.truth))
        return float(np.mean(apart)) / (self.high - self.low)


def note(predicted, guess: Sequence[float], truth: Sequence[float]) -> None:
    """Add the guess of a `Predict` or `PredictCurve` to the ledger, if a file can be written.

    A line is added in one call, so two notebooks can write at the same time.
    """
    if not all(map(math.isfinite, (*guess, *truth))):
        return
    line = {"version": VERSION} | asdict(
        Prediction(
            predicted.family, predicted.question, float(predicted.low), float(predicted.high),
            getattr(predicted, "unit", ""), tuple(map(float, guess)), tuple(map(float, truth)),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
    )  # fmt: skip
    with suppress(OSError), open(FILE, "ab+") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        torn = file.read(1) not in (b"", b"\n")  # by a crash, or by hand
        file.write(b"\n" * torn + json.dumps(line).encode() + b"\n")


class Ledger:
    """The reader's predictions. The first guess of each question counts.

    Parameters
    ----------
    path : str or Path
        The file; by default the one that notebooks write in their folder.

    Attributes
    ----------
    predictions : tuple of Prediction
        The first guess of each question, in the order of time.

    Warns
    -----
    UserWarning
        Lines that cannot be read, or that another version of the package wrote.
    """

    def __init__(self, path: str | os.PathLike = FILE):
        self.path = Path(path)
        first = {}
        # Two files put together are out of order; the times are all written in UTC.
        for one in sorted(_read(self.path), key=lambda one: one.when):
            first.setdefault((one.family, one.question), one)
        self.predictions = tuple(first.values())

    def __len__(self) -> int:
        return len(self.predictions)

    def table(self) -> pd.DataFrame:
        """A row a family: how many guesses, how many were close, the mean miss and distance."""
        import pandas as pd

        rows = {}
        for one in self.predictions:
            rows.setdefault(one.family, []).append(one)
        return pd.DataFrame(
            {
                family: {
                    "predictions": len(ones),
                    "close": sum(one.distance <= CLOSE for one in ones),
                    "miss": np.mean([one.miss for one in ones]),
                    "distance": np.mean([one.distance for one in ones]),
                }
                for family, ones in rows.items()
            },
            index=["predictions", "close", "miss", "distance"],
        ).T.astype({"predictions": int, "close": int})

    def summary(self) -> str:
        """One sentence: how many guesses were close, and to which side the others missed."""
        if not self.predictions:
            return NONE_YET
        count = len(self)
        close = sum(one.distance <= CLOSE for one in self.predictions)
        far = [one.miss for one in self.predictions if one.distance > CLOSE]
        high, low = sum(miss > 0 for miss in far), sum(miss < 0 for miss in far)
        words = f"{count} prediction{'s' * (count > 1)}: {close} within {CLOSE:.0%} of the range"
        words += f", {high} too high, {low} too low" if far else ""
        both = len(far) - high - low  # curves
        return f"{words}, {both} as much too high as too low" if both else words

    def figure(self) -> go.Figure:
        """A row a family, a dot a prediction: how far, and to which side, it missed.

        Raises
        ------
        ValueError
            There are no predictions yet.
        """
        import plotly.graph_objects as go

        if not self.predictions:
            raise ValueError(NONE_YET)
        hover = [
            escaped(
                f"{named(one.question, 80)}\nguess {_told(one.guess)}, truth {_told(one.truth)}"
                f" {named(one.unit, 20)}"
            )
            for one in self.predictions
        ]
        families = [escaped(named(one.family)) for one in self.predictions]
        misses = [one.miss for one in self.predictions]
        near = np.array([one.distance <= CLOSE for one in self.predictions])
        traces = []
        for name, those, colour, symbol in (
            ("close", near, COMBINED, "circle"),
            ("missed", ~near, INK, "diamond-open"),
        ):
            at = np.flatnonzero(those)
            if len(at):
                traces.append(
                    go.Scatter(
                        x=[misses[i] for i in at],
                        y=[families[i] for i in at],
                        text=[hover[i] for i in at],
                        mode="markers", name=name,
                        marker=marker(colour, 11) | {"symbol": symbol},
                        hovertemplate="%{text}<extra></extra>",
                    )
                )  # fmt: skip
        rows, most = list(dict.fromkeys(families)), 1.1 * max(0.25, *map(abs, misses))
        title = {**LAYOUT["title"], "text": escaped(self.summary())}
        across = {"title": {"text": "guess minus truth, as a share of the range"},
                  "tickformat": "+.0%", "range": [-most, most]}  # fmt: skip
        up = {"categoryorder": "array", "categoryarray": rows[::-1], "automargin": True}
        size = {"height": 220 + 26 * len(rows)}
        return go.Figure(traces, {**LAYOUT, **size, "title": title, "xaxis": across, "yaxis": up})

    def __repr__(self) -> str:
        return self.summary()


def _read(path: Path) -> list[Prediction]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found, unread, other = [], [], []
    for number, line in enumerate(lines, 1):
        try:
            one = json.loads(line)
            if isinstance(one, dict) and one.get("version", VERSION) != VERSION:
                other.append(number)
            else:
                found.append(_prediction(one))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            unread.append(number)
    for numbers, why in ((unread, "cannot be read"), (other, "are of another version")):
        if numbers:
            warnings.warn(
                f"{path.name}: {len(numbers)} lines {why} and are left out, "
                f"line {numbers[0]} first",
                stacklevel=3,
            )
    return found


def _prediction(line: dict) -> Prediction:
    """Checked: a file may come from anywhere."""
    texts = {name: line[name] for name in ("family", "question", "unit", "when")}
    low, high = float(line["low"]), float(line["high"])
    guess, truth = (tuple(map(float, line[name])) for name in ("guess", "truth"))
    fine = all(isinstance(text, str) for text in texts.values())
    fine &= all(isinstance(line[name], list) for name in ("guess", "truth"))
    fine &= all(map(math.isfinite, (low, high, high - low, *guess, *truth))) and low < high
    if not (fine and guess and len(guess) == len(truth)):
        raise ValueError(f"a line with {shown(line)}")
    return Prediction(**texts, low=low, high=high, guess=guess, truth=truth)


def _told(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.3g}" for number in numbers)
