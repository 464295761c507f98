"""`explore`: an explorer for a policy or a name, over anybody's outcomes."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.widgets.explorer import Explorer
from ensemble_lab.widgets.plain import whole_names

# Name to the module whose `explorer` function builds it; the modules import when first asked for.
EXPLORERS = {
    "escalate": "ensemble_lab.explorers.answers.escalate",
    "condorcet": "ensemble_lab.explorers.answers.condorcet",
    "ranking": "ensemble_lab.explorers.answers.ranking",
    "votes": "ensemble_lab.explorers.answers.votes.votes",
    "cascade": "ensemble_lab.explorers.answers.cascades.cascades",
    "routing": "ensemble_lab.explorers.answers.routing",
    "bandits": "ensemble_lab.explorers.answers.bandits",
    "stopping": "ensemble_lab.explorers.answers.stopping",
    "verifier": "ensemble_lab.explorers.answers.verifier",
    "rounds": "ensemble_lab.explorers.tokens.rounds",
    "speedup": "ensemble_lab.explorers.tokens.speedup",
    "drafts": "ensemble_lab.explorers.tokens.drafts",
    "together": "ensemble_lab.explorers.tokens.together",
    "bagging": "ensemble_lab.explorers.training.bagging",
    "boosting": "ensemble_lab.explorers.training.boosting",
    "stacking": "ensemble_lab.explorers.training.stacking",
    "collapse": "ensemble_lab.explorers.training.collapse",
    "negative-correlation": "ensemble_lab.explorers.training.negative_correlation",
    "distillation": "ensemble_lab.explorers.training.distillation",
    "engine": "ensemble_lab.explorers.systems.engine",
    "queues": "ensemble_lab.explorers.systems.queues",
    "serving": "ensemble_lab.explorers.systems.serving",
    "split": "ensemble_lab.explorers.systems.split",
    "submodels": "ensemble_lab.explorers.training.submodels",
    "experts": "ensemble_lab.explorers.training.experts",
    "lesions": "ensemble_lab.explorers.training.lesions",
    "retrieval": "ensemble_lab.explorers.training.retrieval",
    "gan": "ensemble_lab.explorers.training.gan",
}
# Name of a policy's base class to its explorer; the classes need not be imported for that.
POLICIES = {"Cascade": "cascade", "BudgetCascade": "cascade", "_Selector": "cascade",
            "Vote": "votes", "ScoreRouter": "routing"}  # fmt: skip


def explore(what: str | Policy, outcomes: Outcomes | None = None, **start: Any) -> Explorer:
    """Something to drag: ``"escalate"``, ``"votes"``, ``"rounds"`` and so on, or a policy.

    Parameters
    ----------
    what : str or Policy
        A policy starts the explorer at its own settings.
    outcomes : Outcomes, optional
        Yours or the catalogue's. ``"escalate"`` and ``"routing"`` have their own; ``"condorcet"``,
        ``"ranking"``, ``"bagging"``, ``"boosting"``, ``"stacking"``, ``"negative-correlation"``,
        ``"distillation"``, ``"collapse"``, ``"submodels"``, ``"experts"``, ``"gan"``,
        ``"lesions"``, ``"retrieval"``, ``"engine"``, ``"queues"``, ``"serving"``, ``"split"``,
        ``"drafts"``, ``"together"``, ``"stopping"``, ``"bandits"`` and ``"verifier"`` take none;
        ``"rounds"`` takes traces and ``"speedup"`` measured pairs instead, or has its own.
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
        No outcomes where they are needed, some where they are not, or a start that does not fit.
    TypeError
        Outcomes of another type, such as a data frame.
    """
    name, policy = (what, None) if isinstance(what, str) else (_name_of(what), what)
    check_known(name, EXPLORERS, "explorer", "package")
    build = import_module(EXPLORERS[name]).explorer
    takes = signature(build).parameters
    if not takes:  # it shows a formula, or a problem of its own
        if outcomes is not None:
            raise ValueError(f"explore({shown(name)}) takes no outcomes; leave them out")
        return _begun(build(), start)
    if "outcomes" not in takes:  # traces or measured pairs
        return _begun(build(outcomes), start)
    if outcomes is not None and not isinstance(outcomes, Outcomes):
        raise TypeError(f"outcomes is {_kind_of(outcomes)}")
    if outcomes is None and takes["outcomes"].default is Parameter.empty:
        raise ValueError(f"explore({shown(name)}) needs outcomes: load_outcomes(name) or your own")
    known = None if outcomes is None else whole_names(outcomes)
    return _begun(build(known, policy=policy), start)


def _begun(made: Explorer, start: dict[str, Any]) -> Explorer:
    """The explorer from there; a report opens there too, where the reader has named a start."""
    return replace(made, start={**made.start, **start}, opens={} if start else made.opens)


def _kind_of(outcomes) -> str:
    """What was given in the place of outcomes, and how to make some of it."""
    if isinstance(outcomes, str):
        told = shown(outcomes, 40)
        return f"text, {told}; load_outcomes(name) has recorded ones, Outcomes.read(path) a file's"
    if isinstance(outcomes, list | tuple):
        return f"a {type(outcomes).__name__}; give one Outcomes at a time"
    return (
        f"a {type(outcomes).__name__}; Outcomes.from_frame(frame) makes Outcomes of a data frame,"
        " Outcomes.read(path) of a file"
    )


def _name_of(policy: Policy) -> str:
    for base in type(policy).__mro__:
        if base.__name__ in POLICIES:
            return POLICIES[base.__name__]
    if isinstance(policy, type):
        fix = f"give a policy made of it, {policy.__name__}(…)"
        raise ValueError(f"there is no explorer for the class {policy.__name__}; {fix}")
    raise ValueError(
        f"there is no explorer for {shown(policy, 60)}; give a name, such as 'votes', 'cascade' or"
        " 'routing' (help(explore) has all), or a vote, router, Cascade, BudgetCascade or"
        " LearnedSelector"
    )
