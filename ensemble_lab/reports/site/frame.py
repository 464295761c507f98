"""The frame of every page of a site: its policy, look, links and scripts."""

from __future__ import annotations

import html
import secrets
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import ensemble_lab
from ensemble_lab.reports.page import POLICY

PLOTLY_FILE, FIGURES_FILE = "plotly.min.js", "figures.js"
SECTIONS_FILE, SEARCH_FILE = "sections.js", "search.js"
FRAME = """<!DOCTYPE html>
<html lang="en"><head>{policy}<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{look}</style></head>
<body>
<header><nav>{links}</nav></header>
<main>
{main}
</main>
<footer>{links}<span class="small">ensemble_lab {version}</span></footer>
{scripts}</body></html>
"""


@cache
def own_file(name: str) -> str:
    """The text of a script or style sheet beside this module."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _look() -> str:
    from pygments.formatters import HtmlFormatter

    return own_file("site.css") + HtmlFormatter(style="default").get_style_defs(".highlight")


def framed(title: str, main: str, links: Sequence[tuple[str, str]], scripts: Sequence[str]) -> str:
    """A whole page.

    Parameters
    ----------
    title : str
        As text.
    main : str
        Its markup.
    links : sequence of (str, str)
        Words and address of each link above and below.
    scripts : sequence of str
        Names of files of the site, run in this order. They carry a nonce, which works from a folder
        too, where a page has no origin.
    """
    nonce = secrets.token_urlsafe(16)
    return FRAME.format(
        policy=POLICY.format(nonce),
        title=html.escape(title),
        look=_look(),
        links=" · ".join(f'<a href="{to}">{html.escape(words)}</a>' for words, to in links) + " ",
        main=main,
        version=ensemble_lab.__version__,
        scripts="".join(f'<script nonce="{nonce}" src="{name}"></script>\n' for name in scripts),
    )
