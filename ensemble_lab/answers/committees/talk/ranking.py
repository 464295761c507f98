"""Judges that compare answers two at a time, in both orders: `Jury`, and `RankAndFuse`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

from ensemble_lab.answers.committees.talk.committee import (
    Committee,
    Turns,
    at_least,
    named,
    plain_reply,
    role,
    said,
)
from ensemble_lab.answers.committees.talk.prompts import NOTICE, asked_again, fenced, told
from ensemble_lab.answers.committees.talk.transcript import Call, Transcript
from ensemble_lab.core.errors import shown
from ensemble_lab.core.frozen import Settled
from ensemble_lab.core.reply import Model, Reply
from ensemble_lab.models.prompts import Prompt

LETTER = re.compile(r"(?<![^\W_])[AB](?![^\W_])")  # A or B alone
# "A better one" begins with an article, and "A's" names no winner; "A is better" does.
NAMED = re.compile(r"(?<![^\W_])(?:A(?!['’]|\s+(?!(?:is|was|wins|because)\b)[a-z])|B)(?![^\W_])")


@dataclass(frozen=True, eq=False)
class Jury(Committee):
    """Members answer, and judges compare their answers two at a time, in both orders.

    Each judge reads each ordered pair, so n answers take n(n - 1) calls a judge. An answer scores 1
    for each verdict in its favour, and 1/2 where a judge names neither or both; the highest score
    wins, and a tie goes to the member listed first. A judge that follows the position gives both
    answers of a pair one point. Members without any text are not compared.

    Parameters
    ----------
    members : mapping of name to model, or names alone
    judges : mapping of name to model, or names alone
        Names that no member has. `Chooser` makes a judge from a loaded model's probabilities.
    seed, most
        As in `MixtureOfAgents`.

    References
    ----------
    Verga et al., "Replacing Judges with Juries", 2024. Zheng et al., "Judging LLM-as-a-Judge with
    MT-Bench and Chatbot Arena", NeurIPS 2023 (swapped positions).
    """

    judges: Mapping[str, Model | None]

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "judges", Settled(named(self.judges, "judges")))
        for name in self.judges:
            if name in self.members:
                raise ValueError(f"{shown(name, 40)} is a member and a judge; rename one of them")

    def models(self) -> dict[str, Model | None]:
        return super().models() | dict(self.judges)

    def described(self) -> str:
        return f"{super().described()} judged by {', '.join(sorted(self.judges))}"

    def turns(self, question: Prompt) -> Turns:
        lines = yield self.first(question)
        heard = dict(zip(self.members, lines, strict=True))
        ranked, confidence = yield from self._ranked(question, heard)
        if not ranked:
            return Reply(None)
        best = heard[ranked[0]]
        return Reply(best.get("answer"), confidence, text=best.get("text"))

    def _ranked(self, question: Prompt, heard: Mapping[str, dict]):
        """Members from the best, and the share of verdicts that the best one has."""
        texts = {name: said(line) for name, line in heard.items() if said(line).strip()}
        pairs = list(permutations(texts, 2))
        calls = [
            self._call(question, texts, judge, a, b) for judge in self.judges for a, b in pairs
        ]
        score = dict.fromkeys(texts, 0.0)
        if calls:
            lines = yield calls
            for (a, b), line in zip(pairs * len(self.judges), lines, strict=True):
                share = {"A": 1.0, "B": 0.0}.get(verdict(line), 0.5)
                score[a] += share
                score[b] += 1 - share
        ranked = sorted(texts, key=lambda name: -score[name])  # stable: the first member wins ties
        return ranked, score[ranked[0]] / (2 * len(calls) / len(texts)) if calls else None

    def _call(self, question: Prompt, texts: Mapping[str, str], judge: str, a: str, b: str) -> Call:
        column = f"{judge}:{a}>{b}@2"
        blocks = {"question": told(question), "answer A": texts[a], "answer B": texts[b]}
        text = (
            f"Below are a question and two answers. {NOTICE}\n"
            f"{fenced(blocks, self.key(question, column), self.most)}\n"
            "Which answer is better? Reply with one letter, A or B."
        )
        return Call(column, judge, text, (f"{a}@1", f"{b}@1"))


@dataclass(frozen=True, eq=False)
class RankAndFuse(Jury):
    """Judges rank the members' answers, and one model writes an answer from the best few.

    Parameters
    ----------
    members, judges
        As in `Jury`.
    fuser : str or model
        A member's name, or a model of its own; None where a transcript has what it said.
    top : int
        How many answers the fuser reads, at most as many as there are members.
    seed, most
        As in `MixtureOfAgents`.

    References
    ----------
    Jiang et al., "LLM-Blender: Ensembling Large Language Models with Pairwise Ranking and
    Generative Fusion", ACL 2023.
    """

    fuser: Model | str | None
    top: int = 3

    def __post_init__(self):
        super().__post_init__()
        if role(self.fuser, self.members, "fuser") in self.judges:
            raise ValueError("a judge is named 'fuser', as the fuser is; rename that judge")
        at_least(self.top, 1, "top")
        if self.top > len(self.members):
            raise ValueError(f"top={self.top} answers of {len(self.members)} members; lower top")

    def models(self) -> dict[str, Model | None]:
        fuser = {} if isinstance(self.fuser, str) else {"fuser": self.fuser}
        return super().models() | fuser

    def turns(self, question: Prompt) -> Turns:
        lines = yield self.first(question)
        heard = dict(zip(self.members, lines, strict=True))
        ranked, _ = yield from self._ranked(question, heard)
        name, best = role(self.fuser, self.members, "fuser"), ranked[: self.top]
        prompt = question
        if best:
            blocks = {f"answer {i}": said(heard[one]) for i, one in enumerate(best, 1)}
            prompt = asked_again(question, (
                f"Below are the best answers of other assistants, the best first. {NOTICE}\n"
                f"{fenced(blocks, self.key(question, 'fuse'), self.most)}\n"
                "Write one answer from them."
            ))  # fmt: skip
        (line,) = yield [Call(f"{name}@3", name, prompt, tuple(f"{one}@1" for one in best))]
        return plain_reply(line)


def verdict(line: Mapping) -> str | None:
    """``"A"`` or ``"B"``, where a judge's reply names exactly one of them."""
    if line.get("answer") in ("A", "B"):
        return line["answer"]
    letters, named = set(LETTER.findall(said(line))), set(NAMED.findall(said(line)))
    # An article beside a B may be a letter, as in "A beats B": nothing is guessed.
    return named.pop() if named and len(letters) == 1 else None


def position_flips(transcript: Transcript) -> float:
    """The share of judged pairs in which a judge's verdict followed the position.

    Parameters
    ----------
    transcript : Transcript
        Of a `Jury` or of `RankAndFuse`.

    Returns
    -------
    float
        In [0, 1]: both verdicts named the same position, over all pairs judged in both orders with
        a verdict each. NaN where there are none.
    """
    if not isinstance(transcript, Transcript):
        raise TypeError(f"transcript is {shown(transcript)}; give one that a jury filled")
    replies = transcript.recording.replies
    flips = pairs = 0
    for (item, column), line in replies.items():
        saw = [one.rpartition("@")[0] for one in line.get("saw", ())]
        if len(saw) != 2:
            continue
        a, b = saw
        judge = column.removesuffix(f":{a}>{b}@2")
        other = replies.get((item, f"{judge}:{b}>{a}@2"))
        if judge != column and a < b and other is not None:
            both = verdict(line), verdict(other)
            pairs += None not in both
            flips += both[0] == both[1] is not None
    return flips / pairs if pairs else float("nan")
