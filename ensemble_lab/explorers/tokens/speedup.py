"""When speculation pays: a map over acceptance and draft cost, with measured pairs on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

import numpy as np

from ensemble_lab.catalogue import data_folder
from ensemble_lab.tokens.lengths import best_gamma, speedup
from ensemble_lab.tokens.pairs import Pair, pair_of
from ensemble_lab.widgets.axes import FRAMED, Axes, axis
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel, reach
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.plain import named as short
from ensemble_lab.widgets.plain import whole
from ensemble_lab.widgets.style import COMBINED, INK, ORACLE, SMALL, WRONG

ALPHAS = np.round(np.arange(0, 1.001, 0.02), 2)
COSTS = np.round(np.arange(0, 1.001, 0.02), 2)
GAMMAS = range(1, 17)
TARGET_COSTS = np.round(np.arange(0.5, 3.001, 0.05), 2)
MAP = slice(None, None, 2)  # every second value: the map is smoothed between them
LEVELS = (0.5, 1.5, 2.0, 3.0)  # beside 1
FINE = np.linspace(0, 1, 201)
MOST = 2.0  # doublings of the darkest tones
TONES = [[0, "#D993B8"], [0.5, "#FFFFFF"], [1, "#58B999"]]  # light where a draft changes nothing

OPENS = "a text to copy, greedy, prompt lookup (smollm2)"
VIEWS = (  # recorded pairs that are presets
    "a text to copy, greedy, lookup, table and head (smollm2)",
    OPENS,
    "chat, greedy, lookup, table and head (smollm2)",
    "chat, prompt lookup (smollm2)",
    "chat, untrained early exit (smollm2)",
)
BRIEF = {"a text to copy, greedy,": "copying:", "chat, greedy,": "greedy chat:", "chat,": "chat:",
         "untrained ": "", "prompt lookup": "lookup", "lookup, table and head": "head",
         "its own small draft (tiny)": "small draft", " (smollm2)": ""}  # fmt: skip
"""How parts of the recorded pairs' names are shortened on the map."""


def _best(state: State) -> int:
    return best_gamma(state["alpha"], state["c"], state["v"], max(GAMMAS))


def _worth(state: State) -> float:
    return float(speedup(state["alpha"], state["gamma"], state["c"], state["v"]))


TASKS = (
    Task("Drag gamma to the best draft length.",
         lambda state, picture: state["gamma"] == _best(state)),
    Task("Drag alpha down until no draft length pays.",
         lambda state, picture: not _best(state) and state["c"] < 0.1),
    Task("Raise c until this draft is slower than plain decoding.",
         lambda state, picture: _worth(state) < 1 and state["alpha"] > 0.5),
    Task("Press a pair that does not pay. Which of its numbers fails?",
         lambda state, picture: _worth(state) < 1 and state["alpha"] < 0.1),
)  # fmt: skip


def explorer(pairs: Pair | Mapping | None = None) -> Explorer:
    """How much faster a draft makes its target, for any acceptance and cost.

    Parameters
    ----------
    pairs : Pair, mapping of name to Pair, or mapping with alpha and c, optional
        Measured ones, as `measure_pair` gives them; each becomes a preset. By default recorded
        ones.

    Raises
    ------
    ValueError
        A pair that is none.

    References
    ----------
    Leviathan, Kalman and Matias, 2023, theorem 3.8.
    """
    known = recorded() if pairs is None else named(pairs)
    first = position(known[OPENS] if pairs is None else next(iter(known.values())))
    called = {name: _brief(name) for name in (VIEWS if pairs is None else known)}
    return Explorer(
        name="speedup",
        controls=(
            steps("gamma", "gamma (drafted a round)", GAMMAS, first["gamma"],
                  "How many tokens are drafted before the target looks."),
            steps("alpha", "alpha (share accepted)", ALPHAS, first["alpha"],
                  "How often the target accepts a token that it examines."),
            steps("c", "c (cost of a draft step)", COSTS, first["c"],
                  "What one drafted token costs, in plain steps; 0 for a lookup."),
            steps("v", "v (cost of verifying)", TARGET_COSTS, first["v"],
                  "What reading gamma + 1 tokens at once costs, in plain steps; an early exit has"
                  " done a part."),
        ),
        draw=lambda state: draw(state, known),
        presets={title if list(called.values()).count(title) == 1 else name: preset(known[name])
                 for name, title in called.items()},
        sequence="gamma",
        tasks=TASKS if pairs is None else (),
    )  # fmt: skip


@cache
def recorded() -> dict[str, Pair]:
    """The measured pairs that travel with the package."""
    found = {}
    for path in sorted((data_folder() / "rounds").glob("*_pairs.json"), reverse=True):
        found |= json.loads(path.read_text(encoding="utf-8"))["pairs"]
    return named(found)


def named(pairs: Pair | Mapping) -> dict[str, Pair]:
    """Name to pair.

    Raises
    ------
    ValueError
        None is there, or one is no pair.
    """
    if not isinstance(pairs, Pair | Mapping):
        fix = "give a pair, or a dictionary from names to pairs"
        raise ValueError(f"pairs is a {type(pairs).__name__}; {fix}")
    if isinstance(pairs, Pair) or "alpha" in pairs:
        pairs = {"your pair": pairs}
    found = {whole(name): pair_of(pair) for name, pair in pairs.items()}
    if not found:
        raise ValueError("there is no pair to show; give at least one, with alpha and c")
    return found


def preset(pair: Pair) -> State:
    """A pair's state; it fails where it does not pay, as measured, or else by the formula."""
    worth = pair.formula if np.isnan(pair.speedup) else pair.speedup
    return position(pair) if worth >= 1 else Failing(position(pair))


def position(pair: Pair) -> State:
    """Where a pair lies on the controls: the nearest of each."""
    grids = {"gamma": GAMMAS, "alpha": ALPHAS, "c": COSTS, "v": TARGET_COSTS}
    return {
        name: min(np.asarray(grid).tolist(), key=lambda value: abs(value - getattr(pair, name)))
        for name, grid in grids.items()
    }


def _brief(name: str) -> str:
    """A pair's name on the map; what is usual in recorded ones is shortened."""
    for part, brief in BRIEF.items() if name in recorded() else ():
        name = name.replace(part, brief)
    return short(name, 30)


def points(pairs: Mapping[str, Pair]) -> tuple[list[float], list[float]]:
    """Where the pairs lie on the map."""
    return [p.alpha for p in pairs.values()], [min(p.c, 1.0) for p in pairs.values()]


# -- the picture --------------------------------------------------------------------------------


def draw(state: State, pairs: Mapping[str, Pair]) -> Picture:
    """The map at this gamma and v, and the draft lengths at this alpha and c."""
    lengths = np.arange(max(GAMMAS) + 1)
    worth = speedup(state["alpha"], lengths, state["c"], state["v"])
    worth[0] = 1.0  # plain decoding
    seen = [p for p in pairs.values() if position(p) == state and not np.isnan(p.speedup)]
    most = max(2.0, worth.max(), *(p.high for p in seen))
    panels = mosaic(
        "map lengths",
        widths=(5, 3),
        map=Axes(axis("alpha: share of examined tokens that are accepted", -0.02, 1.02, **FRAMED),
                 axis("c: cost of a draft step (plain steps)", -0.02, 1.02, **FRAMED),
                 "Speedup (×): pink slower, green faster", 54, 44),
        lengths=Axes(axis("gamma (drafted tokens a round)", -0.6, max(GAMMAS) + 0.6, dtick=4),
                     axis("", 0, 1.15 * most), "Speedup = (1 + α + … + α^γ) / (γc + v)", 30, 58),
    )  # fmt: skip
    marks = [
        *ground(panels.map, state, pairs, worth[state["gamma"]] > 1),
        *curve(panels.lengths, state, worth, seen),
    ]
    called = [_brief(name) for name in pairs]
    notes = [
        *levels(panels.map, state),
        *panels.map.names(*points(pairs), called, bgcolor="#FFFFFF"),
        *measured(panels.lengths, seen[:1]),
    ]
    told = finding(state), lambda: table(state, pairs), also(state, pairs)
    return panels.picture(marks, *told, notes)


def ground(panel: Panel, state: State, pairs: Mapping[str, Pair], pays: bool) -> list[Mark]:
    """The map, light where the speedup is 1; its contours, measured pairs and the reader."""
    gamma, v = state["gamma"], state["v"]
    worth = tokens(ALPHAS[MAP], gamma) / (gamma * COSTS[MAP, None] + v)  # (costs, alphas)
    others = [np.append(contour(level, gamma, v), [[np.nan], [np.nan]], 1) for level in LEVELS]
    hover = "alpha %{x:.2f}, c %{y:.2f}"
    return [
        panel.heat(np.log2(worth), ALPHAS[MAP], COSTS[MAP], "speedup", -MOST, MOST, TONES,
                   zsmooth="best", customdata=worth.round(3).tolist(),
                   hovertemplate=f"{hover}: %{{customdata:.2f}} ×<extra></extra>"),
        panel.curve(*np.concatenate(others, 1), INK, "other speedups", width=1.5, label=""),
        panel.curve(*contour(1.0, gamma, v), INK, "as fast as plain (1 ×)", width=4, label="",
                    line={"dash": "solid"}),
        panel.points(*points(pairs), SMALL, "measured pairs", size=9, key=False,
                     text=[*map(short, pairs)], hovertemplate=f"%{{text}}: {hover}"),
        panel.here(state["alpha"], state["c"], COMBINED if pays else WRONG, "you are here",
                   size=19),
    ]  # fmt: skip


def tokens(alphas: float | np.ndarray, gamma: int):
    """Expected tokens of a round, 1 + alpha + … + alpha^gamma, for one alpha or many."""
    return np.polyval(np.ones(gamma + 1), alphas)


def contour(level: float, gamma: int, v: float) -> np.ndarray:
    """Where the speedup is `level`: alpha and c (2, n), as far as the map goes."""
    c = (tokens(FINE, gamma) / level - v) / gamma
    inside = (c >= 0) & (c <= 1)
    return np.stack([FINE[inside], c[inside]])


def levels(panel: Panel, state: State) -> list[dict]:
    """Each contour's speedup at its end: beside the map, or within it under its upper edge."""
    notes, right = [], {"xanchor": "left", "yanchor": "middle", "xshift": 10}
    for level in (1.0, *LEVELS):
        x, y = contour(level, state["gamma"], state["v"])
        if len(x):
            side = "right" if x[-1] > 0.2 else "left"  # within the map
            off = -10 if side == "right" else 6  # from the line, which rises to the right
            within = {"xanchor": side, "yanchor": "top", "xshift": off}
            place = right if x[-1] == 1 else within
            font = {"weight": 700 if level == 1 else 400}
            height = y[-1] if x[-1] == 1 else 1.02
            notes.append(panel.note(x[-1], height, f"{level:g} ×", font=font, **place))
    return notes


def curve(panel: Panel, state: State, worth: np.ndarray, seen: list[Pair]) -> list[Mark]:
    """The speedup over the draft lengths: by the formula, the best, here, and as measured."""
    here, best = state["gamma"], best_gamma(state["alpha"], state["c"], state["v"], max(GAMMAS))
    taken, low, high = ([getattr(p, name) for p in seen] for name in ("speedup", "low", "high"))
    return [
        panel.upright(here, "gamma here"),
        panel.rule(1.0, ORACLE, "plain"),
        panel.curve(range(len(worth)), worth, COMBINED, "formula", width=4),
        panel.points([best], [worth[best]], ORACLE, "best gamma", size=15, label="best"),
        panel.here(here, worth[here], COMBINED if worth[here] > 1 else WRONG, "by the formula"),
        panel.points([p.gamma for p in seen], taken, SMALL, "this pair, measured", key=False,
                     error_y=reach(taken, low, high, SMALL)),
    ]  # fmt: skip


def measured(panel: Panel, seen: list[Pair]) -> list[dict]:
    """The word beside a measurement, on the side where the formula's point is not."""
    notes = []
    for p in seen:
        above = p.speedup > p.formula
        place = {"xanchor": "left", "xshift": 7, "yanchor": "bottom" if above else "top"}
        notes.append(panel.note(p.gamma, p.high if above else p.low, "measured", SMALL, **place))
    return notes


# -- in words -----------------------------------------------------------------------------------


def finding(state: State) -> str:
    """What this point is worth, and which draft length would be best there."""
    alpha, gamma, c, v = (state[key] for key in ("alpha", "gamma", "c", "v"))
    here, best = speedup(alpha, gamma, c, v), best_gamma(alpha, c, v, max(GAMMAS))
    pays = "faster than plain" if here > 1 else "slower than plain: it does not pay"
    cost = f"{tokens(alpha, gamma):.2f} tokens a round for {gamma * c + v:.2f} plain steps"
    start = f"{cost}: {here:.2f} ×, {pays}"
    if not best:
        return f"{start}\nNo draft length pays here: decode plainly (gamma 0)"
    reach = ", the longest on the slider" if best == max(GAMMAS) else ""
    return f"{start}\nBest here: gamma = {best}{reach}, with {speedup(alpha, best, c, v):.2f} ×"


def also(state: State, pairs: Mapping[str, Pair]) -> str:
    """What the words say beyond the finding."""
    told = []
    for name, p in pairs.items():
        at = f"alpha {p.alpha:.2f}, c {p.c:.2f}, v {p.v:.2f}, gamma {p.gamma}"
        taken = "" if np.isnan(p.speedup) else f", measured {p.speedup:.2f} ×"
        told.append(f"{short(name)}: {at}, formula {p.formula:.2f} ×{taken}")
    setting = ", ".join(f"{key} {state[key]:g}" for key in ("alpha", "c", "v", "gamma"))
    return f"At {setting}. Measured pairs: {'; '.join(told)}."


def table(state: State, pairs: Mapping[str, Pair]):
    """The point and every pair: alpha, c, v, gamma, the formula and what was measured."""
    here = pair_of({key: state[key] for key in ("alpha", "c", "v", "gamma")})
    rows = [
        {"alpha": p.alpha, "c": p.c, "v": p.v, "gamma": p.gamma, "formula (×)": p.formula,
               "measured (×)": p.speedup, "least": p.low, "most": p.high,
               "best gamma": best_gamma(p.alpha, p.c, p.v, max(GAMMAS))}
        for p in (here, *pairs.values())
    ]  # fmt: skip
    return table_of(rows, ["you are here", *pairs], "pair")
