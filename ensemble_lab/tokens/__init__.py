"""Models that share one generation, token by token."""

import lazy_loader

from ensemble_lab.core.missing import installed, stand_in

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

HEADS = {"FeatureHead": ("load", "read"), "ParallelHeads": ("fit", "read")}


def __getattr__(name: str):
    # These classes are torch's modules, so they cannot even be defined without torch.
    if name in HEADS and not (installed("torch") and installed("transformers")):
        return stand_in(name, HEADS[name], "torch", "transformers")
    return _loaded(name)
