"""The benchmark of a slider in the browser runs, beside its peer."""

import json
import sys
from contextlib import nullcontext

import pytest

from benchmarks.parts.run import main
from tests.browser import jupyter


def test_presses_are_timed_in_the_page(tmp_path, browser, monkeypatch):
    monkeypatch.setattr(jupyter, "chromium", lambda: nullcontext(browser))  # two cannot run here
    path = tmp_path / "out.json"
    assert main("explorers", "slider-browser", True, path) == 0
    (found,) = json.loads(path.read_text())
    assert found["presses"] == 4
    for name in ("ours", "peer", "median_ms", "peer_median_ms"):
        assert 0 < found[name] < 20_000  # the page gives up there
    assert found["ours"] >= found["median_ms"]


def test_what_is_missing_is_named_with_the_fix(monkeypatch):
    monkeypatch.setattr(jupyter, "NAMES", ["no-such-browser"])
    with pytest.raises(RuntimeError, match="no-such-browser.*apt install chromium"):
        jupyter.open_page().__enter__()
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(RuntimeError, match="pip install playwright"):
        jupyter.open_page().__enter__()
