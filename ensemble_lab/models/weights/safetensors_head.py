"""The header of a safetensors file, read with care: the file may be untrusted."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ensemble_lab.core.errors import MOST_SHOWN, shown
from ensemble_lab.models.errors import ModelError

T = TypeVar("T")
MOST_HEADER = 100_000_000  # bytes, the limit of safetensors
BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8,
        "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16,
        "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
        "U64": 64}  # fmt: skip


def short(path: Path, most: int = MOST_SHOWN) -> str:
    """A path for a message; only its end if it is long."""
    text = "".join(c if c.isprintable() else "?" for c in str(path))
    return text if len(text) <= most else "…" + text[1 - most :]


def header(path: Path) -> dict[str, int]:
    """The number of values in each tensor of a safetensors file, by name.

    Raises
    ------
    ModelError
        The file is truncated, or is not a safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
            fits = 8 + length <= size and length <= MOST_HEADER
            found = json.loads(file.read(length)) if fits else None
    except (ValueError, RecursionError):
        found = None
    except OSError as error:
        raise ModelError(f"{short(path)} cannot be read ({error.strerror}): fix that") from error
    if not isinstance(found, dict):
        raise ModelError(f"{short(path)} is not a safetensors file or is truncated: fetch it again")
    found.pop("__metadata__", None)
    counts, ends = {}, [0]
    for name, entry in found.items():
        numbers, end = _entry(entry)
        if numbers is None:
            raise ModelError(
                f"{short(path)} is damaged (its header has for {shown(name, 40)}"
                f" {shown(entry, 40)}): fetch it again"
            )
        counts[name] = numbers
        ends.append(end)
    if 8 + length + max(ends) > size:
        raise ModelError(
            f"{short(path)} is truncated ({size} of {8 + length + max(ends)} bytes): fetch it again"
        )
    return counts


def read_saved(
    path: str | Path, framework: str, make: Callable[[dict, dict], T], what: str, by: str
) -> T:
    """The object that `make` builds from a file's tensors and its metadata "about".

    Parameters
    ----------
    path : str or Path
    framework : {"pt", "numpy"}
        The framework of the tensors that `make` takes.
    make : callable
        (tensors by name, about) to the object.
    what, by : str
        The object and the class whose `save` wrote it, for the message.

    Raises
    ------
    ModelError
        The file is damaged, or holds something else.
    """
    from safetensors import safe_open

    path = Path(path)
    header(path)  # before anything is opened
    try:
        with safe_open(path, framework) as file:
            about = json.loads(file.metadata()["about"])
            return make({name: file.get_tensor(name) for name in file.keys()}, about)
    except Exception as error:  # from safetensors, from transformers, or from the file's content
        raise ModelError(
            f"{short(path)} holds no {what} ({type(error).__name__}: {shown(str(error))}): write it"
            f" with {by}.save"
        ) from error


def _entry(entry: Any) -> tuple[int | None, int]:
    """Numbers and last byte of a tensor in a header; None where the entry is damaged."""
    if not isinstance(entry, dict):
        return None, 0
    shape, places, kind = (entry.get(key) for key in ("shape", "data_offsets", "dtype"))
    if not (_counts(shape) and _counts(places) and len(places) == 2 and isinstance(kind, str)):
        return None, 0
    numbers = math.prod(shape)
    begin, end = places
    if kind not in BITS or begin > end or end - begin != -(-numbers * BITS[kind] // 8):
        return None, 0
    return numbers, end


def _counts(values: Any) -> bool:
    """Whether this is a list of a few whole numbers from 0 up."""
    return (
        isinstance(values, list)
        and len(values) <= 64
        and all(type(value) is int and 0 <= value < 2**63 for value in values)
    )
