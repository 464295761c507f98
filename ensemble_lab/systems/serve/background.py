"""`start_gateway`: the gateway in a thread of this process, for notebooks."""

from __future__ import annotations

import socket
import threading
import time

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require

HOST, PATIENCE = "127.0.0.1", 10.0  # only this machine reaches it; seconds to start, and to end


class RunningGateway:
    """A gateway that serves until `stop`; made by `start_gateway`.

    Attributes
    ----------
    address : str
        ``http://127.0.0.1:PORT``; metrics are at ``/metrics`` there.
    url : str
        The base URL for an OpenAI client.
    """

    def __init__(self, application, port: int):
        import uvicorn

        try:
            self._socket = socket.create_server((HOST, port))
        except OSError as error:
            raise ValueError(
                f"port {port} cannot be used ({error.strerror or error}); give 0 for a free one"
            ) from None
        self.address = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self.url = f"{self.address}/v1"
        settings = {"log_level": "critical", "access_log": False, "server_header": False}
        self._server = uvicorn.Server(
            uvicorn.Config(application, timeout_graceful_shutdown=2, **settings)
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="gateway", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                self.stop()
                raise RuntimeError("the gateway did not start; `ensemble-lab serve` says why")
            time.sleep(0.005)

    def stop(self) -> None:
        """End what is being answered, and free the port. Once more does nothing."""
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()

    def __enter__(self) -> RunningGateway:
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"at {self.url}" if self._thread.is_alive() else "stopped"
        return f"RunningGateway({state})"


def start_gateway(policy, models, *, port: int = 0, **settings) -> RunningGateway:
    """Serve policies and models in a thread of this process, at a port of this machine.

    `ensemble-lab serve FILE.toml` does it in a process of its own, which is what servers need.

    Parameters
    ----------
    policy, models, **settings
        As `app` takes them.
    port : int
        0 for a free one.

    Returns
    -------
    RunningGateway
        It stops at the end of a `with`, by `stop()`, or with Python.

    Raises
    ------
    MissingPackage
        The extra ``serve`` is not installed.
    ValueError
        What `app` refuses, or a port that cannot be used.

    Examples
    --------
    >>> with start_gateway(policy, models) as gateway:  # doctest: +SKIP
    ...     client = openai.OpenAI(base_url=gateway.url, api_key="none")
    """
    require("a gateway", "fastapi", "uvicorn", "aiohttp", "prometheus_client")
    from ensemble_lab.systems.serve.app import app

    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
        raise ValueError(f"port={shown(port)}; give a whole number to 65535, or 0 for a free one")
    return RunningGateway(app(policy, models, **settings), port)
