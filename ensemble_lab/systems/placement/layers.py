"""Layers over machines: in proportion to memory (exo), and by speed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ensemble_lab.systems.placement.given import row
from ensemble_lab.systems.simulator.inputs import positive, whole


def layers_by_memory(memory, layers: int, each: float | None = None) -> np.ndarray:
    """Layers of each machine in proportion to its memory, by largest remainders, at least one each.

    This is the rule of exo's ring. It looks at neither speed nor links.

    Parameters
    ----------
    memory : sequence of float, (m,)
        Free memory of each machine, in any unit.
    layers : int
    each : float, optional
        Memory of one layer, in the same unit. Rounding then never gives a machine more than fits.

    Returns
    -------
    numpy.ndarray of int, (m,)
        Their sum is `layers`.

    Raises
    ------
    ValueError
        Fewer layers than machines, a machine without memory, more layers than fit.

    Examples
    --------
    >>> layers_by_memory([16, 8, 8], layers=30)
    array([15,  8,  7])
    """
    memory, layers = row(memory, "memory", zero=False), whole(layers, "layers")
    if layers < len(memory):
        raise ValueError(
            f"layers={layers}; {len(memory)} machines get at least one each, so leave out machines"
        )
    exact = [Fraction(one) for one in memory]
    quotas = [layers * one / sum(exact) for one in exact]
    room = [layers] * len(exact) if each is None else _room(exact, layers, each)
    found = np.array([int(quota) for quota in quotas])
    for _ in range(layers - found.sum()):
        able = [i for i in range(len(quotas)) if found[i] < room[i]]
        found[max(able, key=lambda i: quotas[i] - found[i])] += 1  # the largest remainder
    for none in np.flatnonzero(found == 0):
        found[found.argmax()] -= 1
        found[none] = 1
    return found


def layers_by_speed(seconds, layers: int, room=None) -> np.ndarray:
    """Layers of each machine so that the slowest stage of the pipeline takes the least time.

    The slowest stage sets the pace of a pipeline that has enough batches in flight. The layers are
    alike, so it is exact to give each one to the machine that would be ready first with it.

    Parameters
    ----------
    seconds : sequence of float, (m,)
        Of one layer on each machine.
    layers : int
    room : sequence of int, (m,), optional
        How many layers fit each machine; no limit by default.

    Returns
    -------
    numpy.ndarray of int, (m,)
        Their sum is `layers`. A machine may get none.

    Raises
    ------
    ValueError
        Less room than layers, a layer that takes no time.

    References
    ----------
    Jiang et al., HexGen: generative inference of large language model over heterogeneous
    environment, ICML 2024, which also searches over groups of machines.

    Examples
    --------
    >>> layers_by_speed([0.010, 0.005, 0.005], layers=30)
    array([ 6, 12, 12])
    """
    seconds, layers = row(seconds, "seconds", zero=False), whole(layers, "layers")
    if room is None:
        room = np.full(len(seconds), layers)
    else:
        room = np.floor(row(room, "room", len(seconds)))
    if room.sum() < layers:
        raise ValueError(
            f"the machines have room for {room.sum():g} layers; give room for {layers}"
        )
    found = np.zeros(len(seconds), int)
    for _ in range(layers):
        ready = np.where(found < room, (found + 1) * seconds, np.inf)
        found[ready.argmin()] += 1
    return found


def _room(memory: list[Fraction], layers: int, each: float) -> list[int]:
    """How many layers fit each machine."""
    size = Fraction(positive(each, "each"))
    room = [int(one / size) for one in memory]
    if 0 in room:
        at = room.index(0)
        raise ValueError(
            f"memory[{at}] is {float(memory[at]):g}, and a layer takes {float(size):g}; leave that"
            " machine out"
        )
    if sum(room) < layers:
        raise ValueError(
            f"the machines hold {sum(room)} layers of {float(size):g}; give memory for {layers}"
        )
    return room
