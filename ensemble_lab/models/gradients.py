"""Training where gradients are switched off."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from ensemble_lab.core.missing import require

F = TypeVar("F", bound=Callable)


def trains(what: str, *packages: str) -> Callable[[F], F]:
    """Mark a function that trains: gradients are on in it, whatever its caller switched off.

    A notebook that switches them off for all cells, or trains inside of `torch.inference_mode`,
    means predictions. A warning of the function needs one more `stacklevel`.

    Parameters
    ----------
    what : str
        The subject of the message where `packages` are missing.
    *packages : str
        What it needs beside torch.
    """

    def marked(function: F) -> F:
        @wraps(function)
        def run(*args, **settings):
            require(what, "torch", *packages)
            import torch

            with torch.inference_mode(False), torch.enable_grad():
                return function(*args, **settings)

        return run

    return marked
