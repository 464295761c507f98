"""Arrival times: Poisson, and more or less bursty than Poisson."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.inputs import generator, positive, whole

MOST = 10**8  # times that are drawn at once: 0.8 GB


def poisson_arrivals(
    rate: float, jobs: int | None = None, horizon: float | None = None, rng=0
) -> np.ndarray:
    """Arrival times (n,) in seconds of a Poisson process: gaps are exponential, 1 / `rate` on
    average.

    Parameters
    ----------
    rate : float
        Jobs a second.
    jobs : int, optional
        How many arrive, or
    horizon : float, optional
        how many seconds they arrive for: all times are below it. Give one of the two.
    rng : int or numpy.random.Generator
        A seed, or a generator that goes on.

    Raises
    ------
    ValueError
        A rate of zero or below, both or none of `jobs` and `horizon`, no job within the horizon,
        or more than 100 million.

    Examples
    --------
    >>> len(poisson_arrivals(2.0, jobs=5)), bool(poisson_arrivals(2.0, horizon=60).max() < 60)
    (5, True)
    """
    return gamma_arrivals(rate, 1.0, jobs, horizon, rng)


def gamma_arrivals(
    rate: float, cv: float, jobs: int | None = None, horizon: float | None = None, rng=0
) -> np.ndarray:
    """Arrival times (n,) in seconds, whose gaps have a gamma distribution.

    Parameters
    ----------
    rate : float
        Jobs a second.
    cv : float
        Burstiness: the coefficient of variation of the gaps, their standard deviation over their
        mean. 0 is evenly spaced, 1 is Poisson, above 1 is bursty. The burstiness of vLLM's load
        generator is 1 / cv², so that small numbers are bursty there.
    jobs, horizon, rng
        As in `poisson_arrivals`.

    Raises
    ------
    ValueError
        As `poisson_arrivals`, and a `cv` below 0 or above 100.

    Examples
    --------
    >>> gamma_arrivals(2.0, 0.0, jobs=4).tolist()
    [0.5, 1.0, 1.5, 2.0]
    """
    rate, cv = positive(rate, "rate", " jobs a second"), positive(cv, "cv", zero=True)
    if (jobs is None) == (horizon is None):
        raise ValueError("give either jobs=, how many, or horizon=, for how many seconds")
    if cv > 100:  # the gaps would be zeros, and one that no number holds
        raise ValueError(f"cv={cv:g} is burstier than can be drawn; give a number up to 100")
    rng = generator(rng)
    asked = whole(jobs, "jobs") if horizon is None else rate * positive(horizon, "horizon", " s")
    if asked > MOST:
        raise ValueError(
            f"{shown(asked)} jobs are more than are drawn at once; give a rate, jobs or a horizon"
            f" for at most {MOST:,}"
        )
    if horizon is None and asked / rate > 1e300:
        raise ValueError(f"rate={rate:g} jobs a second is too small to count seconds; give more")
    mean, even = 1 / rate, cv < 1e-16  # below that the gaps are equal in all their digits

    def gaps(n: int) -> np.ndarray:
        return np.full(n, mean) if even else rng.gamma(cv**-2, mean * cv**2, n)

    if horizon is None:
        return np.cumsum(gaps(asked))
    times = np.cumsum(gaps(int(asked) + 1))
    while times[-1] < horizon:
        times = np.concatenate([times, times[-1] + np.cumsum(gaps(len(times)))])
    times = times[times < horizon]
    if not len(times):
        raise ValueError(f"no job arrives within horizon={horizon:g} s; make it longer")
    return times
