"""Block verification as plainly as it can be written: the drafted tokens are verified together.

Token verification gives up at the first rejected token. Block verification looks at all of them: a
token that the target likes more than the draft does makes up for one before it that the target
likes less. The text keeps the target's distribution with both rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.models.settings import whole

if TYPE_CHECKING:
    from ensemble_lab.tokens.plain import Model

MOST_PATHS = 10**6  # drafted texts that `expected_accepted` goes through


def block_round(
    target: Model, draft: Model, tokens: list[int], gamma: int, rng: np.random.Generator
) -> tuple[list[int], int, int]:
    """Draft `gamma` tokens after `tokens`, and let the target verify them as a block.

    Parameters and what is returned are those of `one_round`: the drafted tokens, how many of them
    are accepted, and the token that follows these.

    References
    ----------
    Sun et al., Block verification accelerates speculative decoding, ICLR 2025.
    """
    # 1. The draft writes gamma tokens, and the target reads all of them in one pass.
    drafted, q = [], []
    for _ in range(gamma):
        q.append(draft(tokens + drafted)[-1])  # (V,)
        drafted.append(int(rng.choice(len(q[-1]), p=q[-1])))
    p = target(tokens + drafted)[len(tokens) - 1 :]  # (gamma + 1, V)

    # 2. The first i drafted tokens are to be accepted, or more, with probability kept[i]. It grows
    #    again after it fell, where the target likes a token more than the draft does.
    kept = [1.0]
    for i, x in enumerate(drafted):
        kept.append(min(kept[-1] * p[i][x] / q[i][x], 1.0))

    # 3. Each prefix has a random number of its own. The longest one that passes is accepted, also
    #    where a shorter one does not pass.
    accepted = 0
    for i in range(1, gamma + 1):
        h = kept[i]
        if i < gamma:  # what longer prefixes leave over for this one
            excess = np.maximum(kept[i] * p[i] - q[i], 0).sum()
            h = excess / (excess + 1 - kept[i]) if excess > 0 else 0.0
        if rng.random() < h:
            accepted = i

    # 4. The next token comes from max(kept p - q, 0), or from the target where all are accepted.
    behind = p[accepted]
    if accepted < gamma:
        behind = np.maximum(kept[accepted] * behind - q[accepted], 0)
        behind = behind / behind.sum()
    return drafted, accepted, int(rng.choice(len(behind), p=behind))


def expected_accepted(
    p: Sequence[Real], q: Sequence[Real], gamma: int, verification: str = "token"
) -> Real:
    """Expected number of accepted tokens of a round, where p and q are the same at each place.

    Parameters
    ----------
    p, q : (V,) sequence of float or Fraction
        Distributions of the target and the draft.
    gamma : int
        Draft length, from 0 up.
    verification : {"token", "block"}

    Returns
    -------
    float or Fraction
        Exact for fractions. A block expects at least as many as tokens one by one.

    Raises
    ------
    ValueError
        No distributions, different lengths, V^gamma above a million, or an unknown verification.

    References
    ----------
    Sun et al., Block verification accelerates speculative decoding, ICLR 2025.

    Examples
    --------
    >>> from fractions import Fraction
    >>> p, q = [Fraction(1, 3), Fraction(2, 3)], [Fraction(2, 3), Fraction(1, 3)]
    >>> for gamma in (1, 2, 4):
    ...     print(expected_accepted(p, q, gamma), expected_accepted(p, q, gamma, "block"))
    2/3 2/3
    10/9 11/9
    130/81 166/81
    """
    check_known(verification, ("token", "block"), "verification", "package")
    p, q = checked_distribution("p", p), checked_distribution("q", q)
    if len(p) != len(q):
        raise ValueError(f"p has {len(p)} tokens and q has {len(q)}: give both the same vocabulary")
    if whole(gamma, "gamma") < 0:
        raise ValueError(f"gamma={gamma}; it takes whole numbers from 0 up")
    if gamma * np.log(max(len(p), 2)) > np.log(MOST_PATHS):
        raise ValueError(
            f"gamma={shown(gamma)} with {len(p):,} tokens makes more than {MOST_PATHS:,} drafted"
            " texts; use a smaller gamma or fewer tokens"
        )
    expected, kept = 0, {1: 1}  # the chance that a prefix is accepted: how likely such prefixes are
    for _ in range(gamma):
        grown = defaultdict(int)
        for chance, share in kept.items():
            for target, draft in zip(p, q, strict=True):
                if draft:
                    ratio = target / draft
                    longer = chance * ratio if verification == "block" else chance * min(ratio, 1)
                    grown[min(longer, 1)] += share * draft
        kept = grown
        expected += sum(chance * share for chance, share in kept.items())
    return expected


def checked_distribution(name: str, values: Sequence[Real]) -> list[Real]:
    """A distribution in plain Python.

    Raises
    ------
    ValueError
        It is not one.
    """
    try:
        found = values.tolist() if hasattr(values, "tolist") else list(values)
        good = all(isinstance(x, Real) and not isinstance(x, bool) and x >= 0 for x in found)
        good = good and abs(sum(found) - 1) < 1e-6
    except (TypeError, ValueError):  # a number, a nested list
        good = False
    if not good:
        raise ValueError(
            f"{name}={shown(values)} is not a distribution; give numbers from 0 up that sum to 1"
        )
    return found
