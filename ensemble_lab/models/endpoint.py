"""A model behind an OpenAI-compatible HTTP endpoint (vLLM, SGLang, llama.cpp, a paid service)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reply import Reply
from ensemble_lab.models.completion import confidence, excerpt, is_count, mend, messages, reason
from ensemble_lab.models.errors import (
    EndpointNonsense,
    EndpointStatus,
    EndpointTimeout,
    EndpointUnreachable,
    ModelError,
)
from ensemble_lab.models.language import Parse, Prompt

if TYPE_CHECKING:
    import httpx

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Endpoint:
    """A served model, asked with one chat completion an item.

    The key in the environment variable `OPENAI_API_KEY`, if there is one, is sent as the bearer
    token; it is read at each call and kept nowhere.

    Parameters
    ----------
    url
        Base address up to and with the version, such as `http://127.0.0.1:8000/v1`.
    name
        The model's name on that server.
    parse
        Turns the text into the answer; `None` means that there is none in it.
    timeout
        Seconds that one reply may take, from request to last byte.
    price
        USD per million input tokens and per million output tokens, if calls are paid for.
    max_tokens, temperature, seed
        Fields of the request; `None` leaves one out.
    logprobs
        Ask for log-probabilities, from which the confidence comes. Servers that do not know the
        field mostly ignore it; those that refuse it need `False`.

    References
    ----------
    OpenAI, API reference, "Create chat completion".

    Examples
    --------
    >>> model = Endpoint("http://127.0.0.1:8000/v1", "smollm2", price=(0.1, 0.4))
    >>> model("Is 17 a prime?")  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        parse: Parse = str.strip,
        timeout: float = 60.0,
        price: tuple[float, float] | None = None,
        max_tokens: int | None = 256,
        temperature: float | None = 0.0,
        seed: int | None = None,
        logprobs: bool = True,
    ):
        import httpx

        if not isinstance(url, str) or not _is_address(url):
            raise ModelError(
                f"endpoint {shown(url)} is no address such as http://127.0.0.1:8000/v1"
            )
        if not isinstance(name, str):
            raise ModelError(
                f"the model's name {shown(name)} is {type(name).__name__}; make it str"
            )
        if not callable(parse):
            raise ValueError(f"parse={shown(parse)} must be a function of the text")
        if not is_count(timeout) or not timeout > 0:
            raise ValueError(f"timeout={shown(timeout)} must be a number of seconds above 0")
        if price is not None and not _is_price(price):
            raise ValueError(f"price={shown(price)} must be two numbers: USD per million in, out")
        self.url, self.name = url.rstrip("/"), name
        self.parse, self.timeout, self.price = parse, timeout, price
        fields = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        self._fields = {key: value for key, value in fields.items() if value is not None}
        self._fields |= {"logprobs": True} if logprobs else {}
        # A proxy named in the environment cannot reach this machine's own loopback.
        proxied = urlsplit(url).hostname not in LOOPBACK
        self._client = httpx.Client(timeout=timeout, trust_env=proxied)

    def __repr__(self) -> str:
        return f"Endpoint({shown(self.url)}, {shown(self.name)})"

    def __call__(self, item: Prompt) -> Reply:
        """Ask the server for one reply; the caller's clock measures the latency.

        Raises
        ------
        EndpointUnreachable
            Nothing listens there, or the connection broke.
        EndpointTimeout
            No complete reply within `timeout` seconds.
        EndpointStatus
            The server answered with an HTTP error.
        EndpointNonsense
            The reply is not JSON, or not a chat completion.
        """
        body = {"model": self.name, "messages": messages(item), **self._fields}
        data = self._json(self._post(body))
        choice = self._choice(data)
        text = choice["message"]["content"]
        usage = data["usage"] if isinstance(data.get("usage"), dict) else {}
        tokens = usage.get("completion_tokens")
        return Reply(
            # A null text (all tokens spent on reasoning, say) is paid for, and holds no answer.
            answer=None if text is None else self.parse(text),
            confidence=confidence(choice),
            cost=self._cost(usage),
            tokens=tokens if is_count(tokens) else None,
            text=text or "",
        )

    def _post(self, body: Mapping[str, Any]) -> bytes:
        import httpx

        key = os.environ.get("OPENAI_API_KEY")
        request = self._client.build_request(
            "POST",
            f"{self.url}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"} if key else None,
        )
        deadline = time.monotonic() + self.timeout
        try:
            content, status = self._read(request, deadline)
        except httpx.TimeoutException as error:
            raise EndpointTimeout(
                f"{self} did not finish its reply in {self.timeout:g} s: raise timeout=, lower "
                "max_tokens=, or look whether the server is overloaded"
            ) from error
        except httpx.RequestError as error:
            raise EndpointUnreachable(
                f"{self} cannot be reached ({excerpt(error)}): is the server running, and is the "
                "address right?"
            ) from error
        if status >= 300:
            why = excerpt(reason(content)) + mend(status)
            raise EndpointStatus(f"{self} answered HTTP {status}: {why}")
        return content

    def _read(self, request: httpx.Request, deadline: float) -> tuple[bytes, int]:
        """Read the whole answer, part by part.

        httpx limits the silence between two parts; a server that drips would never run into it.
        """
        import httpx

        response = self._client.send(request, stream=True)
        try:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("deadline passed", request=request)
            return b"".join(parts), response.status_code
        finally:
            response.close()

    def _json(self, content: bytes) -> dict[str, Any]:
        import json

        try:
            data = json.loads(content)
        except ValueError as error:
            raise self._nonsense("is not JSON", content) from error
        if not isinstance(data, dict):
            raise self._nonsense("is JSON, but no object", content)
        return data

    def _choice(self, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            choice = data["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise self._nonsense("has no choices[0].message.content", data) from error
        if not isinstance(text, str | None):
            raise self._nonsense("has a text that is no string", data)
        return choice

    def _nonsense(self, what: str, content: Any) -> EndpointNonsense:
        told = content[:400].decode(errors="replace") if isinstance(content, bytes) else content
        return EndpointNonsense(
            f"the reply of {self} {what}: {shown(told)}. Does the address end in the API's version"
            " (…/v1)?"
        )

    def _cost(self, usage: Mapping[str, Any]) -> float | None:
        """USD for one call, or None where the price or the server's count is missing."""
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if self.price is None or not all(map(is_count, counts)):
            return None
        return sum(count * price for count, price in zip(counts, self.price, strict=True)) / 1e6


def _is_address(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)


def _is_price(price) -> bool:
    pair = isinstance(price, Sequence) and len(price) == 2
    return pair and all(is_count(usd) and usd >= 0 for usd in price)
