"""The gateway's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
OVERHEAD = (0.0003, 0.001, 0.002, 0.003, 0.005, 0.01, 0.03, 0.1, 1)


class Metrics:
    """Counts of one gateway, in a registry of its own."""

    def __init__(self):
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self._requests = Counter(
            "ensemble_requests", "Chat completions asked for", ["model", "status"], **own
        )
        self._calls = Counter("ensemble_calls", "Calls of members", ["member", "outcome"], **own)
        self._again = Counter("ensemble_again", "Retries and hedges", ["member"], **own)
        self._stored = Counter("ensemble_stored", "Answers without a call", ["model"], **own)
        self._cost = Counter("ensemble_cost_usd", "Known cost of all calls", ["model"], **own)
        self._seconds = Histogram(
            "ensemble_seconds", "From request to last byte", ["model"], buckets=SECONDS, **own
        )
        self._overhead = Histogram(
            "ensemble_overhead_seconds", "The gateway's own time", buckets=OVERHEAD, **own
        )

    def watch(self, members: Mapping[str, Any], waiting: Callable[[], int]) -> None:
        """Show what is going on: requests inside, and members whose circuit breaker is open."""
        own = {"registry": self.registry}
        Gauge("ensemble_waiting", "Requests inside", **own).set_function(waiting)
        shut = Gauge("ensemble_breaker_open", "1: left alone after failures", ["member"], **own)
        for name, member in members.items():
            if (breaker := getattr(member.source, "breaker", None)) is not None:
                shut.labels(name).set_function(lambda one=breaker: one.state != "closed")

    def answered(
        self,
        model: str,
        called: Iterable[str],
        failed: Mapping[str, str],
        again: Mapping[str, int],
        cost: float | None,
    ) -> None:
        """Members asked for one answer, those that failed, further calls, the cost if known."""
        called = list(called)
        for member in called:
            self._calls.labels(member, failed.get(member, "ok")).inc()
        for member, times in again.items():
            self._again.labels(member).inc(times)
        if not called:
            self._stored.labels(model).inc()
        if cost:
            self._cost.labels(model).inc(cost)

    def took(self, model: str, status: int, seconds: float, overhead: float | None) -> None:
        """One request: its status and times."""
        self._requests.labels(model, str(status)).inc()
        self._seconds.labels(model).observe(seconds)
        if overhead is not None:
            self._overhead.observe(max(overhead, 0.0))

    def exposition(self) -> tuple[bytes, str]:
        """All counts as text, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
