"""`Member`: a model of the gateway, with the source of its answer and of its confidence."""

from __future__ import annotations

import asyncio
import copy
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reply import Reply as LabReply
from ensemble_lab.core.reply import as_reply, in_utf8
from ensemble_lab.models.endpoints.completion import confidence as from_logprobs
from ensemble_lab.models.endpoints.completion import is_number, is_price
from ensemble_lab.models.errors import ModelError
from ensemble_lab.systems.serve.parsing import parser
from ensemble_lab.systems.serve.protocol import ApiError, completion, summed, usage_of
from ensemble_lab.systems.serve.upstream import Reply, UpstreamError

JUDGE = (
    "Question:\n{question}\n\nProposed answer:\n{answer}\n\nHow likely is the proposed answer"
    " right? Reply with one number from 0 to 1."
)
OURS = ("model", "messages", "stream", "stream_options", "metadata", "user", "store")
SETTINGS = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens",
            "temperature": "temperature", "seed": "seed"}  # fmt: skip


class Source(Protocol):
    """What answers: `Upstream`, which also streams, or `Local`, whose completions are whole."""

    name: str

    async def ask(self, body: dict, deadline: float) -> Reply: ...

    async def aclose(self) -> None: ...


class Local:
    """A loaded model, asked in a thread and one call at a time.

    Parameters
    ----------
    model : callable
        A `LanguageModel`, or another function from messages to a `Reply`.
    name : str
    """

    local = True

    def __init__(self, model: Callable, name: str):
        self.model, self.name = model, name
        self._turn = asyncio.Lock()

    async def ask(self, body: dict, deadline: float) -> Reply:
        """One completion. A thread cannot be cancelled: its late reply is dropped."""
        model, start = self._set(body), time.perf_counter()
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                async with self._turn:
                    said = as_reply(await asyncio.to_thread(model, body["messages"]))
        except TimeoutError:
            raise UpstreamError(
                504, "timeout", f"{shown(self.name)} did not answer in time"
            ) from None
        except ModelError as error:
            raise ApiError(400, str(error), param="messages") from None
        text = said.text if said.text is not None else str(said.answer or "")
        usage = (
            {} if said.tokens is None else {"prompt_tokens": 0, "completion_tokens": said.tokens}
        )
        made = completion(self.name, in_utf8(text), usage_of({"usage": usage}))
        return Reply(200, {"reply": said}, made, time.perf_counter() - start)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _set(self, body: Mapping[str, Any]) -> Callable:
        """The model with the settings of a request.

        Raises
        ------
        ApiError
            400: a parameter that this model does not have.
        """
        given = {k: v for k, v in body.items() if k not in OURS and v is not None}
        given = {k: v for k, v in given.items() if not (k == "n" and v == 1)}
        model = copy.copy(self.model) if given else self.model
        for name, value in given.items():
            attribute = SETTINGS.get(name)
            if attribute is None or not hasattr(model, attribute):
                raise ApiError(
                    400, f"{name}: the local model {shown(self.name)} does not take it", param=name
                )
            setattr(model, attribute, value)
        return model


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


@dataclass(frozen=True)
class Heard:
    """A member's reply: the completion for the client, and its line for a table.

    Parameters
    ----------
    line : dict
        As `ensemble_lab.core.reply.entry` gives it.
    body : dict
        The completion.
    usage : dict
        Token counts of all calls that it took.
    seconds : float
    """

    line: dict = field(repr=False)
    body: dict = field(repr=False)
    usage: dict
    seconds: float


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

    async def stream(self, body: Mapping[str, Any], deadline: float) -> AsyncIterator[bytes]:
        """The events of an upstream's completion, as the server sends them; no local model's."""
        # Usage is always asked for: the gateway counts what a call costs.
        sent = self._sent(body) | {"stream": True, "stream_options": {"include_usage": True}}
        async for data in self.source.stream(sent, deadline):
            yield data

    async def hear(
        self, body: Mapping[str, Any], deadline: float, members: Mapping[str, Member]
    ) -> Heard:
        """A reply with its answer and confidence, for a policy."""
        body = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
        start = time.perf_counter()
        if isinstance(self.confidence, Agreement):
            one = body | {"temperature": self.confidence.temperature}
            replies = await gathered(
                [self.ask(one, deadline) for _ in range(self.confidence.samples)]
            )
        else:
            more = {"logprobs": True} if self.confidence == "logprobs" and not self.local else {}
            replies = [await self.ask(body | more, deadline)]
        answers = [self._answer(reply) for reply in replies]
        confidence, best = None, 0
        if isinstance(self.confidence, Agreement):
            counts = Counter(answer for answer in answers if answer is not None)
            if counts:
                # Counter keeps the order of arrival: a tie goes to the first answer.
                answer, votes = counts.most_common(1)[0]
                best, confidence = answers.index(answer), votes / len(answers)
        elif self.confidence == "logprobs" or (self.confidence is None and self.local):
            confidence = self._by_logprobs(replies[0])
        chosen, usage = replies[best].body, [usage_of(reply.body) for reply in replies]
        cost = None if self.price is None else sum_or_none(map(self.cost, usage))
        if isinstance(self.confidence, Verifier) and answers[0] is not None:
            confidence, judged, its_cost = await self._judged(body, chosen, deadline, members)
            usage.append(judged)
            cost = None if cost is None or its_cost is None else cost + its_cost
        if "logprobs" not in body:
            for choice in chosen["choices"]:
                choice.pop("logprobs", None)
        seconds = time.perf_counter() - start
        line = {
            "text": text_of(chosen),
            "confidence": confidence,
            "cost": cost,
            "latency": seconds,
            "tokens": usage[best].get("completion_tokens"),
        }
        if answers[best] is not None:
            line["answer"] = answers[best]
        return Heard(line, chosen, summed(usage), seconds)

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
        said = _said(reply)
        return text if said is None else said.answer

    def _by_logprobs(self, reply: Reply) -> float | None:
        said = _said(reply)
        return from_logprobs(reply.body["choices"][0]) if said is None else said.confidence

    async def _judged(self, body, chosen, deadline, members) -> tuple:
        judge, question = members[self.confidence.member], last_question(body)
        prompt = self.confidence.prompt.format(question=question, answer=text_of(chosen))
        asked = {"messages": [{"role": "user", "content": prompt}]}
        reply = await judge.ask(asked, deadline)
        usage, text = usage_of(reply.body), text_of(reply.body)
        number = parser("last number")(text or "")
        sure = None if number is None or not 0 <= float(number) <= 1 else float(number)
        return sure, usage, judge.cost(usage)


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


async def gathered(calls: list) -> list:
    """The results of several calls at the same time; the first error cancels the others."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def sum_or_none(values) -> float | None:
    """The sum, or None where a value is not known."""
    values = list(values)
    return None if None in values else sum(values)


def _said(reply: Reply) -> LabReply | None:
    """The reply of a local model, which gives its own answer and confidence."""
    return reply.headers.get("reply") if isinstance(reply.headers, dict) else None


def _is_choice(choice: Any) -> bool:
    return isinstance(choice, Mapping) and isinstance(choice.get("message"), Mapping)
