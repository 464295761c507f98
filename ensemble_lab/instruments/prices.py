"""List prices, and what the calls of a table would cost at them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ensemble_lab.catalogue import FIX, data_folder
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.required import require
from ensemble_lab.core.shares import real

if TYPE_CHECKING:
    import pandas as pd

WAYS = ("input", "output")


def load_prices() -> pd.DataFrame:
    """List prices of models of `mmlu-pro-29-llms`, in USD per million tokens.

    Returns
    -------
    pandas.DataFrame
        One row a model that has a list price, indexed by ``model``: ``input`` and ``output`` (USD
        per million tokens read and written), ``maker``, ``list`` (FrugalGPT's of 2024 or
        RouterArena's of 2025, both Apache-2.0), ``listed_as`` (the name there) and ``match`` (how
        sure it is that this is the model). Models without a row are in no list.

    Raises
    ------
    FileNotFoundError
        The data are not installed.

    Examples
    --------
    >>> load_prices().loc["jamba-1.5-large", ["input", "output"]].tolist()
    [2.0, 8.0]
    """
    import pandas as pd

    path = data_folder() / "prices.json"
    if not path.is_file():
        raise FileNotFoundError(f"the prices have no file {shown(str(path), 200)}; {FIX}")
    found = json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame.from_dict(found["models"], orient="index").rename_axis("model")
    return table.assign(match=table["match"].map(found["matches"]))


def priced(outcomes: Outcomes, prompt_tokens, prices=None) -> Outcomes:
    """The same table with the cost of every call: tokens read and written, times their prices.

    Parameters
    ----------
    outcomes : Outcomes
        With `tokens`, those written in each call. A `cost` that it has is replaced.
    prompt_tokens : float or array-like (n,)
        Tokens that a model reads for each item, the same for all models.
    prices : optional
        USD per million tokens: a data frame with ``input`` and ``output`` indexed by model, by
        default `load_prices`, or a mapping of model to a pair (input, output).

    Returns
    -------
    Outcomes
        `cost_is_estimated` is set. The cost of a model without a price is NaN, not 0, and so is
        that of a pair that was never asked.

    Raises
    ------
    ValueError
        No tokens, prompt tokens or prices that are negative or no numbers, or no model with a
        price.

    Warns
    -----
    UserWarning
        Names the models without a price.

    Examples
    --------
    >>> table = Outcomes(models=["small"], items=[0, 1], correct=[[1], [0]], tokens=[[10], [20]])
    >>> priced(table, 100, {"small": (1.0, 5.0)}).cost[:, 0].round(6).tolist()
    [0.00015, 0.0002]
    """
    written = require(outcomes, "tokens", "priced")
    read = _prompt_tokens(prompt_tokens, len(outcomes))
    known = _known_prices(load_prices() if prices is None else prices)
    unpriced = [model for model in outcomes.models if model not in known]
    if len(unpriced) == len(outcomes.models):
        raise ValueError(
            f"no model of these outcomes has a price; there are prices of {shown(list(known))}:"
            " give prices={model: (input, output)}"
        )
    if unpriced:
        warnings.warn(
            f"{len(unpriced)} of {len(outcomes.models)} models have no price, so their cost is NaN:"
            f" {shown(unpriced, 150)}; select(models=…) leaves them out",
            stacklevel=2,
        )
    pairs = [known.get(model, (np.nan, np.nan)) for model in outcomes.models]
    read_price, write_price = np.array(pairs, float).T / 1e6
    cost = read[:, None] * read_price + written * write_price
    return replace(outcomes, cost=cost, cost_is_estimated=True)


def _prompt_tokens(values, n: int) -> np.ndarray:
    """Tokens read (n,)."""
    one = isinstance(values, Real) and not isinstance(values, bool)
    array = real([values] * n if one else several(values, "prompt_tokens"), "prompt_tokens")
    if array.shape != (n,):
        raise ValueError(
            f"prompt_tokens has {array.size} numbers for {n} items; give one an item, or one number"
        )
    wrong = ~((array >= 0) & (array < np.inf))
    if wrong.any():
        raise ValueError(
            f"prompt_tokens has {shown(array[wrong][0])}; give numbers from 0 up, none left out"
        )
    return array


def _known_prices(prices) -> dict[str, tuple[float, float]]:
    """Prices of tokens read and written by model."""
    if hasattr(prices, "loc") and set(WAYS) <= {*getattr(prices, "columns", ())}:
        if not prices.index.is_unique:
            raise ValueError("prices has a model more than once; keep one row of each")
        columns = (prices[way].tolist() for way in WAYS)
        prices = dict(zip(prices.index, zip(*columns, strict=True), strict=True))
    if not isinstance(prices, Mapping):
        raise ValueError(
            f"prices is {shown(prices)}; give what load_prices() returns, changed where you like,"
            " or {model: (input, output)}"
        )
    known = {}
    for model, pair in prices.items():
        what = f"the price of {shown(model, 60)}"
        both = real(several(pair, what), what)
        if both.shape != (2,) or not ((both >= 0) & (both < np.inf)).all():
            raise ValueError(
                f"{what} is {shown(pair)}; give two numbers from 0 up, USD per million tokens read"
                " and written"
            )
        known[model] = tuple(both.tolist())
    return known
