"""Solutions folded in every legal way: none leaks, nothing else is eaten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from ensemble_lab.reports.request import RequestError
from ensemble_lab.reports.student import without_folded, without_solutions

SECRET = "secret = 42"


def folded(inside, summary="<summary>Solution</summary>", tag="details", attributes=""):
    return f"<{tag}{attributes}>{summary}\n\n{inside}\n\n</{tag}>"


CODE = f"```python\n{SECRET}\n```"
WAYS = {
    "plain": folded(CODE),
    "upper case": folded(CODE, "<SUMMARY>SOLUTION</SUMMARY>", "DETAILS"),
    "attributes": folded(CODE, attributes=" open class=\"x > y\" data-a='>'"),
    "summary with marks": folded(CODE, '<summary class="a"><b>Sol</b>ution&nbsp;1</summary>'),
    "text before the summary": f"<details>\nlook\n<summary>Solution</summary>\n{CODE}\n</details>",
    "nested": folded(f"{folded('more', '<summary>Why?</summary>')}\n\n{CODE}"),
    "nested solutions": folded(f"{folded(CODE)}\n{CODE}"),
    "in another": f"<details><summary>Help</summary>\n{folded(CODE)}\n</details>",
    "four backticks": folded(f"````\n```\n</details>\n```\n{SECRET}\n````"),
    "tildes": folded(f"~~~ html\n</details>\n~~~\n\n{SECRET}"),
    "tag in a code span": folded(f"the tag `</details>` ends it\n\n{SECRET}"),
    "opening tag in code": folded(f"`<details>` opens it\n\n```\n<details>\n```\n\n{SECRET}"),
    "windows": folded(CODE).replace("\n", "\r\n"),
    "indented": "- item\n\n" + "\n".join(f"    {line}" for line in folded(CODE).splitlines()),
    "tag over lines": f"<details\n  open\n><summary\n>Solution</summary\n>\n{CODE}\n</details\n>",
    "one line": f"<details><summary>Solution</summary>{SECRET}</details>",
    "several": f"{folded(CODE)}\n\nbetween\n\n{folded(CODE)}",
    "in a comment": f"<!-- {folded(SECRET)} -->",
    "magic": folded("```python\n%%time\n!ls\n" + SECRET + "\n```"),
    "show": folded(CODE, "<summary>Click to show the solution</summary>"),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_solution_leaks_and_the_text_around_it_stays(way):
    left = without_folded(f"Before.\n\n{WAYS[way]}\n\nAfter.", "a.ipynb, cell 1")
    assert SECRET not in left and "olution" not in left.replace("SOLUTION", "solution")
    assert left.startswith("Before.\n\n") and left.endswith("\n\nAfter.")
    if way == "several":
        assert left.split() == ["Before.", "between", "After."]
    if way == "in another":
        assert "<details><summary>Help</summary>" in left and left.count("</details>") == 1


OTHERS = [
    folded("think", "<summary>A hint</summary>"),
    "A solution of salt, see <https://x.org>.",
    "```html\n<details><summary>Solution</summary>how to fold\n</details>\n```",
    "`<summary>Solution</summary>` is how it is written",
    folded("gas", "<summary>Resolution</summary>"),
    folded("gas", "<summary>A hint, no solution</summary>"),
    "a < b > c </details>",
    "<details>never closed",
    "<detailsx><summaryx>Solution</summaryx>",
]


@pytest.mark.parametrize(
    "before",
    [
        "<pre>\n```\n</pre>\n\n",
        "<PRE class=x>\n~~~\n</PRE>\n",
        "<script>\n```\n</script>\n",
        "<textarea>\n```\n\n</textarea>\n",
        "<!--\n```\n-->\n\n",
        "<?x\n```\n?>\n",
        "<!X\n```\n>\n",
        "<![CDATA[\n```\n]]>\n",
        "<div>\n```\n</div>\n\n",
        "<b>\n```\n\n",
        "- <pre>\n  ```\n  </pre>\n\n",
        "> <pre>\n> ```\n> </pre>\n\n",
        "- ```\n  code\n\n",
        "> ```\n\n",
        "```\nnever closed\n\n",
    ],
)
def test_a_solution_behind_what_may_be_a_fence_is_refused(before):
    with pytest.raises(RequestError, match="where a fence of code may be open|lacks its"):
        without_folded(before + folded(SECRET), "a")
    with pytest.raises(RequestError, match="may be open"):
        without_folded(f"<div>`{WAYS['one line']}`</div>", "a")


@pytest.mark.parametrize("before", ["<pre>a</pre>\n\n", "<!-- a -->\n", "<div>\n\n", "> `a`\n\n"])
def test_code_behind_html_that_ended_is_code(before):
    text = f"{before}```html\n<details><summary>Solution</summary>how to fold\n</details>\n```\n"
    assert without_folded(text, "a") == text


@pytest.mark.parametrize("text", OTHERS)
def test_other_text_stays_as_it_is(text):
    assert without_folded(text, "a") == text


@pytest.mark.parametrize(
    "text",
    [
        f"<details><summary>Solution</summary>{SECRET}",
        f"<summary>Solution</summary>{SECRET}</details>",
        f"<details><summary>Solution {SECRET}</details>",
        f"<details><summary>Hint</summary>h<summary>Solution</summary>{SECRET}</details>",
        f"<details><summary>Solution</summary>\n```\n{SECRET}\n</details>",  # the fence stays open
        f"<details><summary>Solution</summary>'</details>'\n\n{SECRET}</details>",
        f"<details><summary>Solution</summary>a\n<details>b</details>{SECRET}",
    ],
)
def test_what_might_leak_is_refused(text):
    with pytest.raises(RequestError, match=r"a\.ipynb, cell 1.*</details>") as refused:
        without_folded(text, "a.ipynb, cell 1")
    assert len(str(refused.value)) <= 300


PIECES = st.sampled_from(
    [
        *WAYS.values(), *OTHERS[:6], "words", "```\ncode\n```", "`span`", "- item", "1. one", "\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=6))
def test_any_order_of_pieces_keeps_the_secret(pieces):
    text = "\n\n".join(pieces)
    try:
        left = without_folded(text, "a")
    except RequestError:  # loud is allowed, though none of these is broken
        raise AssertionError(text) from None
    assert SECRET not in left
    assert left.count("words") == text.count("words")
    assert without_folded(left, "a") == left


def test_raw_cells_are_cleaned_and_code_cells_are_refused():
    book = new_notebook(cells=[new_raw_cell(f"r\n{folded(SECRET)}"), new_code_cell("x = ...")])
    assert without_solutions(book, "a").cells[0].source == "r"
    hidden = f"%%markdown\n{folded(SECRET)}"
    for source in (hidden, f"### BEGIN SOLUTION\n{SECRET}\n### END SOLUTION"):
        with pytest.raises(RequestError, match="fold the solution into <details>"):
            without_solutions(new_notebook(cells=[new_code_cell(source)]), "a.ipynb")


def test_images_of_a_solution_go_with_it():
    cell = new_markdown_cell(f"![](attachment:a.png)\n{folded('![](attachment:b.png)')}")
    cell["attachments"] = {name: {"image/png": "eA=="} for name in ("a.png", "b.png")}
    (left,) = without_solutions(new_notebook(cells=[cell]), "a").cells
    assert list(left.attachments) == ["a.png"]
    cell = new_markdown_cell(f"x\n{folded('![](attachment:b.png)')}")
    cell["attachments"] = {"b.png": {"image/png": "eA=="}}
    (left,) = without_solutions(new_notebook(cells=[cell]), "a").cells
    assert "attachments" not in left


LONG = [
    "<details><summary>solution", "<details>", "<details ", "<details '", "<summary>", "</summary>",
    "<", "\n", "`", "` ``", "<details><summary>Solution</summary></details>", "<details a='\"",
]  # fmt: skip


@pytest.mark.parametrize("unit", LONG)
def test_long_cells_end_soon(unit):
    """150 KB take fractions of a second; with the square of the length they took minutes."""
    text = unit * (150_000 // len(unit))
    for cell in (new_markdown_cell(text), new_code_cell(text)):
        try:
            without_solutions(new_notebook(cells=[cell]), "x")
        except RequestError as refused:
            assert len(str(refused)) <= 300
