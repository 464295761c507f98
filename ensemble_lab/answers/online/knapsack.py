"""What a budget can buy at most: knapsacks by Lagrange multipliers.

A multiplier is the value that one USD must bring. With it every choice is separate: take what is
worth more than it costs. The right multiplier is the one with which the budget is just spent.
"""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.errors import shown


def knapsack_bound(values, prices, budget: float) -> float:
    """The most total value that a budget can buy, with at most one model for each item.

    No policy reaches more on these items, even one that knows all grades beforehand. It is the
    optimum of the linear relaxation, which may split one item: the optimum over whole items lies
    below it, by less than the greatest value of one item.

    Parameters
    ----------
    values : array-like (n, m)
        What a reply of each model is worth, such as its grade. It may be negative.
    prices : array-like (n, m) or (m,)
        USD.
    budget : float
        USD for all n items.

    Raises
    ------
    ValueError
        Values that are not finite, negative prices, other shapes, or a negative budget.

    References
    ----------
    Sinha and Zoltners, The multiple-choice knapsack problem, Operations Research 1979. Everett,
    Generalized Lagrange multiplier method, Operations Research 1963.

    Examples
    --------
    >>> knapsack_bound([[0.5, 1.0], [0.9, 1.0]], [1.0, 3.0], budget=4.0)
    1.9
    """
    value, price = _numbers(values, "values"), _numbers(prices, "prices")
    if value.ndim != 2 or price.shape not in (value.shape, value.shape[1:]):
        raise ValueError(
            f"values have the shape {value.shape} and prices {price.shape}; give (n, m), items by"
            " models, and the same or (m,)"
        )
    if not value.shape[1]:
        raise ValueError(f"values have the shape {value.shape}; give at least one model")
    if (price < 0).any():
        raise ValueError(f"prices have {shown(price.min())}; give USD from 0 up")
    limit = _numbers(budget, "budget")
    if limit.ndim or limit < 0:
        raise ValueError(f"budget is {shown(budget)}; give USD from 0 up")
    unit = -np.frexp(price.max(initial=0.0))[1]  # a power of 2: no digit is lost
    price, limit = np.broadcast_to(np.ldexp(price, unit), value.shape), np.ldexp(limit, unit)

    def bought(multiplier: float) -> tuple[float, float, None]:
        """Total value and price where each item takes the best of its models, or none."""
        worth = value - multiplier * price
        best = worth.argmax(axis=1)[:, None]  # (n, 1)
        taken = np.take_along_axis(worth, best, axis=1) > 0
        total, paid = (float((np.take_along_axis(a, best, axis=1) * taken).sum())
                       for a in (value, price))  # fmt: skip
        return total, paid, None

    share, expensive, cheap = _best_mixture(bought, (0.0, 0.0, None), float(limit))
    return share * expensive[0] + (1 - share) * cheap[0]


def subset_mixture(
    weight: np.ndarray, price: np.ndarray, size: int, budget: float, exact: bool
) -> list[tuple[float, np.ndarray]]:
    """At most two subsets and their probabilities, of the greatest expected weight for a budget.

    Maximise ``z @ weight`` over 0 <= z <= 1 with ``z @ price <= budget`` and ``sum(z) <= size``, or
    ``== size`` where `exact`. A multiplier on the price leaves the `size` greatest of
    ``weight - multiplier * price``. At the right one two subsets are equally good; one costs more
    than the budget, the other less. To draw one of them rounds z without a loss.

    Returns
    -------
    list of (float, array of int)
        The budget holds on average. Where nothing better can be paid, the empty subset is one.
    """

    def best(multiplier: float) -> tuple[float, float, np.ndarray]:
        worth = weight - multiplier * price
        first = np.lexsort((price, -worth))[:size]  # of equal ones the cheaper
        return total(first if exact else first[worth[first] > 0])

    def total(subset: np.ndarray) -> tuple[float, float, np.ndarray]:
        return float(weight[subset].sum()), float(price[subset].sum()), subset

    nothing = total(np.zeros(0, int))
    cheap = total(np.argsort(price, kind="stable")[:size]) if exact else nothing
    if cheap[1] > budget:  # as many cannot be paid: ask them now and then
        share, expensive, cheap = budget / cheap[1], cheap, nothing
    else:
        share, expensive, cheap = _best_mixture(best, cheap, budget)
    return [(p, found[2]) for p, found in ((share, expensive), (1 - share, cheap)) if p > 0]


def _best_mixture(best, cheap: tuple, budget: float) -> tuple[float, tuple, tuple]:
    """How much of which two choices: (share, one, other), each (value, price, choice).

    `best` gives the best choice at a multiplier, and `cheap` one that the budget pays. The
    multiplier at which both choices are equally good is tried; a better one replaces one of them.
    When none is better, both are optimal, and so is the mixture that spends the budget.
    """
    expensive = best(0.0)
    if expensive[1] <= budget:
        return 1.0, expensive, cheap
    while True:
        multiplier = (expensive[0] - cheap[0]) / (expensive[1] - cheap[1])
        found = best(multiplier)
        gain = (found[0] - expensive[0]) - multiplier * (found[1] - expensive[1])
        # Rounding; and NaN, where a multiplier is too great for a number.
        if not gain > 1e-12 * max(abs(expensive[0]), abs(cheap[0]), 1e-300):
            return (budget - cheap[1]) / (expensive[1] - cheap[1]), expensive, cheap
        if found[1] > budget:
            expensive = found
        else:
            cheap = found


def _numbers(values, name: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError(f"{name} have masked entries, which are unknown; fill them in")
    try:
        found = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} are {shown(values, 60)}; give numbers") from None
    if not (good := np.isfinite(found)).all():
        raise ValueError(f"{name} have {shown(found[~good].flat[0])}; give finite numbers")
    return found
