"""Peers that not every machine has: their records are left out there."""

from importlib import util

from ensemble_lab.reports.request import RequestError


class PeerMissing(RequestError):
    """A peer, or the file that it reads, is not here."""


class PeerFailed(RequestError):
    """A peer that is here did not do what it was asked."""


def check_installed(module: str, how: str) -> None:
    """Refuse to measure against a module that is not there.

    Raises
    ------
    PeerMissing
        With the command `how` that installs it.
    """
    if util.find_spec(module) is None:
        raise PeerMissing(f"{module} is not installed: {how}")
