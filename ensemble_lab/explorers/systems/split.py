"""One model on two machines: where the time of a token goes, and the best cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensemble_lab.explorers.systems.split_times import (
    ANSWER,
    BANDWIDTHS,
    BITS,
    CUTS,
    LAYERS,
    PROMPT,
    RATIOS,
    TRIPS,
    Step,
    answer_by_cut,
    by_cut,
    step,
)
from ensemble_lab.widgets.axes import Axes, axis, log_axis, rows_of
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel, listed
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL

READING, WRITING = 5.0, 0.3  # seconds that the two time lines show
ROWS = ("device", "link", "server")

TASKS = (
    Task("Find a link over which the device alone is quicker than any cut.",
         lambda state, picture: int(_answers(state).argmin()) == LAYERS),
    Task("Let the prompt be read soonest by the server, and the whole answer by the device alone.",
         lambda state, picture: int(_firsts(state).argmin()) < LAYERS
         and int(_answers(state).argmin()) == LAYERS),
    Task("Let 8 bits save a fifth of the time to the first token.",
         lambda state, picture: state["bits"] == 8 and _saved(state, PROMPT)[1] > 0.2),
    Task("Let 8 bits save 3 % of the time of a later token.",
         lambda state, picture: state["bits"] == 8 and _saved(state, 1)[1] > 0.03),
)  # fmt: skip


def _step(state: State, tokens: int) -> Step:
    """What this state's step over so many tokens takes."""
    return step(tokens, **state)


def _answers(state: State) -> np.ndarray:
    return answer_by_cut(**{name: state[name] for name in state if name != "cut"})


def _firsts(state: State) -> np.ndarray:
    return by_cut(PROMPT, **{name: state[name] for name in state if name != "cut"})


def _saved(state: State, tokens: int) -> tuple[float, float]:
    """Seconds and share that 8 bits save of a step with 16."""
    wide, narrow = (_step({**state, "bits": bits}, tokens).seconds for bits in BITS)
    return wide - narrow, 1 - narrow / wide


def explorer() -> Explorer:
    """A model of 30 layers, cut between a device and a quicker server behind a link.

    Embeddings and head stay on the device. The speeds are supposed; formulas give the rest.

    References
    ----------
    Kang et al., Neurosurgeon: collaborative intelligence between the cloud and mobile edge, ASPLOS
    2017.
    Borzunov et al., Petals: collaborative inference and fine-tuning of large models, ACL 2023.
    """
    return Explorer(
        name="split",
        controls=(
            steps("cut", "layers on the device", CUTS, 15,
                  "The first layers run on the device, the other ones of 30 on the server."),
            steps("trip", "round trip (ms)", TRIPS, 50,
                  "There and back, without the bytes: 1 in a house, 20 in a country, 100 and more"
                  " over an ocean."),
            steps("bandwidth", "bandwidth (Mbit/s)", BANDWIDTHS, 100, "Of each direction."),
            steps("ratio", "server over device (times)", RATIOS, 4,
                  "How many times as fast as the device the server computes a layer."),
            choice("bits", "bits of a number at the cut", BITS, 16,
                   "8 bits have a scale for each token. What comes back has 16."),
        ),
        draw=draw,
        tasks=TASKS,
        presets={
            "a cable": {"cut": 0, "trip": 0, "bandwidth": 1000},
            "the same town": {"cut": 0, "trip": 5, "ratio": 8},
            "8 bits, long prompt": {"bits": 8, "bandwidth": 5, "trip": 20},
            "8 bits, decoding": Failing(bits=8, ratio=1),
            "over an ocean": Failing(trip=200, cut=0, ratio=16),
            "equal machines": Failing(ratio=1, trip=5),
        },
        along="trip",
        sequence="cut",
    )  # fmt: skip


def draw(state: State) -> Picture:
    """The prompt's time line, that of the first tokens, and the whole answer by cut."""
    rows = rows_of(ROWS)
    panels = mosaic(
        "reading cuts / writing cuts",
        widths=(10, 9),
        reading=Axes(axis("seconds", 0, READING), rows, f"Prompt ({PROMPT:,} tokens)", 52, 20),
        writing=Axes(axis("ms", 0, 1e3 * WRITING), rows, "Then", 52, 20),
        cuts=Axes(axis("layers on the device", -1, LAYERS + 1),
                  log_axis("", [0.1, 0.3, 1, 3, 10, 30]), "Seconds by cut", 40, 84),
    )  # fmt: skip
    marks = panels.marks(state, reading=reading, writing=writing, cuts=cuts)
    return panels.picture(marks, finding(state), lambda: table(state), also(state))


def reading(panel: Panel, state: State) -> list[Mark]:
    """The prompt goes through all layers at once."""
    return _time_line(panel, [_step(state, PROMPT)], 1.0, "prompt", key=False)


def writing(panel: Panel, state: State) -> list[Mark]:
    """One token after another, as many as begin in this time."""
    one = _step(state, 1)
    count = min(int(WRITING / one.seconds) + 1, 40)
    return _time_line(panel, [one] * count, 1e3, "tokens", key=True)


def _time_line(panel: Panel, every: list[Step], unit: float, what: str, key: bool) -> list[Mark]:
    """Who works when. The delay is half before and half after the server's work."""
    pieces = {"device": [], "delay": [], "bytes": [], "server": []}
    clock = 0.0
    for one in every:
        for kind, seconds in (("device", one.device), ("bytes", one.there), ("delay", one.trip / 2),
                              ("server", one.server), ("bytes", one.back),
                              ("delay", one.trip / 2)):  # fmt: skip
            pieces[kind].append((clock, seconds))
            clock += seconds
    looks = {"device": (0, SMALL, ""), "delay": (1, ORACLE, "/"), "bytes": (1, COMBINED, "."),
             "server": (2, BIG, "x")}  # fmt: skip
    marks = []
    for kind, (row, meaning, shape) in looks.items():
        begins, lasts = unit * np.array(pieces[kind]).T
        mark = (
            panel.bars(lasts, np.full(len(lasts), row), meaning, f"{what}: {kind}",
                       base=listed(begins), orientation="h", width=0.7, key=key and row == 1,
                       hovertemplate="%{x:.4~g}", marker={"pattern": {"shape": shape}})
        )  # fmt: skip
        marks.append(replace(mark, said=kind if mark.said else ""))
    return marks


def cuts(panel: Panel, state: State) -> list[Mark]:
    """The whole answer and the time to the first token, for every cut."""
    other = BITS[1] if state["bits"] == BITS[0] else BITS[0]
    found, beside = _answers(state), _answers({**state, "bits": other})
    first = _firsts(state)
    best = int(found.argmin())
    return [
        panel.upright(state["cut"]),
        panel.curve(CUTS, beside, ORACLE, "other bits", label=f"{other} bits"),
        panel.curve(CUTS, found, COMBINED, "answer", label="answer", width=4),
        panel.curve(CUTS, first, BIG, "first token", label="first token"),
        panel.points([best], [found[best]], INK, "best cut", size=15,
                     look={"color": INK, "symbol": "star"}),
        panel.points([state["cut"]] * 2, [found[state["cut"]], first[state["cut"]]], INK, "chosen",
                     size=10, key=False),
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def _placed(cut: int) -> str:
    ends = {0: "all layers on the server", LAYERS: "all layers on the device"}
    return ends.get(cut, f"{cut} layers on the device")


def finding(state: State) -> str:
    """Where a token's time goes, and what the bits or the cut are worth."""
    one = _step(state, 1)
    token = f"A token takes {1e3 * one.seconds:.1f} ms"
    if state["cut"] == LAYERS:
        token += ", all of it on the device: nothing crosses the link"
    else:
        computed, crossed = one.device + one.server, one.there + one.back
        token += (
            f": {1e3 * computed:.1f} computing, {1e3 * one.trip:.0f} the round trip,"
            f" {1e3 * crossed:.2f} the bytes"
        )
    if state["bits"] == 8 and state["cut"] < LAYERS:
        ms, share = _saved(state, 1)
        more, part = _saved(state, PROMPT)
        return (
            f"{token}\n8 bits save {1e3 * ms:.2f} ms of it ({share:.2%}), and {1e3 * more:.0f} ms"
            f" of the first token ({part:.1%})"
        )
    found = _answers(state)
    best, here = int(found.argmin()), found[state["cut"]]
    whole = f"The answer takes {here:.2f} s"
    if best == state["cut"]:
        return f"{token}\n{whole}, and no other cut is quicker"
    return f"{token}\n{whole}; quickest is {found[best]:.2f} s with {_placed(best)}"


def also(state: State) -> str:
    """What the words say beyond the finding."""
    first, found = _step(state, PROMPT), _answers(state)
    return (
        f"The prompt of {PROMPT:,} tokens takes {first.seconds:.2f} s:"
        f" {first.device:.2f} on the device, {first.there + first.back + first.trip:.2f} on the"
        f" link, {first.server:.2f} on the server. An answer has {ANSWER} tokens. Every cut sends"
        " as many bytes, so the time is a straight line in the cut: the quickest cut is at an end."
        f" The device alone takes {found[-1]:.2f} s. The grey line has the other number of bits."
    )


def table(state: State):
    """Every cut: the time to the first token, of a later one, and of the whole answer."""
    rest = {name: state[name] for name in state if name != "cut"}
    columns = {
        "first token (s)": _firsts(state),
        "later token (ms)": 1e3 * by_cut(1, **rest),
        "answer (s)": _answers(state),
    }
    return table_of(columns, CUTS, "layers on the device")
