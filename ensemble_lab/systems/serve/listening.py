"""The address at which the gateway listens: taken, and not asked by the gateway itself."""

from __future__ import annotations

import errno
import ipaddress
import socket

from ensemble_lab.models.endpoints.address import Address


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    ValueError
        The port is in use, or the host is not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is in use: stop what uses it" if taken else "cannot be used"
        raise ValueError(f"port {port} of {host} {why}, or give another by --port") from None


def is_own(address: Address, own: tuple[str, int]) -> bool:
    """Whether an address leads to the gateway that listens at `own`, host and port."""
    host, port = own
    rest = address.plain.partition("://")[2].partition("/")[0]
    said = rest.rpartition(":")[2]
    at = int(said) if said.isdigit() else 443 if address.plain.startswith("https") else 80
    if at != port:
        return False
    theirs, ours = _numbers(address.host), _numbers(host)
    if any(number.is_unspecified for number in ours):
        return any(map(_is_here, theirs))
    # Who asks 0.0.0.0 reaches this machine.
    here = any(number.is_unspecified for number in theirs) and any(n.is_loopback for n in ours)
    return here or bool(theirs & ours)


def _numbers(host: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of a name; of one that is not known none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    numbers = {ipaddress.ip_address(place[0].partition("%")[0]) for *_, place in found}
    return {getattr(number, "ipv4_mapped", None) or number for number in numbers}


def _is_here(number) -> bool:
    """Whether an address is one of this machine: only those can be bound."""
    family = socket.AF_INET6 if number.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(number), 0))
        except OSError:
            return False
    return True
