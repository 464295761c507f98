"""Neurosurgeon: the best layer at which to cut a network between a device and a server."""

from __future__ import annotations

import numpy as np

from ensemble_lab.systems.placement.given import row
from ensemble_lab.systems.simulator.inputs import positive


def cut_seconds(device, server, sent, bandwidth: float, round_trip: float = 0.0) -> np.ndarray:
    """Seconds of one pass for every cut: the device runs p layers, then the server runs the rest.

    The time is ``sum(device[:p]) + 8 * sent[p] / bandwidth + round_trip + sum(server[p:])``. The
    last cut keeps all n layers on the device. It sends nothing and waits for nobody.

    Parameters
    ----------
    device, server : sequence of float, (n,)
        Seconds of each layer on the device and on the server.
    sent : sequence of float, (n,)
        Bytes that go into each layer; ``sent[0]`` is the size of the input.
    bandwidth : float
        Bits a second from the device to the server.
    round_trip : float
        Seconds on the link, there and back, without the bytes.

    Returns
    -------
    numpy.ndarray, (n + 1,)

    Raises
    ------
    ValueError
        Rows of different lengths, a negative time or size, no bandwidth.

    References
    ----------
    Kang et al., Neurosurgeon: collaborative intelligence between the cloud and mobile edge,
    ASPLOS 2017.

    Examples
    --------
    >>> cut_seconds([1, 1], [0.1, 0.1], sent=[3000, 500], bandwidth=8000)
    array([3.2, 1.6, 2. ])
    """
    device = row(device, "device")
    n = len(device)
    server, sent = row(server, "server", n), row(sent, "sent", n)
    bandwidth = positive(bandwidth, "bandwidth", " bit/s")
    round_trip = positive(round_trip, "round_trip", " s", zero=True)
    before = np.append(0.0, np.cumsum(device))  # (n + 1,)
    behind = np.append(np.cumsum(server[::-1])[::-1], 0.0)  # (n + 1,)
    link = np.append(8 * sent / bandwidth + round_trip, 0.0)  # nothing crosses the last cut
    return before + link + behind


def best_cut(device, server, sent, bandwidth: float, round_trip: float = 0.0) -> int:
    """How many layers the device should run, for the least time of one pass.

    As the bandwidth grows, the bytes that cross at the best cut never become fewer. So the cut
    never moves to a later layer *if* `sent` never grows with depth. A network whose layers widen
    the data can move the other way.

    Parameters
    ----------
    device, server, sent, bandwidth, round_trip
        As in `cut_seconds`.

    Returns
    -------
    int
        From 0 (all on the server) to n (all on the device); the first of equal ones.

    Raises
    ------
    ValueError
        As `cut_seconds`.

    Examples
    --------
    >>> [best_cut([1, 1], [0.1, 0.1], [3000, 500], rate) for rate in (1000, 8000, 80_000)]
    [2, 1, 0]
    """
    return int(np.argmin(cut_seconds(device, server, sent, bandwidth, round_trip)))
