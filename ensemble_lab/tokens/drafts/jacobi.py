"""Jacobi decoding: guess the next tokens, let the target correct all of them at once, repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.tokens.drafts.base import padded

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Proposal
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


class JacobiDraft:
    """Jacobi decoding: the tokens proposed are the target's own, from its pass before.

    Each pass puts the target's likeliest token in the place of every guess. What follows a wrong
    guess may be wrong too, but the first place is always right: after k passes at least k tokens
    are, and the text is the greedy one. A wrong guess seldom leads to a right token further on, so
    few tokens are gained, and reading the guesses takes time: expect no speedup.

    Give `decode` the number of guessed tokens as `gamma`. At the beginning, and where the guesses
    have run out, a guess is the text's last token.

    Attributes
    ----------
    passes : list of list of (int, list of int)
        For each row and pass the tokens of the text before it, and the guesses.

    References
    ----------
    Santilli et al., Accelerating transformer inference for translation via parallel decoding, ACL
    2023.
    """

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self._rows = rows
        self._corrected: list[list[int]] = [[] for _ in rows.texts]
        self._from = [len(text) for text in rows.texts]  # the place of the first corrected token
        self.passes: list[list[tuple[int, list[int]]]] = [[] for _ in rows.texts]

    def propose(self, rows: Rows, most: int) -> Proposal:
        found = []
        for i, text in enumerate(rows.texts):
            known = self._corrected[i][len(text) - self._from[i] :][:most]
            found.append([*known, *[text[-1]] * (most - len(known))])
            if len(text) > self._from[i] or not self.passes[i]:  # else the row has ended
                self.passes[i].append((len(text), found[-1]))
        return padded(found, [[0] * most for _ in found], rows)

    def observe(self, tokens: torch.Tensor, logits: torch.Tensor) -> None:
        """Keep the target's token at every place.

        Parameters
        ----------
        tokens : (B, k + 1) tensor
        logits : (B, k + 1, V) tensor
        """
        self._corrected = logits.argmax(-1).tolist()
        self._from = [len(text) for text in self._rows.texts]
