"""What a reader does in JupyterLab, as steps of a test, a picture or a benchmark."""

import re
import time
from collections import Counter

from playwright.sync_api import expect

from ensemble_lab.widgets.panel import FAILS

TITLE = ".gtitle"
HANDLE = ".noUi-handle:visible"
STATE = re.compile(rb'"execution_state":\s*"(busy|idle)"')
ANSWERS = Counter()  # page to how often a kernel has said that it is done
AT_WORK = set()  # pages whose kernel has said last that it is busy


def run_all(page, address):
    """Open the notebook and run its cells; returns the outputs."""
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda frame: _count(page, frame))
    )
    page.goto(address)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    status = page.locator("#jp-main-statusbar")
    expect(status).to_contain_text("| Idle", timeout=60_000)  # else lab asks which kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("#jp-mainmenu-run").get_by_text("Run All Cells", exact=True).click()
    page.locator(".js-plotly-plot .gtitle").first.wait_for(timeout=60_000)
    return page.locator(".jp-Cell-outputArea")


def finished(page):
    """Wait until every cell ran; a cell that failed fails the test."""
    waiting = page.locator(".jp-CodeCell .jp-InputPrompt", has_text="[*]:")
    expect(waiting).to_have_count(0, timeout=180_000)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=180_000)
    # Lab shows an error as it shows stderr: what tells them apart is the traceback.
    assert page.locator(".jp-OutputArea-output", has_text="Traceback (most recent").count() == 0


def _count(page, frame):
    content = frame.encode() if isinstance(frame, str) else frame
    if found := STATE.search(content):
        (AT_WORK.add if found[1] == b"busy" else AT_WORK.discard)(page)
        ANSWERS[page] += found[1] == b"idle"


def panels(page):
    """The explorers that have sliders; a question has no figure until it is answered."""
    return page.locator(".jp-OutputArea-output:has(.noUi-handle):has(.js-plotly-plot)")


def seen(panel):
    """The title, and what the figure draws, as text."""
    drawing = panel.locator(".js-plotly-plot .main-svg").first.inner_html()
    return panel.locator(TITLE).first.text_content(), drawing


def settled(page, panel, before=None, seconds=2.0, answers=None):
    """What the panel shows once it rests; `before` is waited away for that many seconds.

    With `answers`, the count before a press, no longer than the kernel takes to answer it.
    """
    deadline = time.monotonic() + seconds
    last, now, rested = None, seen(panel), 0
    while last != now or (
        before in (now, now[0]) and time.monotonic() < deadline and (answers is None or rested < 5)
    ):
        page.wait_for_timeout(80)
        last, now = now, seen(panel)
        done = ANSWERS[page] != answers and page not in AT_WORK
        rested = rested + 1 if done else 0
    return now


def move(page, panel, handle, title=True, seconds=2.0):
    """Press keys on a slider until the drawing, and the title too if asked, have changed.

    Each press may take that many seconds to be seen.
    """
    before = now = settled(page, panel)
    handle.focus()
    at, end = (float(handle.get_attribute(f"aria-value{name}")) for name in ("now", "max"))
    there, back = ("ArrowRight", "ArrowLeft") if at < end else ("ArrowLeft", "ArrowRight")
    for key in [*4 * [there], *8 * [back], "Home", "End"]:
        answers = ANSWERS[page]
        page.keyboard.press(key)
        now = settled(page, panel, now, seconds, answers)
        if now[1] != before[1] and (now[0] != before[0] or not title):
            return True
    return False


def every_slider_moves(page, panel, seconds=8.0):
    """Fail unless each slider in sight changes the figure, and the first one the title too."""
    for i, handle in enumerate(panel.locator(HANDLE).all()):
        # The title tells what the first slider does; others may move a reference only.
        assert move(page, panel, handle, i == 0, seconds), f"slider {i} moves nothing"


def preset_fails(panel):
    """Press a preset that fails: the title says something else. It may have models to train."""
    title = panel.locator(TITLE).first
    before = title.text_content()
    panel.locator(f"button.{FAILS}").last.click()
    expect(title).not_to_have_text(before, timeout=60_000)


def has_failing_preset(panel):
    return panel.locator(f"button.{FAILS}").count() > 0


def presets(panel):
    """The buttons of an explorer's presets: those before Step and Reset."""
    buttons = panel.locator(".widget-vbox button.widget-button:visible").all()
    titles = [button.inner_text() for button in buttons]
    last = min(titles.index(name) for name in ("Step", "Reset") if name in titles)
    return buttons[:last]


# -- what is in sight ---------------------------------------------------------------------------

MOST_CONTROLS, MOST_FIGURE, LEAST_SLIDER = 130, 470, 180  # pixels, in a cell of 850 x 640
SIZES = """(panel) => {
  const box = (e) => e.getBoundingClientRect();
  const figure = box(panel.querySelector(".js-plotly-plot"));
  const drawn = box(panel.querySelector(".js-plotly-plot .main-svg"));
  const bars = [...panel.querySelectorAll(".noUi-base")].filter((e) => e.offsetParent);
  const lines = [...panel.querySelectorAll("button.widget-button")].map((e) => box(e).top);
  return {controls: figure.top - box(panel.querySelector(".widget-vbox")).top,
          figure: drawn.height, sliders: bars.map((e) => box(e).width),
          lines: new Set(lines.filter((y) => y < figure.top).map((y) => Math.round(y / 9))).size};
}"""
OVERLAPS = """(panel) => {
  const figure = panel.querySelector(".js-plotly-plot .main-svg").getBoundingClientRect();
  const texts = [...panel.querySelectorAll(".js-plotly-plot svg text")]
    .map((e) => ({text: e.textContent.trim(), box: e.getBoundingClientRect()}))
    .filter((one) => one.text && one.box.width);
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2.5;
  const within = ({left, right, top, bottom}) => left >= figure.left - 1
    && right <= figure.right + 1 && top >= figure.top - 1 && bottom <= figure.bottom + 1;
  return texts.flatMap((one, i) => [
    ...(within(one.box) ? [] : [["cut off", one.text]]),
    ...texts.slice(i + 1).filter((other) => over(one.box, other.box))
      .map((other) => [one.text, other.text])]);
}"""


def unfit(panel):
    """What of a panel does not fit a small screen, in words; nothing where all is well."""
    sizes, found = panel.evaluate(SIZES), []
    if sizes["controls"] > MOST_CONTROLS:
        found.append(f"controls are {sizes['controls']:.0f} px high")
    if sizes["figure"] > MOST_FIGURE:
        found.append(f"the figure is {sizes['figure']:.0f} px high")
    if sizes["lines"] > 1:
        found.append("the presets and buttons take more than one line")
    found += [f"a slider of {w:.0f} px" for w in sizes["sliders"] if w < LEAST_SLIDER]
    return found + [f"texts overlap: {pair}" for pair in panel.evaluate(OVERLAPS)]
