"""Any precision: one set of codes holds a network's weights at every number of bits."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.training.submodels.codes import MOST_BITS, prefix_codes, table_of

if TYPE_CHECKING:
    from torch import nn


class AnyPrecision:
    """The weights of a network as codes of up to 8 bits, of which the first bits suffice.

    Each row of a weight matrix (an output channel) has a code for each weight. The first b bits of
    it are the weight's code of b bits, and each number of bits has a table of its own with the mean
    weight of every code. So one file of 8 bits a weight holds eight networks. The paper starts from
    clusters of 3 bits by k-means and splits those; here the first bit splits too, each time where
    the squared error becomes least. Parameters of one dimension, such as biases, stay as they are.

    Parameters
    ----------
    network : Module
        Not changed.
    bits : int
        Of the codes, 1 to 8.

    Raises
    ------
    ValueError
        Bits outside 1 to 8, what is no network, no weights of two dimensions, or NaN in them.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Linear(4, 1)
    >>> stored = AnyPrecision(network, bits=2)  # a row of four weights has four codes
    >>> torch.equal(stored.at(2).weight, network.weight)
    True
    >>> torch.equal(stored.at(1).weight, network.weight)
    False

    References
    ----------
    Park et al., Any-Precision LLM: low-cost deployment of multiple, different-sized LLMs, ICML
    2024.
    """

    def __init__(self, network: nn.Module, bits: int = MOST_BITS):
        require("a network", "torch")
        from torch import nn

        if not isinstance(network, nn.Module):
            raise ValueError(
                f"the network is a {type(network).__name__}: give a torch.nn.Module, such as"
                " members_.module(0) of a fitted NetworkClassifier"
            )
        self.bits = _checked(bits, MOST_BITS)
        self._network, self._codes, self._tables = copy.deepcopy(network), {}, {}
        for name, value in self._network.named_parameters():
            if value.dim() < 2 or not value.is_floating_point() or not value.numel():
                continue
            rows = value.detach().flatten(1).double().cpu().numpy()
            if not np.isfinite(rows).all():
                raise ValueError(
                    f"{shown(name)} holds NaN or infinity, which have no code: train the network"
                    " with a lower learning rate"
                )
            codes = self._codes[name] = prefix_codes(rows, self.bits)
            self._tables[name] = [
                table_of(rows, codes >> (self.bits - short), short)
                for short in range(1, self.bits + 1)
            ]
        if not self._codes:
            raise ValueError(
                f"{type(network).__name__} has no weights of two dimensions or more: give a network"
                " with linear or convolution layers, or embeddings"
            )

    def names(self) -> list[str]:
        """Names of the parameters that have codes."""
        return list(self._codes)

    def codes(self, name: str, bits: int | None = None) -> np.ndarray:
        """Codes (r, n) of the r rows of a parameter: the first bits of the longest ones."""
        bits = self.bits if bits is None else _checked(bits, self.bits)
        return self._known(name) >> (self.bits - bits)

    def table(self, name: str, bits: int | None = None) -> np.ndarray:
        """Weights (r, 2**bits) that the codes of so many bits stand for, a row for each row."""
        bits = self.bits if bits is None else _checked(bits, self.bits)
        self._known(name)
        return self._tables[name][bits - 1].copy()

    def at(self, bits: int) -> nn.Module:
        """A copy of the network with the weights of so many bits.

        Raises
        ------
        ValueError
            Bits below 1 or above those of the codes.
        """
        import torch

        bits, network = _checked(bits, self.bits), copy.deepcopy(self._network)
        with torch.no_grad():
            for name, value in network.named_parameters():
                if name in self._codes:
                    rows = np.take_along_axis(
                        self.table(name, bits), self.codes(name, bits).astype(np.int64), axis=1
                    )
                    value.copy_(torch.from_numpy(rows).reshape(value.shape))
        return network

    def _known(self, name: str) -> np.ndarray:
        if not isinstance(name, str) or name not in self._codes:
            raise ValueError(
                f"no codes of {shown(name)}: use one of {shown(', '.join(self._codes), 120)}"
            )
        return self._codes[name]


def _checked(bits, most: int) -> int:
    if not isinstance(bits, Integral) or isinstance(bits, bool) or not 1 <= bits <= most:
        raise ValueError(f"bits={shown(bits)}: use a whole number from 1 to {most}")
    return int(bits)
