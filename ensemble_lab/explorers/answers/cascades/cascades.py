"""The cascade explorer: which model first, how sure is sure enough, and what that buys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ensemble_lab.answers.cascades.budget import BudgetCascade
from ensemble_lab.answers.cascades.cascade import Cascade
from ensemble_lab.answers.routing.selectors import LearnedSelector
from ensemble_lab.core.errors import shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.scales import scale_fault
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.explorers.answers.cascades.cascade_picture import draw
from ensemble_lab.explorers.answers.cascades.cascade_presets import presets_of
from ensemble_lab.explorers.answers.cascades.cascade_replay import CHOOSE, LEVELS, TRY, Replay
from ensemble_lab.explorers.answers.cascades.cascade_view import View, price, view
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.controls import Control, choice, steps
from ensemble_lab.widgets.explorer import Explorer, State

HUGE = 1e100  # its square can still be summed
MOST_LABELS = 50  # a threshold for each of more cannot be learned from a handful of items each


def explorer(outcomes: Outcomes, policy: Policy | None = None) -> Explorer:
    """Explore cascades of two or three models, or a choice between two, over any outcomes.

    Parameters
    ----------
    outcomes : Outcomes
        n items by m models. Half of the items is for fitting, every number shown is of the rest.
    policy : Cascade, BudgetCascade or LearnedSelector, optional
        Whose setting to start at; an unfitted one is fitted on the fitting half. One that comes
        with thresholds is shown as it is, and the words say that the items shown may have been
        used to choose them.

    Returns
    -------
    Explorer
        Controls that these outcomes do not allow are left out, with the reason in `missing`.

    Raises
    ------
    ValueError
        No graded answer; a policy of another kind, with more than three stages, or that needs
        what these outcomes do not have.
    """
    if np.isnan(outcomes.correct).all():
        raise ValueError("no answer here is graded; give correct, or truth with the answers")
    selector = policy if isinstance(policy, LearnedSelector) else None
    replay = Replay(outcomes, selector, _is_chosen(policy))
    missing = _missing(replay)
    fixed = None if "mode" not in missing else (CHOOSE if _no_scores(outcomes) else TRY)
    able = "threshold" not in missing
    presets = presets_of(replay, fixed or TRY) if able else {}
    best = next(iter(presets.values()), {})
    first = {name: best[name] for name in ("small", "big", "threshold") if name in best}
    nobody = _unlike("none", outcomes.models)
    controls = _controls(replay, missing, first, nobody)

    def seen(state: State) -> View:
        order, mode = _order(state, nobody), state.get("mode", fixed)
        return view(replay, order, mode, _at(state), able, state)

    def card(state: State, item: Any):
        return _card(replay, seen(state), bool(state.get("per_label")), item)

    return Explorer(
        name="cascade",
        controls=controls,
        draw=lambda state: draw(replay, seen(state)),
        presets=presets,
        along="threshold" if able else "small",
        card=card,
        missing=missing,
        start=_start(policy, replay, missing),
        items=tuple(replay.shown.items[:100].tolist()),
    )


# -- controls -----------------------------------------------------------------------------------


def _missing(replay: Replay) -> dict[str, str]:
    """Controls that the outcomes do not allow, and why."""
    outcomes, found = replay.outcomes, {}
    scores, features = _no_scores(outcomes), _no_features(outcomes)
    if len(outcomes.models) < 2:
        alone = "there is one model, and a cascade needs two; record another"
        names = ("big", "threshold", "mode", "per_label", "middle", "threshold_2")
        return dict.fromkeys(names, alone)
    if scores and features:
        found["threshold"] = f"{scores}, and {features}: nothing says which items are hard"
    if scores or features:
        found["mode"] = f"trying first is out: {scores}" if scores else f"only trying: {features}"
    if scores:
        found |= dict.fromkeys(("middle", "threshold_2", "per_label"), scores)
    if not scores and len(outcomes.models) < 3:
        found |= dict.fromkeys(
            ("middle", "threshold_2"), "there are two models, and these need three"
        )
    if not scores and (outcomes.answer is None or not 1 < len(outcomes.labels) <= MOST_LABELS):
        found["per_label"] = f"it needs answers of 2 to {MOST_LABELS} labels"
    elif not scores and not replay.halved:
        found["per_label"] = f"{len(outcomes)} items are too few to fit on one half"
    return found


def _no_scores(outcomes: Outcomes) -> str:
    """Why nobody can be tried first; empty where they can."""
    if outcomes.confidence is None or np.isnan(outcomes.confidence).all():
        return "these outcomes have no confidence"
    return scale_fault(outcomes)


def _no_features(outcomes: Outcomes) -> str:
    """Why nobody can be chosen first; empty where they can."""
    numeric = [v for v in outcomes.features.values() if v.dtype.kind in "iufb"]
    if not numeric:
        return "no numeric features to choose by before anybody is asked"
    if not all((np.abs(v.astype(float)) < HUGE).all() for v in numeric):
        return "some features are missing (NaN) or infinite, so nobody can be chosen by them"
    return ""


def _controls(replay: Replay, missing: Mapping, first: Mapping, nobody: str) -> tuple[Control, ...]:
    """The five that matter most come first."""
    models = replay.outcomes.models
    small, big = (first[k] for k in ("small", "big")) if first else _two(replay)
    level = first.get("threshold", 0.5)
    made = [
        steps("threshold", "threshold", LEVELS, level, "pass on what the first is less sure of"),
        choice("small", "small model", models, small, "asked first, or the cheap choice"),
        choice("big", "big model", models, big, "asked last, or the dear choice"),
        choice(
            "mode", "when to decide", (TRY, CHOOSE), TRY, "after the small model's try, or before"
        ),
        choice("per_label", "threshold by label", (False, True), False, "fitted on the other half"),
        choice(
            "middle", "model between", (nobody, *models), nobody, "asked where the first is unsure"
        ),
        steps(
            "threshold_2", "second threshold", LEVELS, 0.5, "pass on what the middle is unsure of"
        ),
    ]
    return tuple(control for control in made if control.name not in missing)


def _two(replay: Replay) -> tuple[str, str]:
    """The cheapest of the others and the most right, of the models that are graded."""
    models = replay.outcomes.models
    right = np.nan_to_num(replay.fit.accuracy(), nan=-1.0)
    paid = np.nan_to_num([price(replay, models[0], name) for name in models], nan=np.inf)
    big = int(right.argmax())
    others = [j for j in range(len(models)) if j != big] or [big]
    small = min(others, key=lambda j: (right[j] < 0, paid[j]))
    return models[small], models[big]


def _unlike(word: str, names: tuple[str, ...]) -> str:
    """`word`, in brackets as long as it is a model's name."""
    return _unlike(f"({word})", names) if word in names else word


def _order(state: State, nobody: str) -> tuple[str, ...]:
    """The chain, each model once; who chooses first chooses between two."""
    middle = nobody if state.get("mode") == CHOOSE else state.get("middle", nobody)
    between = () if middle == nobody else (middle,)
    return tuple(dict.fromkeys((state["small"], *between, state.get("big", state["small"]))))


def _at(state: State) -> tuple[int, ...]:
    levels = (state.get("threshold", 0.5), state.get("threshold_2", 0.5))
    return tuple(int(np.abs(LEVELS - level).argmin()) for level in levels)


def _start(policy: Policy | None, replay: Replay, missing: Mapping) -> dict[str, Any]:
    """The controls at which a policy stands."""
    if policy is None:
        return {}
    if isinstance(policy, LearnedSelector):
        mode = {} if _no_scores(replay.outcomes) else {"mode": CHOOSE}
        return {
            "small": policy.small,
            "big": policy.big,
            "threshold": _near(policy.threshold),
        } | mode
    if isinstance(policy, BudgetCascade):
        if policy.order is None:
            policy = policy.fit(replay.outcomes.split()[0] if replay.halved else replay.outcomes)
        policy = policy.cascade
    if not isinstance(policy, Cascade) or len(policy.order) > 3 or policy.abstain is not None:
        raise ValueError(
            f"the cascade explorer shows cascades of one to three stages without abstention, and"
            f" LearnedSelector, not {shown(policy)}"
        )
    if len(policy.order) == 1 and "big" in missing:
        return {"small": policy.order[0]}
    if len(policy.order) > 1 and "big" not in missing and (why := _no_scores(replay.outcomes)):
        raise ValueError(f"a cascade of {len(policy.order)} stages cannot be shown: {why}")
    found = {"small": policy.order[0], "big": policy.order[-1]}
    if len(policy.order) == 3:
        found |= {"middle": policy.order[1]}
    for name, level in zip(("threshold", "threshold_2"), policy.thresholds, strict=False):
        if isinstance(level, Mapping):  # its own are fitted anew for what the mean one spends
            found |= {"per_label": True}
            level = float(np.mean(list(level.values())))
        found[name] = _near(level)
    return found


def _is_chosen(policy: Policy | None) -> bool:
    """Whether a policy brings what may have been fitted on any items: these too."""
    if isinstance(policy, BudgetCascade):
        return policy.order is not None
    if isinstance(policy, LearnedSelector):
        return policy.fitted is not None or policy.threshold != LearnedSelector.threshold
    return policy is not None


def _near(level: float) -> float:
    return float(LEVELS[np.abs(LEVELS - level).argmin()])


# -- one item -----------------------------------------------------------------------------------


def _card(replay: Replay, seen: View, per_label: bool, item: Any):
    """What every model said about an item, who was asked in which place, and who answered."""
    import pandas as pd

    one = replay.outcomes.take([row_of(replay.outcomes.items, item)])
    policy = replay.policy(seen.order, seen.mode, seen.at, per_label) if seen.sweep else None
    decision = None if policy is None else policy.decide(one)
    said = {**dict(enumerate(one.labels)), ABSENT: "(not recorded)", UNPARSED: "(not readable)"}
    rows = {}
    if one.answer is not None:
        rows["answer"] = [said[code] for code in one.answer[0].tolist()]
    rows["right"] = one.correct[0]
    if decision is not None:
        rows["asked"] = decision.called[0]
        rows["answered"] = np.arange(len(one.models)) == decision.chosen[0]
    for name in ("confidence", "cost", "latency", "tokens"):
        if getattr(one, name) is not None:
            rows[name] = getattr(one, name)[0]
    return pd.DataFrame(rows, index=pd.Index(one.models, name="model"))
