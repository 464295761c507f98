"""`explore`: an explorer for a policy or a name, over anybody's outcomes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ensemble_lab.core.errors import check_known
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.widgets.explorer import Explorer

# Name to the module whose `explorer` function builds it; the modules import when first asked for.
EXPLORERS = {
    "escalate": "ensemble_lab.widgets.escalate",
    "condorcet": "ensemble_lab.widgets.condorcet",
    "votes": "ensemble_lab.widgets.votes",
    "cascade": "ensemble_lab.widgets.cascades",
    "rounds": "ensemble_lab.widgets.rounds",
    "speedup": "ensemble_lab.widgets.speedup",
    "bagging": "ensemble_lab.widgets.bagging",
    "boosting": "ensemble_lab.widgets.boosting",
    "stacking": "ensemble_lab.widgets.stacking",
    "negative-correlation": "ensemble_lab.widgets.negative_correlation",
}
# What takes no outcomes: it shows a formula, or a problem of its own.
ALONE = ("condorcet", "bagging", "boosting", "stacking", "negative-correlation")
TOKENS = ("rounds", "speedup")  # what shows traces or measured pairs, or recorded ones


def explore(what: str | Policy, outcomes: Outcomes | None = None, **start: Any) -> Explorer:
    """Something to drag: ``"escalate"``, ``"votes"``, ``"rounds"`` and so on, or a policy.

    Parameters
    ----------
    what : str or Policy
        A policy starts the explorer at its own settings.
    outcomes : Outcomes, optional
        Yours or the catalogue's. ``"escalate"`` has its own; ``"condorcet"``, ``"bagging"``,
        ``"boosting"``, ``"stacking"`` and ``"negative-correlation"`` take none; ``"rounds"`` takes
        traces and ``"speedup"`` measured pairs instead, or has its own.
    **start
        Controls to start elsewhere, by name.

    Returns
    -------
    Explorer
        Shown by the best backend that works here; ``.figure()`` and ``.table()`` without one.

    Raises
    ------
    KeyError
        No explorer of that name.
    ValueError
        No outcomes where they are needed, or a start that does not fit.
    TypeError
        Outcomes of another type, such as a data frame.
    """
    name, policy = (what, None) if isinstance(what, str) else (_name_of(what), what)
    check_known(name, EXPLORERS, "explorer", "package")
    if name in TOKENS:
        return import_module(EXPLORERS[name]).explorer(outcomes, start=start)
    if outcomes is not None and not isinstance(outcomes, Outcomes):
        raise TypeError(
            f"outcomes is a {type(outcomes).__name__}; Outcomes.from_frame(frame) makes Outcomes"
            " of a data frame, Outcomes.read(path) of a file"
        )
    build = import_module(EXPLORERS[name]).explorer
    if name in ALONE:
        return build(start=start)
    if outcomes is None and name != "escalate":
        raise ValueError(f"explore({name!r}) needs outcomes: load_outcomes(name) or your own")
    return build(outcomes, policy=policy, start=start)


def _name_of(policy: Policy) -> str:
    for base in type(policy).__mro__:
        if base.__name__ in ("Cascade", "BudgetCascade", "_Selector"):
            return "cascade"
        if base.__name__ == "Vote":
            return "votes"
    raise ValueError(
        f"there is no explorer for {policy!r:.60}; give one of {', '.join(map(repr, EXPLORERS))},"
        " or a vote, Cascade, BudgetCascade or LearnedSelector"
    )
