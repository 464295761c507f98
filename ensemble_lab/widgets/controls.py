"""Controls: discrete values with a name, a label and help, independent of the display."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from ensemble_lab.core.errors import nearest, several, shown
from ensemble_lab.widgets.plain import whole

MOST_IN_SIGHT = 4  # controls above the figure; the others are folded below it


@dataclass(frozen=True)
class Control:
    """A setting that a reader can change.

    Parameters
    ----------
    name : str
        Key in the state.
    label : str
        A short label with the unit.
    options : tuple
        The values it takes, in order; plain Python values, so that a state is JSON.
    default
        One of `options`; a tuple of them for the kind "many".
    kind : {"steps", "choice", "many"}
        A slider over ordered values, one of a list, or any number of a list.
    help : str
        A sentence for the tooltip.
    """

    name: str
    label: str
    options: tuple[Hashable, ...]
    default: Any
    kind: str = "steps"
    help: str = ""

    def __post_init__(self):
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise ValueError(f"control {shown(self.name)} has no options")
        object.__setattr__(self, "default", self.checked(self.default))

    def checked(self, value):
        """The option for `value`: JSON has lists for tuples, and floats may be rounded.

        Raises
        ------
        ValueError
            A value that the control does not take; the nearest ones are named.
        """
        if self.kind == "many":
            if isinstance(value, set | frozenset):
                value = list(value)  # always in the order of the options
            try:
                value = several(value, self.name)
            except ValueError:
                told = f"{self.name}={shown(value)}; give a list of {self.label}"
                raise ValueError(told) from None
            chosen = {self._option(part) for part in value}
            if not chosen:
                raise ValueError(f"{self.name} is empty; choose at least one of {self.label}")
            return tuple(option for option in self.options if option in chosen)
        return self._option(value)

    @cached_property
    def _known(self) -> dict[tuple[type, Hashable], Hashable]:
        return {(type(option), option): option for option in reversed(self.options)}

    def _option(self, value):
        value = value.tolist() if hasattr(value, "tolist") else value
        try:  # it nearly always is one of them
            return self._known[type(value), value]
        except (KeyError, TypeError):  # TypeError: it has no hash
            pass
        for option in self.options:
            same_type = isinstance(value, bool) == isinstance(option, bool)
            if same_type and (_equal(whole(value), whole(option)) or _close(value, option)):
                return option
        raise ValueError(f"{self.name}={shown(value)} is not an option{self._hint(value)}")

    def _hint(self, value) -> str:
        """A hint: the options nearest to a number, or of similar spelling."""
        if self.kind == "steps" and isinstance(value, str):
            return "; give a number, not text"
        if self.kind != "steps":
            return nearest(value, self.options) if isinstance(value, str) else self._few()
        if not isinstance(value, int | float) or value != value:
            return self._few()
        # A huge whole number is not a float.
        reach = min(max(value, self.options[0]), self.options[-1])
        near = sorted(self.options, key=lambda option: abs(option - reach))[:2]
        return f"; the nearest are {' and '.join(map(shown, sorted(near)))}"

    def _few(self) -> str:
        few = ", ".join(shown(option, 20) for option in self.options[:5])
        return f"; known are {few}" + (", …" if len(self.options) > 5 else "")


def steps(name: str, label: str, options, default, help: str = "") -> Control:
    """A slider over ordered values; the default is moved to the nearest of them."""
    options = tuple(o.item() if isinstance(o, np.generic) else o for o in options)
    near = min(options, key=lambda option: abs(option - default))
    return Control(name, label, options, near, "steps", help)


def choice(name: str, label: str, options, default=None, help: str = "") -> Control:
    """One of a list; the first by default."""
    options = tuple(options)
    return Control(name, label, options, options[0] if default is None else default, "choice", help)


def many(name: str, label: str, options, default=None, help: str = "") -> Control:
    """Any number of a list, at least one; all by default."""
    options = tuple(options)
    return Control(name, label, options, options if default is None else default, "many", help)


def _equal(value, option) -> bool:
    same = value == option
    return isinstance(same, bool) and same  # a data frame compares cell by cell


def _close(value, option) -> bool:
    """Whether they differ only by rounding, also to 32 bits."""
    if not (isinstance(value, Real | Decimal) and isinstance(option, int | float)):
        return False
    try:
        return math.isclose(float(value), option, rel_tol=1e-7, abs_tol=1e-9)
    except OverflowError:
        return False
