"""Two models write one text: who writes each token, and what each rule costs in other tokens."""

from __future__ import annotations

from ensemble_lab.explorers.tokens.rounds import (
    ACCEPTED,
    BONUS,
    CORRECTED,
    REJECTED,
    token_box,
    wide,
)
from ensemble_lab.explorers.tokens.together_replay import (
    ALPHAS,
    AVERAGE,
    BIG_LITTLE,
    BOTH,
    CONTRAST,
    KINDS,
    PAIRS,
    ROLLBACKS,
    RULES,
    Setting,
    Token,
    counts,
    frontier,
    recorded,
    shares,
    trees,
    written,
)
from ensemble_lab.widgets.axes import Axes, axis, rows_of
from ensemble_lab.widgets.axes import shares as share_axis
from ensemble_lab.widgets.controls import choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State, Task
from ensemble_lab.widgets.mosaic import mosaic
from ensemble_lab.widgets.panels import Mark, Panel
from ensemble_lab.widgets.picture import Picture, table_of
from ensemble_lab.widgets.plain import named, whole
from ensemble_lab.widgets.style import BIG, COMBINED, INK, ORACLE, SMALL, WRONG

TEXTS = ("a story", "chat", "a sum", "counting")
LOOKS = {"small": ACCEPTED, "large": BONUS, "both": CORRECTED}
KEY = {"small model's": ACCEPTED, "large model's": BONUS, "both": CORRECTED,
       "rolled back": REJECTED}  # fmt: skip
SIZE, SMALLER = 13, 11  # pixels of a token, and of one that was rolled back
ACROSS, DEEP, LINES = 760, 40, 4  # pixels of a line and its depth; lines
OPENS = {"pair": PAIRS[1], "rule": BIG_LITTLE, "alpha": 0.6, "rollback": 3, "text": "a sum"}


def explorer() -> Explorer:
    """Two models write one text: rules of deferral, averaging and contrast, recorded.

    References
    ----------
    Kim et al., Speculative decoding with big little decoder, NeurIPS 2023.
    Narasimhan et al., Faster cascades via speculative decoding, ICLR 2025.
    Li et al., Contrastive decoding: open-ended text generation as optimization, ACL 2023.
    """
    return Explorer(
        name="together",
        controls=(
            choice("pair", "pair", PAIRS, OPENS["pair"],
                   "The small model: a draft of two layers, SmolLM2 itself rounded to four bits, or"
                   " the draft of tiny."),
            choice("rule", "rule", RULES, OPENS["rule"],
                   "Who writes the next token. Averaging and contrast ask both models for each."),
            steps("alpha", "alpha: trust in the small model", ALPHAS, OPENS["alpha"],
                  "The fallback is 1 - alpha. In averaging the weight of the small model, in"
                  " contrast the strength with which it is subtracted."),
            steps("rollback", "roll back above (nats)", ROLLBACKS, OPENS["rollback"],
                  "Big-little only: -log of the large model's probability above which it takes a"
                  " token back."),
            choice("text", "text", TEXTS, OPENS["text"], "What both models answer."),
        ),
        draw=draw,
        tasks=TASKS,
        presets={
            "big-little": dict(OPENS),
            "a draft, big-little": {"pair": PAIRS[0], "text": "chat"},
            "V3": {"rule": "V3", "alpha": 0.1, "text": "a story"},
            "contrast": {"pair": PAIRS[0], "rule": CONTRAST, "alpha": 0.5, "text": "a story"},
            "Chow, a draft": Failing(pair=PAIRS[0], rule="Chow", alpha=0.8),
            "averaging": Failing(rule=AVERAGE, alpha=0.5),
            "strong contrast": Failing(rule=CONTRAST, alpha=1.0, text="counting"),
        },
        sequence="alpha",
        along="alpha",
    )  # fmt: skip


def setting_of(state: State, **other) -> Setting:
    """The rule of a state with its numbers."""
    at = {**state, **other}
    rollback = at["rollback"] if at["rule"] == BIG_LITTLE else ROLLBACKS[-1]
    return Setting(at["rule"], at["alpha"], rollback)


def _shares(state: State, **other):
    return shares({**state, **other}["pair"], setting_of(state, **other))


TASKS = (
    Task("Write the large model's own text, and let the small one write some of it.",
         lambda state, picture: _own(state) and 0 < _by(state, "small")),
    Task("Find a place where the large model takes a token back.",
         lambda state, picture: state["text"] != OPENS["text"]
         and any(one.rolled_back is not None for one in _text(state))),
    Task("Find a rule with half the tokens from the small model and under 5 % others.",
         lambda state, picture: _shares(state).small >= 0.5 and _shares(state).other < 0.05),
    Task("Find a contrast that changes the text.",
         lambda state, picture: state["rule"] == CONTRAST and not _own(state)),
)  # fmt: skip


def _text(state: State, **other) -> tuple[Token, ...]:
    at = {**state, **other}
    return written(at["pair"], at["text"], setting_of(state, **other))


def _by(state: State, who: str) -> int:
    return sum(one.by == who for one in _text(state))


def _own(state: State) -> bool:
    """Whether the text is the large model's own."""
    return all(one.token == one.node.large for one in _text(state))


# -- the picture --------------------------------------------------------------------------------


def draw(state: State) -> Picture:
    """The text with its writers, the frontier of the rule, and the kinds of tokens."""
    one = trees(state["pair"])[state["text"]]
    deep = LINES * DEEP
    hidden = {"visible": False, "showticklabels": False, "showgrid": False, "zeroline": False}
    panels = mosaic(
        "words words / frontier kinds", widths=(1, 1), heights=(deep, 290 - deep), height=469,
        words=Axes(axis("", 0, ACROSS, **hidden), axis("", deep, 0, **hidden),
                   named(one.prompt, 60), 12),
        frontier=Axes(share_axis("written by the small model", 0, 1, tickvals=[0, 0.25, 0.5, 0.75]),
                      share_axis("", 0, 0.7, tickvals=[0.2, 0.4, 0.6]),
                      "Other tokens than the large model's", 46, 66),
        kinds=Axes(share_axis("of its kind", 0, 1), rows_of(KINDS), "", 92, 12),
    )  # fmt: skip
    marks = panels.marks(state, frontier=draw_frontier, kinds=draw_kinds)
    notes = [*key(panels.words), *text(panels.words, _text(state), one.words)]
    told = finding(state), lambda: table(state), also(state)
    return panels.picture(marks, *told, notes)


def key(panel: Panel) -> list[dict]:
    """What the looks of the tokens mean, at the right of the panel's title."""
    notes, x = [], ACROSS - sum(wide(said, SMALLER) for said in KEY)
    for said, kind in KEY.items():
        notes.append(token_box(panel, x, -12, said, kind, SMALLER))
        x += wide(said, SMALLER)
    return notes


def text(panel: Panel, tokens: tuple[Token, ...], words) -> list[dict]:
    """Line by line, with what was rolled back above.

    A token that is not the large model's first choice has a thick frame.
    """
    notes, row, x = [], 0, 0.0
    for one in tokens:
        back = "" if one.rolled_back is None else words[one.rolled_back].lstrip("␣")
        room = max(wide(words[one.token], SIZE), wide(back, SMALLER))
        if x and x + room > ACROSS:
            row, x = row + 1, 0.0
        if row == LINES:
            break
        other = one.token != one.node.large
        frame = {"bordercolor": INK, "borderwidth": 2} if other else {}
        y = row * DEEP + 27
        notes.append(token_box(panel, x, y, words[one.token], LOOKS[one.by], SIZE, **frame))
        if back:
            notes.append(token_box(panel, x, y - 19, back, REJECTED, SMALLER))
        x += room
    return notes


def draw_frontier(panel: Panel, state: State) -> list[Mark]:
    """The chosen rule between the other ones and a small model that is asked at random."""
    pair, now = state["pair"], setting_of(state)
    others = [frontier(pair, rule, ROLLBACKS[-1]) for rule in RULES
              if rule not in (now.rule, *BOTH)]  # fmt: skip
    x = [value for xs, _ in others for value in (*xs, None)]
    y = [value for _, ys in others for value in (*ys, None)]
    own = frontier(pair, now.rule, now.rollback)
    at = _shares(state)
    all_small = shares(pair, Setting("Chow", 1.0, ROLLBACKS[-1])).other
    rest = panel.border((x, y), ORACLE, "other rules", width=1)
    return [
        rest,
        panel.curve([0, 1], [0, all_small], INK, "at random", width=1),
        panel.curve(*own, COMBINED, "this rule", width=3, label=now.rule),
        panel.here(at.small, at.other, INK, "here"),
    ]


def draw_kinds(panel: Panel, state: State) -> list[Mark]:
    """Of each kind of token: whose it is, and where it is not the large model's choice."""
    now = setting_of(state)
    found = counts(state["pair"], now)
    both = now.rule in BOTH
    large, ends = 1 - found.small - found.other, found.small.round(6)
    bars = {"orientation": "h", "width": 0.62, "hovertemplate": "%{x:.0%}"}
    return [
        panel.bars(found.small, range(len(KINDS)), SMALL, "small, the same", **bars),
        panel.bars(found.other, range(len(KINDS)), WRONG, "another token", base=ends.tolist(),
                   marker={"pattern": {"shape": "x"}}, **bars),
        panel.bars(large, range(len(KINDS)), COMBINED if both else BIG, "large's",
                   base=(ends + found.other).tolist(), marker={"pattern": {"shape": "/"}}, **bars),
    ]  # fmt: skip


# -- in words -----------------------------------------------------------------------------------


def finding(state: State) -> str:
    """What this setting writes here, and on all recorded answers."""
    tokens, every, many = _text(state), _shares(state), recorded()["answers"]
    back = sum(one.rolled_back is not None for one in tokens)
    other = sum(one.token != one.node.large for one in tokens)
    if state["rule"] in BOTH:
        return (
            f"{len(tokens)} tokens, each by both models; {other} not the large one's choice\n"
            f"On {many} answers: {every.other:.1%} of the tokens not its choice"
        )
    small = _by(state, "small")
    rolled = f", {back} rolled back" if state["rule"] == BIG_LITTLE else ""
    return (
        f"{small} of {len(tokens)} tokens by the small model{rolled}; {other} not the large"
        f" one's choice\nOn {many} answers: {every.small:.0%} by the small model, {every.other:.1%}"
        " of all not the large one's choice"
    )


def also(state: State) -> str:
    """What the words say beyond the finding."""
    one, tokens = trees(state["pair"])[state["text"]], _text(state)
    said = "".join(one.words[token.token] for token in tokens).replace("␣", " ")
    loss = sum(token.loss for token in tokens) / len(tokens)
    return (
        f"Prompt: {whole(one.prompt)} Text: {whole(said)} Under the large model a token of it has"
        f" {loss:.2f} nats on average."
    )


def table(state: State):
    """One row a token: who wrote it, what was rolled back, and what both models thought."""
    words = trees(state["pair"])[state["text"]].words
    rows = [
        {
            "token": whole(words[one.token]),
            "by": one.by,
            "rolled back": whole("" if one.rolled_back is None else words[one.rolled_back]),
            "small model's choice": whole(words[one.node.small]),
            "large model's choice": whole(words[one.node.large]),
            "largest q": one.node.q,
            "largest p": one.node.p,
            "-log p of the token": one.loss,
        }
        for one in _text(state)
    ]
    return table_of(rows, range(1, len(rows) + 1), "place")
