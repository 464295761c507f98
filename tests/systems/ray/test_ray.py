"""A real Ray, in an environment of its own: replay, recording and gateway are as without it."""

import os
import socket
import subprocess
import sys
import time
import uuid
import venv
from json import loads
from pathlib import Path

import pytest

from tests.conftest import BIN
from tests.packaging.test_resolve import uv_environment
from tests.support.processes import once

RAY = "ray[serve]==2.60.0"
# Ray gives its own processes 30 s to start, which cannot be set: then nothing of ours has run.
TOO_SLOW = "The current node timed out during startup"
SCRIPT = Path(__file__).with_name("on_a_cluster.py")


@pytest.fixture(scope="module")
def with_ray(shared, installed):
    """The Python of an environment that holds the wheel, what a gateway needs, and Ray."""
    (wheel,) = installed.parents[2].glob("*.whl")

    def install(place):
        venv.create(place / "env")
        python = place / "env" / BIN / "python"
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        done = subprocess.run(
            [*command, f"{wheel}[serve]", RAY], env=uv_environment(), capture_output=True, text=True
        )
        if done.returncode:
            why = f"the packages of {RAY} cannot be had: {done.stderr[-500:]}"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)

    return once(shared / "ray", install) / "env" / BIN / "python"


@pytest.mark.slow
@pytest.mark.last
@pytest.mark.timeout(1200)  # a busy machine takes minutes to start a replica
def test_a_real_ray_replays_records_and_serves_as_this_process_does(with_ray, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mark = f"ENSEMBLE_LAB_TEST={uuid.uuid4().hex}"  # all processes inherit it
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "PYTHONPATH": "",
        "ENSEMBLE_LAB_KEY": "a-key",
        **dict([mark.split("=")]),
    }
    for _ in range(3):
        done = subprocess.run(
            [with_ray, SCRIPT, tmp_path, str(port)],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=840,
        )  # fmt: skip
        if TOO_SLOW not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    seen = loads(done.stdout.splitlines()[-1])
    assert not seen["torch"]
    assert seen["same replay"] and "2,500 items in 5 files" in seen["replay"]
    assert "part-3.parquet" in seen["damaged"] and "could not be read" in seen["damaged"]
    assert seen["same table"] and seen["lines"][0] == seen["lines"][1] > 24
    assert "down" in seen["broken"] and "was not asked about 20 more" in seen["broken"]
    assert "'huge'" in seen["refused"][0] and "replicas=0" in seen["refused"][1]
    assert seen["without the key"] == 401
    assert seen["easy"] == [200, "4", "small"]
    assert seen["hard"] == [200, "5", "small,big"]
    words = [seen["stream"].find(word) for word in ("one ", "two ", "three", "[DONE]")]
    assert -1 not in words and words == sorted(words)
    assert seen["unknown"][0] == 404 and "did you mean 'big'" in seen["unknown"][1]
    statuses = [status for status, _ in seen["busy"]]
    assert set(statuses) == {200, 503} and [503, "1"] in seen["busy"]
    assert seen["cancelled"]
    # Serve binds a port of each replica to all addresses; nothing else listens beyond loopback.
    assert len(seen["open"]) == 4 and set(seen["open"].values()) == {1}
    assert all(name.startswith("ray::ServeReplica:ensemble-lab:") for name in seen["open"])
    models = ["gateway", "model-0", "model-1", "model-2"]
    before, under_load = seen["replicas"]
    assert before == dict.fromkeys(models, 1) and under_load == {**before, "model-1": 2}
    assert f"port {port} is in use" in seen["port"]
    assert left_behind(mark) == []


def left_behind(mark: str) -> list[str]:
    """Commands of processes that still run with `mark` in their environment, after 10 s."""
    end = time.monotonic() + 10
    while True:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes()[:80].decode())
            except OSError:  # it ended meanwhile, or is another user's
                continue
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.2)
