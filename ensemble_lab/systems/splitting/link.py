"""A network link imitated in user space: what is sent arrives as late as over that link.

The sender computes when the last byte would arrive and writes this into the message's header; the
receiver sleeps until then. Sender and receiver are processes of one machine and share its monotonic
clock, so no clock has to be set, nobody needs to be root, and the real transfer, which is quicker,
is inside the imitated time.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ensemble_lab.core.errors import shown
from ensemble_lab.models.settings import number


@dataclass(frozen=True)
class Link:
    """A link between two machines; each direction has its own bandwidth, as with a cable.

    Parameters
    ----------
    bandwidth : float
        Bits a second, above 0: ``100e6`` is 100 Mbit/s; ``math.inf`` is no limit.
    delay : float
        Seconds that each message is under way in one direction, on top of its transfer. A round
        trip of 50 ms is ``delay=0.025``.

    Raises
    ------
    ValueError
        The bandwidth is 0, negative or not a number, or the delay is negative or infinite.

    Examples
    --------
    >>> Link(bandwidth=100e6, delay=0.025).seconds(312_500)
    0.05
    """

    bandwidth: float
    delay: float = 0.0

    def __post_init__(self):
        if not number(self.bandwidth, "bandwidth") > 0:
            raise ValueError(
                f"bandwidth={shown(self.bandwidth)} lets nothing through; give bits a second above"
                " 0, such as bandwidth=100e6 for 100 Mbit/s"
            )
        if not 0 <= number(self.delay, "delay") < math.inf:
            raise ValueError(
                f"delay={shown(self.delay)} is not a number of seconds from 0 up; give one, such as"
                " delay=0.025"
            )

    def seconds(self, size: float) -> float:
        """One-way time of a message of `size` bytes over the idle link: delay + 8 size / bandwidth.

        Raises
        ------
        ValueError
            The size is negative or not a number.
        """
        if not number(size, "size") >= 0:
            raise ValueError(f"size={shown(size)} is not a number of bytes; give 0 or more")
        return self.delay + 8 * size / self.bandwidth


class Line:
    """One direction of a link: messages leave one after another, and each arrives after the delay.

    Parameters
    ----------
    link : Link or None
        None delivers at once.
    """

    def __init__(self, link: Link | None):
        self.link = link
        self._free = 0.0  # when the last byte of the message before has left

    def due(self, size: int) -> float:
        """When a message of `size` bytes that is sent now arrives, on the monotonic clock."""
        if self.link is None:
            return 0.0
        self._free = max(time.monotonic(), self._free) + 8 * size / self.link.bandwidth
        return self._free + self.link.delay


def wait_until(due: float) -> None:
    """Sleep until the monotonic clock shows `due`; return at once where that is past."""
    left = due - time.monotonic()
    if left > 0:
        time.sleep(left)
