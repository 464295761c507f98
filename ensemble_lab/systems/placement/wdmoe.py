"""Experts behind links of their own: a gate that weighs relevance and channel (WDMoE)."""

from __future__ import annotations

import numpy as np

from ensemble_lab.systems.placement.given import row, table
from ensemble_lab.systems.simulator.inputs import positive, whole


def channel_gate(relevance, seconds, k: int, price: float = 0.0) -> np.ndarray:
    """The k experts of each token that are relevant and can be reached soon.

    Experts work at the same time, so a token waits for the slowest of its experts. Chosen is the
    set with the most ``sum of relevance - price * slowest seconds``: for each expert as the
    slowest one, the k - 1 most relevant of those that are not slower. A price of 0 is the usual
    gate; for a large price the k fastest are taken.

    Parameters
    ----------
    relevance : array, (n, e)
        The gate's probabilities of each token.
    seconds : sequence of float, (e,)
        From sending a token to each expert to its answer.
    k : int
        Experts a token.
    price : float
        How much relevance a second of waiting is worth.

    Returns
    -------
    numpy.ndarray of bool, (n, e)
        k True in each row.

    Raises
    ------
    ValueError
        Shapes that do not fit, more experts asked for than there are, a negative number.

    References
    ----------
    Xue et al., WDMoE: wireless distributed mixture of experts for large language models, IEEE
    Transactions on Wireless Communications 2025. They rank by the ratio of weight and latency;
    this is the optimum of one token.

    Examples
    --------
    >>> channel_gate([[0.5, 0.4, 0.1]], seconds=[0.9, 0.1, 0.1], k=1, price=1.0)
    array([[False,  True, False]])
    """
    relevance = table(relevance, "relevance")
    if (relevance < 0).any():
        raise ValueError(f"relevance holds {relevance.min():g}; give numbers from 0 up")
    n, experts = relevance.shape
    seconds, k = row(seconds, "seconds", experts), whole(k, "k")
    price = positive(price, "price", zero=True)
    if k > experts:
        raise ValueError(f"k={k}; there are {experts} experts, so give at most {experts}")
    order = np.argsort(seconds, kind="stable")  # the fastest first
    best, chosen = np.full(n, -np.inf), np.zeros((n, experts), bool)
    for reach in range(k, experts + 1):  # only the `reach` fastest may be asked
        able = order[:reach]
        found = np.argsort(-relevance[:, able], axis=1, kind="stable")[:, :k]  # (n, k)
        asked = able[found]
        worth = np.take_along_axis(relevance, asked, 1).sum(1)
        worth = worth - price * seconds[asked].max(1)
        better = np.flatnonzero(worth > best)  # tokens
        best[better], chosen[better] = worth[better], False
        chosen[better[:, None], asked[better]] = True
    return chosen
