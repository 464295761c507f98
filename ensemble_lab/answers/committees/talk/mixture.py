"""Mixture of agents: layers of members that read the answers of the layer before."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble_lab.answers.committees.talk.committee import (
    Committee,
    Turns,
    at_least,
    plain_reply,
    role,
    said,
)
from ensemble_lab.answers.committees.talk.prompts import NOTICE, asked_again, fenced, in_order
from ensemble_lab.answers.committees.talk.transcript import Call
from ensemble_lab.core.reply import Model
from ensemble_lab.models.prompts import Prompt


@dataclass(frozen=True, eq=False)
class MixtureOfAgents(Committee):
    """Members answer, read each other's answers and answer again; one model writes the last text.

    With `sampled_members` of one model it is Self-MoA. With one layer the aggregator is asked
    the plain question, and no member is. Where no member of a layer wrote anything, the next layer
    gets the plain question.

    Parameters
    ----------
    members : mapping of name to model, or names alone
        Names alone replay a transcript.
    aggregator : str or model
        Writes the answer in the last layer: a member's name, or a model of its own. None where a
        transcript has what it said.
    layers : int
        With the aggregator's.
    seed : int
        Decides the marks around the answers and their order, which differs between readers.
    most : int
        Characters shown of one answer; a longer one is cut, and its reader is told so.

    References
    ----------
    Wang et al., "Mixture-of-Agents Enhances Large Language Model Capabilities", ICLR 2025.
    Li et al., "Rethinking Mixture-of-Agents: Is Mixing Different Large Language Models
    Beneficial?", 2025 (Self-MoA).

    Examples
    --------
    >>> mixture = MixtureOfAgents({"a": lambda item: "4", "b": lambda item: "5"}, lambda item: "4")
    >>> mixture.ask("What is 2 + 2?").answer
    '4'
    """

    aggregator: Model | str | None
    layers: int = 2

    def __post_init__(self):
        super().__post_init__()
        role(self.aggregator, self.members, "aggregator")
        at_least(self.layers, 1, "layers")

    def models(self) -> dict[str, Model | None]:
        if isinstance(self.aggregator, str):
            return super().models()
        return super().models() | {"aggregator": self.aggregator}

    def turns(self, question: Prompt) -> Turns:
        last = role(self.aggregator, self.members, "aggregator")
        answers: dict[str, str] = {}  # column to text, of the layer before
        for layer in range(1, self.layers):
            calls = [self._call(question, answers, name, layer) for name in self.members]
            lines = yield calls
            texts = [(call.column, said(line)) for call, line in zip(calls, lines, strict=True)]
            answers = {column: text for column, text in texts if text.strip()}
        (line,) = yield [self._call(question, answers, last, self.layers)]
        return plain_reply(line)

    def _call(self, question: Prompt, answers: dict[str, str], name: str, layer: int) -> Call:
        """The question with the answers of the layer before, in an order of this reader's own."""
        column = f"{name}@{layer}"
        if not answers:
            return Call(column, name, question)
        key = self.key(question, column)
        order = in_order(list(answers), key)
        blocks = {f"answer {i}": answers[one] for i, one in enumerate(order, 1)}
        text = (
            f"Other assistants answered this. {NOTICE} Some may be wrong.\n"
            f"{fenced(blocks, key, self.most)}"
        )
        return Call(column, name, asked_again(question, text), tuple(order))
