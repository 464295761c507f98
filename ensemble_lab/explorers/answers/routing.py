"""Routing: which questions go to another model, decided before any model has answered."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from ensemble_lab.answers.routing.router import ScoreRouter
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.explorers.answers.routing_replay import (
    FIRST,
    GAP,
    GROUP,
    LENGTH,
    NEAREST,
    RANDOM,
    ROUTERS,
    SHARES,
    TASKS,
    Pool,
    Routed,
    lacks,
    placed,
    recorded,
    replay,
)
from ensemble_lab.instruments import metrics
from ensemble_lab.widgets.axes import FRAMED, Axes, axis, rows_of, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, CLASSES, COMBINED, INK, ORACLE, SMALL, WRONG, marker

MMLU, GSM8K, PRO, FACES, REVIEWS = TASKS
SHORT, LONG = 14, 20  # characters of a name in the picture, and in the finding
SAID = {RANDOM: "Random order", LENGTH: "Longest questions", GROUP: "By group",
        NEAREST: "By nearest questions", GAP: "By predicted gap",
        FIRST: "By the first answer"}  # fmt: skip
BAND = "rgba(102, 102, 102, 0.25)"
# Of the second and third model that questions are sent to, and of all others.
FURTHER = (
    {"symbol": "triangle-up", "color": CLASSES[0]},
    {"symbol": "diamond", "color": CLASSES[1]},
    {"symbol": "triangle-left", "color": ORACLE},
)
TELLING = 2  # standard deviations: an APGR that is less far from 0.5 may be chance
SLOTS = ("stays", "sent to the first", "sent to the second", "sent to the third", "sent elsewhere")


def explorer(outcomes: Outcomes | None = None, policy: ScoreRouter | None = None) -> Explorer:
    """Accuracy by the share of the questions that a router sends to another model.

    Routers are fitted on one half of the questions and shown on the other half.

    Parameters
    ----------
    outcomes : Outcomes, optional
        Two models or more, with what is known of each question before it is answered. By default
        five recorded tasks; on one of them no router pays.
    policy : ScoreRouter, optional
        A router of the reader's own, beside the others.

    Raises
    ------
    ValueError
        One model, too few questions that all models answered, nothing that a router could read, or
        a router that does not fit these outcomes.

    References
    ----------
    Ong et al., RouteLLM, arXiv 2406.18665; Chen, Zaharia and Zou, FrugalML, NeurIPS 2020.
    """
    own = None if policy is None else f"your {type(policy).__name__}"
    if outcomes is None and own is None:
        task, routers, found = list(TASKS), ROUTERS, recorded_replay
        presets, tasks = PRESETS, TRY
    else:
        task, presets, tasks = ["these questions"], {}, ()
        pool = Pool.of(outcomes) if outcomes is not None else recorded(MMLU)
        routers = tuple(name for name in ROUTERS if not lacks(name, pool))
        routers = routers if own is None else (own, *routers)
        if routers == (RANDOM,):
            raise ValueError(
                "nothing here is known of a question before a model answers, so every router is a"
                " random order; add feature:NAME columns or a group"
            )
        found = cache(lambda task, router: replay(pool, router, policy if router == own else None))
        found(task[0], routers[0])  # what does not fit is refused here
    usual = GROUP if GROUP in routers else routers[-1]
    return Explorer(
        name="routing",
        controls=(
            steps("share", "sent to another model (%)", SHARES, 30,
                  "Those questions first on which the router expects to gain most."),
            choice("router", "router", routers, own or usual,
                   "By what it knows of a question before a model answers."),
            choice("task", "questions", task, help="Which questions, and which models."),
        ),
        compute=found,
        draw=draw,
        presets=presets,
        tasks=tasks,
    )  # fmt: skip


@cache
def recorded_replay(task: str, router: str) -> Routed:
    """A router on one of the recorded tasks."""
    return replay(recorded(task), router)


PRESETS = {
    "subjects, two models": {},
    "longest questions": {"task": GSM8K, "router": LENGTH},
    "seven models": {"task": PRO},
    "faces": {"task": FACES, "router": FIRST},
    "film reviews": Failing(task=REVIEWS, router=FIRST, share=10),
}


def _of(state: State) -> Routed:
    return recorded_replay(state["task"], state["router"])


def _enough(state: State, part: float = 0.8) -> bool:
    """Whether this is the smallest share with which the gap is recovered to that part."""
    if state["task"] != MMLU or state["router"] != GROUP:
        return False
    return int(np.argmax(recovered(_of(state)) >= part)) == state["share"]


TRY = (
    Task("By group: find the smallest share that keeps 80% of GPT-4's lead",
         lambda state, picture: _enough(state)),
    Task("Find a router whose APGR may be chance",
         lambda state, picture: abs(above_chance(_of(state))) < TELLING),
    Task("Find questions on which no choice of a router gains, and an oracle gains 8 points",
         lambda state, picture: state["router"] == FIRST and _of(state).points[0] < 0.05
         and oracle_gain(_of(state)) > 8),
)  # fmt: skip


# -- the picture --------------------------------------------------------------------------------


def draw(found: Routed, state: State) -> Picture:
    """Accuracy by the share sent, the questions by the model asked, and who is asked how often."""
    share, place = state["share"], placed(found.pool)
    right = found.pool.shown.accuracy()
    every = [found.accuracy, found.oracle, found.low, found.high, right[_shown_alone(found)]]
    low, high = (float(end(np.concatenate(every))) for end in (np.min, np.max))
    room = max(0.06 * (high - low), 0.005)
    strong = f"sent to {_name(found, _strong(found))}" if found.pool.leads else "sent elsewhere"
    bare = {"showticklabels": False, "tickvals": []}
    named_rows = {"tickvals": list(range(len(place.labels))),
                  "ticktext": [named(label, 10) for label in place.labels]}  # fmt: skip
    panels = mosaic(
        "curve map / curve calls",
        widths=(11, 9),
        heights=(5, 2),
        height=460,
        curve=Axes(axis(f"{strong} (% of the questions)", -2, 102),
                   shares("", low - room, high + room), "Right, of all questions", 48, 124),
        map=Axes(axis(named(place.across, 40), *_ends(place.x), **FRAMED, **bare),
                 axis(named(place.up, 24), *_ends(place.y), **FRAMED,
                      **(named_rows if place.labels else bare)),
                 f"{len(place.rows)} questions, by the model asked", 84 if place.labels else 24),
        calls=Axes(shares("", -0.04, 1.04, zeroline=False),
                   rows_of([""] * len(SLOTS), showticklabels=False), "Who is asked how often", 24),
    )  # fmt: skip
    marks = panels.marks(found, share, curve=curves, map=questions, calls=calls)
    said = finding(found, state)
    return panels.picture(marks, said, lambda: table(found), also(found, share))


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def curves(panel: Panel, found: Routed, share: int) -> list[Mark]:
    """The router between the random orders and the oracle, and the reader's place."""
    usual, strong = found.pool.usual, _strong(found)
    right, leads = found.pool.shown.accuracy(), found.pool.leads
    y = float(found.accuracy[share])
    loses = y < (found.low[share] if leads else right[usual]) - 1e-9
    own = [] if leads or np.isnan(found.own) else [100 * found.own]
    chosen = [float(np.interp(100 * found.own, SHARES, found.accuracy))][: len(own)]
    around = np.r_[SHARES, SHARES[::-1]], np.r_[found.low, found.high[::-1]]
    band = panel.curve(*around, ORACLE, "random orders", width=1, label="", fill="toself",
                       fillcolor=BAND, line={"dash": "1px,2px"}, hoverinfo="skip")  # fmt: skip
    oracle = panel.curve(SHARES, found.oracle, ORACLE, "oracle")
    alone = f"{_name(found, usual)} alone", f"{_name(found, strong)} alone"
    chose = panel.points(own, chosen, INK, "its own choice", key=False, label="its own choice")
    clear = {"yshift": 14, "bgcolor": "#FFFFFF"}  # of the reader's place
    return [
        replace(band, said="95% of random orders", symbol="square"),
        replace(oracle, at=(60, found.oracle[60])),
        panel.upright(share),
        panel.rule(right[usual], SMALL if leads else BIG, "usual model alone", label=alone[0]),
        panel.rule(right[strong] if leads else np.nan, BIG if leads else SMALL,
                   "strong model alone", label=alone[1]),
        panel.curve(SHARES, found.accuracy, COMBINED, "router", width=4),
        replace(chose, look=clear),
        panel.here(share, y, WRONG if loses else COMBINED, "you are here", size=16,
                   ends=found.ends(share)),
    ]  # fmt: skip


def questions(panel: Panel, found: Routed, share: int) -> list[Mark]:
    """The questions of the map, each as the model that answers it at this share."""
    place = placed(found.pool)
    slot = _slots(found)[found.asked(share)[place.rows]]
    return [
        panel.points(place.x[slot == at], place.y[slot == at], look["color"], name, size=7,
                     key=False, look=look, hoverinfo="skip")
        for at, (name, look) in enumerate(zip(SLOTS, _looks(found), strict=True))
    ]  # fmt: skip


def calls(panel: Panel, found: Routed, share: int) -> list[Mark]:
    """One row a model, as it is drawn on the map, at its share of the questions."""
    slots, looks = _slots(found), _looks(found)
    part = np.bincount(slots[found.asked(share)], minlength=len(SLOTS)) / len(found.order)
    marks = []
    for at, (slot, look) in enumerate(zip(SLOTS, looks, strict=True)):
        who = np.flatnonzero(slots == at)
        x, y = ([part[at]], [at]) if len(who) else ([], [])
        name = _name(found, who[0]) if len(who) == 1 else f"{len(who)} others"
        words = f"{name} {part[at]:.0%}"
        mark = panel.points(x, y, look["color"], f"{slot}, share", size=11, look=look, label=words,
                            key=False, hoverinfo="skip")  # fmt: skip
        marks.append(replace(mark, look={"yanchor": "middle", "yshift": 0}))
    return marks


def _slots(found: Routed) -> np.ndarray:
    """The slot (m,) of each model: the usual one, three by how many are sent there, the rest."""
    m = len(found.pool.shown.models)
    often = np.bincount(found.other, minlength=m).astype(float)
    often[found.pool.usual] = np.inf
    slots = np.empty(m, int)
    slots[np.argsort(-often, kind="stable")] = np.minimum(np.arange(m), len(SLOTS) - 1)
    return slots


def _looks(found: Routed) -> tuple[dict, ...]:
    """How each slot is drawn: of two models the small and the big one, else the best first."""
    first = (SMALL, BIG) if found.pool.leads else (BIG, SMALL)
    return (*map(marker, first), *({**look, "line": {"width": 0}} for look in FURTHER))


def _strong(found: Routed) -> int:
    """The model that most questions would be sent to."""
    return int(np.argmax(_slots(found) == 1))


def _shown_alone(found: Routed) -> list[int]:
    return [found.pool.usual, _strong(found)] if found.pool.leads else [found.pool.usual]


def _name(found: Routed, column: int, most: int = SHORT) -> str:
    return named(found.pool.shown.models[column], most)


# -- in words -----------------------------------------------------------------------------------


def recovered(found: Routed) -> np.ndarray:
    """PGR (101,); NaN where questions are not sent to a better model."""
    right = found.pool.shown.accuracy()
    if np.isnan(found.apgr):
        return np.full(len(SHARES), np.nan)
    return metrics.pgr(found.accuracy, *right[[found.pool.usual, _strong(found)]].tolist())


def above_chance(found: Routed) -> float:
    """How many standard deviations the APGR is above that of a random order."""
    return (found.apgr - 0.5) / found.floor


def oracle_gain(found: Routed) -> float:
    """Points that the oracle gains on the usual model."""
    shown = found.pool.shown
    return 100 * float(shown.oracle() - shown.accuracy()[found.pool.usual])


def finding(found: Routed, state: State) -> str:
    """How right at this share, beside a random order; then the router as a whole."""
    share, usual = state["share"], found.pool.usual
    y, low, high = (float(values[share]) for values in (found.accuracy, found.low, found.high))
    said = SAID.get(state["router"], named(state["router"], LONG))
    if found.lacking:
        said = f"No {found.lacking} is known here: a random order"
    leads = not np.isnan(found.apgr)
    where = f"to {_name(found, _strong(found))}" if found.pool.leads else "sent elsewhere"
    if leads:
        worth = f", {recovered(found)[share]:.0%} of the gap"
    else:
        worth = f" ({_signed(100 * (y - found.pool.shown.accuracy()[usual]))} points)"
    first = f"{said}, {share}% {where}: {y:.1%} right{worth}; at random {low:.1%} to {high:.1%}"
    return f"{first}\n{_verdict(found)}"


def _verdict(found: Routed) -> str:
    usual = _name(found, found.pool.usual, LONG)
    if not np.isnan(found.apgr):
        far = above_chance(found)
        order = f"a random order (0.5 ± {found.floor:.3f})"
        told = f"{abs(far):.1f} standard deviations {'above' if far > 0 else 'below'} {order}"
        if abs(far) < TELLING:
            told = f"not told from {order}"
        return f"APGR {found.apgr:.3f}, {told}; the oracle has {found.best_apgr:.3f}"
    if found.pool.leads:
        return f"On this half {_name(found, _strong(found), LONG)} is not better than {usual}"
    oracle = f"the oracle gains {oracle_gain(found):.1f}"
    if np.isnan(found.own):
        return f"A random order has no choice of its own; {oracle} points on {usual}"
    gained, low, high = map(_signed, found.points)
    return (
        f"Its own choice sends {found.own:.0%} and gains {gained} points ({low} to {high}) on"
        f" {usual}; {oracle}"
    )


def _signed(points: float) -> str:
    """With its sign; what rounds to zero is not negative."""
    return f"{points if abs(points) >= 0.05 else 0.0:+.1f}"


def also(found: Routed, share: int) -> str:
    """What the words say beyond the finding."""
    pool = found.pool
    part = np.bincount(found.asked(share), minlength=len(pool.shown.models)) / len(found.order)
    asked = ", ".join(f"{named(pool.shown.models[j])} {part[j]:.0%}" for j in np.argsort(-part)[:5])
    cost = "" if found.cost is None else f" for {found.cost[share]:.3g} USD per 10,000 questions"
    other = pool.table.best_single(0.0)
    beyond = "" if other.model in pool.shown.models else (
        f" The table also has {named(other.model)}, which alone is right on {other.accuracy:.1%}."
    )  # fmt: skip
    return (
        f"Answered by {asked}{cost}. Fitted on {len(pool.fit):,} questions, shown on"
        f" {len(pool.shown):,} others, {len(placed(pool).rows)} of them on the map.{beyond}"
    )


def table(found: Routed):
    """One row a share: accuracy, random orders, oracle, and price where it is known."""
    usual = found.pool.shown.accuracy()[found.pool.usual]
    columns = {
        "right": found.accuracy,
        "random, low": found.low,
        "random, high": found.high,
        "oracle": found.oracle,
        "points": 100 * (found.accuracy - usual),
        "gap recovered": recovered(found),
    }
    if found.cost is not None:
        columns["USD per 10,000"] = found.cost
    return table_of(columns, SHARES, "sent (%)")
