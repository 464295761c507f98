"""Pages: an executed notebook as one HTML file, and the index over several of them.

A page needs no network: plotly.js is embedded once, formulas are MathML, and no script comes from
elsewhere.
"""

from __future__ import annotations

import html
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import ensemble_lab
from ensemble_lab.core.errors import shown
from ensemble_lab.core.whole import write_whole
from ensemble_lab.reports.markdown import without_code
from ensemble_lab.reports.request import RequestError, plain, read_notebook
from ensemble_lab.reports.slides import as_slides
from ensemble_lab.reports.vector import svg
from ensemble_lab.widgets.plain import unescaped, whole

if TYPE_CHECKING:
    from nbformat import NotebookNode

LIVE = "live"  # tag of cells that have no use on a page
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
# A page may fetch nothing from another place, and run only the scripts that were written here, with
# any markup in its cells: its readers did not choose to run its notebook. plotly.js compiles what
# draws in 3D.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    " script-src 'nonce-{}' 'unsafe-eval' blob:; worker-src blob:; style-src 'unsafe-inline';"
    " font-src data:; img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src data:"
    " blob:; base-uri 'none'; form-action 'none'\">"
)
# JupyterLab's own look, without the scripts that nbconvert fetches from the network, with readable
# line lengths; cells whose code is folded in the notebook are folded here.
TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_css %}
<style>main { max-width: 68rem; margin: auto; } math { font-size: 1.15em; }</style>
{% endblock %}
{% block input_group %}
{% if cell.metadata.get("jupyter", {}).get("source_hidden") %}
<details><summary>code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock %}
"""
SCRIPT = re.compile(r"(?is)<script\b(.*?</script>)")
# nbconvert writes them unescaped, so they could end a script early. Pages draw no diagrams.
NOT_RUN = ("application/javascript", "text/vnd.mermaid")
MARKUP = ("text/html", "image/svg+xml")
BETWEEN_BADGES = re.compile(r"(?<=\)) (?=\[!\[)")
TITLE = re.compile(r"^# (.+)", re.MULTILINE)
QUESTION = re.compile(r"\*\*([^*]+\?)\*\*")
INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Reports of ensemble_lab</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 45rem; margin: 3rem auto; padding: 0 1rem }}
li {{ margin: 0 0 1.5rem; list-style: none }}
ul {{ padding: 0 }}
a {{ font-size: 1.2rem; color: #0b4f8a }}
p {{ margin: .2rem 0 }}
.small {{ color: #555; font-size: .9rem }}
.failed {{ color: #a40000 }}
</style>
</head><body><h1>Reports</h1>
<p class="small">ensemble_lab {version}, {date}. Parameters: {parameters}.</p>
<ul>
{entries}
</ul>
</body></html>
"""


@dataclass(frozen=True)
class Run:
    """One notebook that was run.

    Parameters
    ----------
    source : Path
        The notebook.
    executed : Path
        The path of its executed copy, if it reached a first cell; its page is next to it.
    seconds : float
        Its running time.
    failure : str
        The error as text, or nothing.
    """

    source: Path
    executed: Path
    seconds: float
    failure: str

    @property
    def page(self) -> Path:
        return self.executed.with_suffix(".html")


def write_page(executed: Path, slides: bool = False) -> list[str]:
    """Write the HTML page of an executed notebook next to it; returns what it could not show."""
    from ensemble_lab.reports.formulas import FormulaExporter

    if not executed.exists():  # the kernel died before the first cell
        return []
    notebook = read_notebook(executed)
    notebook.metadata["title"] = title_of(notebook) or executed.stem
    leave_out_live(notebook)
    stay_here(notebook)
    nonce = secrets.token_urlsafe(16)
    faults = draw_figures(notebook, nonce)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = apart(cell.source)
    page, _ = FormulaExporter(raw_template=TEMPLATE).from_notebook_node(notebook)
    page = page.replace("<head>", f"<head>{POLICY.format(nonce)}", 1)
    if slides:
        page = as_slides(page, nonce)
    write_whole(executed.with_suffix(".html"), whole(page))
    return faults


def leave_out_live(notebook: NotebookNode) -> None:
    """Remove what needs a reader at the notebook, in place.

    Cells with the tag ``live`` are removed, such as the stubs of exercises and buttons. Of cells
    with the tag ``live-output`` the outputs are removed, such as the field of a guess.
    """
    notebook.cells = [cell for cell in notebook.cells if LIVE not in _tags(cell)]
    for cell in notebook.cells:
        if f"{LIVE}-output" in _tags(cell):
            cell.outputs = []


def _tags(cell: NotebookNode) -> list:
    return cell.metadata.get("tags") or []


def apart(source: str) -> str:
    """Badges with a dot between them: on a page they are text, not images from the network."""
    badges = [found.start() for found in BETWEEN_BADGES.finditer(without_code(source))]
    for at in reversed(badges):
        source = f"{source[:at]} · {source[at + 1 :]}"
    return source


def stay_here(notebook: NotebookNode) -> None:
    """Convert markup in outputs and raw cells that would leave the page to text, in place.

    Scripts in the outputs are left out: their text alternatives are shown.
    """
    from ensemble_lab.reports.formulas import local_only

    for output in _outputs(notebook):
        data = output.get("data", {})
        dropped = [kind for kind in NOT_RUN if data.pop(kind, None) is not None]
        if dropped and not data:
            data["text/plain"] = f"[{dropped[0]}, which a page does not run]"
        for kind in MARKUP:
            if isinstance(data.get(kind), str):
                data[kind] = local_only(data[kind])
    for cell in notebook.cells:
        if cell.cell_type == "raw":
            cell.source = local_only(cell.source)


def draw_figures(notebook: NotebookNode, nonce: str) -> list[str]:
    """Turn plotly's data in the outputs into HTML, in place; the first contains plotly.js.

    The scripts have the `nonce`, which a notebook's own output cannot know. Returns what could not
    be drawn; the page has a message in its place.
    """
    library, faults = True, []
    for output in _outputs(notebook):
        if PLOTLY not in output.get("data", {}):
            continue
        figure = output.data.pop(PLOTLY)
        output.data.pop(WIDGET, None)  # nothing responds to it on a page
        try:
            drawing, words = _drawn(figure, library)
        except Exception as error:  # untrusted data may make plotly raise any error
            faults.append(f"a figure cannot be drawn ({shown(error, 60)})")
            output.data["text/html"] = f"<p>{html.escape(faults[-1])}</p>"
            continue
        output.data["text/html"] = SCRIPT.sub(rf'<script nonce="{nonce}"\1', drawing) + words
        library = False
    return faults


def _drawn(figure, library: bool) -> tuple[str, str]:
    """The figure's HTML, and an explorer's picture in words or nothing."""
    from plotly.io import to_html

    known = {name: figure[name] for name in ("data", "layout", "frames") if figure.get(name)}
    drawn = {"data": [], "layout": {}} | known
    # plotly writes these two and its configuration into the markup unescaped.
    for size in ("height", "width"):
        if not isinstance(drawn["layout"].get(size), int | float):
            drawn["layout"] = {k: v for k, v in drawn["layout"].items() if k != size}
    config = figure.get("config") or {}
    known = {k: v for k, v in config.items() if isinstance(v, bool) and str(k).isidentifier()}
    drawing = to_html(
        drawn,
        config={**known, "plotlyServerURL": ""},
        include_plotlyjs=library,
        full_html=False,
        default_height=drawn["layout"].get("height", 525),
        validate=False,
    )
    meta = drawn["layout"].get("meta")
    described = isinstance(meta, dict) and "text" in meta
    words = f"<p>{html.escape(str(meta['text']))}</p>" if described else ""
    return drawing + _without_scripts(drawn), words


def _without_scripts(figure: Mapping) -> str:
    """The same as a still picture, for pages that are opened without scripts."""
    try:
        picture = svg(figure)
    except Exception:  # an untrusted figure may contain anything; its text is shown
        return ""
    return f"<noscript><style>.plotly-graph-div {{ display: none }}</style>{picture}</noscript>"


def _outputs(notebook: NotebookNode) -> list:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


# -- index --------------------------------------------------------------------------------------


def write_index(out: Path, runs: Sequence[Run], parameters: Mapping[str, Any]) -> None:
    """Write ``index.html``: a link to each page with its question and finding, and failures."""
    given = ", ".join(f"{name} = {shown(value, 200)}" for name, value in parameters.items())
    page = INDEX.format(
        version=ensemble_lab.__version__,
        date=date.today().isoformat(),
        parameters=html.escape(f"{given}; others" if given else "") + " as in the notebooks",
        entries="\n".join(map(entry, runs)),
    )
    write_whole(out / "index.html", whole(page))


def entry(run: Run) -> str:
    """The list item of one notebook: title, question, first finding, seconds, what failed."""
    there = run.page.is_file()  # a folder in its place is not a page
    notebook = _read_if_possible(run.executed if there else run.source)
    title = html.escape(title_of(notebook) or run.source.stem)
    address = quote(os.fsencode(run.page.name))  # the raw bytes of the name
    link = f'<a href="{address}">{title}</a>' if there else title
    question = QUESTION.search(without_code(opening(notebook)))
    lines = [
        (question and question[1], ""),
        (finding_of(notebook), ""),
        (plain(run.source.name) + f", {run.seconds:.0f} s" * bool(run.seconds), "small"),
        (run.failure, "failed"),
    ]
    described = [f'<p class="{kind}">{html.escape(text)}</p>' for text, kind in lines if text]
    return f"<li>{link}\n" + "\n".join(described) + "</li>"


def _read_if_possible(path: Path) -> NotebookNode:
    """The title of a notebook; the source may be missing or damaged by now."""
    import nbformat

    try:
        return read_notebook(path)
    except RequestError:
        return nbformat.v4.new_notebook()


def opening(notebook: NotebookNode) -> str:
    """The first markdown cell with a heading of the first level, or nothing."""
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((source for source in cells if TITLE.search(without_code(source))), "")


def title_of(notebook: NotebookNode) -> str:
    """The first heading of the first level, or nothing."""
    source = opening(notebook)
    found = TITLE.search(without_code(source))  # a comment in code is not a heading
    return source[found.start(1) : found.end(1)].strip() if found else ""


def finding_of(notebook: NotebookNode) -> str:
    """The first line of the first figure's title, as plain text, or nothing."""
    for output in _outputs(notebook):
        figure = output.get("data", {}).get(PLOTLY)
        layout = figure.get("layout") if isinstance(figure, dict) else None
        title = layout.get("title") if isinstance(layout, dict) else None
        text = title.get("text") if isinstance(title, dict) else title
        if isinstance(text, str) and text:
            return unescaped(text.partition("<br>")[0]).rstrip(",;: ")
    return ""
