"""Mixture of experts: which image goes to which experts, and what the experts are worth."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.experts_replay import (
    BALANCES,
    CAPACITIES,
    EXPERTS,
    KINDS,
    KS,
    Recorded,
    held,
    recorded,
)
from ensemble_lab.widgets.axes import FRAMED, Axes, axis, rows_of, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, marker

SHADE = [[0, "#FFFFFF"], [0.5, "#6BAED6"], [1, "#08306B"]]
DROPPED = len(KINDS) + 1  # the last row of the map; the first has all images
IMAGES = 20  # of each kind, to look at one by one
FREE = CAPACITIES[-1]
JUDGED = "these experts", "dense, as much used", "dense, as much in all"


TASKS = (
    Task("Balance the use, and still find a kind of which nine tenths have an expert in common.",
         lambda state, picture: state["balance"] != "not at all" and has_expert(state)),
    Task("Without balance, take a capacity at which a third of the choices is dropped.",
         lambda state, picture: state["balance"] == "not at all" and lost(state) > 1 / 3),
    Task("Make the use of the experts even (MaxVio below 0.3). Is the network more often right?",
         lambda state, picture: found_of(state).max_violation.mean() < 0.3),
)  # fmt: skip


def found_of(state: State) -> Recorded:
    """The recorded networks of a state."""
    return recorded(state["experts"], state["k"], state["balance"])


def lost(state: State) -> float:
    """The share of choices that are dropped."""
    return float(found_of(state).dropped(state["capacity"]).mean())


def has_expert(state: State) -> bool:
    """Whether nine tenths of some kind chose the same expert, in the network on the map."""
    many = state["experts"]
    return state["k"] < many and bool(found_of(state).by_kind(0).max() > 0.9)


def explorer() -> Explorer:
    """Networks with one layer of experts, trained on digits of four kinds and recorded.

    The map is of the first of five networks; the other panels are of all five. All 450 held-out
    images are one batch, and only there `capacity` counts: the networks learned without one.

    References
    ----------
    Fedus, Zoph and Shazeer, Switch transformers, JMLR 2022.
    Wang et al., Auxiliary-loss-free load balancing strategy for mixture-of-experts, 2024.
    """
    return Explorer(
        name="experts",
        controls=(
            steps("k", "experts an image", KS, 1,
                  "How many experts each image uses (k)."),
            choice("balance", "use is balanced", tuple(BALANCES), "not at all",
                   "Not at all; by an auxiliary loss of this weight; or by the bias rule, whose"
                   " router (sigmoid) gives experts that are chosen too seldom a head start."),
            choice("capacity", "capacity", CAPACITIES, FREE,
                   "An expert takes this many times its even share of the images, in their order."
                   " Later ones are dropped."),
            steps("image", "image", range(1, IMAGES + 1), 1,
                  "Which new image of each kind is shown, with the experts that it chose."),
            choice("experts", "experts", EXPERTS, 8,
                   "How many there are. More of them make the network larger, not slower."),
        ),
        compute=recorded,
        draw=draw,
        tasks=TASKS,
        presets={
            "no balance": {},
            "loss": {"balance": "loss 0.1"},
            "bias rule": {"balance": "bias rule", "k": 2},
            "capacity, no balance": Failing(capacity=1.25),
            "capacity too small": Failing(balance="loss 0.1", capacity=0.5),
            "sixteen experts": Failing(experts=16, balance="loss 0.1"),
        },
        along="image",
        sequence="image",
    )  # fmt: skip


def draw(found: Recorded, state: State) -> Picture:
    """Who uses which expert, how the work is spread, and what it is worth."""
    many, dropped = found.experts, found.dropped(state["capacity"])
    right = found.right(dropped)
    numbers = {"tickvals": list(range(many)), "ticktext": [str(e + 1) for e in range(many)]}
    few = {"tickvals": [e - 1 for e in (1, 2, 4, 8, 16)], "ticktext": ["1", "2", "4", "8", "16"]}
    rows = rows_of(["all", *KINDS, "dropped"])
    low = min(right.mean() - right.std(ddof=1), found.active.min())
    panels = mosaic(
        "use work / use right",
        widths=(11, 9),
        heights=(13, 9),
        use=Axes(axis("expert", -0.5 - picture_width(many), many - 0.5, **numbers, **FRAMED),
                 rows | FRAMED, "Share that chose it", 62),
        work=Axes(axis("busiest experts", -0.3, many - 0.7, **few), shares("", 0, 1.03),
                  "Their share of the work", 132),
        right=Axes(shares("", 0.05 * np.floor((low - 0.02) / 0.05), 1.0), rows_of(JUDGED),
                   "Right on new images", 132),
    )  # fmt: skip
    marks = panels.marks(found, state, dropped, right, use=use, work=work, right=worth)
    told = finding(found, dropped, right)
    return panels.picture(marks, told, lambda: table(found, dropped, right), also(found, state))


def picture_width(experts: int) -> float:
    """The width of an image in the panel's units, about as wide as it is high."""
    return 0.17 * experts


def use(panel: Panel, found: Recorded, state: State, dropped, right) -> list[Mark]:
    """Four images with their experts, over the shares of all images of each kind."""
    x, y, cells = map_cells(found, state["image"], dropped[0])
    places = []  # of chosen experts: x, y, size, whether it was full
    for row, kind in enumerate(KINDS, 1):
        image = shown_image(kind, state["image"])
        sizes = 8 + 10 * found.weights[0, image] ** 0.5
        places += zip(found.choices[0, image], [row] * state["k"], sizes, dropped[0, image],
                      strict=True)  # fmt: skip
    across, up, sizes, late = np.array(places, float).T
    marks = [panel.heat(cells, x, y, "share of images", 0, 1, SHADE,
                        hovertemplate="%{z:.0%}<extra></extra>")]  # fmt: skip
    for meaning, name, which in ((COMBINED, "chosen", late == 0), (WRONG, "dropped", late == 1)):
        outlined = marker(meaning) | {"line": {"width": 2, "color": "white"}}
        marks.append(panel.points(across[which], up[which], meaning, name, size=sizes[which],
                                  look=outlined, hoverinfo="skip"))  # fmt: skip
    return marks


def map_cells(found: Recorded, image: int, dropped: np.ndarray):
    """Edges (c + 1,) and (r + 1,) of the cells (r, c) of the map, and what they hold.

    The first eight columns have an image of each kind; then come the experts, with gaps between
    them. A row of a kind is eight rows of cells, as high as the image's.
    """
    many, wide = found.experts, picture_width(found.experts)
    around = np.array([-0.47, 0.47])
    x = [-0.5 - wide * np.linspace(0.92, 0.12, 9), *(e + around for e in range(many))]
    y = [around, *(r + np.linspace(-0.47, 0.47, 9) for r in range(1, DROPPED)), DROPPED + around]
    x, y = np.concatenate(x), np.concatenate(y)
    cells = np.full((len(y) - 1, len(x) - 1), np.nan)
    chose = found.choices[0][..., None] == np.arange(many)  # (n, k, E)
    cells[0, 9::2] = chose.sum(1).mean(0)
    cells[-1, 9::2] = (chose & dropped[..., None]).sum((0, 1)) / np.maximum(chose.sum((0, 1)), 1)
    for row, kind in enumerate(KINDS):
        own = slice(2 + 9 * row, 10 + 9 * row)
        cells[own, :8] = held("X")[0, shown_image(kind, image)].reshape(8, 8)
        cells[own, 9::2] = found.by_kind(0)[row]
    return x, y, cells


def shown_image(kind: str, image: int) -> int:
    """Where the image of that number and kind is among the first network's held-out ones."""
    return int(np.flatnonzero(held("kinds")[0] == kind)[image - 1])


def work(panel: Panel, found: Recorded, state: State, dropped, right) -> list[Mark]:
    """How much of the work the busiest experts do, in five networks."""
    ranks, nine = np.arange(found.experts), found.nine_tenths
    return [
        panel.rule(0.9, ORACLE, "nine tenths", label=""),
        panel.curve(ranks, (ranks + 1) / found.experts, INK, "even", width=1, label="",
                    line={"dash": "dot"}),
        panel.curve(ranks, found.work, COMBINED, "mean of five networks", label="", width=4),
        panel.points(nine - 1, np.full(len(nine), 0.9), COMBINED, "each network", size=8,
                     key=False),
        panel.here(nine.mean() - 1, 0.9, INK),
    ]  # fmt: skip


def worth(panel: Panel, found: Recorded, state: State, dropped, right) -> list[Mark]:
    """Accuracy beside dense networks of equal active and of equal total size, with 95 % ends."""
    shown = (right, pays(found, right)), (found.active, SMALL), (found.total, BIG)
    return [
        panel.estimate(one.mean(), row, meaning, name, ends=ends(one),
                       hovertemplate="%{x:.1%}")
        for row, (name, (one, meaning)) in enumerate(zip(JUDGED, shown, strict=True))
    ]  # fmt: skip


def ends(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of five, by Student's t."""
    reach = 2.776 * values.std(ddof=1) / len(values) ** 0.5
    return values.mean() - reach, values.mean() + reach


def pays(found: Recorded, right: np.ndarray) -> str:
    """The colour of the experts: whether they beat the dense network of equal active size."""
    return COMBINED if ends(right - found.active)[0] > 0 else WRONG


# -- in words -----------------------------------------------------------------------------------


def finding(found: Recorded, dropped: np.ndarray, right: np.ndarray) -> str:
    """How many experts do the work, what is dropped, and how often all are right."""
    lost = f", {dropped.mean():.0%} of choices dropped" if dropped.any() else ""
    return (
        f"{found.nine_tenths.mean():.1f} of {found.experts} experts do nine tenths of the work"
        f" (MaxVio {found.max_violation.mean():.1f}){lost}\nRight on {right.mean():.1%}; dense"
        f" networks: {found.active.mean():.1%} (as much used), {found.total.mean():.1%} (as much"
        " in all)"
    )


def also(found: Recorded, state: State) -> str:
    """What the words say beyond the finding."""
    told = []
    for row, kind in enumerate(KINDS):
        image, shares = shown_image(kind, state["image"]), found.by_kind(0)[row]
        chosen = " and ".join(str(e + 1) for e in found.choices[0, image])
        most = int(shares.argmax())
        told.append(f"{kind}: {chosen} (of all, {shares[most]:.0%} chose {most + 1})")
    return (
        f"Means of five networks; by the entropy of their use, {found.used.mean():.1f} experts are"
        f" used. The experts of the images on the map, in the first network: {'; '.join(told)}."
    )


def table(found: Recorded, dropped: np.ndarray, right: np.ndarray):
    """The five networks: use of the experts, drops, and accuracy beside dense ones."""
    columns = {
        "experts for nine tenths": found.nine_tenths,
        "MaxVio": found.max_violation,
        "exp(entropy) of use": found.used,
        "dropped": dropped.mean((1, 2)),
        "right": right,
        JUDGED[1]: found.active,
        JUDGED[2]: found.total,
    }
    return table_of(columns, list(range(1, len(right) + 1)), "network")
