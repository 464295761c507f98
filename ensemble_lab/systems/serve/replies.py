"""What the gateway answers around a completion: JSON, headers that explain it, and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from ensemble_lab.systems.serve.deciding import Answered
from ensemble_lab.systems.serve.protocol import ApiError, compact
from ensemble_lab.systems.serve.wire import UpstreamError


class Json(Response):
    """A response in JSON; `after` is called when it was sent, so that its client does not wait."""

    media_type = "application/json"

    def __init__(
        self,
        content: Any,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        after: Callable[[], None] | None = None,
    ):
        super().__init__(content, status, headers)
        self._after = after

    async def __call__(self, scope, receive, send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._after is not None:
                self._after()

    def render(self, content: Any) -> bytes:
        """The body."""
        return compact(content)


def api_error(error: ApiError | UpstreamError) -> ApiError:
    """A member's error as the client reads it; the gateway has already tried again."""
    if isinstance(error, ApiError):
        return error
    status = error.status
    if status in (401, 403):  # the gateway's own key, not the client's
        return ApiError(502, f"{error.message} (the gateway's key)", code=error.kind, retry=False)
    if status == 429:
        again = False if error.tried else None
        after = error.retry_after
        return ApiError(429, error.message, code="rate_limit", retry_after=after, retry=again)
    status = {400: 400, 413: 413, 422: 400, 408: 504, 503: 503, 504: 504, 508: 508}.get(status, 502)
    return ApiError(
        status, error.message, code=error.kind, retry_after=error.retry_after, retry=False
    )


def headers_of(
    called, cost: float | None, overhead: float, rule: str, failed=None, again=None
) -> dict[str, str]:
    """Who was asked, what it cost in USD, the gateway's own milliseconds, and which rule fired.

    Members that failed and calls that were made again are named where there are any.
    """
    found = {
        "x-ensemble-called": ",".join(called),
        "x-ensemble-overhead-ms": f"{max(overhead, 0) * 1e3:.3f}",
        "x-ensemble-rule": rule,
    }
    for header, counts in {"x-ensemble-failed": failed, "x-ensemble-again": again}.items():
        found |= {header: ",".join(f"{k}={v}" for k, v in counts.items())} if counts else {}
    found |= {} if cost is None else {"x-ensemble-cost": f"{cost:.9g}"}
    return {k: ascii_line(v) for k, v in found.items()}


def explaining(found: Answered, overhead: float) -> dict[str, str]:
    """The headers of a policy's answer."""
    return headers_of(
        found.called, found.cost, overhead, found.rule, failed=found.failures, again=found.again
    )


def ascii_line(text: str) -> str:
    """A header's value: names and labels may be other than ASCII, and hold ends of lines."""
    return " ".join(text.split()).encode("ascii", "backslashreplace").decode()
