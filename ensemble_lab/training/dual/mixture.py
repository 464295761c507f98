"""A transformer with weights of its own for each modality, and attention over all tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.settings import check_count


class MixtureOfTransformers(nn.Module):
    """A pre-norm transformer in which only attention is shared between modalities.

    Every token uses the norms, projections and feed-forward network of its modality, and attends to
    the tokens of all modalities. A token costs what it costs in the dense model: no router
    chooses, the modality does. With one modality it is the dense model.

    Parameters
    ----------
    d_model : int
        Width d of a token.
    hidden : int
        Units of a feed-forward network.
    modalities : int
        M.
    layers, heads : int
        `heads` divides `d_model`.

    Raises
    ------
    ValueError
        A count below 1, or heads that do not divide `d_model`.

    References
    ----------
    Liang et al., Mixture-of-transformers: a sparse and scalable architecture for multi-modal
    foundation models, TMLR 2025.
    """

    def __init__(
        self, d_model: int, hidden: int, modalities: int = 2, layers: int = 2, heads: int = 4
    ):
        super().__init__()
        sizes = {"d_model": d_model, "hidden": hidden, "modalities": modalities}
        for name, count in (sizes | {"layers": layers, "heads": heads}).items():
            check_count(count, name, "give 1 or more")
        if d_model % heads:
            raise ValueError(
                f"heads={heads} does not divide d_model={d_model}: give a number that does"
            )
        self.d_model, self.modalities = d_model, modalities
        self.blocks = nn.ModuleList(
            Block(d_model, hidden, modalities, heads) for _ in range(layers)
        )
        self.norm = OfEach(modalities, lambda: nn.LayerNorm(d_model))

    @classmethod
    def from_dense(cls, dense: MixtureOfTransformers, modalities: int) -> MixtureOfTransformers:
        """A model whose modalities all begin with the weights of a dense one: its output is equal.

        Raises
        ------
        ValueError
            The given model has several modalities, or a count below 1.
        """
        if not isinstance(dense, MixtureOfTransformers) or dense.modalities != 1:
            raise ValueError(
                f"dense is {shown(type(dense).__name__)}: give a MixtureOfTransformers with"
                " modalities=1"
            )
        check_count(modalities, "modalities", "give 1 or more")
        found = copy.deepcopy(dense)
        found.modalities = modalities
        for part in found.modules():
            if isinstance(part, OfEach):
                (one,) = part.parts
                part.parts = nn.ModuleList(copy.deepcopy(one) for _ in range(modalities))
        return found

    def forward(
        self, tokens: torch.Tensor, modality: torch.Tensor, causal: bool = False
    ) -> torch.Tensor:
        """States (B, T, d) of tokens (B, T, d), whose modality (B, T) or (T,) is from 0 to M - 1.

        Parameters
        ----------
        tokens, modality
        causal : bool
            A token attends to itself and to those before it only.

        Raises
        ------
        ValueError
            Tokens of another shape or number format, or labels outside the range.
        """
        self._check_tokens(tokens)
        modality = self._labels(modality, tokens)
        for block in self.blocks:
            tokens = block(tokens, modality, causal)
        return self.norm(tokens, modality)

    def _check_tokens(self, tokens) -> None:
        if not isinstance(tokens, torch.Tensor) or tokens.ndim != 3 or not tokens.numel():
            what = f"the shape {tuple(tokens.shape)}" if hasattr(tokens, "shape") else "no shape"
            raise ValueError(f"tokens have {what}: give a tensor (B, T, {self.d_model})")
        if tokens.shape[-1] != self.d_model:
            raise ValueError(
                f"tokens have the width {tokens.shape[-1]} and the model {self.d_model}: give"
                f" (B, T, {self.d_model})"
            )
        of = next(self.parameters()).dtype
        if tokens.dtype != of:
            raise ValueError(
                f"tokens are {tokens.dtype} and the model is {of}: convert one by .to".replace(
                    "torch.", ""
                )
            )

    def _labels(self, modality, tokens: torch.Tensor) -> torch.Tensor:
        B, T, _ = tokens.shape
        try:
            found = torch.as_tensor(modality)
        except (TypeError, ValueError, RuntimeError):
            found = torch.empty(0)
        if found.dtype.is_floating_point or found.shape not in ((T,), (B, T)):
            raise ValueError(
                f"modality={shown(modality, 60)}: give a whole number for each token, ({T},) or"
                f" ({B}, {T})"
            )
        if found.min() < 0 or found.max() >= self.modalities:
            bad = found[(found < 0) | (found >= self.modalities)].flatten()[0]
            raise ValueError(
                f"modality {shown(bad)} does not exist: use 0 to {self.modalities - 1}, or a model"
                " with more modalities"
            )
        return found.to(tokens.device).expand(B, T)


class OfEach(nn.Module):
    """A layer for each modality; every token goes through its own."""

    def __init__(self, modalities: int, make: Callable[[], nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(make() for _ in range(modalities))

    def forward(self, tokens: torch.Tensor, modality: torch.Tensor) -> torch.Tensor:
        """From (B, T, d) to (B, T, d')."""
        found = None
        for m, part in enumerate(self.parts):
            own = modality == m
            made = part(tokens[own])
            if found is None:
                found = made.new_empty(*tokens.shape[:-1], made.shape[-1])
            found[own] = made
        return found


class Block(nn.Module):
    """Attention over all tokens, then a feed-forward network; norms before both."""

    def __init__(self, d: int, hidden: int, modalities: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention = OfEach(modalities, lambda: nn.LayerNorm(d))
        self.qkv = OfEach(modalities, lambda: nn.Linear(d, 3 * d))
        self.out = OfEach(modalities, lambda: nn.Linear(d, d))
        self.before_feed_forward = OfEach(modalities, lambda: nn.LayerNorm(d))
        self.feed_forward = OfEach(
            modalities,
            lambda: nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Linear(hidden, d)),
        )

    def forward(self, tokens, modality, causal: bool) -> torch.Tensor:
        qkv = self.qkv(self.before_attention(tokens, modality), modality)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1)
        )  # (B, heads, T, d / heads)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        tokens = tokens + self.out(seen.transpose(1, 2).flatten(2), modality)
        normed = self.before_feed_forward(tokens, modality)
        return tokens + self.feed_forward(normed, modality)
