"""Boosting, round by round: which weights grow, what the stages learn, what they are worth."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.training.boosting_replay import ROUNDS, Rounds, rounds
from ensemble_lab.explorers.training.moons import AXES, MIDDLES, SHADE, outline
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, CLASSES, COMBINED, INK, SMALL, WRONG

DEPTHS = (1, 2, 3, 4, 8)
NOISES = (0.0, 0.1, 0.2, 0.3)
RATES = (0.1, 0.3, 0.5, 1.0)
USUAL = 7  # pixels across, of a row with the mean weight
LEAST, MOST = 3, 34


TASKS = (
    Task("Go on until no training example is wrong, and then twenty rounds further.",
         lambda state, picture: "0.0% of the training" in picture.finding and state["round"] > 40),
    Task("Find a tree so deep that there is no second stage.",
         lambda state, picture: "it stopped" in picture.finding),
    Task("Let wrong labels take a third of the weight.",
         lambda state, picture: state["noise"] > 0 and state["round"] > 30),
)  # fmt: skip


def explorer() -> Explorer:
    """AdaBoost of trees on two half moons, one round at a time.

    Weights and borders are of one draw of 120 examples, errors the means of five draws, judged
    on 2,000 examples whose labels are right. A setting is worked out when first asked for.

    References
    ----------
    Freund and Schapire, A decision-theoretic generalization of on-line learning and an application
    to boosting, Journal of Computer and System Sciences 1997.
    Schapire, Freund, Bartlett and Lee, Boosting the margin, Annals of Statistics 1998.
    """
    return Explorer(
        name="boosting",
        controls=(
            steps("round", "round (stages so far)", ROUNDS, 1,
                  "Step through: you see the weights that this round's stage learns from."),
            steps("depth", "depth of each tree", DEPTHS, 1,
                  "1 is a stump, hardly better than chance; 8 learns nearly everything by heart."),
            steps("noise", "wrong labels (share)", NOISES, 0.0,
                  "This share of the training examples carries the label of the other class."),
            steps("learning_rate", "learning rate", RATES, 1.0,
                  "Shrinks the weight of every stage and the growth of the examples' weights."),
        ),
        compute=rounds,
        draw=draw,
        tasks=TASKS,
        presets={
            "stumps": {},
            "no errors left": {"depth": 3, "round": 50},
            "wrong labels": Failing(depth=3, noise=0.2, round=60),
            "smaller steps": {"depth": 3, "noise": 0.2, "learning_rate": 0.3, "round": 60},
            "trees too deep": Failing(depth=8, round=20),
        },
        sequence="round",
    )  # fmt: skip


def draw(found: Rounds, state: State) -> Picture:
    """Examples by weight, errors and margins at the round of `state`."""
    at = ROUNDS.index(state["round"])
    most = max(found.held.mean(0).max(), found.train.mean(0).max(), found.tree.mean())
    panels = mosaic(
        "map errors / map margins",
        widths=(10, 9),
        map=AXES,
        errors=Axes(log_axis("round", [1, 2, 5, 10, 20, 60]), shares("", 0, 1.1 * most),
                    "Share of examples that are wrong", 44, 108),
        margins=Axes(axis("margin (votes for minus votes against)", -1.1, 1.1), shares("", 0, 1.03),
                     "Examples up to a margin", 44, 108),
    )  # fmt: skip
    marks = panels.marks(found, at, map=rows, errors=errors, margins=margins)
    return panels.picture(marks, finding(found, state, at), lambda: table(found), also(found, at))


def rows(panel: Panel, found: Rounds, at: int) -> list[Mark]:
    """Where the ensemble predicts 1, both borders, and each example as large as its weight."""
    weight = found.weights[at] * len(found.X)  # 1 is the mean
    size = np.clip(USUAL * np.sqrt(weight), LEAST, MOST)  # areas are weights
    told = np.stack([weight, found.margins[at]], axis=1).round(3)
    hover = "weight %{customdata[0]:.2f} × the mean, margin %{customdata[1]:.2f}"
    ring = {"symbol": "circle-open", "color": WRONG, "line": {"width": 2.5, "color": WRONG}}
    turned = {"symbol": "cross-thin", "color": INK, "line": {"width": 2, "color": INK}}
    pale = {"opacity": 0.8}
    solid = [pale | {"symbol": symbol, "color": colour, "line": {"width": 1, "color": colour}}
             for symbol, colour in zip(("circle", "square"), CLASSES, strict=True)]  # fmt: skip
    looks = {  # which rows, pixels across, look
        "class 0": (found.label == 0, size, solid[0]),
        "class 1": (found.label == 1, size, solid[1]),
        "wrong label": (found.turned, 0.4 * size + 4, turned),
        "stage errs": (found.wrong[at], size + 6, ring),
    }
    return [
        panel.heat(found.whole[at], *MIDDLES, "ground", 0, 1, SHADE, hoverinfo="skip"),
        panel.border(outline(found.stage[at]), SMALL, "stage", width=2),
        panel.border(outline(found.whole[at]), COMBINED, "ensemble", width=4),
        *(panel.points(*found.X[which].T, look["color"], name, size=across[which], look=look,
                       key=name == "stage errs" or (name == "wrong label" and which.any()),
                       customdata=told[which].tolist(), hovertemplate=f"{name}: {hover}")
          for name, (which, across, look) in looks.items()),
    ]  # fmt: skip


def errors(panel: Panel, found: Rounds, at: int) -> list[Mark]:
    """Errors over the rounds, means of five draws, and where the reader stands."""
    held = found.held[:, at]
    pays = held.mean() <= found.held[:, 0].mean()  # as good as its first stage alone
    return [
        panel.upright(ROUNDS[at]),
        panel.rule(found.tree.mean(), BIG, "one full tree"),
        panel.curve(ROUNDS, found.train, INK, "training examples", label="training"),
        panel.curve(ROUNDS, found.held, COMBINED, "new examples", width=4),
        panel.here(ROUNDS[at], found.train[:, at].mean(), INK, "training examples, here", size=10),
        panel.here(ROUNDS[at], held, COMBINED if pays else WRONG, "new examples, here"),
    ]


def margins(panel: Panel, found: Rounds, at: int) -> list[Mark]:
    """The margins in order: at this round, and at the one with the fewest training errors."""
    rises = np.arange(1, len(found.X) + 1) / len(found.X)
    turned = np.sort(found.margins[at][found.turned])
    share = np.searchsorted(np.sort(found.margins[at]), turned, side="right") / len(found.X)
    fewest = f"round {ROUNDS[found.settled]}" if found.settled != at else ""
    return [
        panel.upright(0.0, "right or wrong"),
        panel.curve(np.sort(found.margins[found.settled]), rises, SMALL,
                    "at the fewest training errors", label=fewest, shape="hv"),
        panel.curve(np.sort(found.margins[at]), rises, COMBINED, "at this round", width=4,
                    label=f"round {ROUNDS[at]}", shape="hv"),
        panel.points(turned, share, WRONG, "wrong labels", size=8, key=len(turned) > 0),
    ]  # fmt: skip


def finding(found: Rounds, state: State, at: int) -> str:
    """What the ensemble is worth at this round, and where the weight is."""
    train, held = (share[:, at].mean() for share in (found.train, found.held))
    start = (
        f"Round {ROUNDS[at]}: {train:.1%} of the training examples wrong, {held:.1%} of new ones"
        f" (one full tree {found.tree.mean():.1%})\n"
    )
    if ROUNDS[at] > found.stages[0]:
        stages, last = int(found.stages[0]), found.stage_error[0, -1]
        why = "has no error, so nothing is left to learn" if last == 0 else "is followed by chance"
        return f"{start}On these examples it stopped: stage {stages} {why}"
    if state["noise"]:
        burden, first = found.burden[:, at].mean(), found.held[:, 0].mean()
        told = f"The {state['noise']:.0%} wrong labels carry {burden:.0%} of the weight"
        return f"{start}{told}; the first stage alone had {first:.1%} of new ones wrong"
    if found.train[0, : at + 1].min() == 0:
        since, margin = found.settled, found.margins.min(1)
        return (
            f"{start}No training example on the map is wrong since round {ROUNDS[since]}; the least"
            f" margin was {margin[since]:.2f} then and is {margin[at]:.2f} now"
        )
    carried = np.cumsum(np.sort(found.weights[at])[::-1])
    fewest = int(np.searchsorted(carried, 0.5 - 1e-9)) + 1
    return f"{start}{fewest} of {len(found.X)} examples carry half of the weight"


def also(found: Rounds, at: int) -> str:
    """What the words say beyond the finding."""
    margin, best = found.margins[at], found.held.mean(0).argmin()
    return (
        f"This round's stage errs on {found.wrong[at].sum()} of {len(margin)} examples,"
        f" {found.stage_error[0, at]:.0%} of the weight. Half of the examples have a margin of"
        f" {np.median(margin):.2f} or less. Over five draws the held-out error is least,"
        f" {found.held.mean(0)[best]:.1%}, at round {ROUNDS[best]}."
    )


def table(found: Rounds):
    """Every round: errors over five draws, weights and margins of the examples on the map."""
    columns = {
        "training error": found.train.mean(0),
        "held-out error": found.held.mean(0),
        "its spread over 5 draws": found.held.std(0, ddof=1),
        "the stage's error by weight": found.stage_error.mean(0),
        "weight on wrong labels": found.burden.mean(0),
        "most weight of an example (× mean)": found.weights.max(1) * len(found.X),
        "least margin": found.margins.min(1),
        "median margin": np.median(found.margins, axis=1),
    }
    return table_of(columns, ROUNDS, "round")
