"""What one check found, and the command that installs what is missing."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    name : str
    value : str
        The result, in words.
    ok : bool or None
        None where it cannot be checked from here.
    fix : str
        The command or the step that fixes it; empty where there is nothing to fix.
    needed : bool
        Whether recorded outcomes and policies need it; the rest is optional.
    """

    name: str
    value: str
    ok: bool | None = True
    fix: str = ""
    needed: bool = False


def in_browser() -> bool:
    """Whether Python runs in a page, as in JupyterLite: no threads, processes or connections."""
    return sys.platform == "emscripten"


def pip_install(*requirements: str) -> str:
    """The command that installs `requirements` for the Python that is running.

    Environments of uv have no pip, and uv installs into them from outside.
    """
    if in_browser():
        return shlex.join(["%pip", "install", *requirements])
    if importlib.util.find_spec("pip"):
        return shlex.join([sys.executable, "-m", "pip", "install", *requirements])
    if shutil.which("uv"):
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *requirements])
    first = shlex.join([sys.executable, "-m", "ensurepip"])
    return f"{first} && {shlex.join([sys.executable, '-m', 'pip', 'install', *requirements])}"


def gib(count: float) -> str:
    """Bytes as GiB."""
    return f"{count / 2**30:.1f} GiB"
