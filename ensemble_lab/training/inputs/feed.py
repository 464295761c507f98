"""Rows and targets as tensors: which input a network takes is found by trying.

Numbers become floats, whole numbers too: pixels as bytes, counts, booleans. Where the network
cannot take floats, as an `nn.Embedding` cannot, whole numbers are kept as integers: they are ids of
tokens. This is decided once, on two rows, and holds for all later rows.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.training.batched.losses import learned_by
from ensemble_lab.training.inputs.targets import numbers, probabilities, targets

if TYPE_CHECKING:
    import torch
    from torch import nn

ROWS = "give numbers, in rows of the same length"
CODES = "give codes 0, 1, …, or use a NetworkClassifier, which takes labels of any kind"


@dataclass(frozen=True)
class Feed:
    """How rows and targets become tensors.

    Parameters
    ----------
    dtype : torch.dtype
        Of numbers.
    ids : bool
        Rows are ids: whole numbers that are kept as integers.
    known : int, optional
        How many ids the largest table of the network has.
    outputs : int, optional
        k, where the network took two rows.
    """

    dtype: torch.dtype
    ids: bool = False
    known: int | None = None
    outputs: int | None = None

    @classmethod
    def of(cls, network: nn.Module, X, dtype: torch.dtype) -> Feed:
        """What the network can take; its own state is not changed."""
        X = numbers(X, "X", ROWS)
        plain = cls(dtype, known=_known(network))
        if not len(X):
            return plain
        tries, why = [plain, replace(plain, ids=True)], ""
        if X.dtype.kind in "iu" and not _exact(X, dtype):
            tries.reverse()  # ids that floats would confuse
        for feed in tries:
            if not feed.ids or whole(X):
                found, error = feed._tried(network, X[[0, -1]])
                if found:
                    found.check(network, X)
                    return found
                why += error
        if "'indices'" in why and not whole(X):
            replace(plain, ids=True).rows(X)  # raises
        return plain  # the network takes no rows, and training says why

    def _tried(self, network: nn.Module, X: np.ndarray) -> tuple[Feed | None, str]:
        """Itself with the number of outputs, where the network takes two rows; else the error."""
        try:
            out = self._output(network, X)
        except IndexError as error:  # ids beyond a table: `check` names them
            return self, str(error)
        except Exception as error:
            return None, str(error)
        shaped = hasattr(out, "shape") and len(out.shape) > 0
        return replace(self, outputs=out.shape[-1] if shaped else None), ""

    def _output(self, network: nn.Module, X: np.ndarray):
        """The network's outputs on the CPU, which raises an error for unknown ids."""
        import torch

        if next(network.parameters()).device.type != "cpu":
            network = copy.deepcopy(network).cpu()
        training = network.training
        try:
            with torch.no_grad(), torch.random.fork_rng():
                return network.eval()(self.rows(X))
        finally:
            network.train(training)

    def check(self, network: nn.Module, X) -> None:
        """Refuse ids beyond a network's table: networks in one batch would read each other's rows.

        Raises
        ------
        ValueError
            The least and the largest id, and the fix.
        """
        X = numbers(X, "X", ROWS)
        if self.known is None or not X.size:
            return
        flat = X.reshape(len(X), -1)
        some = np.unique([flat.argmin(0), flat.argmax(0)])  # the extremes of every column
        try:
            self._output(network, X[some])
        except IndexError as error:
            raise ValueError(
                f"X holds ids {X.min():g} to {X.max():g}, and an nn.Embedding of the network has"
                f" {self.known:d} rows at most, for ids 0 to {self.known - 1:d}: give it more, or"
                " number the ids from 0"
            ) from error

    def rows(self, X) -> torch.Tensor:
        """Rows (n, …) as a tensor.

        Raises
        ------
        ValueError
            Text, or ids that are not whole numbers.
        """
        import torch

        X = numbers(X, "X", ROWS)
        if not self.ids:
            return torch.as_tensor(_writable(X), dtype=self.dtype)
        if not whole(X):
            raise ValueError(
                f"X holds {shown(X[X != np.floor(X)].flat[0])}, and the network looks ids up in a"
                " table, as an nn.Embedding does: give whole numbers"
            )
        return torch.as_tensor(X.astype(np.int64))

    def targets(self, y, loss) -> torch.Tensor:
        """Targets (n, …) as a tensor, as the loss takes them; for a loss of your own unchanged.

        Raises
        ------
        ValueError
            Targets that are missing, not numbers, or not codes of classes or probabilities where
            the loss needs these.
        """
        import torch

        kind = learned_by(loss)
        if kind is None:
            y = torch.as_tensor(_writable(numbers(y, "y", CODES)))
            return y.to(self.dtype) if y.is_floating_point() else y.long()
        if kind == "probabilities":
            y = probabilities(y, "y", self.outputs, unknown=True)
            return torch.as_tensor(_writable(y), dtype=self.dtype)
        y = numbers(targets(y), "y", CODES)
        if kind == "numbers":
            return torch.as_tensor(_writable(y), dtype=self.dtype)
        wrong = y != np.floor(y)
        rule = "cross-entropy learns classes, as codes 0, 1, …"
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"y is {y[row]:g} in row {row}, and {rule}: give whole numbers, or use"
                " squared_error for numbers"
            )
        wrong = (y < 0) | (y >= (self.outputs or np.inf))
        if wrong.any():
            row = int(wrong.argmax())
            of = f"; the network has {self.outputs:d} outputs" if self.outputs else ""
            raise ValueError(
                f"y is {int(y[row])} in row {row}, and {rule}{of}: number the classes from 0, as"
                " np.unique(y, return_inverse=True) does"
            )
        return torch.as_tensor(y.astype(np.int64))


def _writable(array: np.ndarray) -> np.ndarray:
    """The array in one piece; a copy if it is read-only, of which PyTorch warns."""
    return np.require(array, requirements=["C", "W"])


def whole(X: np.ndarray) -> bool:
    """Whether all are whole numbers."""
    return X.dtype.kind in "iu" or bool(np.isfinite(X).all() and (X == np.floor(X)).all())


def _exact(X: np.ndarray, dtype: torch.dtype) -> bool:
    import torch

    as_floats = torch.as_tensor(X.astype(np.int64)).to(dtype).to(torch.int64)
    return bool((as_floats.numpy() == X).all())


def _known(network: nn.Module) -> int | None:
    from torch import nn

    tables = [
        layer.num_embeddings
        for layer in network.modules()
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag)
    ]
    return max(tables, default=None)
