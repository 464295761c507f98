"""What the threads of OpenMP do while another process has the work.

After an operation, the threads that helped with it wait actively for the next one, because that is
quicker to begin: with GNU's OpenMP for some milliseconds, in which each keeps a core busy. In the
client of a split model these are the cores that a stage needs now.

References
----------
OpenMP Application Programming Interface 5.0, 2018, section 3.2.44.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

SOFT = 1  # omp_pause_soft: settings are kept, and the next operation starts threads again


def rest_threads() -> bool:
    """End the OpenMP threads that wait for this thread's next operation; that starts new ones.

    Ending and starting them takes 0.2 ms. Those of other threads are left alone.

    Returns
    -------
    bool
        Whether OpenMP did so, as GNU's does since 2019. Else nothing is changed: it is older, there
        is none, or the call came from within an operation. LLVM's and Intel's take the call, but
        what waits already goes on: ``KMP_BLOCKTIME=0`` before Python starts is for these.
    """
    pause = _pause()
    return pause is not None and pause(SOFT) == 0


@cache
def _pause() -> Callable[[int], int] | None:
    """The function of the OpenMP that PyTorch uses: a program may have loaded others as well."""
    import torch

    for place in (None, torch._C.__file__):  # as a linker looks: preloaded, then what it links
        try:
            return ctypes.CDLL(place).omp_pause_resource_all
        except (OSError, AttributeError, TypeError):  # Windows has no such search
            continue
    return None
