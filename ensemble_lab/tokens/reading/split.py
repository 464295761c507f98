"""A reader that can stop after some layers and continue from there later."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ensemble_lab.models.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.rows import At


class SplitReader(Reader):
    """A reader that can stop after some layers and continue from there later.

    The first `layers` are the draft: its keys and values are the target's own, so they are
    computed once, and verification reads only the remaining layers.

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

    def early(self, tokens: torch.Tensor, at: At) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (B, k, D) after the first layers, and the logits that they would give."""
        states = self._run(self.first, at, input_ids=tokens).last_hidden_state
        return states, self.model.lm_head(self.model.model.norm(states))

    def finish(self, states: torch.Tensor, at: At) -> torch.Tensor:
        """Logits (B, k, V) of the whole model, from the states after the first layers."""
        last = self._run(self.rest, at, inputs_embeds=states).last_hidden_state
        return self.model.lm_head(self.model.model.norm(last))

    def resume(self, tokens: torch.Tensor, at: At, states: torch.Tensor) -> torch.Tensor:
        """Logits (B, k, V) as `read` gives them, from the states of a draft's tokens.

        A draft has no states of its last token, which has not been read yet.
        """
        import torch

        k, known = tokens.shape[1], states.shape[1]
        if known < k:
            more, _ = self.early(tokens[:, known:], at.ahead(known))
            states = torch.cat([states, more], 1)
        return self.finish(states[:, :k], at)


_whole: WeakKeyDictionary = WeakKeyDictionary()  # model to the layers after which it may be split


def check_whole(reader: Reader, after: int, parts: Callable) -> None:
    """Raise `ModelError` where reading in `parts` differs from the model, as with scaled logits.

    It is checked once for each model and number of layers `after` which it is split.
    """
    import torch

    found = _whole.setdefault(reader.model, set())
    if after in found:
        return
    token = torch.zeros(
        reader.cache.layers[0].rows, 1, dtype=torch.long, device=reader.model.device
    )
    where = token, At(token[:, 0], 0, 0)
    reader.cache.place.eager = True  # compiled layers would round differently
    with torch.inference_mode():
        same = torch.allclose(parts(*where), Reader.read(reader, *where), 1e-2, 1e-2, True)
    reader.cache.place.eager = False
    if not same:
        raise ModelError(
            f"{type(reader.model).__name__} does more between its layers than pass on states, so"
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
