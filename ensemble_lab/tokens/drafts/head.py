"""A feature-level head: one layer that drafts from the target's hidden states.

The state after a token holds more than the token: it already contains the target's view of what
comes next. So a layer that reads the state together with the next token can draft a few tokens,
from its own states once the target's are used up.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.vocabulary import check_vocabulary
from ensemble_lab.models.weights.safetensors_head import read_saved
from ensemble_lab.tokens.drafts.base import Proposal
from ensemble_lab.tokens.drafts.head_reader import HeadReader
from ensemble_lab.tokens.drafts.model import ModelDraft
from ensemble_lab.tokens.drafts.ngram import shipped_draft
from ensemble_lab.tokens.reading.states import StateReader

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.reading.rows import Rows


LIKELY = 0.15  # the chance that all so far are accepted, below which another does not pay
BLIND = 4  # tokens that are drafted where the chances are not read


class FeatureHead(nn.Module):
    """A projection of state and token, one decoder layer, and some rows of the target's own head.

    Parameters
    ----------
    config : LlamaConfig
        Of the layer; `hidden_size` is the target's, and so is `vocab_size`, except for padding.
    ids : (R,) tensor
        The tokens that it can propose, a reduced vocabulary.
    about : mapping, optional
        What it was trained on.

    References
    ----------
    Li et al., EAGLE: speculative sampling requires rethinking feature uncertainty, ICML 2024.
    """

    def __init__(self, config: PretrainedConfig, ids: torch.Tensor, about: Mapping | None = None):
        from transformers import LlamaModel

        super().__init__()
        self.config, self.about = config, dict(about or {})
        self.join = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        few = copy.copy(config)
        few.vocab_size, few.pad_token_id = 1, None
        self.trunk = LlamaModel(few)
        del self.trunk.embed_tokens  # the target's are used
        self.register_buffer("ids", ids)

    def attach(self, target: PreTrainedModel, same_tokens: bool = False) -> FeatureHead:
        """Use the embeddings and the head of `target`, on its device and in its number format.

        Parameters
        ----------
        target : PreTrainedModel
        same_tokens : bool
            Whether the target's tokenizer is known to be the head's: then its table may be padded
            to another size.

        Raises
        ------
        ModelError
            The target has states or a vocabulary of another size.
        """
        embedding, rows = target.get_input_embeddings().weight, target.lm_head.weight
        size, width = self.config.vocab_size, self.config.hidden_size
        fits = same_tokens and int(self.ids.max()) < len(rows)
        widths = {rows.shape[1], embedding.shape[1]}
        if widths != {width} or (not fits and {len(rows), len(embedding)} != {size}):
            raise ModelError(
                f"this head reads states of {width} numbers and writes {size:,} tokens; the"
                f" target has {rows.shape[1]} and {len(rows):,}: train one for it"
            )
        self.size = len(rows)
        self.to(rows.device, rows.dtype)
        # Plain attributes: they are the target's, neither saved nor trained with the head.
        self.__dict__["embedding"] = embedding.detach()
        self.__dict__["rows"] = rows.detach()[self.ids]  # (R, D)
        return self

    def step(
        self, states: torch.Tensor, tokens: torch.Tensor, position_ids: torch.Tensor, **where
    ) -> torch.Tensor:
        """States (B, k, D) after `tokens` (B, k), an estimate of the target's.

        `states` (B, k, D) are those after the token before each; `where` says what a decoder layer
        attends to, as in transformers.
        """
        token = F.embedding(tokens, self.embedding)
        both = [F.rms_norm(x, x.shape[-1:]) for x in (states, token)]  # they differ in size
        states = self.join(torch.cat(both, -1))  # (B, k, 2 D) to (B, k, D)
        # As in the trunk's own forward, without the parts for whole models: a third quicker.
        turns = self.trunk.rotary_emb(states, position_ids)
        for layer in self.trunk.layers:
            states = layer(states, position_ids=position_ids, position_embeddings=turns, **where)
        return self.trunk.norm(states)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits (…, R) over the reduced vocabulary."""
        return F.linear(states, self.rows.to(states.dtype))

    def save(self, path: Path) -> None:
        """Write as safetensors in bfloat16, without the target's own weights."""
        from safetensors.torch import save_file

        weights = {
            name: value.to(torch.bfloat16) if value.is_floating_point() else value.int()
            for name, value in self.state_dict().items()
        }
        about = json.dumps({**self.about, "config": self.config.to_diff_dict()}, sort_keys=True)
        save_file(weights, path, metadata={"about": about})

    @classmethod
    def load(cls, name: str, target: LanguageModel) -> FeatureHead:
        """The head in `data/drafts` that was trained on the states of model `name`.

        Raises
        ------
        FileNotFoundError
            There is no such head.
        ModelError
            It was trained with another tokenizer.
        """
        head = cls.read(shipped_draft(f"{name}-head"))
        check_vocabulary(head.about, f"the head {name!r}", target.tokenizer)
        return head

    @classmethod
    def read(cls, path: Path) -> FeatureHead:
        """Read what `save` wrote.

        Raises
        ------
        ModelError
            The file is damaged, or holds something else.
        """
        from transformers import LlamaConfig

        def made(weights: dict, about: dict) -> FeatureHead:
            weights["ids"] = weights["ids"].long()
            head = cls(LlamaConfig(**about.pop("config")), weights["ids"], about)
            head.load_state_dict(weights)
            return head.eval()

        return read_saved(path, "pt", made, "feature-level head", "FeatureHead")


class HeadDraft(ModelDraft):
    """A `FeatureHead` as a draft.

    Parameters
    ----------
    head : FeatureHead
        Attached to the target.
    target : StateReader
    choosy : bool
        Stop where the drafted tokens are unlikely to be accepted. For sampled tokens and on a GPU,
        stop after `BLIND` tokens: reading the chances would change the distribution of sampled
        tokens, and would wait for the GPU.
    """

    at_once = 16  # a small vocabulary makes logits cheap

    def __init__(self, head: FeatureHead, target: StateReader, choosy: bool = False):
        super().__init__(head.trunk, lambda _, *shape: HeadReader(head, target, *shape))
        self.head, self.ids, self.size, self.choosy = head, head.ids, head.size, choosy

    def propose(self, rows: Rows, most: int) -> Proposal:
        self.looks = self.choosy and self.sampling.greedy and self.ids.device.type == "cpu"
        self.chance = 1.0
        return super().propose(rows, min(most, BLIND) if self.choosy and not self.looks else most)

    def stale(self, new: int, paused: bool) -> int:
        """All new tokens: if it has read them, then with its own estimates of their states."""
        return new

    def goes_on(self, logits: torch.Tensor) -> bool:
        if not self.looks:
            return True
        self.chance = self.chance * logits.softmax(-1).amax(-1)  # (B,)
        return bool(self.chance.max() > LIKELY)

    def ids_of(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.ids[tokens]

    def widened(self, q: torch.Tensor) -> torch.Tensor:
        """Distributions (…, V) that are 0 outside the reduced vocabulary."""
        return q.new_zeros(*q.shape[:-1], self.size).index_copy_(-1, self.ids, q)
