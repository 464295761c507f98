"""Speculative decoding as plainly as it can be written: one prompt, no cache.

The notation is that of the papers: p is the target's distribution of the next token, q is the
draft's, and gamma is the number of drafted tokens. `Session` in `session.py` does the same for
many rows, with a cache, and is tested against this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Model = Callable[[list[int]], np.ndarray]  # tokens (n,) to distributions (n, V) of the next token


def one_round(
    target: Model, draft: Model, tokens: list[int], gamma: int, rng: np.random.Generator
) -> tuple[list[int], int, int]:
    """Draft `gamma` tokens after `tokens`, and let the target check them.

    Returns the drafted tokens, how many of them are accepted, and the token that follows these.
    """
    # 1. The draft writes gamma tokens, one after the other.
    drafted, q = [], []
    for _ in range(gamma):
        q.append(draft(tokens + drafted)[-1])  # (V,)
        drafted.append(int(rng.choice(len(q[-1]), p=q[-1])))

    # 2. The target reads all of them in one pass. Row i is its distribution at drafted token i,
    #    and the last row its distribution after all of them.
    p = target(tokens + drafted)[len(tokens) - 1 :]  # (gamma + 1, V)

    # 3. Token x is accepted with probability min(1, p(x) / q(x)). The first rejection ends the
    #    check: the tokens after it continue a text that was discarded.
    accepted = 0
    for i, x in enumerate(drafted):
        if not rng.random() < p[i][x] / q[i][x]:
            break
        accepted += 1

    # 4. A rejected token is replaced by a sample of max(p - q, 0): these are the tokens that the
    #    draft proposes too rarely. If all are accepted, the target's next token is free.
    behind = p[accepted]
    if accepted < gamma:
        behind = np.maximum(behind - q[accepted], 0)
        behind = behind / behind.sum()
    return drafted, accepted, int(rng.choice(len(behind), p=behind))


def speculative(
    target: Model,
    draft: Model,
    tokens: Sequence[int],
    gamma: int,
    until: int,
    rng: np.random.Generator,
) -> tuple[list[int], list[tuple[list[int], int, int]]]:
    """Generate until there are `until` tokens; they follow the target's distribution exactly.

    Parameters
    ----------
    target, draft : callable
        Tokens (n,) to an array (n, V) in float64: the distribution of the token after each. V is
        the same for both.
    tokens : sequence of int
        The prompt, at least one token.
    gamma : int
        Drafted tokens a round; fewer near the end of the text.
    until : int
        Tokens of the text, the prompt included.
    rng : numpy.random.Generator

    Returns
    -------
    tokens : list of int
        The text, the prompt included.
    rounds : list of tuple
        What `one_round` returned each time.

    References
    ----------
    Leviathan, Kalman and Matias, Fast inference from transformers via speculative decoding, ICML
    2023. Chen et al., Accelerating large language model decoding with speculative sampling, 2023.
    """
    tokens, rounds = list(tokens), []
    while len(tokens) < until:
        room = until - len(tokens) - 1  # the target's own token needs a place too
        drafted, accepted, follow = one_round(target, draft, tokens, min(gamma, room), rng)
        tokens += [*drafted[:accepted], follow]
        rounds.append((drafted, accepted, follow))
    return tokens, rounds
