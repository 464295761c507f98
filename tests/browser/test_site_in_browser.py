"""The site in a real browser, from the one run of each notebook: figures, stills, search, links.

What people report of such sites is tried: a search that asks a server, links that break under a
sub-path, figures that stay blank in a closed part of the page or where plotly.js does not run.
"""

import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from ensemble_lab.reports.page import Run
from ensemble_lab.reports.site.write import LARGEST, write_site
from tests.notebooks.solved import NOTEBOOKS
from tests.support.processes import once

pytestmark = [
    pytest.mark.slow,  # the notebooks may have to run first
    pytest.mark.last,  # when they have, this is about a minute
    pytest.mark.timeout(2400),
]
# Draws each figure by scrolling to it; the figures, and those in which plotly drew nothing.
SCROLL = """async () => {
  const all = [...document.querySelectorAll("figure.picture")];
  for (const one of all) {
    one.scrollIntoView({block: "center"});
    const until = Date.now() + 60000;
    while (!one.classList.contains("drawn") && Date.now() < until)
      await new Promise((wake) => setTimeout(wake, 20));
  }
  const marks = ".scatterlayer .trace, .barlayer .trace, .heatmaplayer image, .heatmaplayer .hm";
  const blank = all.filter((one) => {
    const size = one.querySelector(".main-svg")?.getBoundingClientRect();
    return !(size?.width > 300 && size.height > 150 && one.querySelector(marks));
  });
  return [all.length, blank.map((one) => all.indexOf(one) + 1)];
}"""
STILLS = """() => [...document.querySelectorAll("figure.picture > svg")].map((one) => {
  const size = one.getBoundingClientRect();
  return size.width > 300 && size.height > 100 && one.querySelectorAll("*").length > 5;
})"""


@pytest.fixture
def built(executed, shared):
    """The folder of the whole site."""
    runs = [executed(path) for path in NOTEBOOKS]

    def make(place):
        ran = [Run(path, run.path, 1.0, "") for path, run in zip(NOTEBOOKS, runs)]
        assert write_site(ran, place) == []  # no dead link, no blank figure, none above the limit

    return once(shared / "site", make)


@pytest.fixture
def faults(page):
    """What the page logs as an error."""
    found = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda said: said.type == "error" and found.append(said.text))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_draws_every_figure_over_its_still_picture(built, path, page, faults, browser):
    file = built / f"{path.stem}.html"
    assert file.stat().st_size < LARGEST
    page.goto(file.as_uri())
    count, blank = page.evaluate(SCROLL)
    assert count > 0 and blank == [] and faults == []
    assert page.locator("figure.picture > svg").count() == 0
    with browser.new_context(java_script_enabled=False) as context:
        plain = context.new_page()
        plain.goto(file.as_uri())
        stills = plain.evaluate(STILLS)
        assert len(stills) == count and all(stills)
        assert plain.locator(".words").count() >= plain.locator(".live").count() == 0
        assert len(plain.locator("main").inner_text().split()) > 300


def test_the_index_shows_each_explorer_and_leads_to_it(built, page, faults):
    from ensemble_lab.explorers.explore import EXPLORERS

    page.goto((built / "index.html").as_uri())
    pictures = page.locator(".pictures a")
    names = [words.partition(",")[0] for words in pictures.all_inner_texts()]
    assert sorted(names) == sorted(EXPLORERS)
    for one in page.locator(".pictures img").all():
        one.scroll_into_view_if_needed()
        expect(one).to_have_js_property("complete", True)
        assert one.evaluate("one => one.naturalWidth") > 100
    page.locator(".pictures a", has_text="lesions").click()
    expect(page).to_have_url((built / "14_dual_transformers.html").as_uri() + "#explorer")
    expect(page.locator("#explorer figure.drawn")).to_be_in_viewport()
    assert faults == []


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("cascade THRESH", "sections"),  # every word, from its beginning, in any case
        ("thréshold", "Choose the threshold"),  # accents on neither side
        ("erlang", "Which model on which machine"),
        ("zzyzx cascade", 'Nothing begins with "zzyzx".'),
        ("<img src=x onerror=alert(1)>", "Nothing begins with"),
        ("   ", ""),
    ],
)
def test_search_finds_without_a_server(built, page, faults, asked, told):
    page.goto((built / "index.html").as_uri())
    page.get_by_role("searchbox").fill(asked)
    expect(page.locator("#search")).to_contain_text(told)
    assert page.locator("#search img, #search script").count() == 0 and faults == []
    page.reload()  # the address has the query
    expect(page.get_by_role("searchbox")).to_have_value(asked)
    expect(page.locator("#search")).to_contain_text(told)


def test_search_leads_only_to_places_that_are_there(built):
    rows = json.loads((built / "sections.js").read_text().partition("=")[2].strip().rstrip(";"))
    pages = {path.name: path.read_text() for path in built.glob("*.html")}
    assert {page for page, *_ in rows} == pages.keys() - {"index.html"}
    for page, anchor, *_ in rows:
        assert not anchor or f'id="{anchor}"' in pages[page], (page, anchor)


def test_a_result_leads_to_its_section(built, page):
    page.goto((built / "index.html").as_uri() + "#search=erlang%20halves")
    first = page.locator(".results a").first
    words = first.inner_text().partition(" › ")[2]
    first.click()
    expect(page.locator(":target").get_by_text(words).first).to_be_in_viewport()


@pytest.fixture
def served(built):
    """The address of the site under a sub-path, as on Pages, and the paths that were missing."""
    missing = []

    class Under(SimpleHTTPRequestHandler):
        def translate_path(self, path):
            return super().translate_path(path.removeprefix("/ensemble_lab"))

        def do_GET(self):
            if not self.path.startswith("/ensemble_lab/"):
                missing.append(self.path)
            super().do_GET()

        def send_error(self, *said):
            missing.append(self.path)
            super().send_error(*said)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Under, directory=built)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/ensemble_lab/", missing
        running.shutdown()


def test_it_works_under_a_sub_path(served, page):
    address, missing = served
    page.goto(address)
    page.get_by_role("searchbox").fill("bagging")
    expect(page.locator(".results li").first).to_be_visible()
    page.locator(".troubles a").first.click()
    expect(page.locator("figure.drawn").first).to_be_visible()
    page.get_by_role("link", name="→").first.click()
    expect(page.locator("h1")).to_contain_text("Voting")
    page.get_by_role("link", name="Search").first.click()
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert [path for path in missing if "favicon" not in path] == []


@pytest.mark.parametrize(
    "library",
    ["let = ;", "throw Error('old')", "window.Plotly = {newPlot: () => {throw Error()}}",
     "window.Plotly = {newPlot: () => Promise.reject()}", None],
    ids=["syntax", "throws", "cannot-draw", "fails-later", "missing"],
)  # fmt: skip
def test_where_plotly_does_not_run_the_still_picture_stays(built, tmp_path, page, library):
    for name in ("00_start_here.html", "figures.js"):
        shutil.copy(built / name, tmp_path)
    if library:
        (tmp_path / "plotly.min.js").write_text(library)
    page.goto((tmp_path / "00_start_here.html").as_uri())
    still = page.locator("figure.picture > svg")
    still.first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert still.count() == page.locator("figure.picture").count() > 0
    assert page.locator(".live").count() == 0
    expect(still.first).to_be_visible()


def test_a_figure_in_a_closed_part_is_drawn_at_its_size_when_opened(built, tmp_path, page):
    for name in ("figures.js", "plotly.min.js"):
        shutil.copy(built / name, tmp_path)
    text = (built / "00_start_here.html").read_text()
    text = text.replace('<figure class="picture">', '<details><figure class="picture">')
    text = text.replace("</figure>", "</figure></details>")
    (tmp_path / "a.html").write_text(text)
    page.goto((tmp_path / "a.html").as_uri())
    page.wait_for_timeout(300)
    assert page.locator(".live").count() == 0
    page.locator("details:has(> figure) > summary, details:has(> figure)").first.click()
    drawn = page.locator("figure.drawn .main-svg").first
    expect(drawn).to_be_visible()
    assert drawn.bounding_box()["width"] > 680


def test_a_phone_scrolls_wide_figures_and_not_the_page(built, browser):
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        for name in ("index.html", "02_cascades.html", "families.html"):
            page.goto((built / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_on_paper_there_are_pictures_and_no_links_to_click(built, page):
    page.goto((built / "14_dual_transformers.html").as_uri())
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    figures = page.locator("figure.picture")
    for at in range(figures.count()):
        assert figures.nth(at).bounding_box()["height"] > 100
