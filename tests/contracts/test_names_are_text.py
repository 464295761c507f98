"""No name, whatever stands in it, is markup, a template or a formula in what an explorer shows.

It holds for every explorer of the registry: one that is added is tried here too.
"""

import html
import json
import os
import re
from urllib.parse import unquote_to_bytes

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import ensemble_lab as lab
from ensemble_lab.core.errors import UnknownName
from ensemble_lab.explorers import explore
from ensemble_lab.explorers.explore import EXPLORERS
from ensemble_lab.reports import page as pages
from ensemble_lab.widgets import Predict, PredictCurve, inputs
from ensemble_lab.widgets.backends import PLOTLY
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.panel import Panel, as_html, by_name
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import drawable, escaped, named, unescaped, whole
from ensemble_lab.widgets.still import page, plain_figure, still
from tests.support import hostile_names
from tests.support.hostile_names import NAMES

NAMING = ["cascade", "votes", "escalate", "routing", "speedup", "rounds"]  # the others name nothing
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def texts(value, key=""):
    """(key, text) of every text in a figure."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in ("meta", "args"):  # words that nothing reads; moves, tried as pictures
                yield from texts(part, name)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts(part, key)
    elif isinstance(value, str):
        yield key, value


def faults(figure):
    """Texts that plotly would not show letter by letter, and names inside templates."""
    for key, text in texts(figure):
        if key.endswith("template"):
            if "evil" in text or re.search("<(?!br>|/?extra>)", text):
                yield key, text
        elif not key.endswith("format"):
            bare = text.replace("<br>", "")
            if re.search(r"[<>$]|%\{|&(?!amp;|lt;|gt;|#36;|#37;)", bare) or UNSEEN.search(text):
                yield key, text


def states(explorer):
    """The start, some presets, each control at both ends."""
    yield {}
    yield from list(explorer.presets.values())[:2]
    for control in explorer.controls:
        for end in (control.options[0], control.options[-1]):
            yield {control.name: (end,) if control.kind == "many" else end}


@pytest.mark.slow
@pytest.mark.parametrize("what", EXPLORERS)
def test_no_explorer_lets_a_name_be_more_than_text(what):
    shown = ""
    for explorer in hostile_names.explorers(what):
        least = {c.name: c.options[0] for c in explorer.controls if c.kind == "steps"}
        for changes in states(explorer) if what in NAMING else [least]:
            picture = explorer.picture(**changes)
            figure = plain_figure(picture)
            assert not list(faults(figure)), (what, changes)
            assert not UNSEEN.search(picture.text)
            explorer.figure(**changes)  # plotly takes it
            shown += json.dumps(figure)
    begins = [json.dumps(escaped(named(name, 10))[:8])[1:-1] for name in NAMES[:3]]
    assert what not in NAMING or all(begin in shown for begin in begins)


@pytest.mark.parametrize("what", NAMING)
def test_the_still_figure_and_its_page_have_names_as_text(what):
    for explorer in hostile_names.explorers(what)[:2]:
        figure = still(explorer)
        assert not list(faults(figure))
        for step in figure["layout"]["sliders"][0]["steps"][::7]:
            traces, layout, _ = step["args"]
            assert not list(faults([*traces.items(), *layout.items()]))
            named_parts = [{path.rpartition(".")[2]: part} for path, part in traces.items()]
            named_parts += [{path.rpartition(".")[2]: part} for path, part in layout.items()]
            assert not list(faults(named_parts))
        text = page(figure, figure["layout"]["meta"]["text"])
        outside = re.sub(r"(?s)<script\b.*?</script>", "", text)
        assert not re.search(r"<(img|a|b|span|sub)\b", outside)
        assert text.count("<script") == text.count("</script>")
        data = re.search(r'(?s)<script type="application/json"[^>]*>(.*?)</script>', text)[1]
        assert "<" not in data and json.loads(data)["data"] == figure["data"]


def test_a_slider_along_names_has_them_as_text():
    table = hostile_names.table()
    bare = lab.Outcomes(models=table.models, items=table.items, correct=table.correct)
    explorer = explore("cascade", bare)
    assert explorer.along == "small"
    (slider,) = still(explorer)["layout"]["sliders"]
    labels = [step["label"] for step in slider["steps"]]
    assert labels == [escaped(named(name, 60)) for name in explorer.controls[0].options]
    assert not list(faults({"labels": labels}))


def test_an_explorer_that_forgets_is_escaped_all_the_same():
    """Every place in which plotly reads text, those that no explorer uses among them."""
    evil = NAMES[0]
    trace = {"type": "bar", "x": [evil], "y": np.array([evil]), "name": evil, "text": (evil,),
             "hovertext": [evil], "customdata": [[evil, 1]], 
             "marker": {"colorbar": {"title": evil}},
             "hovertemplate": f"{evil}<br>%{{y}}<extra></extra>", "texttemplate": evil}  # fmt: skip
    layout = {"annotations": [{"text": evil, "hovertext": evil}], "xaxis": {"ticktext": [evil]},
              "yaxis": {"title": evil}, "legend": {"title": {"text": evil}},
              "shapes": [{"label": {"text": evil, "texttemplate": evil}}], "new_in_plotly_9": evil,
              "updatemenus": [{"buttons": [{"label": evil}]}]}  # fmt: skip
    picture = Picture([trace], layout, evil, pd.DataFrame, evil)
    for _, text in texts({"a": picture.traces, "b": picture.layout, "c": picture.finding}):
        assert not re.search("<(?!br>|/?extra>)", text)
    assert picture.layout["new_in_plotly_9"] == escaped(evil)
    assert picture.traces[0]["type"] == "bar"


def test_a_name_in_a_template_is_found_by_this_contract():
    assert list(faults({"hovertemplate": "evil: %{y}"}))
    assert list(faults({"name": "<i>x"})) and list(faults({"name": "%{y}"}))
    assert not list(faults({"hovertemplate": "%{y}<extra></extra>", "name": "a &lt; b"}))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_plotly_shows_is_what_was_written(text):
    """Read as plotly does: lines at <br>, entities as their letters, nothing else in it."""
    kept = escaped(text)
    assert not list(faults({"name": kept}))
    if not UNSEEN.search(text) and "\ufffe" not in text and "\uffff" not in text:
        assert html.unescape(kept) == text
        assert unescaped(kept) == text
    short = named(text, most=20)
    assert len(short) <= 20 and not UNSEEN.search(short)


@given(st.text(), st.text())
def test_texts_without_halves_stay_and_all_can_be_sent(left, right):
    text = left + right
    whole(text).encode()
    if not re.search("[\ud800-\udfff]", text):
        assert whole(text) == text


def test_names_that_look_like_numbers_or_dates_are_names():
    table = hostile_names.table(("2020-01-01", "7", "1e3", "", " "))
    picture = explore("cascade", table, small="7", big="2020-01-01").picture()
    assert {"7", "2020-01-01"} <= {note["text"] for note in picture.layout["annotations"]}
    assert not any(isinstance(x, str) for trace in picture.traces for x in trace["x"])


def test_lines_of_ours_stay_and_numbers_are_not_touched():
    x = [1.0, None, 2]
    assert drawable({"x": x, "name": "a\nb"}) == {"x": x, "name": "a<br>b"}
    axis = {"tickformat": "$,.2f", "hoverformat": "<10"}
    assert drawable(axis) == axis


# -- widgets ------------------------------------------------------------------------------------


def values(widget, seen=None):
    """Every text that a panel sends, by trait."""
    seen = set() if seen is None else seen
    if id(widget) in seen:
        return
    seen.add(id(widget))
    for name in widget.keys:
        value = getattr(widget, name, None)
        if isinstance(value, str):
            yield widget, name, value
        elif isinstance(value, tuple | list):
            for part in value:
                if isinstance(part, ipywidgets.Widget):
                    yield from values(part, seen)
                elif isinstance(part, str):
                    yield widget, name, part


@pytest.mark.parametrize("version", ["7.7.1", "8.1.9"])
@pytest.mark.parametrize("what", NAMING)
def test_descriptions_are_html_only_for_the_version_that_reads_it(what, version, monkeypatch):
    monkeypatch.setattr(ipywidgets, "__version__", version)
    explorer = hostile_names.explorers(what)[0]
    panel = Panel(explorer, live=False)
    panel.below.selected_index = 0
    if explorer.card:
        panel.below.selected_index = 2
        panel.item.value = panel.item.options[0]
        assert "<table" in panel.card.value and "evil" in panel.card.value
    for widget, name, value in values(panel.widget):
        value.encode()
        if isinstance(widget, ipywidgets.HTML) and name == "value":
            assert not re.search(r"<(img|a|span|script|sub)\b", value)
        elif name == "description" and not isinstance(widget, ipywidgets.Button):
            assert "<" not in value or version >= "8"
    if what == "votes":
        boxes = [box.description for box in panel.inputs["members"].sources]
        shown = [named(named(name, 60), inputs.MOST_LONG) for name in NAMES]
        shown = [re.sub(r"\\(?=[(\[])", "＼", name.replace("$", "＄")) for name in shown]
        assert boxes == ([html.escape(s) for s in shown] if version < "8" else shown)


def test_a_unit_and_a_question_are_text(monkeypatch):
    monkeypatch.setattr(ipywidgets, "__version__", "7.7.1")
    guess = Predict(NAMES[0], truth=3, unit=NAMES[1], default=2)
    question, row, _ = guess.widget().children
    assert "<" not in row.children[0].description and "<img" not in question.value
    curve = PredictCurve(NAMES[0], [0, 1], [0, 1], x_label=NAMES[2], y_label=NAMES[5])
    curve.value = [0, 0]
    assert not list(faults(curve.compare().to_plotly_json()["layout"]["xaxis"]))
    assert not list(faults(curve.compare().to_plotly_json()["layout"]["yaxis"]))
    assert "<img" not in curve.widget().children[0].value


def test_labels_are_the_version_s_own():
    assert inputs.description("a < b") == ("a < b" if ipywidgets.__version__ >= "8" else "a &lt; b")


# -- halves of characters -----------------------------------------------------------------------

HALVES = ("low\ud800", "\udfffhigh", "mid\udc80dle", "plain")


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("what", NAMING)
def test_half_a_character_breaks_nothing(what, live):
    names = HALVES * 2 if what == "rounds" else HALVES
    explorer = hostile_names.explorers(what, names)[0]
    for changes in states(explorer):
        picture = explorer.picture(**changes)
        json.dumps([picture.traces, picture.layout], ensure_ascii=False).encode()
        f"{picture.finding}{picture.text}{explorer.table(**changes)}".encode()
        as_html(explorer.table(**changes)).encode()
    page(still(explorer), picture.text).encode()
    panel = Panel(explorer, live)
    if explorer.card:
        panel.below.selected_index = 2
        for item in (*panel.item.options[:3], r"low\ud8000"):
            panel.item.value = item
            assert panel.note.value == "" and "<table" in panel.card.value
        str(explorer.card(explorer.state(), "low\ud8000")).encode()
    panel.below.selected_index = 0
    for _, _, value in values(panel.widget):
        value.encode()


# -- cards --------------------------------------------------------------------------------------

MIXED = np.array([1, "1", 2.5, "2.5", "x", 20, "'20'"], object)


@pytest.mark.parametrize("what", ["cascade", "votes"])
def test_the_card_is_of_the_item_that_was_asked_for(what):
    n = len(MIXED)
    answer = np.arange(2 * n).reshape(n, 2) % 7
    right = np.arange(2 * n).reshape(n, 2) % 3 == 0
    table = lab.Outcomes(
        models=["a", "b"], items=MIXED, correct=right * 1.0, answer=answer,
        labels=tuple("zyxwvut"), confidence=np.full((n, 2), 0.5),
    )  # fmt: skip
    explorer = explore(what, table)
    column = {"cascade": "answer", "votes": "said"}[what]
    for row, item in enumerate(MIXED.tolist()):
        card = explorer.card(explorer.state(), item)
        assert card.loc[["a", "b"], column].tolist() == ["zyxwvut"[a] for a in answer[row]]
    for typed, item in (("20", 20), (np.int64(1), 1), ("'1'", "1"), (1.0, 1)):
        got, expected = (explorer.card(explorer.state(), one) for one in (typed, item))
        assert np.array_equal(got.to_numpy().astype(str), expected.to_numpy().astype(str))
    for nobody in (3, "3", None, True):
        with pytest.raises(UnknownName, match="no item"):
            explorer.card(explorer.state(), nobody)
    assert list(by_name(MIXED.tolist()).values()) == MIXED.tolist()


@given(st.lists(st.one_of(st.integers(0, 30), st.text(max_size=3), st.booleans()), unique_by=repr))
def test_every_item_is_found_by_itself(items):
    names = np.empty(len(items), object)
    names[:] = [whole(item) for item in items]
    for row, item in enumerate(names.tolist()):
        assert names[row_of(names, item)] == item and row_of(names, item) == row


def test_a_member_may_be_called_the_vote():
    table = lab.Outcomes(
        models=["the vote", "the truth", "c"], items=[0, 1], correct=[[0, 1, 1], [0, 1, 1]],
        answer=[[0, 1, 1], [0, 1, 1]], truth=[1, 1], labels=["no", "yes"],
    )  # fmt: skip
    explorer = explore("votes", table)
    card = explorer.card(explorer.state(), 0)
    assert len(card) == 5 and sorted(card.index)[:3] == ["c", "the truth", "the truth"]
    assert card[card["right"] == 0].index.tolist() == ["the vote"]
    assert card.index.name == "item 0"


def test_a_pair_may_be_called_as_the_point_is():
    pairs = {"you are here": {"alpha": 0.9, "c": 0.1}}
    assert len(explore("speedup", pairs).table()) == 2


# -- pages --------------------------------------------------------------------------------------


def test_titles_findings_and_links_of_a_report_are_text(tmp_path):
    figure = {"data": [], "layout": {"title": {"text": f"{escaped(NAMES[0])}<br>more"}}}
    for number, stem in enumerate(("javascript:alert(1)", "low\udc80", "a&b<i>#?%20")):
        cells = [new_markdown_cell(f"# {NAMES[3]}\ud800 **{NAMES[2]}?**"), new_code_cell("1")]
        cells[1].outputs = [new_output("display_data", {PLOTLY: figure})]
        path = tmp_path / f"{number}.ipynb"
        path.write_text(json.dumps(new_notebook(cells=cells)))
        named_so = tmp_path / f"{stem}.ipynb"
        path.rename(named_so)
        pages.write_page(named_so)
        run = pages.Run(named_so, named_so, 1.0, f"it failed at {NAMES[0]}\ud800")
        pages.write_index(tmp_path, [run], {"name": NAMES[3]})
        index = (tmp_path / "index.html").read_text(encoding="utf-8")
        (link,) = re.findall('href="([^"]*)"', index)
        assert ":" not in link and (tmp_path / os.fsdecode(unquote_to_bytes(link))).exists()
        assert not re.search(r"<(img|i|span|script)\b", index)
        assert html.escape(named(NAMES[0], 100)) in index  # the finding, as it is written
        page = named_so.with_suffix(".html").read_text(encoding="utf-8")
        title = re.search("(?s)<title>(.*?)</title>", page)[1]
        assert "<" not in title and "Content-Security-Policy" in page
