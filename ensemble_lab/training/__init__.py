"""Models that are combined while they learn: bagging, boosting, stacking, negative correlation."""

import lazy_loader

from ensemble_lab.core.missing import installed, stand_in

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


# These are torch's modules, so they cannot even be defined without torch.
MODULES = (
    "FusionInDecoder", "MixtureOfExperts", "MixtureOfTransformers", "TwoEncoders", "TwoHeads",
)  # fmt: skip


def __getattr__(name: str):
    if name in MODULES and not installed("torch"):
        return stand_in(name, ("from_dense",) if name == "MixtureOfTransformers" else (), "torch")
    return _loaded(name)
