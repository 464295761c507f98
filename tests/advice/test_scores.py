"""The out-of-fold matrix: equal to a plain loop, and blind to the truth of the rows it judges."""

from dataclasses import replace

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.advice import scores as module
from ensemble_lab.advice.pool import Candidate, candidates
from ensemble_lab.advice.scores import fitted, score
from tests.advice.tables import services

TABLE = services(150)


def scrambled(table, rows, seed):
    """`table` with random grades and truth in `rows`; answers and prices stay."""
    rng = np.random.default_rng(seed)
    correct, truth = table.correct.copy(), table.truth.copy()
    correct[rows] = rng.random((rows.sum(), correct.shape[1])) < 0.5
    truth[rows] = rng.integers(0, len(table.labels), rows.sum())
    return replace(table, correct=correct, truth=truth)


@pytest.mark.parametrize("time", [None, "hour"])
def test_every_candidate_equals_a_loop_over_the_folds(time):
    tried = candidates(TABLE, online=time is not None)
    assert {c.family for c in tried} >= {"single", "vote", "cascade", "selector", "router",
                                         "stacking", "committee"}  # fmt: skip
    found = score(TABLE, tried, time=time, progress=False)
    assert not found.refused and found.names == tuple(c.name for c in tried)
    for j, candidate in enumerate(tried):
        if candidate.family == "online":
            decision = candidate.policy.decide(TABLE)
            rows = found.fold >= 0
            assert np.array_equal(found.correct[rows, j], decision.correct[rows])
            continue
        for k in range(5):
            here = found.fold == k
            rest = (found.fold < k) if time else (found.fold != k)
            decision = fitted(candidate.policy, TABLE.take(rest)).decide(TABLE.take(here))
            assert np.array_equal(found.correct[here, j], decision.correct.astype("f4"))
            assert np.array_equal(found.cost[here, j], decision.cost.astype("f4"))
            assert np.array_equal(found.latency[here, j], decision.latency.astype("f4"))
    assert np.isnan(found.correct[found.fold < 0]).all()


def test_no_row_is_read_for_truth_outside_its_fold(monkeypatch):
    """What a candidate decides on a fold is the same whatever the truth of that fold is."""
    decided = {}

    def spy(found, rows, decision):
        decided.setdefault(current, []).append((rows, decision.chosen, decision.called))
        return store(found, rows, decision)

    store = module._store
    monkeypatch.setattr(module, "_store", spy)
    current = "before"
    fold = score(TABLE, candidates(TABLE), progress=False).fold
    for k in range(5):
        current = k
        changed = scrambled(TABLE, fold == k, k)
        assert candidates(changed) == candidates(TABLE)
        score(changed, candidates(changed), progress=False)
        same = [i for i, (rows, *_) in enumerate(decided[k]) if (fold[rows] == k).all()]
        assert len(same) == len(decided[k]) // 5
        for i in same:
            for before, after in zip(decided["before"][i], decided[k][i]):
                assert np.array_equal(before, after)
        other = [i for i in range(len(decided[k])) if i not in same]
        assert any(not np.array_equal(decided["before"][i][1], decided[k][i][1]) for i in other)


def test_rows_of_one_cluster_are_judged_together():
    found = score(TABLE, candidates(TABLE)[:3], cluster=np.arange(150) // 10, progress=False)
    assert all(len(set(found.fold[10 * g : 10 * g + 10])) == 1 for g in range(15))
    assert np.array_equal(found.cluster, np.arange(150) // 10)


class Stops(lab.Cascade):
    """A policy during whose fit Ctrl-C is pressed."""

    def fit(self, outcomes):
        raise KeyboardInterrupt


def test_ctrl_c_keeps_what_is_done():
    tried = list(candidates(TABLE))
    tried.insert(5, Candidate("stops", "cascade", Stops(("small",))))
    found = score(TABLE, tried, progress=False)
    assert found.stopped and found.names == tuple(c.name for c in tried[:5])
    assert "stopped early" in repr(found)
    with pytest.raises(KeyboardInterrupt):
        score(TABLE, tried[5:], progress=False)


def test_a_candidate_that_cannot_be_fitted_is_named_with_its_reason():
    tried = [*candidates(TABLE), Candidate("too cheap", "cascade", lab.BudgetCascade(0.01))]
    found = score(TABLE, tried, progress=False)
    assert list(found.refused) == ["too cheap"] and "cheapest" in found.refused["too cheap"]
    with pytest.raises(ValueError, match="no candidate can be judged here; 'too cheap'"):
        score(TABLE, tried[-1:], progress=False)
    with pytest.raises(ValueError, match="two candidates are called 'small'"):
        score(TABLE, [*tried, tried[0]], progress=False)


@pytest.mark.parametrize("folds", [1, 0, 2.5, "5", True, 101])
def test_folds_that_are_no_number_of_folds_are_refused(folds):
    with pytest.raises(ValueError, match="give a whole number from 2 to 75"):
        score(TABLE, candidates(TABLE), folds, progress=False)


def test_a_fit_reads_at_most_so_many_rows(monkeypatch):
    seen = []

    class Counts(lab.Cascade):
        def fit(self, outcomes):
            seen.append(len(outcomes))
            return self

    score(TABLE, [Candidate("c", "cascade", Counts(("small",)))], most_fitted=50, progress=False)
    assert seen == [50] * 5
