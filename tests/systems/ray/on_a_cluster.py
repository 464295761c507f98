"""What a real Ray must do; run by `test_ray.py` in an environment that has the wheel and Ray.

It prints one JSON object of what it saw.
"""

import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.models.asking.on_ray import cluster
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.on_ray import application, running

FOLDER = Path(sys.argv[1])
PORT = int(sys.argv[2])
KEY = os.environ["ENSEMBLE_LAB_KEY"]


def made(seed, n=500):
    rng = np.random.default_rng(seed)
    answer, truth = rng.integers(0, 3, (n, 2)), rng.integers(0, 3, n)
    return Outcomes(
        models=("small", "big"),
        items=np.arange(n) + n * seed,
        correct=(answer == truth[:, None]).astype(float),
        answer=answer,
        labels=("a", "b", "c"),
        truth=truth,
        confidence=rng.random((n, 2)),
        cost=10.0 ** rng.uniform(-8, 2, (n, 2)),
        latency=rng.random((n, 2)),
    )


def replays():
    for seed in range(5):
        made(seed).to_parquet(FOLDER / f"part-{seed}.parquet")
    policy, files = lab.Cascade(("small", "big"), (0.6,)), FOLDER / "part-*.parquet"
    local, ray = (lab.replay(policy, files, engine, progress=False) for engine in ("local", "ray"))
    damaged = bytearray((FOLDER / "part-3.parquet").read_bytes())
    damaged[4:400] = bytes(396)
    (FOLDER / "part-3.parquet").write_bytes(damaged)
    try:
        lab.replay(policy, files, "ray", progress=False)
        said = "nothing"
    except ValueError as error:
        said = str(error)
    return {"replay": repr(local), "same replay": local == ray, "damaged": said}


def small(item):
    return item % 3


def big(item):
    return lab.Reply(answer=item % 5, confidence=0.5, cost=0.1, latency=1.0)


def broken(item):
    raise RuntimeError("down")


def recordings():
    models, tables = {"small": small, "big": big}, {}
    for engine in ("local", "ray"):
        path, truth = FOLDER / f"{engine}.jsonl", [i % 4 for i in range(12)]
        # In two goes: the second one continues.
        for items in (5, 12):
            tables[engine] = lab.record(
                models, range(items), path, truth=truth[:items], progress=False, engine=engine
            )
    one, other = tables["local"], tables["ray"]
    same = one.models == other.models and one.labels == other.labels
    for name in ("items", "answer", "correct", "truth", "confidence", "cost"):
        same &= np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name != "items")
    lines = [(FOLDER / f"{engine}.jsonl").read_text().splitlines() for engine in tables]
    try:
        lab.record({"broken": broken}, range(30), FOLDER / "broken.jsonl",
                   progress=False, engine="ray")  # fmt: skip
        said = "nothing"
    except RuntimeError as error:
        said = " ".join([str(error), *error.__notes__])
    return {"same table": bool(same), "lines": [len(one) for one in lines], "broken": said}


def sure(messages):
    easy = "easy" in messages[-1]["content"]
    return lab.Reply(answer="4", text="4", confidence=0.9 if easy else 0.1, tokens=1)


def wise(messages):
    seconds = {"slow": 1.5, "very slow": 3.0}
    time.sleep(seconds.get(messages[-1]["content"], 0))
    return lab.Reply(answer="5", text="5", confidence=0.9, tokens=2)


class Writer:
    """A server: it notes when a call is cancelled, and writes a stream in three parts."""

    name, local = "writer", False

    async def ask(self, body, deadline):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            (FOLDER / "cancelled").touch()
            raise

    async def stream(self, body, deadline):
        for word in ("one ", "two ", "three"):
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            yield json.dumps({"model": "writer", "choices": [choice]}).encode()
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield json.dumps({"model": "writer", "choices": [end]}).encode()
        yield b"[DONE]"

    async def aclose(self):
        pass


def asked(address, text, model="ensemble", timeout=120, key=KEY, **more):
    """Status, headers and body of a chat completion."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(
        f"{address}/chat/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, small_keys(response.headers), response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, small_keys(error.headers), error.read().decode()


def small_keys(headers):
    return {name.lower(): value for name, value in headers.items()}


def open_ports():
    """Processes of this cluster that listen on more than loopback, by how many ports."""
    import psutil  # Ray brings it

    found = Counter()
    for process in psutil.Process().children(recursive=True):
        for one in process.net_connections():
            if one.status == "LISTEN" and not one.laddr.ip.endswith("127.0.0.1"):
                found[process.name()] += 1
    return found


def under_load(address):
    """Replicas of each model before, and the most that ran at once in up to 600 s of load."""

    from ray import serve  # here, for the package itself must be what imports Ray first

    def running_replicas():
        models = serve.status().applications["ensemble-lab"].deployments
        return {name: one.replica_states.get("RUNNING", 0) for name, one in models.items()}

    end, before = time.monotonic() + 600, running_replicas()
    most = Counter(before)

    def load(_):
        # A call is long beside what a busy machine adds between two, so the replica has one at
        # work and one in wait at nearly all times: more than Serve lets a single replica have.
        while time.monotonic() < end and max(most.values()) == 1:
            if asked(address, "very slow", "big")[0] == 503:
                time.sleep(0.2)

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load, place) for place in range(3)]
        while not all(one.done() for one in loads):
            most |= Counter(running_replicas())
            time.sleep(0.2)
    for one in loads:
        one.result()
    return before, most


def served():
    models = {"small": Member(sure), "big": Member(wise), "org/writer#1": Member(Writer())}
    policy = lab.Cascade(("small", "big"), (0.5,))
    found = {"refused": []}
    for bad, more in ((lab.Cascade(("small", "huge"), (0.5,)), {}), (policy, {"replicas": 0})):
        try:
            application(bad, models, **more)
        except ValueError as error:
            found["refused"].append(str(error))
    with running(application(policy, models, ongoing=1, replicas=2), PORT) as address:
        for text in ("easy", "hard"):
            status, headers, body = asked(address, text)
            content = json.loads(body)["choices"][0]["message"]["content"]
            found[text] = [status, content, headers["x-ensemble-called"]]
        found["stream"] = asked(address, "hello", "org/writer#1", stream=True)[2]
        found["without the key"] = asked(address, "easy", key="another")[0]
        found["unknown"] = asked(address, "hello", "bigger")[::2]
        with ThreadPoolExecutor(6) as pool:
            calls = list(pool.map(lambda _: asked(address, "slow", "big"), range(6)))
        found["busy"] = [(status, headers.get("retry-after")) for status, headers, _ in calls]
        end = time.monotonic() + 50  # before the writer would end by itself
        with suppress(OSError):
            asked(address, "hello", "org/writer#1", timeout=10)
        while not (FOLDER / "cancelled").exists() and time.monotonic() < end:
            time.sleep(0.02)
        found["cancelled"] = (FOLDER / "cancelled").exists()
        found["open"] = open_ports()
        found["replicas"] = under_load(address)
        try:
            with running(None, PORT):
                pass
        except ValueError as error:
            found["port"] = str(error)
    return found


if __name__ == "__main__":
    with cluster():  # one for all three
        seen = {"torch": "torch" in sys.modules, **replays(), **recordings(), **served()}
    print(json.dumps(seen))
