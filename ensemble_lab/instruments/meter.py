"""The cost of a block of code: seconds, tokens, FLOPs, memory and money."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require

if TYPE_CHECKING:
    import torch

SAMPLE_EVERY = 0.005  # seconds between two readings of the resident set


class Meter:
    """Measure a block on one device with the right clock for it.

    Parameters
    ----------
    device
        Where the block computes. On `cuda` device events time the stream; on `mps` the queue is
        drained before the clock is read; on `cpu` it is the wall clock, and torch is not needed.
    flops
        Count floating-point operations too, which slows the block down (needs torch).

    Attributes
    ----------
    seconds : float
        Wall time of the block.
    tokens : int
        Sum of the tokens passed to `count`.
    cost : float
        USD, sum of the costs passed to `count`.
    flops : int or None
        Floating-point operations of torch's matrix products, convolutions and attention, a
        multiplication and an addition counting as two; None unless requested.
    peak_memory : int or None
        Bytes. On `cuda` the most that torch had allocated on the card during the block (nested
        meters would reset each other's peak). Elsewhere the largest resident set of the process,
        including Python, read by a thread every 5 ms: a shorter spike can be missed. None where
        psutil is not installed.

    Examples
    --------
    >>> with Meter() as meter:
    ...     meter.count(tokens=12, cost=0.001)
    >>> meter.tokens
    12
    """

    def __init__(self, device: str | torch.device = "cpu", flops: bool = False):
        self.device = device
        self._count_flops = flops
        self._reset()

    def _reset(self) -> None:
        self.seconds = 0.0
        self.tokens = 0
        self.cost = 0.0
        self.flops: int | None = None
        self.peak_memory: int | None = None

    def count(self, tokens: int = 0, cost: float = 0.0) -> None:
        """Add tokens and USD to the totals."""
        self.tokens += tokens
        self.cost += cost

    def __enter__(self) -> Meter:
        self._reset()
        self._clock = clock_for(self.device)
        on_card = str(self.device).startswith("cuda")
        self._memory = _CudaMemory(self.device) if on_card else _ResidentSet()
        self._stack = ExitStack()
        if self._count_flops:
            require("counting FLOPs", "torch")
            from torch.utils.flop_counter import FlopCounterMode

            self._flop_counter = self._stack.enter_context(FlopCounterMode(display=False))
        self._memory.start()
        self._clock.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = self._clock.stop()
        self.peak_memory = self._memory.stop()
        self._stack.close()
        if self._count_flops:
            self.flops = self._flop_counter.get_total_flops()


class Clock(Protocol):
    """Started once, stopped once."""

    def start(self) -> None:
        """Wait for the device and start."""

    def stop(self) -> float:
        """Wait for the device and return the seconds since the start."""


def clock_for(device: str | torch.device | None = "cpu") -> Clock:
    """Choose the right clock for a device, if only seconds are needed.

    Parameters
    ----------
    device
        None and ``"auto"``, which some models have as their device, mean the wall clock.

    Raises
    ------
    ValueError
        The device is none of cpu, cuda and mps.
    """
    kind = "cpu" if device is None else str(device).partition(":")[0]
    if kind in ("cuda", "mps"):
        require(f"the clock of device {kind}", "torch")
    if kind == "cuda":
        return _CudaClock(device)
    if kind == "mps":
        import torch

        return _WallClock(torch.mps.synchronize)
    if kind in ("cpu", "auto"):
        return _WallClock(lambda: None)  # CPU kernels return when they are done
    raise ValueError(f"no clock for device {shown(device)}; use 'cpu', 'cuda' or 'mps'")


class _WallClock:
    def __init__(self, synchronise):
        self._synchronise = synchronise

    def start(self) -> None:
        self._synchronise()
        self._start = time.perf_counter()

    def stop(self) -> float:
        self._synchronise()
        return time.perf_counter() - self._start


class _CudaClock:
    """Events on the current stream: they see the card's own time, launches and gaps included."""

    def __init__(self, device: str | torch.device):
        import torch

        self._cuda, self._device = torch.cuda, device
        with torch.cuda.device(device):
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def start(self) -> None:
        self._cuda.synchronize(self._device)
        self._events[0].record(self._cuda.current_stream(self._device))

    def stop(self) -> float:
        self._events[1].record(self._cuda.current_stream(self._device))
        self._events[1].synchronize()
        return self._events[0].elapsed_time(self._events[1]) / 1000  # milliseconds


class _CudaMemory:
    def __init__(self, device: str | torch.device):
        import torch

        self._cuda, self._device = torch.cuda, device

    def start(self) -> None:
        self._cuda.init()  # before the first use of the card there are no statistics to reset
        self._cuda.reset_peak_memory_stats(self._device)

    def stop(self) -> int:
        return self._cuda.max_memory_allocated(self._device)


class _ResidentSet:
    """Peak resident set of this process, sampled by a thread."""

    def __init__(self):
        try:
            import psutil
        except ImportError:
            self._process = None
        else:
            self._process = psutil.Process()

    def start(self) -> None:
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._process:
            self._look()
            self._thread.start()

    def stop(self) -> int | None:
        if not self._process:
            return None
        self._done.set()
        self._thread.join()
        self._look()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_EVERY):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)
