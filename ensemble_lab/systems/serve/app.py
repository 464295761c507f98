"""`app`: the gateway as one ASGI application, for uvicorn alone or inside Ray Serve.

References
----------
OpenAI, API reference.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from ensemble_lab.core.errors import shown
from ensemble_lab.core.policy import Policy
from ensemble_lab.models.endpoints.keys import checked
from ensemble_lab.systems.serve import schema
from ensemble_lab.systems.serve.checks import check_kind, check_name, check_seconds
from ensemble_lab.systems.serve.confidence import check_verifiers
from ensemble_lab.systems.serve.deciding import Features, Served
from ensemble_lab.systems.serve.door import VARIABLE, Door, http_error, validation_error
from ensemble_lab.systems.serve.gateway import Gateway
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.recording import TrafficLog
from ensemble_lab.systems.simulator.inputs import whole

MOST_BODY = 8 * 2**20  # bytes
MOST_WAITING = 256  # requests at the same time


def app(
    policy: Policy | Served | Mapping[str, Policy | Served],
    models: Mapping[str, Any],
    *,
    features: Features | None = None,
    labels: Sequence[Hashable] = (),
    timeout: float = 120.0,
    most_body: int = MOST_BODY,
    most_waiting: int = MOST_WAITING,
    recorder: TrafficLog | None = None,
) -> FastAPI:
    """The gateway: policies and their members behind an OpenAI-compatible address.

    Clients that know the key in the environment variable `ENSEMBLE_LAB_KEY` are let in; without
    that variable all are. The prompt and the key are in no error and no metric.

    Parameters
    ----------
    policy : Policy, or mapping of name to Policy
        Fitted where it needs to be. One alone is named ``"ensemble"``.
    models : mapping of name to Member, Upstream or callable
        All that the policies name; each can be asked alone as well.
    features : callable, optional
        For routers: from a list of questions to features, such as `QuestionFeatures`. The question
        is the text of the user's last message.
    labels : sequence, optional
        All labels, where a rule depends on their number; see `ensemble_lab.run`.
    timeout : float
        Seconds until a request is given up, with 504.
    most_body : int
        Bytes of a request; longer ones get 413.
    most_waiting : int
        Requests at the same time; further ones get 503.
    recorder : TrafficLog, optional
        Records every request; closed with the application.

    Raises
    ------
    ValueError
        A policy that could not answer: it names no member, or compares answers of a member without
        `parse`; a policy and a model of one name; seconds or counts that are none.
    TypeError
        What is no policy, or no model.

    Examples
    --------
    Three functions vote; a loaded model or an `Upstream` takes the place of each:

    >>> import ensemble_lab as lab
    >>> members = {name: lambda chat: "4" for name in ("a", "b", "c")}
    >>> gateway = lab.app(lab.MajorityVote(), members)
    >>> sorted(gateway.state.gateway.members)
    ['a', 'b', 'c']

    Any ASGI server serves it, such as ``uvicorn.run(gateway, host="127.0.0.1", port=8000)``; in a
    thread of this process `start_gateway` does.
    """
    members, policies = _checked(policy, models, features, labels)
    check_seconds(timeout, "timeout")
    for what, most in {"most_body": most_body, "most_waiting": most_waiting}.items():
        whole(most, what)
    check_kind(recorder, "recorder", ("write", "close"), "a TrafficLog")
    key = os.environ.get(VARIABLE, "")
    gateway = Gateway(policies, members, timeout, most_body, most_waiting, recorder)

    @asynccontextmanager
    async def lifespan(_):
        yield
        for member in members.values():
            await member.source.aclose()
        if recorder is not None:
            await asyncio.to_thread(recorder.close)

    made = FastAPI(
        title="ensemble-lab",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    made.state.gateway = gateway
    _route(made, gateway)
    made.add_middleware(Door, key=checked(key, VARIABLE) if key.strip() else None)
    return made


def _checked(policy, models, features, labels) -> tuple[dict[str, Member], dict[str, Served]]:
    """Members and policies by name, which can answer."""
    if not isinstance(models, Mapping) or not models:
        raise ValueError(f"models is {shown(models)}; name them: {{'small': Upstream(…), …}}")
    named = policy if isinstance(policy, Mapping) else {"ensemble": policy}
    for name in (*models, *named):
        check_name(name)
    members = {
        name: one if isinstance(one, Member) else Member(one) for name, one in models.items()
    }
    policies = {
        name: one if isinstance(one, Served) else Served(one, features, labels)
        for name, one in named.items()
    }
    check_verifiers(members)
    for name, served in policies.items():
        if name in members:
            raise ValueError(f"{shown(name, 40)} names a policy and a model; rename one of them")
        served.check(members, name)
    return members, policies


class Direct(APIRoute):
    """A route whose function takes the request as it is: nothing is looked up or checked before."""

    def get_route_handler(self):
        """The function itself."""
        return self.endpoint


def _route(made: FastAPI, gateway: Gateway) -> None:
    """The addresses, and what an address that is not there is told."""
    made.add_exception_handler(HTTPException, http_error)
    made.add_exception_handler(RequestValidationError, validation_error)
    made.add_api_route(
        "/v1/models", gateway.models, methods=["GET"], responses=schema.of_models(), name="models"
    )
    made.add_api_route(
        "/v1/models/{model:path}",
        gateway.model,
        methods=["GET"],
        responses=schema.of_model(),
        name="model",
    )
    made.router.add_api_route(
        "/v1/chat/completions",
        gateway.chat,
        methods=["POST"],
        route_class_override=Direct,
        openapi_extra=schema.request(),
        responses=schema.of_chat(),
        name="chat",
    )
    made.add_api_route("/health", gateway.health, methods=["GET"], name="health")
    made.add_api_route(
        "/metrics",
        gateway.metrics,
        methods=["GET"],
        response_class=PlainTextResponse,
        responses=schema.of_metrics(),
        name="metrics",
    )
