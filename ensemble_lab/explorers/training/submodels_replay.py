"""Submodels of networks that tell three spirals apart: by exit, by width, by bits of a weight.

One network is trained to answer at every exit of every width, another one as usual, and others
are as small as the submodels and trained alone. All is the mean over five of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from ensemble_lab.core.missing import require
from ensemble_lab.training.batched.losses import cross_entropy
from ensemble_lab.training.batched.members import Members
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.networks import perceptron
from ensemble_lab.training.submodels.losses import joint_loss

CLASSES, LAYERS, UNITS = 3, 3, 32
WIDTHS = (0.25, 0.5, 0.75, 1.0)
BITS = (1, 2, 3, 4, 6, 8)
THRESHOLDS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
MADE = ("trained for it", "ordinary", "codes cut short")
RUNS = range(5)
LEARNED, HELD_OUT, EPOCHS = 1500, 2000, 45
CELLS, EDGE = 60, 2.0  # of the map, along each side; where it ends
EDGES = np.linspace(-EDGE, EDGE, CELLS + 1)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
MAP = np.stack([one.ravel() for one in np.meshgrid(MIDDLES, MIDDLES)], axis=1)


def spirals(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 2) on three arms of a spiral, with noise along the turn, and their arms (n,)."""
    rng = np.random.default_rng(seed)
    arm, out = rng.integers(0, CLASSES, rows), rng.uniform(0.1, 1, rows)
    turn = 2 * np.pi * (arm / CLASSES + 1.1 * out) + rng.normal(0, 0.35, rows)
    places = 1.7 * out[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return places.astype(np.float32), arm


def held_out() -> list[tuple[np.ndarray, np.ndarray]]:
    """New places of each run, with their arms."""
    return [spirals(HELD_OUT, 100 + run) for run in RUNS]


def multiply_adds(units: int, layers: int, heads: int = 1) -> int:
    """How many of them so many hidden layers of so many units need, and so many heads."""
    return 2 * units + (layers - 1) * units**2 + heads * units * CLASSES


@dataclass(frozen=True, eq=False)
class Submodel:
    """Answers of one width and number of bits at every exit; axes: run, exit, place."""

    made: str
    units: int
    bits: int
    confidence: np.ndarray  # (5, exits, n)
    right: np.ndarray  # (5, exits, n)
    map_confidence: np.ndarray  # (exits, cells), of the first run
    map_answer: np.ndarray  # (exits, cells)

    def exits(self, threshold: float) -> np.ndarray:
        """The exit (5, n), from 0, by which each place leaves."""
        return leaves(self.confidence, threshold)

    def accuracy(self, threshold: float) -> np.ndarray:
        """Share right (5,) where each place leaves."""
        return _at(self.right, self.exits(threshold)).mean(-1)

    def compute(self, threshold: float) -> float:
        """Multiply-adds of 8 bits for a place, on average; one of 4 bits counts half.

        Where nobody leaves early, no head before the last is computed.
        """
        each = [multiply_adds(self.units, e + 1, 1 if threshold >= 1 else e + 1)
                for e in range(LAYERS)]  # fmt: skip
        return float(np.mean(np.array(each)[self.exits(threshold)])) * self.bits / 8

    def overthinks(self) -> float:
        """The share of places that an exit answers right and the end wrong."""
        return float((self.right[:, :-1].any(1) & ~self.right[:, -1]).mean())


def leaves(confidence: np.ndarray, threshold: float) -> np.ndarray:
    """The first exit whose confidence (…, exits, n) is above the threshold, else the last."""
    above = confidence > threshold
    above[..., -1, :] = True
    return above.argmax(-2)


def _at(values: np.ndarray, exits: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, exits[..., None, :], axis=-2)[..., 0, :]


def map_of(found: Submodel, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The exit of each cell of the map and its answer, (cells, cells) each, rows from below."""
    exits = leaves(found.map_confidence, threshold)
    return tuple(one.reshape(CELLS, CELLS) for one in (exits, _at(found.map_answer, exits)))


# -- training -----------------------------------------------------------------------------------


def _trained(make, loss=cross_entropy) -> Members:
    """Five networks, each on places of its own."""
    lots = [spirals(LEARNED, run) for run in RUNS]
    X, y = (np.concatenate(one) for one in zip(*lots, strict=True))
    rows = np.arange(len(X)).reshape(len(lots), LEARNED)
    return train_members(make, X, y, members=len(lots), loss=loss, rows=rows, epochs=EPOCHS,
                         batch_size=64, device="cpu", progress=False)  # fmt: skip


@cache
def alone(units: int, layers: int) -> tuple[Members, float]:
    """Networks of a size, trained as usual, and the share of new places that they get right."""
    found = _trained(partial(perceptron, 2, CLASSES, (units,) * layers))
    right = [
        (found.some([run]).outputs(X)[0].argmax(-1) == y).mean()
        for run, (X, y) in zip(RUNS, held_out(), strict=True)
    ]
    return found, float(np.mean(right))


@cache
def stored(made: str) -> Sequence:
    """The whole network of each run as codes of 8 bits, with its exits."""
    from ensemble_lab.explorers.training.submodels_network import Submodels, with_exits
    from ensemble_lab.training.submodels.precision import AnyPrecision

    if made == "ordinary":
        members = alone(UNITS, LAYERS)[0]
        return [AnyPrecision(with_exits(members.module(run))) for run in RUNS]
    units = [int(width * UNITS) for width in WIDTHS]
    heads = LAYERS * len(units)
    plain = partial(perceptron, 2, CLASSES, (UNITS,) * LAYERS)
    members = _trained(partial(Submodels, plain, units),
                       partial(joint_loss, shares=[1 / heads] * heads))  # fmt: skip
    return [AnyPrecision(members.module(run).exits) for run in RUNS]


@cache
def submodel(made: str, width: float, bits: int) -> Submodel:
    """What the submodel of that width and so many bits says at every exit."""
    require("training networks", "torch")
    from ensemble_lab.explorers.training.submodels_network import in_bits, said

    cut, units = made == "codes cut short", int(width * UNITS)
    sets = stored("trained for it" if cut else made)
    networks = [in_bits(codes, bits, cut) for codes in sets]
    confidence, right = [], []
    for network, (X, y) in zip(networks, held_out(), strict=True):
        proba = said(network, units, X, CLASSES)
        confidence.append(proba.max(-1))
        right.append(proba.argmax(-1) == y)
    drawn = said(networks[0], units, MAP.astype(np.float32), CLASSES)
    return Submodel(made, units, bits, np.array(confidence), np.array(right), drawn.max(-1),
                    drawn.argmax(-1))  # fmt: skip


@cache
def frontiers(made: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Multiply-adds and shares right of all exits, widths and bits, each with the others whole."""
    whole = submodel(made, 1.0, 8)
    ways = {
        "exits": [(whole, threshold) for threshold in THRESHOLDS],
        "widths": [(submodel(made, width, 8), 1.0) for width in WIDTHS],
        "bits": [(submodel(made, 1.0, bits), 1.0) for bits in BITS],
    }
    return {
        name: tuple(np.array([(one.compute(at), one.accuracy(at).mean()) for one, at in way]).T)
        for name, way in ways.items()
    }


@cache
def separately() -> tuple[np.ndarray, np.ndarray]:
    """The same of networks of the sizes of the widths, and of fewer layers, trained alone."""
    sizes = [(int(width * UNITS), LAYERS) for width in WIDTHS]
    sizes += [(UNITS, layers) for layers in range(1, LAYERS)]
    paid = [multiply_adds(*size) for size in sizes]
    return np.array(paid, float), np.array([alone(*size)[1] for size in sizes])
