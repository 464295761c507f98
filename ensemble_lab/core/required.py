"""Whether what a policy was given are outcomes that hold what it needs."""

from __future__ import annotations

from ensemble_lab.core.errors import shown


def check_outcomes(thing) -> None:
    """Refuse what is no `Outcomes`, such as a data frame or a path.

    Raises
    ------
    TypeError
        What it is, and what makes outcomes of it.
    """
    from ensemble_lab.core.outcomes import Outcomes

    if not isinstance(thing, Outcomes):
        raise TypeError(
            f"a {type(thing).__name__} is no Outcomes; Outcomes.from_frame(frame) makes them of a"
            " data frame, Outcomes.read(path) of a file"
        )


def require(outcomes, name: str, who: str):
    """The field `name` of `outcomes`, or a `ValueError` that says who needs it."""
    check_outcomes(outcomes)
    value = getattr(outcomes, name)
    if value is None:
        raise ValueError(
            f"{who} needs {shown(name)}, which these outcomes do not have"
            f" (they have {', '.join(outcomes.known)}); record it or choose another policy"
        )
    return value
