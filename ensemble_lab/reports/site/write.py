"""Write a site from notebooks that were run, and look for what is wrong with it."""

from __future__ import annotations

import html
import shutil
from collections.abc import Sequence
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.page import Run
from ensemble_lab.reports.request import RequestError, excerpt, named
from ensemble_lab.reports.site.documents import addressed, documents_in
from ensemble_lab.reports.site.frame import (
    FIGURES_FILE,
    PLOTLY_FILE,
    SEARCH_FILE,
    SECTIONS_FILE,
    framed,
    own_file,
)
from ensemble_lab.reports.site.front import Place, front, parts_of, pictured, series_in, troubles_in
from ensemble_lab.reports.site.pages import Page, page_of
from ensemble_lab.reports.site.sections import as_script
from ensemble_lab.widgets.plain import whole

LARGEST = 3_000_000  # bytes of a page
INDEX = "index.html"


def write_site(runs: Sequence[Run], out: Path) -> list[str]:
    """Write the pages of notebooks that were run, and what stands beside them, into `out`.

    The folder above the notebooks may have a ``README.md`` with a table of the series and a folder
    ``docs`` with markdown files, ``families.md`` and ``troubles.csv`` among them; what is missing
    is left out.

    Parameters
    ----------
    runs : sequence of Run
    out : Path
        A folder that exists.

    Returns
    -------
    list of str
        A sentence for each page that is above 3 MB and so is not shown, each figure that is empty
        or cannot be drawn without scripts, and each dead link.

    Raises
    ------
    RequestError
        Two pages of one name, a table of troubles that cannot be read, or a file that cannot be
        written.
    """
    root = runs[0].source.parent.parent
    docs = root / "docs"
    addresses = {f"{run.source.parent.name}/{run.source.name}": f"{run.source.stem}.html"
                 for run in runs if run.executed.exists()}  # fmt: skip
    addresses |= {f"docs/{path.name}": f"{path.stem}.html" for path in docs.glob("*.md")}
    tables = sorted(docs.glob("*.csv"))
    addresses |= {f"docs/{path.name}": path.name for path in tables}
    _check_names([*addresses.values()])
    places = series_in(root / "README.md")
    troubles = troubles_in(docs / "troubles.csv")
    families = docs / "families.md"
    pages = [
        page_of(run, addressed(addresses, run.source.parent.name))
        for run in runs
        if run.executed.exists()
    ]
    documents = documents_in(docs, addresses)
    faults = [fault for page in pages for fault in page.faults]
    refused = set()
    failures = {run.source.name: run.failure for run in runs if run.failure}
    try:
        (out / INDEX).unlink(missing_ok=True)  # it would name pages of another run
        _write_shared(out, pages, documents)
        for path in tables:
            shutil.copyfile(path, out / path.name)
        for at, page in enumerate(pages):
            links = _links(pages[at - 1] if at else None, next(iter(pages[at + 1 :]), None))
            if fault := _write_page(out, page, links, places.get(page.name)):
                faults.append(fault)
                refused.add(page.name)
        for document in documents:
            text = framed(document.title, document.body, _links(), [])
            write_whole(out / f"{document.name}.html", whole(text))
        text = families.read_text(encoding="utf-8") if families.is_file() else ""
        first = front(pages, documents, places, troubles, text, failures)
        text = framed("ensemble_lab", first, parts_of(first), [SECTIONS_FILE, SEARCH_FILE])
        write_whole(out / INDEX, whole(text))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise RequestError(
            f"cannot write into {named(out)}: {why}; choose another --out"
        ) from error
    names = [f"{one.name}.html" for one in (*pages, *documents) if one.name not in refused]
    return faults + dead_links(out, [INDEX, *names])


def _check_names(names: Sequence[str]) -> None:
    taken = [INDEX, *names]
    twice = next((name for name in taken if taken.count(name) > 1), None)
    if twice:
        raise RequestError(f"two pages would be called {excerpt(twice)}; rename one of their files")


def _write_shared(out: Path, pages: Sequence[Page], documents: Sequence) -> None:
    """What the pages share: plotly.js once, the scripts, and the pictures of explorers."""
    from plotly.offline import get_plotlyjs

    if any(page.has_figures for page in pages):
        write_whole(out / PLOTLY_FILE, get_plotlyjs())
    for name in (FIGURES_FILE, SEARCH_FILE):
        write_whole(out / name, own_file(name))
    sections = [section for one in (*pages, *documents) for section in one.sections]
    write_whole(out / SECTIONS_FILE, as_script(sections))
    (out / "pictures").mkdir(exist_ok=True)
    for old in (out / "pictures").glob("*.svg"):
        old.unlink()
    for file, (_, one) in pictured(pages).items():
        write_whole(out / "pictures" / file, one.picture + "\n")
    write_whole(out / ".nojekyll", "")  # GitHub Pages shows the files as they are


def _links(before: Page | None = None, after: Page | None = None) -> list[tuple[str, str]]:
    found = [("Index", INDEX), ("Search", f"{INDEX}#search")]
    if before:
        found.append((f"← {before.title}", quote(f"{before.name}.html")))
    if after:
        found.append((f"{after.title} →", quote(f"{after.name}.html")))
    return found


def _write_page(
    out: Path, page: Page, links: Sequence[tuple[str, str]], place: Place | None
) -> str:
    """Write a notebook's page; a page above the limit says so instead, and is returned by name."""
    facts = [place.number, place.level] if place else []
    facts += [f"{page.minutes} minutes"] if page.minutes else []
    facts += [f'<a href="{html.escape(to)}">Open in {name}</a>' for name, to in page.opens]
    about = f'<p class="small">{" · ".join(filter(None, facts))}</p>\n'
    scripts = [PLOTLY_FILE, FIGURES_FILE] if page.has_figures else []
    text = whole(framed(page.title, about + page.body, links, scripts))
    size, fault = len(text.encode()), ""
    if size > LARGEST:
        fault = (
            f"{excerpt(page.name, 60)}.html has {size / 1e6:.1f} MB, above {LARGEST / 1e6:g} MB,"
            " and is not shown; give its figures fewer points or its explorers fewer steps"
        )
        text = framed(page.title, f'<p class="failed">{html.escape(fault)}</p>', links, [])
    write_whole(out / f"{page.name}.html", text)
    return fault


class _Places(HTMLParser):
    """The ids of a page, and the addresses that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id":
                self.ids.add(value or "")
            elif name in ("href", "src") and tag != "use":
                self.links.append(value or "")


def dead_links(out: Path, names: Sequence[str]) -> list[str]:
    """A sentence for each link in these files of `out` that leads to no file or place there."""
    pages = {}
    for name in names:
        with suppress(OSError):
            pages[name] = _Places((out / name).read_text(encoding="utf-8"))
    faults = []
    for name, page in pages.items():
        for link in dict.fromkeys(page.links):
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            file, place = unquote(to.path) or name, unquote(to.fragment)
            missing = not (out / file).is_file()
            if not missing and file in pages and place and place not in pages[file].ids:
                missing = True
            if missing:
                faults.append(f"{name} has a dead link, {excerpt(link, 80)}")
    return faults
