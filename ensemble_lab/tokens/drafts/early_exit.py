"""The target's own first layers as a draft."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.tokens.reading.split import SplitReader

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling
from ensemble_lab.tokens.drafts.base import Proposal, draw


class EarlyExitDraft:
    """The target's own first layers; the verification reuses their keys, values and states.

    Parameters
    ----------
    reader : SplitReader
        The target.
    """

    samples = True  # it gives probabilities for every token

    def __init__(self, reader: SplitReader):
        self.reader = reader

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.sampling, self.generator = sampling, generator

    def propose(self, rows: Rows, most: int) -> Proposal:
        import torch

        tokens, at = rows.last(1)
        drafted, probabilities, states = [], [], []
        for _ in range(most):
            state, logits = self.reader.early(tokens, at)
            token, q = draw(logits[:, -1], self.sampling, self.generator)
            drafted.append(token)
            probabilities.append(q)
            states.append(state)
            tokens, at = token[:, None], at.ahead(1)
        drafted = torch.stack(drafted, 1)
        probabilities = None if self.sampling.greedy else torch.stack(probabilities, 1)
        return Proposal(drafted, [most] * len(drafted), probabilities, states=torch.cat(states, 1))
