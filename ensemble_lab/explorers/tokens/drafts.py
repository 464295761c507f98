"""Where drafts come from: the tree that a draft proposes, what is accepted, and what it gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensemble_lab.explorers.tokens.drafts_replay import (
    FORMATS,
    Text,
    Tree,
    accepted,
    cut,
    depths,
    ranks,
    replayed,
    sizes,
    texts,
)
from ensemble_lab.explorers.tokens.rounds import LOOKS, REJECTED, UNREAD
from ensemble_lab.tokens.traces import ACCEPTED, BONUS
from ensemble_lab.widgets.axes import Axes, axis, log_axis, shares
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.plain import named, whole
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

DRAFTS = ("lookup", "table", "small model", "head")
WIDTHS, PLACES = (1, 2, 3, 4), range(1, 49)
DEEP, ROWS = 8, 26  # columns of drafted tokens, and rows, that the tree's panel has
LETTERS = 6  # of a token in a column
ABOVE = 1.5  # rows from the accepted path up to the target's own token
CHOICES = ("1st", "2nd", "3rd", "4th", "none")
KEY = {"accepted": ACCEPTED, "rejected": REJECTED, "not looked at": UNREAD,
       "the target's own": BONUS}  # fmt: skip
OPENS = {"text": "a sum", "draft": "head", "size": 16, "width": 3, "place": 18}


def _gains(state: State, **other) -> tuple[float, ...]:
    at = {**state, **other}
    return replayed(at["text"], at["draft"], at["width"], at["size"]).gains


def _best(state: State, form: int) -> int:
    """The size with the largest gain in a format."""
    return max(sizes(), key=lambda size: _gains(state, size=size)[form])


def explorer() -> Explorer:
    """Draft trees of SmolLM2, recorded at every place of four greedy texts, and their gains.

    References
    ----------
    Miao et al., SpecInfer: accelerating large language model serving with tree-based speculative
    inference and verification, ASPLOS 2024.
    Li et al., EAGLE-2: faster inference of language models with dynamic draft trees, EMNLP 2024.
    """
    return Explorer(
        name="drafts",
        controls=(
            choice("draft", "draft", DRAFTS, OPENS["draft"],
                   "Who proposes: copies of the text, a table of frequent continuations, a small"
                   " model, or a layer that reads the target's states."),
            choice("text", "text", tuple(texts()), OPENS["text"], "What the target writes."),
            steps("size", "tokens drafted a round", sizes(), OPENS["size"],
                  "The likeliest ones are drafted; watch the tree grow."),
            steps("width", "children of a token, at most", WIDTHS, OPENS["width"],
                  "1 is a chain; more of them make a tree."),
            steps("place", "place in the text", PLACES, OPENS["place"],
                  "Where this round begins; the last place in a shorter text."),
        ),
        draw=draw,
        tasks=TASKS,
        presets={
            "copying, lookup": {"text": "a text to copy", "draft": "lookup", "width": 1,
                                "place": 3},
            "counting, table": {"text": "counting", "draft": "table", "width": 1, "size": 6},
            "a sum, small model": {"draft": "small model", "place": 12},
            "chat, tree": {"text": "chat", "size": 6, "place": 1},
            "chat, lookup": Failing(text="chat", draft="lookup", width=1, size=4, place=20),
            "chat, a large tree": Failing(text="chat", size=32, width=4, place=10),
        },
        sequence="size",
        along="size",
    )  # fmt: skip


TASKS = (
    Task("Find a text on which copying beats the head in bfloat16.",
         lambda state, picture: state["draft"] == "lookup"
         and _gains(state)[0] > _gains(state, draft="head")[0]),
    Task("Find the best size for four bits.",
         lambda state, picture: state["draft"] in ("head", "small model")
         and state["size"] == _best(state, 1)),
    Task("Find a tree that beats the chain of its size in bfloat16.",
         lambda state, picture: state["width"] > 1 and state["draft"] == "small model"
         and _gains(state)[0] > _gains(state, width=1)[0]),
    Task("Find a draft that gains with eight texts at once.",
         lambda state, picture: _gains(state)[2] > 1),
)  # fmt: skip


# -- the picture --------------------------------------------------------------------------------


def draw(state: State) -> Picture:
    """The tree at this place, the gain by size, and which choice of the draft is right."""
    one = texts()[state["text"]]
    place = min(state["place"], len(one.text)) - 1
    tree = cut(state["text"], state["draft"], place, state["width"], state["size"])
    path = accepted(tree, one.text[place:])
    hidden = {"visible": False, "showticklabels": False, "showgrid": False, "zeroline": False}
    panels = mosaic(
        "tree gain / tree ranks",
        widths=(13, 7),
        heights=(5, 3),
        height=460,
        tree=Axes(axis("", -0.5, DEEP + 1.5, **hidden), axis("", ROWS + 0.5, -0.5, **hidden),
                  "Drafted here", 12),
        gain=Axes(axis("tokens drafted a round", 0, 33, dtick=8),
                  log_axis("", [0.25, 0.5, 1, 2, 4], ticktext=["¼", "½", "1 ×", "2", "4"]),
                  "Gain by size", 40, 62),
        ranks=Axes(axis("the draft's choice", -0.6, 4.6, tickvals=list(range(5)),
                        ticktext=list(CHOICES)), shares("", 0, 1), "The target's token is", 40, 62),
    )  # fmt: skip
    spots = places_of(tree, path)
    marks = [
        *edges(panels.tree, tree, path, spots),
        *gain(panels.gain, state),
        *choices(panels.ranks, state),
    ]
    notes = tokens(panels.tree, one, place, tree, path, spots)
    told = finding(state, place, tree, path), lambda: table(state), also(state, one, place)
    return panels.picture(marks, *told, notes)


def places_of(tree: Tree, path: Sequence[int]) -> np.ndarray:
    """Column and row (nodes + 1, 2): the root is the last one; a first child is beside its parent.

    The accepted path comes first among the children, so that it is a straight line at the top.
    """
    children = {i: [] for i in (-1, *range(len(tree.tokens)))}
    for i, parent in enumerate(tree.parents):
        children[parent].insert(0 if i in path else len(children[parent]), i)
    spots, rows, stack = np.zeros((len(tree.tokens) + 1, 2)), 0, [(-1, 0, True)]
    while stack:
        node, column, straight = stack.pop()
        rows += not straight
        spots[node] = column, rows
        below = [(child, column + 1, not j) for j, child in enumerate(children[node])]
        stack += below[::-1]
    spots[:, 1] *= min(2.0, (ROWS - 4) / max(rows, 1))
    spots[:, 1] += max(ABOVE + 0.3, (ROWS - 2 - spots[:, 1].max()) / 2)
    return spots


def edges(panel: Panel, tree: Tree, path: Sequence[int], spots: np.ndarray) -> list[Mark]:
    """Lines from parents to children; those of the accepted path are thick, others dotted."""

    def lines(nodes) -> tuple[list, list]:
        x, y = [], []
        for node in nodes:
            (x0, y0), (x1, y1) = spots[[tree.parents[node], node]].tolist()
            if x1 <= DEEP:
                x += [x0, (x0 + x1) / 2, x1, None]
                y += [y0, y1, y1, None]
        return x, y

    others = [i for i in range(len(tree.tokens)) if i not in path]
    found = []
    for nodes, colour, said, width, dash in (
        (others, ORACLE, "drafted", 1, "dot"),
        (path, SMALL, "accepted", 4, "solid"),
    ):
        mark = panel.border(lines(nodes), colour, said, width=width)
        line = {**mark.trace["line"], "dash": dash}
        found.append(replace(mark, said="", trace={**mark.trace, "line": line}))
    return found


def tokens(panel: Panel, one: Text, place: int, tree: Tree, path, spots) -> list[dict]:
    """The tokens at their places, the target's own behind the accepted ones, and a key."""
    seen = {-1, *path}
    notes = []
    for node, (token, parent) in enumerate(zip(tree.tokens, tree.parents, strict=True)):
        kind = ACCEPTED if node in path else REJECTED if parent in seen else UNREAD
        if spots[node, 0] <= DEEP:
            notes.append(_token(panel, *spots[node], one.words[token], kind))
    before = one.words[one.text[place - 1]] if place else "start"
    notes.append(_token(panel, *spots[-1], before, ""))
    end = place + len(path)
    own = one.words[one.text[end]] if end < len(one.text) else "end"
    last = spots[path[-1] if path else -1]
    if last[0] <= DEEP:
        notes.append(_token(panel, last[0] + 1, last[1] - ABOVE, own, BONUS))
    elif hidden := sum(column > DEEP for column, _ in spots.tolist()):
        more = sum(spots[node, 0] > DEEP for node in path)
        said = f"… {hidden} more, {more} accepted"
        notes.append(panel.note(DEEP + 1.4, last[1] + 1.3, said, xanchor="right"))
    for i, (said, kind) in enumerate(KEY.items()):
        x = (0, 2.3, 4.5, 7.2)[i]
        notes.append(_token(panel, x - 0.4, ROWS, said, kind, len(said), xanchor="left"))
    return notes


def _token(panel: Panel, x: float, y: float, word: str, kind: str, most=LETTERS, **more) -> dict:
    """A token in its box."""
    colour, ground, font = LOOKS.get(kind, (INK, "#FFFFFF", {"weight": 700}))
    box = {"bgcolor": ground or "#FFFFFF", "borderpad": 1}
    if ground and kind:
        box |= {"bordercolor": colour, "borderwidth": 1}
    word = word.lstrip("␣") or word
    word = word if len(word) <= most else f"{word[: most - 1]}…"
    meaning = INK if kind in (ACCEPTED, BONUS, "") else colour
    font = {"family": "monospace", "size": 11, **font}
    place = {"xanchor": "center", "yanchor": "middle"} | more
    return panel.note(x, y, named(word, 40), meaning, font=font, **place, **box)


def gain(panel: Panel, state: State) -> list[Mark]:
    """The gain over plain decoding by size, in each format."""
    gains = np.array([_gains(state, size=size) for size in sizes()]).T.clip(0.25)
    looks = (
        (COMBINED, "solid", "bfloat16"),
        (BIG, "dash", "four bits"),
        (ORACLE, "dot", "8 texts"),
    )
    curves = [
        panel.curve(sizes(), line, colour, form, width=3, label=label, line={"dash": dash})
        for line, form, (colour, dash, label) in zip(gains, FORMATS, looks, strict=True)
    ]
    at = sizes().index(state["size"])
    return [
        panel.upright(state["size"]),
        panel.rule(1.0, INK, "plain", width=1, label=""),
        *curves,
        panel.points([state["size"]] * len(FORMATS), gains[:, at], INK, "chosen", key=False),
    ]


def choices(panel: Panel, state: State) -> list[Mark]:
    """How often the target's token is the draft's first, second, … choice."""
    found = ranks(state["text"], state["draft"])
    at = np.arange(len(found))
    inside = at < state["width"]
    kinds = (inside, SMALL, "within the width"), (~inside, WRONG, "beyond it")
    return [
        panel.bars(at[which], found[which], colour, name, key=False, hovertemplate="%{y:.0%}",
                   marker={"pattern": {"shape": "x" if colour == WRONG else ""}})
        for which, colour, name in kinds
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(state: State, place: int, tree: Tree, path: Sequence[int]) -> str:
    """What became of this round, and what such rounds gain."""
    every = replayed(state["text"], state["draft"], state["width"], state["size"])
    here = f"Place {place + 1}: {len(tree.tokens)} drafted, {len(path)} accepted"
    wide = f", {max(depths(tree))} deep" if tree.tokens else ""
    one, four, eight = every.gains
    return (
        f"{here}{wide}. The whole text: {every.tokens:.2f} tokens a round\n"
        f"Gain: {one:.2f} × in bfloat16, {four:.2f} × in four bits, {eight:.2f} × with 8 texts at"
        " once"
    )


def also(state: State, one: Text, place: int) -> str:
    """What the words say beyond the finding."""
    first = ranks(state["text"], state["draft"])
    best = ", ".join(f"{_best(state, i)} in {form}" for i, form in enumerate(FORMATS))
    words = "".join(one.words[token] for token in one.text[:place]).replace("␣", " ")
    return (
        f"Prompt: {whole(one.prompt)} So far: {whole(words[-80:])}. The target's token is the"
        f" draft's first choice at {first[0]:.0%} of the places. The best of the timed"
        f" sizes: {best}."
    )


def table(state: State):
    """For each size: tokens a round, and the gain in each format."""
    rows = [replayed(state["text"], state["draft"], state["width"], size) for size in sizes()]
    columns = {"tokens a round": [row.tokens for row in rows]}
    columns |= {f"gain, {form}": [row.gains[i] for row in rows] for i, form in enumerate(FORMATS)}
    return table_of(columns, sizes(), "tokens drafted")
