"""A report in a real browser: the figure is drawn and its slider moves, without any network."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ensemble_lab.reports.page import write_page
from tests.notebooks.solved import NOTEBOOKS


@pytest.fixture
def address(executed, tmp_path):
    """The page of the first notebook's one run."""
    copy = Path(shutil.copy(executed(NOTEBOOKS[0]).path, tmp_path))
    assert write_page(copy) == []
    return copy.with_suffix(".html").as_uri()


@pytest.mark.slow
def test_the_slider_moves_and_nothing_is_fetched(address, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    figure = page.locator(".js-plotly-plot").first
    title = figure.locator(".gtitle")
    expect(title).to_contain_text("0% sent to")
    rail = figure.locator(".slider-rail-touch-rect")
    rail.click(position={"x": rail.bounding_box()["width"] - 1, "y": 5})
    expect(title).to_contain_text("100% sent to")
    assert asked == [address]
