"""The feed-forward networks of many experts, each on the tokens that chose it.

Choices are sorted by expert, so that the tokens of one expert are one block. The blocks are
multiplied in the way that is quickest for their sizes; all ways give the same numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

# As one batch of equal blocks, experts with at most so many weights a matrix take two thirds of the
# time, less what filling up costs.
TINY, MOST_FILLED = 40_000, 1.4
# Above so many weights a matrix, PyTorch's own loop over matrices is slower than one in Python.
SMALL = 200_000
# Before, it was missing on a CPU, or wrong for some places in memory.
HAS_GROUPED = hasattr(F, "grouped_mm") and torch.__version__ >= (2, 11)


def mixed(
    tokens: torch.Tensor,
    choices: torch.Tensor,
    weights: torch.Tensor,
    gate_up: torch.Tensor,
    down: torch.Tensor,
) -> torch.Tensor:
    """Weighted sums (n, d) of the outputs of the experts that each token chose.

    Parameters
    ----------
    tokens : (n, d) tensor
    choices : (n, k) tensor
        Codes 0 to E - 1; E is no expert.
    weights : (n, k) tensor
    gate_up : (E, 2 h, d) tensor
    down : (E, d, h) tensor
    """
    if tokens.is_cuda and fits_grouped(tokens, down):
        return without_waiting(tokens, choices, weights, gate_up, down)
    flat, experts = choices.flatten(), len(down)
    counts = flat.bincount(minlength=experts)[:experts]
    sizes = counts.tolist()
    used, most = sum(sizes), max(sizes)
    if not used:
        return torch.zeros_like(tokens)
    order = flat.argsort(stable=True)[:used]
    source = order // choices.shape[1]  # the token of each choice
    place = torch.arange(used, device=tokens.device)  # of each choice in what is multiplied
    if down[0].numel() <= TINY and experts * most <= MOST_FILLED * used:
        starts = torch.arange(experts, device=tokens.device) * most - (counts.cumsum(0) - counts)
        place += starts.index_select(0, flat.index_select(0, order))
        # What fills a block up is the first token, whose outputs there nobody reads.
        filled = source.new_zeros(experts * most).index_copy_(0, place, source)
        found = as_batch(tokens.index_select(0, filled), gate_up, down)
    elif fits_grouped(tokens, down):
        found = grouped(
            tokens.index_select(0, source), counts.cumsum(0).to(torch.int32), gate_up, down
        )
    else:
        found = in_turn(tokens.index_select(0, source), sizes, gate_up, down)
    places = flat.new_zeros(flat.shape).index_copy_(0, order, place)
    if used < len(flat):
        weights = weights.masked_fill(choices == experts, 0.0)
    each = found.index_select(0, places).view(*choices.shape, -1)  # (n, k, d)
    return (each * weights[..., None]).sum(1).to(tokens.dtype)


def without_waiting(tokens, choices, weights, gate_up, down) -> torch.Tensor:
    """The sums of `mixed` on a GPU, which need not tell the CPU how many tokens each expert has."""
    experts = torch.arange(len(down), device=choices.device)
    ranked, order = choices.flatten().sort(stable=True)
    ends = torch.searchsorted(ranked, experts, right=True, out_int32=True)
    # Rows of choices that were dropped are not computed, nor are their gradients.
    rows = tokens.index_select(0, order // choices.shape[1])
    rows = rows.masked_fill((ranked == len(down))[:, None], 0.0)
    found = grouped(rows, ends, gate_up, down)
    each = torch.empty_like(found).index_copy(0, order, found).view(*choices.shape, -1)  # (n, k, d)
    each = each.masked_fill((choices == len(down))[..., None], 0.0)
    return (each * weights[..., None]).sum(1).to(tokens.dtype)


def as_batch(rows, gate_up, down) -> torch.Tensor:
    """Outputs (E b, d) of blocks of b rows each, all experts in one batch."""
    blocks = rows.view(len(down), -1, rows.shape[1])
    hidden = gated(blocks.bmm(gate_up.transpose(1, 2)))
    return hidden.bmm(down.transpose(1, 2)).flatten(0, 1)


def grouped(rows, ends, gate_up, down) -> torch.Tensor:
    """Outputs (s, d) of blocks that end at the rows `ends` (E,), all experts in one call."""
    hidden = gated(F.grouped_mm(rows, gate_up.transpose(1, 2), offs=ends))
    return F.grouped_mm(hidden, down.transpose(1, 2), offs=ends)


def in_turn(rows, sizes: list[int], gate_up, down) -> torch.Tensor:
    """Outputs (s, d) of blocks of any sizes, one expert after another."""
    return torch.cat(
        [
            F.linear(gated(F.linear(block, gate_up[expert])), down[expert])
            for expert, block in enumerate(rows.split(sizes))
            if len(block)
        ]
    )


def gated(both: torch.Tensor) -> torch.Tensor:
    """SwiGLU: silu(gate) * up (…, h) of both (…, 2 h)."""
    gate, up = both.chunk(2, -1)
    return F.silu(gate) * up


def fits_grouped(rows: torch.Tensor, down: torch.Tensor) -> bool:
    """Whether `grouped` serves, and is quicker than a loop.

    On a CPU it takes float32, on a GPU it has a kernel for bfloat16; both need rows that begin at
    multiples of 16 bytes.
    """
    d, hidden = down.shape[1:]
    if rows.is_cuda:
        return HAS_GROUPED and rows.dtype == torch.bfloat16 and d % 8 == hidden % 8 == 0
    return (
        HAS_GROUPED
        and rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and d % 4 == hidden % 4 == 0
        and d * hidden <= SMALL
    )
