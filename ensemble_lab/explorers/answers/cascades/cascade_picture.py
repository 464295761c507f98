"""How the cascade explorer draws one setting, and what it says of it.

Two panels share one axis, the share of the items that is passed on: how right that is, and the
items in the order of the first model's confidence. The third has every single model by its price.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble_lab.core.unknown import mean_of_known
from ensemble_lab.explorers.answers.cascades.cascade_replay import (
    CHOOSE,
    LEVELS,
    Replay,
    View,
    efficient,
)
from ensemble_lab.widgets.axes import Axes, axis, shares
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import SIZE, Mark, Panel
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, MIDDLE, ORACLE, SMALL, WRONG, marker

SHORT, SAID = 12, 24  # characters of a name in the picture, and in the finding
MANY = 8  # single models; of more, only the chosen ones are named and looked down to
FINE = 0.05  # a range of accuracies whose ticks have a decimal
PALE = "#FBE6D8"  # the ground under what goes to the big model
ALL = (0.0, 1.0)


def draw(seen: View) -> Picture:
    """The picture of one setting."""
    row = {"range": [-0.02, 1.02], "zeroline": False}
    looked_at = seen.columns if len(seen.accuracy) > MANY else slice(None)
    least = _ends([seen.accuracy[looked_at], seen.frontier()[1]])[0]
    above = _ends([seen.accuracy, seen.frontier()[1], [seen.oracle[1]]])[1]
    most = _ends([[0], seen.price, seen.frontier()[0], [seen.oracle[0]]])[1] or 1.0
    kind = "predicted chance" if seen.mode == CHOOSE else "confidence"
    kind += " over its label's threshold" if seen.by_label else ""
    first = named(seen.order[0], SHORT)
    panels = mosaic(
        "share price / items price",
        widths=(12, 9),
        heights=(7, 5),
        height=460,
        share=Axes(shares("", *ALL, **row | {"showticklabels": False}),
                   _right(*_ends([seen.accuracy[seen.columns], seen.curve()[1]])),
                   "Right, by share passed on", 52, 122),
        items=Axes(shares(f"items by {first}'s {kind}", *ALL, **row),
                   axis("", -1.05, 1.3, tickvals=[0, 1], ticktext=["0", "100%"]),
                   "", 52, 122),
        price=Axes(axis(seen.replay.price.title, -0.13 * most, 1.13 * most, zeroline=False),
                   _right(least, above), "Right, by price", 44),
    )  # fmt: skip
    marks = panels.marks(seen, share=_share, items=_items, price=_price)
    ground = {"type": "rect", "layer": "below", "fillcolor": PALE, "line": {"width": 0}}
    ground |= {"xref": "x", "x0": 0, "x1": 0 if seen.cut is None else seen.share}
    ground |= {"yref": "paper", "y0": panels.items.up[0], "y1": panels.share.up[1]}
    found = finding(seen)
    names = _names(panels.price, seen)
    return panels.picture(marks, found, lambda: table(seen), also(seen), names, shapes=[ground])


def _ends(parts) -> tuple[float, float]:
    known = np.concatenate([np.asarray(part, float) for part in parts])
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if len(known) else ALL


def _right(low: float, high: float) -> dict:
    room = max(0.08 * (high - low), 0.005)
    digits = ".1%" if high - low < FINE else ".0%"
    return shares("", low - room, high + room) | {"tickformat": digits}


def _share(panel: Panel, seen: View) -> list[Mark]:
    """Accuracy over the share passed on: by confidence, at random, and each model alone."""
    first, last = (float(seen.accuracy[seen.columns[at]]) for at in (0, -1))
    small, big = (f"{named(seen.order[at], SHORT)} alone" for at in (0, -1))
    share, right, _ = seen.curve()
    end = last if seen.queue is None else mean_of_known(seen.queue.passed)
    ways = [
        panel.curve([0, 1], [first, end], ORACLE, "at random"),
        panel.curve(share, right, COMBINED, "least sure first", width=4),
    ]
    return [
        panel.upright(seen.share),
        panel.rule(first, SMALL, "small alone", label=small),
        panel.rule(last, BIG, "big alone", label=big if len(seen.order) > 1 else ""),
        *(replace(way, said=way.trace["name"], at=None, symbol="line") for way in ways),
        panel.here(seen.share, seen.point[1], COMBINED, "you are here", size=16,
                   ends=seen.interval),
    ]  # fmt: skip


def _items(panel: Panel, seen: View) -> list[Mark]:
    """Items in a row, the least sure first: right ones up, wrong ones down, cut where it is set."""
    edges, right, wrong = np.array([0.0, 1.0]), [np.nan], [np.nan]
    if seen.queue is not None:
        edges, right, wrong = seen.queue.bars(seen.cut)
    look = {"width": np.diff(edges).round(6).tolist(), "hovertemplate": "%{y:.0%} of those here"}
    rim = {"line": {"width": 0.5, "color": "white"}}
    middle, verb = (edges[1:] + edges[:-1]) / 2, "sent past" if seen.mode == CHOOSE else "passed on"
    bars = [
        panel.bars(middle, right, SMALL, "right", marker=rim, **look),
        panel.bars(middle, -np.asarray(wrong), WRONG, "wrong",
                   marker=rim | {"pattern": {"shape": "/"}}, **look),
    ]  # fmt: skip
    first = named(seen.order[0], SHORT)
    return [
        *(replace(bar, said=f"{first} {bar.said}") for bar in bars),
        panel.upright(seen.share, "cut"),
        panel.label(seen.share, 1.08, f"◀ {seen.share:.0%} {verb}"),
    ]


def _price(panel: Panel, seen: View) -> list[Mark]:
    """Accuracy by price: every single model of the table, the chain's settings, the reader's."""
    models = seen.replay.outcomes.models
    between = {"symbol": "triangle-down", "color": MIDDLE, "line": {"width": 1, "color": INK}}
    others = [j for j in range(len(models)) if j not in seen.columns]
    dots = (
        ("other models", others, marker(ORACLE, 9) | {"symbol": "triangle-up"}),
        ("between", seen.columns[1:-1], between | {"size": 11}),
        ("small", seen.columns[:1], marker(SMALL, 11)),
        ("big", seen.columns[-1:], marker(BIG, 11)),
    )
    hover = f"%{{text}}: %{{x:.4~g}} {seen.replay.price.unit}, %{{y:.1%}}"
    here, best = (np.transpose([place]) for place in (seen.point, seen.oracle))
    return [
        _chain(panel, seen),
        *(panel.points(seen.price[at], seen.accuracy[at], look["color"], what, size=look["size"],
                       look=look, key=False, text=[named(models[j]) for j in at],
                       hovertemplate=hover) for what, at, look in dots),
        panel.points(*best, ORACLE, "oracle", size=13, key=False),
        panel.points(*here, COMBINED, "here, by price", key=False, size=14),
    ]  # fmt: skip


def _chain(panel: Panel, seen: View) -> Mark:
    return panel.curve(*seen.frontier(), COMBINED, "the chain", width=3, label="")


def _names(panel: Panel, seen: View) -> list[dict]:
    """The names of the models and of the oracle, where the chain's line does not go."""
    models, chain = seen.replay.outcomes.models, seen.order
    colours = dict.fromkeys(chain, MIDDLE) | {chain[0]: SMALL, chain[-1]: BIG}
    called = [
        (seen.price[j], seen.accuracy[j], named(name, SHORT), colours.get(name, ORACLE))
        for j, name in enumerate(models)
        if len(models) <= MANY or name in chain
    ]
    called.append((*seen.oracle, f"oracle {seen.oracle[1]:.0%}", ORACLE))
    x, y, names, meanings = zip(*called, strict=True)
    return panel.names(x, y, names, size=SIZE, lines=[_chain(panel, seen)], meanings=meanings)


# -- in words -----------------------------------------------------------------------------------


def finding(seen: View) -> str:
    """The title: how many are passed on, how right that is, and for what price."""
    alone, big = seen.accuracy[seen.columns[-1]], named(seen.order[-1], SAID)
    known = "none of its answers is graded" if np.isnan(alone) else f"{alone:.1%} right"
    if len(seen.order) == 1:
        return f"{big} alone: {known}; a cascade takes two different models"
    if seen.sweep is None:
        return f"{big} alone: {known}; nothing here says which items it is needed for"
    passed = "sent straight to" if seen.mode == CHOOSE else "escalated to"
    gain = 100 * float(seen.sweep.gain[seen.at])
    right = _rightness(seen, sum(seen.answered()), gain)
    return (
        f"{100 * seen.share:.0f}% {passed} {named(seen.order[1], SAID)}: {right}"
        f"\n{_bill(seen, gain)}{_beaten(seen)}"
    )


def _rightness(seen: View, answered: float, gain: float) -> str:
    """How right that is, of the `answered` per cent, and how many points that gains."""
    right, big = seen.point[1], named(seen.order[-1], SAID)
    if np.isnan(right):
        return "no answer that is graded"
    of = f" of the {answered:.0f}% answered" if answered < 99.5 else ""
    if np.isnan(gain):
        return f"{right:.1%} right{of}, while {big} alone is not graded"
    against = f"as right as {big}" if abs(gain) < 0.05 else f"{gain:+.1f} points against {big}"
    both = float(seen.sweep.both[seen.at])
    against += "" if both > 0.995 else f" on the {both:.0%} that both answer"
    return f"{right:.1%} right{of}, {against}"


def _bill(seen: View, gain: float) -> str:
    paid, big, here = seen.replay.price, named(seen.order[-1], SAID), seen.point[0]
    alone = seen.price[seen.columns[-1]]
    if np.isnan(here):
        return f"For a {paid.word} that is not known here"
    if paid.word == "calls":
        return f"For {here:.2f} calls an item beyond {named(seen.order[0], SAID)}'s"
    if not alone > 0:
        return f"For {here:.4g} {paid.unit}"
    share = here / alone
    more = f": {big} alone is cheaper" if share > 1 else ""
    more += " and no worse" if share > 1 and gain <= 0.05 else ""
    much = f"{share:.0%} of" if share < 10 else f"{share:.3g} times"
    if share < 0.005:
        return "For next to nothing"
    much = "just over" if 1 < share < 1.005 else much
    return f"For {much} its {paid.word}{more}"


def _beaten(seen: View) -> str:
    """Another model of the table, alone more right for no more; no choice of two hides it."""
    better = (seen.accuracy > seen.point[1]) & (seen.price <= seen.point[0])
    better[seen.columns] = False
    if not better.any():
        return ""
    best = int(np.where(better, seen.accuracy, -1).argmax())
    name = named(seen.replay.outcomes.models[best], SAID)
    return f"; {name} alone: {seen.accuracy[best]:.1%} for less"


def also(seen: View) -> str:
    """What the words say beyond the finding."""
    paid = seen.replay.price
    alone = [
        f"{named(name)} alone is right on {seen.accuracy[j]:.1%} for {_amount(seen.price[j])}"
        for name, j in zip(seen.order, seen.columns, strict=True)
    ]
    answered = zip(seen.order, seen.answered(), strict=True)
    who = ", ".join(f"{named(name)} answers {share:.0f}%" for name, share in answered)
    low, high = seen.interval
    here = "" if seen.sweep is None else f"95% interval {low:.1%} to {high:.1%}; {who}. "
    gap = np.isnan(seen.point[0]) or np.isnan(seen.price).any()
    fix = f" A {paid.word} is unknown where that of one call is: outcomes.filled()." if gap else ""
    return (
        f"{here}{'; '.join(alone)} {paid.unit}.{fix} Oracle {seen.oracle[1]:.1%},"
        f" oracle over guessers {seen.chance:.1%}. Surer when right than when wrong"
        f" {seen.rank:.0%}. Shown on {_shown_on(seen.replay)}."
    ).replace("nan%", "unknown")


def _amount(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:.4g}"


def _shown_on(replay: Replay) -> str:
    if replay.chosen:
        return f"{len(replay.shown)} items; policy chosen by you; these items may have been used"
    if replay.halved:
        return f"{len(replay.shown)} items not used for fitting"
    return "all the items, too few to keep some from fitting"


def table(seen: View):
    """One row a setting: every one of a threshold, the efficient ones of two."""
    import pandas as pd

    paid, sweep = seen.replay.price, seen.sweep
    if sweep is None:
        index = pd.Index(seen.replay.outcomes.models, name="model")
        return pd.DataFrame({"accuracy": seen.accuracy, paid.title: seen.price}, index)
    shape = sweep.accuracy.shape
    where = np.indices(shape).reshape(len(shape), -1)
    columns = {f"threshold {s + 1}": LEVELS[levels] for s, levels in enumerate(where)}
    columns |= {
        "accuracy": sweep.accuracy.ravel(),
        "coverage": sweep.coverage.ravel(),
        paid.title: paid.factor * sweep.price.ravel(),
    }
    columns |= {f"{n} answers": sweep.answered[s].ravel() for s, n in enumerate(seen.order)}
    low, high = map(np.ravel, sweep.interval)
    found = pd.DataFrame(columns | {"low": low, "high": high})
    found["here"] = np.arange(len(found)) == np.ravel_multi_index(seen.at, shape)
    if len(shape) == 1:
        return found
    return found[efficient(sweep) | found["here"]].reset_index(drop=True)
