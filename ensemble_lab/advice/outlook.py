"""The part of the page about tomorrow: what would change the advice, and how long people wait."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.advice import changes
from ensemble_lab.advice.advice import Advice
from ensemble_lab.advice.html import bullets, paragraph, table
from ensemble_lab.advice.picture import PER
from ensemble_lab.advice.prices import turning_prices
from ensemble_lab.advice.words import percent
from ensemble_lab.core.errors import excerpt
from ensemble_lab.core.online import OnlinePolicy

if TYPE_CHECKING:
    import pandas as pd

MOST_PRICED = 5  # models whose prices are moved: those that are asked, then the most expensive
LEAST, MOST = 0.1, 10.0  # factors on a price that a reader may meet


def changes_of(advice: Advice) -> list[str]:
    """By budget, by price, by the share of hard items and by time, as parts of a page."""
    parts = []
    steps = changes.by_budget(advice)
    if len(steps) > 1:
        rows = [[usd(row.budget), row.candidate, percent(row.accuracy)]
                for row in steps.itertuples()]  # fmt: skip
        caption = f"The most accurate candidate from each budget on, in USD per {PER:,.0f} items"
        parts.append(table(["from", "candidate", "right"], rows, caption))
    prices = changes.by_price(advice)
    always = len(prices) and (prices["calls"] == 1).all()
    lines = ["Every model that it uses is asked on every item."] * bool(always)
    for row in prices.itertuples():
        if always and not 0.01 <= row.factor <= 100:
            continue
        text = f"{excerpt(row.model, 60)} is asked on {percent(row.calls)} of the items"
        if 0.01 <= row.factor <= 100:  # NaN is not
            text += (
                f"; at {row.factor:.2g} times its price of today the advised policy costs as much"
                f" as {excerpt(advice.best_single.model, 60)} alone"
            )
        lines.append(text + ".")
    turns = turning_prices(advice).head(MOST_PRICED)
    parts.append(_turns(turns, advice.chosen))
    if len(turns) and "budget" not in advice.limits and turns[["down", "up"]].isna().all(axis=None):
        lines.append("Without a budget no change of one model's price changes the advice.")
    lines.append(_hardness(advice))
    parts.append(bullets([line for line in lines if line]))
    blocks = changes.by_block(advice)
    if len(blocks):
        rows = [
            [str(row.block), f"{row.rows:,}", percent(row.advised),
             "the same" if row.candidate == advice.chosen else
             f"{excerpt(row.candidate, 60)}, {percent(row.accuracy)}"]
            for row in blocks.itertuples()
        ]  # fmt: skip
        caption = "In each block of time, judged by fits on earlier blocks"
        parts.append(table(["block", "rows", "advised is right", "best there"], rows, caption))
    return parts


def _turns(turns: pd.DataFrame, chosen: str) -> str:
    """At which price of a model which other candidate is advised, as a table."""
    rows = []
    for turn in turns.itertuples():
        sides = ((turn.down, turn.then_down), (turn.up, turn.then_up))
        told = [
            f"{factor:.3g} times: {excerpt(then, 60) or 'none keeps the budget'}"
            if LEAST <= factor <= MOST  # NaN is not
            else "the same"
            for factor, then in sides
        ]
        if told != ["the same"] * 2:
            rows.append([turn.model, f"{turn.price:.3g}", *told])
    caption = (
        f"The factor on a price, from {LEAST:g} to {MOST:g}, at which another one is advised than"
        f" {excerpt(chosen, 60)}; the decisions stay as they are"
    )
    return table(["price of", "USD a call", "cheaper", "more expensive"], rows, caption)


def _hardness(advice: Advice) -> str:
    """Up to which share of hard items the advice stays."""
    found = changes.by_hardness(advice)
    if not len(found):
        return ""
    hard = changes.hard_rows(advice)[advice.scores.fold >= 0].mean()
    start = f"Items on which at most half of the models are right are {percent(hard)} of the table."
    stays = (found["candidate"] == advice.chosen).to_numpy()
    now = int(np.abs(found["share"] - hard).argmin())
    low = high = now
    while low > 0 and stays[low - 1]:
        low -= 1
    while high < len(stays) - 1 and stays[high + 1]:
        high += 1
    if stays.all():
        return f"{start} The advice is the same for any other share of them."
    turned = []
    for at, way in ((low - 1, "{} or fewer"), (high + 1, "{} or more")):
        if 0 <= at < len(found):
            there = found.iloc[at]
            turned.append(
                f"{way.format(percent(there.share, 0))} it would be"
                f" {excerpt(there.candidate, 60)} ({percent(there.accuracy)} against"
                f" {percent(there.advised)})"
            )
    if not turned:  # the shares beside it are not tried
        return start
    return f"{start} With {'; with '.join(turned)}."


def waits_of(advice: Advice) -> list[str]:
    """Latencies under load, as parts of a page; none where no latency is known."""
    if isinstance(advice.policy, OnlinePolicy) and advice.outcomes.latency is not None:
        text = "Waiting is not simulated for a policy that learns: its calls depend on the grades."
        return [paragraph(text)]
    found = changes.by_rate(advice)
    if not len(found):
        return []
    single = advice.best_single.model
    if advice.chosen == single:
        rows = [[f"{r.rate:.3g}", *map(seconds, r[4:6])] for r in found.itertuples()]
        header = ["requests a second", "median", "99 % within"]
    else:
        rows = [[f"{r.rate:.3g}", *map(seconds, r[2:6])] for r in found.itertuples()]
        header = ["requests a second", "advised: median", "99 % within",
                  f"{excerpt(single, 30)}: median", "99 % within"]  # fmt: skip
    servers = changes.servers_of(advice)
    used = [name for name in servers if name in _asked(advice)]
    counts = {servers[name] for name in used}
    each = f"each model has {_servers(counts.pop())}" if len(counts) == 1 else ", ".join(
        f"{excerpt(name, 30)} has {_servers(servers[name])}" for name in used)  # fmt: skip
    assumed = {"--rate": advice.rate, "--servers": advice.servers}
    assumed = [name for name, value in assumed.items() if value is None]
    text = f"Simulated: requests come at random, {each}, and each call takes a time of the table."
    if assumed:
        what = {"--rate": "The rates", "--servers": "The servers"}
        text += f" {' and '.join(what[name] for name in assumed).replace('and The', 'and the')} are"
        text += f" assumed: give yours with {' and '.join(assumed)}."
    text += (
        " Where models are hosted by others and do not queue, the table's latencies are what"
        " counts."
    )
    return [paragraph(text), table(header, rows, "Seconds from a request to its answer")]


def _asked(advice: Advice) -> list[str]:
    """The models that are simulated: those of the advised policy, and the best single one."""
    called = advice.policy.decide(advice.outcomes).called.any(axis=0)
    names = [name for name, own in zip(advice.outcomes.models, called, strict=True) if own]
    return [*names, advice.best_single.model]


def _servers(count: int) -> str:
    return f"{count:,} server" + ("" if count == 1 else "s")


def usd(cost: float) -> str:
    """USD per 10,000 items."""
    return "unknown" if math.isnan(cost) else f"{PER * cost:.4g}"


def seconds(value: float) -> str:
    """Seconds with three digits."""
    return "no end" if math.isnan(value) else f"{value:.3g} s"
