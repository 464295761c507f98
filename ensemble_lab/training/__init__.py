"""Models that are combined while they learn: bagging, boosting, stacking, negative correlation."""

import lazy_loader

from ensemble_lab.core.missing import installed, stand_in

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    # This class is one of torch's modules, so it cannot even be defined without torch.
    if name == "MixtureOfExperts" and not installed("torch"):
        return stand_in(name, (), "torch")
    return _loaded(name)
