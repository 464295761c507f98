"""Odd but legal tables, as rows of plain dicts, and ways to break them.

Nothing here knows the package. `tables` draws what is right, `broken` what is wrong together with
the thing that a message has to name.
"""

from __future__ import annotations

import os
from decimal import Decimal

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.contracts.plain import MEASURES, Table, number, same

TIMES = float(os.environ.get("CONTRACTS", "1"))
"""How many times the usual number of examples: `CONTRACTS=50` runs for hours."""


def examples(count: int, shrink: bool = True):
    """Settings for `count` examples at the usual size."""
    return settings(
        max_examples=max(2, int(count * TIMES)),
        deadline=None,
        print_blob=False,
        phases=[phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)],
        suppress_health_check=list(HealthCheck),
    )


# -- names --------------------------------------------------------------------------------------

PLAIN_WORDS = ["small", "big", "gpt-4", "q1", "A", "yes"]
LIKE_GAPS = ["NA", "nan", "None", "null", "N/A", "NaN", "-", "?"]
LIKE_NUMBERS = ["007", "1.10", "1e3", "-0", "0", "4", "3.5", "+1", "1_000", "18446744073709551616"]
OTHER_DIGITS = ["٣", "１２", "²", "Ⅷ"]
LIKE_FIELDS = [
    "a:correct",
    "feature:x",
    "item",
    "model",
    "truth",
    "group",
    ":answer",
    "llama3:latest",
]
LIKE_FIELDS += ["('correct', 'a')", "Unnamed: 0", "correct", "cost", "index", "m:cost"]
MARKS = ["a,b", 'say "hi"', "it's", "a;b", "a\tb", "a|b", "<b>x</b>", "{x}", "%s", "\\n", "#"]
LINES = ["a\nb", "\n", " ", "  x ", ""]
SCRIPTS = ["müde", "modèle", "e\u0301", "\u00e9", "猫", "עברית", "\u202eabc", "🤖", "\u00a0"]
VERY_LONG = ["long " * 60, "x" * 300]
NAMES = PLAIN_WORDS + LIKE_GAPS + LIKE_NUMBERS + OTHER_DIGITS + LIKE_FIELDS + MARKS
NAMES += LINES + SCRIPTS + VERY_LONG

odd_names = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
whole = st.integers(-5, 20) | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1])
huge = st.sampled_from([2**63, 2**64, 2**70, -(2**70), 10**40, 9007199254740993])
floating = st.sampled_from([0.1, 0.5, 1.5, -2.25, 1e-9, 1e300, 0.30000000000000004, 100.0, 3.0])
WAYS = {  # one number, as people write it
    18: ["18", "18.0", "018", "+18", "1.8e1", "18."],
    7: ["7", "7.00", "07", "70e-1"],
    0: ["0", "-0", "0.0", ".0"],
    2**53 + 1: ["9007199254740993", "9007199254740993.0"],
    2**53: ["9007199254740992"],
}
spelled = st.sampled_from([way for ways in WAYS.values() for way in ways])


def unlike(values) -> list:
    """Each once; 1, 1.0 and True are one name."""
    return list(dict.fromkeys(values))


def several_of(values, least=1, most=4):
    return st.lists(values, min_size=least, max_size=most).map(unlike)


ITEMS = st.one_of(
    st.integers(1, 7).map(lambda n: list(range(n))),
    st.integers(1, 7).map(lambda n: [f"q{i}" for i in range(n)]),
    several_of(odd_names, most=7),
    several_of(whole, most=7),
    several_of(whole | huge, most=7),
    several_of(odd_names | whole, most=7),
    several_of(floating, most=4),
)
MODELS = several_of(odd_names, most=4)
LABELS = st.one_of(
    st.just(["A", "B", "C"]),
    several_of(odd_names, most=4),
    several_of(whole, most=4),
    several_of(whole | huge | floating, most=4),
    several_of(spelled, most=4),
    several_of(spelled | st.sampled_from(["no idea", "1,319", "NA"]), most=5),
    st.just([True, False]),
    several_of(st.sampled_from([Decimal("18.0"), Decimal("7"), 18, 0.5]), most=3),
)
CONFIDENCES = (0.0, 1.0, 0.5, 0.25, 0.75, 0.1, 0.9, 1 / 3)
COSTS = (0.0, 0.001, 1.0, 10.0, 0.25)
LATENCIES = (0.0, 0.1, 1.5, 60.0)
TOKENS = (0, 1, 250)
LEVELS = {"confidence": CONFIDENCES, "cost": COSTS, "latency": LATENCIES, "tokens": TOKENS}


@st.composite
def tables(
    draw,
    items=ITEMS,
    models=MODELS,
    labels=LABELS,
    answers=None,
    graded=None,
    truth=None,
    whole=False,
    measures=MEASURES,
    facts=True,
):
    """A legal table.

    Parameters
    ----------
    items, models, labels : strategies of lists
    answers, graded, truth : bool, optional
        Whether answers, correctness and truths are given; by default any that go together.
    whole : bool
        Whether every pair is there with every measure.
    measures : sequence of str
        What may be known of a call.
    facts : bool
        Whether items may have groups and features.
    """
    items, models = draw(items), draw(models)
    answers = draw(st.booleans() | st.just(True)) if answers is None else answers
    graded = (not answers or draw(st.integers(0, 4)) == 0) if graded is None else graded
    truth = (not graded or draw(st.booleans())) if truth is None else truth
    labels = draw(labels) if answers or truth else []
    gaps = 0 if whole else draw(st.sampled_from([0, 1, 3, 6]))  # of ten
    kept = [name for name in measures if whole or draw(st.booleans())]
    levels = {name: draw(st.permutations(LEVELS[name]))[: draw(st.integers(1, 8))] for name in kept}

    def gone() -> bool:
        return draw(st.integers(0, 9)) < gaps

    rows = []
    for item in items:
        for model in models:
            if gone() and (rows or item != items[-1]):  # one row at least
                continue
            row = {"item": item, "model": model}
            if answers:
                row["answer"] = None if gone() else draw(st.sampled_from(labels))
            if graded:
                right = draw(st.sampled_from([0, 1, 1, 0, 0.5, 1.0, 0.25]))
                row["correct"] = right if not answers or row["answer"] is not None else 0
                if answers and gone():
                    row["correct"] = None
            for name in kept:
                row[name] = None if gone() else draw(st.sampled_from(levels[name]))
            rows.append(row)
    known: dict = {item: {} for item in items}
    if truth and labels:
        _put(draw, known, "truth", st.sampled_from(labels), gaps)
    if facts and draw(st.booleans()):
        _put(draw, known, "group", odd_names, gaps)
    if facts and draw(st.booleans()):
        values = draw(st.sampled_from([st.integers(0, 500), floating, odd_names]))
        _put(draw, known, "feature:length", values, gaps)
    if facts and draw(st.integers(0, 3)) == 0:
        _put(draw, known, f"feature:{draw(odd_names)}", st.integers(0, 9), gaps)
    there = {row["item"] for row in rows}, {row["model"] for row in rows}
    return Table(
        models=[name for name in models if name in there[1]],
        items=[name for name in items if name in there[0]],
        rows=rows,
        facts={item: facts for item, facts in known.items() if item in there[0]},
        answers=answers,
        graded=graded,
    )


def _put(draw, known: dict, name: str, values, gaps: int) -> None:
    for item in known:
        value = None if draw(st.integers(0, 9)) < gaps else draw(values)
        if value is not None:
            known[item][name] = value


# -- verdicts -----------------------------------------------------------------------------------


def as_text(table: Table) -> Table:
    """The same table as a text file tells it: every name and label is its spelling."""

    def text(value):
        return value if value is None or isinstance(value, str) else str(value)

    rows = []
    for row in table.rows:
        changed = {"item": text(row["item"]), "model": text(row["model"])}
        if "answer" in row:
            changed["answer"] = text(row["answer"])
        rows.append(row | changed)
    facts = {
        text(item): {k: text(v) for k, v in known.items()} for item, known in table.facts.items()
    }
    return Table(
        [text(name) for name in table.models],
        [text(name) for name in table.items],
        rows,
        facts,
        table.answers,
        table.graded,
    )


def illegal_notations(table: Table, text: bool) -> bool:
    """Whether answers and truths are written in two ways, so that no grade is certain.

    In a `text` file what writes a number is one; elsewhere types tell.
    """

    def is_number(label) -> bool:
        return not isinstance(label, str) or (text and number(label) is not None)

    if table.graded or not table.answers or not any("truth" in f for f in table.facts.values()):
        return False
    labels = [row["answer"] for row in table.rows if row["answer"] is not None]
    labels += [f["truth"] for f in table.facts.values() if "truth" in f]
    texts = {number(label) for label in labels if isinstance(label, str)}
    if not text and any(label in texts for label in labels if not isinstance(label, str)):
        return True
    compared = [
        r for r in table.rows if r["answer"] is not None and table.truth(r["item"]) is not None
    ]
    given = [row["answer"] for row in compared]
    known = [table.truth(row["item"]) for row in compared]
    apart = not {is_number(a) for a in given} & {is_number(b) for b in known}
    several = any(not (same(a, given[0]) if text else a == given[0]) for a in given)
    return apart and several


def ambiguous_numbers(table: Table) -> bool:
    """Whether a text label is another label in the notation of some country: 1,319 and 1319."""
    labels = [row.get("answer") for row in table.rows]
    labels += [f.get("truth") for f in table.facts.values()]
    texts = [label for label in labels if isinstance(label, str)]
    values = {number(label) for label in texts} - {None}
    for text in texts:
        if "," in text and number(text) is None:
            for reading in (text.replace(",", ""), text.replace(",", ".")):
                if number(reading) in values and number(reading) is not None:
                    return True
    return False
