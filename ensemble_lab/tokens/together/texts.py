"""A model that reads texts as they grow, and what it chooses after each of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.models.finite import not_finite
from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel


class Choice(NamedTuple):
    """What a model chooses after a token.

    Parameters
    ----------
    token : int
        Its likeliest one.
    chance : float
        That one's probability.
    loss : float
        -log p of the token that the text has there; of no meaning at the end of the text.
    """

    token: int
    chance: float
    loss: float


class Texts:
    """A model that reads texts as they grow; what it has read of them is kept.

    The prompts but their last tokens are read at once. Shorter texts, and those that wait, are read
    with zeros after them, which are written over before any token sees them.

    Attributes
    ----------
    known : list of int
        How many tokens of each text it has read.
    """

    def __init__(self, model: LanguageModel, texts: list[list[int]], capacity: int, size: int):
        self.model, self.texts, self.size = model, texts, size
        self.reader = Reader(packed(model.model), len(texts), capacity)
        self.known = [0] * len(texts)
        ahead = [text[:-1] for text in texts]
        if any(ahead):
            self.reader.fill(*self._padded(ahead))
        self.known = [len(text) for text in ahead]

    def read(self, rows: Sequence[int]) -> list[list[Choice]]:
        """Read the new tokens of some of the texts: the choices after each of them."""
        import torch

        tokens, lengths, logits = self.logits(rows)
        scores = (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)
        best, likeliest = scores.max(-1)
        following = tokens.roll(-1, 1).clamp(max=self.size - 1)[..., None]
        losses = -scores.gather(-1, following)[..., 0]
        found = likeliest.to(scores.dtype), best.exp(), losses  # float32 holds ids up to 2^24
        table = torch.stack(found, -1).tolist()
        choices = [[Choice(int(x), *rest) for x, *rest in table[i][: lengths[i]]] for i in rows]
        if any(one.chance != one.chance for of_text in choices for one in of_text):  # NaN
            raise not_finite(self.model.weights, self.model.dtype)
        return choices

    def logits(self, rows: Sequence[int]) -> tuple[torch.Tensor, list[int], torch.Tensor]:
        """The new tokens (B, k) of some of the texts, how many each has, and logits (B, k, V)."""
        new = [text[n:] if i in rows else [] for i, (text, n) in enumerate(self._places())]
        tokens, at = self._padded(new)
        logits = self.reader.read(tokens, at)[..., : self.size]
        for i in rows:
            self.known[i] = len(self.texts[i])
        return tokens, [len(row) for row in new], logits

    def forget(self) -> None:
        """What it has read beyond the texts' last tokens but one will be read again."""
        self.known = [min(n, len(text) - 1) for text, n in self._places()]

    def _places(self) -> zip:
        return zip(self.texts, self.known, strict=True)

    def _padded(self, new: list[list[int]]) -> tuple[torch.Tensor, At]:
        """Tokens (B, k), and the places of the first of each row."""
        import torch

        k, device = max(map(len, new)), self.model.device
        last = self.model.model.config.vocab_size - 1  # ids after it are read as this one
        filled = [row + [0] * (k - len(row)) for row in new]
        tokens = torch.tensor(filled, device=device).clamp(max=last)
        start = torch.tensor(self.known, device=device)
        return tokens, At(start, min(self.known), max(self.known))
