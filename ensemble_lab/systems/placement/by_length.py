"""CRIME: the length of the input decides whether the device or the server runs it."""

from __future__ import annotations

import numpy as np

from ensemble_lab.systems.placement.given import row
from ensemble_lab.systems.simulator.inputs import positive


def place_by_length(lengths, device, server, link: float) -> np.ndarray:
    """Which inputs go to the server: those that are answered sooner there, link included.

    A pass over l tokens takes ``fixed + each * l`` seconds. Short inputs stay on a device that
    starts at once; long ones pay for the link. The length at which both are equal is
    ``(server fixed + link - device fixed) / (device each - server each)``.

    Parameters
    ----------
    lengths : sequence of int, (n,)
        Tokens of each input.
    device, server : pair of float
        Seconds of a pass: fixed, and for each token.
    link : float
        Seconds on the link, there and back.

    Returns
    -------
    numpy.ndarray of bool, (n,)
        True where the input is sent; where both take as long it is not.

    Raises
    ------
    ValueError
        A negative length or time, or more than two numbers of a machine.

    References
    ----------
    Jahier Pagliari, Chiaro, Macii and Poncino, CRIME: input-dependent collaborative inference for
    recurrent neural networks, IEEE Transactions on Computers 2021.

    Examples
    --------
    >>> place_by_length([10, 40, 50], device=(0.0, 0.010), server=(0.02, 0.002), link=0.3)
    array([False, False,  True])
    """
    lengths, link = row(lengths, "lengths"), positive(link, "link", " s", zero=True)
    here, there = row(device, "device", 2), row(server, "server", 2)
    return there[0] + there[1] * lengths + link < here[0] + here[1] * lengths
