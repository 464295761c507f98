"""A model that reads texts which another model writes, in its own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.tokens.drafts.vocabularies import GrowingText
from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import Rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

AT_ONCE = 16  # tokens of which all logits are computed, rather than read twice


class RetokenizedReader:
    """Reads B growing texts; keys and values of the tokens that stay the same are kept.

    A longer text may change the tokens before its end: 'be', 'tw' become 'between'. All from the
    first changed token on are read again.

    Parameters
    ----------
    model : PreTrainedModel
    tokenizer : PreTrainedTokenizerBase
    rows : int
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: int):
        self.model = model
        self.texts = [GrowingText(tokenizer) for _ in range(rows)]
        self.context = getattr(model.config, "max_position_embeddings", None)
        self.reader = Reader(model, rows, 0)  # grows with the texts
        self.read_before: list[list[int]] = [[] for _ in range(rows)]
        self.steps: list[torch.Tensor] = []

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of every text.

        An empty text is the model's token 0, and an id beyond its table is read as its last one:
        this changes how good its proposals are, never the text.
        """
        last = self.model.config.vocab_size - 1
        found = [one.encode(text) or [0] for one, text in zip(self.texts, texts, strict=True)]
        return [[min(token, last) for token in row] for row in found]

    def room(self, tokens: Sequence[Sequence[int]], most: int) -> int:
        """How many of `most` tokens still fit into the model's context."""
        longest = max(map(len, tokens))
        return most if self.context is None else min(most, self.context - longest)

    def read(self, tokens: list[list[int]], ahead: int) -> torch.Tensor:
        """Logits (B, R) after each row's tokens; `ahead` more will follow by `step`."""
        self._close()
        need = max(map(len, tokens)) + ahead
        if need > self.reader.capacity:  # half as much again, so that this is rare
            self.reader = Reader(self.model, len(tokens), need + need // 2)
            self.read_before = [[] for _ in tokens]
        kept = [same(row, old) for row, old in zip(tokens, self.read_before, strict=True)]
        stale = max(max(len(row) - n for row, n in zip(tokens, kept, strict=True)), 1)
        rows = Rows(tokens, self.reader.capacity, self.model.device)
        few = min(stale, AT_ONCE, *map(len, tokens))
        if stale > few:
            self.reader.fill(*rows.last(stale))
        ids, at = rows.last(few)
        self.read_before, self.at = tokens, at.ahead(few)
        return self.reader.read(ids, at)[:, -1]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, R) after another token (B,) of every row."""
        self.steps.append(tokens)
        logits = self.reader.read(tokens[:, None], self.at)[:, -1]
        self.at = self.at.ahead(1)
        return logits

    def _close(self) -> None:
        """Remember the tokens that were read step by step."""
        import torch

        if self.steps:
            more = torch.stack(self.steps, 1).tolist()
            self.read_before = [a + b for a, b in zip(self.read_before, more, strict=True)]
            self.steps = []


def same(row: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens of both are the same from the beginning."""
    shorter = min(len(row), len(other))
    return next((i for i in range(shorter) if row[i] != other[i]), shorter)
