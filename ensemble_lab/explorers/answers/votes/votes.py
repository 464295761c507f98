"""Votes over any outcomes: who is rescued, who is ruined, and how much the members agree."""

from __future__ import annotations

import numpy as np

from ensemble_lab.answers.diversity import condorcet
from ensemble_lab.answers.voting import Vote
from ensemble_lab.core.intervals import mean_interval, share_interval
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.explorers.answers.votes import vote_traces as trace
from ensemble_lab.explorers.answers.votes.vote_replay import Replay, Tally, nanmean, presets
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.controls import choice, many, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named, one_line

# Name, label, options, default and help.
VOTERS = (
    "voters",
    "voters (% of the members, the most trusted first)",
    range(10, 101, 10),
    100,
    "How many of the members are let vote: drag it to see when more heads help.",
)
CORRELATION = (
    "correlation",
    "error correlation in Condorcet's formula",
    np.round(np.arange(0, 1.01, 0.05), 2),
    0.0,
    "Moves the open diamond only: 0 is independent errors, 1 is copies.",
)


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
        No graded answer, a policy that these outcomes do not allow, or a start that does not fit.
    """
    replay = Replay(outcomes, policy)
    views = presets(replay)
    members = views.get("the ten weakest", {}).get("members")
    if policy is not None:
        members = policy.members
    rules = tuple(replay.policies)
    crowd = len(outcomes.models) > 1
    missing = {f"rule: {rule}": reason for rule, reason in replay.lacking.items()}
    if not crowd:
        missing["voters"] = "there is one model, and a vote needs two; record another"
    controls = (
        many("members", "members", outcomes.models, members, "Who may vote; at least one."),
        choice("rule", "rule", rules, replay.started, "How the answers are combined."),
        *([steps(*VOTERS)] if crowd else []),
        steps(*CORRELATION),
    )
    return Explorer(
        name="votes",
        controls=controls,
        draw=lambda state: draw(replay, state),
        presets=views,
        along="voters" if crowd else "correlation",
        card=lambda state, item: card(replay, state, item),
        missing=missing,
        items=changed(replay, controls[0].default, controls[1].default),
    )


def changed(replay: Replay, members: tuple[str, ...], rule: str, most: int = 100) -> tuple:
    """Items worth a look: where the vote and the best member differ, else the first ones."""
    tally = replay.tally(members, rule)
    rows = np.flatnonzero((tally.voted > tally.alone) | (tally.voted < tally.alone))
    items = replay.shown.items
    return tuple((items[rows] if len(rows) else items)[:most].tolist())


def draw(replay: Replay, state: State) -> Picture:
    """The vote of `state` on the half that nothing is fitted on here."""
    tally = replay.tally(voters(replay, state), state["rule"])
    formula = jury(tally, state["correlation"])
    up, down = tally.voted > tally.alone, tally.voted < tally.alone
    wide, per = trace.stacking(tally, up, down)
    items = replay.shown.items
    traces = [
        trace.bars(tally),
        trace.ticks(tally),
        trace.diamond(formula["formula"], state["correlation"]),
        trace.diamond(formula["measured"], None),
        trace.dots(tally, up, 1, wide, per, items),
        trace.dots(tally, down, -1, wide, per, items),
        trace.heat_map(tally),
    ]
    said = finding(tally, state, int(up.sum()), int(down.sum()))
    return Picture(
        traces=traces,
        layout=trace.layout(tally, trace.height(tally, up, down), per),
        finding=said,
        table=lambda: table(tally, state, formula),
        text=in_words(tally, said, formula, state, _items(replay, state)),
    )


def voters(replay: Replay, state: State) -> list[str]:
    """Who votes in `state`: the most trusted of its members."""
    return replay.most_trusted(state["members"], state["rule"], state.get("voters", 100))


def jury(tally: Tally, correlation: float) -> dict[str, float]:
    """Condorcet's chance of a right vote: independent, as set, and as correlated as measured."""
    mean = nanmean(tally.accuracies)
    measured = float(np.clip(np.nan_to_num(tally.mean_correlation), 0, 1))
    asked = {"independent": 0.0, "formula": correlation, "measured": measured}
    if np.isnan(mean):
        return dict.fromkeys(asked, float("nan"))
    return {name: float(condorcet(len(tally.members), mean, rho)) for name, rho in asked.items()}


# -- words and tables ---------------------------------------------------------------------------


def finding(tally: Tally, state: State, rescued: int, ruined: int) -> str:
    """What the vote was worth, in a sentence."""
    of, rule = len(state["members"]), state["rule"]
    both, m = ~np.isnan(tally.voted - tally.alone), len(tally.members)
    if not both.any():
        return "None of these members' answers is graded on this half of the items"
    # Compared where both have an answer: the items that one leaves out may be the hard ones.
    vote, best = nanmean(tally.voted[both]), nanmean(tally.alone[both])
    if m == 1:
        return f"One member is no vote: {best:.1%} with it, {best:.1%} without"
    rho = tally.mean_correlation
    agree = "" if np.isnan(rho) else f"; their errors correlate by {rho:.2f}"
    who = f"{m} members" if m == of else f"{m} of {of} members"
    share = both.mean()
    where = "" if share > 0.995 else f" on the {share:.0%} that both answer"
    return (
        f"{who}, {rule}: {vote:.1%}, {_compared(tally)} the best of them alone ({best:.1%}){where}"
        f"\n{rescued:,} items rescued, {ruined:,} ruined{agree}"
    )


def _compared(tally: Tally) -> str:
    """Points more or fewer; where the paired 95 % interval holds zero, that nothing is clear."""
    points = 100 * (tally.voted - tally.alone)
    low, high = mean_interval(points, bounds=(-100, 100))
    if low > 0 or high < 0:
        return f"{abs(nanmean(points)):.1f} points {'more' if low > 0 else 'fewer'} than"
    spread = "" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]"
    return f"not clearly apart ({nanmean(points):+.1f}{spread} points) from"


def _items(replay: Replay, state: State) -> str:
    """Which items are shown, and that nothing was fitted on them only where that is known."""
    if not replay.halved:
        return "the only item"
    if replay.chosen and state["rule"] == replay.started:
        return f"{len(replay.shown)} items; vote chosen by you; these items may have been used"
    return "the half of the items that nothing was fitted on"


def in_words(tally: Tally, said: str, formula: dict, state: State, items: str) -> str:
    """The picture for those who cannot see it."""
    return (
        f"{one_line(said, '. ')}. Shown on {items}. Best member: {named(tally.best)}."
        f" An oracle over the members would reach {tally.oracle:.1%}. Condorcet's formula gives"
        f" {formula['formula']:.1%} at correlation {state['correlation']:g} and"
        f" {formula['measured']:.1%} at the one measured.{trace.heat_map_in_words(tally)}"
    ).replace("nan%", "unknown")


def table(tally: Tally, state: State, formula: dict):
    """The picture in numbers: shares, with their 95 % interval where they are of items.

    Of the heat map it has each member's mean error correlation with the others.
    """
    import pandas as pd

    graded = ~np.isnan(tally.voted)
    change = tally.voted - tally.alone
    compared = int((~np.isnan(change)).sum())
    rows = [
        (tally.best + " (best alone)", nanmean(tally.alone), int((~np.isnan(tally.alone)).sum()))
    ]
    rows += [(f"vote: {state['rule']}", nanmean(tally.voted), int(graded.sum()))]
    if compared:
        rows += [("rescued", (change > 0).sum() / compared, compared)]
        rows += [("ruined", (change < 0).sum() / compared, compared)]
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
    agree = [nanmean(row) for row in apart]
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
