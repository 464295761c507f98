"""`Explorer`: controls and a pure function from their state to a picture.

The state is a plain dict. Sliders change it, it is copied as JSON, a papermill parameter can hold
it and tests compare it. `display` decides how it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import check_known, nearest, shown
from ensemble_lab.widgets.controls import Control
from ensemble_lab.widgets.picture import Picture, layout

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

VERSION = 1
State = dict[str, Any]


class Failing(dict):
    """A preset's state in which the method fails, or does not pay."""


@dataclass(frozen=True)
class Task:
    """Something to try, which the panel ticks off when the reader has done it.

    Parameters
    ----------
    text : str
        One sentence.
    done : callable
        (state, picture) to whether what is shown is what the task asks for.
    """

    text: str
    done: Callable[[State, Picture], bool]


@dataclass(frozen=True, eq=False)
class Explorer:
    """An interactive picture.

    Parameters
    ----------
    name : str
        Its name, for its state: ``"cascade"``.
    controls : tuple of Control
        At most five in sight.
    draw : callable
        State to `Picture`, pure: the same state gives the same picture. With `compute` it takes the
        result of that, and the state.
    presets : mapping of title to state
        Views worth seeing, one of them `Failing`. Controls that a preset does not name take their
        defaults, whatever state the explorer started with.
    compute : callable, optional
        The slow part. It is called with the controls that its parameters name, once for each of
        their values: dragging another control computes nothing. All explorers of a function share
        what it found if it has a cache of its own.
    along : str
        The control that the still figure can be dragged along.
    sequence : str, optional
        The control that a step button advances.
    card : callable, optional
        (state, item name) to a data frame with the facts about that item.
    missing : mapping of control name to sentence
        Controls that these outcomes do not allow, and why.
    start : mapping, optional
        Partial state that differs from the controls' defaults.
    items : tuple, optional
        Items that the card offers by name; any other can be typed.
    keep : tuple of str, optional
        Controls that a preset does not change, unless it names them.
    opens : mapping, optional
        Partial state with which a report's still figure opens, to show the finding.
    tasks : tuple of Task
        Things to try, listed below the figure.
    """

    name: str
    controls: tuple[Control, ...]
    draw: Callable[..., Picture]
    presets: Mapping[str, State] = field(default_factory=dict)
    compute: Callable[..., Any] | None = None
    along: str = ""
    sequence: str | None = None
    card: Callable[[State, Any], pd.DataFrame] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    items: tuple = ()
    keep: tuple[str, ...] = ()
    opens: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "along", self.along or self.controls[0].name)
        if self.compute and not hasattr(self.compute, "cache_info"):
            object.__setattr__(self, "compute", cache(self.compute))
        for name in (self.along, *self.keep):
            check_known(name, [c.name for c in self.controls], "control", f"explorer {self.name}")
        for changes in ({}, self.opens):
            self.state(**changes)
        for title in self.presets:
            self.preset(title)

    def state(self, **changes) -> State:
        """The complete state: defaults, then the explorer's start, then `changes`.

        Raises
        ------
        ValueError
            An unknown key or a value that its control does not take.
        """
        return self._over_defaults({**self.start, **changes})

    def preset(self, title: str, now: Mapping[str, Any] | None = None) -> State:
        """The complete state of a preset; kept controls have their values in `now`."""
        kept = {name: now[name] for name in self.keep} if now else {}
        return self._over_defaults({**kept, **self.presets[title]})

    def _over_defaults(self, changes: Mapping[str, Any]) -> State:
        controls = {control.name: control for control in self.controls}
        state = {name: control.default for name, control in controls.items()}
        for name, value in changes.items():
            if name in self.missing:
                raise ValueError(f"{shown(name)} cannot be set here: {self.missing[name][:200]}")
            if name not in controls:
                known = nearest(name, controls)
                raise ValueError(f"{shown(name, 60)} is not a control of {shown(self.name)}{known}")
            state[name] = controls[name].checked(value)
        return state

    def picture(self, **changes) -> Picture:
        """The picture of the start with `changes`."""
        return self.drawn(self.state(**changes))

    def drawn(self, state: State) -> Picture:
        """The picture of a complete state."""
        return self.draw(state) if self.compute is None else self.draw(self.found(state), state)

    def found(self, state: State) -> Any:
        """The result of `compute` for a complete state."""
        return self.compute(*(state[name] for name in signature(self.compute).parameters))

    def figure(self, **changes) -> go.Figure:
        """The same as a plotly figure."""
        import plotly.graph_objects as go

        picture = self.picture(**changes)
        return go.Figure(picture.traces, layout(picture))

    def table(self, **changes) -> pd.DataFrame:
        """The numbers behind the picture."""
        return self.picture(**changes).table()

    def to_json(self, **changes) -> str:
        """The state as text, to copy into a report's parameters."""
        about = {"explorer": self.name, "version": VERSION}
        return json.dumps(about | {"state": self.state(**changes)})

    def read(self, text: str | Mapping) -> State:
        """The state in the text that `to_json` wrote.

        Raises
        ------
        ValueError
            Not a state, one of another explorer or version, or one with values that do not fit.
        """
        try:
            found = json.loads(text.lstrip("\ufeff")) if isinstance(text, str) else dict(text)
            name, version, state = (found[key] for key in ("explorer", "version", "state"))
            state = dict(state)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"this is not a state of an explorer ({shown(error, 60)})"
            raise ValueError(f"{why}; copy it again from the explorer") from None
        if name != self.name:
            of = f"this state is of {shown(name, 60)}, this explorer {shown(self.name)}"
            raise ValueError(f"{of}; paste it there")
        if type(version) is not int or version != VERSION:  # True is 1
            of = f"this state has version {shown(version, 20)}, this package {VERSION}"
            raise ValueError(f"{of}; copy it again from an explorer of this version")
        return self.state(**state)

    def _repr_mimebundle_(self, include=None, exclude=None):
        from ensemble_lab.widgets.display import bundle

        return bundle(self)
