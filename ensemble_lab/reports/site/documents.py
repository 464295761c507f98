"""The documents beside the notebooks as pages, and the addresses of all pages of a site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from ensemble_lab.reports.formulas import SHOW, FormulaRenderer, only_formulas
from ensemble_lab.reports.site.sections import Section, add_text

REPOSITORY = "https://github.com/ensemble-lab/ensemble_lab"  # what is no page is shown there
TITLE = re.compile(r"(?m)^# +(.+?)\s*$")
LINK = re.compile(r'(<a [^>]*?href=")([^"]+)(")')
HEADING = re.compile(
    r'<h([1-6]) id="([^"]*)">(.*?)(?:<a class="anchor-link"[^>]*>[^<]*</a>)?</h\1>', re.DOTALL
)
ELSEWHERE = re.compile(r"(?i)[a-z][a-z0-9+.-]*:|//|#|$")


@dataclass
class Document:
    """A markdown file as a page: its file's name, title, markup and sections."""

    name: str
    title: str
    body: str
    sections: list[Section]


def documents_in(folder: Path, addresses: Mapping[str, str]) -> list[Document]:
    """The markdown files of a folder, in the order of their names."""
    return [document_of(path, addresses) for path in sorted(folder.glob("*.md"))]


def document_of(path: Path, addresses: Mapping[str, str]) -> Document:
    """A markdown file as a page, whose headings have the addresses that GitHub gives them."""
    from nbconvert.filters.markdown_mistune import MarkdownWithMath

    source = path.read_text(encoding="utf-8")
    title = TITLE.search(source)
    name, title = path.stem, title[1] if title else path.stem
    renderer = FormulaRenderer(escape=False)
    body = MarkdownWithMath(renderer=renderer).render(only_formulas(source)).translate(SHOW)
    body = linked(with_ids(body, lambda _, words: slug(words)), addressed(addresses, "docs"))
    found = [Section(f"{name}.html", "", title, title)]
    add_text(found, source, slug)
    return Document(name, title, body, found)


def slug(words: str) -> str:
    """The id that GitHub gives a heading.

    >>> slug("Training on another model's output")
    'training-on-another-models-output'
    """
    words = re.sub(r"<[^<>]*>|&\w+;", "", words)
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


def with_ids(body: str, name: Callable[[str, str], str]) -> str:
    """The markup whose headings have ids by `name`, of the old id and the words, each once."""
    used = set(re.findall(r'\bid="([^"]+)"', HEADING.sub("", body)))

    def own(found: re.Match) -> str:
        level, before, words = found.groups()
        first = made = name(before, words)
        number = 0
        while made in used:
            number += 1
            made = f"{first}-{number}"
        used.add(made)
        return f'<h{level} id="{made}">{words}</h{level}>'

    return HEADING.sub(own, body)


def addressed(addresses: Mapping[str, str], folder: str) -> Callable[[str], str]:
    """A function: a link in a file of `folder` to that of the site.

    Parameters
    ----------
    addresses : mapping of str to str
        Path in the repository to file of the site.
    folder : str
        Such as ``"notebooks"``.

    Examples
    --------
    >>> to = addressed({"docs/measured.md": "measured.html"}, "notebooks")
    >>> to("../docs/measured.md#answers"), to("#top"), to("https://example.org")
    ('measured.html#answers', '#top', 'https://example.org')
    >>> to("../SECURITY.md")
    'https://github.com/ensemble-lab/ensemble_lab/blob/main/SECURITY.md'
    """

    def address(link: str) -> str:
        if ELSEWHERE.match(link):
            return link
        path, mark, place = link.partition("#")
        path = posixpath.normpath(posixpath.join(folder, unquote(path)))
        if path in addresses:
            return quote(addresses[path]) + mark + place
        if path.startswith(".."):  # outside of the project: a dead link, which is named
            return link
        return f"{REPOSITORY}/blob/main/{quote(path)}{mark}{place}"

    return address


def linked(markup: str, address: Callable[[str], str]) -> str:
    """The markup with the address of each link as `address` gives it."""

    def there(found: re.Match) -> str:
        to = address(found[2].replace("&amp;", "&"))
        return found[1] + to.replace("&", "&amp;").replace('"', "%22") + found[3]

    return LINK.sub(there, markup)
