"""Ranking: what a small model's confidence must be worth before it pays to ask it first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, logit, ndtr, ndtri

from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

SHARES = np.linspace(0, 1, 101)
PRICES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
FURTHEST = 40.0  # standard deviations: no item is as far out
LOW, HIGH = -3.2, 5.8  # ends of the picture of the confidences
# Of what is kept, the fill and the dash: the lines of a panel differ by their dash.
KEPT = {SMALL: ("rgba(0, 114, 178, 0.35)", "solid"), WRONG: ("rgba(204, 121, 167, 0.6)", "dash")}


@dataclass(frozen=True, eq=False)
class Predicted:
    """What escalating the least sure items to the big model gives, for every share of them."""

    small: float  # how often it is right alone
    big: float
    apart: float  # standard deviations between the confidences of right and of wrong answers
    threshold: np.ndarray  # (101,), as far from the mean confidence of wrong answers
    accuracy: np.ndarray  # (101,), for 0, 1, … 100 % escalated
    enough: float  # the least share that makes it as right as the big model; 1 where only all does


def explorer() -> Explorer:
    """A cascade of two models, from how well the small one ranks its own answers.

    Nothing is recorded here: confidences of right and of wrong answers are two normal
    distributions, as far apart as the AUC says, and the models' errors are independent.

    References
    ----------
    Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic
    (ROC) curve, Radiology 143, 1982.
    """
    whole = [percent / 100 for percent in range(101)]
    return Explorer(
        name="ranking",
        controls=(
            steps("auc", "AUC of the confidence", whole[50:100], 0.8,
                  "How often a right answer has a higher confidence than a wrong one. 0.5: it says"
                  " nothing."),
            steps("share", "share escalated", whole, 0.5,
                  "The least sure of all items go to the big model."),
            steps("small", "small model right", whole[30:100], 0.6,
                  "How often the small model alone is right."),
            steps("big", "big model right", whole[50:], 0.9,
                  "How often the big model alone is right, on whatever items."),
            steps("price", "small model's price", PRICES, 0.1,
                  "As a share of the big model's. Every item pays it, escalated or not."),
        ),
        compute=predicted,
        draw=draw,
        presets={
            "good ranking": {"share": 0.76},
            "overshoots": {"auc": 0.97, "share": 0.54},
            "no ranking": Failing(auc=0.5),
            "right but vague": Failing(small=0.8, auc=0.6, share=0.7),
            "expensive first": Failing(price=0.5),
        },
        sequence="auc",
        tasks=(
            Task("Find an AUC at which it makes no difference which items are sent",
                 lambda state, picture: state["auc"] == 0.5),
            Task("Find a share at which the cascade is right more often than the big model alone",
                 lambda state, picture: _of(state).accuracy[round(100 * state["share"])]
                 > state["big"] + 0.001),
            Task("Find a small model that is right on 80% or more, and does not pay",
                 lambda state, picture: state["small"] >= 0.8 and not pays(_of(state), state)),
        ),
    )  # fmt: skip


def _of(state: State) -> Predicted:
    return predicted(state["auc"], state["small"], state["big"])


# -- the cascade --------------------------------------------------------------------------------


@lru_cache(64)
def predicted(auc: float, small: float, big: float) -> Predicted:
    """Accuracy and threshold for every share that is escalated."""
    apart = float(2**0.5 * ndtri(auc))  # two normals this far apart are ranked rightly so often
    threshold = _where(lambda t: small * ndtr(t - apart) + (1 - small) * ndtr(t) - SHARES)
    threshold[[0, -1]] = -np.inf, np.inf
    accuracy = small * ndtr(apart - threshold) + big * SHARES  # kept and right, or rescued
    return Predicted(small, big, apart, threshold, accuracy, _enough(small, big, apart))


def _enough(small: float, big: float, apart: float) -> float:
    """The least share escalated with which those kept are as often right as the big model."""
    if small >= big:
        return 0.0
    # The odds that a kept answer is right grow with the threshold, unless apart is 0.
    above = _where(lambda t: logit(small) + log_ndtr(apart - t) - log_ndtr(-t) - logit(big))
    return float(small * ndtr(above - apart) + (1 - small) * ndtr(above))


def _where(rises) -> np.ndarray:
    """Where a rising function of an array changes its sign, to the last digit."""
    low = np.full_like(rises(0.0), -FURTHEST)
    high = -low
    for _ in range(60):
        middle = (low + high) / 2
        below = rises(middle) < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high


# -- the picture --------------------------------------------------------------------------------


def draw(found: Predicted, state: State) -> Picture:
    """Accuracy over the share that is escalated, and the confidences with the threshold."""
    at = int(np.argmin(abs(SHARES - state["share"])))
    low = np.floor(10 * (found.accuracy.min() - 0.02)) / 10  # steps: it seldom jumps
    tall = 0.46 * max(found.small, 1 - found.small, 0.75)
    room = 1 - low
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False}
    panels = mosaic(
        "curve confidence",
        widths=(10, 9),
        curve=Axes(shares("escalated to the big model", -0.02, 1.02),
                   shares("", low - 0.04 * room, 1 + 0.03 * room), "Right, of all items", 44, 92),
        confidence=Axes(axis("the small model's confidence", LOW, HIGH, **bare),
                        axis("", -tall, tall, **{**bare, "zeroline": True}),
                        "Answers by confidence", 12),
    )  # fmt: skip
    marks = [*curve(panels.curve, found, state, at), *confidence(panels.confidence, found, at)]
    told = finding(found, state, at)
    return panels.picture(marks, told, lambda: table(found, state), also(found, at))


def curve(panel: Panel, found: Predicted, state: State, at: int) -> list[Mark]:
    """The cascade between its two ends, and where it is as right as the big model."""
    reached = np.nan if found.enough in (0.0, 1.0) else found.enough
    meets = panel.points([reached], [found.big], BIG, "as right as big", size=9, key=False)
    return [
        panel.rule(found.big, BIG, "big model alone", label="big alone"),
        panel.curve(SHARES, mixture(found), ORACLE, "sent at random", label="at random"),
        panel.curve(SHARES, found.accuracy, COMBINED, "least sure first", width=4),
        meets,
        panel.here(SHARES[at], found.accuracy[at], COMBINED if pays(found, state) else WRONG),
    ]


def confidence(panel: Panel, found: Predicted, at: int) -> list[Mark]:
    """Right answers above, wrong ones below, the kept ones right of the threshold filled."""
    line = float(np.clip(found.threshold[at], LOW, HIGH))
    top = panel.axes.y["range"][1]
    parts = parts_of(found, at)
    marks = []
    for name, meaning, y in (("right", SMALL, 0.91 * top), ("wrong", WRONG, -0.98 * top)):
        for sent, ends, x in (("escalated", (LOW, line), LOW), ("kept", (line, HIGH), HIGH)):
            across = np.linspace(*ends, 81)
            fill, dash = KEPT[meaning]
            kept = {"fill": "tozeroy", "fillcolor": fill, "line": {"dash": dash}}
            mark = panel.curve(across, density(found, name, across), meaning, f"{name}, {sent}",
                               hoverinfo="skip", **(kept if sent == "kept" else {}))  # fmt: skip
            said = f"{name}, {sent} {parts[f'{name}, {sent}']:.0%}"
            marks.append(replace(mark, said=said, at=(x, y)))
    cut = panel.curve([line, line], [-0.87 * top, 0.87 * top], INK, "threshold", label="")
    return [*marks, cut]


def density(found: Predicted, name: str, x: np.ndarray) -> np.ndarray:
    """Of right answers above 0, of wrong ones below; together they have an area of 1."""
    middle, part = (found.apart, found.small) if name == "right" else (0.0, found.small - 1)
    return part * np.exp(-((x - middle) ** 2) / 2) / (2 * np.pi) ** 0.5


def parts_of(found: Predicted, at: int) -> dict[str, float]:
    """Shares of all items: the small model's right and wrong answers, escalated and kept."""
    kept = found.accuracy[at] - found.big * SHARES[at]
    sent = found.small - kept
    return {
        "right, escalated": sent,
        "right, kept": kept,
        "wrong, escalated": SHARES[at] - sent,
        "wrong, kept": 1 - SHARES[at] - kept,
    }


def mixture(found: Predicted) -> np.ndarray:
    """Accuracy (101,) with the same shares escalated at random."""
    return found.small + (found.big - found.small) * SHARES


def pays(found: Predicted, state: State) -> bool:
    """Whether the cascade can be as right as the big model for less than its price."""
    return found.enough + state["price"] < 1


# -- in words -----------------------------------------------------------------------------------


def finding(found: Predicted, state: State, at: int) -> str:
    """What this share gives for what price, and which one is enough."""
    by = 100 * (found.accuracy[at] - mixture(found)[at])
    cost = SHARES[at] + state["price"]
    return (
        f"AUC {state['auc']:g}, {SHARES[at]:.0%} escalated: {found.accuracy[at]:.1%} right"
        f" ({by:+.1f} points on random) for {cost:.0%} of the price\n{_verdict(found, state)}"
    )


def _verdict(found: Predicted, state: State) -> str:
    cost = f"for {found.enough + state['price']:.0%} of its price"
    if found.small >= found.big:
        return f"The small model alone is as right as the big one, {cost}"
    if found.enough > 0.9995:
        return f"Never as right as the big model, except with everything escalated, {cost}"
    if pays(found, state):
        return f"As right as the big model from {found.enough:.0%} escalated on, {cost}"
    return f"As right as the big model only with {found.enough:.1%} escalated, {cost}"


def also(found: Predicted, at: int) -> str:
    """What the words say beyond the finding."""
    best = int(found.accuracy.argmax())
    told = ", ".join(f"{name} {part:.1%}" for name, part in parts_of(found, at).items())
    return (
        f"The small model alone is right on {found.small:.0%}, the big one on {found.big:.0%}. Most"
        f" right, {found.accuracy[best]:.1%}, with {SHARES[best]:.0%} escalated. The small model's"
        f" answers: {told}."
    )


def table(found: Predicted, state: State):
    """Every share: the threshold, what is right, and what it costs."""
    columns = {
        "threshold": found.threshold,
        "right": found.accuracy,
        "right at random": mixture(found),
        "share of the big model's price": SHARES + state["price"],
    }
    return table_of(columns, SHARES.round(2), "escalated")
