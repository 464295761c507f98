"""Clocks, counters and side-by-side comparisons."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compare": ["Comparison", "record", "side_by_side"],
        "meter": ["Meter", "clock_for"],
    },
)
