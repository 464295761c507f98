"""A notebook that was run as a page of the site: still pictures that plotly replaces."""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ensemble_lab.core.errors import shown
from ensemble_lab.reports.formulas import FormulaExporter
from ensemble_lab.reports.page import (
    PLOTLY,
    WIDGET,
    Run,
    leave_out_live,
    opening,
    stay_here,
    title_of,
)
from ensemble_lab.reports.request import excerpt, read_notebook
from ensemble_lab.reports.site.documents import linked, with_ids
from ensemble_lab.reports.site.sections import Section, sections_of
from ensemble_lab.reports.vector import svg
from ensemble_lab.widgets.plain import unescaped

if TYPE_CHECKING:
    from nbformat import NotebookNode

HEIGHT = 525  # pixels of a figure that states none
MARGIN = {"l": 80, "r": 80, "t": 100, "b": 80}  # plotly's own
# Code is escaped by its highlighter; to clean it again takes a third of the time.
TEMPLATE = """{% extends 'lab/base.html.j2' %}
{% block in_prompt %}{% endblock %}
{% block empty_in_prompt %}{% endblock %}
{% block output_area_prompt %}{% endblock %}
{% block input %}{{ cell.source | highlight_code(metadata=cell.metadata) }}{% endblock %}
{% block input_group %}
{% if cell.metadata.get("jupyter", {}).get("source_hidden") %}
{% set first = cell.source.split("\n")[0] %}
{% set title = ": " ~ first[9:] if first.startswith("# @title ") else "" %}
<details><summary>code{{ title | e }}</summary>
{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock %}
"""
BADGES = re.compile(r"(?m)^(?:\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\s*)+$")
OPENS_IN = re.compile(
    r"\]\((https://(?:colab\.research\.google\.com/github|mybinder\.org/v2)/[^)\s]+)\)"
)
MINUTES = re.compile(r"\b(\d+) minutes\b")
CELL = re.compile(r'\bid="cell-id=([\w-]+)"')


@dataclass(frozen=True)
class Shown:
    """An explorer on a page: its name, the cell, its picture (SVG) and its words."""

    name: str
    cell: str
    picture: str
    words: str


@dataclass
class Page:
    """A notebook as a page of the site.

    Attributes
    ----------
    name : str
        Of its file, without ``.html``.
    title : str
        Its first heading.
    minutes : int or None
        The reading time that its first cell states.
    opens : list of (str, str)
        Name and address of each service that opens it.
    body : str
        Markup of its cells.
    has_figures : bool
    explorers : list of Shown
    sections : list of Section
        For search.
    faults : list of str
        A sentence for what cannot be shown.
    """

    name: str
    title: str
    minutes: int | None
    opens: list[tuple[str, str]]
    body: str = ""
    has_figures: bool = False
    explorers: list[Shown] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def page_of(run: Run, address: Callable[[str], str]) -> Page:
    """The page of a notebook that was run.

    Parameters
    ----------
    run : Run
    address : callable
        From a link in the notebook to that of the site.
    """
    notebook = read_notebook(run.executed)
    name = run.source.stem
    leave_out_live(notebook)
    stay_here(notebook)
    start = opening(notebook)
    minutes = MINUTES.search(start)
    opens = [("Colab" if "colab" in to else "Binder", to) for to in OPENS_IN.findall(start)]
    page = Page(name, title_of(notebook) or name, minutes and int(minutes[1]), opens)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = BADGES.sub("", cell.source)
    page.sections = sections_of(notebook, f"{name}.html", page.title)
    drawn = _draw(notebook, page)
    body, _ = FormulaExporter(raw_template=TEMPLATE).from_notebook_node(notebook)
    body = with_ids(CELL.sub(r'id="\1"', body), lambda before, _: before)
    page.body = linked(body, address)
    for mark, markup in drawn.items():
        page.body = page.body.replace(mark, markup, 1)
    return page


def _draw(notebook: NotebookNode, page: Page) -> dict[str, str]:
    """Replace plotly's data in the outputs by marks; returns the markup for each mark.

    A mark is random, so that no notebook can contain one.
    """
    drawn: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if PLOTLY not in output.get("data", {}):
                continue
            figure = output.data.pop(PLOTLY)
            output.data.pop(WIDGET, None)  # nothing responds to it on a page
            mark = f"figure-{secrets.token_hex(8)}"
            output.data["text/html"] = f"<p>{mark}</p>"
            where = f"{excerpt(page.name, 60)}.ipynb: figure {len(drawn) + 1}"
            try:
                picture, stored, words, name = still_picture(figure)
            except Exception as error:  # an untrusted figure may contain anything
                page.faults.append(f"{where} {_why(error)}")
                drawn[f"<p>{mark}</p>"] = f'<p class="failed">{html.escape(page.faults[-1])}</p>'
                continue
            page.has_figures = True
            if words:
                page.explorers.append(Shown(name, cell.id, picture, words))
            told = f'<p class="words">{html.escape(words)}</p>' if words else ""
            drawn[f"<p>{mark}</p>"] = (
                f'<figure class="picture">{picture}'
                f'<script type="application/json">{stored}</script></figure>{told}'
            )
    return drawn


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, EmptyFigure) else f"cannot be drawn ({shown(error, 60)})"


class EmptyFigure(ValueError):
    """A figure of which nothing is to be seen."""


def still_picture(figure: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """The figure as SVG and as data for plotly, with an explorer's words and name or nothing.

    Raises
    ------
    EmptyFigure
        No trace has a point.
    ValueError
        A trace that cannot be drawn without scripts.
    """
    data, layout = figure.get("data") or [], dict(figure.get("layout") or {})
    if not any(map(has_points, data)):
        raise EmptyFigure("is empty; give it points, or remove its cell")
    layout["height"] = layout.get("height") or HEIGHT
    layout["margin"] = MARGIN | (layout.get("margin") or {})
    title, meta = layout.get("title"), layout.get("meta")
    title = title.get("text") if isinstance(title, dict) else title
    meta = meta if isinstance(meta, dict) else {}
    words = str(meta.get("text", ""))
    label = html.escape(words or unescaped(str(title or "a figure")), quote=True)
    picture = svg({"data": data, "layout": layout}, strict=True)
    picture = picture.replace("<svg ", f'<svg aria-label="{label}" ', 1)
    config = {k: v for k, v in (figure.get("config") or {}).items() if isinstance(v, bool)}
    config |= {"plotlyServerURL": "", "responsive": True, "displaylogo": False}
    about = {"data": data, "layout": layout, "config": config}
    stored = json.dumps(compact(about), separators=(",", ":")).replace("<", "\\u003c")
    return picture, stored, words, str(meta.get("explorer", ""))


def has_points(trace: Mapping[str, Any]) -> bool:
    """Whether a trace shows anything: a list of values that is not empty."""
    if trace.get("visible", True) is not True:
        return False
    values = (trace.get(name) for name in ("x", "y", "z", "values", "r", "lat", "node", "cells"))
    for value in values:
        if isinstance(value, Mapping) and value:
            return True
        if isinstance(value, Sequence) and any(one is not None for one in value):
            return True
    return False


def compact(value: Any) -> Any:
    """JSON with whole numbers without a point: a map of zeros and ones is half as long."""
    if isinstance(value, Mapping):
        return {key: compact(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [compact(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
