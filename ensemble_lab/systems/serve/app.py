"""`app`: the gateway as one ASGI application, for uvicorn alone or inside Ray Serve.

References
----------
OpenAI, API reference.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from ensemble_lab.core.errors import shown
from ensemble_lab.core.policy import Policy
from ensemble_lab.models.endpoints.keys import checked
from ensemble_lab.systems.serve import schema
from ensemble_lab.systems.serve.confidence import check_verifiers
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.door import VARIABLE, Door, http_error, validation_error
from ensemble_lab.systems.serve.gateway import Gateway
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.recording import TrafficLog

MOST_BODY = 8 * 2**20  # bytes
MOST_WAITING = 256  # requests at the same time


def app(
    policy: Policy | Served | Mapping[str, Policy | Served],
    models: Mapping[str, Any],
    *,
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
    policy : Policy, Served, or mapping of name to one
        One alone is named ``"ensemble"``.
    models : mapping of name to Member, Upstream or callable
        All that the policies name; each can be asked alone as well.
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
        `parse`; a policy and a model of one name.

    Examples
    --------
    >>> gateway = app(Cascade(("small", "big"), (0.8,)), members)  # doctest: +SKIP
    >>> uvicorn.run(gateway, host="127.0.0.1", port=8000)  # doctest: +SKIP
    """
    members = {
        name: one if isinstance(one, Member) else Member(one) for name, one in models.items()
    }
    named = policy if isinstance(policy, Mapping) else {"ensemble": policy}
    policies = {
        name: one if isinstance(one, Served) else Served(one) for name, one in named.items()
    }
    check_verifiers(members)
    for name, served in policies.items():
        if name in members:
            raise ValueError(f"{shown(name, 40)} names a policy and a model; rename one of them")
        served.check(members, name)
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
    made.add_api_route(
        "/v1/chat/completions",
        gateway.chat,
        methods=["POST"],
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
    made.state.gateway = gateway
    made.add_middleware(Door, key=checked(key, VARIABLE) if key.strip() else None)
    return made
