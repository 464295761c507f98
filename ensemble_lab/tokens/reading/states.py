"""A reader that keeps the target's states, for a head to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

from ensemble_lab.tokens.reading.reader import Reader
from ensemble_lab.tokens.reading.split import check_whole


class StateReader(Reader):
    """A reader that keeps the state after every token, by position, for a head to read.

    Attributes
    ----------
    states : (B, capacity, D)
        After the last norm, as the model's own head reads them.
    """

    def __init__(self, model: PreTrainedModel, rows: int, capacity: int):
        super().__init__(model, rows, capacity)
        size = model.config.hidden_size
        self.states = model.lm_head.weight.new_zeros(rows, capacity, size)
        check_whole(self, 0, lambda *where: self.model.lm_head(self._states(*where)))

    def read(self, tokens, at, tree=None):
        return self.model.lm_head(self._states(tokens, at, tree))

    def fill(self, tokens, at):
        self._states(tokens, at)

    def _move(self, there, here):
        super()._move(there, here)
        there, here = (x[..., None].expand(-1, -1, self.states.shape[-1]) for x in (there, here))
        self.states.scatter_(1, here, self.states.gather(1, there))

    def _states(self, tokens, at, tree=None):
        states = self._run(self.model.model, at, tree, input_ids=tokens).last_hidden_state
        self.keep(states, at.start)
        return states  # (B, k, D)

    def keep(self, states: torch.Tensor, start: torch.Tensor) -> None:
        """Write states (B, k, D) from the positions `start` (B,) on."""
        import torch

        places = start[:, None] + torch.arange(states.shape[1], device=start.device)
        self.states.scatter_(1, places[..., None].expand_as(states), states)

    def behind(self, positions: torch.Tensor) -> torch.Tensor:
        """States (B, k, D) after the tokens at `positions` (B, k); zero before the first."""
        places = positions.clamp(min=0)[..., None].expand(-1, -1, self.states.shape[-1])
        return self.states.gather(1, places) * (positions >= 0)[..., None]
