"""A small language model that is learned in a moment: which token follows which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.training.another_output.rules import ACCUMULATE, count, parts_of

PRIOR = 4.0  # as many occurrences of the single-token shares are added to those of every pair
UNREAD = 0.01  # the share of the probability that all tokens have, read or not


class BigramModel:
    """A bigram table, smoothed by the shares of single tokens.

    The probability of w after v is (c(v, w) + 4 p(w)) / (c(v) + 4), where p(w) is the share of w
    among all tokens that were read (a Dirichlet prior). `perplexity` gives 1 % of p to all tokens
    alike, so that no text is impossible; `write` does not, so the model writes only tokens that it
    has read.

    Parameters
    ----------
    texts : sequence of sequences of int
        The tokens of each text; where a text ends is learned too.
    size : int
        V: tokens are 0 to V - 1.

    Raises
    ------
    ValueError
        No texts, an empty one, or a token that is not in 0 to V - 1.

    References
    ----------
    MacKay and Peto, A hierarchical Dirichlet language model, Natural Language Engineering 1995.

    Examples
    --------
    >>> model = BigramModel([[0, 1, 0, 1], [0, 1]], size=2)
    >>> model.distinct, round(model.perplexity([[0, 1, 0, 1]]), 2)
    (2, 1.93)
    """

    def __init__(self, texts: Sequence[Sequence[int]], size: int):
        self.size = count(size, "size")
        before, after = self._pairs(texts)
        order = np.argsort(before, kind="stable")
        self._after = after[order]  # (tokens,), those that follow token 0 first
        self._begin = np.searchsorted(before[order], np.arange(self.size + 2))
        pairs, times = np.unique(before * (self.size + 1) + after, return_counts=True)
        self._counts = pairs, times
        self._shares = np.bincount(after, minlength=self.size + 1) / len(after)

    @property
    def distinct(self) -> int:
        """How many different tokens the model has read."""
        return int((self._shares[: self.size] > 0).sum())

    def perplexity(self, texts: Sequence[Sequence[int]]) -> float:
        """By how many tokens these texts surprise: exp of the mean surprise, ends included."""
        before, after = self._pairs(texts)
        pairs, times = self._counts
        wanted = before * (self.size + 1) + after
        place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        seen = np.where(pairs[place] == wanted, times[place], 0)
        share = (1 - UNREAD) * self._shares[after] + UNREAD / (self.size + 1)
        follows = np.diff(self._begin)[before]  # how often a token follows
        return float(np.exp(-np.log((seen + PRIOR * share) / (follows + PRIOR)).mean()))

    def write(self, texts: int, most: int = 100, seed: int = 0) -> list[np.ndarray]:
        """So many texts, drawn from the model, of at most `most` tokens each.

        Raises
        ------
        ValueError
            No text, no token, or a seed that is not a whole number from 0 up.
        """
        rng = np.random.default_rng(checked_seed(seed))
        texts, most = count(texts, "texts"), count(most, "most")
        end = self.size
        last, made = np.full(texts, end), np.full((texts, most), end)
        going = np.arange(texts)
        for t in range(most):
            follows = np.diff(self._begin)[last]
            # A pair of what was read, or a single token: one of all occurrences, drawn evenly.
            paired = rng.random(len(last)) * (follows + PRIOR) < follows
            place = self._begin[last] + (rng.random(len(last)) * follows).astype(int)
            alone = rng.integers(len(self._after), size=len(last))
            last = self._after[np.where(paired, place, alone)]
            if t == 0:  # a text has at least one token
                last = np.where(last == end, self._first(rng, len(last)), last)
            made[going, t] = last
            going, last = going[last != end], last[last != end]
        ends = (made == end).argmax(1)  # 0 where there is none
        return [text[: n or most] for text, n in zip(made, ends, strict=True)]

    def _first(self, rng, texts: int) -> np.ndarray:
        """Tokens (texts,) that begin a text that was read."""
        begins = self._after[self._begin[self.size] : self._begin[self.size + 1]]
        return rng.choice(begins, texts)

    def _pairs(self, texts) -> tuple[np.ndarray, np.ndarray]:
        """The token before and after each place; V stands for the beginning and the end."""
        texts = [np.asarray(text) for text in several(texts, "texts")]
        if not texts:
            raise ValueError("texts is empty; give one text or more")
        for i, text in enumerate(texts):
            if text.ndim != 1 or not text.size or text.dtype.kind not in "iu":
                raise ValueError(f"text {i} is {shown(text)}: give a list of tokens, 0 to V - 1")
            if text.min() < 0 or text.max() >= self.size:
                wrong = text[(text < 0) | (text >= self.size)][0]
                raise ValueError(f"text {i} has token {wrong}; with size={self.size} use 0 to"
                                 f" {self.size - 1}")  # fmt: skip
        edge = np.array([self.size])
        before = np.concatenate([part for text in texts for part in (edge, text)])
        after = np.concatenate([part for text in texts for part in (text, edge)])
        return before.astype(np.int64), after.astype(np.int64)


class BigramChain(NamedTuple):
    """One chain of models that learn from each other's texts.

    Parameters
    ----------
    distinct : (g + 1,) array of int
        Different tokens that each model has read.
    perplexity : (g + 1,) array
        On real held-out texts.
    """

    distinct: np.ndarray
    perplexity: np.ndarray


def bigram_chain(
    texts, held_out, size: int, generations: int = 5, keep="replace", seed: int = 0
) -> BigramChain:
    """A chain of bigram models: each learns from as many texts as the first, written by the last.

    Parameters
    ----------
    texts, held_out : sequence of sequences of int
        Real texts to begin with, and others to be judged on.
    size : int
        V.
    generations : int
        g. Generation 0 learns from the real texts.
    keep : {"replace", "accumulate"} or float
        What the next model learns from: the texts of the last one, all texts so far, the real ones
        among them, or a share of real texts in each generation, drawn anew.
    seed : int

    Raises
    ------
    ValueError
        As for `BigramModel` and `expected_tokens`.
    """
    texts = several(texts, "texts")
    a, b = parts_of(keep, len(texts))
    rng, model = np.random.default_rng(checked_seed(seed)), BigramModel(texts, size)
    found, read = [(model.distinct, model.perplexity(held_out))], list(texts)
    longest = max(map(len, texts))
    for _ in range(count(generations, "generations")):
        written = model.write(a, longest, int(rng.integers(2**31))) if a else []
        real = [texts[i] for i in rng.choice(len(texts), b, replace=False)]
        read = [*read, *written] if keep == ACCUMULATE else [*written, *real]
        model = BigramModel(read, size)
        found.append((model.distinct, model.perplexity(held_out)))
    return BigramChain(*map(np.array, zip(*found, strict=True)))
