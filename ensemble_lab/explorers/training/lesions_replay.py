"""Recorded losses of SmolLM2 without one of its blocks, and without two, token by token.

`recipes/record_lesion_tokens.py` removed each block and each pair of blocks, on short texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ensemble_lab.catalogue import data_folder

FILE = "lesions.parquet"
NATS = 0.001  # the unit in which losses are kept
NONE = -1  # no block is removed
BLOCKS = 30
TEXTS = ("a story", "code", "a chat")


@dataclass(frozen=True, eq=False)
class Lesioned:
    """Losses of a text, in nats; the last block plus one stands for none."""

    tokens: tuple[str, ...]  # all except the first, which nothing predicts
    losses: np.ndarray  # (L + 1, L + 1, T - 1) without blocks i and j; symmetric

    @property
    def whole(self) -> float:
        """The loss of a token with all blocks, on average."""
        return float(self.losses[-1, -1].mean())

    @property
    def extra(self) -> np.ndarray:
        """What is lost without blocks i and j (L + 1, L + 1), in nats a token."""
        return self.losses.mean(-1) - self.whole

    @property
    def single(self) -> np.ndarray:
        """What is lost without each block alone (L,)."""
        return self.extra[-1, :-1]

    @property
    def sums(self) -> np.ndarray:
        """What two blocks cost one by one (L, L)."""
        return self.single[:, None] + self.single


@cache
def lesioned(text: str) -> Lesioned:
    """The recording of a text."""
    folder = data_folder() / "dual"
    tokens = json.loads((folder / "lesions.json").read_text(encoding="utf-8"))["tokens"][text]
    frame = pd.read_parquet(folder / FILE)
    frame = frame[frame.text == text]
    losses = np.empty((BLOCKS + 1, BLOCKS + 1, len(tokens) - 1))
    rows = np.stack(frame.losses) * NATS
    first, second = frame["first"].to_numpy(), frame["second"].to_numpy()
    losses[first, second] = losses[second, first] = rows  # NONE is the last place
    alone = second == NONE
    losses[first[alone], first[alone]] = rows[alone]  # one block twice is one block
    return Lesioned(tuple(tokens[1:]), losses)
