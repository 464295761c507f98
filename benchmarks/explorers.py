"""Speed of what a reader touches: sliders, the first figure, whole notebooks.

Run with ``python -m benchmarks explorers --json benchmarks/results/explorers.json``; the record
`slider-browser` needs Chromium and Playwright.
"""

from functools import partial
from itertools import cycle
from statistics import quantiles
from time import perf_counter

import plotly

import ensemble_lab as lab
from benchmarks.parts import in_browser, in_kernels
from benchmarks.parts.compare import record, side_by_side
from ensemble_lab.explorers.explore import explore
from ensemble_lab.widgets.canvas import LiveCanvas
from ensemble_lab.widgets.panel import Panel
from ensemble_lab.widgets.still import full_layout

SHOWN = {  # what is dragged, and over which table
    "cascade": "shop-services",
    "votes": "mmlu-pro-29-llms",
    "condorcet": None,
}
LARGEST = "cascade"


def dragged(panel):
    """A function that moves the panel's main slider one option on, there and back again."""
    explorer = panel.explorer
    control = next(c for c in explorer.controls if c.name == explorer.along)
    there = list(control.options)
    options = cycle([*there, *there[-2:0:-1]])

    def drag():
        panel.inputs[control.name].write(next(options))

    return drag


class WholeUpdate(LiveCanvas):
    """Every trace and the layout handed to plotly for each move, as its manual has it."""

    def show(self, picture):
        with self.widget.batch_update():
            for trace, new in zip(self.widget.data, picture.traces, strict=True):
                trace.update(new)
            self.widget.layout.update(full_layout(picture))


def slider_python(quick):
    """A slider's move until the message to the browser is out; plotly's own way is the peer."""
    rounds = 5 if quick else 41
    timings, by_explorer = {}, {}
    for name, table in SHOWN.items():
        explorer = explore(name, lab.load_outcomes(table) if table else None)
        drag, peer = dragged(Panel(explorer)), Panel(explorer)
        peer.canvas.__class__ = WholeUpdate
        timed = side_by_side(drag, dragged(peer), rounds)
        by_explorer[name] = {
            "table": table,
            "median_ms": round(1000 * timed.ours, 2),
            "p95_ms": round(1000 * percentile(drag, rounds), 2),
        }
        timings[name] = timed
    timed = timings[LARGEST]
    return record(
        "slider-python",
        1000 * timed.ours,
        1000 * timed.peer,
        "ms",
        goal="30 ms or less on the largest table",
        peer_is="FigureWidget.batch_update with every trace and the layout",
        spread=timed.spread,
        by_explorer=by_explorer,
        plotly=plotly.__version__,
    )


def percentile(call, rounds):
    """The 95th percentile of the seconds that a call takes."""
    seconds = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return quantiles(seconds, n=20)[-1]


def slider_of(name, quick):
    """A move of an explorer's slider as a record; plotly's own way is the peer."""
    rounds = 5 if quick else 41
    drag, peer = dragged(Panel(explore(name))), Panel(explore(name))
    peer.canvas.__class__ = WholeUpdate
    timed = side_by_side(drag, dragged(peer), rounds)
    return record(
        f"slider-{name}",
        1000 * timed.ours,
        1000 * timed.peer,
        "ms",
        goal="150 ms at the 95th percentile",
        peer_is="FigureWidget.batch_update with every trace and the layout",
        p95_ms=1000 * percentile(drag, rounds),
        spread=timed.spread,
    )


RECORDS = {
    "slider-python": slider_python,
    "slider-browser": partial(in_browser.slider_browser, table=SHOWN[LARGEST]),
    "first-figure": in_kernels.first_figure,
    "notebooks": in_kernels.notebooks,
}
