"""The gateway's metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
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
        self._cost = Counter("ensemble_cost_usd", "Known cost of all calls", ["model"], **own)
        self._seconds = Histogram(
            "ensemble_seconds", "From request to last byte", ["model"], buckets=SECONDS, **own
        )
        self._overhead = Histogram(
            "ensemble_overhead_seconds", "The gateway's own time", buckets=OVERHEAD, **own
        )

    def answered(
        self, model: str, called: Iterable[str], failed: Mapping[str, str], cost: float | None
    ) -> None:
        """Members asked for one answer, those that failed, and the cost where known."""
        for member in called:
            self._calls.labels(member, failed.get(member, "ok")).inc()
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
