"""One HTML file that needs no network: its shell, tables and figures."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import ensemble_lab
from ensemble_lab.core.errors import excerpt
from ensemble_lab.widgets.plain import whole

MADE_BY = '<meta name="generator" content="ensemble_lab advise">'
SHELL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
{made_by}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'nonce-{nonce}' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; \
font-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 62rem; margin: 1.5rem auto; padding: 0 1.25rem }}
h2 {{ font-size: 1.2rem; margin: 1.8rem 0 .4rem }}
p {{ margin: .4rem 0; max-width: 46rem }}
h1 {{ font-size: 1.5rem; line-height: 1.35; margin: .3rem 0 .5rem; max-width: none;
  font-weight: 600 }}
.small {{ color: #595959; font-size: .9rem }}
table {{ border-collapse: collapse; font-size: .92rem; margin: .5rem 0;
  font-variant-numeric: tabular-nums }}
caption {{ text-align: left; color: #595959; padding-bottom: .3rem }}
th, td {{ padding: .2rem .8rem .2rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid #ddd }}
td {{ white-space: nowrap }}
th:first-child, .text {{ text-align: left; white-space: normal }}
thead th {{ border-bottom: 2px solid #767676; font-weight: 600 }}
tr.chosen {{ font-weight: 700; background: #E6F4EF }}
.scroll {{ overflow-x: auto }}
.scroll:focus-visible, summary:focus-visible, a:focus-visible {{ outline: 3px solid #0072B2 }}
pre {{ background: #f5f5f5; border: 1px solid #ddd; padding: .6rem .8rem; overflow-x: auto;
  font-size: .9rem }}
ul {{ padding-left: 1.2rem; margin: .4rem 0; max-width: 46rem }}
figure {{ margin: .5rem 0 }}
@media print {{
  body {{ max-width: none; margin: 0; font-size: 11pt }}
  h2 {{ break-after: avoid }} figure, tr, pre {{ break-inside: avoid }}
  .modebar-container {{ display: none }}
  pre {{ white-space: pre-wrap }}
}}
</style></head><body>
<main>
{body}
</main>
<footer><p class="small">ensemble_lab {version}, {date}.</p></footer>
</body></html>
"""
# Headers of columns of words.
TEXTS = ("candidate", "family", "best there", "answers", "cheaper", "more expensive")
SCRIPT = re.compile(r"(?is)<script\b(.*?</script>)")


def document(title: str, parts: Iterable[str], figures: Mapping[str, object] | None = None) -> str:
    """A whole page; a part that names one of the `figures` is replaced by it, plotly.js once."""
    nonce, drawn = secrets.token_urlsafe(16), []
    first = True
    for part in parts:
        if figures and part in figures:
            drawn.append(_figure(figures[part], first, nonce))
            first = False
        else:
            drawn.append(part)
    return whole(
        SHELL.format(
            made_by=MADE_BY,
            nonce=nonce,
            title=html.escape(title),
            body="\n".join(drawn),
            version=ensemble_lab.__version__,
            date=date.today().isoformat(),
        )
    )


def is_own_page(start: str) -> bool:
    """Whether a file that begins so is such a page."""
    return MADE_BY in start[:2000]


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """What the page says first."""
    return f"<h1>{html.escape(text)}</h1>"


def section(title: str, *parts: str) -> str:
    """A heading with what follows it; nothing where nothing follows."""
    kept = [part for part in parts if part]
    return "\n".join([f"<h2>{html.escape(title)}</h2>", *kept]) if kept else ""


def bullets(lines: Sequence[str]) -> str:
    """A list of plain texts."""
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def code(text: str) -> str:
    """A block of code."""
    return f"<pre>{html.escape(text)}</pre>"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", chosen: int = -1
) -> str:
    """A table of texts: the first column names the row; `chosen` is the row that stands out."""
    if not rows:
        return ""
    kinds = [' class="text"' if name in TEXTS else "" for name in header]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(name)}</th>'
        for name, kind in zip(header, kinds, strict=True)
    )
    lines = []
    for i, row in enumerate(rows):
        first = f'<th scope="row">{html.escape(excerpt(row[0], 90))}</th>'
        rest = "".join(
            f"<td{kind}>{html.escape(cell)}</td>"
            for cell, kind in zip(row[1:], kinds[1:], strict=True)
        )
        mark = ' class="chosen"' if i == chosen else ""
        lines.append(f"<tr{mark}>{first}{rest}</tr>")
    label = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f"<table>{label}<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _figure(figure, first: bool, nonce: str) -> str:
    """A plotly figure; its layout's ``meta.text`` says it in words."""
    from plotly.io import to_html

    drawing = to_html(
        figure,
        config={"displaylogo": False, "responsive": True, "plotlyServerURL": ""},
        include_plotlyjs=first,
        full_html=False,
        default_height=figure.layout.height,
        validate=False,
    )
    words = html.escape(str((figure.layout.meta or {}).get("text", "")))
    drawing = SCRIPT.sub(rf'<script nonce="{nonce}"\1', drawing)
    without = f"<noscript><p>{words} The table of all candidates has the numbers.</p></noscript>"
    return f'<figure role="img" aria-label="{words}">{drawing}</figure>{without}'
