"""The shell of explorers: pictures to drag, live where that works, still elsewhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
