"""Early exit over a link: the device answers where it is sure, and the server answers the rest."""

from __future__ import annotations

import numpy as np

from ensemble_lab.systems.placement.given import row
from ensemble_lab.systems.simulator.inputs import positive, share


def early_exit_seconds(confidence, threshold: float, device: float, remote: float) -> np.ndarray:
    """Seconds to the answer of each item: on the device, and where it is unsure also beyond.

    The device always runs first. So against sending everything this pays, in the mean, only if the
    share of items that stay is above ``device / remote``.

    Parameters
    ----------
    confidence : sequence of float, (n,)
        How sure the device's exit is of each item, from 0 to 1.
    threshold : float
        Items of at least this confidence stay on the device.
    device : float
        Seconds up to the exit.
    remote : float
        Seconds of the link and of the server.

    Returns
    -------
    numpy.ndarray, (n,)

    Raises
    ------
    ValueError
        A confidence or a threshold outside 0 to 1, a negative time.

    References
    ----------
    Teerapittayanon, McDanel and Kung, Distributed deep neural networks over the cloud, the edge and
    end devices, ICDCS 2017.

    Examples
    --------
    >>> early_exit_seconds([0.9, 0.4], threshold=0.8, device=0.01, remote=0.1)
    array([0.01, 0.11])
    """
    confidence, threshold = row(confidence, "confidence"), share(threshold, "threshold")
    if (confidence > 1).any():
        at = int(np.flatnonzero(confidence > 1)[0])
        raise ValueError(f"confidence[{at}] is {confidence[at]:g}; give numbers from 0 to 1")
    device = positive(device, "device", " s", zero=True)
    remote = positive(remote, "remote", " s", zero=True)
    return device + np.where(confidence < threshold, remote, 0.0)
