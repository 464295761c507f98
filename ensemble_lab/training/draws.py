"""The rows that members learn from, in batches of every member's own order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Draws:
    """Rows on the device, and which of them each member learns from.

    Parameters
    ----------
    X : (n, …) tensor
    y : (n,) tensor
    rows : (m, r) tensor
    weights : (m, n) tensor or None
    """

    X: torch.Tensor
    y: torch.Tensor
    rows: torch.Tensor
    weights: torch.Tensor | None

    @classmethod
    def of(cls, X, y, members: int, rows, weights, device, dtype) -> Draws:
        import torch

        X, y = torch.as_tensor(np.asarray(X), dtype=dtype), torch.as_tensor(np.asarray(y))
        if len(X) != len(y) or not len(X):
            raise ValueError(f"X has {len(X)} rows and y {len(y)}; give as many of both, 1 or more")
        if not X.isfinite().all():
            bad = int((~X.isfinite()).flatten(1).any(1).nonzero()[0])
            raise ValueError(f"row {bad} of X holds NaN or infinity: drop or fill such rows")
        if y.is_floating_point():
            y = y.to(dtype)
        if rows is None:
            rows = np.arange(len(X))[None].repeat(members, 0)
        rows = np.asarray(rows)
        if rows.ndim != 2 or len(rows) != members or not rows.shape[1]:
            raise ValueError(
                f"rows has shape {rows.shape}; use ({members}, draws), one row a member"
            )
        if rows.min() < 0 or rows.max() >= len(X):
            raise ValueError(
                f"rows name {rows.min()} to {rows.max()}; X has rows 0 to {len(X) - 1}"
            )
        if weights is not None:
            weights = torch.as_tensor(np.asarray(weights), dtype=dtype)
            if tuple(weights.shape) != (members, len(X)) or (weights < 0).any():
                raise ValueError(
                    f"weights have shape {tuple(weights.shape)}, the least {weights.min():g};"
                    f" use ({members}, {len(X)}) numbers from 0 up"
                )
            weights = weights.to(device)
        return cls(X.to(device), y.to(device), torch.as_tensor(rows).to(device), weights)

    def batches(self, draw: list[np.random.Generator], size: int) -> Iterator:
        """One pass in every member's own order: inputs (m, B, …), targets and weights (m, B)."""
        import torch

        r = self.rows.shape[1]
        order = torch.as_tensor(np.stack([one.permutation(r) for one in draw]))  # (m, r)
        rows = self.rows.gather(1, order.to(self.rows.device))
        parts = rows, *self._judged(rows)
        for some, target, weight in zip(*(part.split(size, 1) for part in parts), strict=True):
            yield self._inputs(some), target, weight

    def whole(self):
        """All rows at once, the same for every member."""
        return self._inputs(self.rows), *self._judged(self.rows)

    def _inputs(self, rows: torch.Tensor) -> torch.Tensor:
        chosen = self.X.index_select(0, rows.reshape(-1))  # X[rows] takes five times as long
        return chosen.unflatten(0, rows.shape)

    def _judged(self, rows: torch.Tensor):
        """Targets and weights of rows (m, r)."""
        if self.weights is None:
            return self.y[rows], self.X.new_ones(()).expand(rows.shape)
        return self.y[rows], self.weights.gather(1, rows)
