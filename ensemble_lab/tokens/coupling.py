"""Position-seeded draws: the random numbers of a token depend on its position, not on the draft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.trees import Tree


def coupled(
    p: torch.Tensor, seed: int, texts: Sequence[Sequence[int]], tree: Tree | None = None
) -> torch.Tensor:
    """A token (B, k + 1) from each distribution p (B, k + 1, V).

    The token with the smallest E / p is x with probability p(x), where E are exponential variables.
    They are those of the seed, the row and the position alone. So a text that is sampled with a
    draft is the text that is sampled without one.

    Parameters
    ----------
    p : (B, k + 1, V)
    seed : int
        From 0 to 2**64 - 1.
    texts : (B,) sequence of sequence of int
        The first token of each row stands after its text.
    tree : Tree, optional
        How many positions later the others stand; by default they are a chain.

    References
    ----------
    Daliri, Musco and Suresh, Coupling without communication and drafter-invariant speculative
    decoding, ISIT 2025.
    """
    import torch

    depths = [range(p.shape[1])] * len(p) if tree is None else tree.depth.tolist()
    noise = np.empty(p.shape)
    for row, (text, places) in enumerate(zip(texts, depths, strict=True)):
        made = {}
        for i, depth in enumerate(places):
            if depth not in made:  # Philox is a function of its counter: no position needs another
                numbers = np.random.Philox(key=seed, counter=[0, 0, len(text) + depth, row])
                made[depth] = np.random.Generator(numbers).standard_exponential(p.shape[-1])
            noise[row, i] = made[depth]
    return (p / torch.from_numpy(noise).to(p)).argmax(-1)
