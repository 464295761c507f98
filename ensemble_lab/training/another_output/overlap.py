"""ROUGE-L: how much of two texts is the same words in the same order."""

from __future__ import annotations

import math
import re
from collections import Counter
from unicodedata import category, normalize

from ensemble_lab.core.errors import several, shown
from ensemble_lab.instruments.metrics.checked import one_share

# Letters and digits of any script, with their marks: in Hindi, vowels are marks, which \w is not.
# Chinese and Japanese have no spaces: each sign is a word.
SIGNS = r"\u3040-\u30ff\u3400-\u9fff"
MARKS = "".join(c for c in map(chr, range(0x300, 0x1F000)) if category(c)[0] == "M")
WORD = re.compile(rf"[{SIGNS}]|[^\W_{SIGNS}]+(?:[{MARKS}]+[^\W_{SIGNS}]*)*")
SIGN = re.compile(rf"[{SIGNS}]")
LONGEST = 10**10  # words of one text times words of the other: three seconds


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    For English text they are those of the package rouge_score without its stemmer. That package
    drops letters outside a to z, so that two equal texts in Thai score 0 there. An accent counts
    the same whether it is a part of its letter or a mark after it.
    """
    return WORD.findall(normalize("NFC", text.lower()))


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L: the F-measure of the longest common subsequence of words, in [0, 1].

    With l words in common, in the same order but not side by side, of m and n words: 2 l / (m + n).

    Raises
    ------
    ValueError
        Something that is not a text, a text without any word, or two of more than about 100,000
        words each.

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
    """The length of the longest common subsequence, with one bit a word of the shorter one.

    Bit i is 0 where the common subsequence grows by one at word i; adding two numbers updates all
    bits at once. Words that the other text lacks are left out.

    References
    ----------
    Hyyrö, Bit-parallel LCS-length computation revisited, AWOCA 2004.
    """
    shared = set(first) & set(second)
    first, second = ([word for word in text if word in shared] for text in (first, second))
    first, second = sorted((first, second), key=len)
    if len(first) * len(second) > LONGEST:
        raise ValueError(
            f"texts with {len(first):,} and {len(second):,} words of the other are too long to"
            " compare: cut them into parts"
        )
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
        No texts, one that is None, not a text or without any word, or a limit outside [0, 1]; two
        that are too long, as for `rouge_l`.

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
    read = [_worded(text, f"text {i}") for i, text in enumerate(texts)]
    often = Counter(word for text in read for word in text)
    kept: dict[tuple[str, int], list[int]] = {}  # the kept texts that have a rare word
    found: list[int | None] = []
    for i, new in enumerate(read):
        rare = _rarest(new, often, limit)
        near = sorted({j for word in rare for j in kept.get(word, ())})
        like = next((j for j in near if _resemble(new, read[j], limit)), None)
        found.append(like)
        if like is None:
            for word in rare:
                kept.setdefault(word, []).append(i)
    return found


def _rarest(text: list[str], often: Counter, limit: float) -> list[tuple[str, int]]:
    """So many of the rarest words that a text above the limit shares one of its own so many.

    Of n words such a text has more than limit n / (2 - limit) in common. A word that comes twice
    counts as two.

    References
    ----------
    Chaudhuri, Ganti and Kaushik, A primitive operator for similarity joins, ICDE 2006.
    """
    met: Counter = Counter()
    numbered = []
    for word in text:
        met[word] += 1
        numbered.append((word, met[word]))
    numbered.sort(key=lambda one: (often[one[0]], one))
    in_common = math.floor(limit * len(text) / (2 - limit) - 1e-9) + 1
    return numbered[: len(text) - in_common + 1]


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
