"""The oracle: what a table is worth, by plain loops over dicts.

Nothing of the package is imported here, and no array is used: numbers are fractions, so that sums
are exact, and None is what nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import comb, sqrt

MEASURES = ("confidence", "cost", "latency", "tokens")
DIGITS = "0123456789"
GAPS = ("", "NA", "N/A", "NaN", "nan", "null", "None")
TIE = Fraction(1, 10**9)  # sums of floats that differ by less are a tie


@dataclass
class Table:
    """What is true.

    Parameters
    ----------
    models, items : list
        Names, each once, in order.
    rows : list of dict
        One a recorded pair: ``item``, ``model`` and any of ``answer`` (None: unparsed),
        ``correct`` and the measures. Without a row a pair is absent.
    facts : dict of item to dict
        ``truth``, ``group`` and ``feature:NAME``, where known.
    answers, graded : bool
        Whether answers are recorded, and whether correctness is given rather than graded.
    """

    models: list
    items: list
    rows: list
    facts: dict
    answers: bool = True
    graded: bool = False
    by_pair: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        self.by_pair = {(row["item"], row["model"]): row for row in self.rows}

    def has(self, measure: str) -> bool:
        """Whether any row has this column."""
        return any(measure in row for row in self.rows)

    def row(self, item, model) -> dict | None:
        return self.by_pair.get((item, model))

    def said(self, item, model):
        """The answer, None where there is none."""
        row = self.row(item, model)
        return None if row is None else row.get("answer")

    def measure(self, name: str, item, model) -> Fraction | None:
        row = self.row(item, model)
        value = None if row is None else row.get(name)
        return None if value is None else exact(value)

    def truth(self, item):
        return self.facts[item].get("truth")

    def correct(self, item, model) -> Fraction | None:
        """How right: as given, else whether the answer equals the truth; unparsed is wrong."""
        row = self.row(item, model)
        if row is None:
            return None
        if self.graded:
            value = row.get("correct")
            return None if value is None else exact(value)
        if self.truth(item) is None:
            return None
        if row.get("answer") is None:
            return Fraction(0)
        return Fraction(same(row["answer"], self.truth(item)))

    def labels(self) -> list:
        """Every label once, in the order of its first cell."""
        found: list = []
        for label in [*(row.get("answer") for row in self.rows), *map(self.truth, self.items)]:
            if label is not None and not any(same(label, other) for other in found):
                found.append(label)
        return found


# -- numbers ------------------------------------------------------------------------------------


def exact(value) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(value)


def number(text: str) -> Fraction | None:
    """The number that an ASCII text writes, exactly."""
    body = text.strip(" \t")
    sign = -1 if body[:1] == "-" else 1
    body = body[1:] if body[:1] in ("+", "-") else body
    body, mark, power = body.replace("E", "e").partition("e")
    digits = power[1:] if power[:1] in ("+", "-") else power
    if mark and (not digits or any(c not in DIGITS for c in digits) or int(digits) > 4000):
        return None
    whole, _, rest = body.partition(".")
    if not whole + rest or any(c not in DIGITS for c in whole + rest):
        return None
    value = Fraction(sign * int(whole + rest), 10 ** len(rest))
    return value * Fraction(10) ** int(power) if mark else value


def same(a, b) -> bool:
    """Whether two answers are one: texts of one number are, a text and a number never."""
    if isinstance(a, str) and isinstance(b, str):
        x, y = number(a), number(b)
        return a == b if x is None or y is None else x == y
    return not isinstance(a, str) and not isinstance(b, str) and a == b


def canonical(text: str) -> bool:
    """Whether a text is spelled as numbers are: 0.5 and 7, not 007, 1.10, +1 or .5."""
    if number(text) is None or text != text.strip() or text[:1] == "+":
        return False
    body = text.removeprefix("-").replace("E", "e").partition("e")[0]
    whole, point, rest = body.partition(".")
    if not whole or (len(whole) > 1 and whole[0] == "0") or (point and not rest):
        return False
    return rest == "0" or rest[-1:] != "0"


def fact_of_text(cells: list) -> list:
    """What a text column says of items: numbers where every known cell is spelled as one."""
    known = [cell for cell in cells if cell is not None and cell not in GAPS]
    if not known or not all(canonical(cell) for cell in known):
        return cells
    return [None if c is None or c in GAPS else float(number(c)) for c in cells]


def mean(values: list) -> Fraction | None:
    """The mean of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known, Fraction(0)) / len(known) if known else None


def strict_mean(values: list) -> Fraction | None:
    """The mean where everything is known, else None: what is unknown makes a mean unknown."""
    return None if any(value is None for value in values) else mean(values)


def wilson(share: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


# -- baselines ----------------------------------------------------------------------------------


def accuracy(table: Table, model) -> Fraction | None:
    return mean([table.correct(item, model) for item in table.items])


def coverage(table: Table, model) -> Fraction:
    """Share of items with a row; without answers, an ungraded row is absent."""
    there = 0
    for item in table.items:
        row = table.row(item, model)
        there += row is not None and (table.answers or table.correct(item, model) is not None)
    return Fraction(there, len(table.items))


def unparsed(table: Table, model) -> Fraction:
    count = 0
    for item in table.items:
        row = table.row(item, model)
        count += table.answers and row is not None and row.get("answer") is None
    return Fraction(count, len(table.items))


def best_single(table: Table, least: Fraction = Fraction(9, 10)):
    """(model, accuracy): the first of the most accurate that have enough items."""
    best = None
    for model in table.models:
        value = accuracy(table, model)
        if (
            value is not None
            and coverage(table, model) >= least
            and (best is None or value > best[1])
        ):
            best = model, value
    return best


def oracle(table: Table) -> Fraction | None:
    best = []
    for item in table.items:
        known = [table.correct(item, model) for model in table.models]
        known = [value for value in known if value is not None]
        if known:
            best.append(max(known))
    return mean(best)


def filled(table: Table, measure: str) -> dict:
    """(item, model) to the measure, an unknown one as the model's mean."""
    found = {}
    for model in table.models:
        price = mean([table.measure(measure, item, model) for item in table.items])
        for item in table.items:
            value = table.measure(measure, item, model)
            found[item, model] = price if value is None else value
    return found


# -- policies -----------------------------------------------------------------------------------


@dataclass
class Fate:
    """What a policy does with one item: `model` None where no model's answer is given."""

    model: object
    answer: object
    waves: list


def first_best(scores: list, size=0) -> int | None:
    """Place of the first score that is not below the best by more than rounding.

    Rounding is a share of the best, or of the `size` of what was added up to it.
    """
    known = [score for score in scores if score is not None]
    if not known:
        return None
    best = max(known)
    slack = TIE * max(size, abs(best))
    return next(i for i, s in enumerate(scores) if s is not None and s >= best - slack)


def unread(table: Table, item, members):
    """The first member with a reply that could not be read; None where there is none.

    Where no member's reply could be read, this one is the policy's answer, and wrong: abstaining
    there, as the oracle did once, drops from a policy's accuracy what the accuracy of its models
    counts, so that a model of which nine replies in ten are unreadable had 6 % alone and 85 % as a
    vote of one.
    """
    for member in members:
        if table.answers and table.row(item, member) is not None:
            if table.said(item, member) is None:
                return member
    return None


def _of_member(table: Table, item, members, scores, size=0) -> Fate:
    place = first_best(scores, size)
    model = unread(table, item, members) if place is None else members[place]
    answer = None if place is None else table.said(item, model)
    return Fate(model, answer, [list(members)])


def weighted_vote(table: Table, item, members, weights: dict) -> Fate:
    """The answer with the most weight behind it; a tie goes to the first member listed."""
    scores = []
    for member in members:
        own = table.said(item, member)
        total = None
        if own is not None:
            total = Fraction(0)
            for other in members:
                theirs = table.said(item, other)
                if theirs is not None and same(own, theirs):
                    total += exact(weights[other])
        scores.append(total)
    voted = [m for m in members if table.said(item, m) is not None]
    return _of_member(table, item, members, scores, sum(abs(exact(weights[m])) for m in voted))


def majority_vote(table: Table, item, members) -> Fate:
    return weighted_vote(table, item, members, dict.fromkeys(members, 1))


def _chance(table: Table, item, member, label, k: int) -> Fraction | None:
    """What a member's confidence says of a label; None without an answer."""
    own = table.said(item, member)
    if own is None:
        return None
    least = Fraction(1, k)
    sure = table.measure("confidence", item, member)
    sure = least if sure is None else max(sure, least)
    return sure if same(own, label) else (1 - sure) / max(k - 1, 1)


def confidence_vote(table: Table, item, members, combine) -> Fate:
    """The given answer with the best combination of the members' chances for it."""
    k = max(len(table.labels()), 1)
    scores = []
    for member in members:
        own = table.said(item, member)
        if own is None:
            scores.append(None)
            continue
        chances = [_chance(table, item, other, own, k) for other in members]
        scores.append(
            combine([(m, c) for m, c in zip(members, chances, strict=True) if c is not None])
        )
    return _of_member(table, item, members, scores)


def mean_of(weights: dict | None = None):
    def combine(pairs):
        return sum((exact(weights[m]) if weights else 1) * c for m, c in pairs)

    return combine


def max_of(pairs):
    return max(c for _, c in pairs)


def min_of(pairs):
    return min(c for _, c in pairs)


def median_of(pairs):
    ranked = sorted(c for _, c in pairs)
    return (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2


def product_of(pairs):
    """No chance counts as less than 1e-12: nobody vetoes."""
    total = Fraction(1)
    for _, chance in pairs:
        total *= max(chance, Fraction(1, 10**12))
    return total


def cascade(table: Table, item, order, thresholds, abstain=None) -> Fate:
    """The first that replied and is sure enough; a label without a threshold is not sure."""
    model, answer, waves = None, None, []
    for stage, name in enumerate(order):
        waves.append([name])
        sure = table.measure("confidence", item, name)
        # Where no answers are recorded, whoever was asked is taken to have replied.
        replied = not table.answers or table.said(item, name) is not None
        if replied:
            model, answer = name, table.said(item, name)
            if abstain is not None and sure is not None and sure < exact(abstain[stage]):
                return Fate(None, None, waves)
            if stage < len(thresholds):
                level = thresholds[stage]
                if isinstance(level, list):  # pairs of label and level
                    level = next((t for label, t in level if same(label, answer)), None)
                if level is not None and sure is not None and sure >= exact(level):
                    return Fate(model, answer, waves)
    return Fate(unread(table, item, order) if model is None else model, answer, waves)


def agreement_cascade(table: Table, item, tiers, agreement) -> Fate:
    model, answer, waves = None, None, []
    for tier in tiers:
        waves.append(list(tier))
        votes = [
            sum(
                same(table.said(item, a), b)
                for b in map(lambda m: table.said(item, m), tier)
                if b is not None
            )
            if table.said(item, a) is not None
            else 0
            for a in tier
        ]
        most = max(votes)
        if most:
            model = tier[votes.index(most)]
            answer = table.said(item, model)
            if Fraction(most, len(tier)) >= exact(agreement) - TIE:
                return Fate(model, answer, waves)
    members = [name for tier in tiers for name in tier]
    return Fate(unread(table, item, members) if model is None else model, answer, waves)


def heuristic(table: Table, item, small, big, feature, threshold) -> Fate:
    value = table.facts[item].get(f"feature:{feature}")
    model = big if value is not None and exact(value) > exact(threshold) else small
    return Fate(model, table.said(item, model), [[model]])


def replay(table: Table, decide, parallel: bool = True) -> dict:
    """What a policy was worth: per item and in the mean."""
    fates = [decide(item) for item in table.items]
    correct, spent = [], {"cost": [], "latency": []}
    for item, fate in zip(table.items, fates, strict=True):
        correct.append(None if fate.model is None else table.correct(item, fate.model))
        called = [name for wave in fate.waves for name in wave]
        costs = [table.measure("cost", item, name) for name in called]
        spent["cost"].append(None if None in costs else sum(costs, Fraction(0)))
        total = Fraction(0)
        for wave in fate.waves:
            times = [table.measure("latency", item, name) for name in wave]
            if total is None or None in times:
                total = None
            else:
                total += max(times) if parallel else sum(times, Fraction(0))
        spent["latency"].append(total)
    n = len(table.items)
    calls = {m: Fraction(sum(any(m in w for w in f.waves) for f in fates), n) for m in table.models}
    return {
        "answers": [fate.answer for fate in fates],
        "models": [fate.model for fate in fates],
        "called": [[name for wave in fate.waves for name in wave] for fate in fates],
        "correct": correct,
        "accuracy": mean(correct),
        "calls": calls,
        "abstained": [fate.model is None for fate in fates],
        **spent,
        **{f"mean {name}": strict_mean(values) for name, values in spent.items()},
        **{
            f"known {name}": Fraction(sum(v is not None for v in values), n)
            for name, values in spent.items()
        },
    }


def pareto(points: list) -> list[bool]:
    """Of (spent, accuracy): no other is as right for as little and better in one; unknown never."""
    kept = []
    for spent, right in points:
        beaten = spent is None or right is None
        for other, better in points:
            if beaten or other is None or better is None:
                continue
            beaten = other <= spent and better >= right and (other < spent or better > right)
        kept.append(not beaten)
    return kept


def settings(levels: list, stages: int) -> list[tuple]:
    return list(product(levels, repeat=stages))


# -- diversity ----------------------------------------------------------------------------------


def _both(table: Table, a, b) -> list[tuple]:
    pairs = [(table.correct(item, a), table.correct(item, b)) for item in table.items]
    return [pair for pair in pairs if None not in pair]


def disagreement(table: Table, a, b) -> Fraction | None:
    return mean([x * (1 - y) + (1 - x) * y for x, y in _both(table, a, b)])


def q_statistic(table: Table, a, b) -> Fraction | None:
    pairs = _both(table, a, b)
    n11 = sum(x * y for x, y in pairs)
    n00 = sum((1 - x) * (1 - y) for x, y in pairs)
    n10 = sum(x * (1 - y) for x, y in pairs)
    n01 = sum((1 - x) * y for x, y in pairs)
    below = n11 * n00 + n01 * n10
    return (n11 * n00 - n01 * n10) / below if below else None


def error_correlation(table: Table, a, b) -> float | None:
    pairs = _both(table, a, b)
    if not pairs:
        return None
    x, y = mean([x for x, _ in pairs]), mean([y for _, y in pairs])
    xx = mean([(p - x) ** 2 for p, _ in pairs])
    yy = mean([(q - y) ** 2 for _, q in pairs])
    xy = mean([(p - x) * (q - y) for p, q in pairs])
    return float(xy) / sqrt(xx * yy) if xx and yy else None


def condorcet(members: int, accuracy: Fraction, correlation: Fraction) -> Fraction:
    """Every number of right members, one by one; a tie counts half."""
    if accuracy in (0, 1) or correlation == 1:
        return accuracy
    total = Fraction(0)
    for right in range(members + 1):
        chance = Fraction(comb(members, right))
        for step in range(members):  # an urn: each right member makes the next one likelier
            bad = step >= right
            drawn = step - right if bad else step
            mine = (1 - accuracy if bad else accuracy) * (1 - correlation) + drawn * correlation
            chance *= mine / (1 - correlation + step * correlation)
        total += chance * (2 * right > members) + chance * Fraction(2 * right == members) / 2
    return total
