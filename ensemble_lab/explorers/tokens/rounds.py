"""Rounds of speculative decoding, token by token: who wrote it, and how it was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from unicodedata import east_asian_width

from ensemble_lab.catalogue import data_folder
from ensemble_lab.core.errors import several, shown
from ensemble_lab.tokens.traces import TOP, VERDICTS, Place, Trace, read_traces
from ensemble_lab.widgets.axes import Axes, axis
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.plain import named, whole
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG, marker

KEYS = ("prompt", "draft", "gamma", "temperature")
COPY, CHAT = {"prompt": "a text to copy"}, {"prompt": "chat", "temperature": 1.0}
LOOKUP, EXIT = "SmolLM2: prompt lookup", "SmolLM2: untrained early exit"
OPENS = COPY | {"draft": LOOKUP, "gamma": 8, "temperature": 0.7, "token": 12}
A_SUM = {"prompt": "a sum", "draft": "tiny: untrained early exit", "gamma": 8, "temperature": 0.7}
VIEWS = {
    "eight at once": OPENS,
    "a correction": A_SUM | {"token": 3},
    "chat, copied": Failing(CHAT | {"draft": LOOKUP, "gamma": 4, "token": 15}),
    "early exit": Failing(CHAT | {"draft": EXIT, "gamma": 8, "token": 3}),
}
ASKED = {  # what the recorded texts continue
    "chat": "Give me three tips for sleeping well.",
    "a text to copy": "Repeat word for word: The little boat sailed past the little house, and the"
    " little dog in the little boat barked at the little house.",
    "a sum": "What is 15 plus 27? Explain it step by step.",
}
LABELS = {
    "prompt": ("prompt", "What is to be continued."),
    "draft": ("draft", "Which target, and who writes ahead for it."),
    "gamma": ("gamma (drafted a round)", "How many tokens are drafted in a round."),
    "temperature": ("temperature", "0 takes the likeliest token; higher ones flatten p and q."),
}
ACCEPTED, CORRECTED, BONUS, PLAIN = VERDICTS
REJECTED, UNREAD = "rejected", "not looked at"
OWN = BIG, "#F8E1D1", {"lineposition": "under"}
# A token has the colour of the bars it was drawn from; its type tells the same without colour.
LOOKS = {
    ACCEPTED: (SMALL, "#D3E6F1", {}),
    CORRECTED: (COMBINED, "#CFECE3", {"weight": 700}),
    BONUS: OWN,
    PLAIN: OWN,
    REJECTED: (WRONG, "", {"lineposition": "through"}),
    UNREAD: (ORACLE, "", {"style": "italic"}),
}
KEY = {"accepted draft": ACCEPTED, "corrected": CORRECTED, "the target's own": BONUS,
       "rejected": REJECTED, "not looked at": UNREAD}  # fmt: skip
MIDDLE_LEFT = {"xanchor": "left", "yanchor": "middle"}
LETTER = 0.603  # the width of a fixed-width letter, of its size
SIZE, SMALLER = 16, 12  # pixels; the second of what is not in the text
BESIDE = 9  # pixels of a token's frame and the gap to the next
ACROSS = 740  # pixels of a line
LINES, DEEP, DRAFT = 3, 44, 32  # lines in sight; pixels of one, and of the draft below them
PROMPT = 20  # pixels of the prompt above them
LONGEST, LONG = 16, 133  # characters of a token and of a prompt that are shown


def explorer(traces: Trace | Sequence[Trace] | None = None) -> Explorer:
    """Step through a generation: who wrote each token, p, q and the residual.

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
    opens = OPENS if _known(OPENS, options, longest) else {}

    def shown(state: State) -> Trace:
        return grid[tuple(state.get(key, options[key][0]) for key in KEYS)]

    return Explorer(
        name="rounds",
        controls=(
            steps("token", "token of the text", range(1, longest + 1), opens.get("token", 1),
                  "Step through the text."),
            *(_control(key, options[key], opens.get(key)) for key in varied),
        ),
        draw=lambda state: draw(shown(state), state["token"]),
        presets=views(options, varied, longest, found),
        tasks=tasks(shown) if traces is None else (),
        sequence="token" if longest > 1 else None,
    )  # fmt: skip


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
        told = f"traces is a {type(traces).__name__}; give a list of what trace(target, …) makes"
        raise TypeError(told) from error
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
            named_so = zip(KEYS, setting, strict=True)
            told = ", ".join(f"{key}={shown(value, 40)}" for key, value in named_so)
            raise ValueError(f"no trace has {told}; give one for every combination")
    return grid


def _control(key: str, options: tuple, opens):
    label, help = LABELS[key]
    if key in ("gamma", "temperature"):
        ordered = tuple(sorted(options))
        default = ordered[len(ordered) // 2] if opens is None else opens
        return steps(key, label, ordered, default, help)
    return choice(key, label, options, opens, help)


def _known(state: State, options: Mapping, longest: int) -> bool:
    return all(state[key] in options[key] for key in KEYS) and state["token"] <= longest


def views(options: Mapping, varied: Sequence[str], longest: int, traces) -> dict[str, State]:
    """The presets that these traces can show; a correction is one at random, not greedy."""
    found = {}
    for title, state in VIEWS.items():
        if _known(state, options, longest):
            found[title] = type(state)({k: state[k] for k in state if k in (*varied, "token")})
    for one in traces if "a correction" not in found else ():
        at = next((i for i, (_, p) in enumerate(one.places, 1) if p.verdict == CORRECTED), None)
        if at and one.temperature > 0:
            setting = {key: getattr(one, key) for key in varied}
            return found | {"a correction": setting | {"token": at}}
    return found


def tasks(shown: Callable[[State], Trace]) -> tuple[Task, ...]:
    """What to find in the recorded texts; `shown` gives a state's trace."""

    def place(state: State) -> Place:
        places = shown(state).places
        return places[min(state["token"], len(places)) - 1][1]

    def lucky(here: Place) -> bool:
        return here.verdict == ACCEPTED and here.p[here.tokens.index(here.token)] < max(here.p)

    return (
        Task("Step to a bonus, which the target adds behind an accepted draft.",
             lambda state, picture: place(state).verdict == BONUS),
        Task("Step to a correction: why was the token above it rejected?",
             lambda state, picture: place(state).verdict == CORRECTED),
        Task("Find an accepted token although the target prefers another one.",
             lambda state, picture: lucky(place(state))),
        Task("Find a text for which drafts save next to nothing. What fails?",
             lambda state, picture: len(shown(state).places) < 1.3 * len(shown(state).rounds)),
    )  # fmt: skip


# -- the picture --------------------------------------------------------------------------------


def draw(one: Trace, token: int) -> Picture:
    """The text with one of its tokens chosen; the last where it is shorter."""
    at = min(token, len(one.places)) - 1
    number, place = one.places[at]
    spots = flow(one)
    lines = min(max(2, spots[-1][0] + 1), LINES)
    asked = _asked(one)
    top = PROMPT if asked else 0
    deep = top + lines * DEEP + DRAFT
    hidden = {"visible": False, "showticklabels": False}
    plain = {"showgrid": False, "zeroline": False}
    roles = {"tickvals": list(range(len(place.tokens))), "ticktext": _roles(place)}
    panels = mosaic(
        "words words / chances dice", widths=(7, 3), heights=(deep, 298 - deep), height=469,
        words=Axes(axis("", 0, ACROSS, **hidden), axis("", deep, 0, **hidden),
                  f"Prompt: {named(one.prompt, 25)}", 12),
        chances=Axes(axis("", -0.6, TOP - 0.4, **roles, **plain), axis("probability", 0, 1.05),
                     "At the outlined token"),
        dice=Axes(axis("r, drawn at random", 0, 1, **plain),
                  axis("", -1, 1, showticklabels=False, **plain), _odds(place), 24),
    )  # fmt: skip
    marks = panels.marks(place, chances=chances, dice=dice)
    notes = [
        *_row(panels.words, ACROSS - sum(wide(said, SMALLER) for said in KEY), -12, KEY.items()),
        *([panels.words.note(0, top / 2, asked, **MIDDLE_LEFT)] if asked else []),
        *text(panels.words, one, at, spots, lines, top),
        *draft(panels.words, one, number, deep - DRAFT / 2),
        panels.dice.note(0, -0.75, "accepted", SMALL, xanchor="left"),
        panels.dice.note(1, -0.75, "rejected", WRONG, xanchor="right"),
    ]
    return panels.picture(marks, finding(one, at), lambda: table(one), also(one, at), notes)


def _asked(one: Trace) -> str:
    """The prompt, where the title is too short for it or has only its name."""
    asked = named(ASKED.get(one.prompt, one.prompt), 1000)
    if asked == named(one.prompt, 25):
        return ""
    return asked if len(asked) <= LONG else f"{asked[: LONG - 1]}…"


def flow(one: Trace) -> list[tuple[int, float]]:
    """Line and left end, in pixels, of every token of the text."""
    spots, row, x = [], 0, 0.0
    for _, place in one.places:
        width = max(wide(place.token), wide(_rejected(place), SMALLER))
        if x and x + width > ACROSS:
            row, x = row + 1, 0.0
        spots.append((row, x))
        x += width
    return spots


def _rejected(place: Place) -> str:
    return place.drafted if place.verdict == CORRECTED else ""


def text(panel: Panel, one: Trace, at: int, spots, lines: int, top: float) -> list[dict]:
    """The lines around the chosen token, from `top` down; above a correction the rejected one."""
    first = max(0, min(spots[at][0] - 1, spots[-1][0] + 1 - lines))
    notes = []
    for i, ((row, x), (number, place)) in enumerate(zip(spots, one.places, strict=True)):
        if first <= row < first + lines:
            y = top + (row - first) * DEEP
            frame = {"bordercolor": INK} if number == one.places[at][0] else {}
            frame |= {"borderwidth": 3} if i == at else {}
            notes.append(token_box(panel, x, y + 29, place.token, place.verdict, **frame))
            if word := _rejected(place):
                word = word.lstrip("␣") or word
                notes.append(token_box(panel, x, y + 8, word, REJECTED, SMALLER))
    return notes


def draft(panel: Panel, one: Trace, number: int, y: float) -> list[dict]:
    """What the draft proposed in a round, as far as there is room."""
    here = one.rounds[number]
    said = f"Drafted in round {number + 1}:" + ("" if here.drafted else " nothing, a plain step")
    at = (ACCEPTED,) * here.accepted + (REJECTED,) + (UNREAD,) * len(here.drafted)
    start = panel.note(0, y, said, **MIDDLE_LEFT)
    return [start, *_row(panel, 6.5 * len(said) + 12, y, zip(here.drafted, at, strict=False))]


def _row(panel: Panel, x: float, y: float, tokens: Iterable[tuple[str, str]]) -> list[dict]:
    """Small tokens side by side, with what each of them is."""
    notes = []
    for word, kind in tokens:
        if x + wide(word, SMALLER) > ACROSS + 20:
            return [*notes, panel.note(0, y, "…", **MIDDLE_LEFT, xshift=x)]
        notes.append(token_box(panel, x, y, word, kind, SMALLER))
        x += wide(word, SMALLER)
    return notes


def token_box(panel: Panel, x: float, y: float, word: str, kind: str, size: int = SIZE, **more):
    """A token in its box, which begins `x` pixels from the panel's left end."""
    colour, ground, font = LOOKS[kind]
    font = {"family": "monospace", "size": size, **font}
    box = {"bgcolor": ground, "bordercolor": colour, "borderwidth": 1} if ground else {}
    place = {"xanchor": "center", "yanchor": "middle", "borderpad": 1}
    place["xshift"] = round(x + wide(word, size) / 2, 1)
    meaning = INK if ground else colour
    return panel.note(0, y, _shown(word), meaning, font=font, **(place | box | more))


def _shown(token: str) -> str:
    """A token that is short enough, with a blank before its word as a blank."""
    word = named(token, LONGEST)
    return word.replace("␣", "\u00a0") if word.strip("␣") else word


def wide(word: str, size: float = SIZE) -> float:
    """Pixels of a token in its box, with the gap to the next; Chinese signs are two wide."""
    letters = sum(1 + (east_asian_width(sign) in "WF") for sign in _shown(word))
    return letters * LETTER * size + BESIDE if word else 0.0


def chances(panel: Panel, place: Place) -> list[Mark]:
    """p, and q where there was a draft; the residual only where a correction is drawn from it."""
    drafted, corrected = place.drafted is not None, place.verdict == CORRECTED
    shown = {
        "p (target)": (place.p, True, BIG, ""),
        "q (draft)": (place.q, drafted, SMALL, "/"),
        "residual": (place.residual, corrected, COMBINED, "x"),
    }
    marks = []
    for i, (name, (heights, there, colour, shape)) in enumerate(shown.items()):
        x, y = (range(len(heights)), heights) if there else ((), ())
        more = {"offset": 0.27 * i - 0.4, "width": 0.25, "marker": {"pattern": {"shape": shape}}}
        more |= {"customdata": [*map(_shown, place.tokens)]}
        more["hovertemplate"] = "%{customdata}: %{y:.3g}"
        marks.append(panel.bars(x, y, colour, name, **more))
    return marks


def _roles(place: Place) -> list[str]:
    """Under each bar its token, and whether it was drafted or stands in the text."""
    roles = {place.drafted: "drafted", place.token: "written"}
    if place.drafted == place.token:
        roles = {place.token: "accepted"}
    return [f"{named(word, 13)}\n{roles.get(word, '')}" for word in place.tokens]


def dice(panel: Panel, place: Place) -> list[Mark]:
    """How small r must be for the drafted token to be accepted, and what it was."""
    odds = [] if place.ratio is None else [min(place.ratio, 1.0)]
    r = [] if place.r is None else [place.r]
    bar = {"orientation": "h", "width": 0.7, "key": False}
    down = marker(INK, 14) | {"symbol": "triangle-down", "color": INK}
    return [
        panel.bars(odds, [0] * len(odds), SMALL, "accepted", hovertemplate="p/q: %{x:.3g}", **bar),
        panel.bars([1 - one for one in odds], [0] * len(odds), WRONG, "rejected", base=odds,
                   marker={"pattern": {"shape": "x"}}, hoverinfo="skip", **bar),
        panel.points(r, [0.55] * len(r), INK, "r", size=14, look=down, key=False, cliponaxis=False,
                     label=f"r = {place.r:.3g}" if r else ""),
    ]  # fmt: skip


def _odds(place: Place) -> str:
    if place.drafted is None:
        return "Nothing drafted here"
    return f"p/q = {place.ratio:.3g}" + ("" if place.r is not None else ", no r: greedy")


# -- in words -----------------------------------------------------------------------------------


def finding(one: Trace, at: int) -> str:
    """What became of this token, and what its round was worth."""
    number, place = one.places[at]
    here = one.rounds[number]
    k, new = len(here.drafted), len(here.places)
    start = f"Token {at + 1} of {len(one.places)}: {_verdict(place)}\nRound {number + 1}: "
    if not k:
        return f"{start}nothing drafted, 1 token: a plain step"
    return (
        f"{start}{k} drafted, {here.accepted} accepted, {new} token{'s' * (new > 1)} for one"
        " reading by the target"
    )


def _verdict(place: Place) -> str:
    word, accepted = f"“{named(place.token, 24)}”", place.verdict == ACCEPTED
    if place.verdict == BONUS:
        return f"{word} is a bonus, drawn from p: all drafted tokens were accepted"
    if place.verdict == PLAIN:
        return f"{word} is the target's own, drawn from p"
    fate = f"{word} accepted" if accepted else f"“{named(place.drafted, 24)}” corrected to {word}"
    if place.r is None:
        return f"{fate}: the draft's choice {'is' if accepted else 'is not'} the target's"
    return f"{fate}, r = {place.r:.3g} {'<' if accepted else '≥'} p/q = {place.ratio:.3g}"


def also(one: Trace, at: int) -> str:
    """What the words say beyond the finding."""
    _, place = one.places[at]
    every = [p.verdict for _, p in one.places]
    counts = ", ".join(f"{every.count(kind)} {kind}" for kind in dict.fromkeys(every))
    bars = []
    for word, p, q, left in zip(place.tokens, place.p, place.q, place.residual, strict=True):
        told = [f"p {p:.2g}"] + [f"q {q:.2g}"] * (place.drafted is not None)
        told += [f"residual {left:.2g}"] * (place.verdict == CORRECTED)
        bars.append(f"“{named(word)}” {', '.join(told)}")
    chance = ""
    if place.drafted is not None:
        chance = f"A drafted token is accepted here in {1 - place.rejection:.0%}. "
    prompt = named(ASKED.get(one.prompt, one.prompt), 200)
    return (
        f"{chance}Likeliest tokens: {'; '.join(bars)}. The whole text has {len(every)} tokens in"
        f" {len(one.rounds)} rounds: {counts}. Target: {named(one.target)}. Prompt: {prompt}"
    )


def table(one: Trace):
    """One row a token: round, verdict, what was drafted, r, and probabilities."""
    rows = [
        {
            "token": whole(place.token),
            "round": number + 1,
            "verdict": place.verdict,
            "drafted": whole(place.drafted or "nothing"),
            "r": place.r,
            "p/q": place.ratio,
            "sum of min(p, q)": None if place.drafted is None else 1 - place.rejection,
            "p of the token": place.p[place.tokens.index(place.token)],
            "residual of the token": place.residual[place.tokens.index(place.token)],
        }
        for number, place in one.places
    ]
    frame = table_of(rows, range(1, len(rows) + 1), "place")
    return frame.astype({"r": float, "p/q": float, "sum of min(p, q)": float})
