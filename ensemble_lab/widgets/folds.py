"""Sections of a panel under buttons that open them.

An accordion's titles cannot be reached by Tab, so readers without a mouse could not open them.
"""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets
from traitlets import Int, observe

CLOSED, OPEN = "caret-right", "caret-down"


class Folds(ipywidgets.VBox):
    """Widgets under titles, at most one of them open.

    Parameters
    ----------
    parts : mapping of title to widget

    Attributes
    ----------
    selected_index : int or None
        The open section, as in an accordion; None at first.
    """

    selected_index = Int(None, allow_none=True)

    def __init__(self, parts: Mapping[str, ipywidgets.Widget]):
        self.titles = [_title(title) for title in parts]
        hidden = {"display": "none"}
        self.parts = [ipywidgets.VBox([part], layout=hidden) for part in parts.values()]
        rows = [row for pair in zip(self.titles, self.parts, strict=True) for row in pair]
        super().__init__(rows)
        for i, title in enumerate(self.titles):
            title.observe(lambda change, i=i: self._pressed(i, change["new"]), "value")

    def _pressed(self, i: int, opened: bool) -> None:
        if opened:
            self.selected_index = i
        elif self.selected_index == i:  # otherwise another one was opened, which closed this one
            self.selected_index = None

    @observe("selected_index")
    def _fold(self, change: Mapping) -> None:
        for i, (title, part) in enumerate(zip(self.titles, self.parts, strict=True)):
            title.value = i == change["new"]
            title.icon = OPEN if title.value else CLOSED
            part.layout.display = "flex" if title.value else "none"


def _title(title: str) -> ipywidgets.ToggleButton:
    """Pressed while its part is open."""
    help = f"Show or hide: {title}"
    layout = {"width": "auto"}
    return ipywidgets.ToggleButton(description=title, icon=CLOSED, tooltip=help, layout=layout)
