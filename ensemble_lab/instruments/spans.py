"""Clocks that separate drafting from verifying, on devices that work asynchronously."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class HostClock:
    """Seconds between marks, for devices on which work is done when a call returns."""

    def __init__(self):
        self.marks = [perf_counter()]

    def mark(self) -> None:
        self.marks.append(perf_counter())

    def spans(self) -> list[float]:
        """Seconds from each mark to the next."""
        return [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]


class CudaClock:
    """The same by events in a GPU's queue; the host's clock would measure only the queueing."""

    def __init__(self):
        self.marks = []
        self.mark()

    def mark(self) -> None:
        import torch

        self.marks.append(torch.cuda.Event(enable_timing=True))
        self.marks[-1].record()

    def spans(self) -> list[float]:
        """Seconds from each mark to the next; call it when the GPU has passed the last one."""
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [before.elapsed_time(after) / 1000 for before, after in pairs]


def clock_on(device: torch.device) -> HostClock | CudaClock:
    """A clock that has started."""
    return CudaClock() if device.type == "cuda" else HostClock()
