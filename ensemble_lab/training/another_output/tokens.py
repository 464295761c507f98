"""Collapse of a vocabulary: token shares that are counted again and again from a finite text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import fftconvolve
from scipy.special import gammaln, xlog1py, xlogy

from ensemble_lab.core.errors import shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.shares import real
from ensemble_lab.training.another_output.rules import ACCUMULATE, check_room, count, parts_of


class ExpectedTokens(NamedTuple):
    """What is expected of each generation, of k tokens.

    Parameters
    ----------
    diversity : (g + 1,) array
        E[1 - sum p^2]: the chance that two tokens of a text differ.
    alive : (g + 1, k) array
        The chance that a token is in what the generation learned from.
    """

    diversity: np.ndarray
    alive: np.ndarray


class TokenChains(NamedTuple):
    """What became of r chains.

    Parameters
    ----------
    diversity : (r, g + 1) array
        1 - sum p^2 of every chain.
    alive : (g + 1, k) array
        The share of chains in which a token is in what the generation learned from.
    """

    diversity: np.ndarray
    alive: np.ndarray


def expected_tokens(
    probabilities, samples: int, generations: int, keep="replace"
) -> ExpectedTokens:
    """Expected diversity, and every token's chance to be alive, exactly.

    Replaced, diversity shrinks to H_0 (1 - 1/M)^n: this is genetic drift as Wright and Fisher wrote
    it, with tokens for genes. A token of probability p is missed at once with (1 - p)^M, and a lost
    token never returns. Accumulated, H_n = H_0 (1 - 1/M) (1 - 1/4M) … (1 - 1/n^2 M), which stays
    above H_0 sin(x) / x with x = pi / sqrt(M), and no token is lost after the first generation.

    Parameters
    ----------
    probabilities : (k,) array
        Of the real tokens; they sum to 1.
    samples : int
        M: the tokens that each generation writes.
    generations : int
        g. Generation 0 is the real text.
    keep : {"replace", "accumulate"} or float
        What a generation learns from: the last one's tokens, all tokens so far, or a share of real
        ones in each generation.

    Raises
    ------
    ValueError
        Probabilities that are negative, NaN or do not sum to 1; no sample, no generation, another
        rule, or more samples than the memory has room for.

    References
    ----------
    Wright, Evolution in Mendelian populations, Genetics 1931. Shumailov et al., Nature 2024.
    Gerstgrasser et al., Is model collapse inevitable?, COLM 2024.

    Examples
    --------
    >>> found = expected_tokens([0.9, 0.1], samples=20, generations=10)
    >>> (found.diversity[10] / found.diversity[0]).round(5), (1 - found.alive[1, 1]).round(5)
    (np.float64(0.59874), np.float64(0.12158))
    """
    p, m = _distribution(probabilities), count(samples, "samples")
    last, (a, b) = count(generations, "generations"), parts_of(keep, m)
    if keep == ACCUMULATE:
        shrinks = 1 - 1 / (m * np.arange(1.0, last + 1) ** 2)
        diversity = (1 - (p**2).sum()) * np.append(1.0, shrinks.cumprod())
        alive = np.append(p > 0, np.tile(1 - (1 - p) ** m, last)).reshape(last + 1, -1)
        return ExpectedTokens(diversity, alive)
    check_room((m + 1) * (a + 1), "give fewer samples, or draw `token_chains`")
    squares, alive = [(p**2).sum()], [(p > 0).astype(float)]
    kinds, which = np.unique(p, return_inverse=True)  # equal tokens have equal chances
    step, real_part = binomial(a, np.arange(m + 1) / m), binomial(b, kinds)
    chances = binomial(m, kinds)  # (kinds, M + 1): of each count in the first generation
    for n in range(1, last + 1):
        if n > 1:
            chances = fftconvolve(chances @ step, real_part, axes=1) if b else chances @ step
        alive.append(1 - np.clip(chances[:, 0], 0, 1)[which])
        same = (a * squares[-1] * (a - 1) + a + b * squares[0] * (b - 1) + b) / m**2
        squares.append(same + 2 * a * b * squares[0] / m**2)
    return ExpectedTokens(1 - np.array(squares), np.array(alive))


def token_chains(
    probabilities, samples: int, generations: int, keep="replace", runs: int = 1000, seed: int = 0
) -> TokenChains:
    """Chains of texts, each drawn by the shares that tokens have in the text before.

    Parameters
    ----------
    probabilities, samples, generations, keep
        As for `expected_tokens`.
    runs : int
    seed : int

    Raises
    ------
    ValueError
        As for `expected_tokens`; no run, or a seed that is not a whole number from 0 up.
    """
    p, m = _distribution(probabilities), count(samples, "samples")
    last, (a, b) = count(generations, "generations"), parts_of(keep, m)
    rng, runs = np.random.default_rng(checked_seed(seed)), count(runs, "runs")
    check_room(runs * m * (last if keep == ACCUMULATE else 1), "give fewer runs or samples")
    check_room(runs * len(p) * (last + 1), "give fewer runs or generations")
    below, k = p.cumsum() / p.cumsum()[-1], len(p)

    def real_text(size: int) -> np.ndarray:
        return np.searchsorted(below, rng.random((runs, size)), side="right")

    read = real_text(m)  # (r, M): the first generation learns from real tokens
    counts = _counts(read, k)
    shares = [np.tile(p, (runs, 1)), counts / m]
    for _ in range(last - 1):
        # To draw by the shares of a text is to copy tokens of it.
        copied = np.take_along_axis(read, rng.integers(read.shape[1], size=(runs, a)), axis=1)
        new = copied if not b else np.hstack([copied, real_text(b)])
        counts = _counts(new, k) + (counts if keep == ACCUMULATE else 0)
        read = np.hstack([read, new]) if keep == ACCUMULATE else new
        shares.append(counts / read.shape[1])
    diversity = np.stack([1 - (one**2).sum(1) for one in shares], axis=1)
    return TokenChains(diversity, np.array([(one > 0).mean(0) for one in shares]))


def _counts(texts: np.ndarray, k: int) -> np.ndarray:
    """How often each of k tokens is in texts (r, M): (r, k)."""
    places = texts + k * np.arange(len(texts))[:, None]
    return np.bincount(places.ravel(), minlength=len(texts) * k).reshape(-1, k)


def binomial(n: int, p: np.ndarray) -> np.ndarray:
    """Probabilities (len(p), n + 1) of every count of n draws with chance p (…,)."""
    k, p = np.arange(n + 1), np.asarray(p)[:, None]
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.exp(ways + xlogy(k, p) + xlog1py(n - k, -p))


def _distribution(probabilities) -> np.ndarray:
    p = real(probabilities, "probabilities")
    if p.ndim != 1 or not p.size or not (p >= 0).all():
        raise ValueError(
            f"probabilities={shown(probabilities)}: use a list of numbers from 0 up, one a token"
        )
    total = p.sum()
    if not abs(total - 1) < 1e-6:
        raise ValueError(f"probabilities sum to {total:g}, not to 1: divide them by their sum")
    return p / total
