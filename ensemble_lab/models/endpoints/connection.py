"""One request to a server, with one deadline for all of it and a limit of bytes.

httpx limits the time between two parts of a reply, so a server that sends its reply in small pieces
could hold the caller for ever. Here a thread asks and the caller waits no longer than the deadline:
the look-up of a name, the handshake, slow headers and a slow body all count. A late request is cut
off, and nothing more is sent.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    import httpx

MOST_BYTES = 8 * 2**20  # of a reply, unpacked: some 80,000 tokens with their log-probabilities
LOOK = 0.2  # seconds: where waiting cannot be interrupted (Windows), it is done in steps
GZIP = 31  # zlib's code for a stream with gzip's header


class Late(Exception):
    """The deadline passed."""


class Broken(Exception):
    """No server answers, or the connection broke: the text gives the reason."""


class Unreadable(Exception):
    """The reply is too long, or compressed unexpectedly: the text gives the reason."""


@dataclass(frozen=True)
class Answer:
    """A server's answer.

    Attributes
    ----------
    status : int
    content : bytes
    location : str
        Where a redirect points.
    """

    status: int
    content: bytes
    location: str


class Line:
    """A connection to one server, kept open between requests, that another thread can cut.

    Parameters
    ----------
    proxy : str or None

    Raises
    ------
    Broken
        The proxy is not an address; it is not shown.
    """

    def __init__(self, proxy: str | None):
        import httpx

        one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        try:
            self._transport = httpx.HTTPTransport(verify=_certificates(), limits=one, proxy=proxy)
        except (httpx.InvalidURL, ValueError):  # its text would show the password
            raise Broken(
                "the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not an address; in its"
                " password, write / as %2F, # as %23, ? as %3F"
            ) from None
        self._streams: list = []
        self._cut = False

    def ask(self, request: httpx.Request) -> Answer:
        """Send a request and read the answer, up to the limit of bytes."""
        request.extensions["trace"] = self._watch
        response = self._transport.handle_request(request)
        try:
            packing = response.headers.get("content-encoding", "identity").strip().lower()
            if packing not in ("identity", "", "gzip", "x-gzip"):
                raise Unreadable("is compressed, although the request forbids it")
            content = _read(response.stream)
            content = _unpacked(content) if packing.endswith("gzip") else content
            return Answer(response.status_code, content, response.headers.get("location", ""))
        finally:
            response.close()

    def cut(self) -> None:
        """Stop: a waiting read returns, and nothing is connected or sent afterwards."""
        self._cut = True
        for stream in list(self._streams):
            _shut(stream)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _watch(self, event: str, info: dict) -> None:
        """Called by httpcore before and after each step."""
        made = info.get("return_value")
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._streams = [*self._streams[-3:], made]  # through a proxy several for one
        if self._cut:
            for stream in self._streams:
                _shut(stream)
            raise Late


class Lines:
    """Connections to one server: one for each request at the same time.

    Parameters
    ----------
    proxy : callable
        The proxy for the next connection, or None.
    """

    def __init__(self, proxy: Callable[[], str | None]):
        self._proxy, self._free, self._process = proxy, [], os.getpid()

    def post(self, url: str, headers: Callable[[], dict], body: bytes, seconds: float) -> Answer:
        """Send `body` and wait for the whole answer.

        Parameters
        ----------
        url : str
        headers : callable
            Makes them when they are needed, so that no frame of a traceback contains a key.
        body : bytes
        seconds : float
            From now to the last byte.

        Raises
        ------
        Late, Broken, Unreadable
            Without other exceptions in their chain: those of the libraries may contain headers.
        """
        if self._process != os.getpid():  # a fork: the parent reads from the same connections
            self._free, self._process = [], os.getpid()
        call = _Call(self, url, headers, body, seconds)
        failed = call.wait()
        if failed is not None:
            raise failed
        return call.answer

    def take(self) -> Line:
        """A free connection, or a new one."""
        try:
            return self._free.pop()
        except IndexError:
            return Line(self._proxy())

    def give(self, line: Line) -> None:
        """Keep a connection for the next request."""
        self._free.append(line)


class _Call:
    """A request in a separate thread."""

    def __init__(self, lines: Lines, url: str, headers, body: bytes, seconds: float):
        self._lines, self._url, self._headers, self._body = lines, url, headers, body
        self._seconds, self._end = seconds, time.monotonic() + seconds
        self._done, self._lock = threading.Event(), threading.Lock()
        self._line: Line | None = None
        self._given_up = False
        self._failed: Exception | None = None
        self.answer: Answer | None = None

    def wait(self) -> Exception | None:
        """The error, if there is one."""
        # A daemon: a look-up of a name that takes minutes must not delay the end of the process.
        thread = threading.Thread(target=self._work, daemon=True, name="endpoint")
        try:
            thread.start()
            while not self._done.wait(max(min(LOOK, self._end - time.monotonic()), 0)):
                if time.monotonic() >= self._end:
                    self._give_up()
                    return Late()
        except BaseException:  # Ctrl-C
            self._give_up()
            raise
        return self._failed

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._line is not None:
                self._line.cut()

    def _work(self) -> None:
        # Of an error only the text is kept: its chain would contain the request with its headers.
        try:
            self.answer = self._asked()
        except Unreadable as error:
            self._failed = Unreadable(str(error))
        except BaseException as error:
            late = isinstance(error, Late) or type(error).__name__.endswith("Timeout")
            self._failed = Late() if late else Broken(str(error) or type(error).__name__)
        finally:
            self._let_go()
            self._done.set()

    def _asked(self) -> Answer:
        import httpx

        line = self._lines.take()
        with self._lock:
            self._line = line
            if self._given_up:
                raise Late
        wait = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers(),
            content=self._body,
            extensions={"timeout": wait},
        )
        return line.ask(request)

    def _let_go(self) -> None:
        """Keep the connection for the next call if it works."""
        with self._lock:
            line, self._line = self._line, None  # a kept connection can no longer be cut
            whole = self.answer is not None and not self._given_up
        if line is not None:
            (self._lines.give if whole else Line.close)(line)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes as long as a request on this machine."""
    import httpx

    return httpx.create_ssl_context()


def _read(stream) -> bytes:
    parts, size = [], 0
    for part in stream:
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise Unreadable(f"is longer than {MOST_BYTES >> 20} MB")
    return b"".join(parts)


def _unpacked(content: bytes) -> bytes:
    """Decompress once, up to the limit of bytes."""
    machine = zlib.decompressobj(GZIP)
    try:
        plain = machine.decompress(content, MOST_BYTES + 1)
    except zlib.error:
        raise Unreadable("is declared as gzip, but is not") from None
    if len(plain) > MOST_BYTES:
        raise Unreadable(f"is longer than {MOST_BYTES >> 20} MB when it is decompressed")
    if not machine.eof:
        raise Unreadable("is gzip data that is cut short")
    return plain


def _shut(stream) -> None:
    """Wake a thread that reads from a connection: closing alone would not."""
    connection = stream.get_extra_info("socket")
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        pass  # closed already
