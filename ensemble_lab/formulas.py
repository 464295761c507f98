r"""Formulas of markdown cells as MathML, which browsers show without any script.

What counts as a formula is what a notebook shows as one: ``$…$``, ``$$…$$`` and
``\begin{…}…\end{…}`` outside of code.
"""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# A fenced block or a code span: the same run of marks opens and closes it.
CODE = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?^ {0,3}\1|(?<![\\`])(`+)(?!`).*?(?<!`)\2(?!`)",
    re.DOTALL | re.MULTILINE,
)
# nbconvert looks for formulas inside code too, so what opens one is written otherwise there.
HIDE = str.maketrans({"$": "\ue000", "\\": "\ue001"})
SHOW = {ord(private): mark for mark, private in (("$", "\ue000"), ("\\", "\ue001"))}


def mathml(latex: str, display: str = "inline") -> str:
    r"""The formula as a ``<math>`` element, or ``""`` where latex2mathml cannot do it.

    Parameters
    ----------
    latex : str
        Without its delimiters.
    display : {"inline", "block"}
        Within a line, or on lines of its own.

    Examples
    --------
    >>> mathml("x^2")[-47:]
    '<msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    >>> mathml(r"\unheardof{x}")
    ''
    """
    from latex2mathml.converter import convert_to_element

    try:  # `aligned` is unknown there, `split` is set in the same way
        formula = convert_to_element(latex.replace("{aligned}", "{split}"), display=display)
    except Exception:  # whatever its parser stumbles over: its errors share no class
        return ""
    for part in formula.iter():
        text = part.text or ""
        if text.startswith("\\") or text == "&":  # a command that it does not know is handed on
            return ""
        part.text = html.unescape(text)
    del formula.attrib["xmlns"]  # HTML needs none, and nbconvert would make prefixes of it
    formula.set("alttext", latex.strip())
    return ElementTree.tostring(formula, encoding="unicode")


class FormulaRenderer(IPythonRenderer):
    """Markdown to HTML with typeset formulas; one that cannot be done stays as it is written."""

    def inline_math(self, body: str) -> str:
        return mathml(body) or super().inline_math(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block") or super().block_math(body)

    def latex_environment(self, name: str, body: str) -> str:
        whole = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        return mathml(whole, "block") or super().latex_environment(name, body)

    def block_code(self, code: str, info: str | None = None) -> str:
        return super().block_code(code.translate(SHOW), info)  # shown before it is coloured


class FormulaExporter(HTMLExporter):
    """nbconvert's HTML pages, whose markdown cells have typeset formulas."""

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = FormulaRenderer(escape=False, attachments=attachments)
        hidden = CODE.sub(lambda code: code[0].translate(HIDE), source)
        return MarkdownWithMath(renderer=renderer).render(hidden).translate(SHOW)
