"""The ledger: each guess that a reader revealed, once, with its truth; nothing without a reader."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ensemble_lab.widgets import Ledger, Predict, PredictCurve, predict, predict_curve
from ensemble_lab.widgets.ledger import FILE, NONE_YET


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A reader sits before a notebook in this folder."""
    monkeypatch.chdir(tmp_path)
    for module in (predict, predict_curve):
        monkeypatch.setattr(module, "attended", lambda: True)
    return tmp_path / FILE


def guessed(question, guess, truth, family="voting", **more):
    one = Predict(question, truth=truth, family=family, **more)
    one.value = guess
    one.compare()


def test_what_was_guessed_and_what_was_true(reader):
    guessed("What share?", 50, 52.0, unit="%")
    guessed("How many?", 9, np.int64(4), "cascades", low=0, high=10)
    curve = PredictCurve("How high?", [0, 1], [0.5, 1.0], family="cascades")
    curve.value = [0.75, 0.7]
    curve.compare()
    ledger = Ledger()
    assert [one.guess for one in ledger.predictions] == [(50.0,), (9.0,), (0.75, 0.7)]
    assert [one.truth for one in ledger.predictions] == [(52.0,), (4.0,), (0.5, 1.0)]
    assert [one.miss for one in ledger.predictions] == pytest.approx([-0.02, 0.5, -0.025])
    assert [one.distance for one in ledger.predictions] == pytest.approx([0.02, 0.5, 0.275])
    table = ledger.table()
    assert list(table.index) == ["voting", "cascades"] and list(table["close"]) == [1, 0]
    assert list(table["predictions"]) == [1, 2]
    assert table["miss"]["cascades"] == pytest.approx(0.2375)
    assert repr(ledger) == "3 predictions: 1 within 5% of the range, 1 too high, 1 too low"
    figure = ledger.figure()
    drawn = {y: list(trace.x) for trace in figure.data for y in trace.y}
    assert drawn["voting"] == pytest.approx([-0.02])
    assert drawn["cascades"] == pytest.approx([0.5, -0.025])
    assert figure.layout.title.text == repr(ledger)


def test_the_first_guess_counts_and_all_are_kept(reader):
    for guess in (10, 90, 52):
        guessed("What share?", guess, 52.0)
    (one,) = Ledger().predictions
    assert one.guess == (10.0,) and len(reader.read_text().splitlines()) == 3


def test_nothing_is_written_without_a_reader_a_guess_or_a_truth(tmp_path, monkeypatch, reader):
    Predict("What share?", truth=3.0).compare()
    PredictCurve("How high?", [0, 1], [0, 1]).compare()
    guessed("Unknown?", 3, float("nan"))
    curve = PredictCurve("How high?", [0, 1], [0, float("nan")])
    curve.value = [0, 1]
    curve.compare()
    monkeypatch.setattr(predict, "attended", lambda: False)
    guessed("What share?", 3, 3.0)
    assert not reader.exists() and len(Ledger()) == 0 and repr(Ledger()) == NONE_YET
    assert Ledger().table().empty
    with pytest.raises(ValueError, match="no predictions yet"):
        Ledger().figure()


def test_a_folder_that_cannot_be_written_stops_nobody(reader):
    reader.mkdir()  # a file of this name cannot be written, for root neither
    one = Predict("What share?", truth=3.0)
    one.value = 3
    assert "Right on the spot" in one.compare()


def test_two_notebooks_write_at_the_same_time(reader):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: guessed(f"Question {i}?", i % 100, 50.0), range(200)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Ledger()) == 200


def test_damaged_lines_and_other_versions_are_named(reader):
    guessed("What share?", 50, 52.0)
    good = json.loads(reader.read_text())
    bad = [
        {**good, "guess": []}, {**good, "guess": [1, 2]}, {**good, "truth": [float("inf")]},
        {**good, "low": 5, "high": 5}, {**good, "family": 7}, {**good, "guess": "12"}, [], 7,
        {name: value for name, value in good.items() if name != "unit"},
    ]  # fmt: skip
    lines = [json.dumps(good), '{"version": 1, "fam', *map(json.dumps, bad), "[" * 100_000, "\xff"]
    reader.write_text("\n".join(lines), encoding="latin-1")
    with pytest.warns(UserWarning, match="12 lines cannot be read and are left out, line 2 first"):
        assert len(Ledger()) == 1
    reader.write_text("\n".join(map(json.dumps, (good, {**good, "version": 2}))))
    with pytest.warns(UserWarning, match="1 lines are of another version .* line 2 first"):
        assert len(Ledger()) == 1


def test_names_from_a_file_are_text(reader):
    guessed("<img src=x> %{y}", 50, 52.0, "<b>bold</b>", unit="$x$")
    figure = Ledger().figure()
    assert list(figure.data[0].y) == ["&lt;b&gt;bold&lt;/b&gt;"]
    assert "<img" not in figure.data[0].text[0] and "%{" not in figure.data[0].text[0]


def test_a_torn_line_costs_no_other(reader):
    guessed("What share?", 50, 52.0)
    reader.write_bytes(reader.read_bytes() + b'{"version": 1, "fam')  # a crash while it was written
    guessed("How many?", 50, 52.0)
    with pytest.warns(UserWarning, match="1 lines cannot be read .* line 2 first"):
        assert len(Ledger()) == 2


def test_two_files_put_together_are_read_in_the_order_of_time(reader):
    guessed("What share?", 50, 52.0)
    line = json.loads(reader.read_text())
    late = {**line, "when": "2999-01-01T00:00:00+00:00", "guess": [7]}
    reader.write_text("\n".join(map(json.dumps, (late, line))))
    (one,) = Ledger().predictions
    assert one.guess == (50.0,)


@pytest.mark.parametrize(
    "change", [{"guess": "12", "truth": "34"}, {"low": -1e308, "high": 1e308}, {"guess": {"1": 2}}]
)
def test_a_line_that_is_no_guess_is_left_out(reader, change):
    guessed("What share?", 50, 52.0)
    line = json.loads(reader.read_text())
    reader.write_text(json.dumps(line | change))
    with pytest.warns(UserWarning, match="1 lines cannot be read"):
        assert len(Ledger()) == 0


def test_a_curve_on_both_sides_is_neither_too_high_nor_too_low(reader):
    curve = PredictCurve("How high?", [0, 1], [0.25, 0.75], family="cascades")
    curve.value = [0.75, 0.25]
    curve.compare()
    assert repr(Ledger()).endswith("0 too high, 0 too low, 1 as much too high as too low")
