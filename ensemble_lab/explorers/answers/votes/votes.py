"""Votes over any outcomes: who is rescued, who is ruined, and how much the members agree."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from ensemble_lab.answers.diversity import condorcet
from ensemble_lab.answers.voting import Vote
from ensemble_lab.core.intervals import mean_interval, share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.unknown import mean_of_known
from ensemble_lab.explorers.answers.votes.vote_replay import Replay, Tally, presets
from ensemble_lab.widgets.axes import FRAMED, Axes, axis, rows_of, shares
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.controls import choice, many, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, marker

VOTERS = np.arange(10, 101, 10)
CORRELATIONS = np.round(np.arange(0, 1.01, 0.05), 2)
VOTE, PICKED, HINDSIGHT, EACH, AS_SET, MEASURED, REACH, GUESSERS = range(8)  # rows, from the top
NAMES_IN_SIGHT = 12  # more members have no names beside the heat map
MOST_BESIDE, MOST_ITEMS = 20, 100  # characters of a name there on one line; items of the card
LINE = 103  # characters of the title
DOTS_WIDE, DOTS_HIGH = 84, 24  # what the panel of items has room for
SHADE = [[0, "#DEEBF7"], [0.5, "#6BAED6"], [1, "#08306B"]]  # light to dark: it works without hue
CHANGED = {
    1: ("rescued", "the one picked beforehand is wrong, the vote right", COMBINED),
    -1: ("ruined", "the one picked beforehand is right, the vote wrong", WRONG),
}
TICK = {"symbol": "line-ns-open", "color": INK, "line": {"width": 3, "color": INK}}
GHOST = {"symbol": "line-ns", "color": ORACLE, "line": {"width": 2, "color": ORACLE}}


def explorer(outcomes: Outcomes, policy: Vote | None = None) -> Explorer:
    """Who votes, by which rule, and what that does to every item.

    Weights and the order of trust are fitted on one half of the items, everything shown is of
    the other half. What a policy brings of them stands, and the words say so: the items shown may
    have been used to choose it.

    Parameters
    ----------
    outcomes : Outcomes
    policy : Vote, optional
        Starts with its rule, members and weights.

    Raises
    ------
    ValueError
        No graded answer, or a policy that these outcomes do not allow.
    """
    replay = Replay(outcomes, policy)
    views = presets(replay)
    members = views.get("the ten weakest", {}).get("members")
    if policy is not None:
        members = policy.members
    crowd = len(outcomes.models) > 1
    missing = {f"rule: {rule}": reason for rule, reason in replay.lacking.items()}
    if not crowd:
        missing["voters"] = "there is one model, and a vote needs two; record another"
    share = steps("voters", "voters (% of members)", VOTERS, 100,
                  "Only the most trusted members vote: drag it to see when more heads help."
                  )  # fmt: skip
    controls = (
        many("members", "members", outcomes.models, members, "Who may vote; at least one."),
        choice("rule", "rule", replay.policies, replay.started, "How answers are combined."),
        *([share] if crowd else []),
        steps("correlation", "Condorcet's correlation", CORRELATIONS, 0.0,
              "Moves Condorcet's line only: 0 is independent errors, 1 is copies."),
    )  # fmt: skip
    return Explorer(
        name="votes",
        controls=controls,
        draw=lambda state: draw(replay, state),
        presets=views,
        along="voters" if crowd else "correlation",
        card=lambda state, item: card(replay, state, item),
        missing=missing,
        items=changed(replay, controls[0].default, controls[1].default),
    )  # fmt: skip


def changed(replay: Replay, members: tuple[str, ...], rule: str) -> tuple:
    """Items worth a look: where the vote and the best member differ, else the first ones."""
    tally = replay.tally(members, rule)
    rows = np.flatnonzero((tally.voted > tally.alone) | (tally.voted < tally.alone))
    items = replay.shown.items
    return tuple((items[rows] if len(rows) else items)[:MOST_ITEMS].tolist())


def draw(replay: Replay, state: State) -> Picture:
    """The vote of `state` on the half that nothing is fitted on here."""
    tally = replay.tally(voters(replay, state), state["rule"])
    formula = jury(tally, state["correlation"])
    m, few = len(tally.members), len(tally.members) <= NAMES_IN_SIGHT
    order = tally.by_likeness
    names = [in_two(named(tally.members[i])) if few else "" for i in order]
    rho = "" if np.isnan(tally.mean_correlation) else f" by {tally.mean_correlation:.2f}"
    reached, alike = replay.reach(state["members"])
    stacks = Stacks(tally)
    asked = f"how many of the {m} members are right" if m > 1 else "right (1) or wrong (0)"
    panels = mosaic(
        "shares pairs / items pairs",
        widths=(6, 5),
        heights=(8, 7),
        height=470,
        shares=Axes(shares("", *zoom(tally, formula, reached)), rows_of(_rows(state, m)),
                    "Share of items answered right", 122, 52),
        items=Axes(axis(asked, -0.6, m + 0.6, tickformat="d", dtick=max(1, -(-m // 12))),
                   stacks.axis, "", 122, 52),
        pairs=Axes(axis("", -0.5, m - 0.5, **FRAMED, showticklabels=False),
                   rows_of(names) | FRAMED | {"showticklabels": few, "tickfont": {"size": 11}},
                   f"Errors correlate{rho}", 176 if few else 16, 46),
    )  # fmt: skip
    marks = [
        *dots(panels.shares, tally, formula),
        stacks.mark(panels.items, replay.shown.items, 1),
        stacks.mark(panels.items, replay.shown.items, -1),
        heat(panels.pairs, tally, order, alike),
    ]
    also = in_words(tally, formula, state, _items(replay, state))
    return panels.picture(marks, finding(tally, state), lambda: table(tally, state, formula), also)


def voters(replay: Replay, state: State) -> tuple[str, ...]:
    """Who votes in `state`: the most trusted of its members."""
    return replay.most_trusted(state["members"], state["rule"], state.get("voters", 100))


def jury(tally: Tally, correlation: float) -> dict[str, float]:
    """Condorcet's chance of a right vote: independent, as set, and as correlated as measured."""
    mean = mean_of_known(tally.accuracies)
    measured = float(np.clip(np.nan_to_num(tally.mean_correlation), 0, 1))
    asked = {"independent": 0.0, "formula": correlation, "measured": measured}
    if np.isnan(mean):
        return dict.fromkeys(asked, float("nan"))
    return {name: right(len(tally.members), mean, rho) for name, rho in asked.items()}


@lru_cache(256)
def right(members: int, accuracy: float, correlation: float) -> float:
    """Condorcet's chance of a right vote, kept while other controls are moved."""
    return float(condorcet(members, accuracy, correlation))


# -- the panels ---------------------------------------------------------------------------------


def _rows(state: State, m: int) -> list[str]:
    """The names of the rows, in the order of their numbers."""
    return ["the vote", "picked beforehand", "best in hindsight",
            f"{m} members" if m > 1 else "the member", f"Condorcet at {state['correlation']:g}",
            "… as measured", "oracle", "… over guessers"]  # fmt: skip


def zoom(tally: Tally, formula: dict[str, float], reached: np.ndarray) -> tuple[float, float]:
    """What the axis of shares shows: all that may vote, too, so that it seldom jumps.

    An oracle over guessers may lie beyond it.
    """
    known = [*reached, mean_of_known(tally.voted), formula["independent"], formula["measured"]]
    known = [share for share in known if not np.isnan(share)] or [0.0, 1.0]
    low, high = np.floor(20 * min(known) - 0.4) / 20, np.ceil(20 * max(known) + 0.4) / 20
    return max(float(low), -0.03), min(float(high), 1.03)


def dots(panel: Panel, tally: Tally, formula: dict[str, float]) -> list[Mark]:
    """The vote, the best models alone, each member, and the bounds: a row for each."""
    ends = np.array(panel.axes.x["range"]) @ [[0.97, 0.03], [0.03, 0.97]]  # a little inside
    outside = {"symbol": "triangle-left" if tally.chance < ends[0] else "triangle-right"}
    hollow = {"color": ORACLE, "line": {"width": 2, "color": ORACLE}}
    star = hollow | ({"symbol": "star-open"} if ends[0] <= tally.chance <= ends[1] else outside)
    lost = len(tally.members) > 1 and lead(tally)[2] < 0
    others = tally.hindsight != tally.best
    return [
        panel.upright(formula["formula"], "Condorcet as set"),
        _dot(panel, tally.voted, VOTE, WRONG if lost else COMBINED, "vote", size=15),
        _dot(panel, tally.alone, PICKED, BIG, "picked beforehand"),
        _dot(panel, tally.alone_in_hindsight, HINDSIGHT, ORACLE, "best in hindsight",
             look=hollow | {"symbol": "square-open"}, label="" if others else "same"),
        panel.points(tally.accuracies, [EACH] * len(tally.members), SMALL, "each member", size=8,
                     key=False, customdata=[*map(named, tally.members)],
                     hovertemplate="%{customdata}: %{x:.1%}<extra></extra>"),
        _dot(panel, formula["formula"], AS_SET, INK, "Condorcet at this", look=TICK, size=14),
        _dot(panel, formula["measured"], MEASURED, ORACLE, "Condorcet as measured", look=GHOST),
        _dot(panel, tally.oracle, REACH, ORACLE, "oracle"),
        panel.estimate(np.clip(tally.chance, *ends), GUESSERS, ORACLE, "oracle over guessers",
                       label=_told(tally.chance), look=star, hoverinfo="skip"),
    ]  # fmt: skip


def _dot(panel: Panel, share, row: int, *look, label: str = "", **more) -> Mark:
    """A share, or right and wrong answers (n,) with the interval of their mean; and its number."""
    if np.ndim(share):
        of = (~np.isnan(share)).sum()
        share = mean_of_known(share)
        more["ends"] = tuple(end[0] for end in share_interval([share], [of]))
    return panel.estimate(share, row, *look, label=label or _told(share), **more)


def _told(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.1%}"


class Stacks:
    """Dots for the items that a vote changed, stacked over the number of members who are right.

    Where there is no room for a dot an item, each stands for `per` of them.
    """

    def __init__(self, tally: Tally):
        self.right, self.change = tally.supporters, np.nan_to_num(tally.voted - tally.alone)
        signs = 1, -1
        tall = [int(np.bincount(self.right[sign * self.change > 0], minlength=1).max())
                for sign in signs]  # fmt: skip
        room = max(1, DOTS_WIDE // (len(tally.members) + 1))
        self.wide = min(room, max(1, -(-sum(tall) // DOTS_HIGH)))  # -(-a // b) rounds up
        self.per = max(1, -(-sum(tall) // (self.wide * DOTS_HIGH)))
        least = max(*tall, DOTS_HIGH // 2) / 8
        ticks = sorted({0, *(s * top for s, top in zip(signs, tall, strict=True) if top >= least)})
        low, high = (-1.1 * max(tall[1], least), 1.1 * max(tall[0], least))
        self.axis = axis("items", low, high, tickvals=ticks, zeroline=True, zerolinecolor=INK,
                         ticktext=[f"{abs(tick):,}" for tick in ticks])  # fmt: skip

    def mark(self, panel: Panel, items: np.ndarray, sign: int) -> Mark:
        """The items rescued (sign 1) above the line, or those ruined (-1) below it."""
        rows = np.flatnonzero(sign * self.change > 0)
        told = f"{len(rows):,} {'rescued' if sign > 0 else 'ruined'}"
        if sign < 0 and self.per > 1:
            told += f" (a dot is {self.per:,})"
        rows = rows[np.argsort(self.right[rows], kind="stable")]
        column = self.right[rows]
        place = np.arange(len(rows)) - np.searchsorted(column, column)  # within the column
        kept = place % self.per == 0
        place, column, rows = place[kept] // self.per, column[kept], rows[kept]
        x = column + ((place % self.wide + 0.5) / self.wide - 0.5) * 0.8
        y = sign * (place // self.wide + 0.5) * self.wide * self.per
        name, meaning, colour = CHANGED[sign]
        mark = panel.points(
            x, y, colour, name, size=5, look=marker(colour) | {"line": {"width": 0}},
            customdata=[named(i) if isinstance(i, str) else i for i in items[rows].tolist()],
            hovertemplate=f"item %{{customdata}}: {meaning}<extra>{name}</extra>",
        )  # fmt: skip
        return replace(mark, said=told)


def heat(panel: Panel, tally: Tally, order: np.ndarray, ends: tuple[float, float]) -> Mark:
    """Whose errors go with whose, those alike side by side; the diagonal is left empty."""
    names = [named(tally.members[i]) for i in order]
    shown = tally.correlation[np.ix_(order, order)]
    bottom, top = panel.up
    bar = {"x": panel.across[1], "y": (bottom + top) / 2, "len": top - bottom, "ypad": 0,
           "thickness": 10, "outlinewidth": 0, "nticks": 6, "tickfont": {"size": 12}}  # fmt: skip
    return panel.heat(
        np.where(np.eye(len(order), dtype=bool), np.nan, shown),
        *[np.arange(len(order))] * 2, "pairs", *ends, SHADE, showscale=True, colorbar=bar,
        customdata=[[f"{a}\n{b}" for b in names] for a in names], hoverongaps=False,
        hovertemplate="%{customdata}<br>error correlation %{z:.2f}<extra></extra>",
    )  # fmt: skip


def in_two(name: str) -> str:
    """A long name on two lines, parted after the hyphen, blank or so nearest to its middle."""
    if len(name) <= MOST_BESIDE:
        return name
    middle = len(name) // 2
    ends = [at for at in range(8, len(name) - 7) if name[at - 1] in "-@/ :…"]
    at = min(ends, key=lambda at: abs(at - middle), default=middle)
    return f"{name[:at]}\n{name[at:]}"


# -- words and tables ---------------------------------------------------------------------------


def finding(tally: Tally, state: State) -> str:
    """What the vote was worth beside the best member, as picked beforehand and in hindsight."""
    change = tally.voted - tally.alone
    both, m, of = ~np.isnan(change), len(tally.members), len(state["members"])
    if not both.any():
        return "None of these members' answers is graded on this half of the items"
    # Compared where both have an answer: the items that one leaves out may be the hard ones.
    vote, best = mean_of_known(tally.voted[both]), mean_of_known(tally.alone[both])
    if m == 1:
        return f"One member is no vote: {best:.1%} with it, {best:.1%} without"
    who = f"{m} members" if m == of else f"{m} of {of} members"
    points, low, high = lead(tally)
    clear = low > 0 or high < 0
    level = f"{abs(points):.1f} points {'more' if low > 0 else 'fewer'} than"
    start = f"{who}, {state['rule']}: {vote:.1%}, {level if clear else 'not clearly apart from'} "
    end = f" ({best:.1%}), picked beforehand"
    first = start + named(tally.best, max(12, LINE - len(start + end))) + end
    then = f"{(change > 0).sum():,} items rescued, {(change < 0).sum():,} ruined"
    if not clear:
        spread = "" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]"
        then += f" ({points:+.1f}{spread} points)"
    if both.mean() <= 0.995:
        then += f" on the {both.mean():.0%} that both answer"
    if tally.hindsight != tally.best:
        end = f" is best ({mean_of_known(tally.alone_in_hindsight):.1%})"
        then += "; in hindsight "
        then += named(tally.hindsight, max(12, LINE - len(then + end))) + end
    return f"{first}\n{then}"


def lead(tally: Tally) -> tuple[float, float, float]:
    """Points by which the vote leads the member picked beforehand, and their 95 % interval."""
    points = 100 * (tally.voted - tally.alone)
    return mean_of_known(points), *mean_interval(points, bounds=(-100, 100))


def _items(replay: Replay, state: State) -> str:
    """Which items are shown, and that nothing was fitted on them only where that is known."""
    if not replay.halved:
        return "the only item"
    if replay.chosen and state["rule"] == replay.started:
        return f"{len(replay.shown)} items; vote chosen by you; these items may have been used"
    return "the half of the items that nothing was fitted on"


def in_words(tally: Tally, formula: dict, state: State, items: str) -> str:
    """What the words say beyond the finding."""
    told = (
        f"Shown on {items}. Picked beforehand: {named(tally.best)}; in hindsight:"
        f" {named(tally.hindsight)}. An oracle over the members would reach {tally.oracle:.1%}."
        f" Condorcet's formula gives {formula['formula']:.1%} at correlation"
        f" {state['correlation']:g} and {formula['measured']:.1%} at the one measured"
        f" ({tally.mean_correlation:.2f}).{_pairs_in_words(tally)}"
    )
    return told.replace("nan%", "unknown").replace("(nan)", "(unknown)")


def _pairs_in_words(tally: Tally) -> str:
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


def table(tally: Tally, state: State, formula: dict):
    """The picture in numbers: shares, with their 95 % interval where they are of items.

    Of the heat map it has each member's mean error correlation with the others.
    """
    import pandas as pd

    answers = {f"{tally.best} (picked beforehand)": tally.alone}
    if tally.hindsight != tally.best:
        answers[f"{tally.hindsight} (best in hindsight)"] = tally.alone_in_hindsight
    answers[f"vote: {state['rule']}"] = tally.voted
    change = tally.voted - tally.alone
    if not np.isnan(change).all():
        for what, sign in (("rescued", 1), ("ruined", -1)):
            answers[what] = np.where(np.isnan(change), np.nan, sign * change > 0)
    rows = [(what, mean_of_known(each), (~np.isnan(each)).sum()) for what, each in answers.items()]
    frame = pd.DataFrame(rows, columns=["what", "share", "items"]).set_index("what")
    frame["low"], frame["high"] = share_interval(frame["share"], frame["items"])
    bounds = {
        "oracle": tally.oracle,
        "oracle over guessers": tally.chance,
        "Condorcet, independent": formula["independent"],
        f"Condorcet at {state['correlation']:g}": formula["formula"],
        f"Condorcet at the measured {tally.mean_correlation:.2f}": formula["measured"],
    }
    each = zip(tally.members, tally.accuracies, strict=True)
    members = {f"member: {name}": share for name, share in each}
    others = pd.DataFrame({"share": {**bounds, **members}}).rename_axis("what")
    whole = pd.concat([frame, others])
    np.fill_diagonal(apart := tally.correlation.copy(), np.nan)
    agree = [mean_of_known(row) for row in apart]
    whole["error correlation"] = pd.Series(agree, index=list(members), dtype=float)
    return whole


def card(replay: Replay, state: State, item):
    """Who said what about one item, who was right, and what was chosen: a data frame."""
    import pandas as pd

    outcomes = replay.outcomes
    one = outcomes.take([row_of(outcomes.items, item)])
    policy, decision = replay.decide(voters(replay, state), state["rule"], one)
    columns = one.columns(policy.members)
    said = None if one.answer is None else one.answer[0, columns]
    rows = {
        "said": ["not recorded"] * len(columns) if said is None else _words(said, one.labels),
        "right": one.correct[0, columns],
    }
    if one.confidence is not None:
        rows["confidence"] = one.confidence[0, columns]
    if getattr(policy, "weights", None):
        rows["weight"] = [policy.weights[name] for name in policy.members]
    frame = pd.DataFrame(rows, index=list(policy.members))
    chosen = "no answer" if decision.abstained[0] else "not recorded"
    if decision.answer is not None and not decision.abstained[0]:
        chosen = str(decision.labels[decision.answer[0]])
    others = {"the vote": (chosen, decision.correct[0])}
    if one.truth is not None:
        others["the truth"] = _words(one.truth, one.labels)[0], 1.0
    # Laid below: a member may have one of these names.
    below = pd.DataFrame.from_dict(others, orient="index", columns=["said", "right"])
    return pd.concat([frame, below]).rename_axis(f"item {named(item)}")


def _words(codes: np.ndarray, labels) -> list[str]:
    missing = {-1: "not known", -2: "nothing readable"}
    return [str(labels[code]) if code >= 0 else missing[int(code)] for code in codes]
