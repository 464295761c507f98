"""Reports: notebooks run by papermill with other parameters, one HTML file of each.

A page needs no network: plotly.js is embedded once in each, and no script comes from elsewhere.
"""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ensemble_lab
from ensemble_lab.requested import (
    RequestError,
    check_parameters,
    find_notebooks,
    output_folder,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
# JupyterLab's own look, less the scripts that nbconvert fetches from the network; cells whose
# code is folded in the notebook are folded here.
TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block input_group %}
{% if cell.metadata.get("jupyter", {}).get("source_hidden") %}
<details><summary>code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock %}
"""
REMOTE_IMAGE = re.compile(r"!\[([^\]]*)\]\(https?://[^)\s]*\)")
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Reports of ensemble_lab</title>
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 45em; margin: 3em auto; }}</style>
</head><body><h1>Reports</h1>
<p>ensemble_lab {version}, {date}. Parameters: {parameters}.</p>
<ul>
{entries}
</ul>
</body></html>
"""


def report(
    notebooks: Sequence[str | Path], out: str | Path, parameters: Mapping[str, Any]
) -> list[str]:
    """Run notebooks and write their pages and an ``index.html`` into `out`.

    Parameters
    ----------
    notebooks : sequence of path
        Notebooks, or folders of them; empty for all of ``notebooks/``.
    out : path
        Folder, made where it is missing. The executed notebooks are kept beside their pages.
    parameters : mapping of str to value
        For every one of the notebooks.

    Returns
    -------
    list of str
        One sentence for every notebook that failed, naming its cell. Its page has what ran.

    Raises
    ------
    RequestError
        A missing notebook, a parameter that one does not have or not of that type, a folder that
        cannot be written, or tools that are not installed.
    """
    check_tools()
    paths = find_notebooks(notebooks)
    for path in paths:
        check_parameters(path, parameters)
    out = output_folder(out, paths)
    failures = {}
    with kernel_environment():
        for path in paths:
            failures[path] = execute(path, out / path.name, parameters)
            write_page(out / path.name)
    write_index(out, paths, failures, parameters)
    return [failure for failure in failures.values() if failure]


def check_tools() -> None:
    """Raise `RequestError` unless papermill, nbconvert and the kernel are installed."""
    try:
        import ipykernel  # noqa: F401
        import nbconvert  # noqa: F401
        import papermill  # noqa: F401
    except ImportError as error:
        raise RequestError(
            f"{error.name} is not installed; {sys.executable} -m pip install"
            " papermill nbconvert ipykernel"
        ) from None


# -- run ----------------------------------------------------------------------------------------


@contextmanager
def kernel_environment() -> Iterator[None]:
    """Kernels started inside are this Python's, and their figures stay data until the page.

    A figure that renders itself would bring its own plotly.js or a link to one, differently in
    every version of plotly; as data, one copy serves the whole page.
    """
    kernels = os.path.join(sys.prefix, "share", "jupyter")
    path = os.pathsep.join(filter(None, [kernels, os.environ.get("JUPYTER_PATH")]))
    before = dict(os.environ)
    os.environ.update(PLOTLY_RENDERER="plotly_mimetype", JUPYTER_PATH=path)
    os.environ.setdefault("ENSEMBLE_LAB_BACKEND", "still")  # a page has no kernel to drag with
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def execute(path: Path, executed: Path, parameters: Mapping[str, Any]) -> str:
    """Run one notebook into the file `executed`; returns what went wrong, or nothing."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    for old in (executed, executed.with_suffix(".html")):  # never taken for what this run left
        old.unlink(missing_ok=True)
    try:
        papermill.execute_notebook(
            path,
            executed,
            parameters={name: _plain(value) for name, value in parameters.items()},
            kernel_name="python3",
            cwd=path.parent,
            progress_bar={"desc": path.stem},
            store_widget_state=False,
        )
    except PapermillExecutionError as error:
        first = error.source.strip().partition("\n")[0]
        where = f"{path.name} stopped at cell [{error.exec_count}] ({first})"
        return f"{where}: {error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that dies: the next notebook still has its turn
        return f"{path.name} stopped{mark_stop(executed, error)}: {error}"
    return ""


def _plain(value):
    """Papermill hands on lists but makes text of a tuple."""
    return list(value) if isinstance(value, tuple) else value


def mark_stop(executed: Path, error: Exception) -> str:
    """Put `error` under the cell that was running, as the kernel could not; returns where it is."""
    import nbformat

    if not executed.exists():  # it stopped before the first cell
        return ""
    notebook = nbformat.read(executed, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [i for i, cell in enumerate(code) if cell.metadata.papermill.get("start_time")]
    if not started:
        return ""
    number, cell = started[-1] + 1, code[started[-1]]
    text = f"{type(error).__name__}: {error}"
    cell.outputs.append(
        nbformat.v4.new_output(
            "error", ename=type(error).__name__, evalue=str(error), traceback=[text]
        )
    )
    nbformat.write(notebook, executed)
    first = cell.source.strip().partition("\n")[0]
    return f" at cell [{number}] ({first})"


# -- pages --------------------------------------------------------------------------------------


def write_page(executed: Path) -> None:
    """Write the HTML page of an executed notebook beside it."""
    import nbformat
    from nbconvert import HTMLExporter

    if not executed.exists():  # the kernel died before the first cell
        return
    notebook = nbformat.read(executed, as_version=4)
    draw_figures(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # a badge from the network becomes its words
            cell.source = REMOTE_IMAGE.sub(r"\1", cell.source)
    page, _ = HTMLExporter(raw_template=TEMPLATE).from_notebook_node(
        notebook, {"metadata": {"name": executed.stem}}
    )
    executed.with_suffix(".html").write_text(page, encoding="utf-8")


def draw_figures(notebook: NotebookNode) -> None:
    """Turn plotly's data in the outputs into HTML, in place; the first brings plotly.js along."""
    from plotly.io import to_html

    library = True
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if PLOTLY not in output.get("data", {}):
                continue
            figure = output.data.pop(PLOTLY)
            output.data.pop(WIDGET, None)  # nothing answers it on a page
            config = figure.get("config") or {}
            drawn = {name: figure[name] for name in ("data", "layout", "frames") if name in figure}
            output.data["text/html"] = to_html(
                drawn,
                config={**config, "plotlyServerURL": ""},
                include_plotlyjs=library,
                full_html=False,
                default_height=drawn["layout"].get("height", 525),
                validate=False,
            )
            meta = drawn["layout"].get("meta")
            if isinstance(meta, dict) and "text" in meta:  # an explorer's picture in words
                output.data["text/html"] += f"<p>{html.escape(meta['text'])}</p>"
            library = False


def write_index(
    out: Path, paths: Sequence[Path], failures: Mapping[Path, str], parameters: Mapping[str, Any]
) -> None:
    """Write ``index.html``: a link to every page, and what failed."""
    entries = []
    for path in paths:
        page, name = path.with_suffix(".html").name, html.escape(path.stem)
        link = f'<a href="{html.escape(page)}">{name}</a>' if (out / page).exists() else name
        note = f" <b>{html.escape(failures[path])}</b>" if failures[path] else ""
        entries.append(f"<li>{link}{note}</li>")
    given = ", ".join(f"{name} = {value!r}" for name, value in parameters.items())
    page = PAGE.format(
        version=ensemble_lab.__version__,
        date=date.today().isoformat(),
        parameters=html.escape(given or "as in the notebooks"),
        entries="\n".join(entries),
    )
    (out / "index.html").write_text(page, encoding="utf-8")
