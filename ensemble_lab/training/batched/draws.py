"""The rows that members learn from, in batches of every member's own order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.feed import whole
from ensemble_lab.training.inputs.targets import as_array

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Draws:
    """Rows on the device, and which of them each member learns from.

    Parameters
    ----------
    X : (n, …) tensor
    y : (n, …) tensor
    rows : (m, r) tensor
    weights : (m, n) tensor or None
    """

    X: torch.Tensor
    y: torch.Tensor
    rows: torch.Tensor
    weights: torch.Tensor | None

    @classmethod
    def of(cls, X: torch.Tensor, y: torch.Tensor, members: int, rows, weights, device) -> Draws:
        """What members learn from, checked.

        Raises
        ------
        ValueError
            No rows, NaN, or rows or weights that are not those of m members.
        """
        import torch

        if len(X) != len(y) or not len(X):
            raise ValueError(
                f"X has {len(X)} rows and y {len(y)}; give the same number of each, 1 or more"
            )
        if not X.isfinite().all():
            bad = int((~X.isfinite()).flatten(1).any(1).nonzero()[0])
            raise ValueError(f"row {bad} of X holds NaN or infinity: drop or fill such rows")
        rows = torch.as_tensor(rows_of(rows, members, len(X)))
        if weights is not None:
            weights = torch.as_tensor(weights_of(weights, members, len(X)), dtype=X.dtype)
            weights = weights.to(device)
        return cls(X.to(device), y.to(device), rows.to(device), weights)

    def batches(self, rngs: list[np.random.Generator], size: int) -> Iterator:
        """One pass in every member's own order: inputs and targets (m, B, …), weights (m, B)."""
        import torch

        r = self.rows.shape[1]
        order = torch.as_tensor(np.stack([rng.permutation(r) for rng in rngs]))  # (m, r)
        rows = self.rows.gather(1, order.to(self.rows.device))
        for some, weight in zip(
            rows.split(size, 1), self._weights(rows).split(size, 1), strict=True
        ):
            yield chosen(self.X, some), chosen(self.y, some), weight

    def whole(self):
        """All rows at once, the same for every member."""
        return chosen(self.X, self.rows), chosen(self.y, self.rows), self._weights(self.rows)

    def _weights(self, rows: torch.Tensor) -> torch.Tensor:
        """Weights of rows (m, r)."""
        if self.weights is None:
            return self.X.new_ones(()).expand(rows.shape)
        return self.weights.gather(1, rows)


def chosen(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The values (m, r, …) of rows (m, r), out of (n, …)."""
    found = values.index_select(0, rows.reshape(-1))  # values[rows] takes five times as long
    return found.unflatten(0, rows.shape)


def rows_of(rows, members: int, n: int) -> np.ndarray:
    """Indices (m, r) of the rows that each member learns from; by default all n.

    Raises
    ------
    ValueError
        Not the same number for each of m members, a mask, or rows that do not exist.
    """
    if rows is None:
        return np.arange(n)[None].repeat(members, 0)
    rows = matrix(rows, "rows", members, "draws")
    if rows.dtype == bool:
        raise ValueError("rows is a mask: give the numbers of rows, as np.flatnonzero(mask) does")
    if not whole(rows):
        raise ValueError("rows holds fractions or NaN: give whole numbers, those of rows of X")
    if rows.min() < 0 or rows.max() >= n:
        raise ValueError(
            f"rows name {int(rows.min())} to {int(rows.max())}; X has rows 0 to {n - 1:d}"
        )
    return rows.astype(np.int64)


def weights_of(weights, members: int, n: int) -> np.ndarray:
    """Weights (m, n) of n rows for each of m members.

    Raises
    ------
    ValueError
        Not one for each row and member, NaN, negative, or only 0 for a member.
    """
    weights = matrix(weights, "weights", members, "numbers")
    if weights.shape[1] != n:
        raise ValueError(
            f"weights are for {weights.shape[1]:d} rows, and X has {n:d}: give one a row"
        )
    bad = ~(weights >= 0) | np.isinf(weights)
    if bad.any():
        member, row = np.argwhere(bad)[0].tolist()
        raise ValueError(
            f"the weight of row {row:d} for member {member:d} is {weights[member, row]:g}; use"
            " numbers from 0 up"
        )
    if (idle := ~weights.any(1)).any():
        raise ValueError(f"member {idle.argmax():d} has weight 0 for every row: nothing to learn")
    return weights


def matrix(values, what: str, members: int, kind: str) -> np.ndarray:
    """Numbers (m, …) of each member, the same number for all.

    Raises
    ------
    ValueError
        A mapping or data frame, or not m lists of one length.
    """
    lists = f"give {members:d} lists of equally many {kind}, one a member"
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        raise ValueError(f"{what} is a {type(values).__name__}, and members have no names: {lists}")
    if not hasattr(values, "__array__"):
        try:
            values = [as_array(one) for one in values]
        except TypeError:
            raise ValueError(f"{what} is {shown(values)}: {lists}") from None
        if len({one.shape for one in values}) > 1:
            raise ValueError(f"{what} are not as many for each member: {lists}")
        values = np.array(values)
    array = as_array(values)
    if array.dtype.kind not in "biuf" or array.ndim != 2 or len(array) != members or not array.size:
        raise ValueError(f"{what} are not numbers for {members:d} members: {lists}")
    return array
