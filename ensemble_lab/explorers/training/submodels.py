"""Submodels: one network used at any exit, any width and any number of bits of a weight."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.submodels_replay import (
    BITS,
    EDGE,
    EDGES,
    LAYERS,
    MADE,
    MIDDLES,
    RUNS,
    THRESHOLDS,
    UNITS,
    WIDTHS,
    Submodel,
    frontiers,
    held_out,
    map_of,
    separately,
    submodel,
)
from ensemble_lab.widgets.axes import FRAMED, Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel, borders
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

TRAINED, ORDINARY, CUT = MADE
NAMES = ("exit 1", "exit 2", "the end")
SHADES = ("#EAF3FA", "#B5D6EE", "#6FAEDB")  # of the exits, darker the later
SCALE = [[(i + end) / 3, shade] for i, shade in enumerate(SHADES) for end in (0, 1)]
WRONG_TICKS = (0.8, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # upwards: the axis is of shares right
DRAWN = 150  # places on the map


TASKS = (
    Task("Let most places leave by exit 1, and look where the errors are.",
         lambda state, picture: _leaving(state)[0] > 0.5 and state["made"] == TRAINED),
    Task("Get 97 % right with less than a tenth of the compute.",
         lambda state, picture: _right(state) >= 0.97 and _compute(state) < 0.1),
    Task("Find a setting in which a third of the answers, no more, are right.",
         lambda state, picture: _right(state) < 0.4),
)  # fmt: skip


def explorer() -> Explorer:
    """Three spirals, told apart by one network that is used in part.

    Networks are trained when the picture is first asked for: five that answer at every exit of
    every width, five ordinary ones, and smaller ones alone.

    References
    ----------
    Elhoushi et al., LayerSkip, ACL 2024. Devvrit et al., MatFormer, NeurIPS 2024. Park et al.,
    Any-Precision LLM, ICML 2024.
    """
    return Explorer(
        name="submodels",
        controls=(
            steps("threshold", "leave above a confidence of", THRESHOLDS, 1.0,
                  "At 0 all leave by exit 1; at 1 none leaves before the end."),
            steps("width", "width", WIDTHS, 1.0,
                  f"The share of the {UNITS} units of each hidden layer that is used."),
            steps("bits", "bits of a weight", BITS, 8,
                  "The first bits of the 8 bits that are stored."),
            choice("made", "network", MADE, TRAINED,
                   "Trained to be used in part; trained as usual, its exits read by its last head;"
                   " or the first, short codes read by the table of 8 bits."),
        ),
        compute=submodel,
        draw=draw,
        tasks=TASKS,
        presets={
            "leave early": {"threshold": 0.7},
            "half width": {"width": 0.5},
            "3 bits": {"bits": 3},
            "all three": {"threshold": 0.8, "width": 0.5, "bits": 4},
            "ordinary, early": Failing(made=ORDINARY, threshold=0.7),
            "ordinary, half": Failing(made=ORDINARY, width=0.5),
            "codes cut": Failing(made=CUT, bits=2),
        },
        opens={"threshold": 0.7},
    )  # fmt: skip


def _found(state: State) -> Submodel:
    return submodel(state["made"], state["width"], state["bits"])


def _right(state: State) -> float:
    return float(_found(state).accuracy(state["threshold"]).mean())


def _compute(state: State) -> float:
    """Multiply-adds, as a share of the whole network's."""
    return _found(state).compute(state["threshold"]) / submodel(TRAINED, 1.0, 8).compute(1.0)


def _leaving(state: State) -> np.ndarray:
    """The share (exits,) of the places that leave by each exit."""
    exits = _found(state).exits(state["threshold"])
    return np.array([(exits == e).mean() for e in range(LAYERS)])


def draw(found: Submodel, state: State) -> Picture:
    """Who leaves where, on the map and in shares, and accuracy against compute."""
    at = state["threshold"]
    sides = [axis("", -EDGE, EDGE, **FRAMED, showticklabels=False) for _ in "xy"]
    panels = mosaic(
        "map frontier / map exits",
        widths=(10, 10),
        heights=(12, 8),
        map=Axes(*sides, "Who leaves where", left=12),
        frontier=Axes(log_axis("multiply-adds of 8 bits a place", (20, 100, 500, 2500)),
                      log_axis("", WRONG_TICKS, ticktext=[f"{1 - one:.0%}" for one in WRONG_TICKS]),
                      "Right", 44, 64),
        exits=Axes(axis("", -0.6, LAYERS - 0.4, tickvals=list(range(LAYERS)), ticktext=list(NAMES),
                        showgrid=False),
                   shares("", -0.16, 1.08, tickvals=[0, 0.5, 1], zeroline=False), "Leave here", 44,
                   64),
    )  # fmt: skip
    marks = panels.marks(found, at, map=where, frontier=frontier, exits=leaving)
    return panels.picture(marks, finding(found, state), lambda: table(found), also(found, at))


def where(panel: Panel, found: Submodel, at: float) -> list[Mark]:
    """The exit by which each place leaves, the borders between answers, and errors."""
    exits, answers = map_of(found, at)
    (X, _), right = held_out()[0], np.take_along_axis(found.right[0], found.exits(at)[:1], 0)[0]
    X, right = X[:DRAWN], right[:DRAWN]
    return [
        panel.heat(exits, MIDDLES, MIDDLES, "exit of each place", 0, LAYERS - 1, SCALE,
                   hoverinfo="skip"),
        panel.border(borders(answers, EDGES, EDGES), INK, "border", width=2),
        panel.points(*X[right].T, COMBINED, "right", size=5),
        panel.points(*X[~right].T, WRONG, "wrong", size=8),
    ]  # fmt: skip


def frontier(panel: Panel, found: Submodel, at: float) -> list[Mark]:
    """Exits, widths and bits of the network, each with the rest whole, and networks alone."""
    looks = {"exits": SMALL, "widths": BIG, "bits": COMBINED}
    lines = [
        panel.curve(x, 1 - y, looks[name], f"{name}, the rest whole", width=3, label=name)
        for name, (x, y) in frontiers(found.made).items()
    ]
    size, alone = separately()
    wrong = 1 - found.accuracy(at)
    ends = max(wrong.min(), 0.001), wrong.max()
    return [
        *lines,
        panel.points(size, 1 - alone, ORACLE, "trained alone", size=10),
        panel.here(found.compute(at), wrong.mean(), INK, "this submodel", ends=ends),
    ]


def leaving(panel: Panel, found: Submodel, at: float) -> list[Mark]:
    """The share of places that leave by each exit, and how many of those are right."""
    exits, places = found.exits(at), np.arange(LAYERS)
    share = [(exits == e).mean() for e in places]
    right = [found.right[:, e][exits == e].mean() if (exits == e).any() else np.nan for e in places]
    return [
        panel.heat(
            [places],
            places,
            [-0.15, -0.03],
            "shade of each exit",
            0,
            LAYERS - 1,
            SCALE,
            hoverinfo="skip",
        ),
        panel.bars(places, share, SMALL, "share that leaves", key=False),
        panel.points(places, right, INK, "right among them", size=10),
    ]


# -- in words -----------------------------------------------------------------------------------


def finding(found: Submodel, state: State) -> str:
    """What this submodel gets right, for how much compute, beside the whole."""
    whole = submodel(TRAINED, 1.0, 8)
    share = found.compute(state["threshold"]) / whole.compute(1.0)
    who = {TRAINED: "One network in part", ORDINARY: "An ordinary network in part",
           CUT: "Codes cut short"}[found.made]  # fmt: skip
    if share == 1:
        who = "The whole ordinary network" if found.made == ORDINARY else "The whole network"
    first, second, _ = _leaving(state)
    gone = f"{first:.0%} leave by exit 1, {second:.0%} by exit 2"
    if state["threshold"] == 1:
        gone = "None leaves early"
    bits = f"{found.bits} bit" + "s" * (found.bits > 1)
    right = f"{who}: {found.accuracy(state['threshold']).mean():.1%} right"
    if share < 1:
        right += f" for {share:.0%} of the compute; the whole: {whole.accuracy(1.0).mean():.1%}"
    return f"{right}\n{gone}; {found.units} of {UNITS} units a layer, {bits} a weight"


def also(found: Submodel, at: float) -> str:
    """What the words say beyond the finding."""
    stages = ", ".join(
        f"{name} {right:.1%}" for name, right in zip(NAMES, found.right.mean((0, 2)), strict=True)
    )
    return (
        f"If all left by one exit: {stages}. {found.overthinks():.1%} of the places are right at an"
        f" exit and wrong at the end. Compute is {found.compute(at):,.0f} multiply-adds of 8 bits a"
        f" place, one of 4 bits counted as half. Means over {len(RUNS)} networks; the map is the"
        " first one's."
    )


def table(found: Submodel):
    """Every threshold: accuracy, its spread, compute and the share that leaves by each exit."""
    exits = [found.exits(at) for at in THRESHOLDS]
    columns = {
        "right": [found.accuracy(at).mean() for at in THRESHOLDS],
        "its spread over 5 networks": [found.accuracy(at).std(ddof=1) for at in THRESHOLDS],
        "multiply-adds of 8 bits": [found.compute(at) for at in THRESHOLDS],
        **{
            f"leave by {name}": [(one == e).mean() for one in exits] for e, name in enumerate(NAMES)
        },
    }
    return table_of(columns, THRESHOLDS, "leave above")
