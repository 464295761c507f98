"""Reports of notebooks as other tools write them, with names and values as people have them."""

import json
import os
import warnings
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ensemble_lab.cli import main, parse_value
from ensemble_lab.reports.formulas import local_only, only_formulas
from ensemble_lab.reports.kernel import literal, prepare
from ensemble_lab.reports.markdown import code_spans, without_code
from ensemble_lab.reports.page import Run, apart, entry, title_of, write_page
from ensemble_lab.reports.request import (
    RequestError,
    check_parameters,
    find_notebooks,
    output_folder,
    parameters_of,
    read_notebook,
    read_state,
)

TAGGED = {"tags": ["parameters"]}


def plain(*sources, parameters="alpha = 0.5", **metadata):
    """A notebook as nbformat or jupytext make it: no metadata at all, unless some are given."""
    cells = [new_code_cell(parameters, metadata=TAGGED), *map(new_code_cell, sources)]
    return new_notebook(cells=cells, metadata=metadata)


def refusal(call, *words):
    with pytest.raises(RequestError) as refused:
        call(*words)
    said = str(refused.value)
    assert "\n" not in said and len(said) <= 300
    return said


# -- fault 17 -----------------------------------------------------------------------------------

NAMES = ["plain.ipynb", "week {x}.ipynb", "a%20b #1?.ipynb", "ä'\"[1].ipynb.ipynb"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Odd names without metadata and with a parameter; the folder of their pages."""
    folder = tmp_path_factory.mktemp("{odd} %s #")
    for name in NAMES:
        nbformat.write(plain("print(alpha, alpha is not None)"), folder / name)
    paths = [str(folder / name) for name in NAMES]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert main(["report", *paths, "--out", f"{folder}/out {{y}}", "-p", "alpha", "-7e-1"]) == 0
    return folder / "out {y}"


def test_notebooks_without_metadata_and_with_odd_names_run(ran):
    for name in NAMES:
        read = nbformat.read(ran / name, as_version=4)
        assert read.cells[-1].outputs[0].text == "-0.7 True\n"
        assert "-0.7 True" in (ran / name).with_suffix(".html").read_text()


def test_the_index_links_to_pages_with_odd_names(ran):
    from urllib.parse import unquote

    index = BeautifulSoup((ran / "index.html").read_text(), "html.parser")
    links = [link["href"] for link in index("a")]
    assert not any(mark in "".join(links) for mark in " #?\"'{")
    assert sorted(unquote(link) for link in links) == sorted(
        str((ran / name).with_suffix(".html").name) for name in NAMES
    )


def test_a_notebook_without_metadata_runs_without_parameters_too(tmp_path):
    nbformat.write(plain("print(alpha)"), tmp_path / "a.ipynb")
    assert main(["report", f"{tmp_path}/a.ipynb", "--out", f"{tmp_path}/out"]) == 0


def test_a_link_keeps_its_own_name_and_place(tmp_path):
    (tmp_path / "store").mkdir()
    nbformat.write(plain(), tmp_path / "store/0a1b2c")
    (tmp_path / "week.ipynb").symlink_to(tmp_path / "store/0a1b2c")
    assert find_notebooks([tmp_path / "week.ipynb"]) == [tmp_path / "week.ipynb"]
    said = refusal(lambda: main_or_raise(tmp_path / "week.ipynb", tmp_path / "store"))
    assert "holds the notebooks" in said


def main_or_raise(path, out):
    output_folder(out, find_notebooks([path]))


def test_pages_that_would_overwrite_one_another(tmp_path, capsys):
    nbformat.write(plain(), tmp_path / "index.ipynb")
    nbformat.write(plain(), tmp_path / "a.ipynb")
    nbformat.write(plain(), tmp_path / "a.json")
    assert main(["report", f"{tmp_path}/index.ipynb", "--out", f"{tmp_path}/out"]) == 1
    assert "rename it" in capsys.readouterr().err
    said = refusal(find_notebooks, [tmp_path / "a.ipynb", tmp_path / "a.json"])
    assert "'a.ipynb' and 'a.json' would share a page" in said


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000 + ".ipynb", "a\nb.ipynb", "-week.ipynb"])
def test_names_that_no_file_has(name, tmp_path):
    assert "no notebook" in refusal(find_notebooks, [tmp_path / name])


def test_one_path_is_no_list_of_paths(tmp_path):
    assert "give a list" in refusal(find_notebooks, str(tmp_path))


def test_a_generator_of_paths_is_read_once(tmp_path):
    nbformat.write(plain(), tmp_path / "a.ipynb")
    assert find_notebooks(path for path in [tmp_path / "a.ipynb"]) == [tmp_path / "a.ipynb"]


LEFT = {
    "._01.ipynb": b"\0\5\26\7Mac OS X        ",
    ".01.ipynb": b"",
    ".ipynb": b"{}",
    ".~01.ipynb": b"",
    ".nfs0001.ipynb": b"",
    "Thumbs.db": b"\xd0\xcf",
    "desktop.ini": b"[.ShellClassInfo]",
    "01.ipynb~": b"",
    "#01.ipynb#": b"",
    "01.ipynb.swp": b"",
    "~$01.docx": b"",
}


@pytest.fixture
def littered(tmp_path):
    """A folder of one notebook and of what systems and editors leave."""
    for name, content in LEFT.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".#01.ipynb").symlink_to("user@host.1")
    (tmp_path / "gone.ipynb").symlink_to("nowhere")
    (tmp_path / "loop.ipynb").symlink_to("loop.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / ".ipynb_checkpoints").mkdir()
    nbformat.write(plain(), tmp_path / ".ipynb_checkpoints/01-checkpoint.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")
    nbformat.write(plain(), tmp_path / "01.ipynb")
    return tmp_path


def test_what_systems_leave_in_a_folder_is_passed_over(littered):
    assert find_notebooks([littered]) == [littered / "01.ipynb"]
    assert main(["student", str(littered), "--out", f"{littered}/out"]) == 0
    (littered / "01.ipynb").unlink()
    assert "no notebooks in" in refusal(find_notebooks, [littered])


@pytest.mark.parametrize(
    "name", [*LEFT, ".#01.ipynb", "gone.ipynb", "loop.ipynb", "folder.ipynb", "pipe.ipynb"]
)
def test_what_systems_leave_is_refused_by_name_where_it_is_named(name, littered, capsys):
    assert main(["student", str(littered / name), "--out", f"{littered}/out"]) == 1
    said = capsys.readouterr().err
    assert name in said and said.count("\n") == 1 and len(said) < 330
    assert f"did you mean '{name}'" not in said
    assert not (littered / "out").exists()


def test_a_notebook_that_may_not_be_read(tmp_path, monkeypatch):
    nbformat.write(plain(), tmp_path / "a.ipynb")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "a.ipynb cannot be read: Permission denied" in refusal(
        read_notebook, tmp_path / "a.ipynb"
    )


@pytest.mark.parametrize("out", ["a\0b", "loop"])
def test_an_output_folder_that_is_no_path(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert "choose another" in refusal(output_folder, out, [])


def test_trying_a_folder_follows_no_link(tmp_path):
    (tmp_path / "out").mkdir()
    for name in (".ensemble-lab-trial", ".ensemble-lab-part"):
        (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    nbformat.write(plain(), tmp_path / "a.ipynb")
    assert main(["student", f"{tmp_path}/a.ipynb", "--out", f"{tmp_path}/out"]) == 0
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "metadata",
    [
        {"papermill": []},
        {"papermill": 5},
        {"papermill": {"parameters": [1]}},
        {"kernelspec": []},
        {"language_info": []},
        {"tags": "x"},
    ],
)
def test_odd_metadata_is_refused_or_left_out(metadata, tmp_path):
    raw = json.loads(nbformat.writes(plain()))
    raw["metadata"] = metadata
    (tmp_path / "a.ipynb").write_text(json.dumps(raw))
    try:
        check_parameters(tmp_path / "a.ipynb", {"alpha": 1})
    except RequestError:
        return
    prepare(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {"alpha": 1})
    assert "papermill" not in read_notebook(tmp_path / "b.ipynb").metadata


# -- files as other tools write them ------------------------------------------------------------


def as_bytes(notebook, how):
    text = nbformat.writes(notebook)
    if how == "bom":
        return b"\xef\xbb\xbf" + text.encode()
    if how == "crlf":
        return text.replace("\n", "\r\n").encode()
    if how == "no ids":
        raw = json.loads(text) | {"nbformat_minor": 5}
        raw["cells"] = [{k: v for k, v in c.items() if k != "id"} for c in raw["cells"]]
        return json.dumps(raw).encode()
    if how == "one id":
        raw = json.loads(text)
        raw["cells"] = [c | {"id": "same"} for c in raw["cells"]]
        return json.dumps(raw).encode()
    raw = json.loads(nbformat.writes(notebook, version=3))
    return json.dumps(raw).encode()


@pytest.mark.parametrize("how", ["bom", "crlf", "no ids", "one id", "version 3"])
def test_files_are_read_as_they_are_found(how, tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(as_bytes(plain("print(alpha)"), how))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parameters_of(path) == {"alpha": 0.5}
        prepare(path, tmp_path / "out.ipynb", {"alpha": 1})
    assert [cell.source for cell in read_notebook(tmp_path / "out.ipynb").cells] == [
        "alpha = 0.5",
        "# Parameters\nalpha = 1",
        "print(alpha)",
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "python3", "display_name": "Python 3"}},  # Colab
        {"language_info": {"name": "python"}},  # VS Code
        {"jupytext": {"formats": "ipynb,py:percent"}},
        {"kernelspec": {"name": "my-env", "display_name": "mine", "language": "python"}},
    ],
)
def test_metadata_of_other_editors(metadata, tmp_path):
    nbformat.write(plain(**metadata), tmp_path / "a.ipynb")
    check_parameters(tmp_path / "a.ipynb", {"alpha": 1})


def test_a_notebook_of_another_language_is_not_run_as_python(tmp_path):
    nbformat.write(plain(language_info={"name": "R"}), tmp_path / "a.ipynb")
    assert "a.ipynb is written in R" in refusal(check_parameters, tmp_path / "a.ipynb", {})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (json.dumps({"cells": []}).encode("utf-16"), "save it as UTF-8"),
        (b"# %%\nprint(1)", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"x" * 100_000, "cannot be read"),
    ],
)
def test_what_is_no_notebook_is_told_in_few_words(content, why, tmp_path):
    (tmp_path / "a.py").write_bytes(content)
    said = refusal(read_notebook, tmp_path / "a.py")
    assert why in said
    if b"%%" in content:
        assert "jupytext --to ipynb" in said


# -- parameters ---------------------------------------------------------------------------------


def defaults(source, tmp_path):
    nbformat.write(plain(parameters=source), tmp_path / "a.ipynb")
    return parameters_of(tmp_path / "a.ipynb")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("alpha: float = 0.5", {"alpha": 0.5}),
        ("a, b = 1, 'x'", {"a": 1, "b": "x"}),
        ("(a, [b, c]), d = (1, [2, 3]), -4", {"a": 1, "b": 2, "c": 3, "d": -4}),
        ("a = b = None", {"a": None, "b": None}),
        ("# only words", {}),
        ("", {}),
        ("for i in range(3): pass\nn = 1\nn += 1", {"n": 1}),
        ("%matplotlib inline\n!pip list\nn = 1  # rows", {"n": 1}),
        ("if True:\n    m = 2\nn: 'int' = 1; k = {'a': (2,)}", {"n": 1, "k": {"a": (2,)}}),
    ],
)  # fmt: skip
def test_defaults_however_they_are_written(source, expected, tmp_path):
    assert defaults(source, tmp_path) == expected


@pytest.mark.parametrize(
    ("source", "value", "fits"),
    [
        ("alpha: float = 0", 0.5, True),
        ("alpha: float = 0", True, False),
        ("alpha: 'int' = 0", 0.5, False),
        ("alpha: float | None = 0.5", None, True),
        ("alpha = 0", 1000.0, False),
        ("alpha = 0.5", 1, True),
        ("alpha = 1", True, False),
        ("alpha = True", 1, False),
        ("alpha = 2 ** 3", "a", True),
        ("a, alpha = make()", "a", True),
        ("alpha: int", 3, True),
        ("alpha = 0", 10**400, True),
    ],
)
def test_the_type_is_the_annotations_or_the_defaults(source, value, fits, tmp_path):
    nbformat.write(plain(parameters=source), tmp_path / "a.ipynb")
    if fits:
        check_parameters(tmp_path / "a.ipynb", {"alpha": value})
    else:
        assert "should be" in refusal(check_parameters, tmp_path / "a.ipynb", {"alpha": value})


def test_a_float_that_is_whole_is_told_how_to_be_written(tmp_path):
    nbformat.write(plain(parameters="n = 1"), tmp_path / "a.ipynb")
    said = refusal(check_parameters, tmp_path / "a.ipynb", {"n": 1000.0})
    assert said.endswith("as its default 1 is; write 1000")


def test_a_long_value_and_many_parameters_are_told_in_few_words(tmp_path):
    many = "\n".join(f"name_{i} = '{'x' * 90}'" for i in range(50))
    nbformat.write(plain(parameters=many), tmp_path / "a.ipynb")
    refusal(check_parameters, tmp_path / "a.ipynb", {"y" * 1000: 1})
    refusal(check_parameters, tmp_path / "a.ipynb", {"name_1": list(range(10**5))})


def test_two_cells_of_parameters_would_undo_what_is_given(tmp_path):
    book = plain()
    book.cells.append(new_code_cell("alpha = 0.9", metadata=TAGGED))
    nbformat.write(book, tmp_path / "a.ipynb")
    check_parameters(tmp_path / "a.ipynb", {})
    assert "2 cells tagged" in refusal(check_parameters, tmp_path / "a.ipynb", {"alpha": 1.0})


def test_parameters_of_an_earlier_run_are_replaced(tmp_path):
    book = plain("alpha")
    book.cells.insert(1, new_code_cell("alpha = 7", metadata={"tags": ["injected-parameters"]}))
    nbformat.write(book, tmp_path / "a.ipynb")
    prepare(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {"alpha": 0.1})
    sources = [cell.source for cell in read_notebook(tmp_path / "b.ipynb").cells]
    assert sources == ["alpha = 0.5", "# Parameters\nalpha = 0.1", "alpha"]
    prepare(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
    assert "alpha = 7" in [cell.source for cell in read_notebook(tmp_path / "b.ipynb").cells]


VALUES = [
    "{braces} {} {0}", 'quo"tes\' and """', "back\\slash\\", "new\nline\r\n\ttab", "nan", "1_000",
    "007", "1e3", "", " ", "ä 模型 \u2028", "#", "True", 10**400, -0.5, 1e300, float("inf"),
    True, None, [1, [2.5, "x"]], (1,), (), {1: {"a": (2, None)}, "1": 3}, {1, 2}, b"\x00", 1j,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_arrives_as_it_was_given(value):
    got = eval(literal(value))
    assert got == value and type(got) is type(value)


def test_nan_arrives():
    assert repr(eval(literal([float("nan")]))) == "[nan]"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000), ("1e3", 1000.0), ("-1e-3", -0.001), ("007", "007"), ("nan", "nan"),
        ("...", "..."), ("{[]: 1}", "{[]: 1}"), ("9" * 5000, "9" * 5000), ("(" * 9000, "(" * 9000),
        ("٣", "٣"), ("--flag", "--flag"), ("0x", "0x"), ("'5'", "5"), ("{'a': 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_words_are_literals_or_text(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize("value", ["-0.5", "-1e-3", "-x", "--out", "-p", "--"])
def test_a_value_may_begin_with_a_dash(value, monkeypatch):
    import ensemble_lab.reports.report as module

    seen = []
    monkeypatch.setattr(module, "report", lambda *words: seen.append(words) or [])
    words = ["report", "a.ipynb", "-p", "name", value, "--out", "o"]
    assert main(words) == 0
    assert seen == [(["a.ipynb"], "o", {"name": parse_value(value)}, None, False)]


# -- states -------------------------------------------------------------------------------------

VIEW = {"explorer": "votes", "version": 1, "state": {"members": ["a"]}}


def test_a_state_with_a_mark_and_pretty_printed(tmp_path):
    text = json.dumps(VIEW, indent=4).replace("\n", "\r\n")
    (tmp_path / "v.json").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\n")
    assert read_state(tmp_path / "v.json") == VIEW["state"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps(VIEW | {"state": {"t": float("nan")}}), "NaN is not a number"),
        (json.dumps(VIEW | {"version": True}), "version True"),
        (json.dumps(VIEW | {"version": "1"}), "version '1'"),
        (json.dumps(VIEW | {"version": 1.0}), "version 1.0"),
        ('{"explorer": "a", "version": 1, "state": {"t": 1, "t": 2}}', "'t' occurs twice"),
        (json.dumps(VIEW | {"state": ["x" * 10**5]}), "not a dictionary"),
        ("[" * 10**5, "not JSON"),
        ("null", "is not a state"),
    ],
)
def test_odd_states_are_refused(text, why, tmp_path):
    (tmp_path / "v.json").write_text(text)
    assert why in refusal(read_state, tmp_path / "v.json")


def test_a_state_in_another_encoding(tmp_path):
    (tmp_path / "v.json").write_text(json.dumps(VIEW), encoding="utf-16")
    assert "UTF-8" in refusal(read_state, tmp_path / "v.json")


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ('explore("votes", t, **state)', True),
        ('lab.explore("condorcet")\nlab.explore("votes", t, **state)', True),
        ('lab.explore("cascade", t, **state)', False),
        ('lab.explore("votes", t)\nlab.explore("cascade", t, **{"a": 1, **state})', False),
        ('lab.explore("cascade", t)\nlab.explore("votes", t, **(state or {}))', True),
        ('lab.explore("cascade", t)\nlab.explore("votes", t)', True),
        ("%time\nexplore('cascade', t, **state)", False),
        ("explore(name, t, **state)", True),
        ("explore(*words)", True),
        ("mine = Explorer('votes', draw)\nexplore('cascade')", True),
        ("print(state)", True),
        ("not Python (", True),
    ],
)
def test_a_state_of_another_explorer(source, fits, tmp_path):
    (tmp_path / "v.json").write_text(json.dumps(VIEW))
    nbformat.write(plain(source), tmp_path / "a.ipynb")
    if fits:
        assert read_state(tmp_path / "v.json", [tmp_path / "a.ipynb"]) == VIEW["state"]
    else:
        said = refusal(read_state, tmp_path / "v.json", [tmp_path / "a.ipynb"])
        assert "is a state of 'votes', and a.ipynb takes one of 'cascade'" in said


# -- pages --------------------------------------------------------------------------------------


def page_of(folder, *markdown):
    nbformat.write(new_notebook(cells=[*map(new_markdown_cell, markdown)]), folder / "a.ipynb")
    write_page(folder / "a.ipynb")
    return BeautifulSoup((folder / "a.html").read_text(), "html.parser")


def test_a_comment_in_code_is_no_title(tmp_path):
    book = new_notebook(
        cells=[
            new_markdown_cell("```bash\n# no title\n```"),
            new_markdown_cell("    # nor this\n\n# Costs `# x`"),
        ]
    )
    assert title_of(book) == "Costs `# x`"
    assert title_of(new_notebook(cells=[new_markdown_cell("~~~\n# never closed")])) == ""


def test_images_from_the_network_become_words_and_code_keeps_its_own(tmp_path):
    text = (
        '![one](https://x.org/a_(b).svg "t") ![two][ref] <img alt="three" src="https://x.org/c.png">\n\n'
        "`![four](https://x.org/d.svg)`\n\n```\n![five](http://x.org) ![six](http://y.org)\n```\n\n"
        "![seven](//x.org/e.png)\n\n[ref]: https://x.org/r.png"
    )
    main_part = page_of(tmp_path, text).main
    assert not main_part("img")
    assert "![four](https://x.org/d.svg)" in main_part.text
    assert "![five](http://x.org) ![six](http://y.org)" in main_part.text
    first = main_part.p.text
    assert first.split() == ["one", "two", "three"]
    assert "seven" in main_part.text


def test_badges_in_code_stay():
    code = "`![a](b) [![c](d)](e)`"
    assert apart(code) == code


def test_outputs_of_plotly_without_a_layout(tmp_path):
    figure = {"application/vnd.plotly.v1+json": {"data": [{"type": "bar", "y": [1]}]}}
    titled = {
        "application/vnd.plotly.v1+json": {"data": [], "layout": {"title": 5, "meta": {"text": 5}}}
    }
    outputs = [nbformat.v4.new_output("display_data", data) for data in (figure, titled)]
    book = new_notebook(cells=[new_code_cell("", outputs=outputs)])
    nbformat.write(book, tmp_path / "a b.ipynb")
    write_page(tmp_path / "a b.ipynb")
    made = entry(Run(tmp_path / "a b.ipynb", tmp_path / "a b.ipynb", 1.0, ""))
    assert 'href="a%20b.html"' in made and "newPlot" in (tmp_path / "a b.html").read_text()


# -- code in markdown ---------------------------------------------------------------------------


def code_in(text, **how):
    return [text[start:end] for start, end in code_spans(text, **how)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a `b` c ``d ` e`` f", ["`b`", "``d ` e``"]),
        ("one ` mark\n\nanother ` mark", []),
        (r"an escaped \`mark` and `code`", ["` and `"]),
        ("````\n```\nx\n```\n````\n", ["````\n```\nx\n```\n````\n"]),
        ("~~~ py\n`\n```\n~~~\n", ["~~~ py\n`\n```\n~~~\n"]),
        ("```\nnever closed `x`", ["```\nnever closed `x`"]),
        ("- ```\n  x\n  ```\nb", ["- ```\n  x\n  ```\n"]),
        ("> ```\n> x\n> ```\n", ["> ```\n> x\n> ```\n"]),
        ("```\r\nx\r\n```\r\n`y`", ["```\r\nx\r\n```\r\n", "`y`"]),
        ("```x``` is a span", ["```x```"]),
        ("```\nx\n``` not closed\n```", ["```\nx\n``` not closed\n```"]),
    ],
)
def test_code_is_found(text, expected):
    assert code_in(text) == expected


def test_indented_code_is_found_outside_of_lists():
    assert code_in("a\n\n    $x$\n", indented=True) == ["    $x$\n"]
    assert code_in("- a\n\n    b $x$\n", indented=True) == []
    assert code_in("a\n    b\n", indented=True) == []
    assert without_code("a `b`\n") == "a    \n"


# -- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("From $5 and $6 to $7.50 an item.", []),
        ("US$5/US$6, $20,000 and $30,000", []),
        ("It costs $5, where $x$ is 3.", ["x"]),
        (r"\$5 and $k$ and \$6", ["k"]),
        ("`$a$` and ``$b$ ` `` and $c$", ["c"]),
        ("    echo $HOME $PATH\n\nand $d$", ["d"]),
        ("one ` mark $e$\n\nanother ` mark $f$", ["e", "f"]),
        ("$$g$$ and $h$ and $ i $ and $", ["g", "h"]),
        ("- item\n\n  ```bash\n  $j$\n  ```\n\n  $l$", ["l"]),
        ("$p \\text{ costs } \\$5$", ["p \\text{ costs } \\$5"]),
        ("~~~\n$m$", []),
        ("$5", []),
        ("a$\n\n$b", []),
    ],
)
def test_prices_are_no_formulas_and_formulas_are(text, formulas, tmp_path):
    page = page_of(tmp_path, text).main
    assert [formula["alttext"] for formula in page("math")] == formulas
    for formula in page("math"):
        formula.extract()
    written = text
    for formula in formulas:
        written = written.replace(f"$${formula}$$", "").replace(f"${formula}$", "")
    assert page.text.count("$") == written.count("$")


def test_hidden_dollars_come_back():
    assert only_formulas("$x$ `y`") == "$x$ `y`"


# -- hostile lengths ----------------------------------------------------------------------------

UNITS = [
    "`", "` ``", "``` ", "\\`", "<img ", "<img '", "<img <", "\\begin{a}", "$$ ", "\\$$", "<",
    "$a ", "\n", "\n\n    x", "- ```\n", "- ", "`a` ", "[![a](b) ", "**a?",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_long_texts_end_soon(unit):
    """150 KB take fractions of a second; with the square of the length they took minutes."""
    text = unit * (150_000 // len(unit))
    code_spans(text, indented=True)
    without_code(text)
    only_formulas(text)
    local_only(text)
    apart(text)


def test_a_begin_without_an_end_is_text(tmp_path):
    page = page_of(tmp_path, r"\begin{a} x and $y$ and \begin{equation} z \end{equation}").main
    assert [formula["alttext"][:7] for formula in page("math")] == ["y", r"\begin{"]
    assert r"\begin{a} x" in page.text
