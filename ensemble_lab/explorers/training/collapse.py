"""Collapse: which words are lost where texts are written again and again, and how soon."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.collapse_replay import (
    CHAINS,
    GENERATIONS,
    RARE,
    RULES,
    SIZES,
    WORDS,
    Collapse,
    collapse,
)
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE

REPLACED, _, ACCUMULATED = RULES

TASKS = (
    Task("Find a generation in which half of the rare words are gone, but nearly all diversity is"
         " left.",
         lambda state, picture: _left(state)[1] < 0.5 and _left(state)[0] > 0.95),
    Task("Let one chain alone mislead you: its diversity far from what is expected.",
         lambda state, picture: state["chains"] == 1 and misled(state)),
    Task("Stop the collapse without a single new real word.",
         lambda state, picture: state["rule"] == ACCUMULATED and state["generation"] >= 20),
)  # fmt: skip


def _left(state: State) -> tuple[float, float]:
    """The shares of diversity and of rare words that are expected to be left."""
    found = collapse(state["size"], state["rule"], state["chains"])
    return tuple(float(one[state["generation"]]) for one in found.left)


def misled(state: State) -> bool:
    """Whether the diversity in the chains is a twentieth of the real one off what is expected."""
    found, n = collapse(state["size"], state["rule"], state["chains"]), state["generation"]
    return bool(abs(found.seen[0][:, n].mean() - found.left[0][n]) > 0.05)


def explorer() -> Explorer:
    """Texts of fifty words, each drawn by the shares of words in the text before it.

    The lines are exact expectations, the dots are chains that were drawn.

    References
    ----------
    Shumailov et al., AI models collapse when trained on recursively generated data, Nature 2024.
    Gerstgrasser et al., Is model collapse inevitable?, COLM 2024.
    """
    return Explorer(
        name="collapse",
        controls=(
            steps("generation", "generation", range(GENERATIONS + 1), 3,
                  "0 is the real text; each model learns what the one before it wrote."),
            steps("size", "words in a text", SIZES, 400,
                  "How much each generation writes."),
            choice("rule", "old texts are", tuple(RULES), REPLACED,
                   "Replaced by the new one; replaced but for 10 % of real words, drawn anew; or"
                   " kept beside it."),
            choice("chains", "chains", CHAINS, CHAINS[-1],
                   "How many independent chains the dots are the mean of."),
        ),
        compute=collapse,
        draw=draw,
        tasks=TASKS,
        presets={
            "replaced": {"generation": 10},
            "short texts": {"size": 50, "generation": 10},
            "10 % real": {"rule": "10 % real", "generation": 30},
            "accumulated": Failing(rule=ACCUMULATED, generation=GENERATIONS),
            "one chain": Failing(chains=1, size=50, generation=20),
        },
        sequence="generation",
        opens={"generation": 20},
    )  # fmt: skip


def draw(found: Collapse, state: State) -> Picture:
    """What is left of diversity and rare words by generation, and of every word at this one."""
    n = state["generation"]
    panels = mosaic(
        "time words",
        widths=(10, 9),
        time=Axes(axis("generation", -1, GENERATIONS), shares("", 0, 1.03), "Left", 44, 104),
        words=Axes(axis("words, from the commonest to the rarest", 0.5, WORDS + 0.5),
                   shares("", 0, 1.03), "Chance to be left", 44, 12),
    )  # fmt: skip
    marks = panels.marks(found, n, time=time, words=words)
    return panels.picture(marks, finding(found, state), lambda: table(found), also(found, state))


def time(panel: Panel, found: Collapse, n: int) -> list[Mark]:
    """What is expected and what the chains did over generations, and where the reader stands."""
    generations = np.arange(GENERATIONS + 1)
    (diversity, rare), (seen, there) = found.left, found.seen
    runs = len(seen)
    spread = 1.96 * seen.std(0, ddof=1) / np.sqrt(runs) if runs > 1 else np.zeros(len(rare))
    bars = {"type": "data", "array": spread.tolist(), "color": COMBINED, "thickness": 1, "width": 0}
    return [
        panel.curve(generations, diversity, COMBINED, "diversity expected", label="diversity"),
        panel.curve(generations, rare, BIG, "rare words expected", label="rare words"),
        panel.points(generations, seen, COMBINED, "diversity in chains", size=5, key=False,
                     error_y=bars),
        panel.points(generations, there, BIG, "rare words in chains", size=5, key=False),
        panel.rule(0.5, ORACLE, "half", label="half", width=1),
        panel.upright(n),
        panel.points([n, n], [diversity[n], rare[n]], INK, "this generation", size=13, key=False),
    ]  # fmt: skip


def words(panel: Panel, found: Collapse, n: int) -> list[Mark]:
    """Every word's chance to be there at this generation, and the share of chains that have it."""
    ranks = np.arange(1, WORDS + 1)
    alive = found.chains.alive[n]
    return [
        panel.curve(ranks, found.expected.alive[n], INK, "expected", label=""),
        panel.points(ranks[: RARE.start], alive[: RARE.start], COMBINED, "frequent", size=7),
        panel.points(ranks[RARE], alive[RARE], BIG, "rare", size=7),
    ]


# -- in words -----------------------------------------------------------------------------------


def finding(found: Collapse, state: State) -> str:
    """What is left of rare words and diversity, expected and in the chains."""
    n, runs = state["generation"], state["chains"]
    (diversity, rare), (seen, there) = found.left, found.seen
    half = f"from generation {found.half} on" if found.half else f"in none of {GENERATIONS}"
    chains = f"In {runs} chains" if runs > 1 else "In this one chain"
    return (
        f"Generation {n}: {rare[n]:.0%} of the rare words should be left, and"
        f" {diversity[n]:.1%} of the diversity\n{chains} {there[n]:.0%} and"
        f" {seen[:, n].mean():.1%}. More than half of the rare words are gone {half}"
    )


def also(found: Collapse, state: State) -> str:
    """What the words say beyond the finding."""
    n, rarest = state["generation"], found.expected.alive[state["generation"], -1]
    return (
        "Lines are exact expectations, dots means of the chains. Diversity is the chance that two"
        f" words of a text differ; the rare words are the rarer half of {WORDS}. The rarest of all"
        f" is there at generation {n} with a chance of {rarest:.0%}."
    )


def table(found: Collapse):
    """Diversity and rare words of every generation, expected and in the chains."""
    import pandas as pd

    (diversity, rare), (seen, there) = found.left, found.seen
    return pd.DataFrame({
        "generation": np.arange(GENERATIONS + 1),
        "diversity left, expected": diversity,
        "diversity left, chains": seen.mean(0),
        "rare words left, expected": rare,
        "rare words left, chains": there,
    }).set_index("generation")  # fmt: skip
