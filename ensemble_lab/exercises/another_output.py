"""Checks of notebook 12: a filter for near duplicates, and what a chain of texts loses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: near duplicates -------------------------------------------------------------------------


def _filtered(
    against: Callable = lambda kept, i: np.flatnonzero(kept[:i]),
    too_near: Callable = lambda near, limit: (near > limit).any(),
    order: Callable = range,
):
    """A filter that walks through the texts, with its parts exchanged."""

    def keeps(overlap, limit) -> np.ndarray:
        kept = np.zeros(len(overlap), bool)
        for i in order(len(overlap)):
            kept[i] = not too_near(overlap[i, against(kept, i)], limit)
        return kept

    return keeps


_keeps = _filtered()


def _twins(overlap, limit) -> np.ndarray:
    """Drops every text that has a near duplicate anywhere."""
    near = (overlap > limit) & ~np.eye(len(overlap), dtype=bool)
    return ~near.any(1)


FILTER_MISTAKES = (
    (_filtered(lambda kept, i: np.arange(i)),
     "A text that was dropped is not in your data. May it still displace others?"),
    (_twins, "Of two near duplicates, how many are left in your data, and how many should be?"),
    (lambda overlap, limit: ~(overlap > limit).any(1),
     "What is the overlap of a text with itself?"),
    (_filtered(lambda kept, i: np.arange(max(i - 1, 0), i)),
     "Do you compare with all kept texts, or with the text before?"),
    (_filtered(lambda kept, i: np.flatnonzero(kept[:i])[-1:]),
     "Do you compare with all kept texts, or with the last of them?"),
    (_filtered(lambda kept, i: np.flatnonzero(kept[:i])[:1]),
     "Do you compare with all kept texts, or with the first of them?"),
    (_filtered(too_near=lambda near, limit: (near >= limit).any()),
     "Is a text dropped at the limit, or above it?"),
    (_filtered(too_near=lambda near, limit: len(near) and near.mean() > limit),
     "Is one near duplicate enough, or must all kept texts be near on average?"),
    (_filtered(too_near=lambda near, limit: len(near) and (near > limit).all()),
     "Is one near duplicate enough, or must all kept texts be near?"),
    (_filtered(lambda kept, i: i + 1 + np.flatnonzero(kept[i + 1 :]),
               order=lambda n: reversed(range(n))),
     "Of two near duplicates, which one is kept: the first, or the last?"),
    (lambda *case: ~_keeps(*case), "What does True mean in your answer: kept, or dropped?"),
    (lambda overlap, limit: _filtered(too_near=lambda near, _: (near > 1 - limit).any())(
        overlap, limit), "Is the limit one of overlap, or of difference?"),
    (lambda overlap, limit: np.ones(len(overlap), bool), "Does your filter drop anything?"),
)  # fmt: skip


def _overlaps():
    """Texts on a line that are alike where they are near, with overlaps at the limit among them."""
    for seed, n, limit in ((0, 8, 0.7), (1, 10, 0.5), (2, 12, 0.75)):
        rng = draws(seed)
        place = np.arange(n) + rng.permutation(np.r_[np.zeros(n - n // 3), np.full(n // 3, 0.5)])
        overlap = np.round(np.clip(1 - 0.2 * np.abs(place[:, None] - place), 0, 1), 2)
        order = rng.permutation(n) if seed else np.arange(n)
        yield overlap[np.ix_(order, order)], limit


check_near_duplicates = Check(
    """Check a function that drops near duplicates.

    It takes ``(overlap, limit)`` and returns (n,) True where a text is kept. ``overlap[i, j]`` is
    how much texts i and j have in common, in [0, 1]. A text is dropped if its overlap with a text
    that was kept before it is above the limit.
    """,
    cases=_overlaps,
    parts=[
        Part("an entry", _keeps, FILTER_MISTAKES,
             lambda at, overlap, limit: f"of {len(overlap)} texts, at a limit of {limit:g}, the"
             f" entry of text {at[0]}",
             asked="{} times True or False"),
    ],
    success="each kept text differs from all kept before it, and each dropped one is near a kept"
    " one",
)  # fmt: skip

# -- 2: what a chain loses -----------------------------------------------------------------------


def _two_differ(p) -> float:
    return float(1 - (p**2).sum())


def _diversity(p, size, generations) -> float:
    return _two_differ(p) * (1 - 1 / size) ** generations


def _lost(p, size, generations, *known) -> np.ndarray:
    return (1 - p) ** size


def _entropy(p) -> float:
    return float(-(p * np.log(p)).sum())


DIVERSITY_MISTAKES = (
    (lambda p, size, n: (1 - 1 / size) ** n,
     "What is the diversity of the real text, before anybody wrote anything?"),
    (lambda p, size, n: 1 - (p**2).sum() * (1 - 1 / size) ** n,
     "What shrinks: the chance that two words differ, or the chance that they are the same?"),
    (lambda p, size, n: (p**2).sum() * (1 - 1 / size) ** n,
     "Is the sum of squares the chance that two words differ, or that they are the same?"),
    (lambda p, size, n: _diversity(p, size, 1),
     "How many generations have written?"),
    (lambda p, size, n: _diversity(p, size, n - 1),
     "After one generation, has anything been lost yet?"),
    (lambda p, size, n: _diversity(p, size, n + 1),
     "What is your diversity after no generation at all?"),
    (lambda p, size, n: _two_differ(p) * (1 - n / size),
     "Is each loss a share of the real diversity, or of what is left?"),
    (lambda p, size, n: _two_differ(p) * np.exp(-n / size),
     "This is nearly right. Which power does exp(-n / M) stand for when M is small?"),
    (lambda p, size, n: _two_differ(p) * (1 - 1 / (size - 1)) ** n,
     "With which chance are two words of a new text copies of the same word: 1 / M, or"
     " 1 / (M - 1)?"),
    (lambda p, size, n: _diversity(p, size * n, 1),
     "Does a later text see all texts so far, or only the last one?"),
    (lambda p, size, n: _diversity(p, len(p), n),
     "Which number counts: that of the words in a text, or that of the different words?"),
    (lambda p, size, n: _entropy(p) * (1 - 1 / size) ** n,
     "Is this diversity an entropy, or the chance that two words differ?"),
)  # fmt: skip
LOST_MISTAKES = (
    (lambda p, size, n, *known: 1 - _lost(p, size, n),
     "Is this the chance that the word is missing, or that it is there?"),
    (lambda p, size, n, *known: (1 - p) ** (size * n),
     "Does one text have to miss the word, or all texts of the chain?"),
    (lambda p, size, n, *known: 1 - p, "How many words does the first text have?"),
    (lambda p, size, n, *known: p**size,
     "With which chance is one word of the text some other word?"),
    (lambda p, size, n, *known: np.exp(-size * p),
     "This is nearly right. What is the exact chance that none of M draws is the word?"),
    (lambda p, size, n, *known: (1 - p) ** n, "What is drawn M times, and what n times?"),
    (lambda p, size, n, *known: np.maximum(0, 1 - size * p),
     "Can M draws be added up, when two of them may be the same word?"),
    (lambda p, size, n, *known: 1 - _lost(p, size, n) ** n,
     "What is asked: that the first text misses the word, or that some text does?"),
)  # fmt: skip


def _texts():
    for seed, (k, size, n) in enumerate(((3, 5, 2), (4, 3, 4), (6, 12, 7))):
        yield draws(seed).dirichlet(np.full(k, 2.0)), size, n


def _of_case(what: str) -> Callable[..., str]:
    return lambda at, p, size, n, *known: (
        f"for texts of {size} words after {n} generations, with the shares"
        f" {', '.join(f'{share:.3f}' for share in p)}, {what}" + (f" {at[0]}" if at else "")
    )


check_decay = Check(
    """Check a function that predicts what a chain of texts loses.

    It takes ``(shares, size, generations)`` and returns (diversity, lost): the expected chance that
    two words of the last text's shares differ, and for each word (k,) the chance that it is lost in
    the first generation. `shares` (k,) are those of the real text and sum to 1; each generation
    writes `size` words by the shares of the text before.
    """,
    cases=_texts,
    parts=[
        Part("the diversity", _diversity, DIVERSITY_MISTAKES, _of_case("the diversity"),
             key="diversity"),
        Part("a chance", _lost, LOST_MISTAKES, _of_case("the chance to lose word"), key="lost"),
    ],
    success="diversity loses a share of 1 / M of what is left in every generation, and a word of"
    " share p is missed at once with (1 - p) to the M",
)  # fmt: skip
