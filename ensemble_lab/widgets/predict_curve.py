"""`PredictCurve`: a curve, drawn point by point before the true one is shown."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.widgets.backends import attended, backend, before
from ensemble_lab.widgets.ledger import note
from ensemble_lab.widgets.plain import escaped, legible
from ensemble_lab.widgets.predict import GUESS_FIRST, Sentence, text_of
from ensemble_lab.widgets.style import COMBINED, INK, LAYOUT, line, marker
from ensemble_lab.widgets.typed import typed_number


class PredictCurve:
    """A question whose answer is a curve: the reader drags its height at a few places.

    Parameters
    ----------
    question : str
    xs : sequence of float
        The places, at least two.
    truth : sequence of float or callable, optional
        The heights there, or a function of `xs` that works them out when they are asked for.
    low, high : float
        Between which heights are taken.
    x_label, y_label : str
        Titles of the axes, with their units.
    family : str
        What the question is about: a row of the `Ledger`.

    Raises
    ------
    ValueError
        Fewer than two places, or an empty range.
    """

    def __init__(
        self,
        question: str,
        xs: Sequence[float],
        truth: Sequence[float] | Callable[[Sequence[float]], Sequence[float]] | None = None,
        low: float = 0.0,
        high: float = 1.0,
        x_label: str = "x",
        y_label: str = "y",
        family: str = "",
    ):
        # A whole number stays one: `truth` may look its place up in an array.
        xs = [x if type(x) is int else typed_number(x) for x in several(xs, "xs")]
        if len(xs) < 2:
            raise ValueError(f"a curve over {shown(xs)} is none; give two places or more")
        if not low < high:
            ends = f"low={shown(low, 20)} and high={shown(high, 20)}"
            raise ValueError(f"no number lies between {ends}; swap them")
        self.question, self.xs, self.truth = legible(question), xs, truth
        self.low, self.high, self.labels = low, high, (legible(x_label), legible(y_label))
        self._value = [(low + high) / 2] * len(self.xs)
        self._drawn, self.family = False, legible(family)

    @property
    def value(self) -> list[float] | None:
        """The drawn heights, or None as long as nothing is drawn."""
        return list(self._value) if self._drawn else None

    @value.setter
    def value(self, heights: Sequence[float]) -> None:
        numbers = self._one_each(heights, "heights")
        for number in numbers:
            if not self.low <= number <= self.high:
                between = f"{self.low:g} and {self.high:g}"
                raise ValueError(f"{number:g} is not between {between}; draw it there")
        self._value, self._drawn = numbers, True

    def compare(self, truth: Sequence[float] | None = None, more: str | Callable[[], str] = ""):
        """A figure of the guess beside the truth, whose title says where they differ most.

        As `Predict.compare` does, it waits for the guess of a reader.

        Parameters
        ----------
        truth : sequence of float, optional
            The heights, where they were not given at the start.
        more : str or callable, optional
            A line under the title, or a function without arguments that returns it.

        Returns
        -------
        plotly.graph_objects.Figure
            Or a sentence that asks for the guess.

        Raises
        ------
        ValueError
            The truth was given neither here nor at the start.
        """
        import plotly.graph_objects as go

        if not self._drawn and attended() and (truth is not None or self.truth is not None):
            return Sentence(GUESS_FIRST)
        truth = self._known(truth)
        if self._drawn and attended():
            note(self, self._value, truth)
        traces = [_curve(self.xs, truth, "the truth", COMBINED)]
        if self._drawn:
            traces.append(_curve(self.xs, self._value, "your guess", INK))
        x, y = ({"title": {"text": escaped(label)}} for label in self.labels)
        lines = filter(None, (self._verdict(truth), escaped(text_of(more))))
        title = {**LAYOUT["title"], "text": "<br>".join(lines)}
        return go.Figure(traces, {**LAYOUT, "title": title, "xaxis": x, "yaxis": y})

    def table(self, truth: Sequence[float] | None = None):
        """The same as a data frame: one row a place, the truth and, where drawn, the guess."""
        import pandas as pd

        columns = {"the truth": self._known(truth)}
        if self._drawn:
            columns["your guess"] = self._value
        return pd.DataFrame(columns, index=pd.Index(self.xs, name=self.labels[0]))

    def _known(self, truth: Sequence[float] | None) -> list[float]:
        """The truth, given here or at the start."""
        if truth is None:
            truth = self.truth(self.xs) if callable(self.truth) else self.truth
        if truth is None:
            raise ValueError("give the truth: guess.compare(truth)")
        return self._one_each(truth, "true heights")

    def _one_each(self, heights: Sequence[float], what: str) -> list[float]:
        """A number for every place."""
        numbers = [typed_number(height) for height in several(heights, what)]
        if len(numbers) != len(self.xs):
            raise ValueError(f"{len(numbers)} {what} for {len(self.xs)} places; give one for each")
        return numbers

    def _verdict(self, truth: Sequence[float]) -> str:
        if not self._drawn:
            return "You drew no curve; this is the truth."
        miss = np.subtract(self._value, truth)
        if np.isnan(miss).any():
            known = "only partly" if not np.isnan(miss).all() else "not"
            return f"The truth is {known} known here."
        worst = int(np.argmax(np.abs(miss)))
        if abs(miss[worst]) <= (self.high - self.low) / 50:
            return "Your curve is right everywhere."
        side = "high" if miss[worst] > 0 else "low"
        return f"You were furthest off at {self.xs[worst]:g}: {abs(miss[worst]):.2g} too {side}."

    def _repr_mimebundle_(self, include=None, exclude=None):
        places = ", ".join(f"{x:g}" for x in self.xs)
        text = f"{self.question} (heights from {self.low:g} to {self.high:g} at {places})"
        told = {"text/plain": text, "text/html": f"<p><b>{html.escape(text)}</b></p>"}
        return told if backend() == "still" else before(told, self.widget())

    def widget(self):
        """A slider for every place and, where the truth is known, a button that reveals it."""
        require("a curve to drag", "ipywidgets")
        import ipywidgets

        sliders = [self._slider(i) for i in range(len(self.xs))]
        parts = [
            ipywidgets.HTML(f"<b>{html.escape(self.question)}</b>"),
            ipywidgets.HBox(sliders, layout={"flex_flow": "row wrap"}),
        ]
        if self.truth is not None:
            said, reveal = ipywidgets.Output(), ipywidgets.Button(description="Reveal")
            reveal.on_click(lambda _: self._reveal(said))
            parts += [reveal, said]
        return ipywidgets.VBox(parts)

    def _slider(self, i: int):
        import ipywidgets

        step = (self.high - self.low) / 50
        slider = ipywidgets.FloatSlider(
            value=self._value[i],
            min=self.low,
            max=self.high,
            step=step,
            description=f"{self.xs[i]:g}",
            orientation="vertical",
            readout_format=".0f" if step >= 1 else ".2f",
        )
        slider.observe(lambda change: self._dragged(i, change["new"]), "value")
        return slider

    def _dragged(self, i: int, height: float) -> None:
        self._value[i], self._drawn = height, True

    def _reveal(self, said) -> None:
        """Show the comparison, in numbers too, but only to those who have committed themselves."""
        from ensemble_lab.widgets.canvas import figure_output

        if not self._drawn:
            said.outputs = (_output({"text/plain": "Drag your curve first."}),)
            return
        table = self.table()
        numbers = table.to_html(border=0, float_format=lambda height: f"{height:.3g}")
        folded = f"<details><summary>The same in numbers</summary>{numbers}</details>"
        told = {"text/plain": str(table), "text/html": folded}
        said.outputs = (figure_output(self.compare().to_plotly_json()), _output(told))


def _output(data: dict[str, str]) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _curve(xs: Sequence, ys: Sequence, name: str, colour: str) -> dict[str, Any]:
    look = {"line": line(colour), "marker": marker(colour, 9)}
    return {"type": "scatter", "mode": "lines+markers", "x": xs, "y": ys, "name": name, **look}
