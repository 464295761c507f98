r"""Formulas of markdown cells as MathML, which browsers show without any script.

A formula is what a notebook shows as one: ``$…$``, ``$$…$$`` and ``\begin{…}…\end{…}`` outside of
code.
"""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from ensemble_lab.reports.markdown import code_spans

# What may be a formula, and dollars that are none: after a backslash, or with a blank inside or a
# digit outside, as prices have it ("$5 and $6").
FORMULA = re.compile(
    r"(?s)(?<!\\)\$\$.*?(?<!\\)\$\$|\\begin\{(?P<name>[a-z]*\*?)\}.*?\\end\{(?P=name)\}"
    r"|(?<![$\\])\$(?![\s$])(?:(?!\n[ \t]*\r?\n)(?:\\.|[^$\\]))*?(?<!\s)\$(?![\d$])"
)
BEGIN = re.compile(r"\\begin(?=\{([a-z]*\*?)\})")
END = re.compile(r"\\end\{([a-z]*\*?)\}")
# It stops at the next <img, so that its time does not grow with the square of the text.
IMAGE_TAG = re.compile(r"(?i)<img\b(?:[^<>\"']|\"[^\"]*\"|'[^']*'|<(?!img\b))*+>")
# A page's policy does not stop a refresh, and a frame asks its server before the policy applies.
FRAMES = "iframe|frame|object|embed"
FRAME_TAG = re.compile(rf"(?i)<(?:{FRAMES})(?=[\s/>])(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>")
LEADS_AWAY = re.compile(rf"(?i)<(?=(?:meta|link|base|{FRAMES})(?:[\s/>]|\Z))")
REMOTE_SOURCE = re.compile(r"(?i)\ssrc(?:set)?\s*=\s*[\"']?\s*(?:https?:)?//")
ALTERNATIVE = re.compile(r"(?i)\salt\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
REMOTE = re.compile(r"(?i)\s*(?:https?:)?//")
# nbconvert looks for formulas inside code too, so their opening marks are escaped there.
HIDE = str.maketrans({"$": "\ue000", "\\": "\ue001"})
BARE = re.compile(r"(?<!\\)\$")
SHOW = {ord(private): mark for mark, private in (("$", "\ue000"), ("\\", "\ue001"))}


def mathml(latex: str, display: str = "inline") -> str:
    r"""The formula as a ``<math>`` element, or ``""`` where latex2mathml cannot do it.

    Parameters
    ----------
    latex : str
        Without its delimiters.
    display : {"inline", "block"}
        Within a line, or on separate lines.

    Examples
    --------
    >>> mathml("x^2")[-47:]
    '<msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    >>> mathml(r"\unheardof{x}")
    ''
    """
    from latex2mathml.converter import convert_to_element

    try:  # `aligned` is unknown there; `split` looks the same
        formula = convert_to_element(latex.replace("{aligned}", "{split}"), display=display)
    except Exception:  # any error of its parser: they have no common class
        return ""
    for part in formula.iter():
        text = part.text or ""
        if text.startswith("\\") or text == "&":  # an unknown command is passed through
            return ""
        part.text = html.unescape(text)
    del formula.attrib["xmlns"]  # HTML needs none, and nbconvert would turn it into prefixes
    formula.set("alttext", latex.strip())
    return ElementTree.tostring(formula, encoding="unicode")


def local_only(markup: str) -> str:
    """A piece of HTML with remote images replaced by their texts, and without frames.

    Markup that would leave the page, or fetch something by itself, is shown as text.
    """
    markup = FRAME_TAG.sub("[a frame, which a page does not show]", markup)
    return LEADS_AWAY.sub("&lt;", IMAGE_TAG.sub(_words_of, markup))


def _words_of(tag: re.Match) -> str:
    if not REMOTE_SOURCE.search(tag[0]):
        return tag[0]
    alternative = ALTERNATIVE.search(tag[0])
    return alternative[1] or alternative[2] or "" if alternative else ""


def only_formulas(source: str) -> str:
    """The markdown text with those dollars and backslashes hidden that would be misread."""
    parts, at = [], 0
    for start, end in code_spans(source, indented=True):
        parts += [source[at:start], source[start:end].translate(HIDE)]
        at = end
    source = "".join([*parts, source[at:]])
    ends = {found[1]: found.start() for found in END.finditer(source)}  # the last of each name
    source = BEGIN.sub(  # one that never ends is not a formula, and is searched for only once
        lambda found: (
            found[0] if ends.get(found[1], -1) > found.start() else found[0].translate(HIDE)
        ),
        source,
    )
    parts, at = [], 0
    for found in FORMULA.finditer(source):
        parts += [BARE.sub(HIDE[ord("$")], source[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*parts, BARE.sub(HIDE[ord("$")], source[at:])])


class FormulaRenderer(IPythonRenderer):
    """Markdown to HTML with typeset formulas and without images from the network.

    A formula that cannot be converted is left unchanged; a remote image is replaced by its text.
    """

    def inline_math(self, body: str) -> str:
        return mathml(body) or super().inline_math(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block") or super().block_math(body)

    def latex_environment(self, name: str, body: str) -> str:
        whole = f"\\begin{{{name}}}{body}\\end{{{name}}}"
        return mathml(whole, "block") or super().latex_environment(name, body)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text if REMOTE.match(url) else super().image(text, url, title)

    def block_html(self, html: str) -> str:
        return super().block_html(local_only(html))

    def inline_html(self, html: str) -> str:
        return super().inline_html(local_only(html))

    def block_code(self, code: str, info: str | None = None) -> str:
        return super().block_code(code.translate(SHOW), info)  # shown before it is coloured


class FormulaExporter(HTMLExporter):
    """nbconvert's HTML pages, with typeset formulas in markdown cells."""

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = FormulaRenderer(escape=False, attachments=attachments)
        return MarkdownWithMath(renderer=renderer).render(only_formulas(source)).translate(SHOW)
