"""Logs in which only the chosen model answered: weighted by how likely the choice was, or refused.

A router that sends hard items to the expensive model makes the expensive model look bad. An item
that had one chance in ten of being answered by a model stands for ten items like it (Horvitz and
Thompson, 1952). Without these chances no method gets the accuracies from such a log.
"""

from __future__ import annotations

import warnings

import numpy as np

from ensemble_lab.advice.weighting import corrected_mean, predictions, weighted_mean
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.required import check_outcomes, require

FEW = 30  # items that the weights are worth: with fewer the interval is not to be trusted
RARE = 0.01  # a smaller propensity lets one item stand for more than a hundred
LEAST = 1e-100  # what is smaller is no chance that a router had
ROUNDED = 1e-6  # a chance in 32 bits may be so much above 1
ESTIMATES = ("self-normalised", "inverse propensity", "doubly robust")
COMPARED = 0.05  # share of the items that two models must share for a comparison
FIX = (
    "send a random 5 % of the traffic to all models and give these rows, or log how likely each"
    " choice was as its propensity"
)


def only_chosen(outcomes: Outcomes) -> bool:
    """Whether this is such a log: on hardly any item did two models answer."""
    check_outcomes(outcomes)
    asked = (~outcomes.absent).sum(axis=1)
    several = len(outcomes.models) > 1 and (asked > 0).any()
    return bool(several and (asked > 1).sum() < COMPARED * (asked > 0).sum())


def refuse_only_chosen(outcomes: Outcomes) -> None:
    """Refuse such a log, as what is seen of a model depends on who was sent to it.

    Raises
    ------
    ValueError
        How many items two models share, and the fix.
    """
    if only_chosen(outcomes):
        both = int(((~outcomes.absent).sum(axis=1) > 1).sum())
        raise ValueError(
            f"on {both:,} of {len(outcomes):,} items more than one model answered: only the chosen"
            f" model is in this log, and its items are not those of the others; {FIX}"
        )


def accuracy_from_choices(
    outcomes: Outcomes, propensity, policies=None, *, estimate=ESTIMATES[0], predicted=None
):
    """Accuracy of each model on all items, from a log in which one model answered each.

    Every grade has the weight one over the propensity of its choice. The *self-normalised* estimate
    (Hajek, 1971; Swaminathan and Joachims, 2015) is the weighted mean of the grades: it stays
    between 0 and 1 and is unbiased only for many items. *Inverse propensity* (Horvitz and Thompson,
    1952) divides the weighted sum by the number of items instead: it is unbiased, has a greater
    variance, and may be above 1. The *doubly robust* estimate (Dudik, Langford and Li, 2011) takes
    the mean of predicted grades and corrects it by their weighted errors: it is unbiased too, and
    the better the predictions, the smaller its variance.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models, of which one answered each item.
    propensity : array-like (n,) or str
        How likely the router was to choose the model that it chose, in (0, 1]; or the feature that
        holds it.
    policies : mapping of name to Policy, optional
        Fitted policies that choose one model by what is known before it is asked, such as routers:
        each gets a row too.
    estimate : {"self-normalised", "inverse propensity", "doubly robust"}
    predicted : array-like (n, m), optional
        A predicted grade of every model on every item, for the doubly robust estimate: such as the
        `scores` of a router that was fitted on other items. Fitted on the same ones, it has seen
        the grades that correct it.

    Returns
    -------
    pandas.DataFrame
        A row a model or policy: `accuracy` with `low` and `high` (95 %; of the self-normalised
        estimate from the linearised variance, Korn and Graubard, 1998; else from the normal
        distribution, and unknown for fewer than two items); `items`, those on which the log chose
        as it would; `effective`, how many items of equal weight tell as much, (sum w)^2 / sum w^2
        (Kish, 1965); `smallest`, the least propensity among them; and `share`, the mean weight over
        all items, near 1 where the model could have been chosen everywhere.

    Raises
    ------
    TypeError, ValueError
        No grades; an item with two answers; propensities that are not chances, or all 1; a policy
        that asks more than one model; an unknown estimate; predictions that are missing, not
        finite, or not used.

    Warns
    -----
    UserWarning
        Propensities below 0.01; few effective items; a model that could not be chosen everywhere;
        items without a grade.

    Examples
    --------
    >>> nan = np.nan
    >>> log = Outcomes(models=["small", "big"], items=range(4),
    ...                correct=[[1, nan], [nan, 0], [1, nan], [nan, 1]])
    >>> with warnings.catch_warnings(action="ignore"):
    ...     accuracy_from_choices(log, [0.9, 0.1, 0.9, 0.5]).accuracy.round(3).tolist()
    [1.0, 0.167]
    >>> with warnings.catch_warnings(action="ignore"):  # (1 + 1) / 0.9 / 4 and 1 / 0.5 / 4
    ...     accuracy_from_choices(log, [0.9, 0.1, 0.9, 0.5],
    ...                           estimate="inverse propensity").accuracy.round(3).tolist()
    [0.556, 0.5]
    """
    import pandas as pd

    if estimate not in ESTIMATES:
        raise ValueError(
            f"estimate is {shown(estimate, 40)}; give one of {', '.join(map(repr, ESTIMATES))}"
        )

    correct = require(outcomes, "correct", "accuracy_from_choices")
    asked = ~outcomes.absent
    if (many := asked.sum(axis=1) > 1).any():
        raise ValueError(
            f"item {shown(outcomes.items[many.argmax()], 40)} was answered by"
            f" {int(asked[many.argmax()].sum())} models; leave out the items that several answered,"
            " or compare the models on these"
        )
    chance = _chances(outcomes, propensity, asked)
    guess = predictions(predicted, outcomes, needed=estimate == ESTIMATES[2])
    answered = asked.any(axis=1)
    model = np.where(answered, asked.argmax(axis=1), -1)
    grade = np.where(answered, correct[np.arange(len(model)), model], np.nan)
    _say_ungraded(answered, grade)
    wanted = {name: np.full(len(model), j) for j, name in enumerate(outcomes.models)}
    for name, policy in (policies or {}).items():
        if name in wanted:
            raise ValueError(f"policies has {shown(name, 40)}, which is a model; rename the policy")
        wanted[name] = _chosen_by(name, policy, outcomes)
    counted = answered & ~np.isnan(grade)
    rows = []
    for name, columns in wanted.items():
        same = counted & (model == columns)
        rows.append({"model": name} | weighted_mean(grade[same], chance[same], counted.sum()))
        if estimate != ESTIMATES[0]:
            base = guess[np.arange(len(columns)), columns]  # (n,)
            rows[-1] |= corrected_mean(base[counted], same[counted], grade[counted],
                                       chance[counted])  # fmt: skip
        _say_doubts(rows[-1])
    return pd.DataFrame(rows)


def _chances(outcomes: Outcomes, propensity, asked: np.ndarray) -> np.ndarray:
    if isinstance(propensity, str):
        if propensity not in outcomes.features:
            known = ", ".join(map(str, outcomes.features)) or "none"
            raise ValueError(
                f"no feature {shown(propensity, 40)} has the propensities; features are"
                f" {excerpt(known, 80)}"
            )
        propensity = outcomes.features[propensity]
    if np.ma.is_masked(propensity):
        raise ValueError("propensity has masked entries, which are unknown; fill them in")
    try:
        chance = np.asarray(propensity, float)
    except (TypeError, ValueError):
        raise ValueError(
            f"propensity is {shown(propensity, 60)}; give a number in (0, 1] for each item"
        ) from None
    if chance.shape != (len(outcomes),):
        raise ValueError(
            f"propensity has the shape {chance.shape}; give one number for each of the"
            f" {len(outcomes)} items: that of the model that was chosen"
        )
    answered = asked.any(axis=1)
    wrong = answered & ~((chance >= LEAST) & (chance <= 1 + ROUNDED))
    if wrong.any():
        i = int(wrong.argmax())
        fix = "correct the log, as leaving the item out makes the result biased"
        if chance[i] > 1:
            fix = "divide percentages by 100"
        elif chance[i] < 0:
            fix = "take the exponential of logarithms"
        raise ValueError(
            f"the propensity of item {shown(outcomes.items[i], 40)} is {shown(chance[i])}; a model"
            f" that was chosen had a chance above 0 and at most 1: {fix}"
        )
    chance = np.minimum(chance, 1.0)
    if answered.any() and (chance[answered] == 1).all():
        raise ValueError(
            f"every propensity is 1: the router left nothing to chance, so nothing can be weighted;"
            f" {FIX}"
        )
    return chance


def _chosen_by(name, policy, outcomes: Outcomes) -> np.ndarray:
    if not isinstance(policy, Policy):
        given = f"a {type(policy).__name__}"
        if isinstance(policy, type):
            given = f"the class {policy.__name__}"
        raise TypeError(f"the policy {shown(name, 40)} is {given}; give a fitted Policy")
    decision = policy.decide(outcomes)
    if (decision.called.sum(axis=1) > 1).any() or (decision.chosen < 0).any():
        raise ValueError(
            f"the policy {shown(name, 40)} does not choose one model for each item, so this log"
            " does not show what it would have answered; give routers only"
        )
    return decision.chosen


def _say_ungraded(answered: np.ndarray, grade: np.ndarray) -> None:
    if not (answered & ~np.isnan(grade)).any():
        raise ValueError("no answer here is graded; grade a random part of the log first")
    if left := int((answered & np.isnan(grade)).sum()):
        warnings.warn(
            f"{left:,} of {int(answered.sum()):,} answers have no grade and are left out; that is"
            " right only where chance decided which were graded",
            stacklevel=3,
        )


def _say_doubts(row: dict) -> None:
    name, doubts = excerpt(row["model"], 40), []
    if not row["items"]:
        doubts.append("it was never chosen, so this log says nothing of it")
    elif row["smallest"] < RARE:
        stands = 1 / row["smallest"]
        text = f"{stands:,.0f}" if stands < 1e12 else f"{stands:.3g}"
        doubts.append(f"one item stands for {text}, so a few decide")
    if row["items"] and row["effective"] < FEW:
        doubts.append(f"the weights leave {row['effective']:.3g} effective items")
    if row["items"] and abs(row["share"] - 1) > 0.1 + 4 / np.sqrt(max(row["effective"], 1)):
        doubts.append(
            f"the mean weight is {row['share']:.3g} and not 1: it could not be chosen everywhere,"
            " or the propensities are not those of the router"
        )
    if doubts:
        warnings.warn(f"{name}: {'; '.join(doubts)}", stacklevel=3)
