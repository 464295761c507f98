"""The states of a recorded answer other than a label, and its measures."""

from __future__ import annotations

ABSENT = -1


UNPARSED = -2


MEASURES = ("confidence", "cost", "latency", "tokens")
"""The (n, m) float fields other than `correct`, NaN where unknown."""
