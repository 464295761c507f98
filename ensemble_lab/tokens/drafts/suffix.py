"""Suffix decoding: the longest suffix of the text that was seen before decides what is copied.

It is looked for in the text itself and in a corpus of earlier outputs.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.core.whole import moved_to
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.settings import number, whole
from ensemble_lab.models.vocabulary import check_vocabulary, is_known, vocabulary_fingerprint
from ensemble_lab.models.weights.safetensors_head import read_saved
from ensemble_lab.tokens.drafts.automaton import ROOT, SuffixAutomaton
from ensemble_lab.tokens.drafts.base import check_begun, padded

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from ensemble_lab.tokens.drafts.base import Proposal
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling

END = -1  # of a text, in a file
TOKENS = 2**31  # ids are kept in 32 bits


class SuffixDraft:
    """Suffix decoding: copies what followed the longest suffix of the text that was seen before.

    The suffix is looked for in the text itself and in a corpus, to which each output is added when
    the draft is used again; the longer match decides, the text itself where both are equal. Of
    several continuations the most frequent is proposed. A match of n tokens gives at most
    ``factor * n`` tokens.

    Parameters
    ----------
    corpus : sequence of sequences of int
        Earlier outputs, as token ids.
    factor : float
        Tokens proposed for a token of the match; above 0.
    most_tokens : int
        The most tokens in the corpus, about 0.4 kB each. Beyond that the oldest texts are dropped,
        until half of them are left; of a text that is longer than that half, its end is kept.

    Raises
    ------
    ValueError
        A corpus that is not a list of texts, an id that is not a whole number from 0 up, or a
        setting out of its range.

    Notes
    -----
    As the corpus grows, the same call proposes other tokens. Greedy text stays the same; sampled
    text does with ``verification="coupled"``.

    References
    ----------
    Oliaro et al., SuffixDecoding: extreme speculative decoding for emerging AI applications,
    NeurIPS 2025. Hu et al., SAM decoding, ACL 2025.
    """

    def __init__(
        self,
        corpus: Sequence[Sequence[int]] = (),
        factor: float = 4.0,
        most_tokens: int = 100_000,
    ):
        if not number(factor, "factor") > 0 or factor == float("inf"):
            raise ValueError(f"factor={shown(factor)}; use a number above 0")
        if whole(most_tokens, "most_tokens") < 2:
            raise ValueError(f"most_tokens={shown(most_tokens)}; use 2 or more")
        self.factor, self.most_tokens = factor, most_tokens
        self.texts: deque[list[int]] = deque()  # of the corpus, the oldest first
        self._outputs: list[tuple[list[int], int]] = []  # texts of the last use, their prompts
        self._match: list[tuple[int, int]] = []  # of each row, the longest suffix in the corpus
        self.corpus = SuffixAutomaton()
        for text in several(corpus, "corpus"):
            self.add(text)

    def add(self, text: Sequence[int]) -> None:
        """Add a text to the corpus.

        Parameters
        ----------
        text : sequence of int
        """
        tokens = [_id(token) for token in several(text, "a text of the corpus")]
        tokens = tokens[-(self.most_tokens // 2) :]
        if not tokens:
            return
        self.texts.append(tokens)
        if sum(map(len, self.texts)) > self.most_tokens:
            while sum(map(len, self.texts)) > self.most_tokens // 2:
                self.texts.popleft()
            self.corpus = SuffixAutomaton()  # an automaton cannot forget
            self._match = [(ROOT, 0) for _ in self._match]  # the old states are gone
            kept = list(self.texts)
        else:
            kept = [tokens]
        for tokens in kept:
            self.corpus.start_text()
            for token in tokens:
                self.corpus.append(token)

    @property
    def highest(self) -> int:
        """The highest token id in the corpus and the last outputs; -1 where there is none."""
        outputs = (token for text, prompt in self._outputs for token in text[prompt:])
        return max([*self.corpus.next[ROOT], *outputs], default=-1)

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        self._keep_outputs()
        self._outputs = [(text, len(text)) for text in rows.texts]
        self._rows = rows
        self._own = [SuffixAutomaton() for _ in rows.texts]
        self._match = [(ROOT, 0) for _ in rows.texts]
        for i, text in enumerate(rows.texts):
            self._read(i, text)

    def propose(self, rows: Rows, most: int) -> Proposal:
        check_begun(self._rows, rows)
        found = [self._row(i, text, most) for i, text in enumerate(rows.texts)]
        return padded([tokens for tokens, _ in found], [kinds for _, kinds in found], rows)

    def save(self, path: str | Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Write the corpus as safetensors, with the last outputs in it.

        Parameters
        ----------
        path : str or Path
        tokenizer : PreTrainedTokenizerBase
            Whose ids they are; `load` compares it.

        Raises
        ------
        ModelError
            The tokenizer cannot list its tokens.
        """
        require("a corpus", "safetensors")
        from safetensors.numpy import save

        _check_known(tokenizer)
        self._keep_outputs()
        tokens = np.array([token for text in self.texts for token in [*text, END]], np.int32)
        about = {"vocabulary": vocabulary_fingerprint(tokenizer), "weights": "its own model"}
        content = save({"tokens": tokens}, metadata={"about": json.dumps(about, sort_keys=True)})
        with moved_to(Path(path)) as part:
            part.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path, tokenizer: PreTrainedTokenizerBase, **settings) -> SuffixDraft:
        """A draft with the corpus that `save` wrote.

        Parameters
        ----------
        path : str or Path
        tokenizer : PreTrainedTokenizerBase
            The target's.
        **settings
            `factor` and `most_tokens`.

        Raises
        ------
        ModelError
            The file is damaged or holds something else, or its tokens are of another tokenizer,
            or of one that cannot list its tokens.
        """
        require("a corpus", "safetensors")
        _check_known(tokenizer)
        texts, about = read_saved(Path(path), "numpy", _texts, "corpus", "SuffixDraft")
        check_vocabulary(about, f"the corpus {shown(str(path))}", tokenizer)
        return cls(texts, **settings)

    def _keep_outputs(self) -> None:
        for text, prompt in self._outputs:
            self.add(text[prompt:])
        self._outputs = [(text, len(text)) for text, _ in self._outputs]  # it may still be written

    def _read(self, i: int, text: list[int]) -> None:
        """Take in what was added to a row since the last time."""
        own = self._own[i]
        for token in text[own.size :]:
            own.append(token)
            self._match[i] = self.corpus.followed(*self._match[i], token)

    def _row(self, i: int, text: list[int], most: int) -> tuple[list[int], list[int]]:
        """The tokens after a row's text, and their kinds."""
        self._read(i, text)
        source, (state, length) = self._own[i], self._own[i].repeated()
        elsewhere = self._match[i][1] > length
        if elsewhere:
            source, (state, length) = self.corpus, self._match[i]
        found = source.likeliest(state, min(most, int(self.factor * length)))
        kinds = [kind_of(length + at, share, elsewhere) for at, (_, share) in enumerate(found)]
        return [token for token, _ in found], kinds


def kind_of(length: int, share: float, elsewhere: bool) -> int:
    """Kind of a proposed token, 3 to 32.

    Parameters
    ----------
    length : int
        Tokens of the match before it, those proposed before it included.
    share : float
        In which share of the cases it followed.
    elsewhere : bool
        Whether the match is in the corpus, not in the text itself.
    """
    return 2 * (3 * min(length, 5) + (share > 0.5) + (share == 1)) + elsewhere - 3


def _check_known(tokenizer) -> None:
    if not is_known(tokenizer):
        raise ModelError(
            f"tokenizer={shown(tokenizer, 60)} does not list its tokens: give the target's, such as"
            " target.tokenizer"
        )


def _id(token) -> int:
    if 0 <= whole(token, "a token of the corpus") < TOKENS:
        return int(token)
    raise ValueError(f"the corpus has the token {shown(token)}; ids are whole numbers from 0 up")


def _texts(tensors: dict, about: dict) -> tuple[list[list[int]], dict]:
    """The texts in a file and what it says of them."""
    tokens = tensors["tokens"]
    if tokens.ndim != 1 or tokens.dtype != np.int32 or (len(tokens) and tokens[-1] != END):
        raise ModelError("its tokens are not texts of ids that end with -1")
    if (tokens < END).any():
        raise ModelError(f"its tokens hold {tokens.min()}; ids are whole numbers from 0 up")
    if not all(isinstance(about[name], str) for name in ("vocabulary", "weights")):
        raise ModelError("it does not say whose tokens it holds")
    ends = np.flatnonzero(tokens == END)
    return [part[:-1].tolist() for part in np.split(tokens, ends + 1)[:-1]], about
