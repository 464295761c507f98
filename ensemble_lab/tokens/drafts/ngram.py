"""N-gram drafts: what the target usually writes after the last few tokens, from a table.

The table is counted from text that the target wrote. It is hashed: only a 12-bit mark of a context
is kept, so a look-up may sometimes return the entry of another context. A wrong proposal costs
speed and never changes the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.catalogue import FIX, data_folder
from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.vocabulary import check_vocabulary
from ensemble_lab.models.weights.safetensors_head import read_saved
from ensemble_lab.tokens.drafts.base import Proposal, padded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling

START = 0x9E3779B97F4A7C15  # hash of the empty context
ODD = 0xD6E8FEB86659FD93  # a multiplier whose bits are well spread
ALL = (1 << 64) - 1
WINDOW = 8  # slots that an entry may lie after its own
LEVELS = 15  # confidence is kept in four bits, of which 0 marks an empty slot
TOKENS = 1 << 16  # a token is kept in sixteen


def mixed(h, token):
    """The hash of a context that reaches one token further back.

    Parameters
    ----------
    h, token : int, or arrays of uint64

    Returns
    -------
    int, or array of uint64
    """
    h = (h ^ token) * ODD & ALL
    return h ^ h >> 32


def level_of(probability):
    """Confidence in 1 to 15, of a probability or an array of them."""
    return np.minimum(np.asarray(probability) * LEVELS + 1, LEVELS).astype(np.int64)


@dataclass(frozen=True, eq=False)
class NgramTable:
    """The likeliest next token of contexts, in a hashed table of 32-bit words.

    Parameters
    ----------
    words : (slots,) uint32
        Mark (12 bits), confidence (4) and token (16) of a context; 0 is an empty slot. An entry
        lies in the slot that its hash names or in the next free one, at most 7 further.
    order : int
        Tokens of the longest context.
    about : mapping
        What it was counted from.
    """

    words: np.ndarray
    order: int
    about: Mapping

    def __post_init__(self):
        object.__setattr__(self, "_words", memoryview(self.words))  # plain ints, thrice as fast
        object.__setattr__(self, "_slots", len(self.words) - WINDOW)

    @classmethod
    def packed(cls, hashes, tokens, levels, slots: int, order: int, about: Mapping) -> NgramTable:
        """Fill a table; where entries collide, the earlier ones are kept.

        Parameters
        ----------
        hashes : (n,) array of uint64
        tokens, levels : (n,) arrays of int
        slots, order : int
        about : mapping

        Raises
        ------
        ValueError
            A token that does not fit into 16 bits.
        """
        if len(tokens) and int(max(tokens)) >= TOKENS:
            raise ValueError(f"token {max(tokens)} does not fit: a table holds ids below {TOKENS}")
        words = [0] * (slots + WINDOW)
        for h, token, level in zip(hashes.tolist(), tokens.tolist(), levels.tolist(), strict=True):
            slot, mark = (h >> 32) * slots >> 32, h & 0xFFF
            for place in range(slot, slot + WINDOW):
                if not words[place]:
                    words[place] = mark << 20 | level << 16 | token
                    break
                if words[place] >> 20 == mark:  # the same mark: this entry could not be found
                    break
        return cls(np.array(words, np.uint32), order, about)

    @cached_property
    def highest(self) -> int:
        """The highest token id that it can propose; 0 where it is empty."""
        return int((self.words[self.words > 0] & TOKENS - 1).max(initial=0))

    def find(self, text: Sequence[int]) -> tuple[int, int, int]:
        """The entry of the longest known context.

        Parameters
        ----------
        text : sequence of int
            The text so far; only the last `order` tokens count.

        Returns
        -------
        token, level, n : int
            The next token, the confidence (1 to 15), and how many tokens the context has; all 0
            where none is known.
        """
        words, slots, h, hashes = self._words, self._slots, START, []
        for token in text[: -self.order - 1 : -1]:
            h = (h ^ token) * ODD & ALL  # `mixed`, without the call
            h ^= h >> 32
            hashes.append(h)
        for n in range(len(hashes), 0, -1):
            h = hashes[n - 1]
            mark, slot = h & 0xFFF, (h >> 32) * slots >> 32
            for word in words[slot : slot + WINDOW]:
                if not word:
                    break
                if word >> 20 == mark:
                    return word & 0xFFFF, word >> 16 & 0xF, n
        return 0, 0, 0

    def save(self, path: Path) -> None:
        """Write as safetensors; the same table gives the same bytes."""
        require("an n-gram table", "safetensors")
        from safetensors.numpy import save

        # One entry: the library writes several in any order.
        about = json.dumps({**self.about, "order": self.order}, sort_keys=True)
        path.write_bytes(save({"words": self.words}, metadata={"about": about}))

    @classmethod
    def read(cls, path: Path) -> NgramTable:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            The file is damaged, or holds something else.
        """
        require("an n-gram table", "safetensors")

        def made(tensors: dict, about: dict) -> NgramTable:
            return cls(tensors["words"], about.pop("order"), about)

        return read_saved(path, "numpy", made, "n-gram table", "NgramTable")


class NgramDraft:
    """Proposes token after token from the table, until no context is known.

    Parameters
    ----------
    table : NgramTable

    References
    ----------
    Ou, Chen and Tian, Lossless acceleration of large language model via adaptive N-gram parallel
    decoding, NAACL 2024 (there the table is counted from the current text).
    """

    def __init__(self, table: NgramTable):
        self.table = table

    @classmethod
    def load(cls, name: str, tokenizer: PreTrainedTokenizerBase) -> NgramDraft:
        """The table in `data/drafts` that was counted from the text of model `name`.

        Raises
        ------
        FileNotFoundError
            There is no such table.
        ModelError
            It was counted with another tokenizer.
        """
        table = NgramTable.read(shipped_draft(f"{name}-ngram"))
        check_vocabulary(table.about, f"the n-gram table {name!r}", tokenizer)
        return cls(table)

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        """Do nothing: the table is fixed."""

    def propose(self, rows: Rows, most: int) -> Proposal:
        found = [self._row(text, most) for text in rows.texts]
        return padded([tokens for tokens, _ in found], [kinds for _, kinds in found], rows)

    def _row(self, text: Sequence[int], most: int) -> tuple[list[int], list[int]]:
        """The tokens after a text, and their kinds: the length of the context and confidence."""
        before, kinds = list(text[-self.table.order :]), []
        behind = len(before)
        while len(kinds) < most:
            token, level, n = self.table.find(before)
            if not n:
                break
            before.append(token)
            kinds.append(4 * n + level // 4)
        return before[behind:], kinds


def shipped_draft(name: str) -> Path:
    """The file of a draft that ships with the package."""
    path = data_folder() / "drafts" / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no draft {shown(str(path), 200)}; {FIX}")
    return path
