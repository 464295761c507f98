"""Requests drawn from the gateway's own schema get answers that the schema allows."""

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import ensemble_lab as lab
from ensemble_lab.core.reply import Reply
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.members import Member

members = {name: Member(lambda chat: Reply("4", text="4"), parse="exact") for name in "ab"}
schema = schemathesis.openapi.from_asgi("/openapi.json", app(lab.MajorityVote(), members))
CHECKS = (
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_drawn_requests(case):
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = "ensemble"
    case.call_and_validate(checks=CHECKS)
