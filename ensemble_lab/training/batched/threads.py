"""How many threads small steps are worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 50_000_000  # products; a millisecond or so for one core, over many operations


@contextmanager
def threads_for(products: int) -> Iterator[None]:
    """One thread on the CPU for steps of fewer than `SMALL` products, and all again afterwards.

    A small step is hundreds of operations of some microseconds. Threads that share them wait for
    each other longer than they work. The wait is many times longer where another program uses one
    of the cores, or where a container has fewer cores than it shows.
    """
    import torch

    before = torch.get_num_threads()
    if products < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
