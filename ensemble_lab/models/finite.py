"""Logits that can be chosen from: temperatures near 0, and what to say of NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError

if TYPE_CHECKING:
    import torch

LEAST = 2.0**-149  # the smallest number above 0 in float32: a temperature below is 0 there
TINY = 2.0**-126  # the smallest that it has with all its digits
SHARP = 0.01  # a temperature from here up keeps logits finite, to the last bit as others divide


def heated(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits (…, V) over a temperature; near 0 the largest is moved to 0 first.

    So nothing overflows: what is left of the others is minus infinity, as it should be.
    """
    if temperature < SHARP:
        scores = scores - scores.amax(-1, keepdim=True)
    return scores / max(temperature, TINY)


def not_finite(weights: str, dtype: torch.dtype) -> ModelError:
    """What to say of a model whose logits are NaN or infinite.

    Numbers overflow in float16 above 65,504; bfloat16 reaches as far as float32.
    """
    kind = str(dtype).removeprefix("torch.")
    mend = "dtype='float32', or 'bfloat16'" if kind == "float16" else "dtype='float32'"
    return ModelError(
        f"{shown(weights, 120)} gives logits that are NaN or infinite (it computes in {kind}), so"
        f" no token can be chosen: load it with {mend}; if that does not help, its weights are"
        " damaged"
    )
