"""A widget for every kind of control, reachable by keyboard, with its help as a tooltip."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets

from ensemble_lab.widgets.controls import Control
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.still import words

MOST_BOXES = 60  # check boxes; more go into a list
IN_SIGHT = 6  # of them
MOST_LONG = 24  # characters of an option next to a box; its tooltip has the full text
FORMULA = re.compile(r"\$|\\(?=[(\[]|begin\b)")  # what may begin one
WIDE_SIGNS = {"$": "\uff04", "\\": "\uff3c"}
LABEL = {"description_width": "initial"}
WIDE = "380px"
LABELLED = """<div class="tex2jax_ignore mathjax_ignore" title="{}" style="line-height: 20px;
 font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis">{}</div>"""
ONE = {"width": "206px", "margin": "0 4px 0 0"}  # of a control: four stand in a row
TALL = {"width": "420px", "margin": "0 4px 0 0", "flex": "0 0 auto"}


@dataclass(frozen=True, eq=False)
class Input:
    """A control on the screen."""

    widget: Any
    read: Callable[[], Any]  # the chosen value
    write: Callable[[Any], None]  # chooses a value
    sources: tuple  # the widgets whose ``value`` changes when the reader chooses
    tall: bool = False  # as high as two rows of other controls, which are placed next to it


def input_of(control: Control) -> Input:
    """The widget that shows `control`, set to its default."""
    if control.kind == "many" and len(control.options) <= MOST_BOXES:
        return _boxes(control)
    if control.kind == "steps":
        return _slider(control)
    kind = {"choice": ipywidgets.Dropdown, "many": ipywidgets.SelectMultiple}[control.kind]
    look = {"width": "200px", "margin": "0 2px"}
    widget = kind(options=_options(control), value=control.default, layout=look)
    explain(widget, control.help)
    box = ipywidgets.VBox([_label(control.label, control.help), widget], layout=ONE)
    return Input(box, lambda: widget.value, lambda v: setattr(widget, "value", v), (widget,))


def _slider(control: Control) -> Input:
    """The label above, with the value in it, so that all sliders have the same width."""
    slider = ipywidgets.SelectionSlider(
        options=_options(control),
        value=control.default,
        readout=False,
        layout={"width": "198px", "margin": "0 2px"},
    )
    explain(slider, control.help)
    label = _label(control.label, control.help, control.default)

    def write(value):
        slider.value = value
        label.value = _labelled(control.label, control.help, value)

    box = ipywidgets.VBox([label, slider], layout=ONE)
    return Input(box, lambda: slider.value, write, (slider,))


def _options(control: Control) -> list[tuple[str, Any]]:
    return [(words(option), option) for option in control.options]


def _label(text: str, help: str, *value: Any) -> ipywidgets.HTML:
    layout = {"height": "20px", "margin": "0 2px", "overflow": "visible"}
    return ipywidgets.HTML(_labelled(text, help, *value), layout=layout)


def _labelled(text: str, help: str, *value: Any) -> str:
    """The label and the current value; the help is a tooltip."""
    value_shown = f": <b>{html.escape(words(value[0]))}</b>" if value else ""
    return LABELLED.format(html.escape(help), html.escape(text) + value_shown)


def _boxes(control: Control) -> Input:
    """Check boxes in columns that scroll, below the number checked; a preset's come first."""
    options = {}
    for option in control.options:
        box = ipywidgets.Checkbox(
            value=False,
            description=description(named(words(option), MOST_LONG)),
            indent=False,
            layout={"width": "auto", "height": "21px", "margin": "0"},
        )
        explain(box, words(option) if len(words(option)) > MOST_LONG else control.help)
        options[box] = option
    boxes, label = list(options), _label(control.label, control.help)

    def read():
        return tuple(option for box, option in options.items() if box.value)

    columns = {"grid_template_columns": "repeat(2, 1fr)"}
    look = {"max_height": "76px", "overflow": "hidden auto", "width": "100%", **columns}
    grid = ipywidgets.GridBox(boxes, layout=look)

    def write(chosen):
        if len(boxes) > IN_SIGHT and read() != tuple(chosen):  # a preset, not a click on a box
            grid.children = sorted(boxes, key=lambda box: options[box] not in chosen)
        for box, option in options.items():
            box.value = option in chosen
        label.value = _labelled(control.label, control.help, f"{len(chosen)} of {len(boxes)}")

    write(control.default)
    box = ipywidgets.VBox([label, grid], layout=TALL)
    return Input(box, read, write, tuple(boxes), tall=True)


def description(text: str) -> str:
    """The text for a widget's ``description``, which ipywidgets 7 writes as HTML and 8 as text.

    Both typeset text that looks like a formula, so its signs are replaced by the wide ones.
    """
    text = FORMULA.sub(lambda found: WIDE_SIGNS[found[0]], text)
    return html.escape(text) if int(ipywidgets.__version__.partition(".")[0]) < 8 else text


def explain(widget, help: str) -> None:
    """Give a widget its tooltip, whose name changed with ipywidgets 8."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    setattr(widget, name, help)
