"""Several models on several machines: who waits for what, where a model goes, what a link costs."""

import lazy_loader

from ensemble_lab.core.missing import SERVE, installed, stand_in

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


# They check requests or ask servers by the gateway's packages, and cannot be defined without them.
GATEWAY = ("Agreement", "Member", "Upstream", "Verifier", "app", "read_settings")


def __getattr__(name: str):
    if name in GATEWAY and not all(map(installed, SERVE)):
        return stand_in(name, (), *sorted(SERVE))
    return _loaded(name)
