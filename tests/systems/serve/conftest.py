"""A gateway in front of one mock upstream with two models."""

from contextlib import ExitStack, contextmanager

import pytest

import ensemble_lab as lab
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.upstream import Upstream
from tests.systems.serve.mock import Mock, serving


@pytest.fixture
def behind():
    """A function from what the upstream says to the address of a gateway and the upstream."""
    with ExitStack() as stack:
        yield lambda says, **more: stack.enter_context(_gateway(says, **more))


@contextmanager
def _gateway(says, url=None, **settings):
    mock = Mock(says)
    with serving(mock) as address:
        base = url or f"{address}/v1"
        members = {
            name: Member(
                Upstream(name, base),
                parse="last number",
                confidence="logprobs",
                price=(1.0, 2.0),
            )
            for name in ("small", "big", "third")
        }
        policies = {
            "vote": lab.MajorityVote(),
            "cascade": lab.Cascade(("small", "big"), (0.5,)),
        }
        with serving(app(policies, members, **settings)) as gateway:
            yield gateway, mock
