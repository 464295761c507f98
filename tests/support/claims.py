"""What a notebook's prose claims, computed again: no sentence outlives its data."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nbformat
import numpy as np
import pytest

from tests.support.processes import ROOT

IN_BRACES = re.compile(r"\{([^}]*)\}")
FIGURE = re.compile(r"\d[\d,.]*\s?(?:%|per cent|points?\b|USD|times\b)")
CODE = re.compile(r"```.*?```|`[^`]*`|\$\$?[^$]*\$\$?|\]\([^)]*\)", re.DOTALL)


@dataclass(frozen=True)
class Claim:
    """A sentence of a notebook, and how to work out whether it is true.

    Parameters
    ----------
    quote : str
        Words of the prose, each number that is claimed in braces: ``"lifts it to {86.1} %"``.
    compute : callable
        Without arguments, to the numbers in the order of the braces (one, or several); without
        braces, to whether the words are true.
    within : float or sequence of float
        How far each number may be from what is computed. Half of its last digit for what is
        exact, the spread for what is random.
    """

    quote: str
    compute: Callable
    within: float | Sequence[float] = 0.0

    @property
    def words(self) -> str:
        return plain(IN_BRACES.sub(r"\1", self.quote))

    @property
    def numbers(self) -> list[float]:
        return [float(n.replace(",", "").replace("−", "-")) for n in IN_BRACES.findall(self.quote)]

    def check(self, prose: str) -> None:
        """Fail where the notebook does not say so, or says what is not true."""
        assert self.words in prose, f"not in the notebook: {self.words}"
        found = self.compute()
        if not self.numbers:
            assert found is True or found is np.True_, f"{self.words}: {found}"
            return
        found = np.atleast_1d(np.asarray(found, float))
        assert found.shape == (len(self.numbers),), f"{len(self.numbers)} numbers, got {found}"
        off = np.abs(found - self.numbers)
        assert (off <= np.asarray(self.within) + 1e-9).all(), f"{self.words}: computed {found}"


def plain(text: str) -> str:
    """A text in one line."""
    return " ".join(text.split())


def prose(notebook: str) -> str:
    """The words of a notebook, in one line."""
    cells = nbformat.read(ROOT / f"notebooks/{notebook}.ipynb", as_version=4).cells
    return plain("\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))


def claims_hold(notebook: str, claims: Sequence[Claim]) -> Callable:
    """A test of each claim."""

    @pytest.mark.parametrize("claim", claims, ids=lambda claim: claim.words[:60])
    def test(claim):
        claim.check(prose(notebook))

    return test


def figures_are_claimed(notebook: str, claims: Sequence[Claim], given: Sequence[str]) -> Callable:
    """A test that finds each number with %, points, times or USD in a claim.

    `given` are phrases of the prose whose numbers are no finding: a setting, a definition, a part
    of a task. Formulas and code are left out.
    """

    def test():
        text = whole = prose(notebook)
        phrases = [*(claim.words for claim in claims), *map(plain, given)]
        for phrase in sorted(phrases, key=len, reverse=True):
            assert phrase in whole, f"not in the notebook: {phrase}"
            text = text.replace(phrase, "")
        text = CODE.sub("", text)
        left = [text[max(0, m.start() - 50) : m.end() + 20] for m in FIGURE.finditer(text)]
        assert not left, "no claim computes these: " + " | ".join(left)

    return test
