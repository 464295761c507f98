"""`Local`: a loaded model behind the gateway, beside endpoints."""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from ensemble_lab.core.errors import shown
from ensemble_lab.core.reply import Reply as LabReply
from ensemble_lab.core.reply import as_reply, in_utf8
from ensemble_lab.models.errors import ModelError
from ensemble_lab.models.language import LanguageModel
from ensemble_lab.systems.serve.protocol import ApiError, completion, text_in, usage_of
from ensemble_lab.systems.serve.wire import Reply, UpstreamError

OURS = ("model", "messages", "stream", "stream_options", "metadata", "user", "store")
SETTINGS = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens",
            "temperature": "temperature", "seed": "seed"}  # fmt: skip


# A model's reply, the tokens of its prompt where it counts them, whether its text was cut short.
Asked = tuple[LabReply, int | None, bool]


class Source(Protocol):
    """What answers: `Upstream`, which also streams, or `Local`, whose completions are whole."""

    name: str

    async def ask(self, body: dict, deadline: float) -> Reply: ...

    async def aclose(self) -> None: ...


class Local:
    """A loaded model, asked in a thread and one call at a time.

    A model without a chat template continues the texts of the messages, one a line.

    Parameters
    ----------
    model : callable
        A `LanguageModel`, or another function from messages to a `Reply`.
    name : str
    """

    local = True

    def __init__(self, model: Callable, name: str):
        self.model, self.name = model, name
        # Waiters of one gateway wait in its event loop; those of several, in a thread each.
        self._turns, self._alone = WeakKeyDictionary(), threading.Lock()

    def __reduce__(self):
        return Local, (self.model, self.name)  # locks stay in their process

    async def ask(self, body: dict, deadline: float) -> Reply:
        """One completion. A thread cannot be cancelled: its late reply is dropped."""
        model, start = self._set(body), time.perf_counter()
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                async with turn:
                    said, given, cut = await asyncio.to_thread(self._alone_asked, model, body)
        except TimeoutError:
            raise UpstreamError(
                504, "timeout", f"{shown(self.name)} did not answer in time"
            ) from None
        except ModelError as error:
            raise ApiError(400, str(error), param="messages") from None
        except ApiError:
            raise
        except Exception as error:  # its text could hold the prompt
            kind = type(error).__name__
            raise UpstreamError(502, "broken", f"{shown(self.name)} failed: {kind}") from None
        text = said.text if said.text is not None else str(said.answer or "")
        usage = {"prompt_tokens": given, "completion_tokens": said.tokens}
        made = completion(self.name, in_utf8(text), usage_of({"usage": usage}))
        made["choices"][0]["finish_reason"] = "length" if cut else "stop"
        return Reply(200, {"reply": said}, made, time.perf_counter() - start)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _alone_asked(self, model: Callable, body: Mapping[str, Any]) -> Asked:
        with self._alone:
            return _asked(model, body["messages"])

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


def _asked(model: Callable, messages: list) -> Asked:
    tokenizer, prompt = getattr(model, "tokenizer", None), messages
    if tokenizer is not None and getattr(tokenizer, "chat_template", None) is None:
        prompt = "\n".join(map(text_in, messages))
    if not isinstance(model, LanguageModel):
        return as_reply(model(prompt)), None, False
    made = model.generate(prompt)
    # As long as it may be, and not ended by its own last token.
    cut = len(made.tokens) >= model.max_new_tokens and made.tokens[-1] not in model.ends
    return model.reply(made), len(model.token_ids(prompt)), cut
