"""A draft of another tokenizer, restricted to the tokens that both vocabularies have."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import shown
from ensemble_lab.tokens.drafts.base import Proposal, draw, padded
from ensemble_lab.tokens.drafts.vocabularies import NO_CHARACTER, common_tokens, text_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.reading.rows import Rows
    from ensemble_lab.tokens.sampling import Sampling


class IntersectionDraft:
    """A model of another tokenizer, which proposes only tokens that the target also has.

    The target's text is decoded and encoded again for the draft. Its head keeps only the rows of
    the common tokens, so its distribution q is normalised over these. The target's own tokens have
    q = 0, and verification against p keeps the target's distribution: a token is accepted with
    probability alpha = sum of min(p, q) over the common tokens.

    Special tokens are left out of the draft's text, and it never proposes the end of the text. A
    text that ends within a character gets no proposal. The draft's layers are not compiled.

    Parameters
    ----------
    target, draft : LanguageModel

    Attributes
    ----------
    common : CommonTokens
        The tokens of both, with their ids.

    Raises
    ------
    ModelError
        As in `common_tokens`; and, when decoding begins, a draft that cannot be read by position.

    References
    ----------
    Timor et al., Accelerating LLM inference with lossless speculative decoding algorithms for
    heterogeneous vocabularies, ICML 2025 (token-level intersection).

    Examples
    --------
    >>> target, draft = load("smollm2"), load("tiny")  # doctest: +SKIP
    >>> made = decode(target, "Count to five.", IntersectionDraft(target, draft))  # doctest: +SKIP
    """

    def __init__(self, target: LanguageModel, draft: LanguageModel):
        self.common = common_tokens(target, draft)
        self.target, self.draft = target, draft

    def begin(self, rows: Rows, sampling: Sampling, generator: torch.Generator) -> None:
        import torch

        from ensemble_lab.tokens.drafts.retokenized import RetokenizedReader
        from ensemble_lab.tokens.reading.packed import packed

        self.sampling, self.generator = sampling, generator
        model, device = packed(self.draft.model), self.draft.model.device
        self.theirs = torch.tensor(self.common.draft, device=device)
        self.ours = torch.tensor(self.common.target, device=rows.tokens.device)
        pruned = with_rows(model, self.theirs)
        self.reader = RetokenizedReader(pruned, self.draft.tokenizer, len(rows))

    def propose(self, rows: Rows, most: int) -> Proposal:
        import torch

        texts = [text_of(self.target.tokenizer, text) for text in rows.texts]
        tokens = self.reader.encode(texts)
        most = self.reader.room(tokens, most)
        if most < 1:
            return padded([[]] * len(rows), [[]] * len(rows), rows)
        logits = self.reader.read(tokens, most)
        drafted, probabilities = [], []
        for i in range(most):
            token, q = draw(logits.to(self.ours.device), self.sampling, self.generator)
            drafted.append(self.ours[token])
            probabilities.append(q)
            if i + 1 < most:
                logits = self.reader.step(self.theirs[token.to(self.theirs.device)])
        q = None if self.sampling.greedy else self.spread(torch.stack(probabilities, 1))
        return Proposal(torch.stack(drafted, 1), whole(texts, most), q)

    def spread(self, q: torch.Tensor) -> torch.Tensor:
        """From q (B, k, R) over the common tokens to one (B, k, V) over all of the target's."""
        size = self.target.model.config.vocab_size
        return q.new_zeros(*q.shape[:2], size).index_copy_(2, self.ours, q)


def announced_intersection(target: LanguageModel, draft: LanguageModel) -> IntersectionDraft:
    """The draft, with a warning that only common tokens are proposed, and how many these are."""
    made = IntersectionDraft(target, draft)
    warnings.warn(
        f"the draft ({shown(draft.weights, 40)}) has another tokenizer than the target:"
        f" {made.common}, and it proposes only these (IntersectionDraft);"
        " StringDraft(target, draft) proposes its text",
        stacklevel=5,
    )
    return made


def whole(texts: Sequence[str], most: int) -> list[int]:
    """`most` for every text, 0 for those that end within a character."""
    return [0 if text.endswith(NO_CHARACTER) else most for text in texts]


def with_rows(model: PreTrainedModel, ids: torch.Tensor) -> PreTrainedModel:
    """The same model, weights shared, whose head has only the rows `ids` (R,): logits (…, R)."""
    from torch import nn

    head = model.lm_head
    few = nn.Linear(head.in_features, len(ids), bias=head.bias is not None, device="meta")
    few.weight = nn.Parameter(head.weight.detach()[ids], requires_grad=False)
    if head.bias is not None:
        few.bias = nn.Parameter(head.bias.detach()[ids], requires_grad=False)
    twin = copy.copy(model)
    twin._modules = {**model._modules, "lm_head": few}
    return twin
