"""What a table must have before advice can be given, and what is said about it."""

from __future__ import annotations

import numpy as np

from ensemble_lab.advice.words import counted, listed, percent
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import check_outcomes
from ensemble_lab.core.scales import scale_fault

FEWEST_ROWS, FEW_ROWS = 20, 100
FEW_CLUSTERS = 30
WHOLE = 0.9  # share of the rows that a model must have: those that it lacks may be the hard ones


def usable(outcomes: Outcomes) -> tuple[Outcomes, list[str]]:
    """The rows and models that can be compared, and a sentence for everything that was changed.

    Raises
    ------
    ValueError
        One model, no or too few graded rows, or requests of which only one model answered each.
    """
    check_outcomes(outcomes)
    if len(outcomes.models) < 2:
        raise ValueError(
            f"the table has one model, {shown(outcomes.models[0])}, so there is nothing to combine:"
            " add the answers of another model to the same items"
        )
    graded = ~np.isnan(outcomes.correct)
    rows = graded.any(axis=1)
    if not rows.any():
        raise ValueError("no answer here is graded; give correct, or truth with the answers")
    alone = float((graded[rows].sum(axis=1) == 1).mean())
    if alone > WHOLE:
        raise ValueError(
            f"in {percent(alone)} of the graded rows only one model answered, so what another"
            " would have said is not known: ask all models about some hundred requests, or give the"
            " chance with which each model was chosen"
        )
    said = []
    if not rows.all():
        said.append(f"{counted((~rows).sum(), 'row')} without any grade are left out.")
        outcomes = outcomes.take(rows)
    if len(outcomes) < FEWEST_ROWS:
        raise ValueError(
            f"{counted(len(outcomes), 'graded row')} cannot tell policies apart; grade at least"
            f" {FEWEST_ROWS}, better some hundred"
        )
    if len(outcomes) < FEW_ROWS:
        said.append(
            f"{len(outcomes)} rows are few: the intervals are wide, and the advice may turn."
        )
    outcomes = _with_whole_models(outcomes, said)
    outcomes = _with_whole_prices(outcomes, said)
    _say_alike(outcomes, said)
    if fault := scale_fault(outcomes):
        said.append(f"Cascades by confidence are left out: {fault}.")
    return outcomes, said


def _with_whole_models(outcomes: Outcomes, said: list[str]) -> Outcomes:
    """Without the models that lack many rows, each with how hard these are for the others."""
    graded = ~np.isnan(outcomes.correct)
    share = graded.mean(axis=0)
    kept = share >= WHOLE
    if kept.sum() < 2:
        names = [outcomes.models[j] for j in np.argsort(share)]
        raise ValueError(
            f"fewer than two models have grades for {WHOLE:.0%} of the {len(outcomes):,} graded"
            f" rows ({shown(names[0])} has {percent(share.min())}); select(items=…) the rows that"
            " the models have in common"
        )
    if kept.all():
        return outcomes
    others = np.nanmean(np.where(kept, outcomes.correct, np.nan), axis=1)
    for j in np.flatnonzero(~kept)[:5]:
        there, gone = np.nanmean(others[graded[:, j]]), np.nanmean(others[~graded[:, j]])
        name = excerpt(outcomes.models[j], 60)
        text = f"{name} is left out: it has {percent(share[j])} of the rows."
        here = graded[:, j].sum()
        noise = 2 * np.sqrt(0.25 / here + 0.25 / (len(outcomes) - here))
        if abs(there - gone) > noise:
            text += (
                f" They are not a random part: the others are right on {percent(there)} of them and"
                f" on {percent(gone)} of those that it lacks."
            )
        said.append(text)
    if (~kept).sum() > 5:
        said.append(f"{(~kept).sum() - 5} more models are left out, as they lack as many rows.")
    return outcomes.select(models=[outcomes.models[j] for j in np.flatnonzero(kept)])


def _with_whole_prices(outcomes: Outcomes, said: list[str]) -> Outcomes:
    """Unknown prices and times of calls replaced by the model's mean."""
    for name in ("cost", "latency"):
        values = getattr(outcomes, name)
        if values is None or not np.isnan(values).any():
            continue
        nothing = np.isnan(values).all(axis=0)
        if nothing.all():
            continue
        some = np.isnan(values[:, ~nothing]).mean()
        if some > 0:
            said.append(f"{percent(some)} of the {name}s are not known: the model's mean is taken.")
        if nothing.any():
            names = [outcomes.models[j] for j in np.flatnonzero(nothing)]
            said.append(
                f"The {name} of {listed(names)} is not known, so no limit of it can be kept."
            )
        outcomes = outcomes.filled(name, absent=True)
    return outcomes


def _say_alike(outcomes: Outcomes, said: list[str]) -> None:
    """Name models that are right and wrong on the same rows."""
    columns: dict[bytes, list[str]] = {}
    for name, column in zip(outcomes.models, outcomes.correct.T, strict=True):
        columns.setdefault(np.ascontiguousarray(column).tobytes(), []).append(name)
    if len(columns) == 1:
        said.append("All models are right and wrong on the same rows: choosing among them gains"
                    " nothing, except in price.")  # fmt: skip
        return
    for names in columns.values():
        if len(names) > 1:
            said.append(f"{listed(names)} are right and wrong on the same rows.")


def repeated(outcomes: Outcomes) -> np.ndarray | None:
    """Codes (n,) of rows that are the same request, from 0; None where no request is repeated.

    Rows are the same where all their features are, or without features all that is recorded of
    them except the grade. Where few rows differ, equality says nothing.
    """
    import pandas as pd

    facts = {f"feature {k}": v for k, v in outcomes.features.items()}
    if not facts:
        for name in ("answer", "confidence", "cost", "latency", "tokens"):
            values = getattr(outcomes, name)
            if values is not None:
                facts |= {f"{name} {j}": column for j, column in enumerate(values.T)}
    if not facts:
        return None
    keys = np.zeros(len(outcomes), np.uint64)
    for values in facts.values():
        with np.errstate(over="ignore"):
            keys = keys * np.uint64(1_000_003) + pd.util.hash_array(np.asarray(values))
    codes, unique = pd.factorize(keys)
    if not len(outcomes) / 2 <= len(unique) < len(outcomes):
        return None
    return codes


def say_repeated(outcomes: Outcomes, codes: np.ndarray, said: list[str]) -> None:
    """How many rows repeat another, and how many of them disagree about the truth."""
    n, different = len(outcomes), int(codes.max()) + 1
    said.append(
        f"Requests that are repeated are kept in one fold and drawn together: {n:,} rows are"
        f" {different:,} different ones."
    )
    if outcomes.truth is None:
        return
    known = outcomes.truth >= 0
    pairs = np.unique(np.stack([codes[known], outcomes.truth[known]]), axis=1)
    torn = (np.bincount(pairs[0]) > 1).sum()
    if torn:
        said.append(
            f"{counted(torn, 'request')} with more than one truth among those repeated: no policy"
            " can be right on all of their rows, so look at them."
        )


def check_clusters(cluster: np.ndarray, folds: int, said: list[str]) -> int:
    """`folds`, or as many as there are clusters."""
    found = int(cluster.max()) + 1
    if found < FEW_CLUSTERS:
        said.append(f"cluster has only {found} different values: the intervals may be too narrow.")
    return min(folds, found)
