"""Ray: processes on this machine or on many, for calls and files that do not wait for each other.

References
----------
Moritz et al., Ray: a distributed framework for emerging AI applications, OSDI 2018.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

from ensemble_lab.core.errors import shown
from ensemble_lab.models.asking.recorder import ask, of

STORE = 100 * 2**20  # bytes of shared memory: replies and totals are small
SHARE = 0.1  # of a processor that a model is counted as: it mostly waits or has its own threads
WAITING = 2  # calls of one model at a time: one that it works on and the next
# Seconds after which Serve ends its own proxy: 5 and 10 are too few on a busy machine. Ray's
# processes take them from here when the cluster starts, so a later part cannot set them.
PATIENCE = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "50",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "50",
}


@contextmanager
def cluster() -> Iterator[Any]:
    """The module `ray`, connected: to the cluster that is in use, else to one made for this.

    It is on this machine, without a dashboard and without usage statistics, and is stopped at the
    end. Its ports are bound to loopback, if this is what imports Ray. The environment variable
    `RAY_ADDRESS` names another cluster, which is left as it is.

    Raises
    ------
    ImportError
        Ray is not installed.
    """
    ray = imported("ray")
    if ray.is_initialized():
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        for name, seconds in PATIENCE.items():
            os.environ.setdefault(name, seconds)
        # "local": never a cluster that an earlier program left behind.
        ray.init(
            "local",
            include_dashboard=False,
            object_store_memory=STORE,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    try:
        yield ray
    finally:
        ray.shutdown()


def imported(name: str) -> Any:
    """The module `name` of Ray, which sends no usage statistics from here.

    Raises
    ------
    ImportError
        Ray, or the part of it, is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not os.environ.get("RAY_ADDRESS"):
        # Without it Ray takes this machine's address in the network for 127.0.0.1, on any system.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(
            f"{name} is not installed; pip install 'ensemble-lab[ray]', or leave engine='ray' out"
        ) from None


def result(reference) -> Any:
    """The result of a call; its error is raised as it was there."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def results(references: list) -> Iterator[Any]:
    """The results as they come; after an error or Ctrl-C the others are cancelled."""
    import ray

    waiting = list(references)
    try:
        while waiting:
            (done,), waiting = ray.wait(waiting)
            yield result(done)
    finally:
        for reference in waiting:
            ray.cancel(reference)


def replies(
    models: Mapping[str, Callable], items: Mapping, todo: list, given_up: Callable[[str], bool]
) -> Iterator[tuple]:
    """Every pair of `todo` as (item, model, function that gives its reply), as the replies come.

    Each model is an actor, which Ray starts again where it ends by a fault. A model that is given
    up is not asked any more: its pairs come without a function.

    Raises
    ------
    TypeError
        A model that cannot be sent to another process.
    """
    left: dict[str, deque] = {name: deque() for name in models}
    for item, name in todo:
        left[name].append(item)
    with cluster() as ray:
        actor = ray.remote(num_cpus=SHARE, max_restarts=-1)(Asked)
        asked = {name: _started(actor, models[name], name) for name in left if left[name]}
        flying: dict[Any, tuple] = {}

        def more(name: str) -> None:
            if left[name] and not given_up(name):
                item = left[name].popleft()
                call = asked[name].ask.remote(items[item], of(item, name))
                flying[call] = (item, name)

        for name in [*asked] * WAITING:
            more(name)
        while flying:
            (done,), _ = ray.wait(list(flying))
            item, name = flying.pop(done)
            yield item, name, partial(result, done)
            more(name)
    yield from ((item, name, None) for name, rest in left.items() for item in rest)


class Asked:
    """A model in a process of its own."""

    def __init__(self, model: Callable):
        self.model = model

    def ask(self, item, where: str) -> tuple[dict, bool]:
        """As `ensemble_lab.models.asking.recorder.ask`."""
        return ask(self.model, item, where)


def _started(actor, model: Callable, name: str):
    """The actor of a copy of the model."""
    try:
        return actor.remote(model)
    except Exception as error:  # a user's class may raise any error
        raise TypeError(
            f"model {shown(name, 40)} cannot be sent to another process"
            f" ({type(error).__name__}); give a function that loads what it needs when it is called"
        ) from None
