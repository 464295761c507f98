"""A draft of another tokenizer, whose text is encoded with the target's."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.vocabulary import is_known
from ensemble_lab.tokens.drafts.base import Proposal, check_begun, padded
from ensemble_lab.tokens.drafts.vocabularies import NO_CHARACTER, bare, text_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling

BEHIND = 64  # characters of the text that are encoded with what follows


class StringDraft:
    """A model of another tokenizer, which writes text that is encoded for the target.

    It may use all its own tokens, and needs none in common with the target. It always writes
    greedily, so its proposals depend on nothing but the text, and the target keeps its
    distribution; where the target samples, fewer are accepted than of an `IntersectionDraft`.

    A word at the end is left out, as it may be a part of a longer one, so a round has fewer than
    gamma tokens.

    Parameters
    ----------
    target, draft : LanguageModel

    Raises
    ------
    ModelError
        A model without a tokenizer; and, when decoding begins, a draft that cannot be read by
        position.

    References
    ----------
    Timor et al., Accelerating LLM inference with lossless speculative decoding algorithms for
    heterogeneous vocabularies, ICML 2025 (string-level; universal assisted generation).

    Examples
    --------
    >>> target, draft = load("smollm2"), load("tiny")  # doctest: +SKIP
    >>> made = decode(target, "Count to five.", StringDraft(target, draft))  # doctest: +SKIP
    """

    def __init__(self, target: LanguageModel, draft: LanguageModel):
        for which, one in (("target", target), ("draft", draft)):
            if not (isinstance(one, LanguageModel) and is_known(one.tokenizer)):
                raise ModelError(
                    f"the {which}, {shown(one, 60)}, has no tokenizer: give it as"
                    " LanguageModel(network, tokenizer, 'name')"
                )
        self.target, self.draft = target, draft

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        from ensemble_lab.tokens.drafts.retokenized import RetokenizedReader
        from ensemble_lab.tokens.reading.packed import packed

        self.rows, model = rows, packed(self.draft.model)
        self.reader = RetokenizedReader(model, self.draft.tokenizer, len(rows))

    def propose(self, rows: Rows, most: int) -> Proposal:
        check_begun(self.rows, rows)
        texts = [text_of(self.target.tokenizer, text) for text in rows.texts]
        tokens = self.reader.encode(texts)
        room = self.reader.room(tokens, most + 1)  # one more shows whether the last word is whole
        written = self._write(tokens, room) if room > 0 else [[] for _ in texts]
        found = [
            [] if text.endswith(NO_CHARACTER) else self._encoded(text, before, more)[:most]
            for text, before, more in zip(texts, tokens, written, strict=True)
        ]
        return padded(found, [[0] * len(one) for one in found], rows)

    def _write(self, tokens: list[list[int]], most: int) -> list[list[int]]:
        """The `most` tokens that the draft writes after each text, up to an end of the text."""
        import torch

        logits, drafted = self.reader.read(tokens, most), []
        for i in range(most):
            drafted.append(logits.argmax(-1))
            if i + 1 < most:
                logits = self.reader.step(drafted[-1])
        ends, rows = set(self.draft.ends), torch.stack(drafted, 1).tolist()
        cuts = [next((i for i, t in enumerate(row) if t in ends), most) for row in rows]
        return [row[:cut] for row, cut in zip(rows, cuts, strict=True)]

    def _encoded(self, text: str, before: list[int], more: list[int]) -> list[int]:
        """The target's tokens for what the draft wrote after a text."""
        now, then = (text_of(self.draft.tokenizer, ids) for ids in (before, before + more))
        if not then.startswith(now):
            return []
        new, tokenizer = then[len(now) :].rstrip(NO_CHARACTER), self.target.tokenizer
        words = re.match(r".*\S(?=\s)", new, re.DOTALL)
        tokens = continuation(tokenizer, text[-BEHIND:], words.group() if words else new)
        size = self.target.model.config.vocab_size  # a tokenizer may have tokens beyond the table
        known = list(takewhile(lambda token: token < size, tokens))
        return known if words or known != tokens else tokens[:-1]


def continuation(tokenizer: PreTrainedTokenizerBase, text: str, new: str) -> list[int]:
    """The tokens of `new` where it follows `text`."""
    before, both = bare(tokenizer, text), bare(tokenizer, text + new)
    inside = both[: len(before)] == before  # otherwise a token would span the end of the text
    return both[len(before) :] if inside else bare(tokenizer, new)
