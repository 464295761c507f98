"""`Predict`: commit to a number before it is revealed; a run without a reader goes on.

What a reader guessed is kept with the truth in the `Ledger`.
"""

from __future__ import annotations

import html
import math
import uuid
from collections.abc import Callable

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.widgets.backends import attended, backend, before
from ensemble_lab.widgets.ledger import note
from ensemble_lab.widgets.plain import legible
from ensemble_lab.widgets.typed import typed_number

GUESS_FIRST = "Guess first, then run this cell again."


class Sentence(str):
    """A text that a notebook shows as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def text_of(more: str | Callable[[], str]) -> str:
    """What `more` says, worked out now."""
    return str(more() if callable(more) else more)


class Predict:
    """A question whose answer is a number that the reader types first.

    Parameters
    ----------
    question : str
    truth : float or callable, optional
        The answer, or a function without arguments that works it out when it is asked for.
    low, high : float
        Between which guesses are taken.
    unit : str
        Written behind the numbers.
    default : float, optional
        The guess of a run without a reader; none by default.
    family : str
        What the question is about: a row of the `Ledger`.

    Raises
    ------
    ValueError
        A default outside the range, or an empty range.

    Examples
    --------
    >>> guess = Predict("What share is escalated?", truth=12.0, high=100, unit="%", default=50)
    >>> guess.value
    50.0
    >>> guess.compare()
    You said 50 %; it is 12 %. You were 38 % too high.
    """

    def __init__(
        self,
        question: str,
        truth: float | Callable[[], float] | None = None,
        low: float = 0.0,
        high: float = 100.0,
        unit: str = "",
        default: float | None = None,
        family: str = "",
    ):
        if not low < high:
            ends = f"low={shown(low, 20)} and high={shown(high, 20)}"
            raise ValueError(f"no number lies between {ends}; swap them")
        self.question, self.truth, self.unit = legible(question), truth, legible(unit)
        self.low, self.high, self.family = low, high, legible(family)
        self._value = None
        if default is not None:
            self.value = default

    @property
    def value(self) -> float | None:
        """The guess, or None as long as there is none."""
        return self._value

    @value.setter
    def value(self, guess: float) -> None:
        number = typed_number(guess, self.unit)
        if not self.low <= number <= self.high:
            between = f"{self.low:g} and {self.high:g}"
            raise ValueError(f"{number:g} is not between {between}; guess one that is")
        self._value = number

    def compare(self, truth: float | None = None, more: str | Callable[[], str] = "") -> Sentence:
        """A sentence that sets the guess beside the truth.

        In a notebook that a reader runs, the sentence asks for the guess as long as there is none:
        *Run All* does not show the answer. Reports and tests set ``ENSEMBLE_LAB_HEADLESS`` in the
        environment, and see it.

        Parameters
        ----------
        truth : float, optional
            The answer, where it was not given at the start.
        more : str or callable, optional
            Lines that follow the sentence, or a function without arguments that returns them. It
            is called only when the answer is shown.

        Raises
        ------
        ValueError
            The truth was given neither here nor at the start.
        """
        if self.value is None and attended() and (truth is not None or self.truth is not None):
            return Sentence(GUESS_FIRST)
        if truth is None:
            truth = self.truth() if callable(self.truth) else self.truth
        if truth is None:
            raise ValueError("give the truth: guess.compare(truth)")
        verdict = self._verdict(truth)
        if self.value is not None and attended():
            note(self, [self.value], [typed_number(truth, self.unit)])
        return Sentence("\n".join(filter(None, (verdict, text_of(more)))))

    def _verdict(self, truth: float) -> str:
        truth = typed_number(truth, self.unit)
        told = "not known" if math.isnan(truth) else self._words(truth)
        if self.value is None:
            return f"You made no guess; it is {told}."
        if math.isnan(truth):
            return f"You said {self._words(self.value)}; it is {told}."
        miss = self.value - truth
        if math.isclose(self.value, truth, abs_tol=(self.high - self.low) / 200):
            verdict = "Right on the spot."
        else:
            verdict = f"You were {self._words(abs(miss))} too {'high' if miss > 0 else 'low'}."
        return f"You said {self._words(self.value)}; it is {told}. {verdict}"

    def _words(self, number: float) -> str:
        return f"{number:.3g} {self.unit}".rstrip()

    def _repr_mimebundle_(self, include=None, exclude=None):
        guess = "no guess yet" if self.value is None else f"guess: {self._words(self.value)}"
        text = f"{self.question} ({guess}, between {self.low:g} and {self.high:g})"
        told = {"text/plain": text, "text/html": f"<p><b>{html.escape(text)}</b></p>"}
        return told if backend() == "still" else before(told, self.widget())

    def widget(self):
        """A field for the number and, where the truth is known, a button that reveals it."""
        require("a field to type into", "ipywidgets")
        import ipywidgets

        from ensemble_lab.widgets.inputs import description

        name = uuid.uuid4().hex
        question = ipywidgets.HTML(f'<b id="{name}">{html.escape(self.question)}</b>')
        unit = f" ({self.unit})" if self.unit else ""
        field = ipywidgets.Text(
            value="" if self.value is None else f"{self.value:g}",
            placeholder=f"{self.low:g} to {self.high:g}",
            description=description(f"your guess{unit}"),
            style={"description_width": "initial"},
        )
        said = ipywidgets.HTML()
        field.observe(lambda change: self._typed(change["new"], said), "value")
        parts = [field]
        if self.truth is not None:
            reveal = ipywidgets.Button(description="Reveal")
            reveal.on_click(lambda _: self._reveal(said))
            parts.append(reveal)
        return ipywidgets.VBox([question, ipywidgets.HBox(parts), said])

    def _typed(self, text: str, said) -> None:
        try:
            if text.strip():
                self.value = text
                message = f"noted: {self._words(self.value)}"
            else:
                self._value, message = None, "no guess yet"
        except ValueError as error:
            kept = "" if self.value is None else f"; your guess is still {self._words(self.value)}"
            message = f"{error}{kept}"
        said.value = f'<p role="status">{html.escape(message)}</p>'

    def _reveal(self, said) -> None:
        """Show the comparison, but only to those who have committed themselves."""
        message = "Type your guess first." if self.value is None else self.compare()
        said.value = f'<p role="status"><b>{html.escape(message)}</b></p>'
