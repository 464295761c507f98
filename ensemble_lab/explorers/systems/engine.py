"""A real engine under load: what two numbers, fitted on three rates, say about all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble_lab.explorers.systems.engine_replay import (
    CONFIGURATIONS,
    FITTED,
    RATES,
    SLOTS,
    Fitted,
    fitted,
)
from ensemble_lab.widgets.axes import Axes, axis, log_axis
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

RATE = "requested_rate"

TASKS = (
    Task("Offer so much that a request takes three times as long as alone.",
         lambda state, picture: _slower(state) >= 3),
    Task("Find a configuration that serves fewer requests than the plain one.",
         lambda state, picture: state["configuration"] in ("EAGLE-3", "V0 engine")),
    Task("Miss what the full engine serves by more than a quarter.",
         lambda state, picture: abs(_found(state).missed[0][-1]) > 0.25),
)  # fmt: skip


def _found(state: State) -> Fitted:
    return fitted(state["configuration"], state["stages"], state["slots"])


def _slower(state: State) -> float:
    """How many times as long as alone a request takes at the chosen rate."""
    found = _found(state)
    latency = found.curve.latency_mean_s[RATES.index(state["rate"])]
    return float(latency / found.recorded.latency_mean_s[0])


def explorer() -> Explorer:
    """Llama-3.1-8B on vLLM 0.11 and one H100: recorded load curves, and an engine fitted to them.

    A setting is worked out when first asked for.

    References
    ----------
    Kwon et al., Efficient memory management for large language model serving with PagedAttention,
    SOSP 2023.
    Little, A proof for the queuing formula L = λW, Operations Research 1961.
    """
    return Explorer(
        name="engine",
        controls=(
            steps("rate", "offered (requests a second)", RATES, 90,
                  "Evenly spaced for a minute; at most 440 requests are in flight."),
            choice("configuration", "engine", tuple(CONFIGURATIONS), "plain",
                   "How vLLM was started. All have 128 slots but one, which has 192."),
            choice("stages", "fitted on stages", tuple(FITTED), "1 to 3",
                   "Which of the seven recorded rates the two numbers are fitted on."),
            steps("slots", "slots in the fit", SLOTS, 128,
                  "How many requests run together, as you believe: low rates do not show it."),
        ),
        compute=fitted,
        draw=draw,
        tasks=TASKS,
        presets={
            "plain": {},
            "prefix cache": {"configuration": "prefix cache", "rate": 170},
            "EAGLE-3": {"configuration": "EAGLE-3", "rate": 50},
            "192 slots": {"configuration": "192 slots", "slots": 192, "rate": 110},
            "three lowest": Failing(configuration="EAGLE-3", stages="0 to 2", rate=90),
            "wrong slots": Failing(slots=256, rate=120),
        },
        sequence="rate",
    )  # fmt: skip


def draw(found: Fitted, state: State) -> Picture:
    """Served rate and mean latency by the offered rate, recorded and replayed."""
    panels = mosaic(
        "served latency",
        widths=(1, 1),
        served=Axes(axis("offered (requests a second)", -8, 265), axis("", -6, 200),
                    "Served (requests a second)", 44, 66),
        latency=Axes(axis("offered (requests a second)", -8, 265), log_axis("", [0.3, 1, 3, 10]),
                     "Mean latency (s)", 44, 66),
    )  # fmt: skip
    marks = panels.marks(found, state["rate"], served=served, latency=latency)
    return panels.picture(marks, finding(found, state), lambda: table(found), also(found))


def served(panel: Panel, found: Fitted, rate: int) -> list[Mark]:
    """All that is offered is served, until the engine is full."""
    even = np.array([0.0, 195.0])
    return [
        panel.curve(even, even, ORACLE, "all served", label="all", width=1),
        *_curves(panel, found, rate, "served_rate", found.wrong[0], "served"),
    ]


def latency(panel: Panel, found: Fitted, rate: int) -> list[Mark]:
    """It grows slowly, and by itself when the engine is full."""
    return _curves(panel, found, rate, "latency_mean_s", found.wrong[1], "latency")


def _curves(
    panel: Panel, found: Fitted, rate: int, column: str, wrong: np.ndarray, what: str
) -> list[Mark]:
    """The replayed line, what was recorded, and where the reader stands."""
    recorded, plain = (rows[[RATE, column]].to_numpy().T for rows in (found.recorded, found.plain))
    if found.recorded.equals(found.plain):
        plain = plain[:, :0]
    left = what == "served"  # each look is in the key of one panel
    looks = {
        "fitted on": (found.used, BIG, left),
        "recorded": (~found.used & ~wrong, INK, left),
        "missed": (~found.used & wrong, WRONG, not left and any(map(np.any, found.wrong))),
    }
    here = found.curve[column][RATES.index(rate)]
    return [
        panel.upright(rate, f"{what}: here"),
        panel.curve(*plain, SMALL, f"{what}: plain", label="plain" if plain.size else ""),
        panel.curve(RATES, found.curve[column], COMBINED, f"{what}: replayed", width=4,
                    label="replayed"),
        *(replace(panel.points(*recorded[:, which], meaning, f"{what}: {name}", size=11),
                  said=name if told else "")
          for name, (which, meaning, told) in looks.items()),
        panel.here(rate, here, COMBINED, f"{what}: at this rate"),
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(found: Fitted, state: State) -> str:
    """What the full engine should serve and did, and what happens at the chosen rate."""
    rate, last = state["rate"], found.recorded.index[-1]
    said, was = found.replayed.served_rate.iloc[-1], found.recorded.served_rate[last]
    here = found.curve.iloc[RATES.index(rate)]
    start = (
        f"Fitted on stages {state['stages']}, the full engine should serve {said:.0f} requests/s;"
        f" it served {was:.0f} ({said / was - 1:+.0%})\n"
    )
    if found.busy < found.engine.slots / 2:
        return f"{start}The fit saw at most {found.busy} of {found.engine.slots} slots in use"
    return (
        f"{start}At {rate} offered it should serve {here.served_rate:.0f}, each in"
        f" {here.latency_mean_s:.2f} s on average"
    )


def also(found: Fitted) -> str:
    """What the words say beyond the finding."""
    rates, latencies = (np.abs(missed) for missed in found.missed)
    return (
        f"A step takes {1e3 * found.engine.step:.1f} ms, and each running request adds"
        f" {1e6 * found.engine.per_task:.0f} µs with its share of prompts. The largest miss of a"
        f" served rate is {rates.max():.1%}, of a mean latency {latencies[found.judged].max():.1%}"
        f" (without one request alone and a nearly full engine: with them {latencies.max():.0%})."
        f" When full, {found.recorded.sent_rate.iloc[-1]:.0f} sent a second times"
        f" {found.recorded.latency_mean_s.iloc[-1]:.2f} s are"
        f" {found.recorded.sent_rate.iloc[-1] * found.recorded.latency_mean_s.iloc[-1]:.0f} in"
        " flight, near the limit of 440."
    )


def table(found: Fitted):
    """The seven recorded rates beside the replayed ones."""
    recorded, replayed = found.recorded, found.replayed
    columns = {
        "offered": recorded[RATE].to_numpy(),
        "fitted on": found.used,
        "served, recorded": recorded.served_rate.to_numpy(),
        "served, replayed": replayed.served_rate.to_numpy(),
        "mean latency, recorded (s)": recorded.latency_mean_s.to_numpy(),
        "mean latency, replayed (s)": replayed.latency_mean_s.to_numpy(),
        "latency judged": found.judged,
    }
    return table_of(columns, recorded.index, "stage")
