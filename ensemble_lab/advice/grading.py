"""Which rows to grade where no answer is graded, and what their grades then say of the whole table.

Without grades a table shows only where models agree. Rows on which their answers differ decide
which model is better, so more of them are graded. Every row keeps a chance, and its weight is one
over that chance: the estimates stay unbiased (Horvitz and Thompson, 1952).
"""

from __future__ import annotations

from numbers import Integral

import numpy as np

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.intervals import checked_seed
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.shares import share_interval
from ensemble_lab.core.states import ABSENT, UNPARSED

STRATA = 6
FEWEST = 2  # rows of a stratum: with one, no spread is known
Z = 1.959964


def rows_to_grade(outcomes: Outcomes, rows: int = 300, seed: int = 0):
    """Choose the rows whose grades say most, and the weight of each.

    Rows are sorted by how much their grade would tell, as the answers show it, and cut into strata
    of equal sums. From each stratum equally many rows are drawn at random (Neyman, 1934). A model
    whose answer c of a models gave is guessed to be right with probability (c + 1) / (a + g + 1),
    where g is the number of different answers (Laplace's rule). The guess only guides the draw: no
    estimate depends on whether it is true.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models, with answers. Grades are not read.
    rows : int
        How many rows to grade. All, where there are no more.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row an item to grade, in the order of the table: `item`; `weight`, how many items of the
        table it stands for; `stratum`, from 0, where the models agree most.

    Raises
    ------
    TypeError, ValueError
        What is no `Outcomes`; no answers; a number of rows below 2.

    References
    ----------
    Neyman (1934), On the two different aspects of the representative method, Journal of the Royal
    Statistical Society 97; Horvitz and Thompson (1952), A generalization of sampling without
    replacement from a finite universe, Journal of the American Statistical Association 47.

    Examples
    --------
    >>> table = Outcomes(models=["a", "b"], items=range(100), correct=np.full((100, 2), np.nan),
    ...                  answer=[[0, 0]] * 80 + [[0, 1]] * 20, labels=["no", "yes"])
    >>> chosen = rows_to_grade(table, 40)
    >>> len(chosen), round(chosen.weight.sum()), int((chosen.item >= 80).sum())
    (40, 100, 15)
    """
    import pandas as pd

    answer = require(outcomes, "answer", "rows_to_grade")
    if isinstance(rows, bool) or not isinstance(rows, Integral) or rows < FEWEST:
        raise ValueError(f"rows={shown(rows)}; give a whole number from {FEWEST} up, such as 300")
    rng = np.random.default_rng(checked_seed(seed))
    asked = np.flatnonzero((answer != ABSENT).any(axis=1))  # other rows have nothing to grade
    if not len(asked):
        raise ValueError("no model answered any item here; record answers first")
    worth = spread_of_grades(answer[asked])
    stratum = strata(worth, min(STRATA, max(int(rows) // 5, 1)))
    sizes = np.bincount(stratum)
    counts = allocation(sizes, np.bincount(stratum, worth), int(rows))
    drawn = np.concatenate(
        [
            np.sort(rng.permutation(np.flatnonzero(stratum == h))[:count])
            for h, count in enumerate(counts)
        ]
    )
    drawn.sort()
    weight = (sizes / np.maximum(counts, 1))[stratum[drawn]]
    return pd.DataFrame(
        {"item": outcomes.items[asked[drawn]], "weight": weight, "stratum": stratum[drawn]}
    )


def spread_of_grades(answer: np.ndarray) -> np.ndarray:
    """How much a row's grade is guessed to vary, from the answers (n, m) alone: (n,).

    The root of p (1 - p), as a mean over the models, plus the mean square of the difference between
    two models, over all pairs: the first decides the accuracies, the second their differences.
    """
    n, m = answer.shape
    asked = answer != ABSENT
    # A group is the models of one answer in one row; replies without an answer are a group too.
    code = np.where(asked, answer - min(int(answer.min()), UNPARSED, ABSENT), 0)
    key = np.arange(n)[:, None] * (int(code.max()) + 1) + code
    _, group, size = np.unique(key, return_inverse=True, return_counts=True)
    votes = size[group.reshape(n, m)]  # (n, m) models with the answer of this one
    readable = asked & (answer != UNPARSED)
    models = asked.sum(axis=1, keepdims=True)
    distinct = np.where(readable, 1 / votes, 0.0).sum(axis=1, keepdims=True)
    right = np.where(readable, (votes + 1) / (models + distinct + 1), 0.0)  # no answer: wrong
    of_one = (right * (1 - right)).sum(axis=1) / np.maximum(models[:, 0], 1)
    # Two models with different answers: exactly one is right with probability p + q.
    pairs = np.maximum(models[:, 0] * (models[:, 0] - 1), 1)
    of_two = 2 * (right * np.where(asked, models - votes, 0)).sum(axis=1) / pairs
    return np.sqrt(of_one + of_two)


def strata(worth: np.ndarray, count: int) -> np.ndarray:
    """The stratum of each row (n,): rows in the order of `worth`, in parts of equal sums."""
    order = np.argsort(worth, kind="stable")
    total = np.cumsum(worth[order])
    if total[-1] <= 0:  # every grade is known to be wrong
        return np.zeros(len(worth), int)
    part = np.minimum((total - worth[order] / 2) * count / total[-1], count - 1e-9).astype(int)
    found = np.empty(len(worth), int)
    found[order] = np.unique(part, return_inverse=True)[1]  # no empty ones
    return found


def allocation(sizes: np.ndarray, sums: np.ndarray, rows: int) -> np.ndarray:
    """How many rows of each stratum to draw: in proportion to `sums`, never more than there are.

    Each stratum has at least two where it can, and the counts add up to `rows`, or to all.
    """
    rows = min(rows, int(sizes.sum()))
    least = np.minimum(sizes, FEWEST if FEWEST * len(sizes) <= rows else 1)
    counts = least.copy()
    while (left := rows - int(counts.sum())) > 0:
        share = np.where(counts < sizes, np.maximum(sums, 1e-300), 0.0)
        more = left * share / share.sum()
        step = np.minimum(np.floor(more).astype(int), sizes - counts)
        if not step.any():  # fewer rows are left than strata: the largest remainders
            step = np.zeros(len(sizes), int)
            step[np.argsort(-more, kind="stable")[: min(left, int((share > 0).sum()))]] = 1
        counts += step
    return counts


def accuracy_from_grades(outcomes: Outcomes, rows):
    """What the graded rows say of every model on the whole table.

    Parameters
    ----------
    outcomes : Outcomes
        Now with grades for the chosen rows, n items by m models.
    rows : pandas.DataFrame
        As `rows_to_grade` made it.

    Returns
    -------
    pandas.DataFrame
        A row a model: its `accuracy` with `low` and `high` (95 %), and its `gap`, `gap_low`,
        `gap_high` to the most accurate one, on the items that both have. The intervals are those
        of stratified sampling, and those of accuracies are Korn and Graubard's (1998).

    Raises
    ------
    TypeError, KeyError, ValueError
        Rows of another table, without weights, or without a grade: the item is named.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 5.3.
    """
    import pandas as pd

    correct = require(outcomes, "correct", "accuracy_from_grades")
    where, weight, stratum = _places(outcomes, rows)
    grades = correct[where]
    absent = outcomes.absent[where]
    if (gone := np.isnan(grades) & ~absent).any():
        i, j = np.argwhere(gone)[0]
        raise ValueError(
            f"item {shown(outcomes.items[where[i]], 40)} of {excerpt(outcomes.models[j], 40)} has"
            " no grade; grade all rows that were chosen, for left-out rows make the result biased"
        )
    columns = range(len(outcomes.models))
    means = [weighted_mean(grades[:, j], weight, stratum, grades=True) for j in columns]
    if np.isnan([mean for mean, _ in means]).all():
        raise ValueError("no model answered a chosen row; choose rows again with rows_to_grade")
    best = int(np.nanargmax([mean for mean, _ in means]))
    found = []
    for j in columns:
        mean, error = means[j]
        low, high = _ends(mean, error, int((~np.isnan(grades[:, j])).sum()), weight)
        gap, wide = weighted_mean(grades[:, j] - grades[:, best], weight, stratum, grades=False)
        ends = {"gap_low": max(gap - Z * wide, -1.0), "gap_high": min(gap + Z * wide, 1.0)}
        about = {"model": outcomes.models[j], "accuracy": mean, "low": low, "high": high}
        found.append(about | {"gap": gap} | ends)
    return pd.DataFrame(found)


def weighted_mean(values: np.ndarray, weight: np.ndarray, stratum: np.ndarray, *, grades: bool):
    """The mean that the drawn `values` (k,) estimate, and its standard error; NaN is left out.

    Whether they are `grades`: where all of a part are right, the rows not drawn need not be.
    """
    known = ~np.isnan(values)
    if not known.any():
        return np.nan, np.nan
    total = weight[known].sum()
    mean = float((weight[known] * values[known]).sum() / total)
    away = np.where(known, values - mean, 0.0)
    variance = 0.0
    for h in np.unique(stratum):
        mine = stratum == h
        drawn, size = int(mine.sum()), float(weight[mine].sum())
        if drawn > 1:  # of a stratum of one row all is known
            spread = away[mine].var(ddof=1)
            if grades:  # as if half a row of one more were otherwise
                spread = max(spread, 0.5 / (drawn + 1) * (1 - 0.5 / (drawn + 1)))
            variance += size**2 * (1 - drawn / size) * spread / drawn
    return mean, float(np.sqrt(max(variance, 0.0)) / total)


def _ends(mean: float, error: float, count: int, weight: np.ndarray) -> tuple[float, float]:
    """Interval of a share; near 1 a symmetric one would be too short (Korn and Graubard, 1998)."""
    if (weight == 1).all() or not count:
        return mean, mean
    # That of a plain share, of as many items as would have this error.
    worth = mean * (1 - mean) / error**2 if error > 0 else count
    low, high = share_interval(np.clip(mean, 0, 1), worth)
    return float(low), float(high)


def _places(outcomes: Outcomes, rows):
    columns = getattr(rows, "columns", None)
    if columns is None or not {"item", "weight", "stratum"} <= set(columns):
        raise TypeError(
            f"rows is {shown(rows, 60)}; give the frame of rows_to_grade, with item, weight and"
            " stratum"
        )
    place = {item: i for i, item in enumerate(outcomes.items.tolist())}
    items = rows["item"].tolist()
    if not items:
        raise ValueError("rows is empty; give the frame of rows_to_grade")
    for item in items:
        if item not in place:
            fix = "give the table of the rows"
            if str(item) in {str(known) for known in place}:
                fix = "it is there in another type: read the rows with the types of the table"
            raise KeyError(f"no item {shown(item, 40)} in the outcomes; {fix}")
    if len(set(items)) < len(items):
        twice = next(item for item in items if items.count(item) > 1)
        raise ValueError(f"rows has item {shown(twice, 40)} twice; grade each row once")
    weight = rows["weight"].to_numpy(float)
    if not (weight >= 1).all():
        bad = weight[~(weight >= 1)][0]
        raise ValueError(f"rows has the weight {shown(bad)}; a row stands for itself at least")
    answered = int((~outcomes.absent).any(axis=1).sum())
    if weight.sum() < answered - 0.5:
        raise ValueError(
            f"the rows stand for {weight.sum():,.0f} of {answered:,} items, so some that were"
            " chosen are not here; grade all of them, for left-out rows make the result biased"
        )
    return np.array([place[item] for item in items]), weight, rows["stratum"].to_numpy()
