"""Rounds of speculative decoding, token by token: who wrote it, who judged it, by which dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from ensemble_lab.catalogue import data_folder
from ensemble_lab.core.errors import several, shown
from ensemble_lab.explorers.tokens.round_traces import layout_of, traces_of
from ensemble_lab.tokens.traces import ACCEPTED, BONUS, CORRECTED, PLAIN, Trace, read_traces
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named, whole

if TYPE_CHECKING:
    from ensemble_lab.tokens.traces import Place

KEYS = ("prompt", "draft", "gamma", "temperature")
COPY, CHAT = {"prompt": "a text to copy"}, {"prompt": "chat", "temperature": 1.0}
LOOKUP, EXIT = "SmolLM2: prompt lookup", "SmolLM2: untrained early exit"
VIEWS = {
    "pays: a text to copy": COPY | {"draft": LOOKUP, "gamma": 8, "temperature": 0.0, "token": 9},
    "does not pay: chat with prompt lookup": CHAT | {"draft": LOOKUP, "gamma": 4, "token": 15},
    "does not pay: untrained early exit": CHAT | {"draft": EXIT, "gamma": 8, "token": 3},
}
HELP = {
    "prompt": "What is to be continued.",
    "draft": "Which target, and who writes ahead for it.",
    "gamma": "How many tokens are drafted in a round.",
    "temperature": "0 takes the likeliest token; higher ones flatten both laws.",
}


def explorer(
    traces: Trace | Sequence[Trace] | None = None,
) -> Explorer:
    """Step through a generation: the token's verdict, p, q and the residual.

    Parameters
    ----------
    traces : Trace or sequence of Trace, optional
        As `trace` makes them, one for every combination of what differs among them; by default
        recorded ones.

    Raises
    ------
    ValueError
        Nothing to show, or a combination that is missing or there twice.
    TypeError
        Something else than traces.
    """
    found = recorded() if traces is None else checked(traces)
    grid = by_setting(found)
    options = {key: tuple(dict.fromkeys(getattr(one, key) for one in found)) for key in KEYS}
    varied = [key for key in KEYS if len(options[key]) > 1]
    longest = max(len(one.places) for one in found)

    def shown(state: State) -> Trace:
        return grid[tuple(state.get(key, options[key][0]) for key in KEYS)]

    token = steps("token", "token of the text", range(1, longest + 1), 1, "Step through the text.")
    return Explorer(
        name="rounds",
        controls=(token, *(_control(key, options[key]) for key in varied)),
        draw=lambda state: draw(shown(state), state["token"]),
        presets=views(options, varied, longest, found),
        along="token",
        sequence="token" if longest > 1 else None,
        keep=("token",),
    )


@cache
def recorded() -> tuple[Trace, ...]:
    """The traces that travel with the package."""
    folder = data_folder() / "rounds"
    paths = [path for path in folder.glob("*.json") if not path.stem.endswith("_pairs")]
    return tuple(one for path in sorted(paths, reverse=True) for one in read_traces(path))


def checked(traces: Trace | Sequence[Trace]) -> tuple[Trace, ...]:
    """One trace or several, none of them empty."""
    try:
        found = (traces,) if isinstance(traces, Trace) else tuple(several(traces, "traces"))
    except (ValueError, TypeError) as error:
        kind = type(traces).__name__
        raise TypeError(
            f"traces is a {kind}; give a list of what trace(target, …) makes"
        ) from error
    for one in found:
        if not isinstance(one, Trace):
            raise TypeError(f"{type(one).__name__} is no Trace; trace(target, prompt, …) makes one")
    if not found or not all(one.places for one in found):
        raise ValueError("there is no token to show; give traces of at least one token each")
    return found


def by_setting(traces: Sequence[Trace]) -> dict[tuple, Trace]:
    """Setting to trace, of which there must be one each."""
    grid = {tuple(getattr(one, key) for key in KEYS): one for one in traces}
    if len(grid) < len(traces):
        raise ValueError("two traces have the same prompt, draft, gamma and temperature; name them")
    for setting in product(*(dict.fromkeys(part) for part in zip(*grid, strict=True))):
        if setting not in grid:
            prompt, draft, gamma, temperature = setting
            told = (
                f"prompt={shown(prompt, 40)}, draft={shown(draft, 40)}, gamma={shown(gamma)},"
                f" temperature={shown(temperature)}"
            )
            raise ValueError(f"no trace has {told}; give one for every combination")
    return grid


def _control(key: str, options: tuple):
    if key in ("gamma", "temperature"):
        ordered = tuple(sorted(options))
        label = "gamma (drafted tokens a round)" if key == "gamma" else key
        return steps(key, label, ordered, ordered[len(ordered) // 2], HELP[key])
    return choice(key, key, options, help=HELP[key])


def views(options: Mapping, varied: Sequence[str], longest: int, traces) -> dict[str, State]:
    """The presets that these traces can show; the first is a correction by the dice."""
    found = {}
    for one in traces:
        at = next((i for i, (_, p) in enumerate(one.places, 1) if p.verdict == CORRECTED), None)
        if at and one.temperature > 0:
            setting = {key: getattr(one, key) for key in varied}
            found["a correction"] = setting | {"token": at}
            break
    for title, state in VIEWS.items():
        known = all(state[key] in options[key] for key in KEYS) and state["token"] <= longest
        if known:
            found[title] = {k: v for k, v in state.items() if k in (*varied, "token")}
    return found


# -- the picture --------------------------------------------------------------------------------


def draw(one: Trace, token: int) -> Picture:
    """The text with one of its tokens chosen; the last where it is shorter."""
    at = min(token, len(one.places)) - 1
    said = finding(one, at)
    return Picture(
        traces=traces_of(one, at),
        layout=layout_of(one, at),
        finding=said,
        table=lambda: table(one),
        text=words(one, at, said.replace("\n", ". ")),
    )


def finding(one: Trace, at: int) -> str:
    """What became of this token, and what its round was worth."""
    number, place = one.places[at]
    here = one.rounds[number]
    k, new = len(here.drafted), len(here.places)
    start = f"Token {at + 1} of {len(one.places)}, “{named(place.token)}”: {_verdict(place)}"
    if not k:
        return f"{start}\nRound {number + 1}: nothing drafted, 1 token: a plain step"
    return (
        f"{start}\nRound {number + 1}: {k} drafted, {here.accepted} stayed, {new}"
        f" token{'s' * (new > 1)} for one reading by the target"
    )


def _verdict(place: Place) -> str:
    if place.verdict == BONUS:
        return "a bonus, drawn from p, since all drafted ones stayed"
    if place.verdict == PLAIN:
        return "the target's own, drawn from p"
    stays = place.verdict == ACCEPTED
    if place.r is None:
        same = "is" if stays else "is not"
        fate = "accepted" if stays else f"“{named(place.drafted)}” corrected"
        return f"{fate}, for the draft's choice {same} the target's"
    dice = f"r = {place.r:.3g} {'<' if stays else '≥'} p/q = {place.ratio:.3g}"
    return f"accepted, {dice}" if stays else f"“{named(place.drafted)}” corrected, {dice}"


def words(one: Trace, at: int, said: str) -> str:
    """The picture for those who cannot see it."""
    _, place = one.places[at]
    every = [p.verdict for _, p in one.places]
    counts = ", ".join(f"{every.count(kind)} {kind}" for kind in dict.fromkeys(every))
    laws = zip(place.tokens, place.p, place.q, place.residual, strict=True)
    bars = "; ".join(
        f"“{named(t)}” p {p:.2g}, q {q:.2g}, residual {left:.2g}" for t, p, q, left in laws
    )
    chance = (
        "" if place.drafted is None else f" A drafted token stays here in {1 - place.falls:.0%}."
    )
    return (
        f"{said}.{chance} Likeliest tokens: {bars}. The whole text has {len(every)} tokens in"
        f" {len(one.rounds)} rounds: {counts}. Written by {named(one.target)}."
    )


def table(one: Trace):
    """One row a token: round, verdict, what was drafted, the dice, and the laws' likeliest."""
    import pandas as pd

    rows = [
        {
            "token": whole(place.token),
            "round": number + 1,
            "verdict": place.verdict,
            "drafted": whole(place.drafted or "nothing"),
            "r": place.r,
            "p/q": place.ratio,
            "sum of min(p, q)": None if place.drafted is None else 1 - place.falls,
            "p of the token": place.p[place.tokens.index(place.token)],
            "residual of the token": place.residual[place.tokens.index(place.token)],
        }
        for number, place in one.places
    ]
    frame = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="place"))
    return frame.astype({"r": float, "p/q": float, "sum of min(p, q)": float})
