"""Checks of notebook 06: two candidates by recursive rejection, and the best shape of a tree."""

from __future__ import annotations

from functools import partial

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: two children ------------------------------------------------------------------------------


def _normalised(left: np.ndarray) -> np.ndarray:
    return left / left.sum() if left.sum() > 0 else left


def _without(q: np.ndarray, x: int) -> np.ndarray:
    """The distribution q where x cannot be drawn again."""
    return _normalised(np.where(np.arange(len(q)) == x, 0.0, q))


def _two(p, q, children, r, left=lambda p, q, x: np.maximum(p - q, 0), draft=_without,
         passes=lambda p, q, r: r * q < p, scaled=True):  # fmt: skip
    """The accepted child (2 where none is), and the distribution of the correction."""
    for i, x in enumerate(children):
        if passes(p[x], q[x], r[i]):
            return i, p
        p = left(p, q, x)
        p = _normalised(p) if scaled else p
        q = draft(q, x)
    return len(children), p


def _which(p, q, children, r, **parts) -> int:
    return _two(p, q, children, r, **parts)[0]


def _corrected(p, q, children, r, which=None, **parts) -> np.ndarray:
    """What is left of p after both rejections; nothing is drawn where a child is accepted."""
    found, left = _two(p, q, children, r, **parts)
    return np.zeros(len(p)) if which is not None and which < 2 else left if found == 2 else p * 0


WHICH_MISTAKES = (
    (partial(_which, draft=lambda q, x: q),
     "the second child cannot be the first one again. From which distribution was it drawn?"),
    (partial(_which, left=lambda p, q, x: p),
     "the first child was rejected. Against what is the second one verified: still against p?"),
    (partial(_which, left=lambda p, q, x: p, draft=lambda q, x: q),
     "both children are verified against the same p and q. What has the first rejection told you?"),
    (partial(_which, scaled=False),
     "what is the sum of max(p - q, 0)? A distribution has the sum 1"),
    (partial(_which, passes=lambda p, q, r: r * p < q),
     "which of p and q is divided by the other?"),
    (partial(_which, passes=lambda p, q, r: r * q <= p),
     "can a child with a target probability of 0 be accepted? r may be exactly 0"),
    (partial(_which, left=lambda p, q, x: _without(p, x)),
     "you removed the rejected child from p. Which other tokens had the draft proposed often enough"
     " already?"),
    (partial(_which, passes=lambda p, q, r: r < p),
     "where is q? The draft proposes a token more or less often, and that must count"),
)  # fmt: skip
CORRECTION_MISTAKES = (
    (partial(_corrected, draft=lambda q, x: q),
     "the second child was drawn without the first one. Which q is subtracted the second time?"),
    (lambda p, q, children, r, which: _normalised(np.maximum(p - q, 0)) * (which == 2),
     "two children were rejected. How often do you subtract?"),
    (lambda p, q, children, r, which: p * (which == 2),
     "both were rejected and you draw from p. Which tokens then get another chance?"),
    (partial(_corrected, scaled=False),
     "what is the sum of your probabilities after two rejections?"),
    (lambda p, q, children, r, which: _corrected(p, q, children, r) if which == 2 else p,
     "a child was accepted. Is there anything to correct? Return zeros"),
)  # fmt: skip


def _children():
    """Random distributions with two different children; targets that exclude one of them."""
    rng = draws(0)
    for mixed in (0.0, 0.3, 0.7) * 150:
        p = rng.dirichlet(np.ones(5))
        q = mixed * p + (1 - mixed) * rng.dirichlet(np.ones(5))
        yield p, q, rng.choice(5, 2, replace=False, p=q), rng.random(2)
    yield (np.array([0.0, 0.6, 0.4]), np.array([0.5, 0.3, 0.2]), np.array([0, 1]), np.zeros(2))


def _about_which(at, p, q, children, r) -> str:
    told = [np.round(one, 2).tolist() for one in (p, q, r)]
    return f"with p {told[0]}, q {told[1]}, children {children.tolist()}, r {told[2]}, the number"


def _about_correction(at, p, q, children, r, which) -> str:
    if which < 2:
        return f"where child {which} is accepted, the correction's probability of token {at[0]}"
    told = [np.round(one, 2).tolist() for one in (p, q)]
    words = f"with p {told[0]}, q {told[1]} and both children {children.tolist()} rejected"
    return f"{words}, the correction's probability of token {at[0]}"


check_two_children = Check(
    """Check a function that verifies two drafted candidates for one place.

    It takes ``(p, q, children, r)``: the target's and the draft's distribution (V,), two tokens
    that were drawn from q without replacement, and two numbers in [0, 1). It returns the index of
    the accepted child (0, 1, or 2 where none is), and the distribution (V,) of the correction
    (zeros where a child is accepted).
    """,
    cases=_children,
    parts=[
        Part("which child is accepted", _which, WHICH_MISTAKES, _about_which, key="which",
             asked="0, 1, or 2 where none is accepted"),
        Part("a probability of the correction", _corrected, CORRECTION_MISTAKES, _about_correction,
             key="correction", asked="{} numbers, one a token"),
    ],
    success="the first child, the second or the correction: together they follow p",
)  # fmt: skip

# -- 2: the best shape ----------------------------------------------------------------------------

# Chance that the 1st, 2nd, … child is the accepted one, and how many tokens may be drafted.
BUDGETS = (
    ((0.6, 0.2, 0.1), 4), ((0.6, 0.2, 0.1), 1), ((0.6, 0.2, 0.1), 8), ((0.9, 0.05, 0.02), 6),
    ((0.35, 0.3, 0.2), 9), ((0.5, 0.26, 0.13), 12), ((0.3, 0.1, 0.05), 7), ((0.7, 0.25), 10),
)  # fmt: skip


def _chances(p, parents) -> list[float]:
    """The chance that each node is accepted: the product of those on its way."""
    found, children = [], {}
    for parent in parents:
        rank = children[parent] = children.get(parent, -1) + 1
        before = 1.0 if parent < 0 else found[parent]
        found.append(before * p[rank] if rank < len(p) else 0.0)
    return found


def _grown(p, n, key=lambda chance, depth, rank: -chance) -> np.ndarray:
    """Parents (n,) of the tree that always takes the next node with the least `key`."""
    parents, chances, depths, open_ = [], [], [], [(-1, 0, 1.0, 0)]
    while len(parents) < n:
        best = min(open_, key=lambda o: key(o[2] * p[o[1]], o[3] + 1, o[1]))
        parent, rank, before, depth = best
        open_.remove(best)
        if rank + 1 < len(p):
            open_.append((parent, rank + 1, before, depth))
        parents.append(parent)
        chances.append(before * p[rank])
        depths.append(depth + 1)
        open_.append((len(parents) - 1, 0, chances[-1], depth + 1))
    return np.array(parents)


def _valid(parents) -> bool:
    return all(-1 <= parent < i for i, parent in enumerate(parents))


def _as_good(given, wanted, p, n) -> bool:
    """Whether a tree has the best one's tokens a round: many shapes may."""
    if not _valid(given.tolist()):
        return False
    worth = [sum(_chances(p, one.tolist())) for one in (given, wanted)]
    return bool(np.isclose(*worth, rtol=1e-9))


def _no_tree(given, wanted, cases) -> str:
    if all(_valid(one.tolist()) for one in given):
        return ""
    return "does each parent come before its child? Give -1 for the text's last token"


def _too_wide(given, wanted, cases) -> str:
    most = [max(np.bincount(one + 1)) for one in given]
    if all(many <= len(p) for many, (p, _) in zip(most, cases, strict=True)):
        return ""
    return "how many children can a token have? There are as many chances"


def _full(p, n) -> np.ndarray:
    """Each level is filled before the next begins."""
    return _grown(p, n, lambda chance, depth, rank: (depth, rank))


SHAPE_MISTAKES = (
    _no_tree,
    _too_wide,
    (lambda p, n: np.arange(-1, n - 1),
     "your tree is a chain. When is a second child likelier than one more token at the end?"),
    (_full,
     "you fill each level before the next begins. Is the third child of the root likelier than the"
     " first child of its first child?"),
    (lambda p, n: _grown(p[:2], n),
     "you never use a third child. Is it always the worst choice?"),
)  # fmt: skip


def _tokens(p, parents) -> float:
    return 1 + sum(_chances(p, parents))


def _about_shape(at, p, n) -> str:
    best = _tokens(p, _grown(p, n).tolist())
    return (
        f"with chances {list(p)} and {n} tokens ({best:.3f} tokens a round), the parent of {at[0]}"
    )


check_shape = Check(
    """Check a function that shapes a draft tree.

    It takes ``(p, n)``: the chance that the first, second, … child of an accepted token is accepted
    too, and how many tokens are drafted. It returns the parents (n,) of the tree that writes the
    most tokens a round: for each drafted token the index of the one before it, -1 for the text's
    last token.
    """,
    cases=lambda: BUDGETS,
    parts=[
        Part("a parent", _grown, SHAPE_MISTAKES, _about_shape,
             asked="{} whole numbers, the parents", alike=_as_good),
    ],
    success="no tree of this size writes more tokens a round",
)  # fmt: skip
