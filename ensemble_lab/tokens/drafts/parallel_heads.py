"""Several heads that read the target's last state and propose the next tokens at once.

The state from which the target wrote its last token also says something about the tokens after it.
Head k is trained to name the token k places further on. The heads do not see each other's tokens:
all of a round's proposals cost one small product, and later ones are right less often.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.settings import whole
from ensemble_lab.models.vocabulary import is_known, vocabulary_fingerprint
from ensemble_lab.models.weights.safetensors_head import read_saved
from ensemble_lab.tokens.drafts.heads_draft import HeadsDraft
from ensemble_lab.tokens.reading.states import StateReader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ensemble_lab.models.language import LanguageModel

WIDER = 4  # a head's inner states are so many times as wide as the target's


class ParallelHeads(nn.Module):
    """K heads, each of one hidden layer; their last product is with the target's own head.

    Parameters
    ----------
    width : int
        D, the numbers of the target's states.
    heads : int
        K, how many tokens are proposed at once.
    about : mapping, optional
        What they were trained on.

    Attributes
    ----------
    hits : (K, R) list of lists of float
        On held-out text: how often the target's token is a head's likeliest, its second, and so on.
        Empty before `fit`.

    References
    ----------
    Stern, Shazeer and Uszkoreit, Blockwise parallel decoding for deep autoregressive models,
    NeurIPS 2018. Cai et al., Medusa: simple LLM inference acceleration framework with multiple
    decoding heads, ICML 2024.

    Examples
    --------
    >>> tiny = load("tiny")  # doctest: +SKIP
    >>> heads = ParallelHeads.fit(tiny, load_texts()["task"], seed=0)  # doctest: +SKIP
    >>> chain = decode(tiny, "Count to five.", heads, gamma=3)  # doctest: +SKIP
    >>> tree = decode(tiny, "Count to five.", heads.tree(), gamma=8)  # doctest: +SKIP
    """

    def __init__(self, width: int, heads: int = 3, about: Mapping | None = None):
        super().__init__()
        if whole(heads, "heads") < 1:
            raise ValueError(f"heads={heads} propose nothing; use 1 or more")
        self.about = dict(about or {})
        check_hits(self.hits, heads)
        self.up = nn.Parameter(torch.randn(heads, width, WIDER * width) / width**0.5)
        self.down = nn.Parameter(torch.zeros(heads, WIDER * width, width))

    @classmethod
    def fit(
        cls,
        target: LanguageModel,
        prompts,
        heads: int = 3,
        *,
        steps: int = 200,
        max_new_tokens: int = 64,
        seed: int | None = None,
        progress: bool = True,
    ) -> ParallelHeads:
        """Train heads that propose the next tokens at once, and judge them on prompts left out.

        The target continues every prompt, half of them greedily and half sampled at temperature
        1. The heads learn these tokens by cross-entropy; the target's weights stay as they are.
        Every eighth prompt is left out, continued greedily, and gives the heads' `hits`.

        Parameters
        ----------
        target : LanguageModel
        prompts : sequence of prompts
            At least 16, as `decode` takes them.
        heads : int
            K, how many tokens are proposed at once.
        steps : int
            Steps of AdamW, of 256 states each. After a keyboard interrupt those done so far count.
        max_new_tokens : int
            Tokens that the target writes to a prompt.
        seed : int, optional
            Makes training repeatable on one machine.
        progress : bool
            Show a bar.

        Returns
        -------
        ParallelHeads

        Raises
        ------
        ModelError
            Something that is no target or no prompts, fewer than 16 prompts, or texts that end
            before the last head's token.
        ValueError
            A setting out of its range.

        References
        ----------
        Cai et al., Medusa: simple LLM inference acceleration framework with multiple decoding
        heads, ICML 2024 (Medusa-1: the target is frozen).
        """
        from ensemble_lab.tokens.drafts.fit_heads import fitted

        return fitted(target, prompts, heads, steps, max_new_tokens, seed, progress)

    @property
    def hits(self) -> list[list[float]]:
        return self.about.get("hits") or []

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States (n, K, D) for the target's head, from its states (n, D)."""
        inner = F.silu(torch.einsum("nd,kde->nke", states, self.up))
        return states[:, None] + torch.einsum("nke,ked->nkd", inner, self.down)

    def tree(self) -> HeadsTree:
        """The same heads, as a draft that proposes a tree of gamma tokens.

        Raises
        ------
        ModelError
            The heads were not judged, so nobody knows which branches are worth a place.
        """
        if not self.hits:
            raise ModelError("heads without `hits` draw no tree: make them with ParallelHeads.fit")
        return HeadsTree(self)

    def attach_to(self, target: LanguageModel, network: PreTrainedModel, shape, kinds):
        """The reader that keeps the target's states, and the draft that reads these."""
        return self.attached(target, network, shape, kinds, branches=False)

    def attached(self, target: LanguageModel, network: PreTrainedModel, shape, kinds, branches):
        """The same for a chain, or for a tree where it `branches`."""
        width, known = network.lm_head.weight.shape[1], is_known(target.tokenizer)
        wanted = self.about.get("vocabulary")
        other = known and wanted and wanted != vocabulary_fingerprint(target.tokenizer)
        if width != self.up.shape[1] or other:
            raise ModelError(
                f"these heads read states of {self.up.shape[1]} numbers of"
                f" {self.about.get('weights', 'another model')}; the target has {width}, or other"
                " tokens: train some for it with ParallelHeads.fit"
            )
        reader = kinds[StateReader](network, *shape)
        ready = copy.deepcopy(self).to(network.device, network.dtype).eval()
        return reader, HeadsDraft(ready, reader, branches)

    def save(self, path: str | Path) -> None:
        """Write as safetensors in bfloat16, without the target's own weights."""
        from safetensors.torch import save_file

        weights = {name: one.to(torch.bfloat16) for name, one in self.state_dict().items()}
        save_file(weights, path, metadata={"about": json.dumps(self.about, sort_keys=True)})

    @classmethod
    def read(cls, path: str | Path) -> ParallelHeads:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            The file is damaged, or holds something else.
        """

        def made(weights: dict, about: dict) -> ParallelHeads:
            heads, width, _ = weights["up"].shape
            found = cls(width, heads, about)
            found.load_state_dict({name: one.float() for name, one in weights.items()})
            return found.eval()

        return read_saved(path, "pt", made, "parallel heads", "ParallelHeads")


def check_hits(hits, heads: int) -> None:
    """Raise `ValueError` unless `hits` are empty, or a list of shares for each head."""
    rows = hits if isinstance(hits, list | tuple) else [hits]
    shares = all(
        isinstance(row, list | tuple)
        and row
        and all(isinstance(x, Real) and 0 <= x <= 1 for x in row)
        for row in rows
    )
    if rows and not (shares and len(rows) == heads):
        raise ValueError(
            f"hits={shown(hits, 80)} of {heads} heads: give each a list of shares from 0 to 1"
        )


@dataclass(frozen=True)
class HeadsTree:
    """Parallel heads as a draft that proposes a tree."""

    heads: ParallelHeads

    def attach_to(self, target: LanguageModel, network: PreTrainedModel, shape, kinds):
        """As that of `ParallelHeads`."""
        return self.heads.attached(target, network, shape, kinds, branches=True)
