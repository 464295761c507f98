"""An hour of chat behind the gateway: time-outs, retries, hedges, and what keeps it up."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.systems.serving_replay import (
    AFTER,
    BINS,
    BUDGET,
    GUARDS,
    HEDGED,
    HEDGES,
    NOTHING,
    OFF,
    ONCE,
    RATES,
    RETRIES,
    STOPS,
    UNLIMITED,
    Hour,
    Serving,
    at_all_rates,
    serving,
)
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL

MINUTES = (BINS[:-1] + BINS[1:]) / 2
SECONDS = np.geomspace(1, 100, 81)
MOST = 4.0  # times the capacity that can be drawn


def _here(state: State, hedge: str | None = None) -> Hour:
    """The hour at this state; with another hedge."""
    ways = at_all_rates(state["retries"], hedge or state["hedge"], state["guard"])
    return ways[RATES.index(state["rate"])]


TASKS = (
    Task("Let retries keep everybody from an answer long after the rush is over.",
         lambda state, picture: state["retries"] != ONCE and _here(state).after < 0.01),
    Task("Give nobody up in the whole hour, 99 in 100 within 15 seconds.",
         lambda state, picture: _here(state).goodput > 0.999 and _here(state).quantile(0.99) < 15),
    Task("Let the hedge alone cost one request in ten.",
         lambda state, picture: state["hedge"] == HEDGED
         and _here(state).goodput < _here(state, OFF).goodput - 0.1),
    Task("Answer nine in ten at 1.2 times the capacity, with retries.",
         lambda state, picture: state["rate"] == 1.2 and state["retries"] != ONCE
         and _here(state).goodput > 0.9),
)  # fmt: skip


def explorer() -> Explorer:
    """Every fourth request of an hour of Azure's chat, four servers, 20 seconds of patience.

    A token takes 10 ms; four calls in a hundred meet a slow moment and take five times as long.
    The gateway's own classes decide. A setting is worked out when first asked for.

    References
    ----------
    Bronson et al., Metastable failures in distributed systems, HotOS 2021.
    Dean and Barroso, The tail at scale, Communications of the ACM 56, 2013.
    """
    return Explorer(
        name="serving",
        controls=(
            steps("rate", "load in the rush (of capacity)", RATES, 1.1,
                  "Work that comes in the busiest five minutes, over what four servers can do."),
            choice("retries", "retries", RETRIES, ONCE,
                   "Of a call that is not answered in 20 s, after half a second, then a second."),
            choice("hedge", "second call", HEDGES, OFF,
                   "Sent where the first is slower than 95 in 100 were; at most one in twenty."),
            choice("guard", "protection", GUARDS, NOTHING,
                   "A breaker: 5 failures in 10 s, 5 s of rest. Or servers stop what nobody waits"
                   " for; or a cache answers."),
        ),
        compute=serving,
        draw=draw,
        tasks=TASKS,
        presets={
            "at rest": {"retries": UNLIMITED, "rate": 0.6},
            "retry storm": Failing(retries=UNLIMITED),
            "budget": {"retries": BUDGET},
            "servers stop": {"retries": BUDGET, "guard": STOPS},
            "hedge at rest": {"hedge": HEDGED, "rate": 0.6},
            "hedge in a rush": Failing(hedge=HEDGED, rate=1.0),
        },
        sequence="rate",
        opens={"retries": UNLIMITED},
    )  # fmt: skip


def draw(found: Serving, state: State) -> Picture:
    """Work offered and requests answered over the hour, and how long all of them wait."""
    at = RATES.index(state["rate"])
    hour = {"tickvals": list(range(10, 61, 10))}
    panels = mosaic(
        "load waits / answered waits",
        widths=(15, 10),
        load=Axes(axis("", 0, 58, **hour), axis("", 0, MOST), "Work that is sent (of capacity)",
                  44, 92),
        answered=Axes(axis("minute of the hour", 0, 58, **hour), shares("", 0, 1.06),
                      "Requests answered", 48, 92),
        waits=Axes(log_axis("seconds from request to answer", [1, 2, 5, 10, 20, 50, 100]),
                   log_axis("", [0.005, 0.01, 0.1, 1], ticktext=["0.5%", "1%", "10%", "100%"]),
                   "Share that waits longer", 52, 20),
    )  # fmt: skip
    marks = panels.marks(found, at, load=load, answered=answered, waits=waits)
    return panels.picture(marks, finding(found, at), lambda: table(found), also(found, at))


def load(panel: Panel, found: Serving, at: int) -> list[Mark]:
    """What the requests need, what all their calls ask for, and what the servers can do."""
    here = found.hours[at]
    same = "" if np.abs(here.calls - here.requests).max() < 0.3 else "first calls"
    return [
        panel.rule(1, ORACLE, "capacity", width=1, label=""),
        panel.curve(MINUTES, here.requests, SMALL, "first calls", label=same),
        panel.curve(MINUTES, np.minimum(here.calls, MOST), BIG, "all calls", width=4),
        panel.upright(AFTER, "the rush is over"),
    ]


def answered(panel: Panel, found: Serving, at: int) -> list[Mark]:
    """The share of the requests of each two minutes that get an answer; and with one call each."""
    here, once = found.hours[at], found.once[at]
    near = np.abs(here.answered[-3:] - once.answered[-3:]).max() < 0.2
    return [
        panel.curve(MINUTES, once.answered, SMALL, "one call each",
                    label="" if near else "one call"),
        panel.curve(MINUTES, here.answered, COMBINED, "answered", width=4, label="answered"),
        panel.upright(AFTER, "the rush is over, too"),
    ]  # fmt: skip


def waits(panel: Panel, found: Serving, at: int) -> list[Mark]:
    """The share of all requests that waits longer; it stays up where requests get no answer."""
    marks = []
    for hour, meaning, name, width in ((found.once[at], SMALL, "one call each, wait longer", 2),
                                       (found.hours[at], COMBINED, "wait longer", 4)):  # fmt: skip
        longer = 1 - np.searchsorted(hour.latency, SECONDS, side="right") / len(hour.latency)
        longer[longer < 0.005] = np.nan
        marks.append(panel.curve(SECONDS, longer, meaning, name, width=width, label=""))
    return [*marks, panel.rule(0.01, INK, "one in a hundred", label="", width=1)]


# -- in words -----------------------------------------------------------------------------------


def finding(found: Serving, at: int) -> str:
    """Who gets an answer, in the hour and after the rush; at what price."""
    here, once = found.hours[at], found.once[at]
    first = (
        f"Rush of {RATES[at]:g} times the capacity: {here.goodput:.1%} of the hour's requests get"
        f" an answer, after the rush {here.after:.1%}"
    )
    last = here.quantile(0.99)
    price = f"{here.per_request:.2f} calls a request, {here.wasted:.0%} of the work for nobody"
    if np.isfinite(last):
        return f"{first}\n{price}; 99 in 100 within {last:.1f} s"
    if here is once:
        return f"{first}\n{price}; more than 1 in 100 get none"
    return f"{first}\n{price}; with one call each {once.goodput:.1%} get one"


def also(found: Serving, at: int) -> str:
    """What the words say beyond the finding."""
    here, once = found.hours[at], found.once[at]
    return (
        f"Calls ask for up to {here.calls.max():.2f} times the capacity, first calls for"
        f" {here.requests.max():.2f} times. Minutes are those of the trace. The thin lines are one"
        f" call a request without protection: {once.goodput:.1%} get an answer, after minute"
        f" {AFTER} {once.after:.1%}. A line on the right ends where fewer than one in 200 wait"
        " longer."
    )


def table(found: Serving):
    """Every rate: who gets an answer, how long it takes, what it costs the servers."""
    hours = found.hours
    columns = {
        "answered": [one.goodput for one in hours],
        f"answered, from minute {AFTER}": [one.after for one in hours],
        "median (s)": [one.quantile(0.5) for one in hours],
        "95th percentile (s)": [one.quantile(0.95) for one in hours],
        "99th percentile (s)": [one.quantile(0.99) for one in hours],
        "calls a request": [one.per_request for one in hours],
        "work for nobody": [one.wasted for one in hours],
        "most work sent (of capacity)": [one.calls.max() for one in hours],
        "answered, one call each": [one.goodput for one in found.once],
    }
    return table_of(columns, RATES, "load in the rush (of capacity)")
