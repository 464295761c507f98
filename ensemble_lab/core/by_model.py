"""Numbers of models that may come with the models' names: a frame or a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.errors import shown


def by_model(values, models: Sequence[str], what: str) -> np.ndarray:
    """An array with the models in its last axis; a frame or series is put in their order by name.

    Raises
    ------
    ValueError
        Names of other models, masked entries, or lists of different lengths.
    """
    labels = getattr(values, "columns", getattr(values, "index", None))
    if labels is not None and not callable(labels) and any(isinstance(k, str) for k in labels):
        if set(labels) != set(models) or len(labels) != len(models):
            raise ValueError(f"{what} name {shown(list(labels))}; name {shown(list(models))}")
        values = values[list(models)]
    if np.ma.is_masked(values):
        raise ValueError(f"{what} have masked entries, which are unknown; fill them in")
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        raise ValueError(
            f"{what} are {shown(values)}; give rows of {len(models)}, one entry for each model"
        ) from None
