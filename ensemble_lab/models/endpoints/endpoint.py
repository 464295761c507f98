"""A model behind an OpenAI-compatible HTTP endpoint (vLLM, SGLang, llama.cpp, a paid service)."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.core.reply import Reply, in_utf8
from ensemble_lab.models.endpoints.address import Address, without_secrets
from ensemble_lab.models.endpoints.completion import (
    confidence,
    count,
    excerpt,
    field,
    fix,
    is_number,
    is_price,
    messages,
    parsed,
    reason,
    written,
)
from ensemble_lab.models.endpoints.connection import Answer, Broken, Late, Lines, Unreadable
from ensemble_lab.models.endpoints.keys import VARIABLE, Secrets, environment_key, given_key
from ensemble_lab.models.errors import (
    EndpointNonsense,
    EndpointStatus,
    EndpointTimeout,
    EndpointUnreachable,
    ModelError,
)
from ensemble_lab.models.language import Parse, Prompt
from ensemble_lab.models.settings import check_parse

DAY = 86_400  # seconds: no reply takes longer, and no clock overflows
MOST_READ = 4000  # characters of a server's text that are used for a message
NAMES = {status.value: status.phrase for status in HTTPStatus}
PLAIN = "over plain http others in the network can read it: use https, or give key= to send one"


class Endpoint:
    """A served model, asked by one chat completion an item.

    The key is sent as the bearer token and is never shown: not in errors, not in a repr, and not
    where a server repeats it. Without `key`, it is read from the environment variable
    `OPENAI_API_KEY` at each call, and sent only over https or to this machine. Over plain http,
    where others in the network can read it, only an explicit `key` is sent. No proxy is used for
    this machine, and no redirect is followed. A pickle or a recording of an endpoint contains no
    key.

    Parameters
    ----------
    url
        Base address up to and with the version, such as `http://127.0.0.1:8000/v1`. A name and
        password in it are sent as credentials instead of a key, and the text after a question mark
        is appended to the path.
    name
        The model's name on that server, without ``?``, ``&`` and ``=``.
    parse
        Turns the text into the answer; `None` means that the text contains none.
    timeout
        Seconds that one reply may take, from the look-up of the server's name to the last byte.
    price
        USD per million input tokens and per million output tokens, if calls are paid for.
    max_tokens, temperature, seed
        Fields of the request; `None` leaves one out.
    logprobs
        Ask for log-probabilities, from which the confidence comes. Most servers that do not know
        the field ignore it; for those that refuse it use `False`.
    key
        The key of this service, where it differs from that in the environment.

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
        key: str | None = None,
    ):
        require("an endpoint", "httpx")
        self._address = Address.of(url)
        if not isinstance(name, str):
            raise ModelError(
                f"the model's name {shown(name)} is {type(name).__name__}; make it str"
            )
        if set(name) & set("?&="):  # the name may contain a key: it is not shown
            raise ModelError(
                "the model's name holds ?, & or =, like the query of an address; a query is written"
                " before the #: 'openai:http://127.0.0.1:8000/v1?version=1#name'"
            )
        if in_utf8(name) != name:
            raise ModelError(f"the model's name {shown(name)} holds half a character; correct it")
        check_parse(parse)
        if not is_number(timeout) or not 0 < timeout <= DAY:
            raise ValueError(
                f"timeout={shown(timeout)} must be a number of seconds above 0, at most {DAY}"
            )
        if price is not None and not is_price(price):
            raise ValueError(f"price={shown(price)} must be two numbers: USD per million in, out")
        self.url, self.name = self._address.plain, name
        self.parse, self.timeout, self.price = parse, float(timeout), price
        fields = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        self._fields = {k: field(k, value) for k, value in fields.items() if value is not None}
        self._fields |= {"logprobs": True} if logprobs else {}
        given = given_key(key)
        if given and self._address.user:
            raise ModelError("the address holds a name or password, and key= is given; give one")
        # A function, so that printing the attributes does not print the key.
        self._given = (lambda: given) if given else None
        self._start()

    def _start(self) -> None:
        self._lines, self._warned, self._lost = Lines(self._address.proxy), False, False

    def __repr__(self) -> str:
        text = f"Endpoint({shown(self.url, 60)}, {shown(self.name, 40)})"
        return self._secrets().out_of(text)

    def __copy__(self) -> Endpoint:
        made = object.__new__(type(self))
        made.__dict__ |= self.__dict__
        made._start()
        made._lost = self._lost
        return made

    def __deepcopy__(self, memo: dict) -> Endpoint:
        made = copy.copy(self)
        made._fields, made.price = dict(self._fields), copy.deepcopy(self.price, memo)
        return made

    def __getstate__(self) -> dict:
        """The state for a pickle: without key, password and query."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("_lines", "_given")}
        secret = self._given or self._address.user or self._address.query
        state["_lost"] = self._lost or bool(secret)
        state["_address"] = Address(self._address.plain, self._address.host)
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state | {"_given": None}
        self._start()
        self._lost = state["_lost"]

    def __call__(self, item: Prompt) -> Reply:
        """Ask the server for one reply; the caller's clock measures the latency.

        Raises
        ------
        EndpointUnreachable
            No server answers there, or the connection broke.
        EndpointTimeout
            No complete reply within `timeout` seconds.
        EndpointStatus
            The server answered with an HTTP error.
        EndpointNonsense
            The reply is not JSON, not a chat completion, or longer than 8 MB.
        ModelError
            A prompt that cannot be sent, or a key that is not allowed in a header.

        Warns
        -----
        UserWarning
            The key in the environment is not sent over plain http to another machine.
        """
        if self._lost:
            raise ModelError(
                f"{self} comes from a pickle, which contains no key, password or query; make it"
                " again"
            )
        body = {"model": self.name, "messages": messages(item), **self._fields}
        content = self._post(written(body, item))
        choice, usage = self._read(content)
        text = choice["message"]["content"]
        return Reply(
            # A null text (such as after reasoning that used all tokens) is paid for and has no
            # answer.
            answer=None if text is None else self.parse(in_utf8(text)),
            confidence=confidence(choice),
            cost=self._cost(usage),
            tokens=count(usage.get("completion_tokens")),
            text=in_utf8(text or ""),
        )

    def _post(self, body: bytes) -> bytes:
        """The server's answer; its errors have no others in their chain, which may hold a key."""
        self._look_at_the_key()
        try:
            answer = self._lines.post(
                self._address.at("/chat/completions"), self._headers, body, self.timeout
            )
        except Late:
            failed = EndpointTimeout(
                f"{self} did not finish its reply in {self.timeout:g} s: raise timeout=, lower "
                "max_tokens=, or check whether the server is overloaded"
            )
        except Unreadable as error:
            failed = EndpointNonsense(f"the reply of {self} {excerpt(str(error))}")
        except Broken as error:
            detail = excerpt(self._secrets().out_of(str(error)[:MOST_READ]))
            failed = EndpointUnreachable(
                f"{self} cannot be reached ({detail}): is the server running, and is the address "
                "right?"
            )
        else:
            if answer.status < 300:
                return self._secrets().out_of_reply(answer.content)
            why = self._why(answer)
            failed = EndpointStatus(f"{self} answered HTTP {answer.status}: {why}")
        raise failed

    def _key(self) -> str | None:
        """The bearer token to send."""
        if self._given is not None:
            return self._given()
        return environment_key() if self._address.safe and not self._address.user else None

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "ensemble-lab",
        }
        key = self._key()
        token = f"Bearer {key}" if key else self._address.basic
        return headers | ({"Authorization": token} if token else {})

    def _secrets(self) -> Secrets:
        own = self._given() if self._given is not None else None
        return Secrets([own, os.environ.get(VARIABLE, "").strip(), *self._address.secrets])

    def _withheld(self) -> bool:
        """Whether there is a key in the environment that is not sent."""
        bare = self._given is None and not self._address.user and not self._address.safe
        return bare and bool(os.environ.get(VARIABLE, "").strip())

    def _look_at_the_key(self) -> None:
        """Refuse a key that cannot be sent; warn once where a key is not sent."""
        self._key()
        if self._withheld() and not self._warned:
            self._warned = True
            warnings.warn(f"{VARIABLE} is not sent to {self}: {PLAIN}", stacklevel=4)

    def _why(self, answer: Answer) -> str:
        """The server's reason for an error, and the fix."""
        secrets = self._secrets()
        if 300 <= answer.status < 400:
            to = secrets.out_of(without_secrets(answer.location[:MOST_READ]))
            where = f"it points to {shown(to, 60)}" if to else "it points nowhere"
            return f"{where}, which is not followed; give that address if it is right"
        detail = excerpt(secrets.out_of(reason(answer.content)[:MOST_READ]))
        detail = detail or NAMES.get(answer.status, "no reason is given")
        if answer.status in (401, 403) and self._withheld():
            return f"{detail} ({VARIABLE} is not sent: {PLAIN})"
        return detail + fix(answer.status)

    def _read(self, content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
        """The first choice, with a text or None, and the token counts."""
        what = "is not JSON"
        try:
            data = parsed(content)
            what = "is JSON, but not an object" if not isinstance(data, dict) else ""
            what = what or "has no choices[0].message.content"
            choice = data["choices"][0]
            text = choice["message"]["content"]
            what = "" if isinstance(text, str | None) else "has a text that is not a string"
        except (ValueError, LookupError, TypeError):
            pass
        if what:
            raise self._nonsense(what, content)
        return choice, data["usage"] if isinstance(data.get("usage"), dict) else {}

    def _nonsense(self, what: str, content: bytes) -> EndpointNonsense:
        detail = self._secrets().out_of(content[:MOST_READ].decode(errors="replace"))
        return EndpointNonsense(
            f"the reply of {self} {what}: {shown(detail, 60)}. Does the address end in the API's"
            " version (…/v1)?"
        )

    def _cost(self, usage: Mapping[str, Any]) -> float | None:
        """USD for one call, or None where the price or the server's count is missing."""
        counts = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
        if self.price is None or None in counts:
            return None
        return sum(number * price for number, price in zip(counts, self.price, strict=True)) / 1e6
