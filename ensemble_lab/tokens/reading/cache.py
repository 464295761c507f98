"""A cache written by position: rows of different length, and rollback without work.

Each row's keys and values lie at their own positions. Rejected tokens are neither copied nor
cropped: no later query looks beyond its own position, and the next tokens are written over them.
transformers' static cache has one length for all rows and its dynamic one must be cropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    import torch


class Place:
    """Where the tokens of the current read are written; all layers use it.

    Attributes
    ----------
    rows : (B, 1)
        0 to B - 1.
    positions : (B, k)
    start : int or None
        The first position, where it is the same in all rows.
    reach : int
        Positions that are in use: the longest row with the new tokens.
    eager : bool
        Whether even compiled layers read eagerly.
    """

    def __init__(self):
        self.rows, self.positions, self.start, self.reach, self.eager = None, None, None, 0, False


class RowLayer(CacheLayerMixin):
    """Keys and values of one layer, (B, H, capacity, D) each."""

    is_compileable = False

    def __init__(self, place: Place, rows: int, capacity: int):
        super().__init__()
        self.place, self.rows, self.capacity = place, rows, capacity

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        for name, states in (("keys", key_states), ("values", value_states)):
            _, heads, _, size = states.shape
            setattr(self, name, states.new_zeros(self.rows, heads, self.capacity, size))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (B, H, k, D) at the rows' positions; returns all up to the longest row."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place, k = self.place, key_states.shape[2]
        for kept, states in ((self.keys, key_states), (self.values, value_states)):
            if place.start is not None:
                kept[:, :, place.start : place.start + k] = states
            else:
                # Much quicker than `scatter_`, which on a CPU copies the whole of `kept`.
                kept.transpose(1, 2)[place.rows, place.positions] = states.transpose(1, 2)
        return self.keys[:, :, : place.reach], self.values[:, :, : place.reach]

    def take(self, there: torch.Tensor, here: torch.Tensor) -> None:
        """Copy the entries at positions `there` (B, k) to positions `here` (B, k)."""
        for kept in (self.keys, self.values):
            by_place = kept.transpose(1, 2)  # as in `update`, quicker than `scatter_`
            by_place[self.place.rows, here] = by_place[self.place.rows, there]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.place.reach, 0

    def get_seq_length(self) -> int:
        return self.place.start or 0

    def get_max_length(self) -> int:
        return self.capacity


class RowCache(Cache):
    """A `RowLayer` for every layer of a model.

    Parameters
    ----------
    layers : int
    rows : int
    capacity : int
        Tokens that a row can hold.
    """

    def __init__(self, layers: int, rows: int, capacity: int):
        self.place = Place()
        super().__init__(layers=[RowLayer(self.place, rows, capacity) for _ in range(layers)])

    def move(self, positions: torch.Tensor, low: int, high: int) -> None:
        """Set where the next tokens are written: positions (B, k); low and high span column 0."""
        import torch

        k = positions.shape[1]
        self.place.positions = positions
        if self.place.rows is None:
            self.place.rows = torch.arange(len(positions), device=positions.device)[:, None]
        self.place.start = low if low == high else None
        self.place.reach = high + k
