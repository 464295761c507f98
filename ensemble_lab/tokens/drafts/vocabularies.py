"""Two tokenizers: the tokens that both have, and a growing text's tokens in one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.vocabulary import is_known

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ensemble_lab.models.language import LanguageModel

LEAST = (
    0.1  # of the smaller vocabulary: below it nearly nothing that a draft writes can be proposed
)
NO_CHARACTER = "\ufffd"  # what a decoder writes for bytes that are only a part of a character
# Where a word ends and the next begins: no token of a BPE with the usual splitting spans it.
BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_]) (?=[^\W\d_])")
PROBE = "and of the same"
_texts: WeakKeyDictionary = WeakKeyDictionary()  # tokenizer to its length and its tokens' texts


@dataclass(frozen=True)
class CommonTokens:
    """The tokens that two tokenizers have in common.

    Parameters
    ----------
    target, draft : tuple of int
        Their ids (n,) in the one and in the other, in the order of the target's.
    target_size, draft_size : int
        Tokens of the two vocabularies.
    """

    target: tuple[int, ...]
    draft: tuple[int, ...]
    target_size: int
    draft_size: int

    def __len__(self) -> int:
        return len(self.target)

    def __str__(self) -> str:
        return (
            f"{len(self):,} tokens are in both ({self.target_size:,} of the target,"
            f" {self.draft_size:,} of the draft)"
        )


def common_tokens(target: LanguageModel, draft: LanguageModel) -> CommonTokens:
    """The tokens that add the same characters to a text in both models.

    They are compared by the text that they add inside a text, not by their names: a leading space
    is 'Ġ' in one vocabulary and '▁' in another, and 'Ġ' may also be a letter. Added tokens are left
    out, special ones among them: the same name may mark different things. So are tokens that hold
    only a part of a character.

    Parameters
    ----------
    target, draft : LanguageModel

    Returns
    -------
    CommonTokens

    Raises
    ------
    ModelError
        A model without a tokenizer that lists its tokens, or less than a tenth of the smaller
        vocabulary is in both.

    Examples
    --------
    >>> tiny = load("tiny")  # doctest: +SKIP
    >>> len(common_tokens(tiny, load("smollm2")))  # doctest: +SKIP
    1780

    References
    ----------
    Timor et al., Accelerating LLM inference with lossless speculative decoding algorithms for
    heterogeneous vocabularies, ICML 2025.
    """
    for which, one in (("target", target), ("draft", draft)):
        if not is_known(getattr(one, "tokenizer", None)):
            raise ModelError(
                f"the {which}, {shown(one, 60)}, has no tokenizer that lists its tokens: give it as"
                " LanguageModel(network, tokenizer, 'name')"
            )
    ours, theirs = (token_texts(one.tokenizer) for one in (target, draft))
    sizes = [one.model.config.vocab_size for one in (target, draft)]
    pairs = sorted(
        (token, theirs[text])
        for text, token in ours.items()
        if text in theirs and token < sizes[0] and theirs[text] < sizes[1]
    )
    least = LEAST * min(len(ours), len(theirs))
    if not pairs or len(pairs) < least:
        raise ModelError(
            f"the draft ({shown(draft.weights, 40)}) has another tokenizer than the target, and"
            f" only {len(pairs):,} of their {len(theirs):,} and {len(ours):,} tokens are the same:"
            " use one with a closer vocabulary, or draft='lookup'"
        )
    return CommonTokens(*map(tuple, zip(*pairs, strict=True)), len(ours), len(theirs))


def token_texts(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The id of the token that adds each text; of several, one that is no single byte."""
    length, found = _texts.get(tokenizer, (None, {}))
    if length == len(tokenizer):
        return found
    found = {}
    for token, _, text in sorted(plain_tokens(tokenizer), key=lambda one: is_byte(one[1])):
        if text and NO_CHARACTER not in text:
            found.setdefault(text, token)
    _texts[tokenizer] = len(tokenizer), found
    return found


def plain_tokens(tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, str, str]]:
    """Id, name and text of every token that was not added, by id: what it adds inside a text.

    The text of a part of a character has U+FFFD in it; it is empty where it cannot be told.
    """
    names, added = tokenizer.get_vocab(), set(getattr(tokenizer, "added_tokens_decoder", ()))
    plain = sorted((token, name) for name, token in names.items() if token not in added)
    # After another token a decoder keeps a leading space that it would drop from a text's start.
    first = plain[0][0] if plain else 0
    first = next((token for token, name in plain if name.isalpha() and name.isascii()), first)
    start = text_of(tokenizer, [first])
    found = []
    for token, name in plain:
        text = text_of(tokenizer, [first, token])
        found.append((token, name, text.removeprefix(start) if text.startswith(start) else ""))
    return found


def is_byte(name: str) -> bool:
    """Whether a token stands for one byte that has no token of its own, as <0x0A>."""
    return re.fullmatch(r"<0x[0-9A-F]{2}>", name) is not None


def text_of(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """The text of tokens, without special ones and with all its spaces."""
    return tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def bare(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text, without those that a tokenizer adds at its beginning or end."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


class GrowingText:
    """The tokens of a text that grows: only its last words are encoded again.

    Words that are followed by another one are settled. Where a tokenizer treats the middle of a
    text differently from its beginning, or joins words, the whole text is encoded each time.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer, self.settled, self.tokens = tokenizer, "", []
        alone = bare(tokenizer, PROBE)
        self.start = list(tokenizer(PROBE)["input_ids"])
        while self.start and self.start[-len(alone) :] != alone:  # such as a final </s>
            self.start.pop()
        self.start = self.start[: -len(alone)]
        cuts = [0, *(m.start() for m in BETWEEN_WORDS.finditer(PROBE)), len(PROBE)]
        parts = [PROBE[a:b] for a, b in pairwise(cuts)]
        self.splits = alone == [token for part in parts for token in bare(tokenizer, part)]

    def encode(self, text: str) -> list[int]:
        """The tokens of the whole text, which usually continues the last one."""
        if not text.startswith(self.settled):
            self.settled, self.tokens = "", []
        known = len(self.settled)
        if self.splits:
            for found in BETWEEN_WORDS.finditer(text, known + 1):
                known = found.start()
        self.tokens = self.tokens + bare(self.tokenizer, text[len(self.settled) : known])
        self.settled = text[:known]
        return self.start + self.tokens + bare(self.tokenizer, text[known:])
