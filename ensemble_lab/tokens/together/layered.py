"""What `decode` reads where the earlier layers of a network give logits too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.tokens.reading.split import part
from ensemble_lab.tokens.together.network import CombinedNetwork

if TYPE_CHECKING:
    import torch

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.together.dola import DoLa


class LayeredNetwork(CombinedNetwork):
    """One network, whose logits after some of its layers are combined with its own.

    Parameters
    ----------
    models : sequence of one LanguageModel
    combination : DoLa

    Raises
    ------
    ModelError
        A network that cannot be read by position, or does more between its layers than pass on
        states.
    ValueError
        A layer that it does not have.
    """

    def __init__(self, models: Sequence[LanguageModel], combination: DoLa):
        import torch

        super().__init__(models, combination)
        [model], [network] = models, self.networks
        depth = network.config.num_hidden_layers
        self.layers, self.weights = combination.candidates(depth), model.weights
        self._ends = (*sorted(self.layers), depth)
        token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
        with torch.inference_mode():
            parts, whole = self._logits(network, token, None)[depth], network(token).logits
        if not torch.allclose(parts, whole, 1e-2, 1e-2, equal_nan=True):
            raise ModelError(
                f"{type(network).__name__} does more between its layers than pass on states, so"
                " its earlier layers give no logits: use another model"
            )

    def each(self, input_ids, past_key_values=None, **place):
        import torch

        exact = torch.promote_types(self.dtype, torch.float32)
        [(network, cache)] = self.parts(past_key_values)
        self.mark()
        logits = self._logits(network, input_ids, cache, **place)
        self.mark()
        found = [logits[after].to(exact) for after in (self._ends[-1], *self.layers)]
        if not all(one.amax(-1).isfinite().all() for one in found):
            raise not_finite(self.weights, self.dtype)
        return found

    def _logits(self, network, tokens: torch.Tensor, cache, **place) -> dict[int, torch.Tensor]:
        """Logits (B, k, V) by the number of layers after which they are."""
        states, begin, logits = {"input_ids": tokens}, 0, {}
        place = {**place, "use_cache": cache is not None}
        for end in self._ends:
            trunk = part(network, begin, end)
            read = trunk(**states, past_key_values=cache, **place).last_hidden_state
            logits[end] = network.lm_head(network.model.norm(read))
            states, begin = {"inputs_embeds": read}, end
        return logits
