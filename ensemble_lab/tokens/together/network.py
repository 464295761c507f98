"""What `decode` reads in place of one network: several, with one cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import not_finite
from ensemble_lab.tokens.reading.packed import packed
from ensemble_lab.tokens.reading.reader import check_readable

if TYPE_CHECKING:
    import torch
    from transformers import Cache

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.together.combinations import Combination


class Output(NamedTuple):
    """What a network returns."""

    logits: torch.Tensor


class CombinedNetwork:
    """Networks that read the same tokens; their combined log-probabilities are its logits.

    It has what a `Reader` and `decode` use of a network. Its layers are those of all networks, one
    network after the other, and each writes to its own part of the cache. The networks are none of
    its `modules`: their weights are packed when a cache is read for the first time.

    Parameters
    ----------
    models : sequence of LanguageModel
        That can be read side by side.
    combination : Combination

    Attributes
    ----------
    clock : HostClock or CudaClock, optional
        Where one is set, it is marked at the beginning of every read and after every network.

    Raises
    ------
    ModelError
        A network that cannot be read by position.
    """

    def __init__(self, models: Sequence[LanguageModel], combination: Combination):
        import torch

        for one in models:
            check_readable(one.model)
        self.models, self.combination = models, combination
        self.networks = [one.model for one in models]
        self.config = combined_config(self.networks)
        self.generation_config = SimpleNamespace(eos_token_id=models[0].ends or None)
        self.device, self.dtype = models[0].device, models[0].dtype
        for one in models:
            self.dtype = torch.promote_types(self.dtype, one.dtype)
        self.model, self.clock = Trunks(self), None
        self._parts: WeakKeyDictionary = WeakKeyDictionary()  # by cache

    lm_head = property(lambda self: Lacking())

    def eval(self) -> CombinedNetwork:
        """Itself: its networks are in this mode already."""
        return self

    def modules(self) -> tuple:
        """None: nothing in it is packed from outside."""
        return ()

    def get_input_embeddings(self) -> torch.nn.Module:
        """The smallest table: its tokens are known to all networks."""
        tables = [network.get_input_embeddings() for network in self.networks]
        return min(tables, key=lambda table: table.weight.shape[0])

    def __call__(self, input_ids: torch.Tensor, past_key_values=None, **place) -> Output:
        """Log-probabilities (B, k, V) after each of the tokens (B, k)."""
        return Output(self.combination.combined(self.each(input_ids, past_key_values, **place)))

    def each(self, input_ids: torch.Tensor, past_key_values=None, **place) -> list[torch.Tensor]:
        """The logits (B, k, V) of every network, in float32 or, where any has it, float64.

        Raises
        ------
        ModelError
            One has a NaN or no finite largest number; it is named.
        """
        import torch

        exact = torch.promote_types(self.dtype, torch.float32)
        found = []
        self.mark()
        for model, (network, cache) in zip(self.models, self.parts(past_key_values), strict=True):
            logits = network(input_ids=input_ids, past_key_values=cache, **place).logits
            logits = logits[..., : self.config.vocab_size].to(exact)
            if not logits.amax(-1).isfinite().all():
                raise not_finite(model.weights, model.dtype)
            found.append(logits)
            self.mark()
        return found

    def parts(self, cache: Cache | None) -> list[tuple]:
        """Each network with its part of the cache."""
        from transformers.cache_utils import Cache

        if cache is None:
            return [(network, None) for network in self.networks]
        if cache not in self._parts:
            begin, parts = 0, []
            for network in self.networks:
                end = begin + network.config.num_hidden_layers
                parts.append((packed(network), Cache(layers=cache.layers[begin:end])))
                begin = end
            self._parts[cache] = parts
        return self._parts[cache]

    def mark(self) -> None:
        if self.clock is not None:
            self.clock.mark()


class Trunks:
    """The networks without their heads: they read, and nobody needs the logits."""

    layers = _modules = property(lambda self: Lacking())

    def __init__(self, network: CombinedNetwork):
        self.network = network

    def __call__(self, input_ids: torch.Tensor, past_key_values: Cache, **place) -> None:
        self.network.mark()
        for network, cache in self.network.parts(past_key_values):
            network.model(input_ids=input_ids, past_key_values=cache, **place)
            self.network.mark()


class Lacking:
    """What one network has and several together have not: says so when it is used."""

    def _refuse(self, *_):
        raise ModelError(
            "a combination has no common states or layers, so no head or early exit drafts for it,"
            " and it is not compiled: use another draft, and compiled=False"
        )

    __getattr__ = __getitem__ = __iter__ = __len__ = __call__ = _refuse


def combined_config(networks: Sequence) -> SimpleNamespace:
    """The numbers that `decode` asks a network for.

    Layers are of their average width, so that keys and values take the memory of all networks.
    """
    configs = [network.config for network in networks]
    layers, itemsize = 0, max(network.dtype.itemsize for network in networks)
    numbers = 0
    for network, config in zip(networks, configs, strict=True):
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        layers += config.num_hidden_layers
        numbers += config.num_hidden_layers * heads * size * network.dtype.itemsize / itemsize
    contexts = [getattr(config, "max_position_embeddings", None) for config in configs]
    return SimpleNamespace(
        vocab_size=min(config.vocab_size for config in configs),
        num_hidden_layers=layers,
        num_key_value_heads=1,
        head_dim=math.ceil(numbers / layers),
        hidden_size=max(config.hidden_size for config in configs),
        max_position_embeddings=min((c for c in contexts if c is not None), default=None),
        _attn_implementation=configs[0]._attn_implementation,
        is_encoder_decoder=False,
    )
