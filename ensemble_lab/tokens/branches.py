"""Recursive rejection as plainly as it can be written: several proposals for one token.

A node of a sampled draft tree has several children, drawn from the draft one after the other,
without replacement. The target takes them in this order. Each rejected child changes what the next
one is compared with: the target's rest becomes max(p - q, 0), and the draft's distribution loses
the child. The token that comes out follows the target's distribution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from math import perm
from numbers import Real

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.models.settings import whole
from ensemble_lab.tokens.blocks import checked_distribution

MOST_ORDERS = 10**5  # orders of children that `children_distribution` goes through


def verify_children(
    p: Sequence[float], q: Sequence[float], children: Sequence[int], rng: np.random.Generator
) -> tuple[int | None, int]:
    """Accept one of the children that the draft sampled without replacement, or none.

    Parameters
    ----------
    p, q : (V,) sequence of float
        Distributions of the target and the draft.
    children : sequence of int
        Different tokens in the order in which they were drawn from q.
    rng : numpy.random.Generator

    Returns
    -------
    index : int or None
        Which child is accepted; None where all are rejected.
    token : int
        The accepted child, or the target's own token.

    Raises
    ------
    ValueError
        No distributions, different lengths, children that q cannot have given, or an `rng` that
        is no generator.

    References
    ----------
    Chen et al., Sequoia: scalable, robust, and hardware-aware speculative decoding, NeurIPS 2024.

    Examples
    --------
    >>> verify_children([1, 0, 0], [0.25, 0.5, 0.25], [1, 0], np.random.default_rng(0))
    (1, 0)
    """
    p, q = (np.array(one, float) for one in _pair(p, q))
    asked = children_of(children)
    if not all(callable(getattr(rng, name, None)) for name in ("random", "choice")):
        raise ValueError(f"rng={shown(rng)}; give numpy.random.default_rng(0), for example")
    wrong = [x for x in asked if not 0 <= x < len(q) or not q[x] > 0]
    if wrong or len(set(asked)) < len(asked):
        raise ValueError(
            f"children={shown(children)}; give different tokens from 0 to {len(q) - 1} that q can"
            " give, in the order in which they were drawn"
        )
    for i, x in enumerate(asked):
        # 1. A child is accepted with probability min(1, p(x) / q(x)).
        if rng.random() < p[x] / q[x]:
            return i, x
        # 2. If it is rejected, the target wants what the draft proposes too rarely ...
        before = p
        p = np.maximum(p - q, 0)
        p = p / p.sum() if p.any() else before  # nothing is left where both differ by rounding
        # 3. ... and the next child was drawn from the draft without this one.
        q[x] = 0
        q = q / q.sum() if q.any() else q
    return None, int(rng.choice(len(p), p=p))


def children_distribution(
    p: Sequence[Real], q: Sequence[Real], children: int
) -> tuple[list[Real], Real]:
    """The exact distribution of the token that `verify_children` gives, and how often it accepts.

    Parameters
    ----------
    p, q : (V,) sequence of float or Fraction
        Distributions of the target and the draft.
    children : int
        How many are drawn without replacement, from 0 up; no more than q can give are drawn.

    Returns
    -------
    distribution : (V,) list of float or Fraction
        It is p.
    accepted : float or Fraction
        Chance that one of the children is accepted.

    Raises
    ------
    ValueError
        No distributions, different lengths, or more than 100,000 orders of children.

    Examples
    --------
    >>> from fractions import Fraction
    >>> p, q = ([Fraction(x, 10) for x in some] for some in ((4, 3, 2, 1), (1, 2, 3, 4)))
    >>> for children in (1, 2, 3, 4):
    ...     print(children_distribution(p, q, children)[1])
    3/5
    107/140
    14117/16800
    1
    """
    p, q = _pair(p, q)
    if whole(children, "children") < 0:
        raise ValueError(f"children={children}; it takes whole numbers from 0 up")
    children = min(children, sum(x > 0 for x in q))
    if perm(len(q), children) > MOST_ORDERS:
        raise ValueError(
            f"{children} children of {len(q):,} tokens come in more than {MOST_ORDERS:,} orders;"
            " use fewer children or tokens"
        )
    chances = _of_children(p, q, children)
    return chances[:-1], chances[-1]


def children_of(children: Sequence[int]) -> list[int]:
    """The children as whole numbers.

    Raises
    ------
    ValueError
        They are none.
    """
    if isinstance(children, str | bytes | Mapping | Set) or not isinstance(children, Iterable):
        raise ValueError(f"children={shown(children)}; give a list of tokens, such as [3, 0]")
    return [whole(x, "a child") for x in children]


def _of_children(p: list[Real], q: list[Real], children: int) -> list[Real]:
    """The chance of each token (V,), and behind them that a child is accepted."""
    if not children:
        return [*p, 0]
    chances = [0] * (len(p) + 1)
    excess = [max(a - b, 0) for a, b in zip(p, q, strict=True)]
    total = sum(excess)
    rest = [x / total for x in excess] if total else p
    for x, share in enumerate(q):
        kept = min(p[x], share)
        chances[x] += kept
        chances[-1] += kept
        if share > kept:  # rejected: go on with the next child
            others = 1 - share
            behind = [0 if i == x else b / others for i, b in enumerate(q)] if others else q
            for i, chance in enumerate(_of_children(rest, behind, children - 1)):
                chances[i] += (share - kept) * chance
    return chances


def _pair(p, q) -> tuple[list[Real], list[Real]]:
    """Both distributions, over the same tokens."""
    p, q = checked_distribution("p", p), checked_distribution("q", q)
    if len(p) != len(q):
        raise ValueError(f"p has {len(p)} tokens and q has {len(q)}: give both the same vocabulary")
    return p, q
