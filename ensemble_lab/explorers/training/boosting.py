"""Boosting, round by round: whose weight grows, what the stage does about it, what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ensemble_lab.explorers.training import boosting_traces as trace
from ensemble_lab.explorers.training.boosting_replay import ROUNDS, Rounds, rounds
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import one_line

DEPTHS = (1, 2, 3, 4, 8)
NOISES = (0.0, 0.1, 0.2, 0.3)
RATES = (0.1, 0.3, 0.5, 1.0)


def explorer(start: Mapping[str, Any] | None = None) -> Explorer:
    """AdaBoost of trees on two half moons, one round at a time.

    Rows, weights and borders are of one draw of 120 rows, errors the means of five draws, judged
    on 2,000 rows whose labels are right. A setting is worked out when first asked for.

    Parameters
    ----------
    start : mapping, optional
        Partial state to start from: ``round``, ``depth``, ``noise``, ``learning_rate``.

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
            steps("depth", "depth of each tree (questions)", DEPTHS, 1,
                  "1 is a stump, hardly better than chance; 8 knows nearly all rows by heart."),
            steps("noise", "wrong labels (share of rows)", NOISES, 0.0,
                  "So many rows to learn from have the other class's label."),
            steps("learning_rate", "learning rate", RATES, 1.0,
                  "Shrinks the say of every stage, and with it what is added to the weights."),
        ),
        draw=draw,
        presets={
            "stumps, from the start": {},
            "no errors left, and margins grow": {"depth": 3, "round": 50},
            "fails: it chases wrong labels": {"depth": 3, "noise": 0.2, "round": 60},
            "small steps chase less": {
                "depth": 3, "noise": 0.2, "learning_rate": 0.3, "round": 60},
            "does not pay: a tree that knows all": {"depth": 8, "round": 20},
        },
        along="round",
        sequence="round",
        start=start or {},
    )  # fmt: skip


def draw(state: State) -> Picture:
    """Rows by weight, errors and margins at the round of `state`."""
    found = rounds(state["depth"], state["noise"], state["learning_rate"])
    at = ROUNDS.index(state["round"])
    said = finding(found, state, at)
    return Picture(
        traces=[*trace.rows(found, at), *trace.errors(found, at), *trace.margins(found, at)],
        layout=trace.layout(),
        finding=said,
        table=lambda: table(found),
        text=words(found, said, at),
    )


def finding(found: Rounds, state: State, at: int) -> str:
    """What the whole is worth at this round, and what boosting is at work on."""
    train, held, tree = (
        share.mean() for share in (found.train[:, at], found.held[:, at], found.tree)
    )
    start = (
        f"Round {ROUNDS[at]}: {train:.1%} of the training rows wrong, {held:.1%} of new ones (one"
        f" full-grown tree {tree:.1%})\n"
    )
    if ROUNDS[at] > found.stages[0]:
        return f"{start}{stopped(found)}"
    if state["noise"]:
        burden, first = found.burden[:, at].mean(), found.held[:, 0].mean()
        told = f"The {state['noise']:.0%} wrong labels carry {burden:.0%} of the weight"
        return f"{start}{told}; the first stage alone had {first:.1%} of new rows wrong"
    if found.train[0, : at + 1].min() == 0:
        since, margin = found.settled, found.margins.min(1)
        return (
            f"{start}None of these rows is wrong since round {ROUNDS[since]}; the least margin was"
            f" {margin[since]:.2f} then and is {margin[at]:.2f} now"
        )
    return f"{start}{_heaviest(found, at)} of {len(found.X)} rows carry half of the weight"


def stopped(found: Rounds) -> str:
    """Why there are no more stages on the rows that are shown."""
    stages, last = int(found.stages[0]), found.stage_error[0, -1]
    why = "has no error, so nothing is left to learn" if last == 0 else "is followed by chance"
    return f"On these rows it stopped: stage {stages} {why}"


def _heaviest(found: Rounds, at: int) -> int:
    """The fewest rows that carry half of the weight."""
    carried = np.cumsum(np.sort(found.weights[at])[::-1])
    return int(np.searchsorted(carried, 0.5 - 1e-9)) + 1


def words(found: Rounds, said: str, at: int) -> str:
    """The picture for those who cannot see it."""
    margin, best = found.margins[at], found.held.mean(0).argmin()
    return (
        f"{one_line(said, '. ')}. This round's stage errs on {found.wrong[at].sum()} of"
        f" {len(margin)} rows, {found.stage_error[0, at]:.0%} of the weight. Half of the rows have"
        f" a margin of {np.median(margin):.2f} or less. Over five draws the held-out error is"
        f" least, {found.held.mean(0)[best]:.1%}, at round {ROUNDS[best]}."
    )


def table(found: Rounds):
    """Every round: errors over five draws, and weights and margins of the rows on the map."""
    import pandas as pd

    columns = {
        "training error": found.train.mean(0),
        "held-out error": found.held.mean(0),
        "its spread over 5 draws": found.held.std(0, ddof=1),
        "the stage's error by weight": found.stage_error.mean(0),
        "weight on wrong labels": found.burden.mean(0),
        "most weight of a row (× mean)": found.weights.max(1) * len(found.X),
        "least margin": found.margins.min(1),
        "median margin": np.median(found.margins, axis=1),
    }
    return pd.DataFrame(columns, index=pd.Index(ROUNDS, name="round"))
