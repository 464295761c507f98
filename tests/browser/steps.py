"""What a reader does in JupyterLab, as steps of a test."""

from playwright.sync_api import expect


def run_all(page, address):
    """Open the notebook and run its cells; returns the outputs."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    status = page.locator("#jp-main-statusbar")
    expect(status).to_contain_text("| Idle", timeout=60_000)  # else lab asks which kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.locator(".js-plotly-plot .gtitle").first.wait_for(timeout=60_000)
    return page.locator(".jp-Cell-outputArea")
