"""The votes explorer's picture, part by part: bars, dots for items, and a heat map."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.intervals import share_interval
from ensemble_lab.explorers.answers.votes.vote_replay import Tally, nanmean
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, marker

SHORT = 15  # characters of a name beside the heat map
NAMES_IN_SIGHT = 12  # more members are numbered on the heat map
DOTS_WIDE, DOTS_HIGH = 90, 34  # what the strip has room for
RESCUED = "rescued", "the best alone is wrong, the vote right"
RUINED = "ruined", "the best alone is right, the vote wrong"
BEST_ROW, VOTE_ROW, ORACLE_ROW, CHANCE_ROW = 3, 2, 1, 0


def bars(tally: Tally) -> dict:
    """Accuracy of the best member, the vote and the two oracles."""
    best, vote = nanmean(tally.alone), nanmean(tally.voted)
    share = np.array([best, vote, tally.oracle, tally.chance])
    counted = [(~np.isnan(tally.alone)).sum(), (~np.isnan(tally.voted)).sum(), 0, 0]
    low, high = share_interval(share, counted)  # NaN for bounds, which are no shares of a sample
    colours = [BIG, COMBINED, ORACLE, ORACLE]
    return {
        "type": "bar",
        "orientation": "h",
        "x": _plain(share),
        "y": [BEST_ROW, VOTE_ROW, ORACLE_ROW, CHANCE_ROW],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": _plain(high - share),
            "arrayminus": _plain(share - low),
            "color": INK,
        },
        "marker": {
            "color": colours,
            "line": {"color": colours, "width": 1},
            "pattern": {"shape": ["", "", "/", "."]},
        },
        "hovertemplate": "%{x:.2%}<extra></extra>",
        "showlegend": False,
        "width": 0.7,
    }


def ticks(tally: Tally) -> dict:
    """A stroke for each member's accuracy, above the bar of the best."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "each member",
        "x": _plain(tally.accuracies),
        "y": [BEST_ROW + 0.45] * len(tally.members),
        "customdata": [*map(named, tally.members)],
        "marker": {"symbol": "line-ns-open", "size": 9, "color": SMALL, "line": {"width": 2}},
        "hovertemplate": "%{customdata}: %{x:.1%}<extra></extra>",
    }


def diamond(share: float, correlation: float | None) -> dict:
    """Condorcet's formula beside the vote: open at the correlation asked for, else a star."""
    mark, name, lift = marker(ORACLE, 13), "Condorcet as measured", -0.2
    if correlation is not None:
        mark, lift = marker(INK, 13) | {"symbol": "diamond-open"}, 0.2
        name = f"Condorcet at {correlation:g}"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": _plain([share]),
        "y": [VOTE_ROW + lift],
        "marker": mark,
        "hovertemplate": name + ": %{x:.2%}<extra></extra>",
    }


def stacking(tally: Tally, up: np.ndarray, down: np.ndarray) -> tuple[int, int]:
    """Dots in a row of a column, and items that one dot stands for, so that all have room."""
    tallest = sum(height(tally, up, down))
    room = max(1, DOTS_WIDE // (len(tally.members) + 1))
    wide = min(room, max(1, -(-tallest // DOTS_HIGH)))  # -(-a // b) rounds up
    return wide, max(1, -(-tallest // (wide * DOTS_HIGH)))


def height(tally: Tally, up: np.ndarray, down: np.ndarray) -> tuple[int, int]:
    """Most items in a column above and below the line."""
    up, down = (np.bincount(tally.supporters[which], minlength=1).max() for which in (up, down))
    return int(up), int(down)


def dots(
    tally: Tally, which: np.ndarray, sign: int, wide: int, per: int, items: np.ndarray
) -> dict:
    """A dot for `per` items, stacked over the number of members who are right."""
    name, meaning = RESCUED if sign > 0 else RUINED
    rows = np.flatnonzero(which)
    rows = rows[np.argsort(tally.supporters[rows], kind="stable")]
    column = tally.supporters[rows]
    place = np.arange(len(rows)) - np.searchsorted(column, column)  # within the column
    kept = place % per == 0
    place, column, rows = place[kept] // per, column[kept], rows[kept]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": _plain(column + ((place % wide + 0.5) / wide - 0.5) * 0.8),
        "y": _plain(sign * (place // wide + 0.5) * wide * per),
        "customdata": [named(i) if isinstance(i, str) else i for i in items[rows].tolist()],
        "marker": marker(COMBINED if sign > 0 else WRONG, 6) | {"line": {"width": 0}},
        "hovertemplate": f"item %{{customdata}}: {meaning}<extra>{name}</extra>",
        "xaxis": "x2",
        "yaxis": "y2",
    }


def heat_map(tally: Tally) -> dict:
    """Whose errors go with whose; the diagonal is left empty."""
    names = [*map(named, tally.members)]
    shown = np.where(np.eye(len(tally.members), dtype=bool), np.nan, tally.correlation)
    return {
        "type": "heatmap",
        "z": [_plain(row) for row in shown],
        "customdata": [[f"{a}\n{b}" for b in names] for a in names],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Cividis",
        "reversescale": True,
        "colorbar": {"title": {"text": "corr."}, "thickness": 10, "len": 0.9, "x": 1.0},
        "hovertemplate": "%{customdata}<br>error correlation %{z:.2f}<extra></extra>",
        "hoverongaps": False,
        "xaxis": "x3",
        "yaxis": "y3",
    }


def heat_map_in_words(tally: Tally) -> str:
    """Whose errors go together most, and whose least; empty where nothing is known."""
    pairs = np.where(np.tri(len(tally.members), k=-1, dtype=bool), tally.correlation, np.nan)
    if np.isnan(pairs).all():
        return ""
    ends = []
    for at in (np.nanargmax(pairs), np.nanargmin(pairs)):
        row, column = np.unravel_index(at, pairs.shape)
        names = f"{named(tally.members[column])} and {named(tally.members[row])}"
        ends.append(f"{names} ({pairs[row, column]:.2f})")
    return f" Errors go together most for {ends[0]}, least for {ends[1]}."


def layout(tally: Tally, height: tuple[int, int], per: int) -> dict:
    """Bars above the dots on the left, the heat map on the right."""
    few = len(tally.members) <= NAMES_IN_SIGHT
    left, right = ([0, 0.5], [0.75, 0.98]) if few else ([0, 0.56], [0.66, 0.98])
    upper, lower = [0.62, 1], [0, 0.42]
    return {
        "height": 600,
        "margin": {"l": 120, "r": 30, "t": 90, "b": 60},
        "legend": {"orientation": "h", "y": -0.14},
        "xaxis": {"domain": left, "anchor": "y", **_SHARE_AXIS},
        "yaxis": {"domain": upper, "anchor": "x", **_bar_axis(tally)},
        "xaxis2": {"domain": left, "anchor": "y2", **_support_axis(len(tally.members))},
        "yaxis2": {"domain": lower, "anchor": "x2", **_items_axis(height, per)},
        **_pair_axes(tally, right, few),
    }


_SHARE_AXIS = {
    "range": [0, 1.02],
    "tickformat": ".0%",
    "title": {"text": "items answered right"},
}


def _bar_axis(tally: Tally) -> dict:
    """The figures stand in the labels: on the bars they would be hard to read."""
    rows = {
        "best alone": nanmean(tally.alone),
        "the vote": nanmean(tally.voted),
        "oracle": tally.oracle,
        "oracle over\nguessers": tally.chance,
    }
    known = [f"{name} {value:.1%}" if value == value else name for name, value in rows.items()]
    places = [BEST_ROW, VOTE_ROW, ORACLE_ROW, CHANCE_ROW]
    return {"range": [-0.5, 3.7], "tickvals": places, "ticktext": known}


def _support_axis(members: int) -> dict:
    title = f"how many of the {members} members are right"
    return {
        "range": [-0.6, members + 0.6],
        "title": {"text": title},
        "tickformat": "d",
        "dtick": max(1, -(-members // 12)),
    }


def _items_axis(height: tuple[int, int], per: int) -> dict:
    up, down = height
    least = max(up, down, DOTS_HIGH // 2) / 8
    ticks = sorted({0, *(tick for tick in (-down, up) if abs(tick) >= least)})
    return {
        "range": [-1.1 * max(down, least), 1.1 * max(up, least)],
        "title": {"text": "items" if per == 1 else f"items (a dot is {per:,})"},
        "tickvals": ticks,
        "ticktext": [f"{abs(tick):,}" for tick in ticks],
        "zeroline": True,
        "zerolinecolor": INK,
    }


def _pair_axes(tally: Tally, domain: list[float], few: bool) -> dict:
    m = len(tally.members)
    places = list(range(0, m, 1 if few else -(-m // 6)))
    numbers = [str(i + 1) for i in places]
    shown = [f"{named(tally.members[i], SHORT)} {i + 1}" for i in places]
    frame = {"showline": True, "mirror": True, "linecolor": ORACLE}  # pale cells end somewhere
    both = {"tickvals": places, "showgrid": False, **frame}
    title = {"text": "members, the most trusted first"}
    across = {"domain": domain, "anchor": "y3", "ticktext": numbers, "title": title}
    down = {"anchor": "x3", "ticktext": shown if few else numbers, "autorange": "reversed"}
    return {"xaxis3": across | both, "yaxis3": down | both}


def _plain(values) -> list:
    """Floats that JSON can hold: None for NaN."""
    return [None if value != value else round(float(value), 6) for value in values]
