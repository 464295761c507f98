"""Several language models that `decode` reads as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.missing import require
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import Generation, LanguageModel
from ensemble_lab.models.vocabulary import different_tokens, is_known
from ensemble_lab.tokens.together.combinations import Combination, ContrastiveDecoding
from ensemble_lab.tokens.together.dola import DoLa

if TYPE_CHECKING:
    from ensemble_lab.models.language import Prompt


class CombinedModel(LanguageModel):
    """Several models that read the same tokens and write one text: a target for `decode`.

    Any draft works on top, except those that read a single model's states or layers (heads,
    "early-exit"), and so does every verification: the combined distribution takes the place of the
    target's. All models have to read each token, so a combination costs the sum of their reads.

    Parameters
    ----------
    models : sequence of LanguageModel
        With one vocabulary, on one device. Texts end, and prompts are read, as by the first. The
        context is the shortest of theirs. Where tables are padded to different sizes, the ids that
        all have are used.
    combination : Combination
        `Averaging`, `ProductOfExperts`, `ContrastiveDecoding`, `ProxyTuning`, `ConfidenceDeferral`,
        `LearnedDeferral`, `Extrapolation` or, for one model, `DoLa`.

    Raises
    ------
    ModelError
        Something that is not a language model or cannot be read by position; models with different
        vocabularies, devices or kinds of attention; and, during decoding, a model whose logits are
        NaN or infinite, by its name.
    ValueError
        No combination, or one that takes another number of models.

    Warns
    -----
    UserWarning
        An amateur that is the expert itself.

    Examples
    --------
    >>> both = CombinedModel([load("tiny"), load("tiny-draft")], Averaging())  # doctest: +SKIP
    >>> decode(both, "The sea was", "lookup").text  # doctest: +SKIP
    """

    def __init__(self, models: Sequence[LanguageModel], combination: Combination):
        require("a combination of models", "torch", "transformers")
        from ensemble_lab.tokens.together.layered import LayeredNetwork
        from ensemble_lab.tokens.together.network import CombinedNetwork

        self.models, self.combination = tuple(several(models, "models")), combination
        if not isinstance(combination, Combination):
            given = combination.__name__ if isinstance(combination, type) else shown(combination)
            raise ValueError(f"combination={given}; give one, such as Averaging()")
        if not self.models:
            raise ValueError("models is empty; give two or more")
        for one in self.models:
            if not isinstance(one, LanguageModel):
                raise ModelError(f"{shown(one)} is not a language model: give what load makes")
        combination.check(len(self.models))
        first, *others = self.models
        for one in others:
            check_alike(first, one)
        if isinstance(combination, ContrastiveDecoding) and first.model is others[0].model:
            warnings.warn(
                "the amateur is the expert: a contrast of a model with itself only leaves out"
                " implausible tokens",
                stacklevel=2,
            )
        names = ", ".join(one.weights for one in self.models)
        kind = LayeredNetwork if isinstance(combination, DoLa) else CombinedNetwork
        network = kind(self.models, combination)
        super().__init__(network, first.tokenizer, f"{type(combination).__name__} of {names}")

    def generate(
        self,
        prompt: Prompt,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> Generation:
        """Continue a prompt as `LanguageModel.generate` does, by `decode` without a draft."""
        import torch

        from ensemble_lab.tokens.decode import decode

        ids = self.encode(prompt)["input_ids"]  # (1, t)
        made = decode(
            self,
            ids[0].tolist(),
            max_new_tokens=self.max_new_tokens if max_new_tokens is None else max_new_tokens,
            temperature=self.temperature if temperature is None else temperature,
            seed=self.seed if seed is None else seed,
        )
        new = torch.tensor([made.tokens], device=self.device)
        with torch.inference_mode():
            scores = self.model(torch.cat([ids, new], 1)).logits[0, ids.shape[1] - 1 : -1]
        chosen = scores.gather(1, new.T)[:, 0].tolist()
        return Generation(made.text, made.tokens, tuple(chosen))


def check_alike(first: LanguageModel, other: LanguageModel) -> None:
    """Raise `ModelError` where two models cannot be read side by side."""
    names = f"{shown(first.weights, 40)} and {shown(other.weights, 40)}"
    if first.device != other.device:
        raise ModelError(
            f"{names} are on {first.device} and {other.device}: load both on one device"
        )
    kinds = [one.model.config._attn_implementation for one in (first, other)]
    if kinds[0] != kinds[1]:
        raise ModelError(
            f"{names} compute attention in two ways, {kinds[0]} and {kinds[1]}: load both with one"
        )
    if is_known(first.tokenizer) and is_known(other.tokenizer):
        if (found := different_tokens(first, other)) is not None:
            token, there, here = found
            raise ModelError(
                f"{names} have different vocabularies: {token} is {here} in the first and {there}"
                " in the second; combine models with one tokenizer"
            )
        return
    sizes = [one.model.config.vocab_size for one in (first, other)]
    if sizes[0] != sizes[1]:
        raise ModelError(
            f"{names} have vocabularies of {sizes[0]:,} and {sizes[1]:,} tokens: combine models"
            " with one tokenizer"
        )
