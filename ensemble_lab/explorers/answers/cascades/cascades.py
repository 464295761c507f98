"""The cascade explorer: which model first, how sure is sure enough, and what that buys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
from ensemble_lab.explorers.answers.cascades.cascade_replay import CHOOSE, LEVELS, TRY, Replay, View
from ensemble_lab.widgets.cards import row_of
from ensemble_lab.widgets.controls import Control, choice, steps
from ensemble_lab.widgets.explorer import Explorer, Failing, State
from ensemble_lab.widgets.picture import table_of

HUGE = 1e100  # its square can still be summed
MOST_PAIRED = 6  # models among which presets are looked for
PAYS = 0.95  # a preset pays where it is as right for less than this share of the price
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
    none = _unlike("none", outcomes.models)
    controls = _controls(replay, missing, first, none)

    def seen(state: State) -> View:
        at = _at(state) if able else ()
        mode, per_label = state.get("mode", fixed), bool(state.get("per_label"))
        return View(replay, _order(state, none), mode, at, per_label)

    return Explorer(
        name="cascade",
        controls=controls,
        draw=lambda state: draw(seen(state)),
        presets=presets,
        card=lambda state, item: _card(seen(state), item),
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
        return found | dict.fromkeys(("middle", "threshold_2", "per_label"), scores)
    if len(outcomes.models) < 3:
        two = "there are two models, and these need three"
        found |= dict.fromkeys(("middle", "threshold_2"), two)
    if outcomes.answer is None or not 1 < len(outcomes.labels) <= MOST_LABELS:
        found["per_label"] = f"it needs answers of 2 to {MOST_LABELS} labels"
    elif not replay.halved:
        found["per_label"] = f"{len(outcomes)} items are too few to fit on one half"
    return found


def _no_scores(outcomes: Outcomes) -> str:
    """Why no model can be tried first; empty where one can."""
    if outcomes.confidence is None or np.isnan(outcomes.confidence).all():
        return "these outcomes have no confidence"
    return scale_fault(outcomes)


def _no_features(outcomes: Outcomes) -> str:
    """Why no model can be chosen first; empty where one can."""
    numeric = [v for v in outcomes.features.values() if v.dtype.kind in "iufb"]
    if not numeric:
        return "no numeric features to choose by before anybody is asked"
    if not all((np.abs(v.astype(float)) < HUGE).all() for v in numeric):
        return "some features are missing (NaN) or infinite, so no model can be chosen by them"
    return ""


def _controls(replay: Replay, missing: Mapping, first: Mapping, none: str) -> tuple[Control, ...]:
    """The four that matter most come first."""
    models = replay.outcomes.models
    small, big = (first[k] for k in ("small", "big")) if first else _two(replay)
    level = first.get("threshold", 0.5)
    made = [
        steps("threshold", "threshold", LEVELS, level, "Pass on what the first is less sure of."),
        choice("small", "small model", models, small, "Asked first, or the cheap choice."),
        choice("middle", "model between", (none, *models), none,
               "Asked where the first is not sure."),
        choice("big", "big model", models, big, "Asked last, or the expensive choice."),
        choice("mode", "when to decide", (TRY, CHOOSE), TRY,
               "After the small model's try, or before."),
        choice("per_label", "threshold by label", (False, True), False,
               "Fitted on the other half."),
        steps("threshold_2", "second threshold", LEVELS, 0.5,
              "Pass on what the middle one is less sure of."),
    ]  # fmt: skip
    return tuple(control for control in made if control.name not in missing)


def _two(replay: Replay) -> tuple[str, str]:
    """The cheapest of the others and the most right, of the models that are graded."""
    models = replay.outcomes.models
    right = np.nan_to_num(replay.fit.accuracy(), nan=-1.0)
    paid = np.nan_to_num(replay.prices(models[0]), nan=np.inf)
    big = int(right.argmax())
    others = [j for j in range(len(models)) if j != big] or [big]
    small = min(others, key=lambda j: (right[j] < 0, paid[j]))
    return models[small], models[big]


def _unlike(word: str, names: tuple[str, ...]) -> str:
    """`word`, in brackets as long as it is a model's name."""
    return _unlike(f"({word})", names) if word in names else word


def _order(state: State, none: str) -> tuple[str, ...]:
    """The chain, each model once; who chooses first chooses between two."""
    middle = none if state.get("mode") == CHOOSE else state.get("middle", none)
    between = () if middle == none else (middle,)
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
        where = {"threshold": _near(policy.threshold)} | mode
        return {"small": policy.small, "big": policy.big} | where
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


# -- presets -----------------------------------------------------------------------------------


def presets_of(replay: Replay, mode: str) -> dict[str, State]:
    """Found on the fitting half: the best bargain, the most right, and a pair that fails."""
    found = [_parity(replay, pair, mode) for pair in _pairs(replay)]
    if not found:
        return {}
    best = max(f.alone for f in found)
    to_best = [f for f in found if f.alone == best]
    bargain = min((f for f in to_best if f.share < PAYS), key=lambda f: f.share, default=None)
    top = max(found, key=lambda f: f.alone + f.gain)
    failing = next((f for f in to_best if f.share >= PAYS), None)
    presets = {"as right for less": bargain.state()} if bargain else {}
    if top.gain > 0 and top.state(top.best) not in presets.values():
        presets["most right"] = top.state(top.best)
    if failing:
        presets["does not pay"] = Failing(failing.state())
    else:  # all pay at their best setting, but none where it is never sure enough
        most = max(to_best, key=lambda f: f.share)
        presets["does not pay"] = Failing(most.state(len(LEVELS) - 1))
    return presets


class Parity(NamedTuple):
    """Where a pair equals its big model: setting `at`, for a `share` of the big one's price.

    `best` is the setting that is the most right, `gain` how much more than the big one `alone`.
    """

    small: str
    big: str
    alone: float
    share: float
    at: int
    best: int
    gain: float

    def state(self, at: int | None = None) -> State:
        # Where all must be asked, the last setting that leaves the small model a say is shown.
        level = float(LEVELS[min(self.at, len(LEVELS) - 2) if at is None else at])
        return {"small": self.small, "big": self.big, "threshold": level}


def _parity(replay: Replay, pair: tuple[str, str], mode: str) -> Parity:
    sweep = replay.sweep(pair, mode, True)
    gain = np.nan_to_num(sweep.gain, nan=-1.0)
    alone = float(np.nan_to_num(replay.halves(pair[0])[0].select(models=pair).accuracy()[1]))
    enough = np.flatnonzero(gain > -1e-12)  # a sum of differences may end a digit below 0
    at, best = int(enough[0]) if len(enough) else len(LEVELS) - 1, int(gain.argmax())
    spent = replay.price.factor * np.nan_to_num(sweep.price[at], nan=np.inf)
    share = spent / max(replay.prices(pair[0])[replay.outcomes.models.index(pair[1])], 1e-12)
    return Parity(*pair, alone, float(share), at, best, float(gain[best]))


def _pairs(replay: Replay) -> list[tuple[str, str]]:
    """(small, big), the cheapest small ones first, with bigs that are more right and cost more."""
    models = replay.fit.models
    accuracy = replay.fit.accuracy()
    paid = replay.prices(models[0])
    known = [j for j in range(len(models)) if not np.isnan([accuracy[j], paid[j]]).any()]
    top = sorted(known, key=lambda j: -accuracy[j])[:MOST_PAIRED]
    cheap = sorted(known, key=lambda j: paid[j])[:MOST_PAIRED]
    same = replay.price.word == "calls"  # then every other model's call is worth one
    return [
        (models[i], models[j])
        for j in top
        for i in cheap
        if accuracy[i] < accuracy[j] and (same or paid[i] < paid[j])
    ]


# -- one item -----------------------------------------------------------------------------------


def _card(seen: View, item: Any):
    """What every model said about an item, who was asked in which place, and who answered."""
    replay, known = seen.replay, seen.at or len(seen.order) == 1
    one = replay.outcomes.take([row_of(replay.outcomes.items, item)])
    policy = replay.policy(seen.order, seen.mode, seen.at, seen.by_label) if known else None
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
    return table_of(rows, one.models, "model")
