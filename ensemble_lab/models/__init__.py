"""Models behind one call: shipped ones, those of the Hub or a wheel, and served ones.

A model is anything that can be called with an item and returns a `Reply`. `load` makes one from
a Hub id, a local folder, an endpoint's address or a fitted classifier.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
