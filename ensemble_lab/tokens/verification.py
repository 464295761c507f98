"""The acceptance step of a round: the rule that `decode` was asked for, for chains and trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.tokens.accept import (
    NO_TOKEN,
    accept_block,
    accept_greedy,
    accept_sampled,
    likeliest,
)
from ensemble_lab.tokens.accept_trees import accept_branches, accept_tree
from ensemble_lab.tokens.coupling import coupled
from ensemble_lab.tokens.drafts.trees import TreeDraft
from ensemble_lab.tokens.lossy import Lossy, Typical, accept_lossy
from ensemble_lab.tokens.reading.rows import on_device
from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.base import Draft, Proposal
    from ensemble_lab.tokens.sampling import Sampling
    from ensemble_lab.tokens.trees import Tree

VERIFICATIONS = ("token", "block", "coupled", "typical")
RULES = {
    "Typical": "Typical()",
    "Lenience": "Lenience(0.5)",
    "Mixture": "Mixture(0.5)",
    "SpeculativeCascade": 'SpeculativeCascade("opt", 0.1)',
}
UNSET = {"lenience": RULES["Lenience"], "mixture": RULES["Mixture"]}


def checked_rule(verification: str | Lossy, sampling: Sampling) -> str | Lossy:
    """The rule that is asked for.

    Raises
    ------
    ValueError
        There is none of this name, or a lossy one with greedy decoding.
    """
    if isinstance(verification, str) and verification in UNSET:
        raise ValueError(
            f"verification={shown(verification)} needs a number: give {UNSET[verification]} instead"
        )
    if isinstance(verification, type) and issubclass(verification, Lossy):
        name = verification.__name__
        rule = RULES.get(name, f"{name}()")
        raise ValueError(f"verification={name} is a class: give a rule, such as {rule}")
    rule = verification
    if not isinstance(rule, Lossy):
        check_known(rule, VERIFICATIONS, "verification", "package")
        rule = Typical() if rule == "typical" else rule
    if isinstance(rule, Lossy) and sampling.greedy:
        raise ValueError(
            f"verification={shown(verification)} compares chances, and at temperature 0 there are"
            ' none: give a temperature above 0, or verification="token"'
        )
    return rule


class Verification:
    """How many drafted tokens are accepted, and the token after them.

    Parameters
    ----------
    rule : str or Lossy
        As `checked_rule` gives it.
    sampling : Sampling
    generator : torch.Generator
    """

    def __init__(self, rule: str | Lossy, sampling: Sampling, generator: torch.Generator):
        self.rule, self.sampling, self.generator = rule, sampling, generator
        self.further = rule.further if isinstance(rule, Lossy) else 0

    def check_draft(self, draft: Draft | None) -> None:
        """Raise `ModelError` for a draft that the rule cannot verify."""
        if isinstance(self.rule, Lossy) and isinstance(draft, TreeDraft):
            raise ModelError(
                f"verification={shown(self.rule)} verifies chains: give the draft without a tree"
            )
        if self.further and not getattr(draft, "samples", False):
            raise ModelError(
                f"verification={shown(self.rule)} needs a draft with probabilities everywhere: give"
                ' a draft model, a FeatureHead or "early-exit:8"'
            )

    def limits(
        self, limits: Sequence[int], texts: Sequence[Sequence[int]], draft: Draft | None
    ) -> list[int]:
        """How long each text may become.

        A rule that needs the draft at every token ends where the draft's context does.

        Raises
        ------
        ModelError
            A prompt fills that context.
        """
        context = getattr(draft, "context", None)
        if not self.further or context is None:
            return list(limits)
        if max(map(len, texts)) >= context:
            raise ModelError(
                f"a prompt of {max(map(len, texts))} tokens leaves nothing of the {context} that"
                f" {shown(draft.weights)} can see, and verification={shown(self.rule)} needs the"
                " draft everywhere: shorten the prompt"
            )
        return [min(limit, context) for limit in limits]

    def chain(self, logits: torch.Tensor, proposal: Proposal, texts: Sequence[Sequence[int]]):
        """For logits (B, k + 1, V): how many are accepted (B,), and the token after them (B,)."""
        count = on_device(proposal.counts, logits.device)
        if self.sampling.greedy:
            return accept_greedy(likeliest(logits), proposal.tokens, count)
        p = self.sampling.distribution(logits)
        proposal.check_size(p.shape[-1])
        if self.rule == "coupled":
            return accept_greedy(self._drawn(p, texts), proposal.tokens, count)
        if isinstance(self.rule, Lossy):
            q = proposal.probabilities
            return accept_lossy(self.rule, p, proposal.tokens, count, q, self.generator)
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
        if isinstance(self.rule, Lossy):
            raise ModelError(
                f"verification={shown(self.rule)} verifies chains: propose one (parents=None)"
            )
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
