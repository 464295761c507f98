"""How sure a member is, where its server does not say: agreement of samples, or a verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.reply import in_utf8
from ensemble_lab.models.endpoints.completion import is_number

JUDGE = (
    "Question:\n{question}\n\nProposed answer:\n{answer}\n\nHow likely is the proposed answer"
    " right? Reply with one number from 0 to 1."
)


@dataclass(frozen=True)
class Agreement:
    """Confidence is the share of `samples` replies that agree with the commonest answer.

    References
    ----------
    Wang et al., Self-consistency improves chain of thought reasoning, ICLR 2023.
    """

    samples: int = 5
    temperature: float = 1.0

    def __post_init__(self):
        if not isinstance(self.samples, int) or not 2 <= self.samples <= 100:
            raise ValueError(f"agreement of {shown(self.samples)} samples; give 2 to 100")
        if not is_number(self.temperature) or self.temperature <= 0:
            raise ValueError(
                f"temperature is {shown(self.temperature)}; samples differ only above 0"
            )


@dataclass(frozen=True)
class Verifier:
    """Confidence is the number from 0 to 1 that another member gives the answer.

    References
    ----------
    Cobbe et al., Training verifiers to solve math word problems, arXiv 2110.14168.
    """

    member: str
    prompt: str = JUDGE


def text_of(body: Mapping[str, Any]) -> str | None:
    """The text of a completion's first choice."""
    text = body["choices"][0]["message"].get("content")
    return in_utf8(text) if isinstance(text, str) else None


def last_question(body: Mapping[str, Any]) -> str:
    """The text of the last message of the user."""
    for message in reversed(body["messages"]):
        content = message.get("content")
        if message["role"] == "user" and content:
            parts = [{"text": content}] if isinstance(content, str) else content
            return "".join(part.get("text", "") for part in parts)
    return ""


def check_verifiers(members: Mapping[str, Any]) -> None:
    """Refuse a verifier that is no member, or that is the member itself."""
    for name, member in members.items():
        if isinstance(member.confidence, Verifier):
            judge = member.confidence.member
            check_known(judge, members, "verifier", f"members, for {shown(name, 40)}")
            if judge == name:
                raise ValueError(f"member {shown(name, 40)} verifies itself; name another member")
