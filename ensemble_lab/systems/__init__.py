"""Several models on several machines: who waits for what, where a model goes, what a link costs."""

import lazy_loader

from ensemble_lab.core.missing import SERVE, require

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    try:
        return _loaded(name)
    except ModuleNotFoundError as error:
        if error.name in SERVE:  # the gateway's packages: the message has the command
            require(name, error.name)
        raise
