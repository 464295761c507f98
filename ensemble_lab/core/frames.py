"""Outcomes to and from data frames, long and wide."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np

from ensemble_lab.core.checks import check_states
from ensemble_lab.core.errors import nearest
from ensemble_lab.core.outcomes import ABSENT, MEASURES, UNPARSED, Outcomes

CELL = ("correct", "answer", *MEASURES)
"""What a frame may say about one pair of item and model."""
PER_ITEM = ("truth", "group")
FEATURE = "feature:"


def from_frame(frame, *, cost_is_estimated: bool = False) -> Outcomes:
    """See `Outcomes.from_frame`."""
    if "item" not in frame.columns:
        raise ValueError(f"there is no column 'item'{nearest('item', frame.columns)}")
    if not len(frame):
        raise ValueError("the table has no rows")
    if "model" in frame.columns:
        cells, rows = _from_long(frame)
    else:
        cells, rows = _from_wide(frame)
    return _assemble(cells, rows, cost_is_estimated)


def _from_long(frame):
    import pandas as pd

    _refuse_empty(frame, ["item", "model"])
    extra = [c for c in frame.columns if c not in ("item", "model", *CELL) and not _per_item(c)]
    if extra:
        known = (*CELL, *PER_ITEM)
        raise ValueError(
            f"unknown column {extra[0]!r}{nearest(extra[0], known)} (what else is known of an item"
            f" goes into {FEATURE}NAME)"
        )
    twice = frame.duplicated(["item", "model"])
    if twice.any():
        item, model = frame.loc[twice.to_numpy(), ["item", "model"]].iloc[0]
        raise ValueError(f"item {item!r} and model {model!r} stand in two rows; keep one")
    (row, items), (column, models) = pd.factorize(frame["item"]), pd.factorize(frame["model"])

    def spread(values):
        wide = np.full((len(items), len(models)), None, object)
        wide[row, column] = values
        return pd.DataFrame(wide, index=items, columns=models)

    plain = frame.astype(object).where(frame.notna(), None)
    cells = {c: spread(plain[c].to_numpy()) for c in CELL if c in frame.columns}
    asked = spread(True).notna().to_numpy()
    by_item = frame.groupby("item", sort=False)[[c for c in frame.columns if _per_item(c)]]
    many = by_item.nunique().max() > 1
    if many.any():
        raise ValueError(f"column {many.idxmax()!r} says two things of one item; it is per item")
    return (cells, asked), by_item.first()


def _from_wide(frame):
    import pandas as pd

    _refuse_empty(frame, ["item"])
    twice = frame["item"].duplicated()
    if twice.any():
        raise ValueError(f"item {frame['item'][twice].iloc[0]!r} stands in two rows; keep one")
    frame = frame.set_index("item")
    by_field: dict[str, dict] = {}
    for column in frame.columns:
        if not _per_item(column):
            model, name = _model_and_field(str(column), frame.columns)
            by_field.setdefault(name, {})[model] = frame[column]
    models = list(dict.fromkeys(model for columns in by_field.values() for model in columns))
    if not models:
        raise ValueError("no model's column was found; name them MODEL:correct, MODEL:answer, …")
    # A field that only some models have is reindexed: empty cells for the others.
    cells = {
        name: pd.DataFrame(columns, index=frame.index).reindex(columns=models)
        for name, columns in by_field.items()
    }
    asked = np.logical_or.reduce([w.notna().to_numpy() for w in cells.values()])
    return (cells, asked), frame[[c for c in frame.columns if _per_item(c)]]


def _model_and_field(column: str, columns) -> tuple[str, str]:
    """What a column of the wide form is about; a bare MODEL is its correctness."""
    if column in CELL:
        raise ValueError(
            f"column {column!r} belongs to the long form, which needs a column 'model'"
            f"{nearest('model', columns)}"
        )
    model, _, name = column.rpartition(":")
    if model and name in CELL:
        return model, name
    if model and get_close_matches(name, CELL):
        raise ValueError(f"unknown column {column!r}{nearest(name, CELL)}")
    return column, "correct"


def _assemble(found, rows, cost_is_estimated: bool) -> Outcomes:
    cells, asked = found
    first = next(iter(cells.values()), None)
    if first is None:
        raise ValueError(f"there is no column of outcomes; give at least one of {', '.join(CELL)}")
    parts = {name: _numbers(cells[name], name) for name in MEASURES if name in cells}
    labels = _labels(cells.get("answer"), rows.get("truth"))
    if "answer" in cells:
        empty = np.where(asked, UNPARSED, ABSENT)
        parts["answer"] = _code(cells["answer"].to_numpy(object), labels, empty)
    if "truth" in rows:
        parts["truth"] = _code(rows["truth"].to_numpy(object), labels, ABSENT)
    if "correct" in cells:
        correct = _numbers(cells["correct"], "correct")
    elif "answer" in cells:
        correct = grade(parts["answer"], parts.get("truth"), labels)
    else:
        raise ValueError("neither 'correct' nor 'answer' is there; one of them is needed")
    features = {str(c)[len(FEATURE) :]: rows[c].to_numpy() for c in rows if _is_feature(c)}
    outcomes = Outcomes(
        models=[str(model) for model in first.columns],
        items=first.index.to_numpy(),
        correct=correct,
        labels=labels,
        features=features,
        group=rows["group"].to_numpy() if "group" in rows else None,
        cost_is_estimated=cost_is_estimated,
        **parts,
    )
    check_states(outcomes)
    return outcomes


def grade(answer: np.ndarray, truth: np.ndarray | None, labels: tuple) -> np.ndarray:
    """Correctness (n, m) of answer codes (n, m) against `truth` (n,): unparsed is wrong.

    Raises
    ------
    ValueError
        A number and the same number as a string among `labels`: they never are equal.
    """
    if truth is None:
        return np.full(answer.shape, np.nan)
    written = {label for label in labels if isinstance(label, str)}
    for label in labels:
        if not isinstance(label, str) and str(label) in written:
            raise ValueError(
                f"answers and truth hold both {label!r} and {str(label)!r}, which are not equal;"
                " make them all numbers or all strings"
            )
    right = (answer == truth[:, None]).astype(float)
    return np.where((answer == ABSENT) | (truth[:, None] < 0), np.nan, right)


def to_frame(outcomes: Outcomes, form: str = "long"):
    """See `Outcomes.to_frame`."""
    import pandas as pd

    if form not in ("long", "wide"):
        raise ValueError(f"form={form!r}; it is 'long' or 'wide'")
    cells = {c: _decoded(outcomes, c) for c in CELL if getattr(outcomes, c) is not None}
    rows = {f"{FEATURE}{name}": values for name, values in outcomes.features.items()}
    if outcomes.group is not None:
        rows["group"] = outcomes.group
    if outcomes.truth is not None:
        rows["truth"] = _names_of(outcomes.truth, outcomes.labels)
    if form == "wide":
        columns = {
            f"{model}:{name}": values[:, j]
            for j, model in enumerate(outcomes.models)
            for name, values in cells.items()
        }
        return pd.DataFrame({"item": outcomes.items, **columns, **rows})
    n, m = outcomes.correct.shape
    frame = pd.DataFrame(
        {"item": np.repeat(outcomes.items, m), "model": np.tile(np.array(outcomes.models), n)}
        | {name: values.reshape(-1) for name, values in cells.items()}
        | {name: np.repeat(values, m) for name, values in rows.items()}
    )
    return frame[~outcomes.absent.reshape(-1)].reset_index(drop=True)


def _decoded(outcomes: Outcomes, name: str) -> np.ndarray:
    values = getattr(outcomes, name)
    return _names_of(values, outcomes.labels) if name == "answer" else values


def _names_of(codes: np.ndarray, labels) -> np.ndarray:
    names = np.empty(len(labels) + 2, object)  # the two negative codes index from the end: None
    names[: len(labels)] = labels
    return names[codes]


def _labels(answers, truth) -> tuple:
    """Every answer and truth seen, sorted where they compare."""
    import pandas as pd

    seen = [] if answers is None else list(pd.unique(answers.to_numpy(object).ravel()))
    seen += [] if truth is None else list(pd.unique(truth.to_numpy(object)))
    seen = list(dict.fromkeys(_plain(value) for value in seen if not pd.isna(value)))
    try:
        return tuple(sorted(seen))
    except TypeError:  # labels of mixed types keep the order in which they were seen
        return tuple(seen)


def _plain(value):
    """A label as a plain Python value; 3.0 from a column with gaps is the label 3."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _code(values: np.ndarray, labels: tuple, empty) -> np.ndarray:
    import pandas as pd

    index = {label: code for code, label in enumerate(labels)}
    missing = pd.isna(values)
    flat = [
        -1 if gone else index[_plain(v)] for v, gone in zip(values.flat, missing.flat, strict=True)
    ]
    return np.where(missing, empty, np.array(flat, int).reshape(values.shape))


def _numbers(frame, name: str) -> np.ndarray:
    def column(model):
        try:
            return frame[model].astype(float).to_numpy()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name!r} of {model!r} holds something that is no number: {error}; a column that"
                f" is no model's is named {FEATURE}{model}"
            ) from None

    return np.column_stack([column(model) for model in frame.columns])


def _refuse_empty(frame, columns: list[str]) -> None:
    for column in columns:
        empty = frame[column].isna()
        if empty.any():
            raise ValueError(f"column {column!r} is empty in row {int(empty.to_numpy().argmax())}")


def _per_item(column) -> bool:
    return column in PER_ITEM or _is_feature(column)


def _is_feature(column) -> bool:
    return str(column).startswith(FEATURE)
