"""How often the target's token is among a head's likeliest, by depth: what decides about trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.missing import require
from ensemble_lab.models.prompts import read_prompts
from ensemble_lab.models.settings import whole

if TYPE_CHECKING:
    from ensemble_lab.models.language import LanguageModel
    from ensemble_lab.tokens.drafts.head import FeatureHead


def hits_by_depth(
    target: LanguageModel,
    prompts,
    head: FeatureHead | str = "head",
    *,
    most: int = 3,
    depth: int = 4,
    max_new_tokens: int = 64,
) -> np.ndarray:
    """Share of the target's greedy tokens that are the head's likeliest, second, … token.

    The head drafts from every token of the target's own texts on. At depth 1 it has the target's
    state; further on it reads the target's tokens, but has its own estimates of the states. So row
    d says how often the right child is the first, second, … one of an accepted token. It gives the
    chances for `best_shape`.

    Parameters
    ----------
    target : LanguageModel
    prompts
        As in `decode`.
    head : FeatureHead or "head"
        ``"head"`` is the one that is shipped for smollm2.
    most : int
        Ranks that are told apart, from 1 up.
    depth : int
        From 1 up.
    max_new_tokens : int
        Tokens of each text.

    Returns
    -------
    (depth, most) array of float
        NaN where no text is long enough.

    Raises
    ------
    ModelError, ValueError
        As in `decode`, or a number below 1.
    """
    require("counting the hits of a head", "torch", "transformers")
    import torch
    from tqdm import tqdm

    from ensemble_lab.models.token_ids import tokens_of
    from ensemble_lab.tokens.decode import decode
    from ensemble_lab.tokens.drafts.head_reader import HeadReader
    from ensemble_lab.tokens.drafts.trees import DraftTree
    from ensemble_lab.tokens.reading.packed import packed
    from ensemble_lab.tokens.reading.rows import At
    from ensemble_lab.tokens.reading.states import StateReader
    from ensemble_lab.tokens.resolve import head_of_tree, reading_states

    for name, value in (("most", most), ("depth", depth)):
        if whole(value, name) < 1:
            raise ValueError(f"{name}={value}; it takes whole numbers from 1 up")
    head, found = head_of_tree(DraftTree(head), target), np.zeros((depth, most))
    tried = np.zeros((depth, 1))
    for prompt in tqdm(read_prompts(prompts)[0], desc="prompts", leave=False):
        [ids], _ = tokens_of(target, [prompt])
        text = [*ids, *decode(target, ids, max_new_tokens=max_new_tokens).tokens]
        with torch.inference_mode():
            tokens = torch.tensor([text], device=target.device)
            states = StateReader(packed(target.model), 1, len(text))
            drafter = reading_states(head, states, target)
            ahead = HeadReader(drafter.head, states, 1, len(text))
            start = tokens[0, :1] * 0
            for reader, n in ((states, len(text)), (ahead, len(ids) - 1)):
                if n:
                    reader.fill(tokens[:, :n], At(start, 0, 0))
            known = states.states.clone()
            for root in range(len(ids) - 1, len(text) - 1):
                states.states.copy_(known)  # the head wrote its estimates over them
                for d in range(min(depth, len(text) - 1 - root)):
                    at = root + d
                    logits = ahead.read(tokens[:, at : at + 1], At(start + at, at, at))[0, -1]
                    likely = drafter.ids[logits.topk(min(most, len(logits))).indices].tolist()
                    if text[at + 1] in likely:
                        found[d, likely.index(text[at + 1])] += 1
                    tried[d] += 1
    return np.divide(found, tried, out=np.full_like(found, np.nan), where=tried > 0)
