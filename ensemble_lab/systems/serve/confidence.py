"""How sure a member is, where its server does not say: agreement of samples, or a verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.reply import in_utf8
from ensemble_lab.models.endpoints.completion import is_number
from ensemble_lab.systems.serve.parsing import last_number
from ensemble_lab.systems.serve.protocol import text_in

JUDGE = (
    "Question:\n{question}\n\nProposed answer:\n{answer}\n\nHow likely is the proposed answer"
    " right? Reply with one number from 0 to 1."
)


@dataclass(frozen=True)
class Agreement:
    """Confidence is the share of `samples` replies that agree with the commonest answer.

    Parameters
    ----------
    samples : int
        Calls for one answer, from 2 to 100; a member asks them at the same time.
    temperature : float
        Above 0: at 0 all samples would be one and the same.

    References
    ----------
    Wang et al., Self-consistency improves chain of thought reasoning, ICLR 2023.

    Examples
    --------
    >>> import ensemble_lab as lab
    >>> member = lab.Member(print, parse="last number", confidence=lab.Agreement(5))
    >>> member.confidence.samples
    5
    """

    samples: int = 5
    temperature: float = 1.0

    def __post_init__(self):
        whole = isinstance(self.samples, int) and not isinstance(self.samples, bool)
        if not whole or not 2 <= self.samples <= 100:
            raise ValueError(f"agreement of {shown(self.samples)} samples; give 2 to 100")
        if not is_number(self.temperature) or self.temperature <= 0:
            raise ValueError(
                f"temperature is {shown(self.temperature)}; samples differ only above 0"
            )


@dataclass(frozen=True)
class Verifier:
    """Confidence is the number from 0 to 1 that another member gives the answer.

    Parameters
    ----------
    member : str
        The name of the member that judges.
    prompt : str
        With ``{question}`` and ``{answer}`` where they go.

    References
    ----------
    Cobbe et al., Training verifiers to solve math word problems, arXiv 2110.14168.

    Examples
    --------
    >>> import ensemble_lab as lab
    >>> lab.Verifier("judge").read("I would say 0.8")
    0.8
    """

    member: str
    prompt: str = JUDGE

    def __post_init__(self):
        if not isinstance(self.member, str):
            raise ValueError(f"the verifier is {shown(self.member)}; give the name of a member")
        try:
            filled = self.prompt.format(question="q", answer="\0")
        except (LookupError, ValueError, AttributeError):
            filled = ""
        if "\0" not in filled:
            raise ValueError(
                f"the verifier's prompt is {shown(self.prompt)}; put {{answer}} and {{question}}"
                " where they go, and write other braces twice"
            )

    def asked(self, body: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
        """What the other member is asked about a completion."""
        return self.prompt.format(question=last_question(body), answer=text_of(chosen))

    def read(self, text: str) -> float | None:
        """The last number of its reply where it is from 0 to 1; no other is a confidence."""
        number = last_number(text)
        return None if number is None or not 0 <= float(number) <= 1 else float(number)


@dataclass(frozen=True)
class Judged:
    """What a verifier said, and what it took.

    Parameters
    ----------
    confidence : float or None
    usage : dict
        Token counts.
    cost : float or None
        USD.
    unknown : int
        Calls of which neither tokens nor cost are known.
    failed : str, optional
        How the call failed.
    """

    confidence: float | None
    usage: dict
    cost: float | None
    unknown: int
    failed: str | None = None


def text_of(body: Mapping[str, Any]) -> str | None:
    """The text of a completion's first choice."""
    message = body["choices"][0]["message"]
    content = message.get("content")
    if isinstance(content, list):  # some servers give parts, such as thoughts and a text
        content = text_in({"content": [part for part in content if isinstance(part, Mapping)]})
    return in_utf8(content) if isinstance(content, str) else None


def last_question(body: Mapping[str, Any]) -> str:
    """The text of the last message of the user."""
    for message in reversed(body["messages"]):
        if message["role"] == "user" and (text := text_in(message)):
            return text
    return ""


def check_verifiers(members: Mapping[str, Any]) -> None:
    """Refuse a verifier that is no member, or that is the member itself."""
    for name, member in members.items():
        if isinstance(member.confidence, Verifier):
            judge = member.confidence.member
            check_known(judge, members, "verifier", f"members, for {shown(name, 40)}")
            if judge == name:
                raise ValueError(f"member {shown(name, 40)} verifies itself; name another member")
