"""Accept the path of a draft tree: children that are certain, and children that were sampled.

Both walks keep the target's distribution p.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ensemble_lab.tokens.accept import NO_TOKEN, within
from ensemble_lab.tokens.sampling import sampled

if TYPE_CHECKING:
    import torch

    from ensemble_lab.tokens.trees import Tree

TWINS = -2  # where a draft tree is not valid


def accept_tree(
    choices: torch.Tensor, drafted: torch.Tensor, count: torch.Tensor, tree: Tree
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Follow the tree as long as a child holds the token that the target chose.

    The target's choices are drawn from p, each at its place, so the text is too. Whether a child
    holds a choice decides only how many tokens are accepted, not what is written.

    Parameters
    ----------
    choices : (B, k + 1)
        The target's token after the last one and after each drafted one; `NO_TOKEN` where its
        logits are not finite.
    drafted : (B, k)
    count : (B,)
        How many of the k were drafted in each row; the rest is padding.
    tree : Tree

    Returns
    -------
    accepted, follow : (B,), (B,)
        As in `accept_greedy`; `follow` is `TWINS` where a token has two children that are the
        same.
    path : (B, k)
        The indices of the drafted tokens, the accepted ones first and in their order.
    """
    import torch

    real = within(drafted, count)
    right = (drafted == choices.gather(1, tree.parent)) & real  # (B, k)
    right = torch.nn.functional.pad(right, (1, 0), value=True)  # (B, k + 1), with the root
    accepted = ~(tree.sees & ~right[:, None]).any(-1)  # (B, k + 1): so are all its ancestors
    last = (accepted * torch.arange(accepted.shape[1], device=drafted.device)).amax(-1)
    follow = choices.gather(1, last[:, None])[:, 0]
    twins = _twins(drafted, tree, real)
    path = (~accepted[:, 1:]).int().argsort(stable=True)
    return (accepted.sum(-1) - 1) * ~twins, follow.where(~twins, TWINS), path


def accept_branches(
    p: torch.Tensor,
    drafted: torch.Tensor,
    count: torch.Tensor,
    q: torch.Tensor,
    tree: Tree,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Walk down a tree whose children were sampled without replacement, by recursive rejection.

    Parameters
    ----------
    p : (B, k + 1, V)
        The target's distribution after the text's last token and after each drafted one.
    drafted : (B, k)
        The children of a token in the order in which they were drawn.
    count : (B,)
        How many of the k were drafted in each row; the rest is padding.
    q : (B, k, V)
        The draft's distribution at each token's parent. A token to which it gives 0 was not drawn:
        it is passed over.
    tree : Tree
    generator : torch.Generator, optional

    Returns
    -------
    accepted, follow, path : (B,), (B,), (B, k)
        As in `accept_tree`; `follow` is `NO_TOKEN` where p is NaN.

    References
    ----------
    Chen et al., Sequoia: scalable, robust, and hardware-aware speculative decoding, NeurIPS 2024.
    `verify_children` has the same for the children of one token.
    """
    import torch

    rows = torch.arange(len(p), device=p.device)
    drawn = within(drafted, count) & (q.gather(2, drafted[..., None])[..., 0] > 0)
    r = torch.rand(drafted.shape, generator=generator, device=p.device, dtype=p.dtype)
    at = torch.zeros_like(count)  # (B,): the number of the last accepted token; 0 is the text's
    rest, left = p[:, 0], torch.zeros_like(p[:, 0])  # (B, V): what p still wants, what q still has
    first = torch.ones_like(count, dtype=torch.bool)  # no child has been looked at yet
    kept = torch.zeros_like(drawn)
    for j in range(drafted.shape[1]):  # parents stand before their children
        x, child = drafted[:, j], (tree.parent[:, j] == at) & drawn[:, j]
        left = torch.where((child & first)[:, None], q[:, j], left)
        likely, wanted = left[rows, x], rest[rows, x]
        right = child & (r[:, j] * likely < wanted)
        wrong = (child & ~right)[:, None]
        excess = (rest - left).clamp(min=0)
        total = excess.sum(-1, keepdim=True)
        # Where p equals q, only rounding rejects a token; then p itself is what is left.
        excess = torch.where(total > 0, excess / total, rest)
        rest = torch.where(right[:, None], p[:, j + 1], torch.where(wrong, excess, rest))
        others = left.scatter(1, x[:, None], 0.0)
        others = others / others.sum(-1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
        left = torch.where(wrong, others, left)
        at, first = at.where(~right, j + 1), right | (first & ~child)
        kept[:, j] = right
    follow = sampled(rest, generator).where(p[rows, at, 0] >= 0, NO_TOKEN)
    twins = _twins(drafted, tree, drawn)
    path = (~kept).int().argsort(stable=True)
    return kept.sum(-1) * ~twins, follow.where(~twins, TWINS), path


def _twins(drafted: torch.Tensor, tree: Tree, real: torch.Tensor) -> torch.Tensor:
    """Rows (B,) in which a token has two `real` children that are the same."""
    same = (drafted[:, None] == drafted[..., None]) & (
        tree.parent[:, None] == tree.parent[..., None]
    )
    return (same & real[:, None] & real[..., None]).tril(-1).flatten(1).any(-1)
