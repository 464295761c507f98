"""Two models on two machines: one each, or both as a pipeline that serves all."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.systems.queues_replay import (
    ALONE,
    ARRIVALS,
    BOTH,
    COMMON,
    FIRST,
    LIMIT,
    OVERHEADS,
    OWN,
    PIPELINE,
    POISSON,
    RATES,
    ROOM,
    RULES,
    Queues,
    Served,
    queues,
)
from ensemble_lab.widgets.axes import Axes, axis, log_axis, rows_of, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

SECONDS = (0.01, 0.1, 1, 10, 100, 1000)  # shorter and longer waits are not drawn

TASKS = (
    Task("Let the pipeline halve the wait of one machine each, at any rate.",
         lambda state, picture: state["rule"] == PIPELINE and abs(_ratio(state) - 0.5) < 0.03),
    Task("Make the pipeline slower than one machine each, though it does all that comes.",
         lambda state, picture: state["rule"] == PIPELINE and _ratio(state) > 1
         and _here(state)[0].load < 1),
    Task("Keep the mean wait, and let one model wait three times as long as the other.",
         lambda state, picture: state["rule"] == FIRST and _here(state)[0].load < 1
         and _means(_here(state)[0])[1] > 3 * _means(_here(state)[0])[0] > 0),
    Task("Answer nobody late, and one in ten not at all.",
         lambda state, picture: _here(state)[0].late == 0 and _here(state)[0].refused > 0.1),
)  # fmt: skip


def _here(state: State) -> tuple[Served, Served]:
    """What happens at the chosen rate, and with one machine each."""
    found = queues(state["rule"], state["arrivals"], state["overhead"])
    at = RATES.index(state["rate"])
    return found.served[at], found.alone[at]


def _ratio(state: State) -> float:
    """The mean wait over that with one machine each; NaN where nobody waits."""
    here, alone = (one.answered.mean() for one in _here(state))
    return float(here / alone) if alone else float("nan")


def _means(here: Served) -> tuple[float, float]:
    """The mean waits for A and for B."""
    return tuple(float(np.nanmean(here.waits[which])) for which in (here.a, ~here.a))


def explorer() -> Explorer:
    """Requests of one second for two models, by four rules and five kinds of arrivals.

    A setting is worked out when first asked for.

    References
    ----------
    Li et al., AlpaServe: statistical multiplexing with model parallelism for deep learning
    serving, OSDI 2023.
    Kleinrock, Queueing Systems II, 1976: rules that keep all machines at work have one mean wait.
    """
    return Explorer(
        name="queues",
        controls=(
            steps("rate", "requests a second", RATES, 1.2,
                  "For both models together. Each takes one second on one machine."),
            choice("rule", "rule", RULES, ALONE,
                   "A machine for each model; or both models cut in halves, one half a machine."),
            choice("arrivals", "arrivals", ARRIVALS, POISSON,
                   "CV is the spread of the gaps over their mean. Hours are of Azure, scaled to"
                   " the rate; in the last choice A gets the requests about code."),
            steps("overhead", "overhead of a stage (%)", OVERHEADS, 0,
                  "What a stage adds, in hundredths of a whole service."),
        ),
        compute=queues,
        draw=draw,
        tasks=TASKS,
        presets={
            "pooled": {"rule": PIPELINE, "rate": 1.6},
            "own bursts": {"rule": PIPELINE, "arrivals": OWN, "rate": 1.0},
            "real hours": {"rule": PIPELINE, "arrivals": BOTH, "rate": 1.0},
            "common bursts": Failing(rule=PIPELINE, arrivals=COMMON, rate=1.0),
            "overhead": Failing(rule=PIPELINE, overhead=10, rate=1.6),
            "the same mean": Failing(rule=FIRST, rate=1.8),
            "nobody late": Failing(rule=ROOM, rate=2.2),
        },
        sequence="rate",
        opens={"rule": PIPELINE, "rate": 1.6},
    )  # fmt: skip


def draw(found: Queues, state: State) -> Picture:
    """Waits by rate, the tail of each model at this rate, and what the machines do."""
    at = RATES.index(state["rate"])
    panels = mosaic(
        "rates tail shares",
        widths=(10, 9, 5),
        rates=Axes(axis("requests a second", 0.02, 2.25), log_axis("", SECONDS),
                   "Wait (s)", 44, 88),
        tail=Axes(log_axis("seconds", SECONDS),
                  log_axis("", [0.001, 0.01, 0.1, 1], ticktext=["0.1%", "1%", "10%", "100%"]),
                  "Share that waits longer", 48, 20),
        shares=Axes(shares("", 0, 1.04), rows_of(("machine 1", "machine 2", "refused", "late")),
                    "Busy, lost", 66, 10),
    )  # fmt: skip
    marks = panels.marks(found, at, rates=rates, tail=tail, shares=busy)
    return panels.picture(marks, finding(found, state), lambda: table(found), also(found, at))


def rates(panel: Panel, found: Queues, at: int) -> list[Mark]:
    """Mean and 99th percentile by rate; a line ends where more comes than can leave."""
    mean, most = _curves(found.served)
    before, longest = _curves(found.beside)
    other = "pipeline" if found.served is found.alone else "one each"
    here = found.served[at]
    now = np.array([here.answered.mean(), here.p99()])
    thin = {"width": 1, "label": "", "line": {"dash": "longdashdot"}}
    return [
        panel.curve(RATES, before, SMALL, "the other way, mean", label=other),
        panel.curve(RATES, longest, SMALL, "the other way, 99th percentile", **thin),
        panel.curve(RATES, mean, COMBINED, "mean", width=4),
        panel.curve(RATES, most, BIG, "99th percentile", label="99 in 100"),
        panel.upright(RATES[at]),
        panel.points(np.repeat(RATES[at], 2), _seen(now), INK, "at this rate", size=11, key=False),
    ]  # fmt: skip


def tail(panel: Panel, found: Queues, at: int) -> list[Mark]:
    """For each model, the share of answered requests that waits longer than so many seconds."""
    here, marks = found.served[at], []
    for name, which, meaning in (("A", here.a, SMALL), ("B", ~here.a, BIG)):
        waits = np.sort(here.waits[which])
        waits = waits[~np.isnan(waits)]
        times = np.geomspace(SECONDS[0], SECONDS[-1], 101)
        longer = 1 - np.searchsorted(waits, times, side="right") / len(waits)
        longer[longer < 0.001] = np.nan
        mean = _seen(np.array([waits.mean()]))
        share = np.interp(np.log(mean), np.log(times), np.nan_to_num(longer))
        marks += [
            panel.curve(times, longer, meaning, f"{name} waits longer", label="", width=3),
            panel.points(mean, share, meaning, f"{name}, mean wait", size=12, key=False),
        ]
        known = np.flatnonzero(~np.isnan(longer))
        if len(known):
            marks.append(panel.label(times[known[-1]], longer[known[-1]], name, meaning))
    return [*marks, panel.rule(0.01, ORACLE, "one in a hundred", label="", width=1)]


def busy(panel: Panel, found: Queues, at: int) -> list[Mark]:
    """What each machine works, and the shares of all requests that were refused or came late."""
    here = found.served[at]
    late = here.late * (1 - here.refused)
    return [
        panel.bars(here.busy, [0, 1], COMBINED, "busy", key=False, orientation="h"),
        panel.bars([here.refused, late], [2, 3], WRONG, "lost", key=False, orientation="h",
                   marker={"pattern": {"shape": "/"}}),
    ]  # fmt: skip


def _curves(served: tuple[Served, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Means and 99th percentiles (r,) of the waits; NaN where the queue grows without end."""
    found = np.array([(one.answered.mean(), one.p99()) for one in served]).T
    found[:, [one.load >= 1 and not one.refused for one in served]] = np.nan
    return tuple(map(_seen, found))


def _seen(seconds: np.ndarray) -> np.ndarray:
    """NaN where it is too short, or too long, to be drawn."""
    return np.where((seconds >= SECONDS[0]) & (seconds <= SECONDS[-1]), seconds, np.nan)


# -- in words -----------------------------------------------------------------------------------


def finding(found: Queues, state: State) -> str:
    """How long requests wait, beside one machine each; and what the mean leaves out."""
    at = RATES.index(state["rate"])
    here, alone = found.served[at], found.alone[at]
    if here.load >= 1 and not here.refused:
        return (
            f"{here.load:.0%} of what the machines can do comes in: the queue grows as long as"
            f" requests come\nIts mean, {here.answered.mean():.3g} s, only says how long that was"
        )
    mean = f"A request waits {here.answered.mean():.2f} s on average"
    if here is not alone and alone.load < 1:
        mean += f", with one machine each {alone.answered.mean():.2f} s"
    if here.refused:
        return (
            f"{mean}\nOf the answered {1 - here.late:.1%} take at most {LIMIT:g} s; but"
            f" {here.refused:.1%} are refused, so of all"
            f" {(1 - here.late) * (1 - here.refused):.1%}"
        )
    a, b = _means(here)
    return (
        f"{mean}\nA {a:.2f} and B {b:.2f} s; one in a hundred waits longer than"
        f" {here.p99():.2f} s, for B than {here.p99(~here.a):.2f} s"
    )


def also(found: Queues, at: int) -> str:
    """What the words say beyond the finding."""
    here = found.served[at]
    other = "pipeline" if found.served is found.alone else "machine for each model"
    return (
        "Lines on the left end where more comes than can leave; the thin one is the 99th percentile"
        f" of the {other}. Machines work {here.busy[0]:.0%} and {here.busy[1]:.0%} of the"
        f" time. Without a wait a request takes {here.service:.2f} s; a request is late after"
        f" {LIMIT:g} s, and {here.late * (1 - here.refused):.1%} of all are. Dots are means."
    )


def table(found: Queues):
    """Every rate: waits of all and of each model, what is refused and late, work of machines."""
    served = found.served
    a, b = np.array([_means(one) for one in served]).T
    columns = {
        "mean wait (s)": [one.answered.mean() for one in served],
        "99th percentile (s)": [one.p99() for one in served],
        "mean wait, one each (s)": [one.answered.mean() for one in found.alone],
        "mean wait, A (s)": a,
        "mean wait, B (s)": b,
        "refused": [one.refused for one in served],
        "late": [one.late * (1 - one.refused) for one in served],
        "busy, machine 1": [one.busy[0] for one in served],
        "busy, machine 2": [one.busy[1] for one in served],
        "load": [one.load for one in served],
    }
    return table_of(columns, RATES, "requests a second")
