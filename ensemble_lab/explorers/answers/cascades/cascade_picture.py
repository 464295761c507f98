"""How the cascade explorer draws one setting: frontier, confidence histogram, who answered."""

from __future__ import annotations

import numpy as np

from ensemble_lab.explorers.answers.cascades.cascade_replay import CHOOSE, Replay
from ensemble_lab.explorers.answers.cascades.cascade_view import BINS, View, curve, shares_of
from ensemble_lab.explorers.answers.cascades.cascade_words import finding_of, table_of, text_of
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named, one_line
from ensemble_lab.widgets.style import (
    BIG,
    COMBINED,
    INK,
    INSIDE,
    MIDDLE,
    ORACLE,
    SMALL,
    WRONG,
    line,
    marker,
)

SHORT, IN_LEGEND = 14, 24  # characters of a name beside a bar, and in the legend
MANY = 8  # single models; of more, only the chosen ones set the axis


def draw(replay: Replay, seen: View) -> Picture:
    """The picture of one setting."""
    finding = finding_of(replay, seen)
    return Picture(
        traces=[*_frontier(replay, seen), *_histogram(seen), *_who(seen)],
        layout=_layout(replay, seen),
        finding=finding,
        table=lambda: table_of(replay, seen),
        text=text_of(replay, seen, one_line(finding)),
    )


def _frontier(replay: Replay, seen: View) -> list[dict]:
    models, scale = replay.outcomes.models, replay.price.factor
    small, big = models.index(seen.order[0]), models.index(seen.order[-1])
    names = [named(name, IN_LEGEND) for name in models]
    paid, right = scale * seen.price, seen.accuracy
    spent, reached = curve(seen)
    others = [j for j in range(len(models)) if j not in (small, big)]
    (x, y), (low, high) = seen.point, seen.interval
    hover = f"%{{x:.4~g}} {replay.price.unit}, %{{y:.2%}}"
    ends, mixed, best = [small, big], {"color": ORACLE, "dash": "dash"}, marker(ORACLE, 15)
    every = np.r_[paid, scale * spent]
    known = every[~np.isnan(every)]
    across = [known.min(), known.max()] if len(known) else [np.nan] * 2
    return [
        _dots(paid[ends], right[ends], "random mixture", hover, line=mixed),
        _dots(scale * spent, reached, "every threshold", hover, line=line(COMBINED)),
        _dots(paid[others], right[others], "other models", hover, text=[names[j] for j in others],
              marker=marker(ORACLE, 9) | {"symbol": "triangle-up"}),
        _dots([paid[small]], [right[small]], f"{names[small]} alone", hover, marker=marker(SMALL)),
        _dots([paid[big]], [right[big]], f"{names[big]} alone", hover, marker=marker(BIG)),
        _dots(across, [seen.chance] * 2, "oracle over guessers", hover, line=line(ORACLE, 2)),
        _dots([scale * seen.oracle[0]], [seen.oracle[1]], "oracle", hover, marker=best),
        _dots([scale * x], [y], "you are here", hover, marker=marker(COMBINED, 16))
        | {"error_y": {"type": "data", "symmetric": False, "array": _plain([high - y]),
                       "arrayminus": _plain([y - low]), "color": INK, "thickness": 2}},
    ]  # fmt: skip


def _dots(x, y, name: str, hover: str, **how) -> dict:
    """A scatter trace; lines where a line is given, markers else, with text where there is one."""
    mode = "lines" if "line" in how else "markers"
    hover = f"{'%{text}: ' if 'text' in how else ''}{hover}"
    known = {"x": _plain(x), "y": _plain(y), "name": name, "mode": mode}
    return {"type": "scatter", "hovertemplate": hover} | known | how


def _plain(values) -> list:
    """Numbers for JSON: unknown ones are None."""
    return [None if v != v else v for v in np.asarray(values, float).tolist()]


def _histogram(seen: View) -> list[dict]:
    middle, half = (BINS[1:] + BINS[:-1]) / 2, (BINS[1] - BINS[0]) / 4
    axes = {"xaxis": "x2", "yaxis": "y2", "width": 1.8 * half}
    top = max(float(np.max(seen.bars)), 1.0)
    level = [part for t in seen.thresholds for part in (min(t, 1.01), min(t, 1.01), None)]
    return [
        {"type": "bar", "name": "when right", "x": (middle - half).tolist(),
         "y": seen.bars[0].tolist(),
         "marker": {"color": SMALL}, "hovertemplate": "%{y:.1f}% of the right answers", **axes},
        {"type": "bar", "name": "when wrong", "x": (middle + half).tolist(),
         "y": seen.bars[1].tolist(),
         "marker": {"color": WRONG, "pattern": {"shape": "/"}},
         "hovertemplate": "%{y:.1f}% of the wrong answers", **axes},
        {"type": "scatter", "mode": "lines", "x": level, "y": [0, top, None] * len(seen.thresholds),
         "name": "threshold", "line": {"color": INK, "width": 2}, "hoverinfo": "x",
         "showlegend": False, "xaxis": "x2", "yaxis": "y2"},
    ]  # fmt: skip


def _who(seen: View) -> list[dict]:
    asked, answered = shares_of(seen)
    colours = [SMALL, MIDDLE, BIG] if len(seen.order) == 3 else [SMALL, BIG]
    colours = colours[: len(seen.order)]
    axes = {"xaxis": "x3", "yaxis": "y3", "y": list(seen.order)}
    axes |= {"orientation": "h", "showlegend": False}
    colour = {"color": colours, "line": {"color": INK, "width": 1}}
    return [
        {"type": "bar", "x": asked, "name": "asked", "marker": {"color": "#DDDDDD",
         "line": {"color": ORACLE, "width": 1}}, "width": 0.8,
         "hovertemplate": "asked %{x:.1f}%", **axes},
        {"type": "bar", "x": answered, "name": "answered", "marker": colour, "width": 0.45,
         "text": [f"{share:.0f}%" for share in answered], "textposition": "auto",
         "constraintext": "none", "insidetextfont": {"color": [INSIDE[c] for c in colours]},
         "hovertemplate": "answered %{x:.1f}%", **axes},
    ]  # fmt: skip


def _layout(replay: Replay, seen: View) -> dict:
    kinds = "predicted chance" if seen.mode == CHOOSE else "confidence"
    knows = f"\nsurer when right: {seen.rank:.0%} of pairs (black: threshold)"
    knows = "" if np.isnan(seen.rank) else knows
    low, high = _range(replay.outcomes.models, seen)
    notes = [
        _note(f"{named(seen.order[0], SHORT)}'s {kinds}{knows}", "x2 domain", "y2 domain"),
        _note("who was asked (grey) and answered", "x3 domain", "y3 domain"),
    ]
    if not np.isnan(seen.chance) and not low <= seen.chance <= high:
        side = f"oracle over {len(seen.order)} guessers: {seen.chance:.0%}, below this picture"
        notes.append(_note(side, "x domain", "y domain") | {"y": 0.01, "yanchor": "bottom"})
    return {
        "height": 540,
        "barmode": "overlay",
        "bargap": 0.05,
        "annotations": notes,
        "xaxis": {"domain": [0, 0.58], "title": {"text": replay.price.title}},
        "yaxis": {"range": [low, high], "tickformat": ".1%", "title": {"text": "accuracy"}},
        "xaxis2": {"domain": [0.68, 1], "anchor": "y2", "range": [0, 1.03],
                   "title": {"text": kinds}},
        "yaxis2": {"domain": [0.56, 0.9], "anchor": "x2", "title": {"text": "% of each"}},
        "xaxis3": {"domain": [0.68, 1], "anchor": "y3", "range": [0, 104],
                   "title": {"text": "% of the items"}},
        "yaxis3": {"domain": [0, 0.26], "anchor": "x3", "autorange": "reversed",
                   "type": "category",  # also where names look like numbers or dates
                   "tickvals": list(seen.order),
                   "ticktext": [named(name, SHORT) for name in seen.order]},
        "legend": {"orientation": "h", "y": -0.2},
    }  # fmt: skip


def _note(text: str, x: str, y: str) -> dict:
    place = {"xref": x, "yref": y, "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"}
    return {"text": text, "showarrow": False, "align": "left", "font": {"size": 12}} | place


def _range(models: tuple[str, ...], seen: View) -> tuple[float, float]:
    """Accuracies to be seen: all but the chance oracle, which may lie far below."""
    single = seen.accuracy
    if len(single) > MANY:  # the chosen ones are looked at; a crowd may trail far below
        single = single[[models.index(name) for name in seen.order]]
    known = np.concatenate([single, curve(seen)[1], [seen.oracle[1]]])
    known = known[~np.isnan(known)]
    if not len(known):
        return 0.0, 1.0
    room = max(0.06 * (known.max() - known.min()), 0.005)
    return float(known.min() - 2 * room), float(known.max() + room)
