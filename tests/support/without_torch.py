"""A plugin of pytest: what needs the extras for models or the gateway is skipped, all else runs."""

from types import SimpleNamespace

import pytest
from scipy.optimize import _lbfgsb_py as solver

ABSENT = {"torch", "transformers", "safetensors", "httpx", "huggingface_hub", "gguf"}
ABSENT |= {"fastapi", "uvicorn", "aiohttp", "prometheus_client", "openai"}  # the gateway's


def pytest_configure():
    # Colab's scipy finds two options of Colab's scikit-learn out of date, and some tests take
    # every warning for an error.
    solver.warnings = SimpleNamespace(warn=lambda *told, **where: None)


def lacking(error):
    """The absent package that an error, or one of those behind it, is of; None elsewhere."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ModuleNotFoundError) and error.name in ABSENT:
            return error.name
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.excinfo and (name := lacking(call.excinfo.value)):
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"needs {name}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if report.failed and (name := lacking(report.call.excinfo.value)):
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, f"needs {name}")
    return report
