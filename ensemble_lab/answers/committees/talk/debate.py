"""Debate: members read what the others answered, answer again, and vote in the end."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble_lab.answers.committees.talk.committee import Committee, Turns, at_least, said, vote
from ensemble_lab.answers.committees.talk.prompts import NOTICE, asked_again, fenced, in_order
from ensemble_lab.answers.committees.talk.transcript import Call
from ensemble_lab.models.prompts import Prompt


@dataclass(frozen=True, eq=False)
class Debate(Committee):
    """Every member answers; in each round it reads the others' last answers and answers again.

    The answer is the vote of the last round; with 0 rounds it is the vote of independent members,
    and with `sampled_members` of one model self-consistency. A tie goes to the member listed first.

    Parameters
    ----------
    members : mapping of name to model, or names alone
        Names alone replay a transcript.
    rounds : int
        After the first answers.
    seed, most
        As in `MixtureOfAgents`.

    References
    ----------
    Du et al., "Improving Factuality and Reasoning in Language Models through Multiagent Debate",
    ICML 2024. Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language
    Models", ICLR 2023.

    Examples
    --------
    >>> Debate({"a": lambda item: 4, "b": lambda item: 5, "c": lambda item: 5}).ask("2 + 2?").answer
    5
    """

    rounds: int = 1

    def __post_init__(self):
        super().__post_init__()
        at_least(self.rounds, 0, "rounds")

    def turns(self, question: Prompt) -> Turns:
        lines = yield self.first(question)
        for at in range(2, self.rounds + 2):
            texts = {name: said(line) for name, line in zip(self.members, lines, strict=True)}
            lines = yield [self._call(question, texts, name, at) for name in self.members]
        return vote(lines)

    def _call(self, question: Prompt, texts: dict[str, str], name: str, at: int) -> Call:
        """The question with the member's own last answer and the others'."""
        column = f"{name}@{at}"
        key = self.key(question, column)
        others = in_order([one for one in texts if one != name and texts[one].strip()], key)
        blocks = {"your last answer": texts[name]}
        blocks |= {f"answer {i}": texts[one] for i, one in enumerate(others, 1)}
        text = (
            f"You and other assistants answered this. {NOTICE} Some may be wrong.\n"
            f"{fenced(blocks, key, self.most)}\n"
            "Compare your own answer with the others."
        )
        saw = tuple(f"{one}@{at - 1}" for one in (name, *others))
        return Call(column, name, asked_again(question, text), saw)
