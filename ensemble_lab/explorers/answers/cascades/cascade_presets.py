"""Views of a table worth seeing: the best cascade, the best bargain, and one that fails."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble_lab.explorers.answers.cascades.cascade_replay import LEVELS, Replay
from ensemble_lab.explorers.answers.cascades.cascade_view import price
from ensemble_lab.widgets.explorer import State
from ensemble_lab.widgets.plain import named

MOST_PAIRED = 6  # models among which presets are looked for
PAYS = 0.95  # a preset pays where it is as right for less than this share of the price


def presets_of(replay: Replay, mode: str) -> dict[str, State]:
    """Found on the fitting half: the best bargain, the most right, and a pair that fails."""
    found = [_parity(replay, pair, mode) for pair in _pairs(replay)]
    if not found:
        return {}
    best = max(f.alone for f in found)
    to_best = [f for f in found if f.alone == best]
    bargain = min((f for f in to_best if f.pays), key=lambda f: f.share, default=None)
    top = max(found, key=lambda f: f.alone + f.gain)
    failing = next((f for f in to_best if not f.pays), None)
    presets = {}
    if bargain:
        presets[f"{bargain.pair}: as right for less"] = bargain.state()
    if top.gain > 0:
        presets[f"{top.pair}: as right as it gets"] = top.state(top.best)
    if failing:
        presets[f"{failing.pair}: does not pay"] = failing.state()
    else:  # all pay at their best setting, but none where it is never sure enough
        dear = max(to_best, key=lambda f: f.share)
        presets[f"{dear.pair}, always: does not pay"] = dear.state(len(LEVELS) - 1)
    return presets


class Parity(NamedTuple):
    """Where a pair equals its big model: setting `at`, for a `share` of the big one's price.

    `best` is the setting that is the most right, `gain` how much more than the big one `alone`.
    """

    small: str
    big: str
    alone: float
    share: float
    at: int
    best: int
    gain: float

    @property
    def pair(self) -> str:
        return f"{named(self.small)}, then {named(self.big)}"

    @property
    def pays(self) -> bool:
        return self.share < PAYS

    def state(self, at: int | None = None) -> State:
        # Where all must be asked, the last setting that leaves the small model a say is shown.
        level = float(LEVELS[min(self.at, len(LEVELS) - 2) if at is None else at])
        return {"small": self.small, "big": self.big, "threshold": level}


def _parity(replay: Replay, pair: tuple[str, str], mode: str) -> Parity:
    sweep = replay.sweep(pair, mode, True)
    gain = np.nan_to_num(sweep.gain, nan=-1.0)
    alone = float(np.nan_to_num(replay.half(pair[0], True).select(models=pair).accuracy()[1]))
    enough = np.flatnonzero(gain > -1e-12)  # a sum of differences may end a digit below 0
    at, best = int(enough[0]) if len(enough) else len(LEVELS) - 1, int(gain.argmax())
    small, big = pair
    spent = replay.price.factor * np.nan_to_num(sweep.price[at], nan=np.inf)
    share = spent / max(price(replay, small, big), 1e-12)
    return Parity(small, big, alone, float(share), at, best, float(gain[best]))


def _pairs(replay: Replay) -> list[tuple[str, str]]:
    """(small, big), the cheapest small ones first, with bigs that are more right and dearer."""
    models = replay.fit.models
    accuracy = replay.fit.accuracy()
    paid = {name: price(replay, models[0], name) for name in models}
    known = [j for j, name in enumerate(models) if not np.isnan([accuracy[j], paid[name]]).any()]
    top = sorted(known, key=lambda j: -accuracy[j])[:MOST_PAIRED]
    cheap = sorted(known, key=lambda j: paid[models[j]])[:MOST_PAIRED]
    same = replay.price.word == "calls"  # then every other model's call is worth one
    return [
        (models[i], models[j])
        for j in top
        for i in cheap
        if accuracy[i] < accuracy[j] and (same or paid[models[i]] < paid[models[j]])
    ]
