"""Two data frames of a sandbox's results, read as the fields of `Solutions`."""

from __future__ import annotations

import numpy as np

from ensemble_lab.core.errors import nearest, shown
from ensemble_lab.core.reading.frames import columns_of


def solutions_of(solutions, results) -> dict:
    """The fields of `Solutions` from a row a solution and a row a solution and test.

    Raises
    ------
    ValueError
        See `Solutions.from_frames`.
    """
    written = _read(solutions, "solutions", ("problem", "solution"), ("correct", "text"))
    tested = _read(results, "results", ("problem", "solution", "test", "passed"), ("times", "true"))
    rows = _places(written)
    n = _one_number(rows)
    order = [row for its in rows.values() for row in its.values()]
    found = {"problems": list(rows)}
    if "correct" in written:
        found["correct"] = _bare(written["correct"][order]).reshape(len(rows), n)
    if "text" in written:
        codes: dict = {}
        same = [codes.setdefault(text, len(codes)) for text in written["text"][order]]
        found["text"] = np.reshape(same, (len(rows), n))

    place = {problem: {name: i for i, name in enumerate(its)} for problem, its in rows.items()}
    number = {problem: p for p, problem in enumerate(rows)}
    tests: dict = {}  # (problem, test): the rows of `results`, one a solution
    for row, key in enumerate(zip(tested["problem"], tested["test"], strict=True)):
        problem, solution = key[0], tested["solution"][row]
        if solution not in place.get(problem, ()):
            raise ValueError(
                f"results has {_named(problem, solution)}, which solutions has not; add its row"
            )
        its = tests.setdefault(key, [None] * n)
        if its[place[problem][solution]] is not None:
            raise ValueError(f"test {shown(key[1], 40)} has two results for"
                             f" {_named(problem, solution)}; keep one")  # fmt: skip
        its[place[problem][solution]] = row
    for (problem, test), its in tests.items():
        if None in its:
            solution = list(rows[problem])[its.index(None)]
            raise ValueError(
                f"test {shown(test, 40)} has no result for {_named(problem, solution)}; add one,"
                " with passed = 0 where the test did not end"
            )
    all_rows = np.array(list(tests.values()), int).reshape(-1, n)
    found["passes"] = _bare(tested["passed"][all_rows])
    found["problem"] = [number[problem] for problem, _ in tests]
    for name in ("times", "true"):
        if name in tested:
            found[name] = _of_the_test(name, tested[name][all_rows], tests)
    return found


def _read(frame, what: str, needed: tuple, known: tuple) -> dict[str, np.ndarray]:
    """The cells of the columns that are needed, and of others that are there."""
    cells = {str(name): column.cells() for name, column in columns_of(frame)}
    for name in needed:
        if name not in cells:
            hint = nearest(name, cells)
            raise ValueError(f"{what} has no column {shown(name)}{hint}; rename or add it")
        if name != "passed" and any(value is None for value in cells[name]):
            raise ValueError(f"{what} has an empty cell in {shown(name)}; fill it or drop its row")
    return {name: cells[name] for name in (*needed, *known) if name in cells}


def _places(written: dict) -> dict:
    """The row of each solution, by problem and by solution."""
    rows: dict = {}
    for row, problem in enumerate(written["problem"]):
        its, solution = rows.setdefault(problem, {}), written["solution"][row]
        if solution in its:
            raise ValueError(
                f"solutions has {_named(problem, solution)} twice; number the samples of a problem:"
                " frame['solution'] = frame.groupby('problem').cumcount()"
            )
        its[solution] = row
    return rows


def _one_number(rows: dict) -> int:
    """How many solutions each problem has."""
    counts = {problem: len(its) for problem, its in rows.items()}
    if not counts:
        raise ValueError("solutions has no row; give a row for each solution")
    few, many = min(counts, key=counts.get), max(counts, key=counts.get)
    if counts[few] != counts[many]:
        raise ValueError(
            f"problem {shown(few, 40)} has {counts[few]} solutions, problem {shown(many, 40)} has"
            f" {counts[many]}; keep as many of each: frame.groupby('problem').head({counts[few]})"
        )
    return counts[few]


def _of_the_test(name: str, values: np.ndarray, tests: dict) -> np.ndarray:
    """What each test's rows (t, n) say of it, which is the same in each."""
    for (problem, test), row in zip(tests, values, strict=True):
        if any(value != row[0] for value in row):
            raise ValueError(
                f"test {shown(test, 40)} of problem {shown(problem, 40)} has different values of"
                f" {shown(name)}; give it one"
            )
    return _bare(values[:, 0])


def _bare(cells: np.ndarray) -> np.ndarray:
    """Cells as numpy makes them of plain Python values; gaps remain None."""
    return np.array(cells.tolist(), None if cells.size else int)


def _named(problem, solution) -> str:
    return f"solution {shown(solution, 40)} of problem {shown(problem, 40)}"
