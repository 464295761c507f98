"""The picture of an advice: all candidates by price and accuracy, with what bounds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.advice.words import percent
from ensemble_lab.core.errors import excerpt
from ensemble_lab.widgets.plain import escaped, named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, LAYOUT, ORACLE, TEXT, marker

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ensemble_lab.advice.advice import Advice

MOST = 20  # candidates of a picture without prices
BELOW = 0.15  # candidates so much less accurate than the best are left out of the picture
PER = 1e4  # items


def frontier_picture(advice: Advice) -> go.Figure:
    """Accuracy against USD per 10,000 items, or the most accurate ones where no price is known."""
    table = advice.frontier.dropna(subset=["accuracy"])
    shown = table[table["accuracy"] >= table["accuracy"].max() - BELOW]
    priced = shown.dropna(subset=["cost"])
    if len(priced) < 2 or priced["cost"].max() == 0:
        return _ranking(advice, shown)
    return _by_price(advice, priced, len(table) - len(priced))


def _by_price(advice: Advice, table, left_out: int) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure(layout=LAYOUT)
    paid = PER * table["cost"]
    log = bool(paid.min() > 0 and paid.max() > 20 * paid.min())
    single = table["family"] == "single"
    for rows, colour, name in ((~single, COMBINED, "ensembles"), (single, BIG, "single models")):
        part = table[rows]
        if not len(part):
            continue
        figure.add_scatter(
            x=PER * part["cost"], y=part["accuracy"], mode="markers", name=name,
            marker=marker(colour, 9), error_y=_bars(part, colour),
            text=[_label(one, 60) for one in part["candidate"]],
            hovertemplate="%{text}<br>%{y:.1%} at %{x:.4~g} USD<extra></extra>",
        )  # fmt: skip
    steps = table.sort_values("cost")
    best = steps["accuracy"].cummax()
    figure.add_scatter(
        x=PER * steps["cost"], y=best, mode="lines", line={"color": INK, "width": 1, "shape": "hv"},
        name="best within a budget", hoverinfo="skip",
    )  # fmt: skip
    if "budget" in advice.limits:
        figure.add_vline(PER * advice.limits["budget"], line={"color": INK, "dash": "dot"})
    for name, colour in ((advice.chosen, COMBINED), (advice.best_single.model, BIG)):
        rows = table[table["candidate"] == name]
        if not len(rows) or (name == advice.best_single.model == advice.chosen and colour == BIG):
            continue
        x, y = PER * float(rows["cost"].iloc[0]), float(rows["accuracy"].iloc[0])
        figure.add_scatter(
            x=[x], y=[y], mode="markers", showlegend=False, hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 22, "color": colour, "line": {"width": 3}},
        )  # fmt: skip
        above = colour == COMBINED
        figure.add_annotation(
            x=np.log10(x) if log else x, y=y, text=_label(name, 44), showarrow=True, arrowhead=0,
            ax=0, ay=-38 if above else 42, font={"color": TEXT[colour], "size": 14},
            bgcolor="rgba(255, 255, 255, 0.85)",
            xanchor=_side(x, paid, log),
        )  # fmt: skip
    _add_oracle(figure, advice, table)
    unit = f"USD per {PER:,.0f} items" + (", log scale" if log else "")
    figure.update_xaxes(title_text=unit, type="log" if log else "linear")
    if log:  # plotly would write 2 for 20
        ticks = _round_numbers(paid.min(), paid.max())
        figure.update_xaxes(tickvals=ticks, ticktext=[f"{x:g}" for x in ticks])
    return _finished(figure, advice, table, left_out)


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, about `low` to `high`; powers alone in a wide range."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [x for x in found if low / 2 <= x <= high * 2]


def _ranking(advice: Advice, table) -> go.Figure:
    """Without prices: the most accurate candidates, one a line."""
    import plotly.graph_objects as go

    kept = table.sort_values("accuracy", ascending=False).head(MOST)
    needed = table[table["candidate"].isin([advice.chosen, advice.best_single.model])]
    kept = kept if needed["candidate"].isin(kept["candidate"]).all() else None
    kept = table.sort_values("accuracy").tail(MOST) if kept is None else kept.iloc[::-1]
    figure = go.Figure(layout=LAYOUT)
    for rows, colour, name in (
        (kept["family"] != "single", COMBINED, "ensembles"),
        (kept["family"] == "single", BIG, "single models"),
    ):
        part = kept[rows]
        figure.add_scatter(
            x=part["accuracy"], y=[_label(one, 44) for one in part["candidate"]], mode="markers",
            name=name, marker=marker(colour, 10), hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            error_x=_bars(part, colour),
        )  # fmt: skip
    names = [_label(one, 44) for one in kept["candidate"]]
    figure.update_yaxes(categoryorder="array", categoryarray=names, automargin=True)
    figure.update_xaxes(title_text="right", tickformat=".1%")
    figure.update_layout(
        height=150 + 24 * len(kept), margin={"l": 60, "r": 20, "t": 60, "b": 60},
        legend={"orientation": "h", "y": -0.14}, title_text=_title(advice),
        meta={"text": _words(advice, len(kept), len(advice.frontier) - len(kept))},
    )  # fmt: skip
    return figure


def _bars(part, colour: str) -> dict:
    return {
        "type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": colour,
        "array": part["high"] - part["accuracy"], "arrayminus": part["accuracy"] - part["low"],
    }  # fmt: skip


def _add_oracle(figure: go.Figure, advice: Advice, table) -> None:
    """The oracle as a line, where it does not flatten all others."""
    low = float(table["low"].min())
    top = float(table["high"].max())
    near = advice.oracle <= top + 0.5 * (top - low)
    if near:
        figure.add_hline(
            advice.oracle, line={"color": ORACLE, "dash": "dashdot", "width": 1.5},
            annotation_text="oracle",
            annotation_font={"color": TEXT[ORACLE]}, annotation_position="bottom left",
        )  # fmt: skip
        top = max(top, advice.oracle)
    room = max(0.08 * (top - low), 0.002)
    figure.update_yaxes(range=[max(low - room, 0), min(top + 2.2 * room, 1.03)])


def _finished(figure: go.Figure, advice: Advice, table, left_out: int) -> go.Figure:
    figure.update_yaxes(title_text="right", tickformat=".1%")
    figure.update_layout(
        title_text=_title(advice), margin={"l": 75, "r": 20, "t": 60, "b": 60},
        meta={"text": _words(advice, len(table), left_out)},
    )  # fmt: skip
    return figure


def _title(advice: Advice) -> str:
    right = dict(zip(advice.frontier["candidate"], advice.frontier["accuracy"], strict=True))
    if advice.chosen == advice.best_single.model:
        return "No ensemble is more accurate than one model here"
    gain = 100 * (right[advice.chosen] - advice.best_single.accuracy)
    text = f"{gain:+.1f} points".replace("-", "−") if abs(gain) >= 0.05 else "As accurate as it"
    price = dict(zip(advice.frontier["candidate"], advice.frontier["cost"], strict=True))
    text += " against the best single model" if abs(gain) >= 0.05 else ""
    text = text.replace("as it", "as the best single model")
    alone = price[advice.best_single.model]
    if alone > 0 and not np.isnan(price[advice.chosen]):
        text += f", at {100 * price[advice.chosen] / alone:.3g} % of its price"
    return text


def _words(advice: Advice, drawn: int, left_out: int) -> str:
    text = (
        f"{drawn} candidates by accuracy: the advised one, {excerpt(advice.chosen, 60)}, is right"
        f" on {percent(advice.accuracy.value)}; the best single model,"
        f" {excerpt(advice.best_single.model, 60)}, on {percent(advice.best_single.accuracy)}."
    )
    return text + (f" {left_out} more are in the table only." if left_out else "")


def _side(x: float, paid, log: bool) -> str:
    low, high = (np.log10([paid.min(), paid.max()])) if log else (paid.min(), paid.max())
    place = ((np.log10(x) if log else x) - low) / max(high - low, 1e-12)
    return "left" if place < 0.15 else "right" if place > 0.85 else "center"


def _label(name: str, most: int) -> str:
    return escaped(named(name, most))
