"""A model that reads tokens at given positions, with the cache that it fills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.reading.cache import RowCache

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.tokens.reading.rows import At, Rows
    from ensemble_lab.tokens.trees import Tree

FULL = "full_attention"


class Reader:
    """Logits after every token, for rows of different length side by side.

    Parameters
    ----------
    model : PreTrainedModel
        A decoder-only language model with full attention in every layer.
    rows : int
    capacity : int
        The most tokens that a row can have.

    Raises
    ------
    ModelError
        A model of another kind.
    """

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int):
        check_readable(model)
        self.model, self.capacity = model, capacity
        self.cache = RowCache(model.config.num_hidden_layers, rows, capacity)

    def read(self, tokens: torch.Tensor, at: At, tree: Tree | None = None) -> torch.Tensor:
        """Logits (B, k, V) after each of `tokens` (B, k); the first of each row is placed `at`.

        They follow one another, or are a tree whose root is the first.
        """
        return self._run(self.model, at, tree, input_ids=tokens).logits

    def fill(self, tokens: torch.Tensor, at: At) -> None:
        """Read (B, k) tokens without computing logits."""
        self._run(self.model.model, at, input_ids=tokens)

    def settle(self, path: torch.Tensor, at: At) -> None:
        """Keep a tree's accepted path: what was read at `at` + `path` (B, k) moves to `at` on."""
        if not stands(path):
            self._move(*moved(path, at))

    def _move(self, there: torch.Tensor, here: torch.Tensor) -> None:
        for layer in self.cache.layers:
            layer.take(there, here)

    def warm(self, rows: Rows, most: int) -> None:
        """Get ready to read up to `most` tokens at once: needed in compiled mode only."""

    def _run(self, trunk, at: At, tree: Tree | None = None, **inputs):
        states = next(iter(inputs.values()))
        positions, mask = self._place(states.shape[1], at, tree)
        return trunk(
            **inputs,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
        )

    def _place(self, k: int, at: At, tree: Tree | None = None):
        """Positions (B, k) and mask (B, 1, k, reach): each token sees those up to itself.

        In a tree these are the text and its ancestors, and its position is the path's length. Rows
        of equal length need no mask for one token, nor at their beginning.
        """
        import torch

        positions = at.start[:, None] + torch.arange(k, device=at.start.device)
        self.cache.move(positions, at.low, at.high)
        if tree is None and at.low == at.high and (k == 1 or at.low == 0):
            return positions, None
        seen = positions if at.low != at.high else positions[:1]  # one mask for equal rows
        keys = torch.arange(self.cache.place.reach, device=at.start.device)
        mask = (keys <= seen[:, :, None])[:, None]  # (B or 1, 1, k, reach)
        if tree is not None:
            text = (keys < at.start[:, None, None]).repeat(1, k, 1)  # (B, k, reach)
            mask = text.scatter_(2, positions[:, None].expand(-1, k, -1), tree.sees)[:, None]
            positions = at.start[:, None] + tree.depth
        if self.model.config._attn_implementation == "eager":  # it adds its mask
            low = torch.finfo(self.model.dtype).min
            return positions, torch.zeros_like(mask, dtype=self.model.dtype).masked_fill(~mask, low)
        return positions, mask


def moved(path: torch.Tensor, at: At) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the tokens of a path (B, k) lie after `at`, and where they belong: (B, k) each."""
    import torch

    start = at.start[:, None]
    return start + path, start + torch.arange(path.shape[1], device=path.device)


def stands(path: torch.Tensor) -> bool:
    """Whether a path (B, k) is known to lie where it belongs; a GPU is not asked."""
    import torch

    return path.device.type == "cpu" and bool((path == torch.arange(path.shape[1])).all())


class ShortReader:
    """A draft's reader whose table lacks some of the target's ids: it reads its last id instead.

    This changes how good its proposals are, never the text.
    """

    def __init__(self, reader: Reader, size: int):
        self.reader, self.last = reader, size - 1

    def read(self, tokens: torch.Tensor, at: At) -> torch.Tensor:
        return self.reader.read(tokens.clamp(max=self.last), at)

    def fill(self, tokens: torch.Tensor, at: At) -> None:
        self.reader.fill(tokens.clamp(max=self.last), at)

    def warm(self, rows: Rows, most: int) -> None:
        self.reader.warm(rows, most)


def check_readable(model: PreTrainedModel) -> None:
    """Raise `ModelError` for a model whose layers cannot be read by position."""
    config, name = model.config, type(model).__name__
    if getattr(config, "is_encoder_decoder", False) or not hasattr(model, "lm_head"):
        raise ModelError(f"{name} is not a decoder-only language model; load one, such as a Llama")
    kinds = set(getattr(config, "layer_types", None) or [FULL]) - {FULL}
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        kinds.add("sliding_attention")
    if kinds or not hasattr(getattr(model, "model", None), "layers"):
        kind = ", ".join(sorted(kinds)) or "other"
        raise ModelError(
            f"{name} has {kind} layers; tokens are read by position, which needs full attention"
        )
