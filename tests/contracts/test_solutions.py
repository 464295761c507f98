"""Tables of solutions and tests in any form that people bring, and what is none.

What is refused here was reported of other tools: fewer samples than k counted as solved (MultiPL-E
40, human-eval 13), problems without samples (evalplus 24), samples without a number (bigcodebench
47), codes of a judge in place of bits (CodeEditorBench 7), counts of problems in place of counts
of samples (aprender 2118), a share read as yes or no (deepeval 2967), tests that were never run so
that all pass (human-eval 16), tests that end too late (FastEval 24), words such as "timeout" in
place of bits (evalplus 95). Scores may be raw logits (LlamaFactory 3889), and a tie is no reason to
take the first (patina 138).
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts.registry import collected, contract, refused

PASSES, PROBLEM, CORRECT = [[1, 0, 1], [0, 0, 1]], [0, 1], [[1, 0, 1], [0, 0, 0]]


def made(**changes):
    return lab.Solutions(**{"passes": PASSES, "problem": PROBLEM, "correct": CORRECT} | changes)


@contract("Solutions")
@pytest.mark.parametrize("dress", [
    np.array, list, tuple, lambda x: np.array(x, float), lambda x: np.array(x, bool),
    lambda x: np.array(x, object), lambda x: pd.DataFrame(x) if np.ndim(x) == 2 else pd.Series(x),
    lambda x: np.asfortranarray(x), lambda x: np.ma.masked_array(x),
])  # fmt: skip
def test_bits_are_read_from_anything_that_holds_them(dress):
    bits = lab.Solutions(dress(PASSES), PROBLEM, dress(CORRECT), true=dress([1, 0]))
    assert bits.passes.dtype == bits.correct.dtype == bits.true.dtype == bool
    assert bits.passes.tolist() == [[True, False, True], [False, False, True]]
    assert bits.passed().tolist() == [[1, 0, 1], [0, 0, 1]]


@contract("Solutions")
def test_what_is_no_bit_no_count_and_no_shape_is_refused():
    no_bits = ["pass", None, 3, [1, 0], [[1, 0], [1]], [[1, 2, 0]] * 2, [[1, math.nan, 0]] * 2,
               [["passed", "failed", "timed out"]] * 2, [[1, None, 0]] * 2, [[0.5, 1, 0]] * 2,
               [[10, 14, 4]] * 2, {"a": 1}, [[1j, 0, 1]] * 2,
               np.ma.masked_array(PASSES, True)]  # fmt: skip
    no_codes = [None, "ab", [0, 2], [0, -1], [0.5, 1], [0], [[0, 1]], ["0", "1"], [math.nan, 0]]
    collected(
        {f"passes {x!r}": lambda x=x: made(passes=x) for x in no_bits}
        | {f"correct {x!r}": lambda x=x: made(correct=x) for x in no_bits if x is not None}
        | {f"problem {x!r}": lambda x=x: made(problem=x) for x in no_codes}
        | {f"times {x!r}": lambda x=x: made(times=x) for x in ([1, 0], [1], [1.5, 1], "ab")}
        | {f"text {x!r}": lambda x=x: made(text=x) for x in ([[0, 1]], "ab", [["a"] * 3] * 2)}
        | {f"true {x!r}": lambda x=x: made(true=x) for x in ([1], [2, 0], "ab", [None, 1])}
        | {f"names {x!r}": lambda x=x: made(problems=x) for x in (["a"], ["a", "a"], "ab", 3)}
        | {"nothing": lambda: lab.Solutions([[1]], [0]),
           "no problem": lambda: lab.Solutions(np.empty((0, 3)), [], np.empty((0, 3))),
           "no solution": lambda: lab.Solutions(np.empty((0, 0)), [], np.empty((2, 0)))}
    )  # fmt: skip
    with pytest.raises(ValueError, match="'timed out'; give 1 .* also 0 for what did not end"):
        made(passes=[["timed out", "failed", "passed"]] * 2)


@contract("Solutions")
def test_a_table_without_tests_is_chance_and_names_in_an_index_are_asked_about():
    bits = lab.Solutions(np.empty((0, 3)), [], CORRECT, text=[[0, 1, 2], [5, 5, 5]])
    for rule in (lab.dual_agreement, lab.largest_group, lab.most_frequent_text):
        assert np.allclose(rule(bits), 1 / 3)
    assert bits.only([]).passed().tolist() == [[0, 0, 0]] * 2
    with pytest.raises(ValueError, match=r"names or positions.*\.to_numpy"):
        made(correct=pd.DataFrame(CORRECT, index=["b", "a"]))
    with pytest.raises(ValueError, match=r"names or positions.*\.to_numpy"):
        made(true=pd.Series([1, 0], index=[1, 0]))


def frames():
    solutions = pd.DataFrame(
        {"problem": ["b", "b", "a", "a"], "solution": [0, 1, 1, 0], "correct": [True, False, 1, 0],
         "text": ["x", "x", "y", "x"]}
    )  # fmt: skip
    results = pd.DataFrame(
        {"problem": ["a", "b", "a", "b"], "solution": [0, 1, 1, 0], "test": ["t"] * 4,
         "passed": [0, 1, 1, 0], "times": [2, 1, 2, 1], "true": [True, False, True, False]}
    )  # fmt: skip
    return solutions, results


@contract("Solutions")
@pytest.mark.parametrize(
    "dress",
    [lambda f: f, lambda f: f.convert_dtypes(), lambda f: pl.from_pandas(f.astype({c: str for c in
     f.columns if f[c].dtype == object and c != "correct"})) if "correct" not in f else
     pl.from_pandas(f.assign(correct=f.correct.astype(int))),
     lambda f: pa.table(f.assign(correct=f.correct.astype(bool)) if "correct" in f else f)],
)  # fmt: skip
def test_results_of_a_sandbox_are_put_in_their_places(dress):
    bits = lab.Solutions.from_frames(*map(dress, frames()))
    assert bits.problems.tolist() == ["b", "a"] and bits.problem.tolist() == [1, 0]
    assert bits.passes.tolist() == [[True, False], [False, True]]  # of a: first 1, then 0
    assert bits.correct.tolist() == [[True, False], [True, False]]
    assert bits.text.tolist() == [[0, 0], [1, 0]]
    assert bits.times.tolist() == [2, 1] and bits.true.tolist() == [True, False]


@contract("Solutions")
def test_incomplete_results_are_refused_with_the_place():
    solutions, results = frames()
    from_frames = lab.Solutions.from_frames
    words = results.assign(passed=["pass", "fail", "timeout", "x"])
    collected({
        "no column": lambda: from_frames(solutions.rename(columns={"problem": "task_id"}), results),
        "no passed": lambda: from_frames(solutions, results.drop(columns="passed")),
        "a path": lambda: from_frames("samples.jsonl", results),
        "a list": lambda: from_frames(solutions, [{"problem": 1}]),
        "no rows": lambda: from_frames(solutions.iloc[:0], results.iloc[:0]),
        "empty name": lambda: from_frames(solutions.assign(problem=[None, "b", "a", "a"]), results),
        "gap": lambda: from_frames(solutions, results.assign(passed=[None, 1, 1, 0])),
        "words": lambda: from_frames(solutions, words),
        "other times": lambda: from_frames(solutions, results.assign(times=[2, 1, 3, 1])),
        "correct unknown": lambda: from_frames(solutions.assign(correct=[1, None, 1, 0]), results),
    })  # fmt: skip
    with pytest.raises(ValueError, match=r"twice; number the samples .*cumcount"):
        from_frames(solutions.assign(solution=["pass", "pass", "x", "y"]), results)
    with pytest.raises(ValueError, match=r"'a' has 1 solutions, problem 'b' has 2.*head\(1\)"):
        from_frames(solutions.iloc[:3], results)
    with pytest.raises(ValueError, match="'t' has no result for solution 1 of problem 'a'"):
        from_frames(solutions, results.drop(index=2))
    with pytest.raises(ValueError, match="'t' has two results for solution 0 of problem 'a'"):
        from_frames(solutions, pd.concat([results, results.iloc[:1]]))
    with pytest.raises(ValueError, match="solution 0 of problem 'c', which solutions has not"):
        from_frames(solutions, results.assign(problem=["c", "b", "a", "b"]))


@contract("dual_agreement", "largest_group", "most_frequent_text", "load_solutions")
def test_rules_say_what_they_need():
    bits = made()
    rules = (lab.dual_agreement, lab.largest_group, lab.most_frequent_text, lab.pass_rates)
    collected(
        {f"{rule.__name__} {x!r}": lambda rule=rule, x=x: rule(x)
         for rule in rules for x in (None, PASSES, "humaneval-codegen-16b")}
        | {f"power {x!r}": lambda x=x: lab.dual_agreement(bits, x)
           for x in (-1, math.nan, math.inf, "0.5", None, True)}
        | {"no text": lambda: lab.most_frequent_text(bits),
           "no grades": lambda: made(correct=None, problems=["a", "b"]).accuracy([[1, 0, 0]] * 2),
           "a share": lambda: bits.accuracy(0.5), "words": lambda: bits.accuracy([["a"] * 3] * 2),
           "tests": lambda: bits.only([1]), "tests 2": lambda: bits.only([0, 2])}
        | {f"name {x!r}": lambda x=x: lab.load_solutions(x)
           for x in (None, 7, ["a"], "../curves/vllm-h100")}
    )  # fmt: skip


@contract("best_of_n")
def test_best_of_n_takes_scores_and_no_more_samples_than_there_are():
    score = [[1, 2, 3], [2, 2, 0]]
    wanted = lab.best_of_n(np.array(score, float), 2).tolist()
    for dress in (tuple, np.array, pd.DataFrame, lambda x: np.array(x, np.int8), pl.DataFrame):
        table = (
            dress(score) if dress is not pl.DataFrame else pl.DataFrame(np.array(score)).to_numpy()
        )
        assert lab.best_of_n(table, np.int64(2)).tolist() == wanted
    assert lab.best_of_n([[-math.inf, 1.0]], 2).tolist() == [[0, 1]]  # what no score is known of
    collected(
        {f"score {x!r}": lambda x=x: lab.best_of_n(x, 1) for x in
         ("ab", None, [], [1, 2], [[]], [[1, math.nan]], [["1", "2"]], [[1], [1, 2]], [[1j]])}
        | {f"n {x!r}": lambda x=x: lab.best_of_n(score, x) for x in (0, -1, 4, 2.0, "2", True)}
    )  # fmt: skip
    with pytest.raises(ValueError, match="there are 3 samples, use a whole number from 1 to 3"):
        lab.best_of_n(score, 100)


@contract("best_group")
def test_votes_take_codes_and_finite_weights():
    codes, weight = [[0, 0, 5], [-1, -1, 3]], [[1, 1, 1.5], [2, 1, 1]]
    wanted = [[0.5, 0.5, 0], [1, 0, 0]]
    for dress in (np.array, tuple, pd.DataFrame, lambda x: np.array(x, float)):
        assert lab.best_group(dress(codes), dress(weight)).tolist() == wanted
    big = np.arange(10**6).reshape(1000, 1000)  # every text is different
    assert np.allclose(lab.best_group(big), 1 / 1000)
    collected(
        {f"codes {x!r}": lambda x=x: lab.best_group(x) for x in
         ("ab", None, [], [0, 1], [[]], [["a", "b"]], [[0.5]], [[0], [0, 1]], [[None]],
          [[math.nan]])}
        | {f"weight {x!r}": lambda x=x: lab.best_group(codes, x) for x in
           ("ab", [1, 1, 1], [[1, 1, 1]], [[1, math.nan, 1]] * 2, [[1, math.inf, 1]] * 2,
            [["1", "2", "3"]] * 2, 1.0)}
    )  # fmt: skip


@contract("best_of_n")
@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6), st.integers(1, 6))
def test_only_the_order_of_scores_counts_and_ties_are_shared(score, n):
    n = min(n, len(score))
    found = lab.best_of_n([score], n)
    assert np.allclose(found, lab.best_of_n([[math.exp(5 * one) for one in score]], n))
    assert np.allclose(found, lab.best_of_n([[1e9 * one - 7 for one in score]], n))
    for one in set(score):
        shares = [share for share, other in zip(found[0], score) if other == one]
        assert max(shares) - min(shares) < 1e-12


@contract("verified_best_of_n", "verified_subsets", "verdicts", "pass_rates")
def test_verifiers_take_shares_and_refuse_what_is_none():
    rates = lab.verified_best_of_n([0.0, 0.5, 1.0], 10**6, [[0.0], [1.0]], 0)
    assert rates.tolist() == [[0, 1, 1], [0, 0.5, 1]]
    assert lab.verified_best_of_n(0.5, np.int64(1)) == 0.5
    all_pass = lab.Solutions([[1, 1]], [0], [[1, 1]], true=[1])
    assert lab.pass_rates(all_pass).isna().to_numpy().sum() == 3  # no wrong test, no wrong solution
    no_share = [-0.1, 1.1, math.nan, "0.5", None, 1j, [0.5, 2]]
    collected(
        {f"rate {x!r}": lambda x=x: lab.verified_best_of_n(x, 2) for x in no_share}
        | {f"n {x!r}": lambda x=x: lab.verified_best_of_n(0.5, x)
           for x in (0, -1, 2.0, "2", None, True, math.nan, -math.inf)}
        | {f"f {x!r}": lambda x=x: lab.verified_best_of_n(0.5, 2, x) for x in no_share}
        | {f"g {x!r}": lambda x=x: lab.verdicts([1, 0], 0, x) for x in [*no_share, [0.5, 0.5]]}
        | {f"correct {x!r}": lambda x=x: lab.verdicts(x)
           for x in ("ab", [2], [None], [[1], [1, 0]])}
        | {f"seed {x!r}": lambda x=x: lab.verdicts([1], seed=x) for x in (-1, 0.5, "1", None, True)}
        | {f"subsets {x!r}": lambda x=x: lab.verified_subsets(x, 1)
           for x in ("ab", [1, 0], [[2]], [[None]], [[1], [1, 0]], None)}
        | {f"subsets of {x!r}": lambda x=x: lab.verified_subsets([[1, 0]], x)
           for x in (0, 3, 1.0, "1", None, True)}
        | {f"subsets f {x!r}": lambda x=x: lab.verified_subsets([[1, 0]], 1, x) for x in no_share}
        | {"no true": lambda: lab.pass_rates(made())}
    )  # fmt: skip
    with refused():
        lab.verified_best_of_n([0.1, 0.2], 2, [0.1, 0.2, 0.3])
