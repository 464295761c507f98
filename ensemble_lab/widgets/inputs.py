"""A widget for every kind of control, reachable by keyboard, its help one hover away."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets

from ensemble_lab.widgets.controls import Control
from ensemble_lab.widgets.still import words

MOST_BOXES = 12  # check boxes; more go into a list
FORMULA = re.compile(r"\$|\\(?=[(\[]|begin\b)")  # what may begin one
WIDE_SIGNS = {"$": "\uff04", "\\": "\uff3c"}
LABEL = {"description_width": "initial"}
WIDE = "380px"


@dataclass(frozen=True, eq=False)
class Input:
    """A control on the screen.

    Parameters
    ----------
    widget : ipywidgets.Widget
    read : callable
        () to what is chosen now.
    write : callable
        Chooses a value.
    sources : tuple of ipywidgets.Widget
        Whose ``value`` changes when somebody chooses.
    """

    widget: Any
    read: Callable[[], Any]
    write: Callable[[Any], None]
    sources: tuple


def input_of(control: Control) -> Input:
    """The widget that shows `control`, set to its default."""
    if control.kind == "many" and len(control.options) <= MOST_BOXES:
        return _boxes(control)
    kind = {
        "steps": ipywidgets.SelectionSlider,
        "choice": ipywidgets.Dropdown,
        "many": ipywidgets.SelectMultiple,
    }[control.kind]
    widget = kind(
        options=[(words(option), option) for option in control.options],
        value=control.default,
        description=description(control.label),
        style=LABEL,
        layout={"width": WIDE},
    )
    explain(widget, control.help)
    return Input(widget, lambda: widget.value, lambda v: setattr(widget, "value", v), (widget,))


def _boxes(control: Control) -> Input:
    boxes = [
        ipywidgets.Checkbox(
            value=option in control.default,
            description=description(words(option)),
            indent=False,
            layout={"width": "auto", "margin": "0 12px 0 0"},
        )
        for option in control.options
    ]
    for box in boxes:
        explain(box, control.help)

    def read():
        return tuple(o for o, box in zip(control.options, boxes, strict=True) if box.value)

    def write(chosen):
        for option, box in zip(control.options, boxes, strict=True):
            box.value = option in chosen

    row = ipywidgets.HBox(boxes, layout={"flex_flow": "row wrap"})
    label = ipywidgets.Label(f"{control.label}:")
    widget = ipywidgets.HBox([label, row], layout={"width": "100%"})
    return Input(widget, read, write, tuple(boxes))


def description(text: str) -> str:
    """The text for a widget's ``description``, which ipywidgets 7 writes as HTML and 8 as text.

    Both set what looks like a formula, so its signs are replaced by the wide ones.
    """
    text = FORMULA.sub(lambda found: WIDE_SIGNS[found[0]], text)
    return html.escape(text) if int(ipywidgets.__version__.partition(".")[0]) < 8 else text


def explain(widget, help: str) -> None:
    """Give a widget its tooltip, whose name changed with ipywidgets 8."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    setattr(widget, name, help)
