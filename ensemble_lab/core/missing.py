"""Missing packages: one error names what needs them, and the command that installs them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

MODELS = frozenset(
    ("torch", "transformers", "safetensors", "gguf", "huggingface_hub", "httpx", "psutil")
)
SERVE = frozenset(("fastapi", "uvicorn", "aiohttp", "prometheus_client"))


class MissingPackage(ModuleNotFoundError):
    """A package of an extra is not installed; the message has the command that installs it."""


def installed(name: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return sys.modules[name] is not None if name in sys.modules else find_spec(name) is not None


def require(what: str, *packages: str) -> None:
    """Raise `MissingPackage` unless all `packages` are installed.

    Parameters
    ----------
    what : str
        What needs them, as the subject of the message: ``"decoding"``.
    *packages : str
        The names to import, all of one extra of this package.

    Examples
    --------
    >>> require("a mean", "numpy")
    """
    missing = [name for name in packages if not installed(name)]
    if missing:
        extras = {"models": MODELS, "serve": SERVE}
        extra = next((name for name, of in extras.items() if missing[0] in of), "lab")
        raise MissingPackage(
            f"{what} needs {', '.join(missing)}, which this Python does not have:"
            f" pip install 'ensemble-lab[{extra}]'",
            name=missing[0],
        )


def stand_in(name: str, ways: tuple[str, ...], *packages: str) -> type:
    """A placeholder for a class that cannot be defined without `packages`.

    Making an object of it, also by the class methods `ways`, raises `MissingPackage`.
    """

    def refuse(cls, *args, **kwargs):
        require(name, *packages)

    return type(name, (), {"__new__": refuse, **dict.fromkeys(ways, classmethod(refuse))})
