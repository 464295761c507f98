"""Columns of a user's table: typed, as in a data frame, or text, as in a CSV file.

Both convert their cells to numbers, names or labels. Cells are read one value at a time, each value
once, so that no cell changes the meaning of another.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from ensemble_lab.core.checks import names_array, objects
from ensemble_lab.core.errors import shown
from ensemble_lab.core.reading.numerals import CANONICAL, NUMBER, WHOLE, local_readings, number_in

GAPS = ("", "NA", "N/A", "NaN", "nan", "null", "None")
"""What tools write where a number is missing."""
EXACT = 2**53  # from here on a float cannot hold every whole number
FEW = 20  # distinct values of a column, below which calls into arrow take longer
EMPTY = "leave it empty where the value is unknown"
TRUTHS = dict.fromkeys(("True", "TRUE", "true"), 1.0) | dict.fromkeys(
    ("False", "FALSE", "false"), 0.0
)


class Column(ABC):
    """n cells, each the place of its value among the distinct ones.

    Attributes
    ----------
    codes : ndarray of int (n,)
        Places in `values`; -1 where the cell is empty.
    values : list
        Each distinct value once, in the order of its first cell.
    coarse : type, optional
        ``numpy.float32`` or ``float16`` where the cells are such numbers.
    """

    codes: np.ndarray
    values: list
    coarse: type | None = None

    @abstractmethod
    def numbers(self, where: Callable[..., str], flags: bool = False) -> np.ndarray:
        """The cells as floats (n,), NaN where empty; `flags` lets true and false be 1 and 0.

        `where` makes the error message from the row, its cell and the fix.

        Raises
        ------
        ValueError
            A cell that is not a number.
        """

    @abstractmethod
    def facts(self) -> np.ndarray:
        """The cells as facts (n,): numbers where all cells are numbers, else values with None."""

    @abstractmethod
    def names(self) -> np.ndarray:
        """The cells as names (n,), each with its type and spelling; None where empty."""

    def __len__(self) -> int:
        return len(self.codes)

    def cells(self) -> np.ndarray:
        """The values (n,) unchanged, None where empty."""
        return objects([*self.values, None])[self.codes]

    def empty(self) -> np.ndarray:
        """(n,) bool."""
        return self.codes < 0

    def _converted(self, convert: Callable[[Any], float], where) -> np.ndarray:
        """Floats (n,), each distinct value converted once."""
        found = np.full(len(self.values) + 1, np.nan)
        for code, value in enumerate(self.values):
            try:
                found[code] = convert(value)
            except (TypeError, ValueError, OverflowError) as error:
                first = int((self.codes == code).argmax())
                raise ValueError(where(first, shown(value), _fix(error))) from None
        return found[self.codes]


class NotANumber(ValueError):
    """A cell that is not a number, with the fix."""


def _fix(error: Exception) -> str:
    return str(error) if isinstance(error, NotANumber) else EMPTY


class Typed(Column):
    """Cells with types: of a data frame, or of JSON.

    Parameters
    ----------
    cells : ndarray (n,)
        Numbers, or objects with None where empty.
    name
        Of the column, for errors.
    numeric : bool
        Whether the objects are numbers by the type of their column.
    dtype : numpy.dtype, optional
        The column's, where it is known and differs from that of `cells`.
    """

    def __init__(self, cells: np.ndarray, name, numeric: bool = False, dtype=None):
        self.raw, self.name, self.numeric = cells, name, numeric
        dtype = cells.dtype if dtype is None else dtype
        if dtype.kind == "f" and dtype.itemsize < 8:
            self.coarse = dtype.type

    @cached_property
    def _factorized(self):
        try:
            return factorized(self.raw)
        except TypeError:
            bad = next(cell for cell in self.raw if not _hashable(cell))
            raise ValueError(
                f"a cell of column {shown(self.name, 40)} holds {shown(bad)}"
                f" ({type(bad).__name__}); make it text or a number"
            ) from None

    @property
    def codes(self) -> np.ndarray:
        return self._factorized[0]

    @cached_property
    def values(self) -> list:
        if self.raw.dtype.kind in "mM":  # numpy would convert dates to numbers
            import pandas as pd

            return list(pd.Series(self._factorized[1]))
        return self._factorized[1].tolist()

    def __len__(self) -> int:
        return len(self.raw)

    def numbers(self, where, flags=False):
        if self.raw.dtype.kind in "iuf" or (self.raw.dtype.kind == "b" and flags):
            return self.raw.astype(float)
        return self._converted(lambda value: _float(value, flags), where)

    def facts(self):
        if self.raw.dtype.kind != "O":
            return self.raw
        if not self.numeric or not self.empty().any():
            return self.names()
        if any(isinstance(value, int) and abs(value) >= EXACT for value in self.values):
            return self.cells()  # floats would change these numbers
        return self.numbers(no_number)

    def names(self):
        return self.raw if self.raw.dtype.kind != "O" else names_array(self.cells())


class Text(Column):
    """Cells of a text file.

    Parameters
    ----------
    cells : pyarrow.StringArray (n,)
        Null where the text between two separators is empty.
    """

    def __init__(self, cells):
        coded = cells.dictionary_encode()
        self.codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(int)
        self.distinct = coded.dictionary

    @cached_property
    def values(self) -> list:
        return self.distinct.to_pylist()

    def numbers(self, where, flags=False):
        if self._all(NUMBER) and not np.isinf(numbers := self._floats()).any():
            return np.append(numbers, np.nan)[self.codes]
        return self._converted(lambda text: _float_in(text, flags), where)

    def facts(self):
        """Numbers, or true and false, only where each is spelled as Python does: 007 is a name."""
        if self.values and {*self.values} <= {"True", "False"} and not self.empty().any():
            return np.array([value == "True" for value in self.values])[self.codes]
        gaps = np.array([value in GAPS for value in self.values], bool)
        known = self.distinct.filter(_mask(~gaps))
        if not len(known) or not _all(known, CANONICAL):
            return self.cells()
        if not gaps.any() and not self.empty().any() and _all(known, WHOLE):
            return self.names()
        numbers = _floats(known)
        large = known.filter(_mask(np.abs(numbers) >= EXACT))
        if _any(large, WHOLE):  # floats would change these numbers
            return self._exact(gaps)
        found = np.full(len(self.values) + 1, np.nan)
        found[:-1][~gaps] = numbers
        return found[self.codes]

    def _exact(self, gaps: np.ndarray) -> np.ndarray:
        """Whole numbers and gaps as objects (n,); text where there are other values."""
        read = [None if gap else number_in(v) for gap, v in zip(gaps, self.values, strict=True)]
        if not all(isinstance(number, int | None) for number in read):
            return self.cells()
        return objects([*read, None])[self.codes]

    def names(self):
        """Numbers only where each is spelled as Python spells it, else the text unchanged."""
        if self.empty().any():
            return self.cells()
        if self._all(WHOLE):
            whole = [number_in(text) for text in self.values]
            return names_array(whole)[self.codes] if None not in whole else self.cells()
        if self._all(CANONICAL):
            numbers = self._floats()
            spelt = [repr(number) for number in numbers.tolist()]
            if spelt == self.values and len(set(numbers)) == len(numbers):  # -0.0 is 0.0
                return numbers[self.codes]
        return self.cells()

    def matching(self, pattern: str) -> list[str]:
        """The distinct values that match a pattern as a whole."""
        import pyarrow.compute as pc

        found = pc.match_substring_regex(self.distinct, f"^({pattern})$")
        return self.distinct.filter(found).to_pylist()

    def _all(self, pattern: str) -> bool:
        if len(self.distinct) <= FEW:
            return all(re.fullmatch(pattern, value) for value in self.values)
        return _all(self.distinct, pattern)

    def _floats(self) -> np.ndarray:
        """The values as floats, where all are numbers."""
        if len(self.distinct) <= FEW:
            return np.array([float(value) for value in self.values])
        return _floats(self.distinct)


def no_number(row: int, cell: str, fix: str) -> str:
    """The error for a cell that is not a number, by its row."""
    return f"row {row} holds something that is not a number: {cell}; {fix}"


def labels_of(columns: Sequence[Column], as_text: bool) -> tuple[list[list], tuple]:
    """Each distinct value of each column as a label, and all labels in order.

    Where one column holds floats of 32 bits, all floats are read in 32 bits: then 0.1 equals 0.1.

    Parameters
    ----------
    columns : sequence of Column
        Answers and truth.
    as_text : bool
        Whether text that spells a number is that number.

    Raises
    ------
    ValueError
        A number in a country's notation that could be another of these labels.
    """
    coarse = [column.coarse for column in columns if column.coarse]
    kind = min(coarse, key=lambda kind: np.dtype(kind).itemsize, default=float)
    each = [[_label(value, as_text, kind) for value in column.values] for column in columns]
    every = dict.fromkeys(label for labels in each for label in labels)
    if as_text:
        _refuse_local(every)
    return each, tuple(sorted(every, key=lambda label: (isinstance(label, str), label)))


def _refuse_local(labels: dict) -> None:
    for label in labels:
        if isinstance(label, str) and (same := local_readings(label) & labels.keys()):
            raise ValueError(
                f"{shown(label)} may be {shown(next(iter(same)))}, which is here too: write"
                " numbers without marks for thousands and with a decimal point"
            )


def _label(value, as_text: bool, kind: type):
    from ensemble_lab.core.checks import plain

    if isinstance(value, Decimal):
        value, as_text = str(value), True
    if isinstance(value, str):
        number = number_in(value) if as_text else None
        return value if number is None else number
    try:
        value = plain(value, "label")
    except TypeError as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, float):
        return value
    with np.errstate(over="ignore"):
        near = kind(value)
    value = float(str(near)) if np.isfinite(near) else value  # in its shortest spelling
    return int(value) if value.is_integer() else value


def factorized(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`pandas.factorize`, which before version 3 reads a text only up to its first NUL.

    Raises
    ------
    TypeError
        A cell that cannot be hashed.
    """
    import pandas as pd

    if cells.dtype != object or not any(isinstance(one, str) and "\0" in one for one in cells):
        return pd.factorize(cells)
    places: dict = {}
    codes = [-1 if gone else places.setdefault(one, len(places))
             for one, gone in zip(cells, pd.isna(cells), strict=True)]  # fmt: skip
    return np.array(codes, np.intp), objects(list(places))


def _hashable(value) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _float(value, flags: bool) -> float:
    if isinstance(value, str):
        return _float_in(value, flags)
    if isinstance(value, bool | np.bool_) and not flags:
        raise NotANumber(f"write a number, or {EMPTY}")
    if isinstance(value, complex):
        raise TypeError
    return float(value)


def _float_in(text: str, flags: bool) -> float:
    text = text.strip(" \t")
    if text in GAPS:
        return np.nan
    if flags and text in TRUTHS:
        return TRUTHS[text]
    number = number_in(text)
    if number is not None:
        return float(number)
    if local_readings(text):
        raise NotANumber(
            "some countries write numbers so: use a decimal point and no mark for thousands"
        )
    if text.endswith("%") and number_in(text[:-1]) is not None:
        raise NotANumber("a percentage is written as a share, such as 0.95")
    raise NotANumber(EMPTY)


def _floats(texts) -> np.ndarray:
    """Floats of a pyarrow array of numbers, each rounded once."""
    import pyarrow.compute as pc

    # Arrow does not read a leading plus.
    plain = pc.replace_substring_regex(texts, pattern=r"^\+", replacement="")
    return pc.cast(plain, "float64").to_numpy(zero_copy_only=False)


def _all(texts, pattern: str) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.match_substring_regex(texts, f"^({pattern})$")).as_py() is not False


def _any(texts, pattern: str) -> bool:
    import pyarrow.compute as pc

    return pc.any(pc.match_substring_regex(texts, f"^({pattern})$")).as_py() is True


def _mask(keep: np.ndarray):
    import pyarrow as pa

    return pa.array(keep)
