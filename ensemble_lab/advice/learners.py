"""An online policy in files: its settings to read, and what it learned, so that it continues."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import ensemble_lab
from ensemble_lab.advice.bandits import Scaled, ScaledLearner
from ensemble_lab.answers.online.bandit import BanditLearner, Learning
from ensemble_lab.answers.online.budget import BudgetBandit
from ensemble_lab.answers.online.linear import LinThompson, LinUCB
from ensemble_lab.answers.online.subsets import CombinatorialBandit
from ensemble_lab.answers.toml import policy_of_kind, read_toml, settings_of, written
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.whole import write_whole

OWN = ("models", "state", "centre", "spread")  # in the file besides the bandit's settings


def save_learner(policy: OnlinePolicy, path: Path, outcomes: Outcomes) -> list[Path]:
    """Write a bandit with what it has learned from all rows, in the order of the table."""
    bandit = policy.of if isinstance(policy, Scaled) else policy
    table = settings_of(bandit) if isinstance(bandit, Learning) else None
    if table is None:
        raise ValueError(
            f"a {type(policy).__name__} has no state that a file can hold; keep the program that"
            " makes it, or take a bandit such as EpsilonGreedy(0.0), which follows the leader"
        )
    state = path.with_suffix(".state.json")
    _refuse_further(state, len(outcomes))
    _refuse_ended(bandit, len(outcomes))
    policy.learned(outcomes, prices=_prices(bandit, outcomes)).save(state)
    if isinstance(policy, Scaled):
        table |= {"centre": policy.centre, "spread": policy.spread}
    table |= {"models": outcomes.models, "state": state.name}
    text = [
        f"# Written by ensemble_lab {ensemble_lab.__version__}: the policy that was advised.",
        "# It learns from grades while it answers, so your program continues it:",
        f"# load_learner({excerpt(path.name, 60)!r}), then choose, learn and save.",
        "",
    ]
    write_whole(path, "\n".join(text) + written({"policies.advised": table}))
    return [path, state]


def _prices(policy: Learning, outcomes: Outcomes) -> np.ndarray | None:
    """The mean price of a reply of each model, in USD, (m,); None where nobody asks for prices.

    A bandit is told the price before it chooses, so it cannot be that of the item's own reply.
    """
    spends = isinstance(policy, BudgetBandit | CombinatorialBandit)
    if not spends and not getattr(policy, "cost_weight", 0):
        return None
    cost, known = outcomes.cost, np.zeros(len(outcomes.models), bool)
    if cost is not None:
        known = np.isfinite(cost).any(axis=0)
    if not known.all():
        name = outcomes.models[int(np.flatnonzero(~known)[0])]
        raise ValueError(
            f"a {type(policy).__name__} needs prices, and the table has no cost of {shown(name)}:"
            " give a table with the costs of all models"
        )
    return np.nanmean(cost, axis=0)


def _refuse_ended(policy: Learning, n: int) -> None:
    """Refuse a budget for a stream that ends within the n rows of the table."""
    if isinstance(policy, BudgetBandit) and policy.horizon <= n:
        raise ValueError(
            f"horizon={policy.horizon} ends within the {n} rows of the table, which it learns from:"
            " give a horizon and a budget that include them"
        )


def _refuse_further(state: Path, n: int) -> None:
    """Refuse to overwrite a state that a program has continued beyond the n rows of the table."""
    try:
        last = json.loads(state.read_bytes())["last"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return
    if isinstance(last, int) and last >= n:
        raise ValueError(
            f"{shown(state.name, 60)} has learned from items up to {shown(last)}, more than the {n}"
            " of this table; move it away, or give another name"
        )


def load_learner(path: str | Path) -> BanditLearner | ScaledLearner:
    """The bandit in a TOML file of `save_advised`: it continues after the table of the advice.

    Parameters
    ----------
    path : path
        The TOML file. Its state, a JSON file, lies beside it.

    Returns
    -------
    BanditLearner or ScaledLearner
        With ``models``; ``last``, the time of the newest item; ``choose(features, time)``, the
        position of the model to ask; ``learn(feedback)``; and ``save(path)``, which writes the
        state again.

    Raises
    ------
    ValueError
        No such file, or a damaged one: the place in it.

    Examples
    --------
    >>> import tempfile, ensemble_lab as lab
    >>> table = Outcomes(models=["a", "b"], items=range(100), correct=[[0, 1]] * 100)
    >>> path = Path(tempfile.mkdtemp()) / "advised.toml"
    >>> files = lab.save_advised(lab.Thompson(), path, table)
    >>> learner = load_learner(path)
    >>> time = learner.last + 1
    >>> (place,) = learner.choose({}, time)
    >>> learner.models[place]  # ask it, grade its answer, and tell the grade
    'b'
    >>> learner.learn(lab.Feedback(time, place, 1.0, float("nan"), float("nan")))
    >>> _ = learner.save(files[1])
    """
    if not isinstance(path, str | Path) or not Path(path).is_file():
        raise ValueError(
            f"there is no file {shown(str(path), 150)}; give the .toml that save_advised wrote"
        )
    path = Path(path)
    try:
        found = read_toml(path).get("policies")
        table = found.get("advised") if isinstance(found, dict) else None
        if not isinstance(table, dict) or not isinstance(table.get("state"), str):
            raise ValueError(
                "it has no state of a policy that learns; load_policy reads the other ones"
            )
        state, models = path.parent / table["state"], table.get("models")
        if Path(table["state"]).name != table["state"]:
            raise ValueError(f"its state {shown(table['state'], 60)} is no file beside it")
        if not isinstance(models, list):
            raise ValueError(f"its models are {shown(models, 60)}; list their names")
        settings = {name: value for name, value in table.items() if name not in OWN}
        policy = policy_of_kind(settings, OnlinePolicy)
        if not isinstance(policy, Learning):
            raise ValueError(f"{type(policy).__name__} has no state")
        if "centre" in table or "spread" in table:
            if not isinstance(policy, LinUCB | LinThompson):
                raise ValueError(f"a {type(policy).__name__} reads no numbers to be scaled")
            policy = Scaled(policy, *(_scale(table, name, policy) for name in OWN[2:]))
        return policy.resume(state, tuple(models))
    except (ValueError, TypeError, OverflowError) as error:
        why = excerpt(str(error.args[0] if error.args else error), 250)
        raise ValueError(f"{shown(path.name, 40)} cannot be continued: {why}") from None


def _scale(table: dict, name: str, policy: OnlinePolicy) -> tuple[float, ...]:
    """A number of a linear bandit for each of its features."""
    values, wanted = table.get(name), len(getattr(policy, "features", ()))
    if (
        not isinstance(values, list)
        or len(values) != wanted
        or not all(type(x) in (int, float) and np.isfinite(x) for x in values)
        or (name == "spread" and min(values, default=1) <= 0)
    ):
        raise ValueError(f"its {name} is {shown(values, 60)}; give one number for each feature")
    return tuple(map(float, values))
