"""What the gateway tells its traffic log about a request and about a policy's answer."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request

from ensemble_lab.core.decision import COMBINED
from ensemble_lab.systems.serve.deciding import Answered


def about_request(request: Request) -> dict[str, Any]:
    """What the traffic log keeps of a request that is not read yet."""
    given, name = request.headers.get("x-request-id"), request.scope["request_id"]
    return {"request": name, "ours": given != name, "time": time.time(), "body": None}


def told_of(found: Answered) -> dict[str, Any]:
    """What the traffic log keeps of a policy's answer."""
    decision, chosen = found.decision, int(found.decision.chosen[0])
    told = {"rule": found.rule, "features": found.features, "failed": found.failed}
    told["replies"] = {name: one.line for name, one in found.heard.items()}
    if chosen >= 0:
        return told | {"chosen": decision.models[chosen]}
    return told | ({"answer": decision.answers[0]} if chosen == COMBINED else {})
