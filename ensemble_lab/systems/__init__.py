"""Several models on several machines: who waits for what, where a model goes, what a link costs."""

import lazy_loader

from ensemble_lab.core.missing import SERVE, installed, stand_in

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    # Its requests are checked by the gateway's packages, so it cannot be defined without them.
    if name == "Member" and not all(map(installed, SERVE)):
        return stand_in(name, (), *sorted(SERVE))
    return _loaded(name)
