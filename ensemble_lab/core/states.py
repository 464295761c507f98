"""The states of a recorded answer that are no label, and the measures beside it."""

from __future__ import annotations

ABSENT = -1


UNPARSED = -2


MEASURES = ("confidence", "cost", "latency", "tokens")
"""The (n, m) float fields beside `correct`, NaN where unknown."""
