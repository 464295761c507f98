"""Draft trees of a model or a head: of a fixed shape, or grown where the draft is confident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.settings import whole
from ensemble_lab.tokens.drafts.base import Proposal, padded
from ensemble_lab.tokens.shapes import MOST_NODES, by_level, checked_shape, depths
from ensemble_lab.tokens.trees import tree_of

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.drafts.model import ModelDraft
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


@dataclass(frozen=True)
class DraftTree:
    """A draft that proposes trees, for `decode`.

    With `gamma` a tree of so many tokens is drafted in every round. Without `gamma` a tree or a
    chain is drafted, whichever writes more tokens a second by measurements during decoding.

    Parameters
    ----------
    draft : LanguageModel, FeatureHead or str
        What drafts; ``"head"`` is smollm2's feature-level head, without lookup.
    shape : sequence of int, optional
        The same tree in every round, as `best_shape` gives it: the parent of each token, -1 for the
        text's last one. The children of a token are the draft's likeliest ones; where tokens are
        sampled, they are sampled from the draft without replacement. By default the tree grows by
        EAGLE-2's rule, and its children are the draft's likeliest ones.
    nodes : int
        Drafted tokens of a tree that grows, from 1 to 64.
    width : int
        Tokens of each level that get children, and how many children each gets.
    depth : int
        Levels.

    Raises
    ------
    ModelError
        A shape that is no tree.
    ValueError
        Numbers out of their range.

    References
    ----------
    Li et al., EAGLE-2: faster inference of language models with dynamic draft trees, EMNLP 2024.
    Chen et al., Sequoia: scalable, robust, and hardware-aware speculative decoding, NeurIPS 2024.
    """

    draft: Any
    shape: Sequence[int] | None = None
    nodes: int = 16
    width: int = 4
    depth: int = 5

    def __post_init__(self):
        for name in ("nodes", "width", "depth"):
            if not 1 <= whole(value := getattr(self, name), name) <= MOST_NODES:
                raise ValueError(f"{name}={value}; use 1 to {MOST_NODES}")
        if self.shape is not None:
            object.__setattr__(self, "shape", by_level(checked_shape(self.shape)))
            object.__setattr__(self, "nodes", len(self.shape))

    @property
    def weights(self) -> str:
        """Its name in a trace."""
        return f"tree of {getattr(self.draft, 'weights', self.draft)}"


class TreeDraft:
    """A `DraftTree` whose model or head is ready to read.

    Parameters
    ----------
    base : ModelDraft
        Reads and drafts; it can draft a chain as well.
    plan : DraftTree
    """

    def __init__(self, base: ModelDraft, plan: DraftTree):
        self.base, self.plan = base, plan

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self.base.begin(rows, sampling, generator)
        self.sampling, self.generator = sampling, generator

    def chain(self, rows: Rows, most: int) -> Proposal:
        """A chain of at most `most` tokens."""
        return self.base.propose(rows, most)

    def propose(self, rows: Rows, most: int) -> Proposal:
        """A tree of at most `most` tokens."""
        base = self.base
        most = base.within_context(rows, min(most, self.plan.nodes))
        if most < 1:
            return padded([[]] * len(rows), [[]] * len(rows), rows)
        tokens, at = rows.last(base.catch_up(rows))
        base.round = -2  # the next round reads all new tokens: a tree leaves gaps in the cache
        logits = base.usable(base.reader.read(tokens, at)[:, -1:])  # (B, 1, V): after the text
        grow = self._grown if self.plan.shape is None else self._shaped
        return grow(rows, most, logits)

    def _read(self, rows: Rows, drafted: torch.Tensor, parents) -> torch.Tensor:
        """Logits (B, n + 1, V) after the text's last token and n drafted ones of a tree."""
        import torch

        last, at = rows.last(1)
        proposal = Proposal(drafted, [drafted.shape[1]] * len(drafted), parents=parents)
        read = self.base.reader.read(torch.cat([last, drafted], 1), at, tree_of(proposal))
        return self.base.usable(read)

    def _shaped(self, rows: Rows, most: int, logits: torch.Tensor) -> Proposal:
        """The tree of the plan's shape, level by level."""
        import torch

        shape, level = self.plan.shape[:most], depths(self.plan.shape[:most])
        parents, drafted, behind = [shape] * len(rows), rows.tokens[:, :0], []
        for depth in range(1, level[-1] + 1):
            of = [parent for parent, at in zip(shape, level, strict=True) if at == depth]
            if depth > 1:
                known = drafted.shape[1]
                logits = self._read(rows, drafted, [shape[:known]] * len(rows))
            read = list(dict.fromkeys(of))  # the tokens that get children in this level
            rank = [of[:i].count(parent) for i, parent in enumerate(of)]
            if (children := max(rank) + 1) > logits.shape[-1]:
                raise ModelError(
                    f"a token of the tree has {children} children, and the draft knows"
                    f" {logits.shape[-1]} tokens: use a shape with fewer children"
                )
            scores, place = logits[:, [parent + 1 for parent in read]], [*map(read.index, of)]
            if not self.sampling.greedy:
                q = self.sampling.distribution(scores)  # (B, tokens that get children, V)
                scores = q / torch.empty_like(q).exponential_(generator=self.generator)
                behind.append(q[:, place])
            found = scores.topk(children).indices.flatten(1)
            mine = [i * children + nth for i, nth in zip(place, rank, strict=True)]
            drafted = torch.cat([drafted, self.base.ids_of(found[:, mine])], 1)
        q = self.base.widened(torch.cat(behind, 1)) if behind else None
        return Proposal(drafted, [len(shape)] * len(rows), q, parents=parents)

    def _grown(self, rows: Rows, most: int, logits: torch.Tensor) -> Proposal:
        """EAGLE-2: expand the likeliest paths of each level, and keep the likeliest nodes of all.

        A path is as likely as the product of the draft's probabilities along it.
        """
        import torch

        many, width = len(rows), min(self.plan.width, most, logits.shape[-1])
        row = torch.arange(many, device=logits.device)[:, None]
        tokens, scores, parents = [], [], []  # of all candidates, one tensor a level
        chosen = owners = rows.tokens[:, :0]  # what is read: tokens and their parents
        reached, above = logits.new_zeros(many, 1).float(), row * 0 - 1
        for level in range(min(self.plan.depth, 1 + most // width)):
            if level:
                logits = self._read(rows, chosen, owners.tolist())[:, -width:]
            best, found = logits.float().log_softmax(-1).topk(width)  # (B, n, width)
            scores.append((reached[..., None] + best).flatten(1))
            tokens.append(self.base.ids_of(found).flatten(1))
            parents.append(above.repeat_interleave(width, 1))
            # The likeliest candidates of this level get children in the next.
            reached, at = scores[-1].topk(width)  # (B, width)
            before = sum(one.shape[1] for one in tokens[:-1])
            above = before + at
            owner = at // width + chosen.shape[1] - width if level else row * 0 - 1
            owners = torch.cat([owners, owner.expand_as(at)], 1)
            chosen = torch.cat([chosen, tokens[-1][row, at]], 1)
        tokens, scores, parents = (torch.cat(one, 1) for one in (tokens, scores, parents))
        # A parent is at least as likely as its child and stands before it, so it is kept too.
        kept = scores.sort(descending=True, stable=True).indices[:, :most].sort().values
        place = torch.full_like(tokens, -1).scatter_(
            1, kept, torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
        )
        old = parents.gather(1, kept)
        new = torch.where(old < 0, -1, place.gather(1, old.clamp(min=0)))
        return Proposal(tokens.gather(1, kept), [kept.shape[1]] * many, parents=new.tolist())
