"""`Outcomes`: every model's answer to every item, the table that everything else reads.

Three states are kept separate, because mixing them up is the most common mistake with recorded
answers:

=========  ====================  ==============  =====================================
state      ``correct``           ``answer``      meaning
=========  ====================  ==============  =====================================
wrong      0                     a label's code  the model answered, and was wrong
unparsed   0                     ``UNPARSED``    it wrote something without an answer
absent     NaN                   ``ABSENT``      it was never asked, or nothing is kept
=========  ====================  ==============  =====================================

A known answer with ``correct`` NaN is unlabelled: whether it was right is unknown.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ensemble_lab.core.checks import by_name, checked
from ensemble_lab.core.errors import check_known, several, shown
from ensemble_lab.core.frozen import Frozen, view
from ensemble_lab.core.states import ABSENT, MEASURES, UNPARSED


class Single(NamedTuple):
    """A model by its name and its accuracy on the items that it has."""

    model: str
    accuracy: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes(Frozen):
    """Answers of m models to n items, as a labelled table over read-only arrays.

    Parameters
    ----------
    models : sequence of str, length m
        Column names, each once.
    items : array-like (n,)
        Row names, each once.
    correct : array-like (n, m)
        How right each answer is, in [0, 1]; NaN where absent or unlabelled.
    answer : array-like of int (n, m), optional
        Code of each answer, an index into `labels`, or `ABSENT` or `UNPARSED`.
    labels : sequence, length k
        The labels of the codes in `answer` and `truth`.
    confidence : array-like (n, m), optional
        Each model's confidence in its answer; scales may differ between models.
    cost : array-like (n, m), optional
        USD for each call; `cost_is_estimated` where prices were added afterwards.
    latency : array-like (n, m), optional
        Seconds for each call.
    tokens : array-like (n, m), optional
        Tokens generated in each call.
    probability : array-like (n, m, k), optional
        Each model's distribution over the labels; a row is all NaN where unknown.
    truth : array-like of int (n,), optional
        Code of the right answer, `ABSENT` where unknown.
    features : mapping of str to array-like (n,)
        Facts about each item that are known before any model is asked.
    group : array-like (n,), optional
        The kind of each item (a subject, a condition).
    model_group : sequence of str, length m, optional
        The model that each column samples, where a column is one of several samples of it.

    Raises
    ------
    ValueError
        Shapes that differ, duplicates, or values out of range: named with their position.

    Examples
    --------
    >>> Outcomes(models=["small", "big"], items=["a", "b"], correct=[[1, 1], [0, 1]]).best_single()
    Single(model='big', accuracy=1.0)
    """

    models: Sequence[str]
    items: np.ndarray
    correct: np.ndarray
    answer: np.ndarray | None = None
    labels: Sequence[Hashable] = ()
    confidence: np.ndarray | None = None
    cost: np.ndarray | None = None
    cost_is_estimated: bool = False
    latency: np.ndarray | None = None
    tokens: np.ndarray | None = None
    probability: np.ndarray | None = None
    truth: np.ndarray | None = None
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    group: np.ndarray | None = None
    model_group: Sequence[str] | None = None

    def __post_init__(self):
        for name, value in checked(self).items():
            object.__setattr__(self, name, value)

    # -- size and masks -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Outcomes({len(self)} items x {len(self.models)} models; {', '.join(self.known)})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>" + self.summary().to_html(float_format="{:.4g}".format)

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the optional fields that this table has."""
        return tuple(f.name for f in fields(self) if _is_known(getattr(self, f.name)))

    @property
    def absent(self) -> np.ndarray:
        """(n, m) bool: nothing is recorded for this pair."""
        if self.answer is None:
            return np.isnan(self.correct)
        return self.answer == ABSENT

    @property
    def unparsed(self) -> np.ndarray:
        """(n, m) bool: the model replied, but its reply contained no readable answer."""
        if self.answer is None:
            return np.zeros(self.correct.shape, bool)
        return self.answer == UNPARSED

    # -- parts ----------------------------------------------------------------------------------

    def take(self, rows) -> Outcomes:
        """The items at integer positions or under a boolean mask `rows`, in that order."""
        rows = np.asarray(
            by_name(rows, "the mask", self.items.tolist()) if _is_mask(rows) else rows
        )
        if rows.dtype.kind == "b" and rows.shape != (len(self),):
            raise ValueError(f"the mask has shape {rows.shape}, the table {len(self)} items")
        if rows.size and rows.dtype.kind not in "biu":
            raise ValueError(
                f"take needs positions or a mask, not {shown(rows)}; select takes names"
            )
        rows = rows if rows.size else rows.astype(int)
        n = len(self)
        if rows.size and rows.dtype.kind != "b" and not -n <= rows.min() <= rows.max() < n:
            raise ValueError(f"take: place {rows.max()} or {rows.min()} is none of the {n} items'")
        parts = {
            f.name: value[rows]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        features = {name: values[rows] for name, values in self.features.items()}
        return replace(self, **parts, features=features)

    def columns(self, models: Sequence[str]) -> np.ndarray:
        """Positions (len(models),) of the named models; unknown names raise with the nearest."""
        position = {name: j for j, name in enumerate(self.models)}
        models = several(models, "models")
        for name in models:
            check_known(name, position, "model", "outcomes")
        return np.array([position[name] for name in models], int)

    def select(self, *, models: Sequence[str] | None = None, items=None) -> Outcomes:
        """Keep the named models and items, in the order given.

        Parameters
        ----------
        models : sequence of str, optional
        items : optional
            Boolean mask (n,) or a sequence of item names.

        Raises
        ------
        KeyError
            A name that is not in the table.
        ValueError
            Nothing would be left, or a mask of another length.
        """
        table = self if items is None else self.take(self._rows(items))
        if models is None:
            return table
        models = [models] if isinstance(models, str) else several(models, "models")
        keep = table.columns(models)
        if not len(keep):
            raise ValueError("select(models=[]) leaves no model; name at least one")
        parts = {
            f.name: value[:, keep]
            for f in fields(self)
            if isinstance(value := getattr(table, f.name), np.ndarray) and value.ndim > 1
        }
        if table.model_group is not None:
            parts["model_group"] = [table.model_group[j] for j in keep]
        return replace(table, models=models, **parts)

    def _rows(self, items) -> np.ndarray:
        names = self.items.tolist()
        if _is_mask(items):
            items = by_name(items, "the mask", names)
        one = isinstance(items, str | np.generic) or not hasattr(items, "__iter__")
        items = [_plain(items)] if one else several(items, "items")
        if items and all(isinstance(item, bool | np.bool_) for item in items):
            if len(items) != len(self):
                raise ValueError(f"the mask has shape ({len(items)},), the table {len(self)} items")
            rows = np.flatnonzero(items)
        else:
            position = {name: i for i, name in enumerate(names)}
            for name in items:
                check_known(name, position, "item", "outcomes")
            rows = np.array([position[name] for name in items], int)
        if not len(rows):
            raise ValueError("no item is left by this selection; widen it")
        return rows

    def split(self, fraction: float = 0.5, seed: int = 0) -> tuple[Outcomes, Outcomes]:
        """Two disjoint random parts, the first with `fraction` of the items.

        Fit on one part and evaluate on the other.

        Raises
        ------
        ValueError
            A fraction outside (0, 1), or one that leaves a part empty.
        """
        if not isinstance(fraction, Real) or not 0 < fraction < 1:
            raise ValueError(f"fraction={shown(fraction)} is outside (0, 1); 0.5 gives two halves")
        if not isinstance(seed, Integral) or seed < 0:
            raise ValueError(f"seed={shown(seed)}; use a whole number from 0 up")
        shuffled = np.random.default_rng(seed).permutation(len(self))
        first = round(fraction * len(self))
        if not 0 < first < len(self):
            raise ValueError(f"fraction={fraction} of {len(self)} items leaves one part empty")
        return self.take(np.sort(shuffled[:first])), self.take(np.sort(shuffled[first:]))

    def blinded(self) -> Outcomes:
        """The same table without `truth` and with `correct` NaN: what a policy may see."""
        return _replace_unchecked(self, correct=np.full(self.correct.shape, np.nan), truth=None)

    def filled(self, *names: str, absent: bool = False) -> Outcomes:
        """The same table with each model's mean where its cost or latency is not known.

        Elsewhere unknown values are never replaced: a policy's mean cost is NaN as soon as the
        price of one call is. Here the estimate is explicit, and `cost_is_estimated` records it.

        Parameters
        ----------
        *names : {"cost", "latency", "tokens"}
            By default cost and latency, those that the table has.
        absent : bool
            Also fill pairs that were never asked, with what asking would cost; by default they
            remain NaN.

        Returns
        -------
        Outcomes
            A model without any known value keeps its NaN: its cost is unknown.

        Raises
        ------
        KeyError
            A field that cannot be filled.
        ValueError
            A field that the table does not have.

        Examples
        --------
        >>> import numpy as np
        >>> table = Outcomes(models=["small"], items=[0, 1, 2], correct=[[1], [0], [1]],
        ...                  cost=[[1], [np.nan], [3]])
        >>> table.filled("cost").cost[:, 0].tolist()
        [1.0, 2.0, 3.0]
        """
        from ensemble_lab.core.unknown import filled

        return filled(self, names, absent)

    # -- baselines ------------------------------------------------------------------------------

    def accuracy(self) -> np.ndarray:
        """Mean correctness (m,) of each model over its items; NaN without any."""
        labelled = ~np.isnan(self.correct)
        total = np.where(labelled, self.correct, 0).sum(axis=0)
        with np.errstate(invalid="ignore"):
            return total / labelled.sum(axis=0)

    def coverage(self) -> np.ndarray:
        """Share (m,) of the items with a record of each model."""
        return 1 - self.absent.mean(axis=0)

    def best_single(self, coverage: float = 0.9) -> Single:
        """The most accurate model among those that have at least a `coverage` share of the items.

        A model with few items may have had the easy ones, so it is left out.
        """
        if not isinstance(coverage, Real) or not 0 <= coverage <= 1:
            raise ValueError(f"coverage={shown(coverage)} is not a share; use a number in [0, 1]")
        accuracy = np.where(self.coverage() >= coverage, self.accuracy(), np.nan)
        if np.isnan(accuracy).all():
            raise ValueError(
                f"no model has {coverage:.0%} of the items with correctness known; pass a lower"
                " coverage"
            )
        best = int(np.nanargmax(accuracy))
        return Single(self.models[best], float(accuracy[best]))

    def oracle(self) -> float:
        """Accuracy of always choosing a right model where there is one: a bound on any choice.

        Items without any graded answer are left out.
        """
        best = np.where(np.isnan(self.correct), -1.0, self.correct).max(axis=1)
        if (best < 0).all():
            raise ValueError("no answer here is graded; give correct, or truth with the answers")
        return float(best[best >= 0].mean())

    def chance_oracle(self, options=None) -> float:
        """Accuracy of an oracle over equally many random guessers on the same items.

        An oracle's accuracy alone is misleading: with enough models it is high by luck. A guesser
        is right on an item of c options with probability 1 / c, so at least one of m is right with
        probability 1 - (1 - 1 / c)^m.

        Parameters
        ----------
        options : int or array-like (n,), optional
            Options of each item. By default the feature ``n_options``, else the number of labels.
        """
        if options is None:
            options = self.features.get("n_options", len(self.labels))
        try:
            options = np.broadcast_to(np.asarray(options, float), len(self))
        except ValueError:
            raise ValueError(
                f"options={shown(options)}; give a number, or one for each of {len(self)} items"
            ) from None
        if not (options >= 1).all():
            raise ValueError("the number of options is not known here; pass options=…")
        guessers = (~np.isnan(self.correct)).sum(axis=1)  # as many as `oracle` chooses from
        if not guessers.any():
            raise ValueError("no answer here is graded; give correct, or truth with the answers")
        return float(np.mean((1 - (1 - 1 / options) ** guessers)[guessers > 0]))

    def summary(self):
        """One row a model: accuracy, coverage, unparsed share, and the mean of each measure.

        The means are over the model's items, and NaN where one of them is unknown.
        """
        import pandas as pd

        from ensemble_lab.core.unknown import model_means

        rows = {
            "accuracy": self.accuracy(),
            "coverage": self.coverage(),
            "unparsed": self.unparsed.mean(axis=0),
        }
        for name in MEASURES:
            values = getattr(self, name)
            if values is not None:
                rows[f"mean {name}"] = model_means(values, self.absent)
        return pd.DataFrame(rows, index=pd.Index(self.models, name="model"))

    # -- files and frames -----------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path, *, columns: Mapping[str, str] | None = None) -> Outcomes:
        """Read a table or a recording; see `from_frame` for the columns.

        Tables are ``.csv``, ``.tsv`` and ``.jsonl`` (one object a line), these also as ``.gz``, and
        ``.parquet``. Names keep their spelling: items and features are numbers only where every
        cell is spelled like a number ("007" is a name), groups and models never are. An answer that
        spells a number is that number, whatever other cells hold: "18.0" is 18. `read_table` reads
        tables with other names of columns, separators and decimal signs.

        Parameters
        ----------
        path : path
        columns : mapping of str to str, optional
            Name of a column in the file to its name in `from_frame`, such as ``{"doc_id":
            "item", "acc": "small:correct"}``. Columns that are not named are left out.

        Raises
        ------
        FileNotFoundError, ValueError
            No such file, a truncated one, or one that cannot be read with certainty.

        Warns
        -----
        UserWarning
            How a column without a known field was read; and where no answer equals a truth.
        """
        from ensemble_lab.core.files import read

        return read(path, columns)

    @classmethod
    def from_frame(
        cls, frame, *, columns: Mapping[str, str] | None = None, cost_is_estimated: bool = False
    ) -> Outcomes:
        """Build from a data frame of pandas, polars or pyarrow, long or wide.

        Long: one row an item and model, columns ``item``, ``model`` and any of ``correct``,
        ``answer``, ``confidence``, ``cost``, ``latency``, ``tokens``. Wide: one row an item,
        columns ``item`` and ``MODEL:correct``, ``MODEL:answer``, … or pairs (field, model) as
        `pivot` makes them; a bare ``MODEL`` column of 0 and 1 is its correctness. Both may carry
        ``truth``, ``group`` and ``feature:NAME``. A pair is absent without a row (long) or where
        all its cells are empty (wide); otherwise an empty ``answer`` is unparsed. Without
        ``correct``, an answer is right where it equals ``truth``. Cells keep their types: "18" is
        not 18. Floats of 32 bits are compared in 32 bits, in answers and truth.

        Parameters
        ----------
        frame : data frame
        columns : mapping of str to str, optional
            As in `read`.
        cost_is_estimated : bool

        Raises
        ------
        ValueError
            What cannot be read with certainty, with its place and the fix.

        Examples
        --------
        >>> import pandas as pd
        >>> Outcomes.from_frame(pd.DataFrame({"item": [1, 2], "small:correct": [1, 0]}))
        Outcomes(2 items x 1 models; models, items, correct)
        """
        from ensemble_lab.core.reading.frames import from_frame

        return from_frame(frame, columns=columns, cost_is_estimated=cost_is_estimated)

    def to_frame(self, form: str = "long"):
        """As a data frame that `from_frame` reads back, ``"long"`` or ``"wide"``.

        Long has rows only for recorded pairs, so an item or model without any is left out. Wide
        keeps them, but an unparsed reply without any other field becomes absent. Neither holds
        probabilities, model groups and unused labels: `to_parquet` keeps everything.
        """
        from ensemble_lab.core.reading.frames import to_frame

        return to_frame(self, form)

    def to_parquet(self, path: str | Path) -> Path:
        """Write one compact file that `read` restores exactly, including probabilities.

        Raises
        ------
        TypeError, ValueError
            Names or facts that a file cannot hold, such as lists or complex numbers.
        OSError
            No such folder, or a full disk. An existing file is kept.
        """
        from ensemble_lab.core.files import to_parquet

        return to_parquet(self, path)


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _is_mask(values) -> bool:
    """Whether these are true and false in an array or a column of pandas."""
    return str(getattr(values, "dtype", "")) in ("bool", "boolean")


def _is_known(value) -> bool:
    return (
        value is not None
        and value is not False
        and (not hasattr(value, "__len__") or len(value) > 0)
    )


def _replace_unchecked(outcomes: Outcomes, **changes) -> Outcomes:
    """`dataclasses.replace` for values that are already checked, without a second check."""
    copy = object.__new__(Outcomes)
    for f in fields(Outcomes):
        object.__setattr__(copy, f.name, view(changes.get(f.name, getattr(outcomes, f.name))))
    return copy
