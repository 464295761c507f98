"""A model that reads tokens at given positions, with the cache that it fills."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.cache import RowCache

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.tokens.rows import Rows

FULL = "full_attention"
_whole: WeakKeyDictionary = WeakKeyDictionary()  # model to where it may be parted


class Reader:
    """Logits after every token read, rows of different length side by side.

    Parameters
    ----------
    model : PreTrainedModel
        A decoder-only language model with full attention in every layer.
    rows : int
    capacity : int
        Tokens that a row may have in the end.

    Raises
    ------
    ModelError
        A model of another kind.
    """

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int):
        check_readable(model)
        self.model, self.capacity = model, capacity
        self.cache = RowCache(model.config.num_hidden_layers, rows, capacity)

    def read(self, tokens: torch.Tensor, start: torch.Tensor, spans: tuple[int, int]):
        """Logits (B, k, V) after each of `tokens` (B, k), which stand from `start` (B,) on.

        `spans` are the lowest and the highest of `start`: known on the host, so that nobody has
        to wait for the device.
        """
        return self._run(self.model, start, spans, input_ids=tokens).logits

    def fill(self, tokens: torch.Tensor, start: torch.Tensor, spans: tuple[int, int]) -> None:
        """Read (B, k) tokens without asking what comes next."""
        self._run(self.model.model, start, spans, input_ids=tokens)

    def warm(self, rows: Rows, most: int) -> None:
        """Get ready to read up to `most` tokens at once: nothing to do but in compiled mode."""

    def _run(self, trunk, start, spans, **inputs):
        states = next(iter(inputs.values()))
        positions, mask = self._place(states.shape[1], start, spans)
        return trunk(
            **inputs,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
        )

    def _place(self, k: int, start: torch.Tensor, spans: tuple[int, int]):
        """Positions (B, k) and mask (B, 1, k, reach): each token sees those up to itself."""
        import torch

        positions = start[:, None] + torch.arange(k, device=start.device)
        self.cache.move(positions, *spans)
        seen = positions if spans[0] != spans[1] else positions[:1]  # one mask for equal rows
        keys = torch.arange(self.cache.place.reach, device=start.device)
        mask = (keys <= seen[:, :, None])[:, None]  # (B or 1, 1, k, reach)
        if self.model.config._attn_implementation == "eager":  # it adds its mask
            low = torch.finfo(self.model.dtype).min
            return positions, torch.zeros_like(mask, dtype=self.model.dtype).masked_fill(~mask, low)
        return positions, mask


class StateReader(Reader):
    """A reader that keeps the state behind every token, by position, for a head to read.

    Attributes
    ----------
    states : (B, capacity, D)
        Behind the last norm, as the model's own head sees them.
    """

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int):
        super().__init__(model, rows, capacity)
        size = model.config.hidden_size
        self.states = model.lm_head.weight.new_zeros(rows, capacity, size)
        check_whole(self, 0, lambda *where: self.model.lm_head(self._states(*where)))

    def read(self, tokens, start, spans):
        return self.model.lm_head(self._states(tokens, start, spans))

    def fill(self, tokens, start, spans):
        self._states(tokens, start, spans)

    def _states(self, tokens, start, spans):
        states = self._run(self.model.model, start, spans, input_ids=tokens).last_hidden_state
        self.keep(states, start)
        return states  # (B, k, D)

    def keep(self, states: torch.Tensor, start: torch.Tensor) -> None:
        """Write states (B, k, D) from the positions `start` (B,) on."""
        import torch

        places = start[:, None] + torch.arange(states.shape[1], device=start.device)
        self.states.scatter_(1, places[..., None].expand_as(states), states)

    def behind(self, positions: torch.Tensor) -> torch.Tensor:
        """States (B, k, D) behind the tokens at `positions` (B, k); zero before the first."""
        places = positions.clamp(min=0)[..., None].expand(-1, -1, self.states.shape[-1])
        return self.states.gather(1, places) * (positions >= 0)[..., None]


class SplitReader(Reader):
    """A reader that can stop after some layers and go on from there later.

    The first `layers` are the draft: its keys and values are the target's own, so they are
    computed once, and to verify is to read the remaining layers.

    References
    ----------
    Elhoushi et al., LayerSkip: enabling early exit inference and self-speculative decoding, ACL
    2024.
    """

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int, layers: int):
        super().__init__(model, rows, capacity)
        depth = model.config.num_hidden_layers
        if not 0 < layers < depth:
            raise ValueError(
                f"early exit after layer {layers}; this model has {depth}: use 1 to {depth - 1}"
            )
        self.first, self.rest = part(model, 0, layers), part(model, layers, depth)
        check_whole(self, layers, lambda *where: self.finish(self.early(*where)[0], *where[1:]))

    def early(self, tokens, start, spans):
        """Hidden states (B, k, D) after the first layers, and the logits that they would give."""
        states = self._run(self.first, start, spans, input_ids=tokens).last_hidden_state
        return states, self.model.lm_head(self.model.model.norm(states))

    def finish(self, states, start, spans):
        """Logits (B, k, V) of the whole model, from the states after the first layers."""
        last = self._run(self.rest, start, spans, inputs_embeds=states).last_hidden_state
        return self.model.lm_head(self.model.model.norm(last))


class ShortReader:
    """A draft's reader whose table lacks ids that the target may write: it reads its last instead.

    What a draft makes of them decides how well it guesses, never the text.
    """

    def __init__(self, reader: Reader, size: int):
        self.reader, self.last = reader, size - 1

    def read(self, tokens: torch.Tensor, start: torch.Tensor, spans: tuple[int, int]):
        return self.reader.read(tokens.clamp(max=self.last), start, spans)

    def fill(self, tokens: torch.Tensor, start: torch.Tensor, spans: tuple[int, int]) -> None:
        self.reader.fill(tokens.clamp(max=self.last), start, spans)

    def warm(self, rows: Rows, most: int) -> None:
        self.reader.warm(rows, most)


def check_whole(reader: Reader, after: int, parts: Callable) -> None:
    """Raise `ModelError` where a model read in `parts` is not the whole, as with scaled logits.

    It is looked at once for each model and number of layers `after` which it is parted.
    """
    import torch

    found = _whole.setdefault(reader.model, set())
    if after in found:
        return
    token = torch.zeros(
        reader.cache.layers[0].rows, 1, dtype=torch.long, device=reader.model.device
    )
    where = token, token[:, 0], (0, 0)
    reader.cache.place.eager = True  # compiled layers would round in another way
    with torch.inference_mode():
        same = torch.allclose(parts(*where), Reader.read(reader, *where), 1e-2, 1e-2, True)
    reader.cache.place.eager = False
    if not same:
        raise ModelError(
            f"{type(reader.model).__name__} does more between its layers than pass states on, so"
            " its first layers cannot draft, nor can a head: use another draft"
        )
    found.add(after)


def part(model: PreTrainedModel, first: int, last: int):
    """Some layers of a model as a trunk of its own, weights shared and without the last norm."""
    from torch import nn

    trunk = copy.copy(model.model)
    trunk._modules = {
        **model.model._modules,
        "layers": model.model.layers[first:last],
        "norm": nn.Identity(),
    }
    trunk.config = copy.copy(model.config)
    trunk.config.num_hidden_layers = last - first
    return trunk


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
