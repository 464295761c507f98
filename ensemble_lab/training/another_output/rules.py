"""What the next generation learns from: only the last one's output, all so far, or real data."""

from __future__ import annotations

from numbers import Integral, Real

from ensemble_lab.core.errors import shown

REPLACE, ACCUMULATE = "replace", "accumulate"
MOST = 10**8  # numbers in one array: 0.8 GB


def parts_of(keep, samples: int) -> tuple[int, int]:
    """How many of a generation's samples the last model writes, and how many are real.

    Parameters
    ----------
    keep : {"replace", "accumulate"} or float
        The share of real data in each generation, in [0, 1]; "replace" is a share of 0, and so is
        "accumulate", whose old samples are kept beside the new ones.
    samples : int

    Raises
    ------
    ValueError
        Another rule, a share outside [0, 1], or a share that is not one whole sample.
    """
    if keep in (REPLACE, ACCUMULATE) and isinstance(keep, str):
        return samples, 0
    if isinstance(keep, bool) or not isinstance(keep, Real) or not 0 <= keep <= 1:
        raise ValueError(
            f"keep={shown(keep)}: use 'replace', 'accumulate', or the share of real data in [0, 1]"
        )
    real = round(keep * samples)
    if keep > 0 and not real:
        raise ValueError(
            f"keep={shown(keep)} of {samples} samples is not one real sample: use {1 / samples:.2g}"
            " or more, or 'replace'"
        )
    return samples - real, real


def check_room(numbers: int, fix: str) -> None:
    """Refuse arrays that would fill the memory; `fix` says what to do instead."""
    if numbers > MOST:
        raise ValueError(f"this needs an array of {numbers:,} numbers, more than {MOST:,}: {fix}")


def count(value, what: str, least: int = 1) -> int:
    """A whole number from `least` up."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{what}={shown(value)}: use a whole number from {least} up")
    return int(value)
