"""The first page of a site: by trouble, pictures of explorers, the series, by family."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ensemble_lab.reports.request import RequestError, named
from ensemble_lab.reports.site.documents import Document, slug
from ensemble_lab.reports.site.pages import Page

COLUMNS = ("trouble", "kind", "advice", "lesson", "notebook", "cell")
KINDS = {"helps": "Helps", "not": "Does not help"}
# A row of the README's table of the series: number, title, the rest of it, level.
ROW = re.compile(
    r"(?m)^\| *(\w*) *\| \[([^\]]+)\]\(notebooks/([\w.-]+)\.ipynb\)(?:[:,] ?([^|]*?))? *\| (\w+) \|"
)
LEVEL = re.compile(r"(?m)^## (.+)\n+(.*)")
FAMILY = re.compile(r"(?m)^### (.+)\n+(.*)")
NOTEBOOK = re.compile(r"\(\.\./notebooks/([\w.-]+)\.ipynb\)")


@dataclass(frozen=True)
class Place:
    """A notebook in the series: its number, level and what the README says of it."""

    number: str
    words: str
    level: str


def series_in(readme: Path) -> dict[str, Place]:
    """Name of a notebook to its place, from the README's table; empty where there is none."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    return {
        name: Place(number, f"{title}: {rest}" if rest else title, level)
        for number, title, name, rest, level in ROW.findall(text)
    }


def troubles_in(path: Path) -> dict[str, list[dict[str, str]]]:
    """Each trouble with its rows, from a CSV with the columns `COLUMNS`; empty without a file.

    Raises
    ------
    RequestError
        Other columns, or a kind that is none of `KINDS`.
    """
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise RequestError(f"{named(path)} needs the columns {', '.join(COLUMNS)}")
        found: dict[str, list[dict[str, str]]] = {}
        for row in reader:
            if row["kind"] not in KINDS or None in row.values() or None in row:
                raise RequestError(
                    f"{named(path)}, line {reader.line_num}: give {len(COLUMNS)} cells, the kind"
                    f" one of {', '.join(KINDS)}"
                )
            found.setdefault(row["trouble"], []).append(row)
    return found


def front(
    pages: Sequence[Page],
    documents: Sequence[Document],
    places: Mapping[str, Place],
    troubles: Mapping[str, Sequence[Mapping[str, str]]],
    families: str,
    failures: Mapping[str, str],
) -> str:
    """The markup of the first page.

    Parameters
    ----------
    pages : sequence of Page
        In the order of the series.
    documents : sequence of Document
    places : mapping of str to Place
        By a notebook's name.
    troubles : mapping of str to rows
        As `troubles_in` gives them. Rows about a notebook that has no page are left out.
    families : str
        The text of ``docs/families.md``, or nothing.
    failures : mapping of str to str
        Name of a notebook to what failed in it.
    """
    by_name = {page.name: page for page in pages}
    parts = [
        "<h1>ensemble_lab: several AI models, working together</h1>",
        "<p>Each page is a notebook that was run, with its pictures. Nothing is fetched from a"
        " network.</p>",
        '<div id="search"><p class="small">Search needs JavaScript. Below is all that it'
        " finds.</p></div>",
        *_section("By trouble", _by_trouble(troubles, by_name, places)),
        *_section("Explorers", _pictures(pages, places)),
        *_section("The series, in order", _series(pages, places, failures)),
        *_section("By family", _by_family(families, by_name, places)),
        *_section("Documents", _documents(documents)),
    ]
    return "\n".join(parts)


def parts_of(markup: str) -> list[tuple[str, str]]:
    """The words and the address of each section of the first page."""
    found = re.findall(r'<h2 id="([\w-]+)">([^<]+)</h2>', markup)
    return [(words.partition(",")[0], f"#{place}") for place, words in found]


def _section(heading: str, lines: Iterator[str]) -> list[str]:
    """A heading and its lines, or nothing where there are no lines."""
    found = list(lines)
    place = heading.split(",")[0].lower().replace(" ", "-")
    return [f'<h2 id="{place}">{heading}</h2>', *found] if found else []


def _link(page: Page, places: Mapping[str, Place], cell: str = "", brief: bool = False) -> str:
    place = places.get(page.name)
    words = f"{place.number} {place.words}".strip() if place else page.title
    words = words.partition(":")[0] if brief else words
    return f'<a href="{_to(page, cell)}">{html.escape(words)}</a>'


def _to(page: Page, cell: str = "") -> str:
    return quote(f"{page.name}.html") + (f"#{quote(cell)}" if cell else "")


def _by_trouble(troubles: Mapping, pages: Mapping[str, Page], places: Mapping) -> Iterator[str]:
    told = list(_troubles(troubles, pages, places))
    if told:
        yield from ('<div class="troubles">', *told, "</div>")


def _troubles(troubles: Mapping, pages: Mapping[str, Page], places: Mapping) -> Iterator[str]:
    for trouble, rows in troubles.items():
        rows = [row for row in rows if row["notebook"] in pages]
        if not rows:
            continue
        yield f"<section><h3>{html.escape(trouble)}</h3><ul>"
        for row in rows:
            link = _link(pages[row["notebook"]], places, row["cell"], brief=True)
            kind, advice = KINDS[row["kind"]], html.escape(row["advice"])
            lesson = f"<q>{html.escape(row['lesson'])}</q>"
            yield f'<li class="{row["kind"]}"><b>{kind}:</b> {advice} {lesson} {link}</li>'
        yield "</ul></section>"


def pictured(pages: Sequence[Page]) -> dict[str, tuple[Page, object]]:
    """File of the picture of each explorer to its first page, and how it stands there."""
    found: dict[str, tuple[Page, object]] = {}
    for page in pages:
        for one in page.explorers:
            found.setdefault(f"{one.name or f'{page.name}-{one.cell}'}.svg", (page, one))
    return found


def _pictures(pages: Sequence[Page], places: Mapping) -> Iterator[str]:
    found = pictured(pages)
    if found:
        yield '<div class="pictures">'
        for file, (page, one) in found.items():
            place = places.get(page.name)
            words = f"{one.name or page.title}" + (f", in {place.number}" if place else "")
            yield (
                f'<a href="{_to(page, one.cell)}"><img src="pictures/{quote(file)}" loading="lazy"'
                f' alt="{html.escape(one.words, quote=True)}">{html.escape(words)}</a>'
            )
        yield "</div>"


def _series(pages: Sequence[Page], places: Mapping, failures: Mapping[str, str]) -> Iterator[str]:
    for name, failure in failures.items():
        yield f'<p class="failed">{html.escape(name)}: {html.escape(failure)}</p>'
    if pages:
        yield "<table><tr><th>notebook</th><th>level</th><th>minutes</th></tr>"
        for page in pages:
            level = places[page.name].level if page.name in places else ""
            cells = (_link(page, places), level, str(page.minutes or ""))
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        yield "</table>"


def _by_family(families: str, pages: Mapping[str, Page], places: Mapping) -> Iterator[str]:
    levels = [*LEVEL.finditer(families)]
    for at, level in enumerate(levels):
        end = levels[at + 1].start() if at + 1 < len(levels) else len(families)
        rows = []
        for family, about in FAMILY.findall(families[level.end() : end]):
            to = f"families.html#{slug(family)}"
            links = [
                _link(pages[name], places) for name in NOTEBOOK.findall(about) if name in pages
            ]
            rows.append(f'<li><a href="{to}">{html.escape(family)}</a>: {", ".join(links)}</li>')
        if rows:
            yield f"<h3>{html.escape(level[1])}</h3><p>{html.escape(level[2])}</p>"
            yield f"<ul>{''.join(rows)}</ul>"


def _documents(documents: Sequence[Document]) -> Iterator[str]:
    if documents:
        rows = (
            f'<li><a href="{document.name}.html">{html.escape(document.title)}</a></li>'
            for document in documents
        )
        yield f"<ul>{''.join(rows)}</ul>"
