"""Several things, in every object that people keep them in, and objects that are something else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

LEGAL = {
    "list": list,
    "tuple": tuple,
    "generator": lambda values: (value for value in values),
    "iterator": iter,
    "numpy": lambda values: np.array([*values, None], object)[:-1],
    "pandas Series": lambda values: pd.Series(
        list(values), dtype=object, index=range(9, 9 + len(values))
    ),
    "pandas Index": lambda values: pd.Index(list(values), dtype=object),
    "polars": lambda values: pl.Series(list(values)),
    "pyarrow": lambda values: pa.array(list(values)),
    "dict values": lambda values: dict(enumerate(values)).values(),
    "dict keys": lambda values: dict.fromkeys(values).keys(),
    "categorical": lambda values: pd.Series(list(values), dtype=object).astype("category"),
}
ILLEGAL = {
    "string": lambda values: "".join(map(str, values)) or "x",
    "mapping": dict.fromkeys,
    "set": set,
    "data frame": lambda values: pd.DataFrame({"name": list(values)}),
    "polars frame": lambda values: pl.DataFrame({"name": list(map(str, values))}),
    "pyarrow table": lambda values: pa.table({"name": list(map(str, values))}),
    "square": lambda values: np.array([list(map(str, values))] * 2, object),
    "number": lambda values: 7,
}
legal = st.sampled_from(list(LEGAL.values()))


def held(draw, values: list):
    """`values` in some object that holds several things, of one type where it needs one."""
    make = draw(legal)
    if len({*map(repr, values)}) < len(values) and make is LEGAL["dict keys"]:
        return list(values)
    try:
        return make(values)
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        TypeError,
        OverflowError,
        pl.exceptions.PolarsError,
    ):
        return list(values)  # mixed types or huge integers, which Arrow does not hold
