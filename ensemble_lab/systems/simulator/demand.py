"""What a policy asks of the machines: which calls, in which order, for how long."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.decision import Decision
from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.indexes import check_indexes
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.systems.simulator.inputs import called, positive, truth
from ensemble_lab.systems.simulator.networks import pools


class Demand(NamedTuple):
    """The calls of a policy on n items by m models.

    Parameters
    ----------
    decision : Decision
    waves : list of list of int
        Columns asked together, one list after the other; each column once, and only those asked.
    counts : list of int
        Servers of each column, 0 where none are given.
    seconds : ndarray (n, m)
        Time of each call.
    """

    decision: Decision
    waves: list[list[int]]
    counts: list[int]
    seconds: np.ndarray

    def alone(self) -> np.ndarray:
        """Latency (n,) of each item in an empty system."""
        total, called = np.zeros(len(self.seconds)), self.decision.called
        for wave in self.waves:
            total += np.where(called[:, wave], self.seconds[:, wave], 0.0).max(axis=1)
        return total


def demand(policy: Policy, outcomes: Outcomes, servers, services, parallel: bool) -> Demand:
    """Decide, and check that every call that is made has a server and a known time.

    Raises
    ------
    TypeError, KeyError, ValueError
        As `serve_policy`.
    """
    if not isinstance(policy, Policy):
        raise TypeError(
            f"{called(policy)} is not a policy; give one that is fitted, such as"
            " Cascade(('small', 'big'), (0.7,))"
        )
    parallel = truth(parallel, "parallel")
    decision, servers = policy.decide(outcomes, parallel=parallel), pools(servers)
    for name in servers:
        check_known(name, outcomes.models, "model", "outcomes")
    for name, share in decision.calls.items():
        if share and name not in servers:
            raise ValueError(
                f"{shown(name, 40)} is asked on {100 * share:.3g}% of the items and has no server;"
                f" give servers={{…, {shown(name, 40)}: 1}}"
            )
    seconds = _seconds(outcomes, services, decision.called)
    waves, met = [], set()
    for wave in policy.waves(outcomes.models):
        columns = [j for j in dict.fromkeys(outcomes.columns(wave).tolist()) if j not in met]
        met.update(columns)
        waves += [columns] if parallel else [[j] for j in columns]
    counts = [servers.get(name, 0) for name in outcomes.models]
    # Models that are never asked need no queue.
    asked = decision.called.any(axis=0)
    waves = [[j for j in wave if asked[j]] for wave in waves]
    return Demand(decision, [wave for wave in waves if wave], counts, seconds)


def _seconds(outcomes: Outcomes, services, called: np.ndarray) -> np.ndarray:
    """Seconds (n, m) of each call, known and above 0 wherever a model is asked."""
    seconds = np.full(called.shape, np.nan)
    if services is None:
        if outcomes.latency is None:
            raise ValueError(
                "these outcomes have no latency; give services={…}, the seconds of a call by model"
            )
        seconds = outcomes.latency
    elif not isinstance(services, Mapping):
        raise ValueError(
            f"services={shown(services)}; give a mapping of each model to its seconds, one number"
            " or one an item"
        )
    else:
        check_indexes({f"services[{shown(name, 40)}]": given for name, given in services.items()})
        for name, given in services.items():
            check_known(name, outcomes.models, "model", "outcomes")
            column = outcomes.models.index(name)
            what = f"services[{shown(name, 40)}]"
            if isinstance(given, Real):
                seconds[:, column] = positive(given, what, " seconds")
                continue
            given = np.asarray(several(given, what))
            if given.shape != (len(outcomes),) or given.dtype.kind not in "iuf":
                raise ValueError(
                    f"{what} is {shown(given)}; give a number, or one each of {len(outcomes)} items"
                )
            seconds[:, column] = given
    wrong = called & ~((seconds > 0) & np.isfinite(seconds))
    if wrong.any():
        i, j = np.argwhere(wrong)[0].tolist()
        fix = "leave out what takes no time, and see outcomes.filled('latency') for unknown ones"
        raise ValueError(
            f"a call of {shown(outcomes.models[j], 40)} takes {seconds[i, j]:g} s for item"
            f" {shown(outcomes.items[i], 40)}; give seconds above 0: {fix}"
        )
    return seconds
