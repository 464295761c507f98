"""CUDA graphs: a read captured once, whose many small kernels are then launched as one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.reading.rows import At


def captured(read: Callable, name: str, at: At, states: torch.Tensor):
    """A CUDA graph of a read, the tensors that it reads from, and what it returns.

    The reads before the capture make the cache, compile, and warm up libraries; writing keys again
    in their places changes nothing.
    """
    import torch

    kept = at.start.clone(), states.clone()
    again = partial(read, at=at._replace(start=kept[0]), **{name: kept[1]})
    again(), again()
    device = states.device
    side, here = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    side.wait_stream(here)
    with torch.cuda.stream(side):
        again()
    here.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = again()
    return graph, kept, out
