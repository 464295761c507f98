"""Dual agreement on all of CodeT's problems, beside the algorithm in sets of tests."""

import math
from collections import Counter, defaultdict

import numpy as np

import ensemble_lab as lab
from benchmarks.parts.compare import record, side_by_side

ROUNDS = 9


def codet_agreement(quick):
    """Who is chosen on 164 problems with 100 solutions each; both choose the same."""
    bits = lab.load_solutions()
    ran = executed(bits)
    ours, theirs = lab.dual_agreement(bits), in_sets(ran, len(bits), bits.passes.shape[1])
    timed = side_by_side(
        lambda: lab.dual_agreement(bits),
        lambda: in_sets(ran, len(bits), bits.passes.shape[1]),
        1 if quick else ROUNDS,
    )
    return record(
        "codet-agreement",
        timed.ours,
        timed.peer,
        "s",
        goal="under 1 s for all 164 problems, the same scores as CodeT's algorithm",
        peer_is="CodeT's algorithm in sets of tests, one execution at a time, written for this"
        " comparison; both start from results that were executed before",
        spread=timed.spread,
        largest_difference=float(np.abs(ours - theirs).max()),
        right=float(bits.accuracy(ours).mean()),
    )


def executed(bits):
    """Problem, solution, test and whether it passed, an execution at a time; tests may repeat."""
    return [
        (int(problem), i, test, bool(passed))
        for test, (problem, times) in enumerate(zip(bits.problem, bits.times, strict=True))
        for i, passed in enumerate(bits.passes[test])
        for _ in range(times)
    ]


def in_sets(ran, problems, n):
    """How likely each solution is to be chosen, by groups of equal sets of passed tests."""
    passed = defaultdict(Counter)
    for problem, solution, test, held in ran:
        if held:
            passed[problem, solution][test] += 1
    groups = [defaultdict(list) for _ in range(problems)]
    for (problem, solution), tests in passed.items():
        groups[problem][frozenset(tests.items())].append(solution)
    found = np.zeros((problems, n))
    for problem, its in enumerate(groups):
        scores = {
            tests: math.sqrt(len(members)) * sum(times for _, times in tests)
            for tests, members in its.items()
        }
        top = max(scores.values(), default=0.0)
        best = [
            member
            for tests, members in its.items()
            if scores[tests] >= top * (1 - 1e-9)
            for member in members
        ] or list(range(n))
        found[problem, best] = 1 / len(best)
    return found
