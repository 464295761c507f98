"""The gateway under Ray Serve: each model a deployment of its own, the policy in front of them.

The application is the one that uvicorn serves, made by the same function `app`; only the sources of
its members differ. Ray is imported when `application` is called.

References
----------
Ray Serve, Key concepts. Its ingress makes the application in the replica, from a function.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.core.policy import Policy
from ensemble_lab.models.asking.on_ray import SHARE, cluster, imported
from ensemble_lab.systems.serve.app import MOST_WAITING, VARIABLE, app
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.wire import Reply, UpstreamError

NAME = "ensemble-lab"
LEFT = (asyncio.CancelledError, GeneratorExit, TimeoutError)  # a call that still runs elsewhere
BUSY = 2  # calls of one replica, at work or waiting, above which another one is started
SOON = 5.0  # seconds that there must have been too many: as more than `ongoing` get 503 meanwhile
RECENT = 11.0  # seconds over which calls are counted; Serve asks for more than ten


def application(
    policy: Policy | Served | Mapping[str, Policy | Served],
    models: Mapping[str, Any],
    *,
    replicas: int = 1,
    ongoing: int = 16,
    cpus: float = SHARE,
    **settings: Any,
):
    """The gateway as an application of Ray Serve, for `running` or `serve.run`.

    Parameters
    ----------
    policy, models
        As for `app`. A loaded model is copied to its replicas.
    replicas : int
        The most that Ray starts of a model while its calls wait.
    ongoing : int
        Calls of one replica at a time; as many again wait, and further ones get 503.
    cpus : float
        Processors that a replica of a model is counted as; a fraction lets many share one.
    **settings
        Others of `app`.

    Returns
    -------
    ray.serve.Application

    Raises
    ------
    ImportError
        Ray Serve is not installed.
    ValueError
        As `app`; a number out of range.
    """
    serve = imported("ray.serve")
    for name, value in (("replicas", replicas), ("ongoing", ongoing)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}={shown(value)}; give a whole number from 1 up")
    if not isinstance(cpus, int | float) or isinstance(cpus, bool) or not 0 < cpus < 1e4:
        raise ValueError(f"cpus={shown(cpus)}; give a number of processors above 0, such as 0.5")
    scaled = {
        "ray_actor_options": {"num_cpus": cpus},
        "max_ongoing_requests": ongoing,
        "max_queued_requests": ongoing,
        "autoscaling_config": {
            "min_replicas": 1,
            "max_replicas": replicas,
            "target_ongoing_requests": min(BUSY, ongoing),
            "upscale_delay_s": SOON,
            "look_back_period_s": RECENT,
        },
    }
    members, deployments = {}, []
    for place, (name, one) in enumerate(models.items()):
        member, host = one if isinstance(one, Member) else Member(one), f"model-{place}"
        deployments.append(serve.deployment(Hosted, name=host, **scaled).bind(member.source))
        source = Remote(member.source.name, name, host, member.local)
        members[name] = replace(member, source=source)
    app(policy, members, **settings)  # what it refuses is said here, not in a replica's log
    keyed = bool(os.environ.get(VARIABLE, "").strip())

    def built():
        if keyed and not os.environ.get(VARIABLE, "").strip():
            raise ValueError(
                f"{VARIABLE} is set here and not on the cluster: nobody would be kept out"
            )
        return app(policy, members, **settings)

    most = settings.get("most_waiting", MOST_WAITING)
    gateway = serve.deployment(
        serve.ingress(built)(),
        name="gateway",
        ray_actor_options={"num_cpus": SHARE},
        max_ongoing_requests=most + 1,  # the gateway itself refuses, in OpenAI's form
    )
    return gateway.bind(*deployments)


@contextmanager
def running(application, port: int = 8000) -> Iterator[str]:
    """The address of a gateway for clients on this machine, while it runs.

    One port of each replica is open to the network, as Serve binds it: for the calls between
    replicas, with Ray's token where Ray asks for tokens, as 2.60 does by default.

    Raises
    ------
    ValueError
        Not a port, or one that is in use; a Serve that already runs there at another address.
    """
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ValueError(f"port={shown(port)}; give a whole number from 1 to 65535")
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError:
            raise ValueError(f"port {port} is in use; give another port") from None
    with cluster():
        serve = imported("ray.serve")
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        try:
            serve.run(application, name=NAME, route_prefix="/")
            if not _listens(port):  # Serve keeps the address that it was started with
                raise ValueError(
                    f"Serve runs here at another port than {port}; serve.shutdown() first"
                )
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            serve.shutdown()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Hosted:
    """A member's source in a replica. Times are given as seconds left: clocks differ."""

    def __init__(self, source):
        self.source = source

    async def ask(self, body: dict, left: float) -> Reply:
        """One completion."""
        return await self.source.ask(body, time.monotonic() + left)

    async def stream(self, body: dict, left: float) -> AsyncIterator[bytes]:
        """The events of a completion."""
        async for data in self.source.stream(body, time.monotonic() + left):
            yield data


@dataclass
class Remote:
    """A member's source in the gateway: asks the deployment that has the model."""

    name: str
    member: str
    deployment: str
    local: bool

    async def ask(self, body: dict, deadline: float) -> Reply:
        """One completion; where the client leaves, the call is cancelled."""
        left = deadline - time.monotonic()
        response = self._handle().ask.remote(body, left)
        try:
            async with asyncio.timeout(max(left, 0)):
                return await response
        except BaseException as error:
            if isinstance(error, LEFT):
                response.cancel()
            raise self._said(error) from None

    async def stream(self, body: dict, deadline: float) -> AsyncIterator[bytes]:
        """The events of a completion, which must be read here: Serve cannot pass them on."""
        left = deadline - time.monotonic()
        events = self._handle().options(stream=True).stream.remote(body, left)
        try:
            async with asyncio.timeout(max(left, 0)):
                async for data in events:
                    yield data
        except BaseException as error:
            if isinstance(error, LEFT):
                events.cancel()
            raise self._said(error) from None

    async def aclose(self) -> None:
        """Nothing to close."""

    def _handle(self):
        serve = imported("ray.serve")
        return serve.get_deployment_handle(
            self.deployment, app_name=serve.get_replica_context().app_name
        )

    def _said(self, error: BaseException) -> BaseException:
        """The member's own error, or what Ray's says to a client."""
        ray, refused = imported("ray"), imported("ray.serve.exceptions")
        name = shown(self.member, 40)
        if isinstance(error, ray.exceptions.RayTaskError):
            return error.cause
        if isinstance(error, refused.BackPressureError):
            return UpstreamError(503, "busy", f"{name} has too many calls", retry_after=1)
        if isinstance(error, TimeoutError):
            return UpstreamError(504, "timeout", f"{name} did not answer in time")
        if isinstance(error, ray.exceptions.RayError):
            return UpstreamError(502, "broken", f"{name} is gone: {type(error).__name__}")
        return error
