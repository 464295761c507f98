"""A short text that identifies an item in a recording: equal only for equal questions."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

DIGITS = 16  # 64 bits: the chance that two of a million questions agree is 1 in 40 million
EXACT = 2**53  # a float64 holds every whole number below it


def identity(item: Any) -> str | None:
    """A hash of the question, or None where no stable one exists.

    Text, numbers, bytes, arrays, tensors and images, and lists and mappings of them, have one. It
    does not depend on the order of a mapping's keys, on tuple or list, or on the type of a number.

    >>> identity({"role": "user", "content": "?"}) == identity({"content": "?", "role": "user"})
    True
    >>> identity(object()) is None
    True
    """
    try:
        return hashlib.sha256(_tokens(item)).hexdigest()[:DIGITS]
    except (TypeError, ValueError, RecursionError, RuntimeError, OverflowError, AttributeError):
        return None  # a generator, an object of a user's class, a list that contains itself


def _tokens(item: Any) -> bytes:
    """Bytes that only this item has; each part is written with its kind and its length."""
    if item is None:
        return b"none"
    if isinstance(item, str):
        return _part(b"text", str.__str__(item).encode(errors="surrogatepass"))
    if isinstance(item, bytes | bytearray | memoryview):
        return _part(b"bytes", bytes(item))
    if hasattr(item, "detach"):  # a tensor
        item = item.detach().cpu()
        # numpy has no bfloat16; float64 holds all its numbers.
        item = (item.double() if item.is_floating_point() else item).numpy()
    if isinstance(item, np.datetime64 | np.timedelta64) and isinstance(item.item(), int):
        return _part(
            item.dtype.name.encode(), str(item).encode()
        )  # its nanoseconds are not a number
    if getattr(item, "ndim", None) == 0 and hasattr(item, "item"):
        return _tokens(item.item())
    if isinstance(item, int | float):
        return _part(b"number", _number(item))
    if isinstance(item, Mapping):
        pairs = sorted(_tokens(key) + _tokens(value) for key, value in item.items())
        return _part(b"mapping", b"".join(pairs))
    if isinstance(item, Set):
        return _part(b"set", b"".join(sorted(map(_tokens, item))))
    if hasattr(item, "columns") or isinstance(item, type):
        raise TypeError
    if hasattr(item, "getpalette"):
        return _image(item)
    if isinstance(item, np.ndarray) or hasattr(item, "__array_interface__"):
        return _array(np.asarray(item))
    if isinstance(item, Sequence):
        return _sequence(item)
    if dataclasses.is_dataclass(item):
        named = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        return _part(type(item).__qualname__.encode(), _tokens(named))
    if hasattr(item, "isoformat") or type(item).__module__ in ("decimal", "fractions", "pathlib"):
        return _part(type(item).__name__.encode(), str(item).encode(errors="surrogatepass"))
    raise TypeError


def _sequence(items: Sequence) -> bytes:
    """A list of numbers, or of lists of numbers, counts as an array of them."""
    if isinstance(items, range) or (items and isinstance(items[0], int | float | list | tuple)):
        try:
            array = np.array(items)
        except ValueError:  # of lists of different lengths
            array = np.array(None)
        # Whole numbers beyond 64 bits among others would be rounded.
        if array.dtype.kind in "biu" or (array.dtype.kind == "f" and not _is_large(array)):
            return _array(array)
    return _part(b"list", b"".join(map(_tokens, items)))


def _array(array: np.ndarray) -> bytes:
    """Shape and values, equal for the same values in another number format."""
    kind = array.dtype.kind
    if kind not in "biuf":
        # As a list, dates in nanoseconds would be numbers.
        parts = array if kind in "mM" else array.tolist()
        return _part(b"list", b"".join(map(_tokens, parts)))
    if kind == "f" and array.dtype.itemsize > 8:
        raise TypeError  # a float64 would round it
    if kind in "iu" and _is_large(array):
        values = " ".join(map(str, array.ravel().tolist()))
        return _part(b"integers", f"{array.shape} {values}".encode())
    array = array.astype(np.float64) + 0.0  # -0 is 0
    array[np.isnan(array)] = np.nan
    return _part(b"array", str(array.shape).encode() + np.ascontiguousarray(array).tobytes())


def _image(image) -> bytes:
    """An image of Pillow: its numbers, with its mode and palette."""
    numbers = _array(np.asarray(image))
    clear = image.info.get("transparency")
    if image.mode in ("L", "RGB", "RGBA") and clear is None:
        return numbers
    palette = bytes(image.getpalette() or b"")
    return _part(b"image", _tokens([image.mode, palette, clear]) + numbers)


def _is_large(array: np.ndarray) -> bool:
    """Whether a float64 may round these numbers."""
    finite = array[np.isfinite(array)]
    return bool(finite.size) and max(abs(finite.max().item()), abs(finite.min().item())) >= EXACT


def _number(value: int | float) -> bytes:
    """One text for 1, 1.0 and True."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value)).encode()
    if value == int(value):
        number = int(value)
        return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return b"." + struct.pack(">d", value)


def _part(kind: bytes, content: bytes) -> bytes:
    return b"%s %d:%s;" % (kind, len(content), content)
