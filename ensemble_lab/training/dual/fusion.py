"""Fusion in the decoder: passages are encoded apart, and one decoder reads all of them."""

from __future__ import annotations

import torch
from torch import nn

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.settings import check_count


class FusionInDecoder(nn.Module):
    """An encoder-decoder whose encoder reads each passage alone.

    Reading N passages of L tokens so costs N L² and not (N L)². The decoder attends to the states
    of all passages, which it cannot tell apart by their order: permuting them changes nothing. With
    one passage it is a plain encoder-decoder.

    Parameters
    ----------
    d_model : int
        Width d of a token.
    hidden : int
        Units of a feed-forward network.
    heads : int
        Divides `d_model`.
    layers : int
        Of the encoder, and of the decoder.

    Raises
    ------
    ValueError
        A count below 1, or heads that do not divide `d_model`.

    References
    ----------
    Izacard and Grave, Leveraging passage retrieval with generative models for open domain question
    answering, EACL 2021.
    """

    def __init__(self, d_model: int, hidden: int, heads: int = 4, layers: int = 1):
        super().__init__()
        sizes = {"d_model": d_model, "hidden": hidden, "heads": heads, "layers": layers}
        for name, count in sizes.items():
            check_count(count, name, "give 1 or more")
        if d_model % heads:
            raise ValueError(
                f"heads={heads} does not divide d_model={d_model}: give a number that does"
            )
        self.d_model = d_model
        how = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(d_model, heads, hidden, **how) for _ in range(layers)
        )
        self.encoder_norm = nn.LayerNorm(d_model)
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(d_model, heads, hidden, **how) for _ in range(layers)
        )
        self.decoder_norm = nn.LayerNorm(d_model)

    def encode(self, passages: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
        """States (B, N, L, d) of passages (B, N, L, d), each read alone; see `forward`."""
        passages, padding = self._checked(passages, padding)
        states, mask = passages.flatten(0, 1), None
        if padding is not None:
            mask = padding.flatten(0, 1)
        for layer in self.encoder:
            states = layer(states, src_key_padding_mask=mask)
        return self.encoder_norm(states).view(passages.shape)

    def forward(
        self,
        passages: torch.Tensor,
        tokens: torch.Tensor,
        padding: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """States (B, T, d) of the decoder's tokens (B, T, d), each of which sees those before it.

        Parameters
        ----------
        passages : (B, N, L, d) tensor, or list of N (B, L, d) tensors
            Embedded, with positions added where order matters within a passage.
        tokens : (B, T, d) tensor
        padding : (B, N, L) tensor of bool, optional
            True where a passage is filled up, which nothing then reads.

        Raises
        ------
        ValueError
            Passages of different length, other shapes, or a passage that is only padding.
        """
        states = self.encode(passages, padding).flatten(1, 2)  # (B, N L, d)
        if not isinstance(tokens, torch.Tensor) or tokens.ndim != 3 or (
            tokens.shape[0], tokens.shape[2]
        ) != (len(states), self.d_model):  # fmt: skip
            raise ValueError(
                f"tokens have {shape_of(tokens)}: give a tensor ({len(states)}, T, {self.d_model})"
            )
        mask = None if padding is None else torch.as_tensor(padding).flatten(1)
        T = tokens.shape[1]
        later = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)
        for layer in self.decoder:
            tokens = layer(tokens, states, tgt_mask=later, memory_key_padding_mask=mask)
        return self.decoder_norm(tokens)

    def _checked(self, passages, padding):
        if isinstance(passages, list | tuple):
            shapes = {tuple(getattr(one, "shape", ())) for one in passages}
            if len(shapes) != 1 or not next(iter(shapes)):
                raise ValueError(
                    f"passages have the shapes {shown(sorted(shapes), 60)}: fill them up to one"
                    " length, and give padding, True where they are filled up"
                )
            passages = torch.stack(list(passages), dim=1)
        if (
            not isinstance(passages, torch.Tensor)
            or passages.ndim != 4
            or passages.shape[-1] != self.d_model
            or not passages.numel()
        ):
            raise ValueError(
                f"passages have {shape_of(passages)}: give a tensor (B, N, L, {self.d_model})"
            )
        if padding is not None:
            padding = torch.as_tensor(padding)
            if padding.dtype != torch.bool or padding.shape != passages.shape[:-1]:
                raise ValueError(
                    f"padding has {shape_of(padding)}: give bools {tuple(passages.shape[:-1])},"
                    " True where a passage is filled up"
                )
            if padding.all(-1).any():
                row, which = padding.all(-1).nonzero()[0].tolist()
                raise ValueError(
                    f"passage {which} of row {row} is only padding: leave it out, or use at least"
                    " one token"
                )
            # A weight of 0 times NaN is NaN, so what is not read must be a number too.
            passages = passages.masked_fill(padding[..., None].to(passages.device), 0)
        return passages, padding


def shape_of(value) -> str:
    """The shape of a tensor in words."""
    return f"the shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else "no shape"
