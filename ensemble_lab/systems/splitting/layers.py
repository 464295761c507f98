"""Some layers of a Llama, as a stage computes them: no transformers, only torch and a file.

A stage is a process that should start quickly and be small, so it reads its own layers from one
safetensors file and nothing else. The arithmetic is that of transformers, operation by operation,
and so are the results, bit by bit.

References
----------
Touvron et al., LLaMA: open and efficient foundation language models, 2023.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.nn import functional

LINEAR = (
    *(f"self_attn.{one}_proj" for one in "qkvo"),
    *(f"mlp.{one}_proj" for one in ("gate", "up", "down")),
)
NORMS = ("input_layernorm", "post_attention_layernorm")


class Layers:
    """Layers `first` to `last` (not included) of the file that `write_layers` wrote.

    Attributes
    ----------
    checksum : str
        Of the weights with their names, dtypes and shapes.
    """

    def __init__(self, file: Path, first: int, last: int):
        from safetensors import safe_open

        with safe_open(file, "pt") as weights:
            self.shape = json.loads(weights.metadata()["shape"])
            names = sorted(weights.keys())
            self.inv_freq = weights.get_tensor("inv_freq")
            self.layers = [
                {
                    name.removeprefix(f"{i}."): weights.get_tensor(name)
                    for name in names
                    if name.startswith(f"{i}.")
                }
                for i in range(first, last)
            ]
        self.first, self.last = first, last
        self.checksum = combined(self.shape, map(digest, self.layers))

    @torch.inference_mode()
    def __call__(self, states: torch.Tensor, cache: Cache) -> torch.Tensor:
        """States (n, D) of the next n tokens after these layers; the cache grows by n."""
        n, before = len(states), cache.length
        # 1. Rotary positions: an angle for each position and pair of channels.
        at = torch.arange(before, before + n).float()
        angles = (at[:, None] * self.inv_freq[None]).repeat(1, 2)  # (n, d)
        scaling = self.shape["scaling"]
        turn = [(f(angles) * scaling).to(states.dtype) for f in (torch.cos, torch.sin)]

        # 2. A token sees itself and what is before; one alone, or all from the start, need no mask.
        mask = None
        if n > 1 and before:
            mask = torch.ones(n, before + n, dtype=torch.bool).tril(before)

        # 3. Each layer adds its attention and then its network to the states.
        states = states[None]  # (1, n, D)
        for i, layer in enumerate(self.layers):
            states = states + self._attention(layer, i, states, turn, mask, cache)
            inner = self._norm(states, layer, NORMS[1])
            gate = functional.silu(_linear(layer, "mlp.gate_proj", inner))
            inner = gate * _linear(layer, "mlp.up_proj", inner)
            states = states + _linear(layer, "mlp.down_proj", inner)
        return states[0]

    def _attention(self, layer, i, states, turn, mask, cache) -> torch.Tensor:
        n, head = states.shape[1], self.shape["head_dim"]
        inner = self._norm(states, layer, NORMS[0])
        q, k, v = (
            _linear(layer, f"self_attn.{one}_proj", inner).view(1, n, -1, head).transpose(1, 2)
            for one in "qkv"
        )  # (1, heads, n, d)
        k, v = cache.grown(i, _turned(k, *turn), v)  # (1, kv heads, before + n, d)
        seen = functional.scaled_dot_product_attention(
            _turned(q, *turn),
            *(k, v, mask),
            is_causal=mask is None and n > 1,
            scale=head**-0.5,
            enable_gqa=True,
        )
        return _linear(layer, "self_attn.o_proj", seen.transpose(1, 2).reshape(1, n, -1))

    def _norm(self, states, layer, name) -> torch.Tensor:
        wide = states.float()  # as transformers does, also from float64
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.shape["eps"])
        return layer[f"{name}.weight"] * wide.to(states.dtype)


class Cache:
    """Keys and values (1, kv heads, t, d) of every layer of a stage, for one text."""

    def __init__(self, layers: int):
        self.keys: list = [None] * layers
        self.values: list = [None] * layers

    @property
    def length(self) -> int:
        """Tokens in the last layer, which is the last one to grow."""
        return 0 if self.values[-1] is None else self.values[-1].shape[2]

    def grown(self, i: int, keys, values) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of layer `i` with those of new tokens at the end."""
        if self.keys[i] is not None:
            keys = torch.cat([self.keys[i], keys], 2)
            values = torch.cat([self.values[i], values], 2)
        # Attention rounds otherwise on another layout.
        self.keys[i], self.values[i] = keys.contiguous(), values.contiguous()
        return self.keys[i], self.values[i]

    def cropped(self, length: int) -> None:
        """Forget all tokens from `length` on."""
        for of_layers in (self.keys, self.values):
            of_layers[:] = [None if one is None else one[:, :, :length] for one in of_layers]


def _linear(layer: dict, name: str, states: torch.Tensor) -> torch.Tensor:
    return functional.linear(states, layer[f"{name}.weight"], layer.get(f"{name}.bias"))


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def digest(layer: dict[str, torch.Tensor]) -> str:
    """A hash of the names, dtypes, shapes and bytes of the weights of a layer."""
    made = hashlib.sha256()
    for name, weight in sorted(layer.items()):
        made.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        made.update(weight.contiguous().view(torch.uint8).numpy())
    return made.hexdigest()


def combined(shape: dict, digests: Iterable[str]) -> str:
    """The checksum of a stage: of its layers' hashes, and of the numbers that shape them."""
    return hashlib.sha256(json.dumps([shape, *digests], sort_keys=True).encode()).hexdigest()
