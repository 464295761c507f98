"""One text that grows, and a model that reads what is new in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ensemble_lab.models.finite import not_finite
from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel


class GrowingText:
    """A model that reads one text as it grows; what it has read of it is kept.

    Parameters
    ----------
    model : LanguageModel
    capacity : int
        The most tokens that the text can have.
    size : int
        Logits of the first `size` ids are returned.
    """

    def __init__(self, model: LanguageModel, capacity: int, size: int):
        self.model, self.known, self.size = model, 0, size
        self.reader = Reader(packed(model.model), 1, capacity)

    def read(self, text: list[int]) -> torch.Tensor:
        """Logits (1, V) after the last token of a text that begins with what was read before."""
        import torch

        device, start = self.model.device, self.known
        last = self.model.model.config.vocab_size - 1  # ids after it are read as this one
        tokens = torch.tensor([text[start:]], device=device).clamp(max=last)
        at = At(torch.tensor([start], device=device), start, start)
        logits = self.reader.read(tokens, at)[0, -1:, : self.size]
        if not bool((logits.amax(-1).abs() < math.inf).all()):
            raise not_finite(self.model.weights, self.model.dtype)
        self.known = len(text)
        return logits if logits.dtype == torch.float64 else logits.float()
