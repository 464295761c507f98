"""An advice as one page: what to do first, then how sure that is, and everything it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ensemble_lab.advice.advice import Advice
from ensemble_lab.advice.html import (
    bullets,
    code,
    document,
    heading,
    paragraph,
    section,
    table,
)
from ensemble_lab.advice.outlook import changes_of, seconds, usd, waits_of
from ensemble_lab.advice.picture import PER, frontier_picture
from ensemble_lab.advice.words import bargain_told, counted, percent
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.whole import write_whole

MOST_ROWS = 200  # candidates in the table of the page


def write_advice(
    advice: Advice, path: str | Path, saved: Sequence[Path] = (), said: Sequence[str] = ()
) -> Path:
    """Write an advice as one HTML file that needs no network.

    Parameters
    ----------
    advice : Advice
    path : path
        Replaced at once where it exists.
    saved : sequence of Path
        The files of the policy, as `save_advised` returned them: the page says how to use them.
    said : sequence of str
        Doubts about the table itself, such as how its columns were understood.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        What is no `Advice`.
    OSError
        No such folder, or a full disk. The old file is kept.
    """
    if not isinstance(advice, Advice):
        raise TypeError(f"advice is {shown(advice, 60)}; give what advise(outcomes) returned")
    return write_whole(path, advice_page(advice, saved, said))


def advice_page(advice: Advice, saved: Sequence[Path] = (), said: Sequence[str] = ()) -> str:
    """The text of the page; see `write_advice`."""
    outcomes = advice.outcomes
    about = f"{counted(len(outcomes), 'row')} of {counted(len(outcomes.models), 'model')}"
    limits = {"budget": "a budget of {:g} USD an item", "latency": "at most {:g} s an item",
              "risk": "chosen for a risk of {:g}"}  # fmt: skip
    given = [limits[name].format(value) for name, value in advice.limits.items()]
    parts = [
        paragraph("Would an ensemble pay?", "small"),
        heading(advice.sentence()),
        paragraph(
            f"From {about}"
            + (f", {', '.join(given)}" if given else "")
            + ". Each policy was judged on rows that it was not fitted on; the interval holds with"
            " 95 % and has the luck of choosing the best of many taken out.",
            "small",
        ),
        paragraph(bargain_told(advice)) if advice.bargain() else "",
        paragraph(f"Not: {advice.what_not}.") if advice.what_not else "",
        _mixture(advice),
        "picture",
        section("How sure is that?", *_sure(advice)),
        section("What would change it?", *changes_of(advice)),
        section("How long do people wait?", *waits_of(advice)),
        section("Doubts", bullets([*said, *advice.said])),
        section("How to use it", *_usage(advice, saved)),
        section("All candidates", *_candidates(advice)),
        section("What bounds them", *_bounds(advice)),
    ]
    return document(
        f"Advice: {excerpt(advice.chosen, 60)}", parts, {"picture": frontier_picture(advice)}
    )


def _mixture(advice: Advice) -> str:
    """A word where chance alone does as well."""
    if advice.chosen == advice.best_single.model or not advice.mixture >= advice.accuracy.value:
        return ""
    return paragraph(
        f"A random mixture of two single models at the same price is right on"
        f" {percent(advice.mixture)}: what is advised is no better than that."
    )


def _sure(advice: Advice) -> list[str]:
    rows, rival = len(advice.outcomes), excerpt(advice.rival, 60)
    text = [
        f"The rows were drawn again 1,000 times, and the choice was made again each time:"
        f" {excerpt(advice.chosen, 60)} won in {percent(advice.sure, 0)} of the draws."
    ]
    if advice.rival and math.isinf(advice.needed_rows):
        text.append(
            f"It and {rival} are equally accurate on these rows, so no number of rows like these"
            " tells them apart: take the cheaper or simpler one."
        )
    elif advice.rival:
        enough = "enough" if advice.needed_rows <= rows else "not enough"
        text.append(
            f"About {counted(advice.needed_rows, 'graded row')} would tell it from {rival} (5 %"
            f" level, 80 % power); there are {rows:,}, which is {enough}."
        )
    often = advice.frontier[advice.frontier["chosen_in"] >= 0.0051].sort_values(
        "chosen_in", ascending=False
    )
    shares = [
        [row.candidate, percent(row.chosen_in, 0), percent(row.accuracy)]
        for row in often.head(5).itertuples()
    ]
    won = table(["won", "share of the draws", "right"], shares) if len(shares) > 1 else ""
    return [*(paragraph(one) for one in text), won]


def _usage(advice: Advice, saved: Sequence[Path]) -> list[str]:
    if not saved:
        return [paragraph("save_advised(advice.policy, 'advised.toml', outcomes) writes it to a"
                          " file that ensemble-lab serve takes.")]  # fmt: skip
    main = saved[0].name
    names = ", ".join(file.name for file in saved)
    if isinstance(advice.policy, OnlinePolicy):
        live = (
            "import ensemble_lab as lab\n\n"
            f"learner = lab.load_learner({main!r})  # continues after the last row\n"
            "time = learner.last + 1\n"
            "(place,) = learner.choose({…}, time)  # with what is known of the request\n"
            "print(learner.models[place])  # ask this model\n"
            "learner.learn(lab.Feedback(time, place, grade, cost, latency))  # now or later\n"
            f"learner.save({saved[-1].name!r})"
        )
        text = f"The policy and what it has learned are in {names}. It learns from grades, so your"
        return [paragraph(f"{text} program asks it for each request:"), code(live)]
    text = f"The policy is in {names}. Put the addresses of your models into {main}, then:"
    serve = f"ensemble-lab serve {main}"
    live = (
        "import ensemble_lab as lab\n\n"
        f"policy = lab.load_policy({main!r})\n"
        "models = {…}  # your models by name, such as lab.load('openai:http://…/v1#name')\n"
        "print(lab.run(policy, models, 'a question').answers)"
    )
    return [paragraph(text), code(serve), paragraph("Or in Python:"), code(live)]


def _candidates(advice: Advice) -> list[str]:
    frame = advice.frontier.sort_values(["accuracy", "cost"], ascending=[False, True])
    kept = frame.head(MOST_ROWS).reset_index(drop=True)
    priced, timed = kept["cost"].notna().any(), kept["latency"].notna().any()
    header = ["candidate", "family", "right", "95 %"]
    header += [f"USD per {PER:,.0f}"] * bool(priced) + ["seconds"] * bool(timed)
    header += ["chosen in"] + ["within limits"] * bool(advice.limits)
    rows = []
    for row in kept.itertuples():
        cells = [row.candidate, row.family, percent(row.accuracy),
                 f"[{100 * row.low:.1f}, {100 * row.high:.1f}]"]  # fmt: skip
        cells += [usd(row.cost)] * bool(priced) + [seconds(row.latency)] * bool(timed)
        cells.append(percent(row.chosen_in, 0) if row.chosen_in else "")
        cells += ["yes" if row.allowed else "no"] * bool(advice.limits)
        rows.append(cells)
    at = kept.index[kept["candidate"] == advice.chosen]
    left = len(frame) - len(kept)
    caption = "Judged on rows outside their fits; each interval as if it had been the only one"
    return [
        table(header, rows, caption, int(at[0]) if len(at) else -1),
        paragraph(f"{left:,} less accurate ones are left out of this table.") if left else "",
    ]


def _bounds(advice: Advice) -> list[str]:
    rows = [
        [f"best single model: {advice.best_single.model}", percent(advice.best_single.accuracy)]
    ]
    if not math.isnan(advice.mixture) and advice.chosen != advice.best_single.model:
        text = "random mixture of two models at the price of what is advised"
        rows.append([text, percent(advice.mixture)])
    rows.append(["oracle: a right model is always chosen", percent(advice.oracle)])
    if not math.isnan(advice.chance_oracle):
        text = "the same among as many random guessers"
        rows.append([text, percent(advice.chance_oracle)])
    return [table(["reference", "right"], rows)]
