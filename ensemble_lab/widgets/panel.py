"""The panel: an explorer's controls, its figure, and the same in words, numbers and JSON."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from ensemble_lab.core.errors import MOST_SHOWN, shown
from ensemble_lab.widgets.canvas import LiveCanvas, RedrawCanvas
from ensemble_lab.widgets.controls import MOST_IN_SIGHT
from ensemble_lab.widgets.explorer import Failing
from ensemble_lab.widgets.folds import Folds
from ensemble_lab.widgets.inputs import LABEL, WIDE, Input, explain, input_of
from ensemble_lab.widgets.plain import legible, named, whole
from ensemble_lab.widgets.still import words

if TYPE_CHECKING:
    import pandas as pd

    from ensemble_lab.widgets.explorer import Explorer, State

FAILS = "ensemble-lab-fails"  # class of the buttons of presets that fail
PALE = "#F7E3EE"  # their background; the text on it has a contrast of 14:1
MOST_ROWS = 200  # of a table on the screen
MOST_TITLE = 120  # characters on a button
MOST_ITEMS = 1000  # offered by name; others can be typed
TICK = {
    False: '<b role="img" aria-label="to do:">☐</b>',
    True: '<b role="img" aria-label="done:">☑</b>',
}
TABLE, STATE, CARD = "Data table", "State", "Item card"
MISSING = "What cannot be set here, and why"
COPY = """<button class="jupyter-button lm-Widget widget-button"
 style="width: auto; height: 26px; margin: 1px; padding: 0 8px; font-size: 12px; line-height: 26px"
 title="Copy these settings as JSON, for a report or a colleague" data-state="{state}"
 onclick="navigator.clipboard.writeText(this.dataset.state).then(
   () => this.textContent = 'Copied', () => this.textContent = 'Copy it from State, below')"
>Copy state</button>"""


class Panel:
    """An explorer on the screen.

    Parameters
    ----------
    explorer : Explorer
    live : bool
        A figure that changes in place, or a new one for every state.

    Attributes
    ----------
    widget : ipywidgets.VBox
        The widget to display.
    state : dict
        The state that is shown.
    """

    def __init__(self, explorer: Explorer, live: bool = True):
        self.explorer = explorer
        self.state = explorer.state()
        self._setting = False
        self._picture = explorer.drawn(self.state)
        self.canvas = (LiveCanvas if live else RedrawCanvas)(self._picture)
        self.inputs = {control.name: input_of(control) for control in explorer.controls}
        self.note = ipywidgets.HTML()
        self.text = ipywidgets.HTML()
        self.copy = ipywidgets.HTML(layout={"margin": "0"})
        self.below = self._below()
        top, *less_used = self._controls()
        self.tasks = ipywidgets.HTML()
        self.done: set[str] = set()
        drawn = [self.note, self.canvas.widget, self.text, self.tasks]
        self.widget = ipywidgets.VBox([self._buttons(), top, *drawn, *less_used, self.below])
        self._write_inputs()
        self._tell()
        for one in self.inputs.values():
            for source in one.sources:
                source.observe(self._moved, "value")

    def set(self, **changes: Any) -> None:
        """Show the current state with `changes`.

        Raises
        ------
        ValueError
            A change that the explorer's `state` refuses; the panel is not changed.
        """
        self._show(self.explorer.state(**{**self.state, **changes}))

    # -- what is on the screen ------------------------------------------------------------------

    def _buttons(self) -> ipywidgets.Widget:
        """Presets, then step, reset and copy."""
        self.presets = {
            title: self._button(title, lambda _, title=title: self._preset(title))
            for title in self.explorer.presets
        }
        for title, button in self.presets.items():
            if isinstance(self.explorer.presets[title], Failing):
                button.add_class(FAILS)
                button.style.button_color = PALE
                button.tooltip = f"Where it fails or does not pay: {button.description}"
        start = self.explorer.state()
        others = [self._button("Reset", lambda _: self._try(**start), "Back to the start")]
        if self.explorer.sequence:
            self.step = self._button("Step", lambda _: self._next(), "One step on")
            others.insert(0, self.step)
        self.buttons = {button.description: button for button in others}
        row = [*self.presets.values(), *others, self.copy]
        return ipywidgets.HBox(row, layout={"flex_flow": "row wrap"})

    @staticmethod
    def _button(title: str, pressed, help: str = "") -> ipywidgets.Button:
        shown = named(title, MOST_TITLE)
        look = {"width": "auto", "height": "26px", "padding": "0 8px", "margin": "1px"}
        button = ipywidgets.Button(description=shown, layout=look, style={"font_size": "12px"})
        button.tooltip = help or f"Show: {shown}"
        button.on_click(pressed)
        return button

    def _controls(self) -> list[ipywidgets.Widget]:
        """At most four controls in sight; then the others, folded, and why some are missing.

        The first part is above the figure: both fit on a small screen.
        """
        inputs = list(self.inputs.values())
        shown = [_row(inputs[:MOST_IN_SIGHT])]
        if inputs[MOST_IN_SIGHT:]:
            shown.append(Folds({"More controls": _row(inputs[MOST_IN_SIGHT:])}))
        if self.explorer.missing:
            reasons = self.explorer.missing.items()
            entries = "".join(
                f"<li><b>{html.escape(words(n))}</b> cannot be set: {html.escape(why)}</li>"
                for n, why in reasons
            )
            shown.append(Folds({MISSING: ipywidgets.HTML(f"<ul>{entries}</ul>")}))
        return shown

    def _below(self) -> Folds:
        """The data table, the state as JSON (which can be pasted, too) and the item card."""
        self.table = ipywidgets.HTML()
        self.json = ipywidgets.Textarea(
            description="state as JSON",
            continuous_update=False,
            style=LABEL,
            layout={"width": "100%", "height": "80px"},
        )
        explain(self.json, "Copy it from here, or paste one to see what it shows")
        self.json.observe(self._pasted, "value")
        parts = {TABLE: self.table, STATE: self.json}
        if self.explorer.card:
            parts[CARD] = self._card()
        below = Folds(parts)
        below.observe(lambda _: self._tell(), "selected_index")
        return below

    def _card(self) -> ipywidgets.Widget:
        self.by_name = by_name(self.explorer.items)
        self.item = ipywidgets.Combobox(
            options=tuple(self.by_name)[:MOST_ITEMS],
            placeholder="name of an item",
            description="item",
            continuous_update=False,
            style=LABEL,
            layout={"width": WIDE},
        )
        self.card = ipywidgets.HTML()
        self.item.observe(lambda _: self._tell(), "value")
        return ipywidgets.VBox([self.item, self.card])

    # -- what happens ---------------------------------------------------------------------------

    def _moved(self, _) -> None:
        if not self._setting:
            self._try(**{name: one.read() for name, one in self.inputs.items()})

    def _pasted(self, change: Mapping) -> None:
        if not self._setting:
            self._guarded(lambda: self._show(self.explorer.read(change["new"])))

    def _next(self) -> None:
        """Advance the sequence's control by one option, if there is one left."""
        name = self.explorer.sequence
        options = next(c.options for c in self.explorer.controls if c.name == name)
        at = options.index(self.state[name])
        self._try(**{name: options[min(at + 1, len(options) - 1)]})

    def _preset(self, title: str) -> None:
        self._try(**self.explorer.preset(title, self.state))

    def _try(self, **changes: Any) -> None:
        """Show the current state with `changes`, or say why that cannot be."""
        self._guarded(lambda: self.set(**changes))

    def _guarded(self, change) -> None:
        """Do `change`; a refusal by the explorer is shown on the panel, which is not changed."""
        try:
            change()
        except (ValueError, KeyError) as error:
            self.note.value = f'<p role="alert"><b>{html.escape(legible(str(error)))}</b></p>'
        else:
            self.note.value = ""

    def _show(self, state: State) -> None:
        if state != self.state:
            self._picture = self.explorer.drawn(state)
            self.state = state
            self.canvas.show(self._picture)
        self._write_inputs()
        self._tell()

    def _write_inputs(self) -> None:
        """Set every control and both JSON texts to the state, without drawing after each."""
        self._setting = True
        try:
            for name, one in self.inputs.items():
                one.write(self.state[name])
            text = self.explorer.to_json(**self.state)
            self.json.value = text
            self.copy.value = COPY.format(state=html.escape(text))
        finally:
            self._setting = False

    def _tell(self) -> None:
        """Update the text, the tasks and the open sections to the state shown."""
        words_shown = html.escape(self._picture.text)
        self.text.value = f'<p role="status" aria-live="polite">{words_shown}</p>'
        self.tasks.value = self._list_tasks()
        opened = self.below.selected_index
        if opened == 0:
            self.table.value = as_html(self._picture.table())
        elif opened == 2:
            self._guarded(self._tell_card)

    def _list_tasks(self) -> str:
        """The tasks, with those ticked that were done since the panel was opened."""
        if not self.explorer.tasks:
            return ""
        if self.state != self.explorer.state():  # the reader has not chosen the start
            done = (t.text for t in self.explorer.tasks if t.done(self.state, self._picture))
            self.done.update(done)
        entries = "".join(
            f"<li>{TICK[task.text in self.done]} {html.escape(task.text)}</li>"
            for task in self.explorer.tasks
        )
        return f'<b>Try this</b><ul style="list-style: none; margin: 0; padding: 0">{entries}</ul>'

    def _tell_card(self) -> None:
        if self.item.value:
            item = self.by_name.get(self.item.value, self.item.value)
            self.card.value = as_html(self.explorer.card(self.state, item))


def _row(inputs: Sequence[Input]) -> ipywidgets.Widget:
    """Controls side by side; tall ones first, the others in rows next to them."""
    tall = [one.widget for one in inputs if one.tall]
    others = [one.widget for one in inputs if not one.tall]
    wrap = {"flex_flow": "row wrap", "align_content": "flex-start"}
    beside = ipywidgets.HBox(others, layout=wrap)
    return ipywidgets.HBox([*tall, beside]) if tall else beside


def by_name(items: Sequence) -> dict[str, Any]:
    """Items by the text that a reader types: 1 and "1", if both exist, as in Python."""
    counts = Counter(map(str, items))
    found = {}
    for item in items:
        name = str(item)
        odd = name != " ".join(named(name, MOST_SHOWN).split()) or not name
        if odd or counts[name] > 1:
            name = shown(item)
        if name in found:  # two long ones with the same start
            name = f"{name} ({len(found) + 1})"
        found[name] = item
    return found


def as_html(table: pd.DataFrame) -> str:
    """A data frame for the screen, cut where it is long."""
    cut = f"<p>The first {MOST_ROWS} of {len(table):,} rows.</p>" if len(table) > MOST_ROWS else ""
    shown = table.head(MOST_ROWS).to_html(border=0, float_format=lambda x: f"{x:.4g}")
    return whole(shown) + cut
