"""Would an ensemble pay on these models? Every policy that a table allows, judged on other rows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
