"""Rows and targets as tensors: what a network wants to be fed, found by trying.

Numbers go in as floats, whole ones too: pixels of bytes, counts, yes and no. Where the network
cannot take floats, as an `nn.Embedding` cannot, whole numbers stay whole: they are ids of tokens.
This is decided once, on two rows, and holds for all rows that the members meet later.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.training.batched.losses import learned_by
from ensemble_lab.training.inputs.targets import numbers, targets

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
        Rows are ids: whole numbers that stay whole.
    known : int, optional
        How many ids the largest table of the network has.
    outputs : int, optional
        k, where two rows went through.
    """

    dtype: torch.dtype
    ids: bool = False
    known: int | None = None
    outputs: int | None = None

    @classmethod
    def of(cls, network: nn.Module, X, dtype: torch.dtype) -> Feed:
        """What the network can be fed; its own state is left alone."""
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
        return plain  # nothing goes through, and training says why

    def _tried(self, network: nn.Module, X: np.ndarray) -> tuple[Feed | None, str]:
        """Itself with the number of outputs, where two rows go through; else the error."""
        try:
            said = self._said(network, X)
        except IndexError as error:  # ids beyond a table: `check` tells which
            return self, str(error)
        except Exception as error:
            return None, str(error)
        shaped = hasattr(said, "shape") and len(said.shape) > 0
        return replace(self, outputs=said.shape[-1] if shaped else None), ""

    def _said(self, network: nn.Module, X: np.ndarray):
        """What the network says, on the CPU, where it tells of ids that it does not know."""
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
        """Refuse ids that one network alone does not know: many as one would read each other's.

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
            self._said(network, X[some])
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
            Text, or ids that are no whole numbers.
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
        """Targets (n,) as a tensor, as the loss takes them; for a loss of one's own as they are.

        Raises
        ------
        ValueError
            Targets that are missing, no numbers, or no codes of classes where the loss wants these.
        """
        import torch

        kind = learned_by(loss)
        if kind is None:
            y = torch.as_tensor(_writable(numbers(y, "y", CODES)))
            return y.to(self.dtype) if y.is_floating_point() else y.long()
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
    """The array in one piece; a copy of one that may not be written, of which PyTorch warns."""
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
