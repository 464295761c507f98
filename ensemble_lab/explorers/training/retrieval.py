"""Retrieval: two encoders learn to find the right half that belongs to a left half of a digit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ensemble_lab.explorers.training.retrieval_replay import (
    BATCHES,
    CANDIDATES,
    HELD_OUT,
    NEGATIVES,
    TEMPERATURES,
    Recorded,
    halves,
    mean_recall,
    recorded,
)
from ensemble_lab.widgets.axes import FRAMED, Axes, axis, log_axis, rows_of, shares
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import COMBINED, INK, ORACLE, SMALL, WRONG

SHADE = [[0, "#FFFFFF"], [0.5, "#6BAED6"], [1, "#08306B"]]
ROWS, BEST = 4, 4  # images on the map, and what is found for each
ANY, OTHERS, SAME = NEGATIVES
PARTNER, DIGIT, OTHER = "its own half", "the same digit", "another digit"


TASKS = (
    Task("Train with the negatives of the same digit, and find its own half among ten in half of"
         " the cases.",
         lambda state, picture: state["negatives"] == SAME and recall(state, 10) >= 0.5
         and state["candidates"] == 10),
    Task("Let four in five of what is found be of the same digit, among 100 candidates or more.",
         lambda state, picture: state["candidates"] >= 100
         and found_of(state).same(state["candidates"]).mean() >= 0.8),
    Task("Find a temperature that loses a quarter of the recall or more.",
         lambda state, picture: recall(state) < 0.75 * best_recall(state)),
)  # fmt: skip


def found_of(state: State) -> Recorded:
    """The recorded encoders of a state."""
    return recorded(state["negatives"], state["temperature"], state["batch"])


def recall(state: State, candidates: int | None = None) -> float:
    """The mean recall of a state."""
    setting = state["negatives"], state["temperature"], state["batch"]
    return mean_recall(*setting, candidates or state["candidates"])


def best_recall(state: State) -> float:
    """The recall at the best temperature."""
    return max(recall({**state, "temperature": one}) for one in TEMPERATURES)


def explorer() -> Explorer:
    """Five dual encoders for each setting, trained on halves of digits and recorded.

    The images are what the first encoder finds for four of 360 held-out left halves; the other
    panels are of all five and of all 360.

    References
    ----------
    van den Oord, Li and Vinyals, Representation learning with contrastive predictive coding, 2018.
    Chuang et al., Debiased contrastive learning, NeurIPS 2020.
    """
    return Explorer(
        name="retrieval",
        controls=(
            steps("candidates", "candidates", CANDIDATES, 100,
                  "Right halves to choose from: its own and others at random."),
            steps("temperature", "temperature", TEMPERATURES, 0.05,
                  "Scores are divided by it before the softmax, in training."),
            steps("batch", "pairs in a batch", BATCHES, 64,
                  "Each left half has the other right halves of its batch as negatives."),
            choice("negatives", "negatives", NEGATIVES, ANY,
                   "Which other right halves of the batch count in the loss."),
            steps("images", "images", range(1, 11), 1,
                  "Which four held-out images are shown."),
        ),
        compute=recorded,
        draw=draw,
        tasks=TASKS,
        presets={
            "as usual": {},
            "other digits only": {"negatives": OTHERS},
            "pairs of four": {"batch": 4},
            "too hot": Failing(temperature=1.0),
            "negatives of the same digit": Failing(negatives=SAME),
        },
        along="candidates",
        card=card,
        items=tuple(range(1, HELD_OUT + 1)),
    )  # fmt: skip


def draw(found: Recorded, state: State) -> Picture:
    """What is found for four images, and how often it is right."""
    top = 1.1 * max(max(recall({**state, "temperature": t, "batch": b})
                        for t in TEMPERATURES for b in BATCHES), 0.1)  # fmt: skip
    columns = {"tickvals": range(BEST + 1), "ticktext": ["whole", "best", "2nd", "3rd", "4th"]}
    columns["tickvals"] = list(columns["tickvals"])
    panels = mosaic(
        "found among / found batches",
        widths=(11, 10),
        heights=(11, 9),
        found=Axes(axis("", -0.6, BEST + 0.6, **columns, **FRAMED),
                   rows_of([""] * ROWS) | FRAMED | {"showticklabels": False},
                   "", 12),
        among=Axes(log_axis("candidates", (2, 5, 20, 100, 360)), shares("", 0, 1.04), "Best is", 52,
                   56),
        batches=Axes(log_axis("pairs in a batch", BATCHES), shares("", 0, top),
                     "Its own half", 52, 56),
    )  # fmt: skip
    marks = panels.marks(found, state, found=images, among=among, batches=batches)
    return panels.picture(marks, finding(found, state), lambda: table(found, state),
                          also(found, state))  # fmt: skip


def queries(state: State) -> np.ndarray:
    """The places of the four images on the map among those held out."""
    return ROWS * (state["images"] - 1) + np.arange(ROWS)


def judged(query: int, place: int) -> str:
    """What a found right half is for a left half."""
    digit = halves()[1][2]
    return PARTNER if place == query else DIGIT if digit[place] == digit[query] else OTHER


def images(panel: Panel, found: Recorded, state: State) -> list[Mark]:
    """Each left half, whole and beside the right halves that fit it best."""
    left, right, _ = halves()[1]
    inside = np.linspace(-0.4, 0.4, 9)
    x = np.concatenate([column + inside for column in range(BEST + 1)])
    y = np.concatenate([row + inside for row in range(ROWS)])
    cells = np.full((len(y) - 1, len(x) - 1), np.nan)
    spots: dict[str, list] = {PARTNER: [], DIGIT: [], OTHER: []}
    for row, query in enumerate(queries(state)):
        best = found.found(int(query), state["candidates"], BEST)
        for column, place in enumerate([query, *best]):
            if place >= 0:
                image = np.hstack([part[at].reshape(8, 4)
                                   for part, at in ((left, query), (right, place))])  # fmt: skip
                cells[9 * row : 9 * row + 8, 9 * column : 9 * column + 8] = image
                if column:
                    spots[judged(int(query), int(place))].append((column + 0.42, row - 0.38))
    marks = [panel.heat(cells, x, y, "images", 0, 1, SHADE, hoverinfo="skip")]
    looks = {PARTNER: COMBINED, DIGIT: SMALL, OTHER: WRONG}
    for name, places in spots.items():
        across, up = np.array(places or [(np.nan, np.nan)], float).T
        marks.append(panel.points(across, up, looks[name], name, size=13, hoverinfo="skip"))
    return marks


def among(panel: Panel, found: Recorded, state: State) -> list[Mark]:
    """How often the best is the partner, or of its digit, by the number of candidates."""
    ways = np.array(CANDIDATES)
    own = np.array([found.recall(many) for many in CANDIDATES])
    same = np.array([found.same(many) for many in CANDIDATES])
    at = state["candidates"]
    return [
        panel.curve(ways, own.mean(1), COMBINED, "own half found", label="own", width=3),
        panel.curve(ways, same.mean(1), SMALL, "digit found", label="digit", width=3),
        panel.curve(ways, 1 / ways, ORACLE, "by chance", label="chance"),
        panel.here(at, found.recall(at), INK),
    ]


def batches(panel: Panel, found: Recorded, state: State) -> list[Mark]:
    """The recall by batch size, at this temperature and at the best and worst of them."""
    at, marks = state["candidates"], []

    def line(temperature: float) -> list[float]:
        return [recall({**state, "temperature": temperature, "batch": b}) for b in BATCHES]

    lines = {one: line(one) for one in TEMPERATURES}
    high = np.max(list(lines.values()), axis=0)
    low = np.min(list(lines.values()), axis=0)
    marks += [
        panel.curve(BATCHES, high, ORACLE, "best temperature", label="best"),
        panel.curve(BATCHES, low, WRONG, "worst temperature", label="worst"),
        panel.curve(BATCHES, lines[state["temperature"]], COMBINED, "this temperature", label="",
                    width=3),
        panel.here(state["batch"], found.recall(at), INK, "this batch"),
    ]  # fmt: skip
    return marks


# -- in words -----------------------------------------------------------------------------------


def finding(found: Recorded, state: State) -> str:
    """How often the best of the candidates is the partner, and how often of the same digit."""
    many = state["candidates"]
    own, same = found.recall(many), found.same(many)
    return (
        f"Best of {many} right halves: its own in {own.mean():.0%} ± {own.std(ddof=1):.0%} (chance"
        f" {1 / many:.1%}), the same digit in {same.mean():.0%}\nTrained with {state['negatives']}"
        f" of a batch of {state['batch']} as negatives, temperature {state['temperature']:g}"
    )


def also(found: Recorded, state: State) -> str:
    """What the words say beyond the finding."""
    digit, told = halves()[1][2], []
    for query in queries(state):
        best = int(found.found(int(query), state["candidates"], 1)[0])
        told.append(f"for a {digit[query]} {judged(int(query), best)} (a {digit[best]})")
    return (
        f"Means of five encoders and {HELD_OUT} held-out images, ± one standard deviation over the"
        f" encoders. The first encoder finds {'; '.join(told)}."
    )


def table(found: Recorded, state: State):
    """Every number of candidates: how often the best is the partner, or of its digit."""
    own = [found.recall(many) for many in CANDIDATES]
    columns = {
        "its own half": [one.mean() for one in own],
        "its spread over 5 encoders": [one.std(ddof=1) for one in own],
        "the same digit": [found.same(many).mean() for many in CANDIDATES],
        "by chance": [1 / many for many in CANDIDATES],
    }
    return table_of(columns, list(CANDIDATES), "candidates")


def card(state: State, item) -> pd.DataFrame:
    """What the first encoder finds for a held-out image."""
    found, digit = found_of(state), halves()[1][2]
    query = row_of(np.arange(1, HELD_OUT + 1), item)
    best = [int(one) for one in found.found(query, state["candidates"], BEST) if one >= 0]
    return pd.DataFrame(
        {
            "found": [f"right half of image {one + 1}" for one in best],
            "digit": [int(digit[one]) for one in best],
            "what it is": [judged(query, one) for one in best],
            "cosine": [float(found.first[query] @ found.second[one]) for one in best],
        },
        index=pd.RangeIndex(1, len(best) + 1, name=f"for a {digit[query]}"),
    )
