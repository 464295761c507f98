"""Three short committees on the same parts: universal self-consistency, review, and experts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ensemble_lab.answers.committees.talk.committee import (
    Committee,
    Turns,
    at_least,
    plain_reply,
    role,
    said,
)
from ensemble_lab.answers.committees.talk.prompts import (
    NOTICE,
    asked_again,
    extended,
    fenced,
    harmless,
    told,
)
from ensemble_lab.answers.committees.talk.transcript import Call
from ensemble_lab.core.reply import Model, Reply
from ensemble_lab.models.prompts import Prompt

LONGEST_ROLE = 80  # characters of a role that a model proposes
BULLET = re.compile(r"^[\s\d.)*#-]+")


@dataclass(frozen=True, eq=False)
class UniversalConsistency(Committee):
    """Members answer, and a reader says which of the answers agrees best with the others.

    It is for answers that cannot be counted, such as texts. Where the reader's reply does not name
    exactly one of the numbers there is no answer: nothing is guessed.

    Parameters
    ----------
    members : mapping of name to model, or names alone
    reader : str or model
        A member's name, or a model of its own (`Chooser`, for one); None where a transcript has
        what it said.
    seed, most
        As in `MixtureOfAgents`.

    References
    ----------
    Chen et al., "Universal Self-Consistency for Large Language Model Generation", 2023.
    """

    reader: Model | str | None

    def __post_init__(self):
        super().__post_init__()
        role(self.reader, self.members, "reader")

    def models(self) -> dict[str, Model | None]:
        reader = {} if isinstance(self.reader, str) else {"reader": self.reader}
        return super().models() | reader

    def turns(self, question: Prompt) -> Turns:
        lines = yield self.first(question)
        heard = dict(zip(self.members, lines, strict=True))
        there = [name for name, line in heard.items() if said(line).strip()]
        if not there:
            return Reply(None)
        name = role(self.reader, self.members, "reader")
        blocks = {"question": told(question)}
        blocks |= {f"answer {i}": said(heard[one]) for i, one in enumerate(there, 1)}
        text = (
            f"Below are a question and {len(there)} answers. {NOTICE}\n"
            f"{fenced(blocks, self.key(question, 'choose'), self.most)}\n"
            "Which answer agrees with most of the others? Reply with its number alone."
        )
        (line,) = yield [Call(f"{name}@2", name, text, tuple(f"{one}@1" for one in there))]
        numbers = {int(digits) for digits in re.findall(r"(?<![\d.])\d{1,4}(?![\d])", said(line))}
        if len(numbers) != 1 or not 0 < (number := numbers.pop()) <= len(there):
            return Reply(None, text=said(line))
        return plain_reply(heard[there[number - 1]])


@dataclass(frozen=True, eq=False)
class Review(Committee):
    """One member answers, and each of the others in turn corrects what it is shown.

    Parameters
    ----------
    members : mapping of name to model, or names alone
        The first one answers; the reviewers follow in this order.
    seed, most
        As in `MixtureOfAgents`.

    References
    ----------
    Sun et al., "Corex: Pushing the Boundaries of Complex Reasoning through Multi-Model
    Collaboration", COLM 2024 (its mode "Review").
    """

    def turns(self, question: Prompt) -> Turns:
        saw: tuple[str, ...] = ()
        prompt = question
        for at, name in enumerate(self.members, 1):
            column = f"{name}@{at}"
            (line,) = yield [Call(column, name, prompt, saw)]
            if not said(line).strip():
                continue  # the next one reads what this one read
            saw = (column,)
            block = fenced({"answer": said(line)}, self.key(question, column), self.most)
            prompt = asked_again(question, (
                f"Another assistant answered this. {NOTICE} It may be wrong.\n{block}\n"
                "Check each step and correct what is wrong."
            ))  # fmt: skip
        return plain_reply(line)


@dataclass(frozen=True, eq=False)
class MultiExpert(Committee):
    """One model names experts, answers as each of them, and writes an answer from all of theirs.

    The names of experts are a model's text, so they are cut to one line and never evaluated.

    Parameters
    ----------
    members : mapping of name to model, or names alone
        The first one takes all parts.
    experts : int
        How many are asked for; fewer where the model names fewer, and with none the model gets the
        plain question.
    seed, most
        As in `MixtureOfAgents`.

    References
    ----------
    Long et al., "Multi-expert Prompting Improves Reliability, Safety and Usefulness of Large
    Language Models", EMNLP 2024.
    """

    experts: int = 3

    def __post_init__(self):
        super().__post_init__()
        at_least(self.experts, 1, "experts")

    def turns(self, question: Prompt) -> Turns:
        name, key = next(iter(self.members)), self.key(question, "experts")
        block = fenced({"question": told(question)}, key, self.most)
        (line,) = yield [Call(f"{name}@1", name, (
            f"Below is a question. {NOTICE}\n{block}\n"
            f"Name {self.experts} kinds of experts who could answer it best, one a line."
        ))]  # fmt: skip
        roles = [BULLET.sub("", harmless(row, LONGEST_ROLE)) for row in said(line).splitlines()]
        roles = list(dict.fromkeys(filter(None, (row.partition("\n")[0] for row in roles))))
        calls = [
            Call(f"{name}:{i}@2", name, extended(question, f"Answer as this expert: {row}"))
            for i, row in enumerate(roles[: self.experts], 1)
        ]
        lines = (yield calls) if calls else []
        answers = {f"answer {i}": said(one) for i, one in enumerate(lines, 1) if said(one).strip()}
        prompt = question
        if answers:
            prompt = asked_again(question, (
                f"Experts answered this. {NOTICE}\n{fenced(answers, key, self.most)}\n"
                "Keep what more than half of them say, decide between those that contradict each"
                " other, and add what only one says if it is right."
            ))  # fmt: skip
        saw = tuple(call.column for call in calls)
        (line,) = yield [Call(f"{name}@3", name, prompt, saw)]
        return plain_reply(line)
