"""Checks of arrays of bits and of whole numbers."""

from __future__ import annotations

from numbers import Real

import numpy as np

from ensemble_lab.core.errors import shown


def bits(values, what: str, dimensions: int | None, shape: tuple | None = None) -> np.ndarray:
    """A copy of `values` as booleans: true and false, or ones and zeros; None is any dimension.

    Raises
    ------
    ValueError
        Another shape, a gap, or a value that is no bit.
    """
    array = _array(values, what, "bits, 0 or 1")
    _fits(array, what, dimensions, shape)
    if array.dtype.kind in "biuf":
        odd = array[(array != 0) & (array != 1)].tolist()
    else:
        odd = [x for x in array.flat if not (isinstance(x, Real | np.bool_) and x in (0, 1))]
    if odd:
        raise ValueError(
            f"{what} holds {shown(odd[0])}; give 1 (passed) or 0, also 0 for what did not end"
        )
    return array.astype(bool)


def whole(values, what: str, shape: tuple | int, least: int | None = None) -> np.ndarray:
    """A copy of `values` as whole numbers, from `least` up; `shape` or the number of dimensions.

    Raises
    ------
    ValueError
        Another shape, or a value that is not a whole number or is below `least`.
    """
    array = _array(values, what, "whole numbers")
    exact = isinstance(shape, tuple)
    _fits(array, what, len(shape) if exact else shape, shape if exact else None)
    if array.dtype.kind not in "iuf" and array.size:
        raise ValueError(f"{what} holds {shown(array.flat[0])}; give whole numbers")
    low = -(2**53) if least is None else least
    with np.errstate(invalid="ignore"):
        odd = array[~((array == np.floor(array)) & (array >= low) & (array <= 2**53))]
    if odd.size:
        rule = "" if least is None else f" from {least} up"
        raise ValueError(f"{what} holds {shown(odd.flat[0])}; give whole numbers{rule}")
    return array.astype(int)


def _array(values, what: str, fix: str) -> np.ndarray:
    index = getattr(values, "index", None)
    if index is not None and not callable(index) and list(index) != list(range(len(index))):
        raise ValueError(
            f"the index of {what} may be names or positions; give {what} in the order of the"
            " problems or tests with .to_numpy()"
        )
    try:
        if np.ma.is_masked(values):
            raise ValueError
        return np.asarray(values)
    except (TypeError, ValueError):  # lists of different lengths, masked cells
        raise ValueError(
            f"{what} has gaps or rows of different lengths; give {fix}, in one array"
        ) from None


def _fits(array: np.ndarray, what: str, dimensions: int | None, shape: tuple | None) -> None:
    other = dimensions is not None and array.ndim != dimensions
    if other or (shape is not None and array.shape != shape):
        wanted = f"{dimensions} dimensions" if shape is None else f"shape {shape}"
        raise ValueError(f"{what} has shape {array.shape}; give an array of {wanted}")
