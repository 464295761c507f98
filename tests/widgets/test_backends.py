"""Explorers are shown by what works here, in one bundle whose still figure is never missing."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ensemble_lab import doctor
from ensemble_lab.cli import main
from ensemble_lab.core.errors import UnknownName
from ensemble_lab.widgets import backends, display, still
from ensemble_lab.widgets.canvas import changes
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Failing, Task
from ensemble_lab.widgets.panel import FAILS, Panel
from ensemble_lab.widgets.predict import Predict
from ensemble_lab.widgets.predict_curve import PredictCurve
from tests.support.any_state import applied
from tests.support.toy_explorer import draw, toy

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=[True, False], ids=["live", "redraw"])
def panel(request):
    return Panel(toy(), live=request.param)


def figure(panel):
    """What is on the screen."""
    shown = panel.canvas.widget
    live = isinstance(shown, go.FigureWidget)
    return shown if live else shown.outputs[0]["data"][backends.PLOTLY]


def title(panel):
    return figure(panel)["layout"]["title"]["text"]


# -- which backend ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_the_environment_forces_a_backend(monkeypatch, name):
    monkeypatch.setenv(backends.VARIABLE, name)
    assert backends.backend() == name
    assert doctor.display().value.startswith(name)
    shown = display.bundle(toy())
    assert (backends.VIEW in shown) is (name != "still")
    assert {"text/plain", "text/html", backends.PLOTLY} <= set(shown)


def test_a_wrong_backend_is_named_with_the_nearest(monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "stil")
    with pytest.raises(ValueError, match="ENSEMBLE_LAB_BACKEND='stil'.*did you mean 'still'"):
        backends.backend()
    found = doctor.display()
    assert not found.ok and found.fix == "unset ENSEMBLE_LAB_BACKEND"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blocked", "expected"), [("", "live"), ("anywidget", "redraw"), ("ipywidgets", "still")]
)
def test_the_best_that_works_is_chosen_and_shown(blocked, expected):
    """Really without the package; what the still backend shows needs no widgets at all."""
    code = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"if {blocked!r}: sys.modules[{blocked!r}] = None\n"
        "from ensemble_lab.widgets import backends, display\n"
        "from tests.support.toy_explorer import toy\n"
        "print(backends.backend(), len(display.bundle(toy())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [expected, "3" if expected == "still" else "4"], done.stderr


# -- the still figure ---------------------------------------------------------------------------


def test_each_step_leads_from_any_other_to_its_own_picture():
    explorer = toy()
    figure = still.still(explorer)
    slider = figure["layout"]["sliders"][0]
    assert [step["label"] for step in slider["steps"]] == list("1234567")
    assert slider["steps"][slider["active"]]["label"] == "2"
    shown = figure
    for at in (6, 0, 3, 5, 1, 4, 2):
        shown = applied(shown, slider["steps"][at])
        expected = still.plain_figure(explorer.picture(power=at + 1))
        assert shown["data"] == expected["data"]
        assert shown["layout"]["title"] == expected["layout"]["title"]
        assert shown["layout"]["shapes"] == expected["layout"]["shapes"]
        # Plotly takes it.
        assert go.Figure(shown["data"], shown["layout"]).layout.xaxis.title.text == "x (m)"


def test_many_options_are_thinned_and_the_current_one_stays():
    control = steps("power", "Power", range(1, 1001), 17)
    kept = still.thinned(control, 17)
    assert len(kept) <= still.MOST_STEPS
    assert kept == sorted(kept) and kept[0] == 1 and kept[-1] == 1000 and 17 in kept
    assert still.thinned(control, 1000)[-1] == 1000


def test_one_display_of_a_kernel_carries_the_library(monkeypatch):
    monkeypatch.setattr(still, "_carrier", [])
    runs = [("a", 1), ("a", 1), ("b", 2), ("a", 3), ("b", 4), (None, 5)]
    carried = []
    for run in runs:
        monkeypatch.setattr(still, "_running", lambda run=run: run)
        carried.append(still.carries_library())
    assert carried == [True, False, False, True, False, False]


# -- the panel ----------------------------------------------------------------------------------


def test_a_slider_changes_figure_words_and_state(panel):
    panel.inputs["power"].sources[0].value = 3
    assert title(panel) == "power 3 times 1<br>over 3 parts"
    assert figure(panel)["data"][0]["y"][-1] == 125
    assert "125 &lt;m&gt;" in panel.text.value and 'aria-live="polite"' in panel.text.value
    assert panel.explorer.read(panel.json.value)["power"] == 3
    assert "&quot;power&quot;: 3" in panel.copy.value


def test_four_controls_in_sight_and_all_of_them_work(panel):
    shown = list(panel.widget.children)
    top, folded = shown[1], shown[6]
    assert shown.index(top) < shown.index(panel.canvas.widget) < shown.index(folded)
    boxes, others = top.children  # the boxes are as tall as two rows of the others
    assert boxes is panel.inputs["parts"].widget and len(others.children) == 3
    assert len(folded.parts[0].children[0].children) == 3
    panel.inputs["members"].sources[0].value = ("m3", "m1")
    assert panel.state["members"] == ("m1", "m3")
    panel.inputs["parts"].sources[1].value = False
    assert panel.state["parts"] == ("a", "c")
    assert "over 2 parts" in title(panel)


def test_presets_step_and_reset(panel):
    panel.presets["Fails"].click()
    assert title(panel) == "power 7 times 1.5<br>over 1 parts"
    assert panel.inputs["power"].read() == 7 and panel.inputs["parts"].read() == ("b",)
    panel.step.click()  # the last step stays
    assert panel.state["power"] == 7
    panel.presets["Cubes"].click()  # a preset starts from the start, not from the last one
    assert panel.state == panel.explorer.state(power=3)
    panel.step.click()
    assert title(panel).startswith("power 4 times 1<")
    panel.buttons["Reset"].click()
    assert panel.state == panel.explorer.state() and title(panel).startswith("power 2")


def test_a_preset_is_a_complete_state_wherever_the_explorer_started():
    panel = Panel(toy(start={"scale": 0.5, "parts": ["a"]}))
    panel.presets["Cubes"].click()  # names the power only
    assert panel.state == toy().state(power=3)
    panel.buttons["Reset"].click()
    assert panel.state == panel.explorer.state() == toy().state(scale=0.5, parts=("a",))


def test_presets_that_fail_are_marked():
    toy_with = {"Cubes": {"power": 3}, "Too far": Failing(power=7)}
    buttons = Panel(toy(presets=toy_with)).presets
    assert FAILS in buttons["Too far"]._dom_classes
    assert FAILS not in buttons["Cubes"]._dom_classes
    assert "fails" in buttons["Too far"].tooltip and "fails" not in buttons["Cubes"].tooltip


def test_the_label_says_what_a_slider_stands_at(panel):
    label, slider = panel.inputs["power"].widget.children
    slider.value = 5
    assert "Power: <b>5</b>" in label.value
    panel.set(power=1)
    assert "Power: <b>1</b>" in label.value and 'title="To which power x is raised"' in label.value


@pytest.mark.parametrize("live", [True, False])
def test_a_preset_keeps_what_the_explorer_keeps_unless_it_names_it(live):
    panel = Panel(toy(keep=("scale", "dash")), live=live)
    panel.set(scale=0.5, dash="dot", parts=("a",))
    panel.presets["Cubes"].click()  # names the power only
    assert panel.state == panel.explorer.state(power=3, scale=0.5, dash="dot")
    assert panel.inputs["dash"].read() == "dot" and title(panel).startswith("power 3 times 0.5")
    panel.presets["Fails"].click()  # names the scale
    assert panel.state["scale"] == 1.5 and panel.state["dash"] == "dot"
    panel.buttons["Reset"].click()
    assert panel.state == panel.explorer.state()


def test_what_is_kept_is_a_control():
    with pytest.raises(UnknownName, match="no control 'scal'.*'scale'"):
        toy(keep=("scal",))


def test_table_and_card_are_filled_when_unfolded(panel):
    assert panel.table.value == ""
    panel.below.selected_index = 0
    assert "<table" in panel.table.value and "25" in panel.table.value
    panel.inputs["power"].sources[0].value = 3
    assert "125" in panel.table.value
    panel.below.selected_index = 2
    panel.item.value = "three"
    assert "27" in panel.card.value
    panel.item.value = "four"
    assert "no item &#x27;four&#x27;" in panel.note.value


def test_a_pasted_state_is_shown_and_a_bad_one_refused(panel):
    panel.json.value = toy().to_json(power=5)
    assert title(panel).startswith("power 5") and panel.inputs["power"].read() == 5
    panel.json.value = '{"explorer": "toy", "version": 1, "state": {"power": 99}}'
    assert "power=99" in panel.note.value and title(panel).startswith("power 5")
    panel.inputs["power"].sources[0].value = 6
    assert panel.note.value == ""


def test_an_empty_choice_is_refused_and_the_figure_stays(panel):
    for box in panel.inputs["parts"].sources:
        box.value = False
    assert "choose at least one of Parts" in panel.note.value
    assert panel.state["parts"] == ("c",)


def test_missing_controls_are_explained(panel):
    folded = [w for w in panel.widget.children if getattr(w, "titles", [])]
    reasons = next(w for w in folded if "cannot be set" in w.titles[0].description)
    assert reasons.selected_index is None
    assert "these numbers cost nothing" in reasons.parts[0].children[0].value


def test_only_what_changed_is_sent_and_as_plotly_would_send_it():
    panel, own, sent = Panel(toy()), go.FigureWidget(toy().figure()), []
    for widget in (panel.canvas.widget, own):
        widget.observe(lambda change: sent.append(change["new"]), "_py2js_update")
    panel.inputs["power"].sources[0].value = 3
    with own.batch_update():
        own.data[0].y = figure(panel).data[0].y
        own.layout.title.text, own.layout.shapes[0].x0 = title(panel), 3
    message, plotlys = filter(None, sent)
    assert set(message["style_data"]) == {"y"}
    assert set(message["layout_data"]) == {"title.text", "shapes.0.x0"}
    for part in ("style_data", "style_traces", "layout_data"):
        assert message[part] == plotlys[part]


def test_of_as_many_notes_only_what_changed_is_named_of_others_all():
    notes = [{"x": 0, "font": {"size": 1}}, {"x": 1, "text": "a"}]
    moved = [{"x": 0, "font": {"size": 2}}, {"x": 1, "text": "b"}]
    found = dict(changes({"annotations": notes}, {"annotations": moved}))
    assert found == {"annotations.0.font.size": 2, "annotations.1.text": "b"}
    fewer = dict(changes({"annotations": notes}, {"annotations": moved[:1]}))
    assert fewer == {"annotations": moved[:1]}
    gone = dict(changes({"annotations": notes}, {"annotations": [notes[0], {"x": 1}]}))
    assert gone == {"annotations.1.text": None}
    assert dict(changes({"x": [0, 1]}, {"x": [0, 2]})) == {"x": [0, 2]}


def test_other_traces_than_before_are_refused():
    def forgetful(state):
        picture = draw(state)
        return picture if state["power"] < 3 else type(picture)(**{**vars(picture), "traces": []})

    panel = Panel(toy(draw=forgetful, presets={}))
    panel.inputs["power"].sources[0].value = 3
    assert "the traces changed from" in panel.note.value


def test_a_task_is_ticked_when_it_is_done():
    tasks = (
        Task("Raise x to <7>.", lambda state, picture: state["power"] == 7),
        Task("See the start again.", lambda state, picture: state["power"] == 2),
    )
    panel = Panel(toy(tasks=tasks))
    assert panel.tasks.value.count("☐") == 2 and "&lt;7&gt;" in panel.tasks.value
    panel.set(power=7)
    panel.set(power=3)
    assert panel.tasks.value.count("☑") == 1  # done once is done
    assert panel.tasks.value.index("☑") < panel.tasks.value.index("☐")
    panel.set(power=2)
    assert panel.tasks.value.count("☐") == 1  # the start is nobody's doing


# -- guesses ------------------------------------------------------------------------------------


def test_a_guess_is_kept_and_compared():
    guess = Predict("How many?", low=0, high=100, unit="%")
    assert guess.value is None
    assert guess.compare(12) == "You made no guess; it is 12 %."
    field = guess.widget().children[1].children[0]
    field.value = "10"
    assert guess.value == 10
    assert guess.compare(12) == "You said 10 %; it is 12 %. You were 2 % too low."
    with pytest.raises(ValueError, match="between 0 and 100"):
        guess.value = 101
    with pytest.raises(ValueError, match="'many' is not a number"):
        guess.value = "many"
    with pytest.raises(ValueError, match="give the truth"):
        guess.compare()


@pytest.fixture
def in_a_kernel(monkeypatch):
    """As in a notebook that a reader has opened."""
    monkeypatch.delenv("ENSEMBLE_LAB_HEADLESS", raising=False)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=True))


@pytest.mark.parametrize(
    ("guess", "truth", "made"),
    [(Predict("?"), 12, 10), (PredictCurve("?", (0, 1)), [0.0, 1.0], [0.5, 0.5])],
    ids=["number", "curve"],
)
def test_in_a_kernel_the_answer_waits_for_the_guess(in_a_kernel, monkeypatch, guess, truth, made):
    asked = []

    def more():
        asked.append(1)
        return "more <b>words</b>"

    with pytest.raises(ValueError, match="give the truth"):
        guess.compare(more=more)
    assert repr(guess.compare(truth, more)) == "Guess first, then run this cell again."
    assert not asked
    monkeypatch.setenv("ENSEMBLE_LAB_HEADLESS", "1")
    headless = guess.compare(truth, more)
    monkeypatch.delenv("ENSEMBLE_LAB_HEADLESS")
    guess.value = made
    for answer in (headless, guess.compare(truth, more)):
        if isinstance(guess, Predict):
            assert repr(answer).splitlines()[1] == "more <b>words</b>"
        else:
            assert answer.layout.title.text.endswith("<br>more &lt;b&gt;words&lt;/b&gt;")
    assert len(asked) == 2


def test_nothing_is_revealed_before_a_guess():
    asked = []
    guess = Predict("How many?", truth=lambda: asked.append(1) or 12)
    shown = guess.widget()
    field, reveal = shown.children[1].children
    reveal.click()
    assert "Type your guess first" in shown.children[2].value and not asked
    field.value = "50"
    reveal.click()
    assert "it is 12" in shown.children[2].value


def test_a_curve_is_drawn_before_it_is_revealed():
    asked = []
    guess = PredictCurve("How?", (0, 1, 2), truth=lambda xs: asked.append(1) or [0.5, 0.5, 1.0])
    assert guess.value is None and "no curve" in guess.compare([0, 0, 0]).layout.title.text
    _, sliders, reveal, said = guess.widget().children
    reveal.click()
    assert not asked and "Drag" in said.outputs[0]["data"]["text/plain"]
    sliders.children[2].value = 0.2
    assert guess.value == [0.5, 0.5, 0.2]
    reveal.click()
    shown = said.outputs[0]["data"][backends.PLOTLY]
    assert shown["layout"]["title"]["text"] == "You were furthest off at 2: 0.8 too low."
    assert [trace["y"] for trace in shown["data"]] == [[0.5, 0.5, 1.0], [0.5, 0.5, 0.2]]
    with pytest.raises(ValueError, match="2 heights for 3 places"):
        guess.value = [0, 0]


# -- reports ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_of_three_explorers_has_three_figures_and_one_library(tmp_path, monkeypatch):
    show = "from tests.support.toy_explorer import toy\n\ntoy()"
    cells = [new_code_cell(show), new_code_cell(show), new_code_cell(show)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "toy.ipynb")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(backends.VARIABLE, "live")  # the widgets are there, and must not win
    assert main(["report", str(tmp_path / "toy.ipynb"), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out/toy.html").read_text()
    assert page.count("Plotly.newPlot(") >= 3
    assert page.count("over 3 parts") >= 3 and backends.VIEW not in page
    assert page.count("<p>As first shown: The highest point is 25 &lt;m&gt;.</p>") == 3
    assert len(page) < 8_000_000
    executed = nbformat.read(tmp_path / "out/toy.ipynb", as_version=4)
    assert "widgets" not in executed.metadata
    assert (tmp_path / "out/toy.ipynb").stat().st_size < 3_000_000


def test_a_figure_is_come_back_to_only_where_somebody_sits(monkeypatch, capsys):
    """The page's part is tested in tests/browser."""
    from ensemble_lab.widgets import stay, stay_here

    stay_here()
    assert capsys.readouterr().out == ""
    shown = []
    monkeypatch.setattr(stay, "attended", lambda: True)
    monkeypatch.setattr("IPython.display.display", shown.append)
    stay_here()
    assert "began = 1" in shown[0].data and "{" in shown[0].data and "{{" not in shown[0].data
