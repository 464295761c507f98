"""Committees: every rule over samples is that of a plain loop; what is wrong is refused.

What people bring is taken from reports on peers: k above the samples (human-eval #35, MultiPL-E
#40), counts of problems for counts of samples (aprender #2118), no readable answer in any sample
(openai/evals #1757), ties (eureka-ml-insights #81, crowd-kit #108), 0.5 beside 1/2 (deepconf #15),
whole numbers of numpy that overflow in comb (scipy #3146, #5529), raw scores of reward models
(LLaMA-Factory #2499), judges that always say the same (scikit-learn #9624, nltk #2940), missing
verdicts (dkpro-statistics #6), NaN in a swapped verdict (JudgeArena #4).
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.contracts import plain
from tests.contracts.compare import close
from tests.contracts.hostile import examples, tables
from tests.contracts.objects import held
from tests.contracts.registry import collected, contract, quiet, refused
from tests.contracts.test_policies import brought, check_decision

NO_COUNT = [-1, 1.5, True, "2", None, [2], math.nan, math.inf, 1j]
FORMS = {
    "tuple": tuple,
    "array": np.array,
    "tensor": torch.tensor,
    "Series": lambda values: pd.Series(values, index=range(9, 9 - len(values), -1)),
    "polars": pl.Series,
}


def votes_of(table, item, members) -> list[tuple]:
    """(answer, votes) of the members, the most votes first and of equals the one given first."""
    said = [table.said(item, name) for name in members]
    found: list[list] = []
    for answer in said:
        if answer is None:
            continue
        mine = next((one for one in found if plain.same(one[0], answer)), None)
        if mine is None:
            found.append([answer, 1])
        else:
            mine[1] += 1
    return sorted(map(tuple, found), key=lambda one: -one[1])


def plurality(table, item, members, waves) -> plain.Fate:
    votes = votes_of(table, item, members)
    if not votes:
        return plain.Fate(plain.unread(table, item, members), None, waves)
    first = next(name for name in members
                 if table.said(item, name) is not None
                 and plain.same(table.said(item, name), votes[0][0]))  # fmt: skip
    return plain.Fate(first, table.said(item, first), waves)


def drawn(table, data, tmp_path_factory):
    outcomes, told, text = brought(table, data, tmp_path_factory.mktemp("t"))
    members = data.draw(st.permutations(told.models), label="members")
    members = members[: data.draw(st.integers(1, len(members)))]
    return outcomes, told, text, members, held(data.draw, [str(name) for name in members])


@contract("AdaptiveConsistency")
@examples(60)
@given(table=tables(answers=True, measures=("cost", "latency")), data=st.data())
def test_adaptive_stopping_is_that_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, text, members, named = drawn(table, data, tmp_path_factory)
    threshold = data.draw(st.sampled_from([0.5, 0.75, 0.8, 0.9375, 0.95, 1.0, 1]))
    with quiet():
        decision = lab.AdaptiveConsistency(named, threshold=threshold).decide(outcomes)

    def loop(item):
        for asked in range(1, len(members) + 1):
            votes = [count for _, count in votes_of(told, item, members[:asked])] + [0, 0]
            a, b = votes[:2]
            chance = Fraction(sum(math.comb(a + b + 1, i) for i in range(a + 1)), 2 ** (a + b + 1))
            if a and chance >= Fraction(threshold):
                break
        waves = [[name] for name in members[:asked]]
        return plurality(told, item, members[:asked], waves)

    check_decision(decision, outcomes, told, plain.replay(told, loop), text)


@contract("EarlyStopping")
@examples(60)
@given(table=tables(answers=True, measures=("cost", "latency")), data=st.data())
def test_early_stopping_is_that_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, text, members, named = drawn(table, data, tmp_path_factory)
    window = data.draw(st.integers(1, 4))
    with quiet():
        decision = lab.EarlyStopping(named, window=window).decide(outcomes)

    def loop(item):
        waves = []
        for start in range(0, len(members), window):
            waves.append(members[start : start + window])
            votes = votes_of(told, item, waves[-1])
            if votes and votes[0][1] == len(waves[-1]):
                break
        return plurality(told, item, [name for wave in waves for name in wave], waves)

    check_decision(decision, outcomes, told, plain.replay(told, loop), text)


@contract("BestOfN", "WeightedBestOfN")
@examples(60)
@given(
    table=tables(answers=True, measures=("confidence", "confidence", "cost", "latency")),
    data=st.data(),
)
def test_the_best_of_n_is_that_of_a_loop(table, data, tmp_path_factory):
    outcomes, told, text, members, named = drawn(table, data, tmp_path_factory)
    assume(told.has("confidence"))
    kind = data.draw(st.sampled_from([lab.BestOfN, lab.WeightedBestOfN]))
    with quiet():
        decision = kind(named).decide(outcomes)

    def loop(item):
        read = [name for name in members if told.said(item, name) is not None]
        score = {name: told.measure("confidence", item, name) for name in read}
        if not read:
            return plain.Fate(plain.unread(told, item, members), None, [members])
        if kind is lab.BestOfN:
            known = [name for name in read if score[name] is not None]
            best = max(known, key=lambda name: score[name]) if known else read[0]  # first of equals
            return plain.Fate(best, told.said(item, best), [members])
        total = [
            sum(score[n] or 0 for n in read
                if plain.same(told.said(item, n), told.said(item, name)))
            for name in read
        ]  # fmt: skip
        if not max(total) > 0:
            return plain.Fate(None, None, [members])
        place = plain.first_best(total)
        return plain.Fate(read[place], told.said(item, read[place]), [members])

    check_decision(decision, outcomes, told, plain.replay(told, loop), text)


@contract("ChainEnsemble")
@examples(40)
@given(table=tables(answers=True, measures=("confidence", "cost", "latency")), data=st.data())
def test_a_chain_is_that_of_a_loop(table, data, tmp_path_factory):
    """With quantiles given: a rank is where the confidence lies between them."""
    outcomes, told, text, members, named = drawn(table, data, tmp_path_factory)
    assume(told.has("confidence"))
    keep = tuple(data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])) for _ in members[1:])
    grid = (0.0, 0.25, 1.0)
    with quiet():
        chain = lab.ChainEnsemble(named, keep, tuple(grid for _ in members))
        decision = chain.decide(outcomes)

    def rank(item, name):
        sure = told.measure("confidence", item, name)
        return None if sure is None else float(np.interp(float(sure), grid, (0, 0.5, 1)))

    def loop(item):
        best, highest, waves = None, None, []
        for place, name in enumerate(members):
            waves.append([name])
            if told.said(item, name) is None:
                continue
            mine = rank(item, name)
            if mine is None:
                best = name if highest is None else best
                continue
            if highest is None or mine >= highest:
                best, highest = name, mine
            if place < len(keep) and mine >= 1 - keep[place]:
                break
        if best is None:
            asked = [name for wave in waves for name in wave]
            return plain.Fate(plain.unread(told, item, asked), None, waves)
        return plain.Fate(best, told.said(item, best), waves)

    check_decision(decision, outcomes, told, plain.replay(told, loop), text)


def samples(**more) -> lab.Outcomes:
    given = {
        "models": ["a", "b", "c"], "items": [0, 1], "correct": [[1, 1, 0], [0, 0, 1]],
        "answer": [[0, 0, 1], [1, 1, 0]], "labels": ["8", "9"],
        "confidence": [[0.9, 0.5, 0.1], [0.2, 0.2, 0.8]],
    }  # fmt: skip
    return lab.Outcomes(**given | more)


def test_settings_that_are_none_are_refused():
    raw = samples(confidence=[[-2.5, -1.0, -9.0]] * 2)
    endless = samples(confidence=[[math.inf, 0, 0]] * 2)
    unscored = samples(confidence=None)
    silent = samples(answer=None, labels=())
    kinds = [lab.AdaptiveConsistency, lab.EarlyStopping, lab.BestOfN, lab.WeightedBestOfN]
    collected(
        {f"{kind.__name__} {order!r}": lambda kind=kind, order=order: kind(order)
         for kind in kinds for order in ("abc", (), ("a", "a"), {"a": 1}, {"a"}, 3, [1])}
        | {f"{kind.__name__} unknown": lambda kind=kind: kind(("a", "x")).decide(samples())
           for kind in kinds}
        | {f"{kind.__name__} silent": lambda kind=kind: kind().decide(silent) for kind in kinds}
        | {f"threshold {v!r}": lambda v=v: lab.AdaptiveConsistency(threshold=v)
           for v in (0.4, 95, "0.95", None, math.nan, [0.9])}
        | {f"window {v!r}": lambda v=v: lab.EarlyStopping(window=v) for v in [0, *NO_COUNT]}
        | {f"{kind.__name__} {name}": lambda kind=kind, table=table: kind().decide(table)
           for kind in kinds[2:] for name, table in (("endless", endless), ("bare", unscored))}
        | {"negative weights": lambda: lab.WeightedBestOfN().decide(raw)}
        | {f"keep {v!r}": lambda v=v: lab.ChainEnsemble(("a", "b"), v)
           for v in ((), (0.5, 0.5), 0.5, (2,), ("a",), (math.nan,))}
        | {"a chain that is not fitted": lambda: lab.ChainEnsemble(("a", "b")).decide(samples()),
           "a chain without confidences": lambda: lab.ChainEnsemble(("a", "b")).fit(unscored),
           "a link without one": lambda: lab.ChainEnsemble(("a", "b")).fit(
               samples(confidence=[[math.nan, 1, 1]] * 2)),
           "a chain of a frame": lambda: lab.ChainEnsemble(("a", "b")).fit(pd.DataFrame())}
    )  # fmt: skip
    assert lab.BestOfN().decide(raw).answers == ["8", "9"]  # on any scale


def test_no_readable_answer_in_any_sample_is_wrong_and_no_crash():
    table = samples(answer=[[-2, -2, -2], [1, 1, 0]], correct=[[0, 0, 0], [0, 0, 1]])
    for policy in (lab.AdaptiveConsistency(), lab.EarlyStopping(window=2), lab.BestOfN(),
                   lab.WeightedBestOfN()):  # fmt: skip
        decision = policy.decide(table)
        assert decision.answers[0] is None and decision.correct[0] == 0
        assert not decision.abstained[0] and decision.called[0].all()


def test_equal_numbers_are_one_answer_and_words_keep_their_spelling():
    """A table reads 8 and 8.0 as one answer, also as texts; "8 ducks" is another."""
    said = {2: [[8, 8.0, 7], ["8", "8.0", "7"]], 3: [["8 ducks", "8", "8"], ["yes", "Yes", "yes"]]}
    for asked, ways in said.items():
        for way in ways:
            answers = pd.Series(way, dtype=object)
            frame = pd.DataFrame({"item": 0, "model": [*"abc"], "answer": answers, "truth": way[0]})
            with quiet():
                table = lab.Outcomes.from_frame(frame)
            assert lab.AdaptiveConsistency(threshold=0.8).decide(table).called.sum() == asked


@contract("stopping_table")
def test_a_stopping_table_takes_numbers_and_nothing_else():
    wanted = lab.stopping_table(0.875, 3)
    assert wanted.tolist() == [2, 4, 6, 7]
    for threshold in (np.float64(0.875), np.float32(0.875), Fraction(7, 8)):
        assert (lab.stopping_table(threshold, np.int64(3)) == wanted).all()
    collected(
        {f"threshold {v!r}": lambda v=v: lab.stopping_table(v)
         for v in (0.4, 1, 1.0, 95, "0.95", None, True, [0.9], math.nan, 1j)}
        | {f"most {v!r}": lambda v=v: lab.stopping_table(0.9, v) for v in [10**6, *NO_COUNT]}
    )  # fmt: skip


@contract("replay_stopping")
def test_replays_take_outcomes_with_answers():
    found = lab.replay_stopping(samples(), np.float32(0.875), np.int64(4), seed=1)
    assert found.asked.shape == found.correct.shape == found.same.shape == (4, 2)
    assert "np." not in repr(found) and "4 orders of 2 items" in repr(found)
    unknown = lab.replay_stopping(samples(correct=np.full((2, 3), np.nan)), orders=2)
    assert np.isnan(unknown.correct).all() and "nan" in repr(unknown)
    collected(
        {f"orders {v!r}": lambda v=v: lab.replay_stopping(samples(), orders=v)
         for v in [0, 10**6, *NO_COUNT]}
        | {f"threshold {v!r}": lambda v=v: lab.replay_stopping(samples(), v)
           for v in (0.4, 95, "0.9", None, math.nan)}
        | {f"seed {v!r}": lambda v=v: lab.replay_stopping(samples(), seed=v)
           for v in (-1, 0.5, "1", None)}
        | {"a frame": lambda: lab.replay_stopping(pd.DataFrame()),
           "silent": lambda: lab.replay_stopping(samples(answer=None, labels=()))}
    )  # fmt: skip


@contract("replay_calls")
def test_calls_are_replayed_on_outcomes_with_answers():
    wanted = lab.replay_calls(samples(), [1, 3], 4, seed=1)
    assert wanted.shape == (4, 2, 2)
    for name, form in FORMS.items():
        assert (lab.replay_calls(samples(), form([1, 3]), np.int64(4), seed=1) == wanted).all(), (
            name
        )
    whole = lab.MajorityVote().decide(samples()).correct
    np.testing.assert_array_equal(wanted[:, 1], np.broadcast_to(whole, (4, 2)))
    assert lab.replay_calls(samples(), [50], 2, again=True).shape == (2, 1, 2)
    collected(
        {f"calls {v!r}": lambda v=v: lab.replay_calls(samples(), [v]) for v in [0, 4, *NO_COUNT]}
        | {f"draws {v!r}": lambda v=v: lab.replay_calls(samples(), [1], v)
           for v in [0, 10**6, *NO_COUNT]}
        | {f"calls as {v!r}": lambda v=v: lab.replay_calls(samples(), v)
           for v in (3, "3", [], {1: 1}, {1}, None)}
        | {f"seed {v!r}": lambda v=v: lab.replay_calls(samples(), [1], seed=v) for v in (-1, 0.5)}
        | {"a frame": lambda: lab.replay_calls(pd.DataFrame(), [1]),
           "silent": lambda: lab.replay_calls(samples(answer=None, labels=()), [1])}
    )  # fmt: skip


@contract("expected_samples")
def test_expected_samples_take_a_distribution():
    wanted = lab.expected_samples([0.5, 0.25, 0.25], 2, 7)
    for name, form in FORMS.items():
        assert close(lab.expected_samples(form([0.5, 0.25, 0.25]), np.int64(2), np.int64(7)),
                     Fraction(wanted)), name  # fmt: skip
    assert lab.expected_samples([1.0], 3, 9) == 3
    assert lab.expected_samples([1.0, 0.0], 5, 3) == 3  # the only window is cut short
    collected(
        {f"p {v!r}": lambda v=v: lab.expected_samples(v, 2, 4)
         for v in ([0.5, 0.4], [1.5, -0.5], [], [[1.0]], "1", None, [math.nan, 1], ["a"], 1.0,
                   [50, 50])}
        | {f"window {v!r}": lambda v=v: lab.expected_samples([1.0], v, 4) for v in [0, *NO_COUNT]}
        | {f"most {v!r}": lambda v=v: lab.expected_samples([1.0], 2, v) for v in [0, *NO_COUNT]}
    )  # fmt: skip


@contract("pass_at_k")
def test_pass_at_k_takes_counts_in_any_form():
    n, c, k = [5, 6, 100], [2, 0, 1], [2, 6, 50]
    wanted = [
        1 - Fraction(math.comb(a - b, d), math.comb(a, d)) for a, b, d in zip(n, c, k, strict=True)
    ]
    for name, form in FORMS.items():
        found = lab.pass_at_k(form(n), form(c), form(k))
        assert all(map(close, found, wanted)), name
    assert lab.pass_at_k(np.int8(100), np.int8(50), np.int8(50)) == 1 - 1 / math.comb(100, 50)
    assert lab.pass_at_k(5.0, 2.0, 2.0) == 0.7 and type(lab.pass_at_k(5, 2, 2)) is float
    assert lab.pass_at_k(200, [0, 1, 200], [[1], [200]]).shape == (2, 3)
    assert lab.pass_at_k(1_000_000, 3, 1000) == pytest.approx(0.002997, rel=1e-3)
    bad = [-1, 1.5, True, "2", None, math.nan, math.inf, [[1], [1, 2]], 10**30, 1j]
    collected(
        {f"n {v!r}": lambda v=v: lab.pass_at_k(v, 0, 1) for v in bad}
        | {f"c {v!r}": lambda v=v: lab.pass_at_k(9, v, 1) for v in bad}
        | {f"k {v!r}": lambda v=v: lab.pass_at_k(9, 1, v) for v in [0, *bad]}
        | {"k above n": lambda: lab.pass_at_k(2, 0, 5),
           "c above n": lambda: lab.pass_at_k(2, 3, 1),
           "one problem": lambda: lab.pass_at_k([5, 2], [1, 0], 4),
           "lengths": lambda: lab.pass_at_k([5, 2], [1, 0, 1], 1)}
    )  # fmt: skip
    with refused("k=5"):
        lab.pass_at_k(2, 0, 5)


@contract("vote_curve", "best_calls")
def test_mixes_take_shares():
    given = {"hard": 0.25, "p_easy": 0.75, "p_hard": 0.25}
    wanted = lab.vote_curve([1, 2, 7], **given)
    for name, form in FORMS.items():
        assert np.allclose(lab.vote_curve(form([1, 2, 7]), **given), wanted), name
    for form in (np.float64, np.float32, Fraction):
        same = {key: form(value) for key, value in given.items()}
        assert np.allclose(lab.vote_curve([1, 2, 7], **same), wanted)
        assert lab.best_calls(**same) == lab.best_calls(**given)
    wrong = (-0.1, 1.1, 25, "0.5", None, True, math.nan, [0.5], 1j)
    collected(
        {f"{call.__name__} {key} {v!r}": lambda call=call, key=key, v=v: call(**given | {key: v})
         for call in (lab.best_calls, lambda **g: lab.vote_curve(3, **g)) for key in given
         for v in wrong}
        | {f"calls {v!r}": lambda v=v: lab.vote_curve(v, **given)
           for v in (0, -1, 1.5, "3", None, math.nan)}
    )  # fmt: skip


@contract("kappa", "flipped_verdicts")
@examples(50)
@given(pairs=st.lists(st.tuples(st.sampled_from(["yes", "no", 1, 0, None, 0.5]),
                                st.sampled_from(["yes", "no", 1, 0, math.nan, 0.5])),
                      min_size=1, max_size=12), data=st.data())  # fmt: skip
def test_judges_are_compared_where_both_speak(pairs, data):
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    both = [(a, b) for a, b in pairs if a is not None and b == b]
    if not both:
        with refused("no item in common"):
            lab.kappa(one, other)
        return
    agreed = Fraction(sum(a == b for a, b in both), len(both))
    first, second = Counter(a for a, _ in both), Counter(b for _, b in both)
    chance = sum(Fraction(first[v] * second[v], len(both) ** 2) for v in first)
    found = lab.kappa(tuple(one), iter(other))
    assert math.isnan(found) if chance == 1 else close(found, (agreed - chance) / (1 - chance))
    assert close(lab.flipped_verdicts(one, np.array(other, object)), 1 - agreed)


def test_verdicts_that_cannot_be_compared_are_refused():
    for call in (lab.kappa, lab.flipped_verdicts):
        collected({
            "lengths": lambda call=call: call(["a"], ["a", "b"]),
            "text": lambda call=call: call("ab", "ab"),
            "none": lambda call=call: call([], []),
            "lists": lambda call=call: call([["a"]], [["a"]]),
            "no list": lambda call=call: call(3, 3),
            "mapping": lambda call=call: call({"a": 1}, {"a": 1}),
            "two dimensions": lambda call=call: call(np.ones((2, 2)), np.ones((2, 2))),
        })  # fmt: skip


@contract("verifier_votes")
def test_verifier_votes_are_means_of_what_is_said():
    verdicts = [[[1, 0, math.nan]], [[1, 1, math.nan]], [[math.nan, 0, math.nan]]]
    wanted = [1.0, 1 / 3, math.nan]
    for form in (lambda v: v, np.array, torch.tensor, lambda v: np.array(v, object)):
        np.testing.assert_allclose(lab.verifier_votes(form(verdicts))[0], wanted)
    np.testing.assert_array_equal(lab.verifier_votes(np.array([[[True, False]]])), [[1, 0]])
    collected({
        f"{v!r}": lambda v=v: lab.verifier_votes(v)
        for v in ([1, 0], [[1, 0]], [[[2]]], [[[-1]]], [[["yes"]]], None, "1", [], [[[1], [1, 0]]])
    })  # fmt: skip


def test_pass_at_k_is_the_share_of_all_sets():
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                sets = [any(s) for s in combinations([True] * c + [False] * (n - c), k)]
                assert lab.pass_at_k(n, c, k) == float(Fraction(sum(sets), len(sets)))
