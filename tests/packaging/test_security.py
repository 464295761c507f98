"""What SECURITY.md promises is so in the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "ensemble_lab").rglob("*.py"))
NETWORK = {"httpx", "requests", "socket", "urllib3", "aiohttp", "huggingface_hub", "ftplib"}
NETWORK |= {"httpx2", "http.client", "urllib.request", "smtplib", "xmlrpc", "websocket"}
RUNS_WHAT_IT_READS = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def imported(path):
    """Every module that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def uses(path, names):
    return {m for m in imported(path) for n in names if m == n or m.startswith(n + ".")}


def test_only_models_the_gateway_and_the_doctor_reach_a_network():
    who = {path for path in SOURCES if uses(path, NETWORK)}
    assert who, "the look itself is broken"
    may = {ROOT / "ensemble_lab/models", ROOT / "ensemble_lab/systems/serve"}
    assert {p for p in who if may.isdisjoint(p.parents)} == {ROOT / "ensemble_lab/doctor/reach.py"}


def test_nothing_is_unpickled():
    assert not [path for path in SOURCES if uses(path, RUNS_WHAT_IT_READS)]
    calls = re.compile(
        r"torch\.load\(|allow_pickle\s*=\s*True|read_pickle\(|weights_only\s*=\s*False"
    )
    assert not [path for path in SOURCES if calls.search(path.read_text(encoding="utf-8"))]


def test_remote_code_stays_off():
    said = [value for path in SOURCES for value in remote_code(path)]
    assert said and not any(said)


def remote_code(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            yield getattr(node.value, "value", node)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if getattr(key, "value", None) == "trust_remote_code":
                    yield getattr(value, "value", value)


def test_no_text_is_run():
    runs = {
        (path.name, node.func.id)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("eval", "exec")
    }
    assert not runs


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:tests|ensemble_lab)/[\w/.]+)`", PAGE)))
)
def test_every_file_named_is_there(path):
    assert (ROOT / path).exists()
