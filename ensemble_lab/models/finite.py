"""Numbers that can be chosen from: temperatures near 0, and what to say of NaN."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.weights.safetensors_head import short

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

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
    fix = "its weights have been damaged or have grown too large: load the model anew"
    if dtype.itemsize < 4:
        other = ", or 'bfloat16'" if kind == "float16" else ""
        fix = f"load it with dtype='float32'{other}; if that does not help, it is damaged"
    return ModelError(
        f"{shown(weights, 100)} gives logits that are NaN or infinite (it computes in {kind}), so"
        f" no token can be chosen: {fix}"
    )


class GumbelMax:
    """Samples a token as an argmax: argmax(z / T + g), g Gumbel, is distributed as softmax(z / T).

    It draws from a generator of its own, so that models sampling in parallel threads do not
    disturb one another's seeds.

    References
    ----------
    Gumbel, Statistical Theory of Extreme Values and Some Practical Applications, 1954.
    """

    def __init__(self, temperature: float, seed: int | None, device: torch.device):
        import torch

        self.temperature = temperature
        self.generator = torch.Generator(device)
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (1, vocabulary) divided by the temperature plus Gumbel noise."""
        import torch

        # The logarithm of an Exponential(1) variable is minus a Gumbel variable.
        noise = torch.empty_like(scores).exponential_(generator=self.generator).log()
        return heated(scores, self.temperature) - noise


def check_finite(model: PreTrainedModel, folder: Path) -> None:
    """Raise `ModelError` where weights are NaN or infinite, which would write any text.

    A sum is read faster than every number is looked at, and tells whether that is needed.
    """
    import torch

    bad = []
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.is_floating_point() and weight.element_size() > 1:
                total = weight.sum(dtype=torch.promote_types(weight.dtype, torch.float32))
                if not total.isfinite() and not weight.isfinite().all():
                    bad.append(name)
    if bad:
        raise ModelError(
            f"{short(folder)} holds numbers that are NaN or infinite in {model.dtype}, in"
            f" {len(bad)} tensors: {few(bad)}; fetch it again, or use dtype='float32'".replace(
                "torch.", ""
            )
        )


def few(names: Iterable[str]) -> str:
    """The first few names, and whether there are more."""
    names = list(names)
    return ", ".join(shown(name, 50) for name in names[:2]) + (", …" if len(names) > 2 else "")
