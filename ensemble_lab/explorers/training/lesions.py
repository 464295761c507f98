"""Lesions: what SmolLM2 loses with one of its blocks, and with two."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ensemble_lab.explorers.training.lesions_replay import BLOCKS, TEXTS, Lesioned, lesioned
from ensemble_lab.widgets.axes import Axes, axis, log_axis, rows_of
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, marker

TICKS = (0.05, 0.1, 0.3, 1, 3, 12)  # nats a token; less is drawn at the first
WORST, MOST = 6, 40  # tokens in sight; nats that one may cost
LOST = 0.5  # nats a token; more is ruin
SIGNS = {"\n": "↵", " ": "␣"}


def cost(state: State) -> float:
    """What is lost without the blocks of a state, in nats a token."""
    return float(lesioned(state["text"]).extra[state["first"], state["second"]])


def beyond(state: State) -> float:
    """By how much two blocks cost more together than one by one; 0 for one block."""
    if state["first"] == state["second"]:
        return 0.0
    return cost(state) - float(lesioned(state["text"]).sums[state["first"], state["second"]])


TASKS = (
    Task("Remove two blocks that cost less than 0.2 nats a token together.",
         lambda state, picture: state["first"] != state["second"] and cost(state) < 0.2),
    Task("Find two blocks that cost a whole nat more together than one by one.",
         lambda state, picture: beyond(state) > 1),
)  # fmt: skip


def explorer() -> Explorer:
    """SmolLM2 without one or two of its 30 blocks, recorded on short texts.

    References
    ----------
    Veit, Wilber and Belongie, Residual networks behave like ensembles of relatively shallow
    networks, NeurIPS 2016.
    """
    return Explorer(
        name="lesions",
        controls=(
            steps("first", "remove block", range(BLOCKS), 14,
                  "Blocks are numbered from 0, next to the embedding, to 29."),
            steps("second", "and block", range(BLOCKS), 14,
                  "The same number removes one block alone."),
            choice("text", "text", TEXTS, TEXTS[0],
                   "64 tokens whose loss was recorded."),
        ),
        compute=lesioned,
        draw=draw,
        tasks=TASKS,
        presets={
            "one in the middle": {},
            "two neighbours": {"first": 18, "second": 19},
            "two far apart": {"first": 14, "second": 22},
            "the first block": Failing(first=0, second=0),
            "blocks 1 and 2": Failing(first=1, second=2),
            "the last two": Failing(first=28, second=29),
        },
        along="first",
        card=card,
        items=tuple(range(1, len(lesioned(TEXTS[0]).tokens) + 1)),
    )  # fmt: skip


def draw(found: Lesioned, state: State) -> Picture:
    """What each block costs, what each costs with the first one, and the tokens that suffer."""
    who = state["first"], state["second"]
    worst = suffering(found, *who)
    block = axis("block", -0.7, BLOCKS - 0.3, tickvals=list(range(0, BLOCKS, 5)))
    nats = log_axis("nats a token", TICKS, ticktext=["≤ 0.05", *map(str, TICKS[1:])])
    panels = mosaic(
        "alone alone / pair tokens",
        widths=(12, 8),
        heights=(10, 11),
        alone=Axes(block, nats, "Cost of one block", 70),
        pair=Axes(block, nats, f"Block {who[0]} and another", 70),
        tokens=Axes(
            axis("nats", 0, MOST),
            rows_of([shown_token(found.tokens[i]) for i in worst]),
            "Suffer most",
            78,
        ),
    )
    marks = panels.marks(found, *who, worst, alone=alone, pair=pair, tokens=tokens)
    told = finding(found, *who), lambda: table(found, *who), also(found, *who, worst)
    return panels.picture(marks, *told)


def shown_token(token: str) -> str:
    """A token with its spaces and ends of lines in sight."""
    return "".join(SIGNS.get(letter, letter) for letter in token)


def suffering(found: Lesioned, first: int, second: int) -> np.ndarray:
    """The places of the tokens whose loss grows the most, the worst first."""
    more = found.losses[first, second] - found.losses[-1, -1]
    return np.argsort(-more, kind="stable")[:WORST]


def alone(panel: Panel, found: Lesioned, first: int, second: int, worst) -> list[Mark]:
    """What is lost without each block by itself."""
    blocks, costs = np.arange(BLOCKS), at_least(found.single)
    square = marker(BIG) | {"symbol": "square-open", "line": {"width": 2, "color": BIG}}
    return [
        panel.curve(blocks, costs, SMALL, "each block", label=""),
        panel.points(blocks, costs, SMALL, "a block", size=7, key=False),
        panel.here(first, costs[first], INK, "first", size=17),
        panel.points([second], costs[[second]], BIG, "second", size=14, key=False, look=square),
    ]


def pair(panel: Panel, found: Lesioned, first: int, second: int, worst) -> list[Mark]:
    """What is lost without the first block and each other one, and the sum of each alone."""
    blocks = np.arange(BLOCKS)
    both, sums = at_least(found.extra[first, :-1]), at_least(found.sums[first])
    both[first] = sums[first] = np.nan
    now = at_least(found.extra[first, second])
    return [
        panel.curve(blocks, sums, ORACLE, "sum of each alone", label=""),
        panel.points(blocks, both, COMBINED, "both", size=8),
        panel.here(second, now, INK, "removed now", size=17),
    ]


def at_least(costs: np.ndarray) -> np.ndarray:
    """Costs that a logarithmic axis can show."""
    return np.maximum(costs, TICKS[0])


def tokens(panel: Panel, found: Lesioned, first: int, second: int, worst) -> list[Mark]:
    """The loss of the tokens that suffer most, without the blocks and with all."""
    rows = np.arange(WORST)
    return [
        panel.bars(found.losses[first, second, worst], rows, WRONG, "without", orientation="h",
                   width=0.55, key=False),
        panel.points(found.losses[-1, -1, worst], rows, ORACLE, "with all", size=10),
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(found: Lesioned, first: int, second: int) -> str:
    """What the removal costs, and for two blocks beside the sum of each alone."""
    cost = found.extra[first, second]
    said = f"{found.whole + cost:.2f} nats a token instead of {found.whole:.2f}"
    if first == second:
        place = int((found.single > cost).sum())
        return (f"Without block {first}: {said} ({cost:+.2f})\n{place} of the other"
                f" {BLOCKS - 1} blocks cost more, block {found.single.argmax()} the most:"
                f" {found.single.max():+.2f}")  # fmt: skip
    one, other = found.single[first], found.single[second]
    return (
        f"Without blocks {first} and {second}: {said} ({cost:+.2f})\nOne by one they"
        f" cost {one:+.2f} and {other:+.2f}, which would be {one + other:+.2f} together"
    )


def also(found: Lesioned, first: int, second: int, worst: np.ndarray) -> str:
    """What the words say beyond the finding."""
    told = ", ".join(
        f"'{shown_token(found.tokens[i])}' from {found.losses[-1, -1, i]:.1f} to"
        f" {found.losses[first, second, i]:.1f}" for i in worst[:3]
    )  # fmt: skip
    few = int((found.single < LOST).sum())
    return (
        f"The tokens that suffer most, in nats: {told}. {few} of {BLOCKS} blocks cost less than"
        f" {LOST} nats each."
    )


def table(found: Lesioned, first: int, second: int):
    """Every block: its cost alone, with the first one, and the sum of both."""
    columns = {
        "loss without it": found.whole + found.single,
        "costs alone": found.single,
        f"costs with block {first}": found.extra[first, :-1],
        "sum of each alone": np.where(np.arange(BLOCKS) == first, np.nan, found.sums[first]),
    }
    return table_of(columns, list(range(BLOCKS)), "block")


def card(state: State, item) -> pd.DataFrame:
    """A token's loss with all blocks, without each of the chosen ones, and without both."""
    found = lesioned(state["text"])
    at = row_of(np.arange(1, len(found.tokens) + 1), item)
    first, second = state["first"], state["second"]
    before = "".join(found.tokens[max(at - 8, 0) : at])
    rows = {
        "the token": shown_token(found.tokens[at]),
        "after": shown_token(before),
        "nats with all blocks": found.losses[-1, -1, at],
        f"nats without block {first}": found.losses[first, first, at],
        f"nats without block {second}": found.losses[second, second, at],
        "nats without both": found.losses[first, second, at],
    }
    return pd.DataFrame({"": rows})
