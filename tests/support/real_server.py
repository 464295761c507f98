"""`transformers serve` with two small models, started once for all processes of a test run.

One is greedy. The other draws its tokens, since the server takes no notice of a temperature where
the model's own settings are greedy.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.tiny_llama import save_tiny_llama


def start(place: Path) -> None:
    """Save two models below `place`, serve them, and write `server.json`: its address and more.

    The server outlives the process that starts it; `end` ends it.
    """
    models = {
        "greedy": str(save_tiny_llama(place / "greedy")),
        "drawing": str(save_tiny_llama(place / "drawing", seed=1, samples=True)),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Without a model's name behind `serve`: it loads each that is asked for.
    command = [str(Path(sys.executable).with_name("transformers")), "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    log = place / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
    about = {"url": f"http://127.0.0.1:{port}/v1", "models": models, "pid": server.pid}
    try:
        _wait_until_healthy(server, port, log)
    except BaseException:
        server.kill()
        server.wait()
        raise
    (place / "server.json").write_text(json.dumps(about))


def _wait_until_healthy(server: subprocess.Popen, port: int, log: Path) -> None:
    import httpx

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the server never became healthy:\n{log.read_text()}")


def end(place: Path) -> None:
    """End the server that `start` started at `place`, if there is one."""
    if not (place / "server.json").exists():
        return
    import psutil

    try:
        server = psutil.Process(json.loads((place / "server.json").read_text())["pid"])
        server.terminate()
        server.wait(20)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        server.kill()
