"""The gateway's own OpenAPI schema: what it takes, and what it answers with."""

from __future__ import annotations

from typing import Any

from ensemble_lab.systems.serve.protocol import ChatRequest

STATUSES = {
    400: "A parameter is wrong: named",
    401: "No key, or another",
    404: "No such model",
    408: "The body did not arrive in time",
    413: "The body is too long",
    415: "The body is not said to be JSON",
    429: "A member limits the rate: Retry-After",
    500: "A fault of the gateway",
    502: "A member answered with nonsense",
    503: "Overloaded, or a member cannot be reached",
    504: "No answer in time",
    508: "A circle of gateways",
}
TEXT = {"type": "string"}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "object", "created", "owned_by"],
                "properties": {"id": TEXT, "created": {"type": "integer"}, "owned_by": TEXT},
            },
        },
    },
}
COMPLETION = {
    "type": "object",
    "required": ["choices", "model"],
    "properties": {"choices": {"type": "array", "minItems": 1}, "model": TEXT},
}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _json(ERROR, STATUSES[status]) for status in statuses}


def of_models() -> dict[int | str, dict[str, Any]]:
    """Responses of ``/v1/models``."""
    return {200: _json(MODELS, "Policies and members"), **_errors(401)}


def of_model() -> dict[int | str, dict[str, Any]]:
    """Responses of ``/v1/models/NAME``."""
    return {200: _json(MODELS["properties"]["data"]["items"], "One"), **_errors(401, 404)}


def of_chat() -> dict[int | str, dict[str, Any]]:
    """Responses of ``/v1/chat/completions``."""
    whole = _json(COMPLETION, "A completion, or its events")
    one = {"type": "object", "required": ["data"], "properties": {"data": TEXT}}
    whole["content"]["text/event-stream"] = {"schema": one}
    return {200: whole, **_errors(*STATUSES)}


def of_metrics() -> dict[int | str, dict[str, Any]]:
    """Responses of ``/metrics``."""
    text = {"text/plain": {"schema": TEXT}}
    return {200: {"description": "Counts for Prometheus", "content": text}, **_errors(401)}


def request() -> dict[str, Any]:
    """The body of a chat completion."""
    schema = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.pop("$defs")
    # Inlined: FastAPI collects only the models that it validates itself.
    for name, part in parts.items():
        schema = _inlined(schema, f"#/components/schemas/{name}", part)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _inlined(value: Any, reference: str, part: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if value.get("$ref") == reference:
            return part
        return {k: _inlined(v, reference, part) for k, v in value.items()}
    return [_inlined(v, reference, part) for v in value] if isinstance(value, list) else value
