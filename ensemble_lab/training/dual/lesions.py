"""Lesions: what a language model loses with one or two of its blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ensemble_lab.catalogue import data_folder
from ensemble_lab.core.errors import check_known
from ensemble_lab.models.errors import ModelError
from ensemble_lab.training.dual.blocks import blocks_of, pairs_of
from ensemble_lab.training.dual.paths import entering, network_of, token_row

RECORDED = ("smollm2",)


@contextmanager
def lesion(model, blocks) -> Iterator:
    """The model without some of its blocks, while the context lasts.

    The stream of states goes past a removed block as if it had added nothing. The model generates,
    with a cache too, and has its blocks back at the end, also after an error.

    Parameters
    ----------
    model : LanguageModel or PreTrainedModel
        Shaped like Llama.
    blocks : int or sequence of int
        From 0. Within another lesion, of the blocks that are left.

    Yields
    ------
    The model that was given.

    Raises
    ------
    ModelError
        A model of another shape.
    ValueError
        A block that does not exist.

    References
    ----------
    Veit, Wilber and Belongie, Residual networks behave like ensembles of relatively shallow
    networks, NeurIPS 2016.

    Examples
    --------
    >>> with lesion(load("smollm2"), 15) as model:  # doctest: +SKIP
    ...     model("What is the capital of France?")
    """
    trunk = network_of(model).model
    config, layers = trunk.config, trunk.layers
    gone = blocks_of(blocks, len(layers))
    kept = [i for i in range(len(layers)) if i not in gone]
    kinds = getattr(config, "layer_types", None)
    places = [layer.self_attn.layer_idx for layer in layers]
    try:
        trunk.layers = type(layers)(layers[i] for i in kept)
        config.num_hidden_layers = len(kept)
        if kinds is not None:
            config.layer_types = [kinds[i] for i in kept]
        for place, i in enumerate(kept):  # a cache has one entry for each block that is left
            layers[i].self_attn.layer_idx = place
        yield model
    finally:
        trunk.layers, config.num_hidden_layers = layers, len(layers)
        if kinds is not None:
            config.layer_types = kinds
        for layer, place in zip(layers, places, strict=True):
            layer.self_attn.layer_idx = place


@dataclass(frozen=True, eq=False)
class Lesions:
    """Losses of a text, in nats a token, with blocks removed.

    Parameters
    ----------
    whole : float
        With all blocks.
    losses : (L, L) array
        Without blocks i and j, and on the diagonal without block i alone; NaN where not measured.
    text : str or None
        The text, unless it was given as tokens.
    """

    whole: float
    losses: np.ndarray
    text: str | None = None

    @property
    def single(self) -> np.ndarray:
        """Without each block alone (L,)."""
        return self.losses.diagonal().copy()

    @property
    def neighbours(self) -> np.ndarray:
        """Without blocks i and i + 1 (L - 1,)."""
        return self.losses.diagonal(1).copy()

    @property
    def beyond_sum(self) -> np.ndarray:
        """How much more a pair costs than its two blocks one by one (L, L), in nats a token.

        0 where two blocks are paths that do not depend on each other. The diagonal is NaN.
        """
        alone = self.single - self.whole
        found = self.losses - self.whole - alone[:, None] - alone
        np.fill_diagonal(found, np.nan)
        return found


def lesion_losses(model, text, pairs="neighbours", progress: bool = True) -> Lesions:
    """The loss of a text without each block, and without pairs of blocks.

    Blocks before a lesion are read once, so that each lesion costs half a pass on average.

    Parameters
    ----------
    model : LanguageModel or PreTrainedModel
        Shaped like Llama.
    text : str or sequence of int
        A text, read without a chat template, or its token ids: two tokens or more.
    pairs : "neighbours", "all", or sequence of (int, int)
        Which pairs of blocks are removed too; an empty sequence for none.
    progress : bool
        Show a bar.

    Returns
    -------
    Lesions
        Interrupted by the keyboard: what was measured until then, NaN elsewhere.

    Raises
    ------
    ModelError
        A model of another shape, or a text that it cannot read.
    ValueError
        A block that does not exist.
    """
    from tqdm.auto import tqdm

    reading = Reading(model, text)
    depth = reading.depth
    several = pairs_of(pairs, depth)
    found = np.full((depth, depth), np.nan)
    whole = reading.loss()
    bar = tqdm(
        [*((i, i) for i in range(depth)), *several],
        desc="lesions", unit="lesion", disable=not progress,
    )  # fmt: skip
    try:
        for i, j in bar:
            found[i, j] = found[j, i] = reading.loss(i, j)
    except KeyboardInterrupt:
        pass
    return Lesions(whole, found, text if isinstance(text, str) else None)


class Reading:
    """A text as a model reads it, with the states before each block."""

    def __init__(self, model, text):
        self.network = network_of(model)
        import torch

        trunk = self.network.model
        self.ids, self.depth = token_row(model, text, least=2), len(trunk.layers)
        self.states, hooks = [], []
        for layer in trunk.layers:
            keep = lambda _, *given: self.states.append(entering(*given))  # noqa: E731
            hooks.append(layer.register_forward_pre_hook(keep, with_kwargs=True))
        try:
            with torch.no_grad():
                trunk(input_ids=self.ids, use_cache=False)
                same = torch.equal(self.states[0], trunk.embed_tokens(self.ids))
        finally:
            for hook in hooks:
                hook.remove()
        if not same:
            raise ModelError(
                f"{type(self.network).__name__} changes its embeddings before the first block: use"
                " lesion(model, blocks) and the model's own loss"
            )

    def loss(self, *blocks: int) -> float:
        """Nats a token without the blocks."""
        import torch
        import torch.nn.functional as F

        # The states before the first removed block are known: reading goes on from there.
        first = min(blocks, default=0)
        with lesion(self.network, [*range(first), *blocks]), torch.no_grad():
            last = self.network.model(inputs_embeds=self.states[first], use_cache=False)
            logits = self.network.lm_head(last.last_hidden_state)[0, :-1].float()
        return F.cross_entropy(logits, self.ids[0, 1:]).item()


def load_lesions(name: str = "smollm2") -> Lesions:
    """Recorded losses of all pairs of blocks; the file names the text, the weights and the recipe.

    Raises
    ------
    UnknownName
        There is no such recording.
    """
    check_known(name, RECORDED, "recording of lesions", "package")
    told = json.loads((data_folder() / "lesions" / f"{name}.json").read_text(encoding="utf-8"))
    return Lesions(told["whole"], np.array(told["losses"]), told["text"])
