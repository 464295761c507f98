"""The feed-forward networks of many experts, each on the tokens that chose it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

# Above so many weights a matrix, PyTorch's own loop over matrices is slower than one in Python.
SMALL = 200_000


def mixed(
    tokens: torch.Tensor,
    choices: torch.Tensor,
    weights: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
) -> torch.Tensor:
    """Weighted sums (n, d) of the outputs of the experts that each token chose.

    Choices are sorted by expert, so that the tokens of one expert are one block. Only the blocks
    are multiplied; no expert is padded.

    Parameters
    ----------
    tokens : (n, d) tensor
    choices : (n, k) tensor
        Codes 0 to E - 1; E is no expert.
    weights : (n, k) tensor
    gate_up : (E, 2 h, d) tensor
    down : (E, d, h) tensor
    """
    k, experts = choices.shape[1], len(down)
    flat = choices.flatten()
    counts = flat.bincount(minlength=experts)[:experts]
    sizes = counts.tolist()
    order = flat.argsort(stable=True)[: sum(sizes)]
    source = order // k  # the token of each choice
    rows = tokens.index_select(0, source)
    if fits_grouped(rows, down):
        found = grouped(rows, counts, gate_up, down)
    else:
        found = in_turn(rows, sizes, gate_up, down)
    found = found * weights.flatten().index_select(0, order)[:, None]
    return torch.zeros_like(tokens).index_add(0, source, found.to(tokens.dtype))


def in_turn(rows, sizes: list[int], gate_up, down) -> torch.Tensor:
    """Outputs (s, d) of blocks of rows, one expert after another."""
    blocks = enumerate(rows.split(sizes))
    found = [
        F.linear(gated(F.linear(block, gate_up[expert])), down[expert])
        for expert, block in blocks
        if len(block)
    ]
    return torch.cat(found) if found else rows


def grouped(rows, counts, gate_up, down) -> torch.Tensor:
    """Outputs (s, d) of blocks of rows, all experts in one call."""
    ends = counts.cumsum(0).to(torch.int32)
    hidden = gated(F.grouped_mm(rows, gate_up.transpose(1, 2), offs=ends))
    return F.grouped_mm(hidden, down.transpose(1, 2), offs=ends)


def gated(both: torch.Tensor) -> torch.Tensor:
    """SwiGLU: silu(gate) * up (…, h) of both (…, 2 h)."""
    gate, up = both.chunk(2, -1)
    return F.silu(gate) * up


def fits_grouped(rows: torch.Tensor, down: torch.Tensor) -> bool:
    """Whether `grouped` serves, and is quicker.

    On a CPU it is right from PyTorch 2.11 on, takes no float64, and needs rows that begin at
    multiples of 16 bytes.
    """
    d, hidden = down.shape[1:]
    return (
        rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and d % 4 == hidden % 4 == 0
        and d * hidden <= SMALL
        and torch.__version__ >= (2, 11)
    )
