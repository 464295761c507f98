"""Sampled solutions of programming problems, and which tests each of them passes.

A model writes several solutions of each problem and, asked again, tests for them. The tests are
guesses too: `true` says which of them the reference solution passes.

References
----------
Chen et al., CodeT: code generation with generated tests, ICLR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.answers.committees.bits import bits, whole
from ensemble_lab.catalogue import recorded
from ensemble_lab.core.checks import names_array
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.frozen import Frozen

NOTHING = -1  # the behaviour of a solution that passes no test


@dataclass(frozen=True, eq=False, repr=False)
class Solutions(Frozen):
    """P problems with n solutions each, and the t tests of all problems.

    Parameters
    ----------
    passes : array-like of bits (t, n)
        Whether each solution of its problem passes the test. A test that did not end, or that
        raised an error, is not passed: 0.
    problem : array-like of int (t,)
        The problem of each test, from 0 to P - 1. A problem may have no test.
    correct : array-like of bits (P, n), optional
        Whether each solution is correct by the official tests. No method reads it.
    text : array-like of int (P, n), optional
        Codes that are equal where the texts of two solutions of one problem are equal.
    times : array-like of int (t,), optional
        How often the test was generated; once, if not given.
    true : array-like of bits (t,), optional
        Whether the reference solution passes the test.
    problems : list, optional
        A name for each problem; 0, 1, …, if not given. Needed where `correct` and `text` are not.

    Raises
    ------
    ValueError
        Shapes that do not fit, values that are not bits or whole numbers.

    Examples
    --------
    >>> Solutions(passes=[[1, 1, 0], [0, 1, 0]], problem=[0, 0], correct=[[0, 1, 0]])
    Solutions(1 problems x 3 solutions, 2 tests; 33 % correct)
    """

    passes: np.ndarray
    problem: np.ndarray
    correct: np.ndarray | None = None
    text: np.ndarray | None = None
    times: np.ndarray | None = None
    true: np.ndarray | None = None
    problems: np.ndarray | None = None

    def __post_init__(self):
        passes = bits(self.passes, "passes", 2)
        t, n = passes.shape
        found = {"passes": passes, "problem": whole(self.problem, "problem", (t,), 0)}
        known = [len(x) for x in (self.problems, self.correct, self.text) if hasattr(x, "__len__")]
        if not known:
            raise ValueError(
                "nothing says how many problems there are; give correct, or problems with a name"
                " for each"
            )
        P = known[0]
        if not P or not n:
            raise ValueError(f"there are {P} problems and {n} solutions; give at least one of each")
        if t and found["problem"].max() >= P:
            raise ValueError(
                f"a test is for problem {found['problem'].max()} and there are {P} problems;"
                " number them from 0"
            )
        names = range(P) if self.problems is None else several(self.problems, "problems")
        found["problems"] = names_array(names)
        if len(found["problems"]) != P or len({*map(repr, found["problems"].tolist())}) != P:
            raise ValueError(f"problems={shown(names)}; give each of the {P} problems its own name")
        for name, shape in (("correct", (P, n)), ("true", (t,))):
            if getattr(self, name) is not None:
                found[name] = bits(getattr(self, name), name, len(shape), shape)
        if self.text is not None:
            found["text"] = whole(self.text, "text", (P, n))
        times = np.ones(t, int) if self.times is None else self.times
        found["times"] = whole(times, "times", (t,), 1)
        for name, value in found.items():
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.problems)

    def __repr__(self) -> str:
        said = "" if self.correct is None else f"; {self.correct.mean():.0%} correct"
        size = f"{len(self)} problems x {self.passes.shape[1]} solutions"
        return f"Solutions({size}, {len(self.passes)} tests{said.replace('%', ' %')})"

    @classmethod
    def from_frames(cls, solutions, results) -> Solutions:
        """Read what a sandbox wrote: a row a solution, and a row a solution and test.

        Parameters
        ----------
        solutions : data frame
            Columns ``problem``, ``solution`` and, where known, ``correct`` and ``text``.
        results : data frame
            Columns ``problem``, ``solution``, ``test``, ``passed`` and, where known, ``times`` and
            ``true``. A test has a result for each solution of its problem.

        Raises
        ------
        ValueError
            A missing column, a row that is there twice or not at all, problems with different
            numbers of solutions.
        """
        from ensemble_lab.answers.committees.sandbox import solutions_of

        return cls(**solutions_of(solutions, results))

    def only(self, tests) -> Solutions:
        """The same solutions with some of the tests: `tests` is one bit for each (t,)."""
        keep = bits(tests, "tests", 1, self.problem.shape)
        true = None if self.true is None else self.true[keep]
        return Solutions(
            self.passes[keep],
            self.problem[keep],
            self.correct,
            self.text,
            self.times[keep],
            true,
            self.problems,
        )

    def passed(self, repeats: bool = True) -> np.ndarray:
        """How many tests each solution passes (P, n), a test counted as often as it was generated.

        With `repeats=False` every different test counts once.
        """
        weight = self.times if repeats else np.ones_like(self.times)
        score = np.zeros((len(self), self.passes.shape[1]), int)
        np.add.at(score, self.problem, self.passes * weight[:, None])
        return score

    def behaviour(self) -> np.ndarray:
        """Codes (P, n) that are equal where two solutions of a problem pass the same tests.

        The code is the place of the first such solution; `NOTHING` where no test is passed.
        """
        found = np.full((len(self), self.passes.shape[1]), NOTHING)
        for p in np.unique(self.problem):
            passes = self.passes[self.problem == p]
            first: dict[bytes, int] = {}
            for i, row in enumerate(np.packbits(passes, axis=0).T):  # the tests that i passes
                if row.any():
                    found[p, i] = first.setdefault(row.tobytes(), i)
        return found

    def accuracy(self, chosen) -> np.ndarray:
        """The chance (P,) that the chosen solution is correct.

        Parameters
        ----------
        chosen : array-like (P, n)
            How likely each solution is to be chosen, as `dual_agreement` or `best_of_n` give it.

        Raises
        ------
        ValueError
            No official grades are known, or another shape.
        """
        if self.correct is None:
            raise ValueError("correct is not known here; give Solutions(…, correct=…)")
        chosen = np.asarray(chosen)
        if chosen.shape != self.correct.shape or chosen.dtype.kind not in "biuf":
            raise ValueError(
                f"chosen has shape {chosen.shape}; give one number for each solution,"
                f" {self.correct.shape}"
            )
        return (chosen * self.correct).sum(axis=1)


def load_solutions(name: str = "humaneval-codegen-16b") -> Solutions:
    """Solutions and tests that a model wrote, executed once: from the catalogue.

    ``"humaneval-codegen-16b"`` are CodeT's 164 problems with 100 solutions each by CodeGen-16B
    (MIT). `data/solutions/` has its source, settings and caveats.

    Raises
    ------
    UnknownName
        No such solutions.
    FileNotFoundError, ValueError
        The file is missing or damaged.

    Examples
    --------
    >>> load_solutions()
    Solutions(164 problems x 100 solutions, 8331 tests; 22 % correct)
    """
    rows = recorded("solutions", name, "solutions")
    n = len(rows.text[0])
    tests = rows.times.map(len)

    def unpacked(content, count: int) -> np.ndarray:
        return np.unpackbits(np.frombuffer(content, np.uint8), count=count).astype(bool)

    each = zip(rows.passes, tests, strict=True)
    return Solutions(
        passes=np.concatenate([unpacked(found, n * t).reshape(n, t).T for found, t in each]),
        problem=np.repeat(np.arange(len(rows)), tests),
        correct=np.stack([unpacked(found, n) for found in rows.correct]),
        text=np.stack(rows.text),
        times=np.concatenate(rows.times),
        true=np.concatenate([unpacked(f, t) for f, t in zip(rows.true, tests, strict=True)]),
        problems=rows.problem.tolist(),
    )
