"""ROUGE-L: how much of two texts is the same words in the same order."""

from __future__ import annotations

import re

from ensemble_lab.core.errors import several, shown
from ensemble_lab.instruments.metrics.checked import one_share

# Letters and digits of any script. Chinese and Japanese have no spaces: each sign is a word.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    For English text they are those of the package rouge_score without its stemmer. That package
    drops letters outside a to z, so that two equal texts in Thai score 0 there.
    """
    return WORD.findall(text.lower())


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L: the F-measure of the longest common subsequence of words, in [0, 1].

    With l words in common, in the same order but not side by side, of m and n words: 2 l / (m + n).

    Raises
    ------
    ValueError
        Something that is not a text, or a text without any word.

    References
    ----------
    Lin, ROUGE: A package for automatic evaluation of summaries, ACL workshop 2004.

    Examples
    --------
    >>> rouge_l("The cat sat on the mat.", "The cat lay on a mat")  # the, cat, on, mat
    0.6666666666666666
    """
    first, second = (_worded(text, what) for text, what in ((first, "first"), (second, "second")))
    return 2 * common(first, second) / (len(first) + len(second))


def common(first: list[str], second: list[str]) -> int:
    """The length of the longest common subsequence, with one bit a word of `first`.

    Bit i is 0 where the common subsequence grows by one at word i; adding two numbers updates all
    bits at once.

    References
    ----------
    Hyyrö, Bit-parallel LCS-length computation revisited, AWOCA 2004.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    whole = (1 << len(first)) - 1
    open_ = whole
    for word in second:
        hit = open_ & places.get(word, 0)
        open_ = (open_ + hit | open_ - hit) & whole
    return len(first) - open_.bit_count()


def near_duplicates(texts, limit: float = 0.7) -> list[int | None]:
    """For each text the first kept text that it resembles too much; None where it is kept.

    A text is dropped where its ROUGE-L with any text *kept* before it is above `limit`. So the
    order matters, and the first text is always kept.

    Parameters
    ----------
    texts : sequence of str
        n of them.
    limit : float
        In [0, 1]: 0.7 in Self-Instruct; at 1 nothing is dropped.

    Raises
    ------
    ValueError
        No texts, one that is None, not a text or without any word, or a limit outside [0, 1].

    References
    ----------
    Wang et al., Self-Instruct: Aligning language models with self-generated instructions, ACL 2023.

    Examples
    --------
    >>> near_duplicates(["Name a sea animal.", "Name a big sea animal!", "Boil an egg."])
    [None, 0, None]
    """
    texts, limit = several(texts, "texts"), one_share(limit, "limit")
    if not texts:
        raise ValueError("texts is empty; give one text or more")
    kept, found = [], []
    for i, text in enumerate(texts):
        new = _worded(text, f"text {i}")
        like = (j for j, old in kept if _resemble(new, old, limit))
        found.append(next(like, None))
        if found[-1] is None:
            kept.append((i, new))
    return found


def _resemble(new: list[str], old: list[str], limit: float) -> bool:
    total = len(new) + len(old)
    if 2 * min(len(new), len(old)) <= limit * total:  # whatever the words are
        return False
    return 2 * common(new, old) > limit * total


def _worded(text, what: str) -> list[str]:
    """The words of what must be a text."""
    if not isinstance(text, str):
        raise ValueError(f"{what} is {shown(text)}, not a text: leave it out, or give its words")
    found = words(text)
    if not found:
        raise ValueError(f"{what} is {shown(text)}, without any word: leave such texts out")
    return found
