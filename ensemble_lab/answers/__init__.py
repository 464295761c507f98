"""Whole answers are combined, or one model is chosen to answer: votes, cascades, routing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
