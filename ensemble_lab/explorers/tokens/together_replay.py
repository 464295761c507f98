"""Two models that write one text, replayed: after each text that a rule can reach, what both think.

A deferral rule writes either the small model's first choice or the large one's. So the texts that
all rules write from one prompt form a tree with two branches at most, and it was recorded once.
Averaging and contrast may write a third token; their texts are recorded as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from ensemble_lab.catalogue import data_folder

MOST = 10  # tokens of the small model in a row, in big-little decoding
BIG_LITTLE, AVERAGE, CONTRAST = "big-little", "averaging", "contrast"
RULES = (BIG_LITTLE, "Chow", "Diff", "OPT", "V2", "V3", AVERAGE, CONTRAST)
BOTH = (AVERAGE, CONTRAST)  # every token is written by both models
ALPHAS = tuple(i / 10 for i in range(11))
ROLLBACKS = (0, 1, 2, 3, 5, 8, 12)  # nats
PAIRS = ("SmolLM2 and its draft", "SmolLM2 and four bits", "tiny")
KINDS = ("rest of a word", "short word", "longer word", "name", "number", "sign")
WITHIN = 1e-9  # 1 - 0.9 is not quite 0.1


class Setting(NamedTuple):
    """A rule with its numbers; `rollback` is of big-little decoding only."""

    rule: str
    alpha: float
    rollback: float


class Node(NamedTuple):
    """What both models think after one text.

    Parameters
    ----------
    small, large : int
        The number of each model's first choice.
    q, p : float
        The probability that each model gives its own first choice.
    loss : float
        -log of the large model's probability of `small`, in nats.
    distance : float
        The total variation of the two distributions.
    """

    small: int
    large: int
    q: float
    p: float
    loss: float
    distance: float


class Token(NamedTuple):
    """A written token: by whom, what was rolled back there, and what both thought before."""

    token: int
    by: str  # "small", "large" or "both"
    rolled_back: int | None
    node: Node
    loss: float  # of the written token, under the large model


@dataclass(frozen=True, eq=False)
class Tree:
    """A prompt, and the texts that can follow it.

    Parameters
    ----------
    prompt : str
    words : sequence of str
        Tokens by their number.
    nodes : sequence of Node
        The first stands behind the prompt.
    below : dict
        (node, token) to the node behind both, and the token's -log p.
    texts : dict
        "averaging" and "contrast" to one text for each of the `ALPHAS`.
    ends : frozenset of int
    """

    prompt: str
    words: Sequence[str]
    nodes: Sequence[Node]
    below: dict[tuple[int, int], tuple[int, float]]
    texts: dict[str, Sequence[Sequence[int]]]
    ends: frozenset[int]


@cache
def recorded() -> dict:
    """The file that `recipes/record_together.py` wrote."""
    return json.loads((data_folder() / "trees/together.json").read_text(encoding="utf-8"))


@cache
def trees(pair: str) -> dict[str, Tree]:
    """Name of a text to its tree."""
    found = {}
    for one in recorded()["pairs"][pair]:
        column = one["nodes"]
        nodes = [
            Node(small, large, q / 1e4, p / 1e4, loss, far / 1e4)
            for small, large, q, p, loss, far in zip(
                *(column[name] for name in ("small", "large", "q", "p", "small_loss", "distance")),
                strict=True,
            )
        ]
        ways = zip(column["parent"], column["token"], column["loss"], strict=True)
        below = {way[:2]: (i, way[2]) for i, way in enumerate(ways)}
        same = {name: one[name] for name in ("prompt", "words", "texts")}
        found[one["name"]] = Tree(nodes=nodes, below=below, ends=frozenset(one["ends"]), **same)
    return found


def needed(rule: str, node: Node | Places) -> float | np.ndarray:
    """The least alpha at which a rule keeps the small model's choice, at one place or at many.

    V1 of the paper is Diff here, since the small model's choice has its largest probability.
    """
    if rule == "Diff":
        return node.p - node.q
    if rule == "OPT":
        return (node.p - node.q) / np.maximum(node.distance, 1e-4)
    if rule == "V2":
        return node.p - np.exp(-node.loss)
    if rule == "V3":
        return 1 - np.exp(-node.loss) / node.p
    return 1 - node.q  # Chow, and the fallback of big-little decoding


def writes(setting: Setting, node: Node, run: int) -> tuple[str, int | None]:
    """Who writes the next token, and which one is rolled back there.

    `run` tokens of the small model stand before it; `MOST` at the start of big-little decoding.
    """
    if needed(setting.rule, node) > setting.alpha + WITHIN:
        return "large", None
    if setting.rule == BIG_LITTLE:
        if run >= MOST:
            return "large", None
        if node.loss > setting.rollback and node.small != node.large:
            return "large", node.small
    return "small", None


def follows(setting: Setting, place: int, node: Node, run: int, texts) -> tuple:
    """The next token, who writes it, and which one is rolled back there."""
    if setting.rule in BOTH:
        return texts[setting.rule][ALPHAS.index(setting.alpha)][place], "both", None
    by, back = writes(setting, node, run)
    return (node.small if by == "small" else node.large), by, back


@cache
def written(pair: str, text: str, setting: Setting) -> tuple[Token, ...]:
    """The text that this setting writes."""
    one, at, run, found = trees(pair)[text], 0, MOST, []
    for place in range(recorded()["tokens"]):
        node = one.nodes[at]
        token, by, back = follows(setting, place, node, run, one.texts)
        at, loss = one.below[at, token]
        found.append(Token(token, by, back, node, loss))
        run = run + 1 if by == "small" else 0
        if token in one.ends:
            break
    return tuple(found)


class Places(NamedTuple):
    """What both models think at each place of answers that neither of them writes here, (n,) each.

    `same` says whether both have the same first choice; `kind` is an index of `KINDS`.
    """

    kind: np.ndarray
    same: np.ndarray
    q: np.ndarray
    p: np.ndarray
    loss: np.ndarray
    distance: np.ndarray


@cache
def places(pair: str) -> Places:
    """Those of a pair, recorded on answers to the same tasks."""
    column = recorded()["places"][pair]
    scale = {"q": 1e4, "p": 1e4, "distance": 1e4}
    return Places(*(np.array(column[name]) / scale.get(name, 1) for name in Places._fields))


class Counts(NamedTuple):
    """Shares of the places by kind (kinds,): the small model's choice is written, or another one.

    Parameters
    ----------
    small : array
        It is written, and the large model's first choice is the same.
    other : array
        What is written is not the large model's first choice.
    """

    small: np.ndarray
    other: np.ndarray


@cache
def counts(pair: str, setting: Setting) -> Counts:
    """What a setting writes at the places of a pair."""
    at = places(pair)
    whole = np.bincount(at.kind.astype(int), minlength=len(KINDS))
    if setting.rule in BOTH:
        other = recorded()["combined"][pair][setting.rule][ALPHAS.index(setting.alpha)]
        return Counts(np.zeros(len(KINDS)), np.array(other) / whole)
    kept = needed(setting.rule, at) <= setting.alpha + WITHIN
    if setting.rule == BIG_LITTLE:
        kept &= (at.loss <= setting.rollback) | (at.same > 0)
    small, other = (
        np.bincount(at.kind[kept & (at.same == same)].astype(int), minlength=len(KINDS))
        for same in (1, 0)
    )
    return Counts(small / whole, other / whole)


class Shares(NamedTuple):
    """Of all places: written by the small model, and not the large model's first choice."""

    small: float
    other: float


@cache
def shares(pair: str, setting: Setting) -> Shares:
    """What a setting writes at the places of a pair, all kinds together."""
    each = counts(pair, setting)
    weights = np.bincount(places(pair).kind.astype(int), minlength=len(KINDS))
    small, other = (float(np.average(one, weights=weights)) for one in each)
    return Shares(0.0 if setting.rule in BOTH else small + other, other)


@cache
def frontier(pair: str, rule: str, rollback: float) -> tuple[list[float], list[float]]:
    """Shares written by the small model, and of other tokens, for each of the `ALPHAS`."""
    found = [shares(pair, Setting(rule, alpha, rollback)) for alpha in ALPHAS]
    return [one.small for one in found], [one.other for one in found]
