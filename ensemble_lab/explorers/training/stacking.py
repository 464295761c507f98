"""Stacking: whom the final model trusts for which class, and what it believes of a cheat."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training import stacking_traces as trace
from ensemble_lab.explorers.training.stacking_replay import DEPTHS, KINDS, PROBLEMS, Stacks, stacks
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line

ROWS = (60, 100, 200, 300, 400)


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
            steps("depth", "depth of the tree (questions)", DEPTHS, 12,
                  "How much the tree can learn by heart: 1 is a stump."),
            choice("features", "the final model learns from", KINDS, KINDS[0],
                   "Out-of-fold: what members say of rows they have not seen. In-fold: of rows"
                   " they learned from, which is the leak."),
            steps("rows", "rows to learn from", ROWS, 400,
                  "For the members and, by folds, for the final model; the rest is held out."),
            choice("data", "data", PROBLEMS, PROBLEMS[0],
                   "Digits: members see half an image. Tumours: one of three kinds of measures."),
        ),
        draw=draw,
        presets={
            "out-of-fold: the tree is seen through": {"depth": 12, "features": KINDS[0]},
            "fails: the leak": {"depth": 12, "features": KINDS[1]},
            "a stump has nothing to hide": {"depth": 1, "features": KINDS[1]},
            "does not pay: few rows": {"rows": 60},
            "does not pay: one member dominates": {"data": PROBLEMS[1], "rows": 100},
        },
        along="depth",
        sequence="depth",
    )  # fmt: skip


def draw(state: State) -> Picture:
    """Weights, members and curves of `state`, means over five splits."""
    found = stacks(state["data"], state["rows"])
    depth, kind = DEPTHS.index(state["depth"]), KINDS.index(state["features"])
    said = finding(found, state, depth, kind)
    return Picture(
        traces=[
            trace.heat_map(found, found.weights[:, depth, kind].mean(0)),
            *trace.members(found, depth, kind),
            *trace.curves(found, depth, kind),
        ],
        layout=trace.layout(found),
        finding=said,
        table=lambda: table(found, depth, kind),
        text=words(found, said, depth, kind),
    )


def finding(found: Stacks, state: State, depth: int, kind: int) -> str:
    """What the final model believed of the tree, and what its trust was worth."""
    seen, alone = found.seen[:, depth, kind, -1].mean(), found.alone[:, depth, -1].mean()
    share, stack = found.trust(depth, kind)[-1], found.stack[:, depth, kind]
    against = {"the best member": found.best[:, depth], "an average": found.average[:, depth]}
    if kind:
        against = {"out-of-fold": found.stack[:, depth, 0], **against}
    compared = [f"{100 * (stack - other).mean():+.1f} on {who}" for who, other in against.items()]
    return (
        f"{state['features'].capitalize()}, the tree of depth {state['depth']} looks {seen:.0%}"
        f" right, is {alone:.0%}, and gets {share:.0%} of the trust"
        f"\nThe stack is right on {stack.mean():.1%} of new rows; points: {', '.join(compared)}"
    )


def words(found: Stacks, said: str, depth: int, kind: int) -> str:
    """The picture for those who cannot see it."""
    weight = found.weights[:, depth, kind].mean(0)
    most = weight.argmax(0)
    told = [
        f"class {name}: {found.members[j]} ({weight[j, c]:.2f})"
        for c, (name, j) in enumerate(zip(found.classes, most, strict=True))
    ]
    return (
        f"{one_line(said)}. Means over 5 splits. The member with the most weight, by"
        f" class: {'; '.join(told)}."
    )


def table(found: Stacks, depth: int, kind: int):
    """Members, average and stack: accuracy as seen and held out, trust, and every weight."""
    import pandas as pd

    def rows(name, held, seen=np.nan, trust=np.nan):
        return {"": name, "as the final model saw it": seen, "on held-out rows": held.mean(),
                "spread over 5 splits": held.std(ddof=1), "share of trust": trust}  # fmt: skip

    trust = found.trust(depth, kind)
    weights = found.weights[:, depth, kind].mean(0)
    listed = [
        rows(name, found.alone[:, depth, j], found.seen[:, depth, kind, j].mean(), trust[j])
        | {f"weight, {c}": w for c, w in zip(found.classes, weights[j], strict=True)}
        for j, name in enumerate(found.members)
    ]
    listed.append(rows(trace.AVERAGE_ROW, found.average[:, depth]))
    listed.append(rows(trace.STACK_ROW, found.stack[:, depth, kind]))
    return pd.DataFrame(listed).set_index("")
