"""What all committees that talk share: members, and one question asked in rounds.

A committee is written once, as a generator of rounds (`Committee.turns`). It yields the calls of a
round and is sent the replies. The same generator runs on live models, on a transcript that was cut
off, and on a complete transcript without any model.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from ensemble_lab.answers.committees.talk.prompts import digest
from ensemble_lab.answers.committees.talk.transcript import Call, Transcript
from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.frozen import Settled
from ensemble_lab.core.identity import identity
from ensemble_lab.core.recordings.tabulate import tabulate
from ensemble_lab.core.reply import Model, Reply
from ensemble_lab.core.votes import NO_WINNER, plurality
from ensemble_lab.models.asking.given import named_models
from ensemble_lab.models.endpoints.endpoint import Endpoint
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.models.prompts import Prompt, read_prompt
from ensemble_lab.models.settings import number, seed_of, whole

Turns = Generator[list[Call], list[dict], Reply]


@dataclass(frozen=True, eq=False)
class Committee:
    """Members that answer one question together; itself a model, which can be called or recorded.

    Parameters
    ----------
    members : mapping of name to model, or names alone
        Names alone replay a transcript.
    """

    members: Mapping[str, Model | None]
    seed: int = field(default=0, kw_only=True)
    most: int = field(default=4000, kw_only=True)

    def __post_init__(self):
        object.__setattr__(self, "members", Settled(named(self.members, "members")))
        object.__setattr__(self, "seed", seed_of(self.seed))
        at_least(self.most, 1, "most")

    def __call__(self, item: Prompt) -> Reply:
        return self.ask(item)

    def ask(
        self, question: Prompt, transcript: Transcript | None = None, item: Hashable | None = None
    ) -> Reply:
        """Ask the committee one question.

        Parameters
        ----------
        question : str or chat
        transcript : Transcript, optional
            Keeps what is said; what it has already is not asked again.
        item : optional
            The question's name in the transcript; by default the question itself, or its hash
            where it is long.

        Returns
        -------
        Reply
            Cost and tokens of all calls together, unknown where that of one call is; the latency
            of each round's slowest member, summed.

        Raises
        ------
        ValueError
            The transcript is of other members or of another question.
        Exception
            An error of a member; what the others said is in the transcript.
        """
        read_prompt(question)
        if not isinstance(transcript, Transcript | None):
            raise TypeError(f"transcript is {shown(transcript)}; give Transcript('talk.jsonl')")
        transcript = Transcript() if transcript is None else transcript
        item = transcript.begin(item, question, self.described())
        turns, models = self.turns(question), self.models()
        rounds: list[list[dict]] = []
        try:
            calls = next(turns)
            while True:
                rounds.append(transcript.hear(item, calls, models))
                calls = turns.send(rounds[-1])
        except StopIteration as end:
            return _with_totals(end.value, rounds)

    @abstractmethod
    def turns(self, question: Prompt) -> Turns:
        """Yields the calls of each round, is sent their replies, and returns the answer."""

    def models(self) -> dict[str, Model | None]:
        """Every model that may be asked, by name."""
        return dict(self.members)

    def described(self) -> str:
        """Kind, members and settings: what a transcript must agree with."""
        settings = [
            f"{one.name}={getattr(self, one.name)}" for one in fields(self)
            if isinstance(getattr(self, one.name), int | str)
        ]  # fmt: skip
        return f"{type(self).__name__}({', '.join([*sorted(self.models()), *settings])})"

    def key(self, question: Prompt, *where: str) -> str:
        """What decides the marks and the order of the answers in one prompt."""
        return digest(str(self.seed), str(identity(question)), *where)

    def first(self, question: Prompt) -> list[Call]:
        """The calls of a round in which every member answers alone."""
        return [Call(f"{name}@1", name, question) for name in self.members]


def at_least(value, least: int, what: str) -> None:
    """Refuse a setting that is no whole number of at least `least`."""
    if whole(value, what) < least:
        raise ValueError(f"{what}={shown(value)} is too small; give a whole number from {least}")


def role(given: Model | str | None, members: Mapping, what: str) -> str:
    """The name under which a part of the committee is asked: a member's, or its own."""
    if isinstance(given, str):
        check_known(given, members, "member", "committee")
        return given
    if given is not None:
        named_models({what: given})
    if what in members:
        raise ValueError(f"a member is named '{what}', as the {what} is; rename that member")
    return what


def said(line: Mapping) -> str:
    """What a member wrote: its text, or a bare answer."""
    return line.get("text") or str(line.get("answer", ""))


def plain_reply(line: Mapping) -> Reply:
    """A member's reply as the committee's."""
    return Reply(line.get("answer"), line.get("confidence"), text=line.get("text"))


def vote(lines: Sequence[Mapping]) -> Reply:
    """The answer that most members gave, with its share of all members as the confidence.

    No parsed answer is no vote; a tie goes to the member listed first.
    """
    names = [str(i) for i in range(len(lines))]
    replies = {(0, name): dict(line) for name, line in zip(names, lines, strict=True)}
    codes = tabulate(replies, [0], names).answer.T  # (members, 1)
    (winner,) = plurality(codes, np.ones(len(codes)), max(1, codes.max() + 1))
    if winner == NO_WINNER:
        return Reply(None, 0.0)
    share = float((codes == codes[winner]).mean())
    return Reply(lines[winner]["answer"], share, text=lines[winner].get("text"))


def sampled_members(
    model: Model, n: int, *, temperature: float = 0.7, seed: int = 0
) -> dict[str, Model]:
    """One model as `n` members, named ``#0``, ``#1`` and so on, each with a seed of its own.

    The members share the model's weights. A model of another kind than `load` gives is taken as it
    is, `n` times: it must answer at random by itself.

    Parameters
    ----------
    model : LanguageModel, Endpoint or callable
    n : int
    temperature : float
        Above 0.
    seed : int
        That of the first member; the next ones follow.
    """
    at_least(n, 1, "n")
    if not 0 < number(temperature, "temperature") < math.inf:
        raise ValueError(f"temperature={shown(temperature)}; samples need a finite one above 0")
    model = named_models({"model": model})["model"]
    return {f"#{i}": _sampling(model, float(temperature), seed_of(seed) + i) for i in range(n)}


def _sampling(model: Model, temperature: float, seed: int) -> Model:
    if not isinstance(model, LanguageModel | Endpoint):
        return model
    made = copy.copy(model)
    if isinstance(made, Endpoint):
        made._fields = made._fields | {"temperature": temperature, "seed": seed}
    else:
        made.temperature, made.seed = temperature, seed
    return made


def named(given: Mapping | Iterable, what: str) -> dict[str, Model | None]:
    """Models by name, None where only the names are given.

    Raises
    ------
    ValueError, TypeError
        No name, one twice, one that is no text or holds @ or a tab, or no model.
    """
    if not isinstance(given, Mapping):
        names = several(given, what)
        if any(not isinstance(name, str) for name in names) or len({*names}) < len(names):
            raise ValueError(
                f"{what}={shown(names)}; give {{'small': model, …}}, or each name once"
            )
        given = dict.fromkeys(names)
    models = named_models({name: str if model is None else model for name, model in given.items()})
    if not models:
        raise ValueError(f"{what} is empty; give at least one: {{'small': model, …}}")
    for name in models:
        if set(name) & set("@\t"):
            raise ValueError(f"the name {shown(name)} in {what} holds @ or a tab; rename it")
    return {
        name: None if one is None else models[name]
        for name, one in zip(models, given.values(), strict=True)
    }


def _with_totals(reply: Reply, rounds: list[list[dict]]) -> Reply:
    lines = [line for heard in rounds for line in heard]

    def total(name: str):
        values = [line.get(name) for line in lines]
        return None if None in values or not values else sum(values)

    slowest = [[line.get("latency") for line in heard] for heard in rounds]
    known = all(None not in heard for heard in slowest)
    tokens = total("tokens")
    return Reply(
        reply.answer,
        reply.confidence,
        cost=total("cost"),
        latency=sum(map(max, slowest)) if known else None,
        tokens=None if tokens is None else int(tokens),
        text=reply.text,
    )
