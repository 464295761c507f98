"""Policies under load: the accuracy, the price and the tail of the latency, at a rate of arrivals.

A table of outcomes says what a policy asks for one item alone. Under load the item also waits for
each model that it asks. A cascade sends less work to the large model, and so shortens the queue of
all who need it; a vote waits for the slowest of its members.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensemble_lab.core.decision import Decision
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.policy import Policy
from ensemble_lab.systems.simulator.arrivals import poisson_arrivals
from ensemble_lab.systems.simulator.demand import Demand, demand
from ensemble_lab.systems.simulator.inputs import arrival_times, generator, positive, whole
from ensemble_lab.systems.simulator.networks import pools
from ensemble_lab.systems.simulator.queues import in_turn
from ensemble_lab.systems.simulator.simulation import shares

WARM_UP = 0.1  # share of the jobs that is left out of the figures, as the queues began empty


@dataclass(frozen=True, eq=False, repr=False)
class Answered(Frozen):
    """A policy's answers to n items that arrived one after another; m models.

    Parameters
    ----------
    decision : Decision
        What was asked and answered, as without load.
    arrivals, finished : ndarray (n,)
        Seconds.
    waits : ndarray (n, m)
        Seconds that each call waited for a server; NaN where a model was not asked.
    busy : mapping of str to float
        Seconds of work of each model.
    servers : mapping of str to int
    """

    decision: Decision
    arrivals: np.ndarray
    finished: np.ndarray
    waits: np.ndarray
    busy: Mapping[str, float]
    servers: Mapping[str, int]

    def __post_init__(self):
        for name, value in vars(self).items():
            object.__setattr__(self, name, view(value))

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def latency(self) -> np.ndarray:
        """(n,) seconds from the arrival of an item to its answer."""
        return self.finished - self.arrivals

    @property
    def utilisation(self) -> dict[str, float]:
        """Share of the time, first arrival to last answer, that each model's servers worked."""
        seconds = float(self.finished.max() - self.arrivals[0])
        return {
            name: self.busy[name] / (servers * seconds) if seconds else 0.0
            for name, servers in self.servers.items()
        }

    def quantile(self, q=(0.5, 0.9, 0.99)) -> np.ndarray:
        """Quantiles of the latency."""
        return np.quantile(self.latency, shares(q))

    def __repr__(self) -> str:
        busy = ", ".join(f"{name} {100 * share:.3g}%" for name, share in self.utilisation.items())
        half, most = self.quantile((0.5, 0.99))
        return (
            f"Answered({len(self)} items; accuracy {self.decision.accuracy:.4f}; latency"
            f" {self.latency.mean():.3g} s on average, median {half:.3g}, 99% within {most:.3g};"
            f" busy: {busy})"
        )


def serve_policy(
    policy: Policy,
    outcomes: Outcomes,
    servers: Mapping[str, int],
    arrivals,
    services: Mapping | None = None,
    *,
    parallel: bool = True,
) -> Answered:
    """Put the items of a table through a policy's models, the i-th at the i-th arrival.

    Each model has servers of its own, which serve calls in order of arrival. An item asks the
    models of a wave at the same time, and those of the next wave when all have replied.

    Parameters
    ----------
    policy : Policy
    outcomes : Outcomes
        n items by m models.
    servers : mapping of str to int
        Servers of each model that the policy asks.
    arrivals : array-like (n,)
        Seconds, in order.
    services : mapping of str to float or array-like (n,), optional
        Seconds of a call of each model. By default the table's latency.
    parallel : bool
        Whether the models of a wave are asked at the same time, or one after another.

    Raises
    ------
    TypeError
        Something that is not a policy or not outcomes.
    KeyError
        A model that the outcomes do not have; so does a policy that was fitted on other models.
    ValueError
        A model without a server or a known time that the policy asks; times of zero or below;
        arrivals out of order or not one an item.

    Examples
    --------
    >>> import ensemble_lab as lab
    >>> table = lab.Outcomes(models=["small", "big"], items=[0, 1], correct=[[1, 1], [0, 1]],
    ...                      confidence=[[0.9, 1], [0.4, 1]], latency=[[1, 5], [1, 5]])
    >>> cascade = lab.Cascade(("small", "big"), (0.5,))
    >>> serve_policy(cascade, table, {"small": 1, "big": 1}, [0, 0]).latency.tolist()
    [1.0, 7.0]
    """
    asked = demand(policy, outcomes, servers, services, parallel)
    arrivals = arrival_times(arrivals)
    if len(arrivals) != len(outcomes):
        raise ValueError(f"{len(arrivals)} arrivals for {len(outcomes)} items; give one each")
    finished, waits, busy = _flow(asked, asked.decision.called, asked.seconds, arrivals)
    return Answered(
        asked.decision, arrivals, finished, waits, dict(zip(outcomes.models, busy, strict=True)),
        pools(servers),
    )  # fmt: skip


def under_load(
    policy: Policy,
    outcomes: Outcomes,
    servers: Mapping[str, int],
    rates,
    services: Mapping | None = None,
    *,
    jobs: int = 20_000,
    rng=0,
    parallel: bool = True,
):
    """Accuracy, price and latency of a policy at each rate of Poisson arrivals.

    The items come in random order, again and again until there are `jobs` of them. All rates have
    the same order and the same gaps but for their scale, so that a curve over rates is smooth. The
    first tenth of the jobs is left out of the latencies, as the queues began empty.

    Parameters
    ----------
    policy, outcomes, servers, services, parallel
        As in `serve_policy`.
    rates : array-like (r,)
        Items a second.
    jobs : int
    rng : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        A row a rate. `accuracy` and `cost` (USD an item) are those of the decision, as is `alone`,
        the mean latency without waiting. `latency`, `p50`, `p99` are in seconds. `busiest` is the
        model with the most work a server, `load` its share of what they can do; where that is 1 or
        more, the row is `overloaded`: the queue grows without end, and the latencies say how long
        the simulation was.

    Raises
    ------
    TypeError, KeyError, ValueError
        As `serve_policy`; a rate of zero or below.

    Warns
    -----
    UserWarning
        A rate overloads a model.

    Examples
    --------
    >>> import ensemble_lab as lab
    >>> table = lab.load_outcomes("audiomnist-services")
    >>> cascade = lab.Cascade(("DeepSpeech", "Microsoft"), (0.7,))
    >>> seconds = {"DeepSpeech": 0.1, "Microsoft": 1.0}
    >>> found = under_load(cascade, table, {"DeepSpeech": 2, "Microsoft": 4}, [5, 10], seconds)
    >>> found[["rate", "busiest"]].values.tolist()
    [[5.0, 'Microsoft'], [10.0, 'Microsoft']]
    """
    import pandas as pd

    asked = demand(policy, outcomes, servers, services, parallel)
    rates = [positive(rate, "a rate", " items a second") for rate in several(rates, "rates")]
    if not rates:
        raise ValueError("rates is empty; give at least one, in items a second")
    jobs, rng, n = whole(jobs, "jobs", 10), generator(rng), len(outcomes)
    order = np.concatenate([rng.permutation(n) for _ in range(-(-jobs // n))])[:jobs]
    gaps = poisson_arrivals(1.0, jobs=jobs, rng=rng)
    decision, called, seconds = asked.decision, asked.decision.called[order], asked.seconds[order]
    # Seconds of work an item that each server of a model does; none where a model is not asked.
    work = np.where(decision.called, asked.seconds, 0.0).mean(axis=0)
    share = work / np.maximum(asked.counts, 1)
    busiest, warm = int(share.argmax()), int(WARM_UP * jobs)
    rows = []
    for rate in rates:
        arrivals = gaps / rate
        finished, _, _ = _flow(asked, called, seconds, arrivals)
        latency = (finished - arrivals)[warm:]
        half, most = np.quantile(latency, (0.5, 0.99))
        rows.append(
            {
                "rate": rate,
                "accuracy": decision.accuracy,
                "cost": decision.mean_cost if decision.cost is not None else np.nan,
                "alone": float(asked.alone().mean()),
                "latency": float(latency.mean()),
                "p50": float(half),
                "p99": float(most),
                "busiest": outcomes.models[busiest],
                "load": float(share[busiest] * rate),
                "overloaded": bool(share[busiest] * rate >= 1),
            }
        )
    table = pd.DataFrame(rows)
    if table["overloaded"].any():
        rate, load = table.loc[table["overloaded"], ["rate", "load"]].iloc[0]
        warnings.warn(
            f"from {rate:g} items a second {shown(outcomes.models[busiest], 40)} is overloaded"
            f" (load {load:.3g} of its servers): its queue grows without end, and those latencies"
            " say how long the simulation was; add servers",
            stacklevel=2,
        )
    return table


def _flow(asked: Demand, called, seconds, arrivals):
    """When each item is finished (n,), the waits (n, m) of its calls, and work by model.

    Each model is in one wave, so its queue depends on earlier waves alone: one model after another
    can be served whole, and no list of events is needed.
    """
    at, busy = arrivals, [0.0] * len(asked.counts)
    waits = np.full(called.shape, np.nan)
    for wave in asked.waves:
        done = at.copy()
        for j in wave:
            jobs = np.flatnonzero(called[:, j])
            jobs = jobs[np.argsort(at[jobs], kind="stable")]  # ties by number
            part = in_turn(at[jobs], seconds[jobs, j], asked.counts[j])
            waits[jobs, j] = part.waits
            done[jobs] = np.maximum(done[jobs], part.finished)
            busy[j] = float(part.busy.sum())
        at = done
    return at, waits, busy
