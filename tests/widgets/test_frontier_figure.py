"""The figure of a frontier: each dot, line and level is a number of the tables it is given."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.widgets import COMBINED, frontier_figure
from ensemble_lab.widgets.labels import near

LEVELS = np.round(np.linspace(0, 1.01, 102), 2)


@pytest.fixture(scope="module")
def faces():
    return lab.load_outcomes("rafdb-services").take(range(3000))


@pytest.fixture(scope="module")
def line(faces):
    return lab.frontier(lab.Cascade(("CNN", "Microsoft"), (0.5,)), faces, thresholds=LEVELS)


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_its_numbers_are_those_of_the_tables(faces, line):
    figure = frontier_figure(
        faces, {"cascade": line}, small="CNN", big="Microsoft", finding="One\nline"
    )
    drawn = traces(figure)
    for name, right, paid in zip(faces.models, faces.accuracy(), faces.cost.mean(0), strict=True):
        assert drawn[name].y == pytest.approx([right], abs=1e-6)
        assert drawn[name].x == pytest.approx([1e4 * paid], abs=1e-6)
    assert list(drawn["cascade"].x) == sorted(drawn["cascade"].x)
    assert max(drawn["cascade"].y) == pytest.approx(line["accuracy"].max(), abs=1e-6)
    assert drawn["cascade"].line.color == COMBINED
    assert list(drawn["random mixture"].y) == [drawn[m].y[0] for m in ("CNN", "Microsoft")]
    assert drawn["oracle"].y == pytest.approx([faces.oracle()] * 2, abs=1e-6)
    words = {note.text for note in figure.layout.annotations}
    assert words == {*faces.models, "cascade", "random mixture", "oracle"}
    assert 420 <= figure.layout.height <= 470 and figure.layout.title.text == "One<br>line"


def test_intervals_and_calls(faces, line):
    votes = lab.frontier(
        lab.MajorityVote(), faces, against="calls", intervals=True,
        members=[faces.models[:1], faces.models[:3]],
    )  # fmt: skip
    drawn = traces(frontier_figure(faces, {"votes": votes, "again": votes}, against="calls"))
    assert list(drawn["votes"].x) == [1, 3] and set(drawn["CNN"].x) == {1}
    reach = np.array(drawn["votes"].error_y.array)
    assert reach == pytest.approx(votes["high"] - votes["accuracy"], abs=1e-6)
    assert drawn["votes"].line.dash != drawn["again"].line.dash
    assert "random mixture" not in drawn


def test_what_is_not_there_is_named(faces, line):
    with pytest.raises(KeyError, match="Nobody"):
        frontier_figure(faces, {"cascade": line}, small="CNN", big="Nobody")
    with pytest.raises(KeyError, match="price"):
        frontier_figure(faces, {"cascade": line}, against="price")
    with pytest.raises(ValueError, match="latency"):
        frontier_figure(faces, {"cascade": line}, against="latency")


def test_names_lie_on_no_line():
    """A line that leaves a point to the right: without it the name would be on its way."""
    room, line = (100, 100), ((0.5, 0.5), (1, 0.5))
    assert near(((0.5, 0.5),), (4,), room, 10) == [(23.0, 0.0)]
    [(x, y)] = near(((0.5, 0.5),), (4,), room, 10, (line,))
    assert (x, y) != (23.0, 0.0) and (x < 0 or abs(y) > 6)


def test_two_lines_are_named_where_they_are_apart(faces, line):
    """The two ways are the same up to a price, and end close together."""
    other = line.copy()
    apart = line["cost"].between(*line["cost"].quantile([0.4, 0.6]))
    other.loc[apart, "accuracy"] -= 0.05
    figure = frontier_figure(faces, {"one": line, "other": other})
    named = {note.text: note.x for note in figure.layout.annotations}
    assert named["other"] < 0.9 and named["one"] < 0.9
