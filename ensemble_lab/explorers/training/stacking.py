"""Stacking: whom the final model trusts for which class, and what a leak does to that trust."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.stacking_replay import DEPTHS, KINDS, PROBLEMS, Stacks, stacks
from ensemble_lab.widgets.axes import FRAMED, Axes, axis, rows_of, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

ROWS = (60, 100, 200, 300, 400)
OUTSIDE, INSIDE = KINDS
AVERAGE_ROW, PRODUCT_ROW, STACK_ROW = "plain average", "product, no tree", "the stack"
SHADE = [[0, "#FFFFFF"], [0.5, "#6BAED6"], [1, "#08306B"]]


TASKS = (
    Task("Make the leak. Which member does the final model trust now?",
         lambda state, picture: state["features"] == INSIDE and state["depth"] > 4),
    Task("Leak, but with a tree that learns nothing by heart. What does it cost?",
         lambda state, picture: state["features"] == INSIDE and state["depth"] <= 2),
    Task("Take examples away until an average is the better rule.",
         lambda state, picture: state["features"] == OUTSIDE and worse_than_average(state)),
)  # fmt: skip


def worse_than_average(state: State) -> bool:
    """Whether the stack on what is out-of-fold loses on an average of the members."""
    found, depth = stacks(state["data"], state["rows"]), DEPTHS.index(state["depth"])
    return bool((found.stack[:, depth, 0] - found.average[:, depth]).mean() < 0)


def explorer() -> Explorer:
    """A final model over two or three linear members and a tree that may learn by heart.

    Each setting of data and rows is worked out when first asked for, over five splits.

    References
    ----------
    Wolpert, Stacked generalization, Neural Networks 5, 1992.
    Ting and Witten, Issues in stacked generalization, JAIR 10, 1999.
    """
    return Explorer(
        name="stacking",
        controls=(
            steps("depth", "depth of the tree", DEPTHS, 12,
                  "Questions in a row: how much it can learn by heart. 1 is a stump."),
            choice("features", "final model learns from", KINDS, OUTSIDE,
                   "Out-of-fold: predictions for examples that a member has not seen. In-fold: for"
                   " examples it learned from, which is the leak."),
            steps("rows", "training examples", ROWS, 400,
                  "For the members and, by folds, for the final model; all others are held out."),
            choice("data", "data", PROBLEMS, PROBLEMS[0],
                   "Digits: members see half an image. Tumours: one of three kinds of measures."),
        ),
        compute=stacks,
        draw=draw,
        tasks=TASKS,
        presets={
            "out-of-fold": {},
            "the leak": Failing(features=INSIDE),
            "leak of a stump": {"depth": 1, "features": INSIDE},
            "few rows": Failing(rows=60),
            "one dominates": Failing(data=PROBLEMS[1], rows=100),
        },
        sequence="depth",
        opens={"features": INSIDE},
    )  # fmt: skip


def draw(found: Stacks, state: State) -> Picture:
    """Weights, members and curves of `state`, means over five splits."""
    at = depth, kind = DEPTHS.index(state["depth"]), KINDS.index(state["features"])
    trust = [f"{m}, {t:.0%}" for m, t in zip(found.members, found.trust(*at), strict=True)]
    listed = [*found.members, AVERAGE_ROW, PRODUCT_ROW, STACK_ROW]
    classes = {"tickvals": list(range(len(found.classes))), "ticktext": list(found.classes)}
    across = axis("class", -0.5, len(found.classes) - 0.5, **classes, **FRAMED)
    least = min(found.alone[:, depth].mean(0).min(), found.stack[:, depth, kind].mean())
    low = min(s.mean(0).min() for s in (found.stack, found.average, found.best, found.views))
    panels = mosaic(
        "weights curves / members curves",
        widths=(9, 10),
        heights=(len(found.members), 1.3 * len(listed)),
        weights=Axes(across, rows_of(trust) | FRAMED, "Weight (dark: 1), share of trust", 112),
        members=Axes(shares("", _floor(least, 0.1), 1.01), rows_of(listed), "", 112),
        curves=Axes(axis("depth of the tree", 0.5, 12.5, dtick=1), shares("", _floor(low), 1.01),
                    "Right on held-out examples", 44, 112),
    )  # fmt: skip
    marks = panels.marks(found, *at, weights=weights, members=members, curves=curves)
    told = finding(found, state, *at)
    return panels.picture(marks, told, lambda: table(found, *at), also(found, *at))


def _floor(share: float, step: float = 0.05) -> float:
    """Where an axis begins: in steps, so that it seldom jumps."""
    return step * np.floor((share - 0.02) / step)


def weights(panel: Panel, found: Stacks, depth: int, kind: int) -> list[Mark]:
    """Whose prediction counts for which class."""
    weight = found.weights[:, depth, kind].mean(0)
    places = [np.arange(size) for size in weight.shape[::-1]]
    look = {"hovertemplate": "weight %{z:.2f}<extra></extra>", "xgap": 1, "ygap": 1}
    return [panel.heat(weight, *places, "weights", 0, 1, SHADE, **look)]


def members(panel: Panel, found: Stacks, depth: int, kind: int) -> list[Mark]:
    """How good each member looked to the final model, how good it is, and the ensembles."""
    seen, alone = found.seen[:, depth, kind].mean(0), found.alone[:, depth]
    untaught = np.stack([found.average[:, depth], found.views], axis=1)
    told = {"hovertemplate": "%{x:.1%}"}
    m, stack = len(found.members), found.stack[:, depth, kind, None]
    ends = np.stack([seen, alone.mean(0), np.full(m, np.nan)], axis=1).ravel()

    def dots(right, first: int, meaning: str, name: str, **more) -> Mark:
        places = first + np.arange(right.shape[1])
        spread = {"type": "data", "color": meaning, "thickness": 2}
        spread["array"] = right.std(0, ddof=1).tolist()
        return panel.points(right.mean(0), places, meaning, name, error_x=spread, **told, **more)

    return [
        panel.curve(ends, np.arange(m).repeat(3), INK, "from seen to held out", label="",
                    width=2, line={"dash": "solid"}, hoverinfo="skip"),
        panel.points(seen, np.arange(m), INK, "as the final model saw it", **told),
        dots(alone, 0, SMALL, "held out"),
        dots(untaught, m, ORACLE, "learn nothing", key=False, size=12),
        dots(stack, m + 2, worth(found, depth, kind), STACK_ROW, key=False, size=13),
    ]  # fmt: skip


def curves(panel: Panel, found: Stacks, depth: int, kind: int) -> list[Mark]:
    """Held-out accuracy over the depth of the tree, and where the reader stands."""
    colours, tree = (COMBINED, WRONG), found.alone[:, :, -1]
    below = " ↓" if tree[:, -1].mean() < panel.axes.y["range"][0] else ""  # it is out of sight
    return [
        panel.curve(DEPTHS, tree, SMALL, "tree alone", label=f"tree alone{below}"),
        panel.curve(DEPTHS, found.best, BIG, "best member"),
        panel.curve(DEPTHS, found.average, ORACLE, AVERAGE_ROW),
        panel.rule(found.views.mean(), INK, PRODUCT_ROW),
        *(panel.curve(DEPTHS, found.stack[:, :, k], colours[k], f"stack, {name}", label=name,
                      width=4 if k == kind else 2) for k, name in enumerate(KINDS)),
        panel.here(DEPTHS[depth], found.stack[:, depth, kind], worth(found, depth, kind)),
    ]  # fmt: skip


def worth(found: Stacks, depth: int, kind: int) -> str:
    """The stack's colour: whether it is as good as the best member and the plain average."""
    least = max(found.best[:, depth].mean(), found.average[:, depth].mean())
    return COMBINED if found.stack[:, depth, kind].mean() >= least else WRONG


# -- in words -----------------------------------------------------------------------------------


def finding(found: Stacks, state: State, depth: int, kind: int) -> str:
    """What the final model believed of the tree, and what its trust was worth."""
    seen, alone = found.seen[:, depth, kind, -1].mean(), found.alone[:, depth, -1].mean()
    share, stack = found.trust(depth, kind)[-1], found.stack[:, depth, kind]
    first = ("out-of-fold", found.stack[:, depth, 0]) if kind else (
        "the best member", found.best[:, depth])  # fmt: skip
    against = [first, ("an average", found.average[:, depth]), ("a product", found.views)]
    compared = [f"{100 * (stack - other).mean():+.1f} on {who}" for who, other in against]
    return (
        f"{state['features'].capitalize()}, the tree of depth {state['depth']} looks {seen:.0%}"
        f" right, is {alone:.0%}, and gets {share:.0%} of the trust"
        f"\nRight on {stack.mean():.1%} of new examples, in points: {', '.join(compared)}"
    )


def also(found: Stacks, depth: int, kind: int) -> str:
    """What the words say beyond the finding."""
    weight = found.weights[:, depth, kind].mean(0)
    told = [
        f"class {name}: {found.members[j]} ({weight[j, c]:.2f})"
        for c, (name, j) in enumerate(zip(found.classes, weight.argmax(0), strict=True))
    ]
    return (
        "Means over 5 splits, bars one standard deviation. Average and product learn nothing. The"
        f" product of the members without the tree is right on {found.views.mean():.1%}, with it"
        f" on {found.product[:, depth].mean():.1%}: a class to which the tree gives no probability"
        f" is vetoed. The member with the most weight, by class: {'; '.join(told)}."
    )


def table(found: Stacks, depth: int, kind: int):
    """Members, average and stack: accuracy as seen and held out, trust, and every weight."""
    import pandas as pd

    def rows(name, held, seen=np.nan, trust=np.nan):
        return {"": name, "as the final model saw it": seen, "on held-out examples": held.mean(),
                "spread over 5 splits": held.std(ddof=1), "share of trust": trust}  # fmt: skip

    trust = found.trust(depth, kind)
    weights = found.weights[:, depth, kind].mean(0)
    listed = [
        rows(name, found.alone[:, depth, j], found.seen[:, depth, kind, j].mean(), trust[j])
        | {f"weight, {c}": w for c, w in zip(found.classes, weights[j], strict=True)}
        for j, name in enumerate(found.members)
    ]
    listed.append(rows(AVERAGE_ROW, found.average[:, depth]))
    listed.append(rows(STACK_ROW, found.stack[:, depth, kind]))
    return pd.DataFrame(listed).set_index("")
