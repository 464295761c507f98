"""How many threads small steps are worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 50_000_000  # products; a millisecond or so for one core, over many operations


@contextmanager
def threads_for(products: int) -> Iterator[None]:
    """One thread on the CPU for steps of fewer than `SMALL` products, and all again afterwards.

    A small step is hundreds of operations of some microseconds. Threads that share those wait for
    each other longer than they work, and where another program has one of the cores, or a
    container fewer than it shows, many times as long.
    """
    import torch

    before = torch.get_num_threads()
    if products < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
