"""States in 8 bits at a cut: what is saved is half the bytes, what is lost is measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def round_rows(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """States (n, D) as scales (n,) in bfloat16 and whole numbers (n, D) from -127 to 127.

    Each token has its own scale, its largest magnitude over 127, so that a token with one large
    channel does not take the precision of the others.
    """
    import torch

    largest = states.abs().amax(-1).float()  # (n,)
    scales = (largest / 127).to(torch.bfloat16)
    scales[scales == 0] = 1  # a row of zeros
    whole = (states.float() / scales.float()[:, None]).round().clamp(-127, 127)
    return scales, whole.to(torch.int8)
