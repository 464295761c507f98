"""When speculation pays: a map over acceptance and draft cost, with measured pairs on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

import numpy as np

from ensemble_lab.catalogue import data_folder
from ensemble_lab.tokens.lengths import best_gamma, speedup, tokens_a_round
from ensemble_lab.tokens.pairs import Pair, pair_of
from ensemble_lab.widgets.controls import steps
from ensemble_lab.widgets.explorer import Explorer, State
from ensemble_lab.widgets.picture import Picture
from ensemble_lab.widgets.plain import named as short
from ensemble_lab.widgets.plain import one_line, whole
from ensemble_lab.widgets.style import COMBINED, INK, ORACLE, SMALL, WRONG, line, marker

ALPHAS = np.round(np.arange(0, 1.001, 0.02), 2)
COSTS = np.round(np.arange(0, 1.001, 0.02), 2)
GAMMAS = range(1, 17)
TARGET_COSTS = np.round(np.arange(0.5, 3.001, 0.05), 2)
MAP = slice(None, None, 2)  # every second value: the map is smoothed between them
MOST = 5.0  # the darkest of the map
SLOWER = "does not pay: "


def explorer(pairs: Pair | Mapping | None = None) -> Explorer:
    """How much quicker a draft makes its target, for any acceptance and cost.

    Parameters
    ----------
    pairs : Pair, mapping of name to Pair, or mapping with alpha and c, optional
        Measured ones, as `measure_pair` gives them; each becomes a preset. By default recorded
        ones.

    Raises
    ------
    ValueError
        A pair that is none, or a start that does not fit.

    References
    ----------
    Leviathan, Kalman and Matias, 2023, theorem 3.8.
    """
    known = recorded() if pairs is None else named(pairs)
    first = position(next(iter(known.values())))
    return Explorer(
        name="speedup",
        controls=(
            steps("gamma", "gamma (drafted tokens a round)", GAMMAS, first["gamma"],
                  "How many tokens are drafted before the target looks."),
            steps("alpha", "alpha (chance to stay)", ALPHAS, first["alpha"],
                  "How often the target keeps what it examines."),
            steps("c", "c (a draft step, in plain steps)", COSTS, first["c"],
                  "What one drafted token costs; 0 for a lookup."),
            steps("v", "v (a verification, in plain steps)", TARGET_COSTS, first["v"],
                  "What reading gamma + 1 tokens at once costs; an early exit has done a part."),
        ),
        draw=lambda state: draw(state, known),
        presets={title(name, pair): position(pair) for name, pair in known.items()},
        along="gamma",
        sequence="gamma",
    )  # fmt: skip


@cache
def recorded() -> dict[str, Pair]:
    """The measured pairs that travel with the package."""
    found = {}
    for path in sorted((data_folder() / "rounds").glob("*_pairs.json"), reverse=True):
        found |= json.loads(path.read_text(encoding="utf-8"))["pairs"]
    return named(found)


def named(pairs: Pair | Mapping) -> dict[str, Pair]:
    """Name to pair; those without a draft are left out.

    Raises
    ------
    ValueError
        None is left, or one is no pair.
    """
    if not isinstance(pairs, Pair | Mapping):
        raise ValueError(
            f"pairs is a {type(pairs).__name__}; give a pair, or a dictionary from names to pairs"
        )
    if isinstance(pairs, Pair) or "alpha" in pairs:
        pairs = {"your pair": pairs}
    found = {whole(name): pair_of(pair) for name, pair in pairs.items()}
    if not found:
        raise ValueError("there is no pair to show; give at least one, with alpha and c")
    return found


def title(name: str, pair: Pair) -> str:
    """The name, said to fail where it does: as measured, or else by the formula."""
    worth = pair.formula if np.isnan(pair.speedup) else pair.speedup
    return name if worth >= 1 or name.startswith(SLOWER) else SLOWER + name


def position(pair: Pair) -> State:
    """Where a pair lies on the controls: the nearest of each."""
    grids = {"gamma": GAMMAS, "alpha": ALPHAS, "c": COSTS, "v": TARGET_COSTS}
    return {
        name: min(np.asarray(grid).tolist(), key=lambda value: abs(value - getattr(pair, name)))
        for name, grid in grids.items()
    }


# -- the picture --------------------------------------------------------------------------------


def draw(state: State, pairs: Mapping[str, Pair]) -> Picture:
    """The map at this gamma and v, and the draft lengths at this alpha and c."""
    said = finding(state)
    return Picture(
        traces=[*_map(state, pairs), *_lengths(state, pairs)],
        layout=_layout(state),
        finding=said,
        table=lambda: table(state, pairs),
        text=words(state, pairs, said),
    )


def finding(state: State) -> str:
    """What this point is worth, and which draft length would be best there."""
    alpha, c, v = (state[key] for key in ("alpha", "c", "v"))
    here, best = speedup(alpha, state["gamma"], c, v), best_gamma(alpha, c, v, max(GAMMAS))
    pays = "quicker than plain" if here > 1 else "slower than plain: it does not pay"
    start = f"{_tokens(state):.2f} tokens a round for {_cost(state):.2f} plain steps: {here:.2f} ×,"
    if not best:
        return f"{start} {pays}\nNo draft length pays here: decode plainly (gamma 0)"
    most = speedup(alpha, best, c, v)
    reach = ", the longest on the slider" if best == max(GAMMAS) else ""
    return f"{start} {pays}\nBest here would be gamma = {best}{reach}, with {most:.2f} ×"


def _tokens(state: State) -> float:
    return float(tokens_a_round(state["alpha"], state["gamma"]))


def _cost(state: State) -> float:
    return state["gamma"] * state["c"] + state["v"]


def _map(state: State, pairs: Mapping[str, Pair]) -> list[dict]:
    gamma, v = state["gamma"], state["v"]
    worth = [speedup(alpha, gamma, COSTS[MAP], v) for alpha in ALPHAS[MAP]]  # (alphas, costs)
    even = (tokens_a_round_of(ALPHAS, gamma) - v) / gamma  # c at which the speedup is 1
    inside = [(float(a), float(e)) for a, e in zip(ALPHAS, even, strict=True) if 0 <= e <= 1]
    hover = "alpha %{x:.2f}, c %{y:.2f}"
    return [
        {"type": "heatmap", "name": "speedup", "x": ALPHAS[MAP].tolist(),
         "y": COSTS[MAP].tolist(), "z": np.round(np.array(worth).T, 3).tolist(), "zmin": 0,
         "zmax": MOST, "zsmooth": "best", "colorscale": "Cividis", "reversescale": True,
         "colorbar": {"title": {"text": "×"}, "thickness": 10, "x": 0.57},
         "hovertemplate": f"{hover}: %{{z:.2f}} ×<extra></extra>"},
        {"type": "scatter", "mode": "lines", "name": "as quick as plain (1 ×)",
         "x": [a for a, _ in inside], "y": [e for _, e in inside], "line": line(INK),
         "hovertemplate": f"{hover}: 1 ×<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "measured pairs",
         "x": [p.alpha for p in pairs.values()], "y": [min(p.c, 1.0) for p in pairs.values()],
         "text": [*map(short, pairs)], "marker": marker(SMALL, 12),
         "hovertemplate": f"%{{text}}: {hover}<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "you are here", "x": [state["alpha"]],
         "y": [state["c"]], "marker": marker(COMBINED, 17), "hovertemplate": hover},
    ]  # fmt: skip


def tokens_a_round_of(alphas: np.ndarray, gamma: int) -> np.ndarray:
    """Expected tokens of a round for every alpha."""
    return np.array([float(tokens_a_round(alpha, gamma)) for alpha in alphas])


def _lengths(state: State, pairs: Mapping[str, Pair]) -> list[dict]:
    alpha, c, v = (state[key] for key in ("alpha", "c", "v"))
    lengths = np.arange(max(GAMMAS) + 1)
    worth = speedup(alpha, lengths, c, v)
    worth[0] = 1.0
    best, here = best_gamma(alpha, c, v, max(GAMMAS)), state["gamma"]
    axes = {"xaxis": "x2", "yaxis": "y2", "hovertemplate": "gamma %{x}: %{y:.2f} ×"}
    seen = [p for p in pairs.values() if position(p) == state and not np.isnan(p.speedup)]
    spread = {"type": "data", "symmetric": False, "color": SMALL, "thickness": 2,
              "array": [p.high - p.speedup for p in seen],
              "arrayminus": [p.speedup - p.low for p in seen]}  # fmt: skip
    return [
        {"type": "scatter", "mode": "lines", "name": "formula at this alpha, c and v",
         "x": lengths.tolist(), "y": np.round(worth, 4).tolist(), "line": line(COMBINED), **axes},
        {"type": "scatter", "mode": "lines", "name": "plain", "x": [0, max(GAMMAS)], "y": [1, 1],
         "line": line(ORACLE, 2), "showlegend": False, **axes},
        {"type": "scatter", "mode": "markers", "name": "best gamma", "x": [best],
         "y": [float(worth[best])], "marker": marker(ORACLE, 15), **axes},
        {"type": "scatter", "mode": "markers", "name": "gamma, by the formula", "x": [here],
         "showlegend": False, "y": [float(worth[here])],
         "marker": marker(COMBINED if worth[here] > 1 else WRONG, 14), **axes},
        {"type": "scatter", "mode": "markers", "name": "this pair, measured",
         "showlegend": False, "x": [p.gamma for p in seen], "y": [p.speedup for p in seen],
         "marker": marker(SMALL, 12), "error_y": spread, **axes},
    ]  # fmt: skip


def _layout(state: State) -> dict:
    frame = {"showline": True, "mirror": True, "linecolor": ORACLE}  # pale cells end somewhere
    lengths = np.arange(max(GAMMAS) + 1)
    most = float(np.max(speedup(state["alpha"], lengths, state["c"], state["v"])))
    return {
        "height": 500,
        "legend": {"orientation": "h", "y": -0.18},
        "xaxis": {"domain": [0, 0.55], "title": {"text": "alpha: drafted tokens that stay"},
                  "range": [-0.02, 1.02], "showgrid": False, "zeroline": False, **frame},
        "yaxis": {"title": {"text": "c: a draft step (plain steps)"}, "range": [-0.02, 1.02],
                  "showgrid": False, "zeroline": False, **frame},
        "xaxis2": {"domain": [0.7, 1], "anchor": "y2", "range": [-0.6, max(GAMMAS) + 0.6],
                   "title": {"text": "gamma (tokens)"}, "dtick": 4},
        "yaxis2": {"anchor": "x2", "range": [0, 1.15 * max(most, 2.0)],
                   "title": {"text": "speedup (×)"}},
    }  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def words(state: State, pairs: Mapping[str, Pair], said: str) -> str:
    """The picture for those who cannot see it."""
    setting = ", ".join(f"{key} {state[key]:g}" for key in ("alpha", "c", "v", "gamma"))
    told = [f"{short(name)}: {_measured(pair)}" for name, pair in pairs.items()]
    return f"{one_line(said, '. ')}. At {setting}. Measured pairs: {'; '.join(told)}."


def _measured(pair: Pair) -> str:
    at = f"alpha {pair.alpha:.2f}, c {pair.c:.2f}, v {pair.v:.2f}, gamma {pair.gamma}"
    taken = "" if np.isnan(pair.speedup) else f", measured {pair.speedup:.2f} ×"
    return f"{at}, formula {pair.formula:.2f} ×{taken}"


def table(state: State, pairs: Mapping[str, Pair]):
    """The point and every pair: alpha, c, v, gamma, the formula and what was measured."""
    import pandas as pd

    here = pair_of({key: state[key] for key in ("alpha", "c", "v", "gamma")})
    rows = [
        {"alpha": p.alpha, "c": p.c, "v": p.v, "gamma": p.gamma, "formula (×)": p.formula,
               "measured (×)": p.speedup, "least": p.low, "most": p.high,
               "best gamma": best_gamma(p.alpha, p.c, p.v, max(GAMMAS))}
        for p in (here, *pairs.values())
    ]  # fmt: skip
    return pd.DataFrame(rows, index=pd.Index(["you are here", *pairs], name="pair"))
