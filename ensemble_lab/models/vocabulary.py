"""Checks that a draft writes the target's own tokens, for any size of its table.

The rows of an embedding table after the tokenizer's last token are padding, and models of one
family pad differently (Qwen2.5 to 151,936 and to 152,064). So tokenizers are compared, not sizes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ensemble_lab.models.language import LanguageModel

_fingerprints: WeakKeyDictionary = WeakKeyDictionary()  # tokenizer to its length and fingerprint
_agreed: WeakKeyDictionary = WeakKeyDictionary()  # target's tokenizer to those that agree with it


def is_known(tokenizer) -> bool:
    """Whether a tokenizer can list its tokens."""
    return hasattr(tokenizer, "get_vocab")


def vocabulary_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """16 hexadecimal digits that identify a tokenizer's vocabulary: its tokens and their ids."""
    length, found = _fingerprints.get(tokenizer, (None, ""))
    if length != len(tokenizer):  # tokens were added since, or it is new
        pairs = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[::-1])
        found = hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]
        _fingerprints[tokenizer] = len(tokenizer), found
    return found


def check_vocabulary(about: Mapping, which: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `ModelError` where a draft holds the tokens of another tokenizer."""
    found, wanted = vocabulary_fingerprint(tokenizer), about["vocabulary"]
    if found != wanted:
        raise ModelError(
            f"{which} holds tokens of another tokenizer: its vocabulary is {wanted}, the target's"
            f" is {found}; use it with {about['weights']}, or draft='lookup', which fits every"
            " model"
        )


def different_tokens(target: LanguageModel, draft: LanguageModel) -> tuple[str, str, str] | None:
    """The first token that the two number differently, what it is in the draft and in the target.

    None where there is no such token.
    """
    ours, theirs = target.tokenizer, draft.tokenizer
    if ours is theirs:
        return None
    kept = _agreed.setdefault(ours, WeakKeyDictionary())
    lengths = len(ours), len(theirs)
    if kept.get(theirs) == lengths:
        return None
    here, there = ours.get_vocab(), theirs.get_vocab()
    few, many = sorted((here, there), key=len)
    if not few.items() <= many.items():
        token = min((t for t in few if many.get(t) != few[t]), key=few.__getitem__)
        places = (f"id {found[token]}" if token in found else "none" for found in (there, here))
        return shown(token, 20), *places
    kept[theirs] = lengths
    return None
