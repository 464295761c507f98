"""The parts of a distillation: what a batch costs, and a network that learns from it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.finite import LEAST
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.settings import number
from ensemble_lab.training.distillation.divergences import generalised_jsd, total_variation
from ensemble_lab.training.distillation.pairs import (
    at_temperature,
    check_temperature,
    finite,
    overlap,
)
from ensemble_lab.training.inputs.settings import check_count

if TYPE_CHECKING:
    import torch

    from ensemble_lab.training.distillation.texts import Batch

HARD = "cross_entropy"
DIVERGENCES = {
    "forward_kl": partial(generalised_jsd, beta=0),
    "reverse_kl": partial(generalised_jsd, beta=1),
    "jsd": partial(generalised_jsd, beta=0.5),
    "total_variation": total_variation,
    HARD: None,
}


@dataclass(frozen=True)
class Lesson:
    """What a draft has to learn from its target.

    Parameters
    ----------
    target, draft : LanguageModel
    divergence : str or callable
        As in `distil`.
    temperature : float
        Of both distributions. What is learned at 0 is the target's likeliest text, by the draft's
        distribution at 1.

    Raises
    ------
    ValueError
        There is no such divergence, or it cannot be taken at temperature 0.
    """

    target: LanguageModel
    draft: LanguageModel
    divergence: str | Callable
    temperature: float

    def __post_init__(self):
        if not callable(self.divergence):
            check_known(self.divergence, DIVERGENCES, "divergence", "package")
        if check_temperature(self.temperature) < LEAST and self.divergence != HARD:
            raise ValueError(
                f"temperature={self.temperature}: the likeliest token alone has no divergence; use"
                f" 1.0, or divergence='{HARD}' to learn the target's likeliest text"
            )

    def read(self, network, batch: Batch) -> tuple[torch.Tensor, float]:
        """The mean loss of a network on a batch, and the mean of sum min(p, q)."""
        import torch

        with torch.no_grad():  # the target is in evaluation mode, and no gradient goes into it
            p = batch.logits(self.target.model)
        q = batch.logits(network)
        loss = self.losses(p, q, batch.targets).mean()
        if not loss.requires_grad:
            raise ValueError(
                f"divergence={shown(self.divergence)} has no gradient by the student's logits, its"
                " second argument: compute it with PyTorch"
            )
        with torch.no_grad():
            accepted = overlap(p, q, self.temperature).mean().item()
        return loss, accepted

    def losses(self, p: torch.Tensor, q: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The loss (n,) at each token, for logits (n, V) and (n, V').

        The rows of one table that the other lacks are padding, or tokens that only one may write.
        """
        heat = self.temperature if self.temperature >= LEAST else 1.0
        if self.divergence == HARD:
            there = tokens < q.shape[-1]  # it cannot learn others
            log_q = at_temperature(q[there], heat).log_softmax(-1)
            return -log_q.gather(-1, tokens[there, None])[:, 0]
        size = min(p.shape[-1], q.shape[-1])
        logits = (at_temperature(x[:, :size], heat) for x in (p, q))
        found = DIVERGENCES.get(self.divergence, self.divergence)(*logits)
        if not hasattr(found, "requires_grad") or found.shape != tokens.shape:
            raise ValueError(
                f"the divergence gives {shown(found)} for logits of {len(tokens)} tokens: return a"
                " tensor of one number a token, without a mean over them"
            )
        return found

    def blame(self, network, batch: Batch) -> None:
        """Raise `ModelError` where logits of the target or the draft are NaN or infinite."""
        import torch

        with torch.no_grad():
            finite(batch.logits(self.target.model), self.target)
            finite(batch.logits(network), self.draft)


class Student:
    """A copy of a draft's network, in float32 at least, and its optimiser.

    Dropout stays off: what learns is what drafts.
    """

    def __init__(self, draft: LanguageModel, learning_rate: float, steps: int):
        import torch

        self.draft = draft
        network = copy.deepcopy(draft.model).requires_grad_(True)
        self.network = network.float() if draft.dtype.itemsize < 4 else network
        self.weights = list(self.network.parameters())
        self.kept = [weight.detach().clone() for weight in self.weights]
        self.optimiser = torch.optim.AdamW(self.weights, lr=learning_rate, weight_decay=0.0)
        self.rates = torch.optim.lr_scheduler.LambdaLR(self.optimiser, partial(rate, steps=steps))

    def step(self, loss: torch.Tensor) -> None:
        """Keep the weights that gave this loss, and take one step down its gradient."""
        import torch

        with torch.no_grad():
            torch._foreach_copy_(self.kept, self.weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimiser.step()
        self.rates.step()

    def back(self) -> None:
        """Go back to the weights that were kept."""
        import torch

        with torch.no_grad():
            torch._foreach_copy_(self.weights, self.kept)

    def finished(self, target: LanguageModel) -> LanguageModel:
        """The draft with its new weights, in its own number format."""
        self.optimiser.zero_grad(set_to_none=True)
        given, label = self.draft, f", distilled from {target.weights.partition(',')[0]}"
        return LanguageModel(
            self.network.to(given.dtype),
            given.tokenizer,
            given.weights.removesuffix(label) + label,
            parse=given.parse,
            max_new_tokens=given.max_new_tokens,
            temperature=given.temperature,
            seed=given.seed,
        )


def rate(step: int, steps: int) -> float:
    """The learning rate's share at a step: up over the first twentieth, then down to 0."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, (steps - step) / max(1, steps - warm + 1), 1.0)


def drawn(count: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Batches of at most `size` indices out of `count`, in a new order after all were drawn."""
    while True:
        for part in np.array_split(rng.permutation(count), math.ceil(count / size)):
            yield part.tolist()


def check_trainable(target: LanguageModel, draft: LanguageModel) -> None:
    """Refuse a draft that cannot learn.

    Raises
    ------
    ModelError
        Its weights are in few bits.
    ValueError
        It is the target.
    """
    if draft is target or draft.model is target.model:
        raise ValueError("the draft is its own target, so there is nothing to learn: give another")
    if draft.bits:
        raise ModelError(
            f"the draft computes with weights of {draft.bits} bits, which cannot be trained: load"
            " it with dtype='float32'"
        )


def check_training(steps: int, batch_size: int, learning_rate: float) -> None:
    """Raise `ValueError` where a count is not 1 or more, or the rate not above 0."""
    for name, count in (("steps", steps), ("batch_size", batch_size)):
        check_count(count, name, "use 1 or more")
    if not 0 < number(learning_rate, "learning_rate") < math.inf:
        raise ValueError(f"learning_rate={shown(learning_rate)}: use a number above 0, as 0.001")


def check_share(share: float, divergence: str | Callable) -> None:
    """Refuse a share of own texts outside [0, 1], and one that would teach nothing.

    Raises
    ------
    ValueError
        The share, and the fix.
    """
    if not 0 <= number(share, "student_share") <= 1:
        raise ValueError(f"student_share={shown(share)} is outside [0, 1]; 1 is all batches")
    if share and divergence == HARD:
        raise ValueError(
            f"student_share={shown(share)} with '{HARD}': the draft would learn its own words;"
            " use a divergence, such as 'reverse_kl', or student_share=0"
        )
