"""Recorded draft trees, cut to any size and width, and what their rounds would take.

At each place of a greedy text the nodes that a draft would propose there are known, the likeliest
first. What is accepted then follows from the text alone: greedy decoding writes the same text with
any draft.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from ensemble_lab.catalogue import data_folder

FORMATS = ("bfloat16", "four bits", "bfloat16, 8 texts")


class Tree(NamedTuple):
    """Drafted tokens, the likeliest first: token, index of the parent (-1: none), and chance."""

    tokens: Sequence[int]
    parents: Sequence[int]
    chances: Sequence[float]


@dataclass(frozen=True, eq=False)
class Text:
    """A greedy text, and what each draft proposes at each of its places.

    Parameters
    ----------
    name, prompt : str
    words : list of str
        The tokens by their number.
    text : list of int
        The target's text.
    drafts : mapping of str to list of Tree
        For each draft one tree a token of the text.
    """

    name: str
    prompt: str
    words: Sequence[str]
    text: Sequence[int]
    drafts: Mapping[str, Sequence[Tree]]


class Replayed(NamedTuple):
    """A text written with one draft: tokens a round, and the gain in each of the `FORMATS`."""

    tokens: float
    gains: tuple[float, ...]


@cache
def recorded() -> dict:
    """The file that `recipes/record_drafts.py` wrote."""
    return json.loads((data_folder() / "trees/smollm2.json").read_text(encoding="utf-8"))


@cache
def texts() -> dict[str, Text]:
    """Name to text."""
    found = {}
    for one in recorded()["texts"]:
        drafts = {
            name: [Tree(*place) for place in places] for name, places in one["drafts"].items()
        }
        found[one["name"]] = Text(**{**one, "drafts": drafts})
    return found


def sizes() -> tuple[int, ...]:
    """The sizes whose verification was timed."""
    return tuple(recorded()["costs"]["sizes"])


@cache
def cut(text: str, draft: str, place: int, width: int, size: int) -> Tree:
    """The likeliest `size` nodes where no token has more than `width` children."""
    whole, number, children = texts()[text].drafts[draft][place], {-1: -1}, {}
    for i, parent in enumerate(whole.parents):
        rank = children[parent] = children.get(parent, 0) + 1
        if rank <= width and parent in number and len(number) <= size:
            number[i] = len(number) - 1
    kept = [i for i in number if i >= 0]
    return Tree(
        [whole.tokens[i] for i in kept],
        [number[whole.parents[i]] for i in kept],
        [whole.chances[i] / 1000 for i in kept],
    )


def accepted(tree: Tree, follows: Sequence[int]) -> list[int]:
    """The nodes on the way of the tokens that follow in the text."""
    path, here = [], -1
    for token in follows:
        pairs = enumerate(zip(tree.tokens, tree.parents, strict=True))
        found = [i for i, pair in pairs if pair == (token, here)]
        if not found:
            break
        here = found[0]
        path.append(here)
    return path


def depths(tree: Tree) -> list[int]:
    """Distance of each node from the text's last token."""
    found: list[int] = []
    for parent in tree.parents:
        found.append(1 if parent < 0 else found[parent] + 1)
    return found


def reads(tree: Tree) -> list[int]:
    """How many tokens the draft reads in each of its passes: those that have children."""
    depth = [*depths(tree), 0]  # the last one is the root, which -1 is the index of
    found = np.bincount([depth[parent] for parent in set(tree.parents)])
    return found.tolist()


def pass_ms(form: str, shape: str, size: int) -> float:
    """Milliseconds of a round without its draft; a size of 0 is a plain step."""
    known = recorded()["costs"]["passes"][form]
    if not size:
        return known["chain"][0]
    times = known[shape][1:] if shape == "chain" else known[shape]
    return float(np.interp(size, sizes(), times))


def draft_ms(draft: str, tree: Tree, rows: int) -> float:
    """Milliseconds in which a draft proposes the tree, in each of `rows` texts."""
    costs = recorded()["costs"]
    if draft not in costs["drafting"]:  # a look into a table
        return 0.0
    at, times = costs["side_by_side"], costs["drafting"][draft]
    return float(np.interp(rows * np.array(reads(tree)), at, times).sum())


@cache
def replayed(text: str, draft: str, width: int, size: int) -> Replayed:
    """The whole text in rounds with trees of this width and size."""
    words, place, rounds, taken = texts()[text].text, 0, 0, dict.fromkeys(FORMATS, 0.0)
    while place < len(words):
        tree = cut(text, draft, place, width, size)
        shape = "chain" if width == 1 else "tree"
        for form in FORMATS:
            drafting = draft_ms(draft, tree, 8 if "8" in form else 1) if tree.tokens else 0.0
            taken[form] += drafting + pass_ms(form, shape, len(tree.tokens))
        place += len(accepted(tree, words[place:])) + 1
        rounds += 1
    gains = (len(words) * pass_ms(form, "chain", 0) / taken[form] for form in FORMATS)
    return Replayed(len(words) / rounds, tuple(gains))


def ranks(text: str, draft: str, most: int = 4) -> np.ndarray:
    """Share of the places (most + 1,) where the target's token is the draft's 1st, 2nd, … choice.

    The last one is the share where it is none of them.
    """
    one, found = texts()[text], np.zeros(most + 1)
    for token, tree in zip(one.text, one.drafts[draft], strict=True):
        firsts = [t for t, p in zip(tree.tokens, tree.parents, strict=True) if p < 0][:most]
        found[firsts.index(token) if token in firsts else most] += 1
    return found / len(one.text)
