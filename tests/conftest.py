"""What the processes of one run share: the installed wheel, and the one run of each notebook."""

import json
import sys
import venv

import pytest

from tests.support.processes import ROOT, once, run

BIN = "Scripts" if sys.platform == "win32" else "bin"
REAL_SERVER = "real-server"
SLOW = 30  # seconds above which a test says so by the mark `slow`


@pytest.fixture(scope="session")
def shared(request, tmp_path_factory):
    """A folder that all processes of this run have, and no other run."""
    own = tmp_path_factory.getbasetemp()  # of this process, in the run's folder
    return own.parent if hasattr(request.config, "workerinput") else own


@pytest.fixture(scope="session")
def installed(shared):
    """The Python of a fresh environment that holds the wheel and its base dependencies only."""
    return once(shared / "wheel", install_wheel) / "env" / BIN / "python"


def install_wheel(place):
    """Build the wheel and install it into the environment `env`, which has no pip of its own.

    By uv, which links what it has instead of copying it; tests/notebooks/test_bootstrap.py has pip
    install the package.
    """
    # Here, for a machine that only runs tests on its GPU has no uv.
    from tests.packaging.test_resolve import uv_environment

    how = {"cwd": place, "env": uv_environment()}
    build = [sys.executable, "-m", "build", "--installer", "uv", "--wheel"]
    run(*build, "--outdir", place, ROOT, **how)
    venv.create(place / "env")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    install += ["--python", place / "env" / BIN / "python", "-c", ROOT / "constraints.txt"]
    run(*install, next(place.glob("*.whl")), **how)


@pytest.fixture(scope="session")
def executed(shared, installed):
    """A function: the path of a notebook to its one run, whichever test asks first."""
    # Here, for a machine that only runs tests on its GPU has no Jupyter.
    from tests.notebooks.run import Executed, execute_alone, kernel_parts

    parts = once(shared / "kernel", kernel_parts)

    def result(path):
        place = shared / "executed" / path.stem
        place.parent.mkdir(exist_ok=True)
        once(place, lambda place: execute_alone(path, place, installed, parts))
        return Executed(place)

    return result


@pytest.fixture(scope="session")
def real_server(shared):
    """`transformers serve`: its address, and the names of a greedy model and of one that draws."""
    from tests.support.real_server import start  # here, for it needs PyTorch

    place = once(shared / REAL_SERVER, start)
    about = json.loads((place / "server.json").read_text())
    return about["url"], about["models"]["greedy"], about["models"]["drawing"]


def pytest_collection_modifyitems(items):
    """Tests marked `last` come last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_sessionfinish(session):
    """End the server, when no process of this run can need it any more."""
    from tests.support.real_server import end

    if not hasattr(session.config, "workerinput"):
        end(session.config._tmp_path_factory.getbasetemp() / REAL_SERVER)


def pytest_terminal_summary(terminalreporter):
    """What the notebooks took, and the tests that took long and do not say so."""
    for report in [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]:
        for told in (value for name, value in report.user_properties if name == "notebook"):
            terminalreporter.write_line(told)
        if report.duration > SLOW and not {"slow", "nightly"} & set(report.keywords):
            told = f"{report.nodeid} took {report.duration:.0f} s; over {SLOW} s, mark it slow"
            terminalreporter.write_line(told, yellow=True)
