"""Models that share one generation, token by token."""

import lazy_loader

from ensemble_lab.core.missing import installed, stand_in

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    # This class is one of torch's modules, so it cannot even be defined without torch.
    if name == "FeatureHead" and not (installed("torch") and installed("transformers")):
        return stand_in(name, ("load", "read"), "torch", "transformers")
    return _loaded(name)
