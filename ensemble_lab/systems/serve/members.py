"""`Member`: a model of the gateway, with the source of its answer and of its confidence."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reply import Reply as LabReply
from ensemble_lab.models.endpoints.completion import confidence as from_logprobs
from ensemble_lab.models.endpoints.completion import is_price
from ensemble_lab.systems.serve.confidence import Agreement, Judged, Verifier, text_of
from ensemble_lab.systems.serve.hearing import Heard, gathered, sum_or_none
from ensemble_lab.systems.serve.local import Local
from ensemble_lab.systems.serve.parsing import parser
from ensemble_lab.systems.serve.protocol import summed, usage_of
from ensemble_lab.systems.serve.wire import Reply, UpstreamError


@dataclass(frozen=True, eq=False)
class Member:
    """A model of the gateway.

    Parameters
    ----------
    source : Upstream or callable
        An endpoint, or a loaded model.
    parse : str, mapping or callable, optional
        Where the answer in the text is: ``"exact"``, ``"last number"``, ``{"choice": "ABCD"}``,
        ``{"json": field}``, ``{"regex": pattern}``, or a function from text to answer.
    confidence : str, Agreement or Verifier, optional
        ``"logprobs"`` asks the server for log-probabilities: the geometric mean of the tokens'. By
        default a loaded model's own.
    price : (float, float), optional
        USD per million input tokens and per million output tokens.
    served_as : str, optional
        The name with which the server answers, where it is not the one that was asked.
    """

    source: Any
    parse: Any = None
    confidence: str | Agreement | Verifier | None = None
    price: tuple[float, float] | None = None
    served_as: str | None = None

    def __post_init__(self):
        source = self.source
        if not hasattr(source, "ask"):
            if not callable(source):
                raise TypeError(
                    f"a member is {shown(source)}; give an Upstream, or a function of messages"
                )
            source = Local(source, getattr(source, "weights", "local"))
        object.__setattr__(self, "source", source)
        if self.parse is not None:
            object.__setattr__(self, "parse", parser(self.parse))
        if self.price is not None and not is_price(self.price):
            raise ValueError(
                f"price={shown(self.price)} must be two numbers: USD per million in, out"
            )
        if self.served_as is not None and not (self.served_as and isinstance(self.served_as, str)):
            raise ValueError(
                f"served_as={shown(self.served_as)}; give the name that it answers with"
            )
        named = isinstance(self.confidence, Agreement | Verifier | None)
        if not named and self.confidence != "logprobs":
            raise ValueError(
                f"confidence is {shown(self.confidence)}; give 'logprobs', Agreement(samples) or"
                " Verifier(member)"
            )
        if isinstance(self.confidence, Agreement) and self.parse is None:
            raise ValueError("confidence by agreement compares answers; give parse too")

    @property
    def local(self) -> bool:
        """Whether it is a loaded model, not a server."""
        return getattr(self.source, "local", False)

    async def ask(self, body: Mapping[str, Any], deadline: float) -> Reply:
        """One completion, checked, as the server gave it.

        Raises
        ------
        UpstreamError
            No completion, or one of another model.
        """
        reply = await self.source.ask(self._sent(body), deadline)
        self.check(reply.body)
        return reply

    def stream(self, body: Mapping[str, Any], deadline: float) -> AsyncIterator[bytes]:
        """The events of an upstream's completion, as the server sends them; no local model's."""
        # Usage is always asked for: the gateway counts what a call costs.
        sent = self._sent(body) | {"stream": True, "stream_options": {"include_usage": True}}
        return self.source.stream(sent, deadline)

    async def hear(
        self, body: Mapping[str, Any], deadline: float, members: Mapping[str, Member]
    ) -> Heard:
        """A reply with its answer and confidence, for a policy."""
        body = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
        start = time.perf_counter()
        replies = await gathered([self.ask(one, deadline) for one in self._asked(body)])
        answers = [self._answer(reply) for reply in replies]
        best, confidence = self._agreed(answers)
        reply = replies[best]
        if not isinstance(self.confidence, Agreement | Verifier):
            confidence = self._own_confidence(reply)
        usage = [usage_of(one.body) for one in replies]
        costs = [self._cost(*pair) for pair in zip(replies, usage, strict=True)]
        unknown = sum(one.calls for one in replies) - len(replies)
        judge, failed = None, None
        if isinstance(self.confidence, Verifier) and answers[best] is not None:
            judged = await self._judged(body, reply.body, deadline, members)
            confidence, unknown = judged.confidence, unknown + judged.unknown
            judge, failed = self.confidence.member, judged.failed
            usage.append(judged.usage)
            costs.append(judged.cost)
        seconds = time.perf_counter() - start
        line = self._line(reply, answers[best], confidence, sum_or_none(costs), seconds)
        if not body.get("logprobs"):
            for choice in reply.body["choices"]:
                choice.pop("logprobs", None)
        return Heard(line, reply.body, summed(usage), seconds, unknown, judge, failed)

    def _asked(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The requests for one answer."""
        if not isinstance(self.confidence, Agreement):
            asks = self.confidence == "logprobs" and not self.local
            return [{**body, **({"logprobs": True} if asks else {})}]
        heat, seed = self.confidence.temperature, body.get("seed")
        # One seed for all samples would make them one and the same.
        seeds = [{} if seed is None else {"seed": seed + i} for i in range(self.confidence.samples)]
        return [{**body, "temperature": heat, **own} for own in seeds]

    def _agreed(self, answers: list) -> tuple[int, float | None]:
        """The place of the commonest answer, the first of several, and its share."""
        counts = Counter(answer for answer in answers if answer is not None)
        if not counts:
            return 0, None
        answer, votes = counts.most_common(1)[0]  # in order of arrival
        return answers.index(answer), votes / len(answers)

    def line(self, reply: Reply) -> dict:
        """One reply as a line for a table; its cost is unknown where it took several calls."""
        cost = self._cost(reply, usage_of(reply.body)) if reply.calls == 1 else None
        sure = self._own_confidence(reply)
        return self._line(reply, self._answer(reply), sure, cost, reply.seconds)

    def _line(self, reply: Reply, answer, confidence, cost, seconds: float) -> dict:
        line = {
            "text": text_of(reply.body),
            "confidence": confidence,
            "cost": cost,
            "latency": seconds,
            "tokens": usage_of(reply.body).get("completion_tokens"),
        }
        line |= {} if answer is None else {"answer": answer}
        if self.local and self.parse is None and said_by(reply).probability is not None:
            line["probability"] = [*said_by(reply).probability.items()]
        return line

    def cost(self, usage: Mapping[str, int]) -> float | None:
        """USD of a call by its token counts; None where the price or a count is not known."""
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if self.price is None or None in counts:
            return None
        return sum(n * usd for n, usd in zip(counts, self.price, strict=True)) / 1e6

    def check(self, body: Mapping[str, Any]) -> None:
        """Refuse what is no completion, and a completion of another model."""
        choices, name = body.get("choices"), shown(self.source.name, 40)
        right = isinstance(choices, list) and choices and all(map(_is_choice, choices))
        if not right:
            raise UpstreamError(502, "nonsense", f"{name} answered without choices[0].message")
        self.check_model(body)

    def check_model(self, body: Mapping[str, Any]) -> None:
        """Refuse the completion or chunk of another model; versions of the same are accepted."""
        said, asked = body.get("model"), self.served_as or self.source.name
        if isinstance(said, str) and said and not said.startswith(asked):
            raise UpstreamError(
                502,
                "model",
                f"{shown(asked, 40)} was asked, and {shown(said, 40)} answered; if that is right,"
                f" set served_as = {shown(said, 40)}",
            )

    def _sent(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {**body, "model": self.source.name}

    def _answer(self, reply: Reply) -> Any:
        text = text_of(reply.body)
        if self.parse is not None:
            return None if text is None else self.parse(text)
        return said_by(reply).answer if self.local else text

    def _own_confidence(self, reply: Reply) -> float | None:
        """As its log-probabilities say, or as the local model says."""
        if self.local:
            return said_by(reply).confidence
        if self.confidence != "logprobs":
            return None
        return from_logprobs(reply.body["choices"][0])

    def _cost(self, reply: Reply, usage: Mapping[str, int]) -> float | None:
        if self.price is None and self.local:
            return said_by(reply).cost
        return self.cost(usage)

    async def _judged(self, body, chosen, deadline, members) -> Judged:
        judge, prompt = members[self.confidence.member], self.confidence.asked(body, chosen)
        try:
            reply = await judge.ask({"messages": [{"role": "user", "content": prompt}]}, deadline)
        except UpstreamError as error:  # the answer stands, and nobody knows how sure it is
            return Judged(None, {}, None, 1, error.kind)
        usage = usage_of(reply.body)
        sure = self.confidence.read(text_of(reply.body) or "")
        return Judged(sure, usage, judge.cost(usage), reply.calls - 1)


def said_by(reply: Reply) -> LabReply:
    """What a local model said: it gives its own answer and confidence."""
    return reply.headers["reply"]


def _is_choice(choice: Any) -> bool:
    return isinstance(choice, Mapping) and isinstance(choice.get("message"), Mapping)
