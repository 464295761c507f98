"""Addresses of servers: parsed, shown without secrets, and checked for this machine."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ensemble_lab.core.errors import shown
from ensemble_lab.models.errors import ModelError


@dataclass(frozen=True)
class Address:
    """A server's base address.

    Attributes
    ----------
    plain : str
        Scheme, host, port and path, which may be shown.
    query : str
        The text after the question mark.
    host : str
    user : tuple of str
        Name and password, or nothing.
    """

    plain: str
    host: str
    query: str = field(default="", repr=False)
    user: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, url) -> Address:
        """Parse an address.

        Raises
        ------
        ModelError
            Not an address of a server; it is shown without secrets.
        """
        address = _taken_apart(url.strip()) if isinstance(url, str) else None
        if address is None:
            raise ModelError(
                f"endpoint {shown(without_secrets(url))} is not an address such as"
                " http://127.0.0.1:8000/v1"
            )
        return address

    def at(self, path: str) -> str:
        """The whole address of a path below this one, without name and password."""
        return f"{self.plain}{path}" + (f"?{self.query}" if self.query else "")

    @property
    def here(self) -> bool:
        """Whether it is this machine."""
        return is_loopback(self.host)

    @property
    def safe(self) -> bool:
        """Whether the connection is private: others in the network cannot read it."""
        return self.here or self.plain.startswith("https:")

    @property
    def basic(self) -> str | None:
        """The header for name and password."""
        if not self.user:
            return None
        return "Basic " + base64.b64encode(":".join(self.user).encode()).decode()

    @property
    def secrets(self) -> list[str]:
        """Name, password and the values of the query, in every spelling."""
        values = [value for _, value in parse_qsl(self.query)]
        values += [part.partition("=")[2] or part for part in self.query.split("&")]
        return [*self.user, *values, self.query, (self.basic or "").partition(" ")[2]]

    def proxy(self) -> str | None:
        """The proxy that the environment names for it; never one for this machine."""
        if self.here or proxy_bypass(self.host) or _in_no_proxy(self.host):
            return None
        named = getproxies()
        proxy = named.get(self.plain.partition(":")[0]) or named.get("all")
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def without_secrets(url):
    """An address, valid or not, without name, password and query; other values unchanged.

    >>> without_secrets("http://me:password@h:80/v1?key=1"), without_secrets("http://me:pass")
    ('http://h:80/v1', 'http://me:…')
    """
    if not isinstance(url, str):
        return url
    url = re.sub(r"^([\w+.-]*:)*(/*).*@", r"\1\2", url.partition("?")[0], flags=re.DOTALL)
    # A port that is not a number is the start of a password with an unescaped # or /.
    return re.sub(r"^((?:[\w+.-]+:)?/*[^/:\[\]]*:)(?!\d*(?:/|$))[^/]+", r"\1…", url)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, in any spelling.

    >>> [is_loopback(h) for h in ("127.1", "0x7f000001", "[::ffff:127.0.0.1]", "LOCALHOST.")]
    [True, True, True, True]
    >>> is_loopback("127.0.0.1.example.com")
    False
    """
    host = unicodedata.normalize("NFKC", host).replace("。", ".").lower()
    host = host.strip("[]").partition("%")[0].removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        try:
            # As the C library reads it: fewer than four parts, hexadecimal, octal.
            number = ipaddress.ip_address(socket.inet_aton(host))
        except (OSError, ValueError):
            return False
    if number.version == 6:
        if number.ipv4_mapped is not None:
            number = number.ipv4_mapped
        elif 1 < int(number) < 2**32:  # ::127.0.0.1, an old form of the same
            number = ipaddress.ip_address(int(number))
    return number.is_loopback or number.is_unspecified


def _in_no_proxy(host: str) -> bool:
    """Whether NO_PROXY names the host by a network or by ``*.domain``, which urllib ignores."""
    for name in getproxies().get("no", "").replace(",", " ").split():
        if name.startswith("*.") and host.endswith(name[1:].lower()):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            continue  # names, not numbers
    return False


def _taken_apart(url: str) -> Address | None:
    """None where it is not an address."""
    if not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host is not None:
            host.encode("idna")
    except ValueError:  # its text would show the password
        return None
    if parts.scheme not in ("http", "https") or not host or parts.fragment:
        return None
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place += f":{port}"
    login = parts.netloc.rpartition("@")[0]
    user = tuple(map(unquote, login.partition(":")[::2])) if login else ()
    plain = f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
    return Address(plain, host, parts.query, user)
