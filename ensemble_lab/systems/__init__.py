"""Several models on several machines: who waits for what, where a model goes, what a link costs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
