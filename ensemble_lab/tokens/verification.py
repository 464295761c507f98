"""The acceptance step of a round: the rule that `decode` was asked for, for chains and trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import check_known
from ensemble_lab.tokens.accept import (
    NO_TOKEN,
    accept_block,
    accept_greedy,
    accept_sampled,
    likeliest,
)
from ensemble_lab.tokens.accept_trees import accept_branches, accept_tree
from ensemble_lab.tokens.coupling import coupled
from ensemble_lab.tokens.reading.rows import on_device
from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Proposal
    from ensemble_lab.tokens.sampling import Sampling
    from ensemble_lab.tokens.trees import Tree

VERIFICATIONS = ("token", "block", "coupled")


def checked_rule(verification: str) -> str:
    """The rule of a name; raises `ValueError` where there is none."""
    check_known(verification, VERIFICATIONS, "verification", "package")
    return verification


class Verification:
    """How many drafted tokens are accepted, and the token after them.

    Parameters
    ----------
    rule : str
        As `verification` in `stream`.
    sampling : Sampling
    generator : torch.Generator
    """

    def __init__(self, rule: str, sampling: Sampling, generator: torch.Generator):
        self.rule, self.sampling, self.generator = rule, sampling, generator

    def chain(self, logits: torch.Tensor, proposal: Proposal, texts: Sequence[Sequence[int]]):
        """For logits (B, k + 1, V): how many are accepted (B,), and the token after them (B,)."""
        count = on_device(proposal.counts, logits.device)
        if self.sampling.greedy:
            return accept_greedy(likeliest(logits), proposal.tokens, count)
        p = self.sampling.distribution(logits)
        proposal.check_size(p.shape[-1])
        if self.rule == "coupled":
            return accept_greedy(self._drawn(p, texts), proposal.tokens, count)
        accept = accept_block if self.rule == "block" else accept_sampled
        return accept(p, proposal.tokens, count, proposal.probabilities, self.generator)

    def tree(
        self,
        logits: torch.Tensor,
        proposal: Proposal,
        texts: Sequence[Sequence[int]],
        tree: Tree,
    ):
        """The same for a tree, and the drafted tokens' order (B, k), the accepted ones first."""
        drafted, count = proposal.tokens, on_device(proposal.counts, logits.device)
        if self.sampling.greedy:
            return accept_tree(likeliest(logits), drafted, count, tree)
        p, q = self.sampling.distribution(logits), proposal.probabilities
        proposal.check_size(p.shape[-1])
        if q is None or self.rule == "coupled":
            return accept_tree(self._drawn(p, texts, tree), drafted, count, tree)
        return accept_branches(p, drafted, count, q, tree, self.generator)

    def _drawn(self, p: torch.Tensor, texts, tree: Tree | None = None) -> torch.Tensor:
        """The target's tokens (B, k + 1), `NO_TOKEN` where p (B, k + 1, V) is NaN."""
        if self.rule == "coupled":
            tokens = coupled(p, self.generator.initial_seed(), texts, tree)
        else:
            tokens = sampled(p, self.generator)
        return tokens.where(p[..., 0] >= 0, NO_TOKEN)
