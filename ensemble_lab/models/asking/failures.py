"""Failed calls: counted while others continue, and raised at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ensemble_lab.core.errors import excerpt, shown

MOST_IN_A_ROW = 10  # after which a model is not asked any more


class Failures:
    """Errors by model.

    Parameters
    ----------
    models : iterable of str
    """

    def __init__(self, models: Iterable[str]):
        self._first: tuple | None = None  # item, model and error
        names = list(models)
        self._all, self._row, self._left = (dict.fromkeys(names, 0) for _ in range(3))

    def __len__(self) -> int:
        return sum(self._all.values())

    def note(self, item, name: str, error: Exception) -> None:
        """A call failed."""
        self._all[name] += 1
        self._row[name] += 1
        self._first = self._first or (item, name, error)

    def worked(self, name: str) -> None:
        """A call did not fail."""
        self._row[name] = 0

    def gives_up(self, name: str) -> bool:
        """Whether a model is no longer asked; counts the calls that are left out."""
        gives_up = self.given_up(name)
        self._left[name] += gives_up
        return gives_up

    def given_up(self, name: str) -> bool:
        """Whether a model is no longer asked."""
        return self._row[name] >= MOST_IN_A_ROW

    def raise_first(self, path: Path) -> None:
        """Raise the first failure, if any, with notes on where it was and on the others.

        In a notebook it looks like an error raised at once, which an exception group would not.
        """
        if self._first is None:
            return
        item, name, error = self._first
        error.add_note(failed_on(item, name, path))
        if len(self) > 1:
            count = [f"{shown(name, 40)} {number}" for name, number in self._all.items() if number]
            error.add_note(
                f"{len(self)} replies failed, of model {excerpt(', '.join(count))}; record again to"
                " ask again"
            )
        for name, left in self._left.items():
            if left:
                error.add_note(
                    f"model {shown(name, 40)} failed {MOST_IN_A_ROW} times in a row, and was not"
                    f" asked about {left} more"
                )
        raise error


def failed_on(item, name: str, path: Path) -> str:
    """The note of an error with its model and item."""
    kept = shown(str(path), 120)
    return f"model {shown(name, 40)} failed on item {shown(item)}; {kept} keeps the rest"
