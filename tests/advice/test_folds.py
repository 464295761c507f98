"""Folds: every row is judged once, and never by a fit that saw it or its cluster."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.advice.folds import UNUSED, folds_of, training_rows

sizes = st.integers(10, 80)
seeds = st.integers(0, 99)


@settings(deadline=None)
@given(n=sizes, folds=st.integers(2, 5), seed=seeds)
def test_rows_are_spread_evenly_and_each_is_judged_by_the_others(n, folds, seed):
    fold = folds_of(n, folds, np.random.default_rng(seed))
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for k in range(folds):
        rows = training_rows(fold, k)
        assert not (rows & (fold == k)).any() and (rows | (fold == k)).all()


@settings(deadline=None)
@given(n=sizes, folds=st.integers(2, 4), seed=seeds, data=st.data())
def test_a_cluster_is_never_on_both_sides(n, folds, seed, data):
    names = data.draw(st.lists(st.integers(0, n // 4), min_size=n, max_size=n))
    cluster = np.unique(names, return_inverse=True)[1]
    fold = folds_of(n, folds, np.random.default_rng(seed), cluster)
    for k in np.unique(fold):
        rows = training_rows(fold, k, cluster)
        assert not set(cluster[rows]) & set(cluster[fold == k])
        assert not (rows & (fold == k)).any()


@settings(deadline=None)
@given(n=sizes, folds=st.integers(2, 5), seed=seeds, data=st.data())
def test_forward_folds_learn_from_the_past_alone(n, folds, seed, data):
    time = np.array(data.draw(st.lists(st.integers(0, 30), min_size=n, max_size=n)))
    cluster = data.draw(st.sampled_from([None, np.arange(n) % 5]))
    fold = folds_of(n, folds, np.random.default_rng(seed), cluster, time)
    assert fold.min() == UNUSED and fold.max() < folds
    for k in np.unique(fold[fold >= 0]):
        rows = training_rows(fold, k, cluster, forward=True)
        here = fold == k
        assert not rows.any() or time[rows].max() < time[here].min()
        if cluster is not None:
            assert not set(cluster[rows]) & set(cluster[here])


def test_forward_folds_of_twelve_rows():
    fold = folds_of(12, 5, np.random.default_rng(0), time=np.arange(12)[::-1])
    assert fold.tolist() == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0, UNUSED, UNUSED]
    assert training_rows(fold, 1, forward=True).tolist() == 8 * [False] + 4 * [True]


@pytest.mark.parametrize("sizes", [[50, 20, 10, 10, 10], [30, 30, 20, 20]])
def test_clusters_of_any_size_fill_the_folds_evenly(sizes):
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    fold = folds_of(len(cluster), 2, np.random.default_rng(0), cluster)
    assert np.bincount(fold).tolist() == [50, 50]
