"""The choice and its promise: by hand, by a plain loop, and by many tables with a known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.advice.scores import Scores
from ensemble_lab.advice.selection import choose

#   a b c
SIX = np.array(
    [[1, 1, 1],
     [1, 1, 0],
     [1, 1, 0],
     [0, 1, 0],
     [0, 1, 0],
     [1, 0, 1]], "f4")  # fmt: skip


def scores(correct=SIX, cost=(1, 3, 2), latency=None, fold=None, cluster=None):
    n, c = correct.shape
    return Scores(
        tuple("abcdefghijklmnopqrstuvwxyzABCDEFGH"[:c]), correct.astype("f4"),
        None if cost is None else np.tile(np.array(cost, "f4"), (n, 1)),
        None if latency is None else np.tile(np.array(latency, "f4"), (n, 1)),
        np.arange(n) % 2 if fold is None else fold, cluster,
    )  # fmt: skip


def test_six_rows_by_hand():
    found = choose(scores())
    assert found.chosen == "b" and np.allclose(found.means, [4 / 6, 5 / 6, 2 / 6])
    # Squared distances 5 (1/6)² + (5/6)² = 30/36; one right and one wrong row add 26/36.
    error = (6 / 5 * (30 + 26) / 36) ** 0.5 / 6
    assert found.low[1] == pytest.approx(5 / 6 - 1.96 * error) and found.high[1] == 1
    assert found.mean_cost == (3, 3, 3) and np.isnan(found.mean_latency.value)
    assert choose(scores(), budget=2).chosen == "a"
    assert choose(scores(), budget=2).allowed.tolist() == [True, False, True]
    assert choose(scores(latency=(5, 4, 1)), latency=2).chosen == "c"
    with pytest.raises(ValueError, match="budget of 0.5 USD an item is below the cheapest.*'a' at"):
        choose(scores(), budget=0.5)
    with pytest.raises(ValueError, match="latency of 0.5 seconds .* quickest candidate, 'c' at 1;"):
        choose(scores(latency=(5, 4, 1)), latency=0.5)
    with pytest.raises(ValueError, match="keeps a budget of 2 USD and a latency of 1"):
        choose(scores(latency=(5, 1, 5)), budget=2, latency=1)
    with pytest.raises(ValueError, match="no cost is known"):
        choose(scores(cost=None), budget=2)


def test_of_equal_candidates_the_cheapest_is_chosen_then_the_first():
    same = np.repeat(SIX[:, :1], 3, axis=1)
    assert choose(scores(same, (3, 1, 2))).chosen == "b"
    assert choose(scores(same, (3, 1, 1))).chosen == "b"
    assert choose(scores(same, None)).chosen == "a"


@pytest.mark.parametrize("budget", [None, 2.4])
@pytest.mark.parametrize("risk", [None, 0.05])
def test_the_promise_equals_a_plain_loop(budget, risk):
    rng = np.random.default_rng(3)
    correct = (rng.random((40, 4)) < [0.5, 0.6, 0.7, 0.75]).astype(float)
    cost = rng.random((40, 4)) + [0, 1, 2, 2]
    table = Scores(tuple("abcd"), correct, cost, None, np.arange(40) % 5)
    found = choose(table, budget, risk=risk, draws=200, seed=7)
    limit, z = budget or np.inf, 1.6448536 if risk else 0

    def best(y, spent):
        worth = [
            -np.inf if paid.mean() > limit else own.mean() - z * own.std() / len(own) ** 0.5
            for own, paid in zip(y.T, spent.T)
        ]
        if max(worth) == -np.inf:
            return int(np.argmin(spent.mean(axis=0)))
        return max(range(4), key=lambda j: (round(worth[j], 9), -cost[:, j].mean()))

    left, chosen = [], []
    for weight in np.random.default_rng(7).poisson(1.0, (200, 40)):
        rows = np.repeat(np.arange(40), weight)
        chosen.append(best(correct[rows], cost[rows]))
        left.append(correct[weight == 0, chosen[-1]].mean())
    assert found.chosen == "abcd"[best(correct, cost)]
    assert found.accuracy.value == pytest.approx(np.mean(left))
    assert found.shares.tolist() == [chosen.count(j) / 200 for j in range(4)]
    own = correct[:, "abcd".index(found.chosen)].astype(float)
    added = own.mean() ** 2 + (1 - own.mean()) ** 2
    error = (40 / 39 * (((own - own.mean()) ** 2).sum() + added)) ** 0.5 / 40
    half = 1.96 * np.hypot(error, correct.mean(axis=0)[chosen].std())
    assert found.accuracy.low == pytest.approx(found.accuracy.value - half)
    if budget:
        assert found.mean_cost.value <= budget


def test_rows_of_one_cluster_count_as_one():
    three = np.repeat(SIX, 3, axis=0)
    one = choose(scores(), seed=1)
    many = choose(scores(three, cluster=np.repeat(np.arange(6), 3)), seed=1)
    assert np.allclose(one.accuracy, many.accuracy) and np.allclose(one.low, many.low)
    assert choose(scores(three), seed=1).low[1] > one.low[1] + 0.05


def test_rows_that_no_fold_judges_do_not_count():
    more = np.vstack([np.full((4, 3), np.nan), SIX])
    fold = np.array([-1] * 4 + [0, 1] * 3)
    assert choose(scores(more, fold=fold)).accuracy == choose(scores()).accuracy


def test_blocks_of_rows_add_up(monkeypatch):
    rng = np.random.default_rng(0)
    correct = rng.random((100, 3)) < [0.5, 0.6, 0.65]
    whole = choose(scores(correct), draws=2000)
    monkeypatch.setattr("ensemble_lab.advice.sums.BLOCK", 7)
    parts = choose(scores(correct), draws=2000)
    assert whole.accuracy.value == pytest.approx(parts.accuracy.value, abs=0.005)
    assert np.allclose(whole.shares, parts.shares, atol=0.05) and whole.chosen == parts.chosen


def test_a_risk_prefers_what_is_sure():
    """A mean of .72 with grades of 0 and 1, against .70 in every row."""
    steady = np.full(50, 0.70)
    wild = np.r_[np.ones(36), np.zeros(14)]
    table = scores(np.column_stack([steady, wild]), (1, 1))
    assert choose(table).chosen == "b" and choose(table, risk=0.05).chosen == "a"


def covered(promises, truth):
    return np.mean([low <= truth <= high for _, low, high in promises])


@pytest.mark.parametrize("c", [1, 30])
def test_the_promise_holds_where_that_of_the_winner_fails(c):
    """Equally good candidates: the lead of the best of thirty is luck alone, and must be taken out.

    The planted fault promises what the winner reached on the rows that it was chosen by.
    """
    rng, honest, naive = np.random.default_rng(0), [], []
    for seed in range(100):
        found = choose(scores(rng.random((150, c)) < 0.7, None), draws=300, seed=seed)
        honest.append(found.accuracy)
        best = int(found.means.argmax())
        naive.append((found.means[best], found.low[best], found.high[best]))
    assert covered(honest, 0.7) > 0.9 and abs(np.mean(honest, axis=0)[0] - 0.7) < 0.01
    if c == 30:
        assert covered(naive, 0.7) < 0.6 and np.mean(naive, axis=0)[0] > 0.76


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=20, max_size=60), st.integers(2, 6))
def test_copies_of_a_candidate_promise_what_it_does_alone(right, copies):
    """There is no luck in a choice among equals, and nothing is taken off."""
    own = np.array(right, "f4")[:, None]
    one = choose(scores(own, None), draws=400)
    many = choose(scores(np.repeat(own, copies, axis=1), None), draws=400)
    assert many.accuracy == pytest.approx(one.accuracy) and many.chosen == "a"
    # The mean over 400 draws of the rows left out, a third of all, is near the mean of all.
    assert one.accuracy.value == pytest.approx(own.mean(), abs=5 * (1 / len(own) / 400) ** 0.5)


def test_a_winner_by_far_loses_nothing():
    """Where every bootstrap chooses alike, the promise is the candidate's own mean."""
    rng = np.random.default_rng(2)
    correct = rng.random((400, 5)) < [0.3, 0.3, 0.3, 0.3, 0.9]
    found = choose(scores(correct, None))
    assert found.shares[4] == 1
    assert found.accuracy.value == pytest.approx(found.means[4], abs=0.002)


def by_optimism(correct, draws, rng):
    """The winner's mean less what a winner of a bootstrap loses on all rows (Efron, 1983)."""
    n, means = len(correct), correct.mean(axis=0)
    rows = rng.integers(0, n, (draws, n))
    inside = correct[rows].mean(axis=1)
    winners = inside.argmax(axis=1)
    return means.max() - (inside[np.arange(draws), winners] - means[winners]).mean()


def test_the_optimism_of_a_bootstrap_is_too_small_among_equals():
    """Why the promise is of rows left out: to a bootstrap the candidates are not equal any more, so
    its winner owes less to luck.
    """
    rng, kept, other = np.random.default_rng(4), [], []
    for seed in range(60):
        correct = rng.random((150, 20)) < 0.7
        kept.append(choose(scores(correct, None), draws=300, seed=seed).accuracy.value)
        other.append(by_optimism(correct, 300, rng))
    assert abs(np.mean(kept) - 0.7) < 0.01 and np.mean(other) > 0.71


@pytest.mark.parametrize("draws", [0, -1, 2.5, "9", True])
def test_draws_that_are_no_count_are_refused(draws):
    with pytest.raises(ValueError, match="give a whole number from 1 up"):
        choose(scores(), draws=draws)
