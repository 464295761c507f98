"""What the cascade explorer says of one setting: the finding, the picture in words, the table."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.intervals import share_interval
from ensemble_lab.explorers.answers.cascades.cascade_replay import CHOOSE, LEVELS, Replay
from ensemble_lab.explorers.answers.cascades.cascade_view import View, efficient, shares_of
from ensemble_lab.widgets.plain import named


def finding_of(replay: Replay, seen: View) -> str:
    """The title: how many are passed on, how right that is, and for what price."""
    alone, big = seen.accuracy[replay.outcomes.models.index(seen.order[-1])], named(seen.order[-1])
    known = "none of its answers is graded" if np.isnan(alone) else f"{alone:.1%} right"
    if len(seen.order) == 1:
        return f"{big} alone: {known}; a cascade takes two different models"
    if seen.sweep is None:
        return f"{big} alone: {known}; nothing here says which items it is needed for"
    asked, answered = shares_of(seen)
    passed = "sent straight to" if seen.mode == CHOOSE else "escalated to"
    share = asked[1] if seen.mode != CHOOSE else answered[1]
    gain = 100 * float(seen.sweep.gain[seen.at])
    return (
        f"{share:.0f}% {passed} {named(seen.order[1])}: {_right(seen, sum(answered), gain)}"
        f"\n{_bill(replay, seen, gain)}"
    )


def _right(seen: View, answered: float, gain: float) -> str:
    """How right that is, of the `answered` per cent, and how many points that gains."""
    right, big = seen.point[1], named(seen.order[-1])
    if np.isnan(right):
        return "no answer that is graded"
    of = f" of the {answered:.0f}% answered" if answered < 99.5 else ""
    if np.isnan(gain):
        return f"{right:.1%} right{of}, while {big} alone is not graded"
    against = f"as right as {big}" if abs(gain) < 0.05 else f"{gain:+.1f} points against {big}"
    both = float(seen.sweep.both[seen.at])
    against += "" if both > 0.995 else f" on the {both:.0%} that both answer"
    return f"{right:.1%} right{of}, {against}"


def _bill(replay: Replay, seen: View, gain: float) -> str:
    paid, big = replay.price, named(seen.order[-1])
    alone = seen.price[replay.outcomes.models.index(seen.order[-1])]
    if np.isnan(seen.point[0]):
        return f"for a {paid.word} that is not known here"
    if paid.word == "calls":
        return f"for {seen.point[0]:.2f} calls an item beyond {named(seen.order[0])}'s"
    if not alone > 0:
        return f"for {paid.factor * seen.point[0]:.4g} {paid.unit}"
    share = seen.point[0] / alone
    dear = f": {big} alone is cheaper" if share > 1 else ""
    dear += " and no worse" if share > 1 and gain <= 0.05 else ""
    much = f"{share:.0%} of" if share < 10 else f"{share:.3g} times"
    return f"for {much} its {paid.word}{dear}"


def text_of(replay: Replay, seen: View, finding: str) -> str:
    """The picture in words."""
    models, paid = replay.outcomes.models, replay.price
    alone = [
        f"{named(name)} alone is right on {seen.accuracy[j]:.1%}"
        f" for {_amount(paid.factor * seen.price[j])}"
        for j, name in enumerate(models)
        if name in seen.order
    ]
    shares = [
        f"{named(n)} answers {share:.0f}%"
        for n, share in zip(seen.order, shares_of(seen)[1], strict=True)
    ]
    low, high = seen.interval
    here = (
        "" if seen.sweep is None else f" 95% interval {low:.1%} to {high:.1%}; {', '.join(shares)}."
    )
    gap = np.isnan(seen.point[0]) or np.isnan(seen.price).any()
    mend = f" A {paid.word} is unknown where that of one call is: outcomes.filled()." if gap else ""
    return (
        f"{finding}.{here} {'; '.join(alone)} {paid.unit}.{mend} Oracle {seen.oracle[1]:.1%},"
        f" oracle over guessers {seen.chance:.1%}. Surer when right than when wrong"
        f" {seen.rank:.0%}. Shown on {_items(replay)}."
    ).replace("nan%", "unknown")


def _amount(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:.4g}"


def _items(replay: Replay) -> str:
    if replay.chosen:
        return f"{len(replay.shown)} items; policy chosen by you; these items may have been used"
    if replay.halved:
        return f"{len(replay.shown)} items not used for fitting"
    return "all the items, too few to keep some from fitting"


def table_of(replay: Replay, seen: View):
    """One row a setting: every one of a threshold, the efficient ones of two."""
    import pandas as pd

    paid = replay.price
    if seen.sweep is None or len(seen.order) == 1:
        index = pd.Index(replay.outcomes.models, name="model")
        return pd.DataFrame(
            {"accuracy": seen.accuracy, paid.title: paid.factor * seen.price}, index
        )
    shape = seen.sweep.accuracy.shape
    where = np.indices(shape).reshape(len(shape), -1)
    columns = {f"threshold {s + 1}": LEVELS[levels] for s, levels in enumerate(where)}
    columns |= {
        "accuracy": seen.sweep.accuracy.ravel(),
        "coverage": seen.sweep.coverage.ravel(),
        paid.title: paid.factor * seen.sweep.price.ravel(),
    }
    columns |= {f"{n} answers": seen.sweep.answered[s].ravel() for s, n in enumerate(seen.order)}
    low, high = share_interval(seen.sweep.accuracy.ravel(), seen.sweep.graded.ravel())
    table = pd.DataFrame(columns | {"low": low, "high": high})
    table["here"] = np.arange(len(table)) == np.ravel_multi_index(seen.at, shape)
    if len(shape) == 1:
        return table
    kept = efficient(seen.sweep) | table["here"]
    return table[kept].reset_index(drop=True)
