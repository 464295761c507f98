"""The Hub's protocol, spoken by a small local server: what is fetched, in which order, or not."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.tiny_llama import save_tiny_llama

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Loaded in a process of its own, because the Hub's client reads its address when it is imported.
CLIENT = """
import json, sys
from ensemble_lab.models import load, memory
for name, room in json.loads(sys.argv[1]):
    memory.available_memory = lambda device: room
    try:
        model = load(name, device="cpu", max_new_tokens=2)
        said = [model.weights, model("the").tokens >= 1]
    except Exception as error:
        said = [type(error).__name__, str(error)]
    print("RESULT", json.dumps(said))
"""


class FakeHub(ThreadingHTTPServer):
    """Serves each folder under `root` as the repository owner/<folder>."""

    daemon_threads = True

    def __init__(self, root: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.log: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.log.append(f"{self.command} {self.path}")
        api = re.match(r"/api/models/owner/(\w+)/(revision|tree)/", self.path)
        file = re.fullmatch(r"/owner/(\w+)/resolve/\w+/([\w.]+)", self.path)
        if api and api[1] == "broken":
            self.close_connection = True  # hang up without a word
        elif api and (self.server.root / api[1]).is_dir():
            self._send(json.dumps(self._listing(self.server.root / api[1], api[2])).encode())
        elif file and (self.server.root / file[1] / file[2]).is_file():
            self._send((self.server.root / file[1] / file[2]).read_bytes())
        else:
            self._send(b"", 404, "EntryNotFound" if file else "RepoNotFound")

    do_HEAD = do_GET

    def _listing(self, repo: Path, kind: str):
        files = sorted(repo.iterdir())
        if kind == "tree":
            sizes = [(f.name, f.stat().st_size, _digest(f.read_bytes())) for f in files]
            return [{"type": "file", "path": n, "size": s, "oid": d} for n, s, d in sizes]
        siblings = [{"rfilename": file.name} for file in files]
        return {"id": f"owner/{repo.name}", "sha": COMMIT, "siblings": siblings}

    def _send(self, data: bytes, status: int = 200, error: str | None = None):
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_digest(data)}"'}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and status == 200:
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            data, status = data[first : last + 1], 206
        self.send_response(status)
        headers |= {"Content-Length": str(len(data))} | ({"X-Error-Code": error} if error else {})
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args):
        pass


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    save_tiny_llama(root / "tiny")
    shutil.copytree(root / "tiny", root / "large")
    (root / "pickled").mkdir()
    shutil.copy(root / "tiny" / "config.json", root / "pickled")
    (root / "pickled" / "pytorch_model.bin").write_bytes(b"never opened")
    for name, file in (("quantised", "model-q4_0.gguf"), ("bare", "notes.txt")):
        (root / name).mkdir()
        shutil.copy(root / "tiny" / "config.json", root / name)
        (root / name / file).write_bytes(b"never opened")
    server = FakeHub(root)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_hub_models_are_fetched_checked_and_refused(hub, tmp_path):
    asked = [
        ("owner/tiny", 2**34),
        ("owner/large", 20_000),
        ("owner/pickled", 2**34),
        ("owner/absent", 2**34),
        ("owner/broken", 2**34),
        ("owner/quantised", 2**34),
        ("owner/bare", 2**34),
    ]
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(asked)],
        capture_output=True,
        text=True,
        env=environment,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == len(asked), done.stderr
    tiny, large, pickled, absent, broken, quantised, bare = (json.loads(line[7:]) for line in lines)

    assert tiny == [f"owner/tiny at revision {COMMIT[:12]}", True]
    # Refused from the header alone: the weights' own GET never came.
    assert large[0] == "NotEnoughMemory"
    assert f"GET /owner/tiny/resolve/{COMMIT}/model.safetensors" in hub.log
    assert f"GET /owner/large/resolve/{COMMIT}/model.safetensors" not in hub.log
    assert pickled[0] == "PickledWeights"
    assert not [line for line in hub.log if line.endswith("pytorch_model.bin")]
    assert absent == ["ModelError", "the Hub has no model 'owner/absent': check the spelling"]
    assert broken[0] == "HubUnreachable"
    assert "cannot fetch 'owner/broken'" in broken[1]
    assert quantised[0] == "ModelError"
    assert "has GGUF files and no safetensors" in quantised[1]
    assert "`hf download owner/quantised model-q4_0.gguf --local-dir .`" in quantised[1]
    assert bare[0] == "ModelError" and "holds no weights" in bare[1]
    assert not [line for line in hub.log if line.endswith(".gguf")]
