"""Checks that a policy was given outcomes with the fields that it needs."""

from __future__ import annotations

from ensemble_lab.core.errors import shown


def check_outcomes(thing) -> None:
    """Refuse what is not an `Outcomes`, such as a data frame or a path.

    Raises
    ------
    TypeError
        Its type, and how to convert it.
    """
    from ensemble_lab.core.outcomes import Outcomes

    if not isinstance(thing, Outcomes):
        raise TypeError(
            f"Outcomes are needed, not a {type(thing).__name__}; Outcomes.from_frame(frame) makes"
            " them of a data frame, Outcomes.read(path) of a file"
        )


def require(outcomes, name: str, who: str):
    """The field `name` of `outcomes`, or a `ValueError` that names what needs it."""
    check_outcomes(outcomes)
    value = getattr(outcomes, name)
    if value is None:
        raise ValueError(
            f"{who} needs {shown(name)}, which these outcomes do not have"
            f" (they have {', '.join(outcomes.known)}); record it or choose another policy"
        )
    return value
