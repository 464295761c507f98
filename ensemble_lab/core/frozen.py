"""Read-only arrays and mappings, also after `copy`, `deepcopy` and `pickle`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Settled(dict):
    """A read-only mapping; `dict(settled)` is a copy that can be changed.

    >>> Settled(small=1.0)["small"] = 2.0
    Traceback (most recent call last):
    TypeError: settings are read-only; dataclasses.replace(policy, …) makes another policy
    """

    WHY = "settings are read-only; dataclasses.replace(policy, …) makes another policy"

    def _refuse(self, *args, **kwargs):
        raise TypeError(self.WHY)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return type(self), (dict(self),)


def settled(value):
    """`value` with read-only mappings, also inside its tuples and lists."""
    if isinstance(value, Mapping):
        return Settled(value)
    if type(value) in (tuple, list) and any(isinstance(part, Mapping) for part in value):
        return type(value)(map(settled, value))
    return value


class Facts(Settled):
    """A read-only mapping of names to arrays.

    >>> Facts(length=np.arange(2))["length"] = 3
    Traceback (most recent call last):
    TypeError: features are read-only; dataclasses.replace(outcomes, features={…}) makes a new table
    """

    WHY = "features are read-only; dataclasses.replace(outcomes, features={…}) makes a new table"

    def __init__(self, *parts, **named):
        super().__init__(*parts, **named)
        for value in self.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


class Frozen:
    """A frozen dataclass of arrays that stays read-only through `pickle` and `deepcopy`."""

    def __setstate__(self, state: Mapping) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)


def is_shared(array: np.ndarray) -> bool:
    """Whether the memory of `array`, read-only or not, can still be written elsewhere."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    # The memory of arrow and bytes never changes; that of a bytearray or a mapped file may.
    return array is not None and not (
        isinstance(array, bytes) or type(array).__module__.startswith("pyarrow")
    )


def view(value):
    """A read-only view of an array; other values unchanged."""
    if not isinstance(value, np.ndarray) or not value.flags.writeable:
        return value
    value = value.view()
    value.flags.writeable = False
    return value
