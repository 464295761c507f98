"""A judge whose reply need not be parsed: the label that a loaded model would write first."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.prompts import Prompt


class Chooser:
    """A loaded model that answers every prompt by the likeliest of some labels.

    It reads the probabilities of the next token and compares those of the labels' first tokens. So
    a small model that never replies with "A" or "B" alone still judges.

    Parameters
    ----------
    model : LanguageModel
        As `load` gives it.
    labels : several texts
        At least two, which begin with different tokens.

    Examples
    --------
    >>> judge = Chooser(load("smollm2"))  # doctest: +SKIP
    >>> judge("Which is larger, A: 3 or B: 5? Reply with one letter.").answer  # doctest: +SKIP
    'B'
    """

    def __init__(self, model: LanguageModel, labels: Iterable[str] = ("A", "B")):
        if not isinstance(model, LanguageModel):
            raise TypeError(f"model is {shown(model)}; give a model that load(…) returned")
        self.model, self.labels = model, tuple(several(labels, "labels"))
        for label in self.labels:
            if not isinstance(label, str) or not label.strip():
                raise ValueError(f"label {shown(label)} is no text; give texts such as 'A'")
        self.tokens = [self._first_token(label) for label in self.labels]
        if len(self.labels) < 2 or len(set(self.tokens)) < len(self.labels):
            raise ValueError(
                f"labels={shown(self.labels)}; give two or more that begin with different tokens"
            )

    def __call__(self, item: Prompt) -> Reply:
        return self.choose([item])[0]

    def choose(self, prompts: list[Prompt]) -> list[Reply]:
        """A reply to each prompt: the likeliest label, and its share of the labels' probability."""
        import torch

        replies = []
        for prompt in prompts:
            begun = perf_counter()
            with torch.inference_mode():
                inputs = self.model.encode(prompt)
                logits = self.model.model(**inputs, logits_to_keep=1).logits[0, -1]
            shares = logits[self.tokens].float().softmax(-1).cpu()  # (labels,)
            best = int(shares.argmax())
            replies.append(
                Reply(
                    self.labels[best],
                    float(shares[best]),
                    latency=perf_counter() - begun,
                    tokens=1,
                    text=self.labels[best],
                )
            )
        return replies

    def _first_token(self, label: str) -> int:
        ids = self.model.tokenizer(label, add_special_tokens=False)["input_ids"]
        if not ids:
            raise ValueError(f"label {shown(label)} has no token of {self.model.weights}")
        return ids[0]
