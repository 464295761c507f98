"""When to stop asking: 43 models answer in turn until the leading answer is likely to stay."""

from __future__ import annotations

import numpy as np

from ensemble_lab.answers.committees.stopping import needed_votes
from ensemble_lab.explorers.answers.stopping_replay import (
    ALL,
    BINS,
    MODELS,
    ORDERS,
    RANDOM,
    STRONGEST,
    TEN,
    THRESHOLDS,
    TIMES,
    WEAKEST,
    Stopping,
    stopping,
)
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, ORACLE, SMALL

SHOWN, MOST_VOTES = 14, 47  # votes for the next and the leading answer, on the panel of the rule

TASKS = (
    Task("Ask fewer than five of 43 on average, and give the answer of all on 99 in 100 items",
         lambda state, picture: state["models"] == ALL and _here(state)[0] < 5
         and _same(state) >= 0.99),
    Task("Find models whose vote is 10 points better than the best of them",
         lambda state, picture: _here(state)[1] > _here(state)[2] + 0.1),
    Task("Make asking more models worse: let the line turn down by a point",
         lambda state, picture: _fall(state) > 0.01),
    Task("Start with the weakest: who has to be asked now?",
         lambda state, picture: state["order"] == WEAKEST),
)  # fmt: skip


def explorer() -> Explorer:
    """Adaptive consistency on GSM8K: 1,319 questions and 43 models that answered all of them.

    References
    ----------
    Aggarwal, Madaan, Yang and Mausam, Let's Sample Step by Step, EMNLP 2023.
    Chen et al., Are More LLM Calls All You Need?, NeurIPS 2024.
    """
    return Explorer(
        name="stopping",
        controls=(
            steps("threshold", "threshold", THRESHOLDS, 0.95,
                  "The chance that the leading answer is the more frequent one, at which asking"
                  " stops. 1 asks everybody."),
            choice("models", "models", MODELS, ALL, "Of 43 models, by their accuracy."),
            choice("order", "order", ORDERS, RANDOM,
                   "Who is asked first. At random: the mean of 20 orders."),
            steps("times", "hard items, times", TIMES, 1,
                  "An item is hard where the vote of all is wrong. It counts so many times."),
        ),
        compute=stopping,
        draw=draw,
        tasks=TASKS,
        presets={
            "43 models": {},
            "ten weakest": {"models": TEN},
            "quick": {"threshold": 0.85},
            "the best one alone": Failing(order=STRONGEST),
            "hard items": Failing(times=10),
        },
        sequence="threshold",
    )  # fmt: skip


def _here(state: State) -> tuple[float, float, float]:
    """Members asked, accuracy, and that of the best single member, at this setting."""
    found = stopping(state["models"], state["order"])
    at, weight = THRESHOLDS.index(state["threshold"]), found.mix(state["times"])
    best = float((weight @ found.each).max())
    return float((found.asked[at] @ weight).mean()), float((found.right[at] @ weight).mean()), best


def _same(state: State) -> float:
    """The share of items with the answer of all."""
    found = stopping(state["models"], state["order"])
    return float(found.same[THRESHOLDS.index(state["threshold"])].mean())


def _fall(state: State) -> float:
    """How far the plain vote of all lies below that of the best number."""
    found = stopping(state["models"], state["order"])
    line = (found.plain @ found.mix(state["times"])).mean(axis=1)
    return float(line.max() - line[-1])


# -- the picture --------------------------------------------------------------------------------


def draw(found: Stopping, state: State) -> Picture:
    """Accuracy by members asked, whom is asked about which items, and the rule in whole numbers."""
    at, members = THRESHOLDS.index(state["threshold"]), found.each.shape[1]
    weight = found.mix(state["times"])
    right = found.right @ weight  # (t, o)
    low = min((found.plain @ weight).mean(axis=1).min(), right.mean(axis=1).min(), right[at].min())
    high = max(right.max(), (weight @ found.each).max())
    low, high = np.floor(20 * low) / 20, np.ceil(20 * high) / 20
    panels = mosaic(
        "curve difficulty rule",
        widths=(12, 7, 6),
        curve=Axes(log_axis("models asked, on average", [1, 2, 3, 5, 10, 20, 43]),
                   shares("", low, high), "Right", 44, 92),
        difficulty=Axes(shares("models that are right", -0.1, 1.04),
                        axis("", 0, 1.12 * members), "Asked, by item", 34, 12),
        rule=Axes(axis("votes for the next answer", -0.5, SHOWN + 0.5),
                  axis("", 0, MOST_VOTES), "Enough votes", 34, 12),
    )  # fmt: skip
    marks = [
        *curve(panels.curve, found, state, at),
        *difficulty(panels.difficulty, found, at),
        *rule(panels.rule, state["threshold"], members),
    ]
    told = finding(found, state, at)
    return panels.picture(marks, told, lambda: table(found, state), also(found, state, at))


def curve(panel: Panel, found: Stopping, state: State, at: int) -> list[Mark]:
    """A fixed number of members beside every threshold, the best member, and K*."""
    weight = found.mix(state["times"])
    asked, right = (found.asked @ weight).mean(axis=1), found.right @ weight
    best, number = float((weight @ found.each).max()), found.best_number(state["times"])
    ends = tuple(np.quantile(right[at], [0.025, 0.975]).tolist())
    number = number if number <= found.each.shape[1] else np.nan
    bottom, top = panel.axes.y["range"]
    return [
        panel.rule(best, BIG, "best single model", label="best single"),
        panel.points([1], [best], BIG, "best single model, one call", size=11, key=False),
        panel.curve(found.numbers, (found.plain @ weight).mean(axis=1), SMALL, "a fixed number",
                    label="fixed number"),
        panel.curve(asked, right.mean(axis=1), COMBINED, "every threshold", width=4,
                    label="adaptive"),
        panel.curve([number, number], [bottom, top], ORACLE, "K* of the formula", width=1,
                    label=""),
        panel.label(number, bottom + 0.02 * (top - bottom), "K*", ORACLE),
        panel.here(asked[at], right[at].mean(), COMBINED, ends=ends),
    ]  # fmt: skip


def difficulty(panel: Panel, found: Stopping, at: int) -> list[Mark]:
    """Members asked on average, by the share of all members that are right."""
    asked, _ = found.by_difficulty(at)
    middle, wide = (BINS[1:] + BINS[:-1]) / 2, 0.9 * (BINS[1] - BINS[0])
    return [
        panel.bars(middle, asked, COMBINED, "asked", key=False, width=wide),
        panel.rule(found.each.shape[1], ORACLE, "all models", label=""),
        panel.label(0.0, found.each.shape[1], "all models", ORACLE),
    ]


def rule(panel: Panel, threshold: float, members: int) -> list[Mark]:
    """The least votes that are enough, and the votes that there are at most."""
    next_, need = np.arange(SHOWN + 1), needed_votes(threshold, max(members, 2 * SHOWN))
    votes = need[: SHOWN + 1].astype(float)
    votes[votes + next_ > members] = np.nan
    left = members - next_.astype(float)
    left[left < next_] = np.nan
    return [
        panel.curve(next_, left, ORACLE, "all are asked", label=""),
        panel.label(0.0, members, "none is left", ORACLE),
        panel.curve(next_, votes, COMBINED, "enough", width=1, label=""),
        panel.points(next_, votes, COMBINED, "least votes", size=8, key=False),
    ]


# -- in words -----------------------------------------------------------------------------------


def finding(found: Stopping, state: State, at: int) -> str:
    """How many are asked and what that gives, beside all of them and the best one."""
    weight, members = found.mix(state["times"]), found.each.shape[1]
    asked, right, best = _here(state)
    of_all = float((found.plain[-1] @ weight).mean())
    told = f"{asked:.1f} of {members} models asked on average: {right:.1%} right, all {members}"
    told += f" {of_all:.1%}, the best one alone {best:.1%} for one call"
    line = (found.plain @ weight).mean(axis=1)
    top = int(line.argmax())
    if found.numbers[top] < members and line[top] > of_all + 0.01:
        return (
            f"{told}\n{weight[found.hard].sum():.0%} hard items: a fixed number is best at"
            f" {found.numbers[top]} with {line[top]:.1%}; more calls make it worse"
        )
    hard, easy = (found.asked[at].mean(axis=0)[which].mean() for which in _split(found))
    return (
        f"{told}\nThe answer of all on {_share(found.same[at].mean())} of the items;"
        f" {easy:.1f} asked where all are right, {hard:.1f} where most are wrong"
    )


def _split(found: Stopping) -> tuple[np.ndarray, np.ndarray]:
    """(n,) items on which most members are wrong, and those on which all are right."""
    share = found.each.mean(axis=1)
    return share < 0.5, share == 1


def _share(share: float) -> str:
    """A percentage; a share below 1 is never rounded to 100 %."""
    return f"{share:.1%}" if share == 1 or share < 0.9995 else "over 99.9%"


def also(found: Stopping, state: State, at: int) -> str:
    """What the words say beyond the finding."""
    hard, easy_right, hard_right = found.formula(state["times"])
    number, right = found.best_number(state["times"]), found.right[at] @ found.mix(state["times"])
    told = f"{number:.0f} calls" if np.isfinite(number) else "that more are always better"
    ends = np.quantile(right, [0.025, 0.975])
    spread = f"95% of the orders give {ends[0]:.1%} to {ends[1]:.1%}. " if len(right) > 1 else ""
    return (
        f"{spread}{hard:.1%} of this mix are hard items; a model is right on {easy_right:.1%} of"
        f" the easy and {hard_right:.1%} of the hard ones. For two kinds of items with two answers"
        f" each the formula says {told}; real items are of more than two kinds. The best single"
        " model is known in hindsight. Four equal answers in a row are enough at 0.95."
    )


def table(found: Stopping, state: State):
    """Every threshold: members asked, accuracy with the spread over orders, same answer as all."""
    weight = found.mix(state["times"])
    right = found.right @ weight
    columns = {
        "models asked": (found.asked @ weight).mean(axis=1),
        "right": right.mean(axis=1),
        "right, 2.5% of orders": np.quantile(right, 0.025, axis=1),
        "right, 97.5% of orders": np.quantile(right, 0.975, axis=1),
        "answer of all": found.same.mean(axis=(1, 2)),
    }
    return table_of(columns, THRESHOLDS, "threshold")
