"""A replay over partitions is the decision on all items in one table."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.systems.replaying import partitions
from tests.support.policies import every_policy, learning_policies
from tests.support.strategies import outcomes


def quiet(policy, files, **more):
    return lab.replay(policy, files, progress=False, **more)


def written(table, folder, cuts):
    """The table in files that begin at the places in `cuts`."""
    ends = [0, *sorted({cut for cut in cuts if cut < len(table)}), len(table)]
    files = []
    for number, (start, stop) in enumerate(pairwise(ends)):
        if start < stop:
            part = table.take(np.arange(start, stop))
            files.append(part.to_parquet(folder / f"part-{number:03}.parquet"))
    return files


def check_same(found, decision):
    """Counts and the interval exactly, sums to 12 digits."""
    assert found.items == len(decision) and found.models == decision.models
    assert found.abstained == decision.abstained.sum() and found.coverage == decision.coverage
    assert found.graded == (~np.isnan(decision.correct)).sum()
    assert found.asked == tuple(decision.called.sum(axis=0)) and found.calls == decision.calls
    assert found.known == pytest.approx(decision.known, rel=1e-15)
    fractions = set(decision.correct[~np.isnan(decision.correct)]) - {0.0, 1.0}
    digits = 1e-12 if fractions else 0.0
    for ours, theirs, within in (
        (found.accuracy, decision.accuracy, digits),
        (found.mean_cost, decision.mean_cost, 1e-12),
        (found.mean_latency, decision.mean_latency, 1e-12),
        (found.interval(), decision.interval(), digits),
        (found.interval(0.8), decision.interval(level=0.8), digits),
    ):
        assert ours == pytest.approx(theirs, rel=within, abs=0, nan_ok=True)
    assert (found.cost is None) == (decision.cost is None)
    assert (found.latency is None) == (decision.latency is None)


def usable(table):
    """The same table with distributions and the features that selectors read."""
    n, m, k = len(table), len(table.models), len(table.labels)
    proba = np.random.default_rng(n).dirichlet(np.ones(k), (n, m))
    proba[table.absent] = np.nan
    return replace(table, probability=proba, features={"length": np.arange(n) * 97 % 500})


@settings(max_examples=15)
@given(
    outcomes(min_models=3, max_models=4, labels=3, min_items=2, max_items=12).map(usable),
    st.lists(st.integers(1, 11), max_size=4),
    st.integers(1, 5),
    st.booleans(),
)
def test_every_policy_in_parts_equals_it_in_one(tmp_path_factory, table, cuts, rows, parallel):
    files = written(table, tmp_path_factory.mktemp("parts"), cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "ROWS", rows)
        for policy in every_policy(table.models, table.labels):
            decision = policy.decide(table, parallel=parallel)
            check_same(quiet(policy, files, parallel=parallel), decision)


@pytest.mark.parametrize("rows", [7, 64])
def test_every_fitted_policy_in_parts_equals_it_in_one(tmp_path, monkeypatch, rows):
    table, names = made(200), ("small", "big", "other")
    three = {
        name: np.column_stack([values, values[::-1, 0]])
        for name in ("correct", "answer", "confidence", "cost", "latency")
        if (values := getattr(table, name)) is not None
    }
    proba = np.concatenate([table.probability, table.probability[:, :1]], axis=1)
    groups = np.random.default_rng(2).choice(["easy", "hard"], 200).tolist()
    features = {**table.features, "embedding:0": np.random.default_rng(3).random(200)}
    table = replace(
        table, models=names, probability=proba, group=groups, features=features, **three
    )
    files = written(table, tmp_path, [1, len(table) // 3, len(table) // 2])
    monkeypatch.setattr(partitions, "ROWS", rows)
    for policy in learning_policies(table.models, budget=4.0):
        fitted = policy.fit(table)
        check_same(quiet(fitted, files), fitted.decide(table))


def made(n=20, seed=0, **more):
    rng = np.random.default_rng(seed)
    answer, truth = rng.integers(0, 3, (n, 2)), rng.integers(0, 3, n)
    parts = {
        "models": ("small", "big"),
        "items": [f"q{seed}-{i}" for i in range(n)],
        "correct": (answer == truth[:, None]).astype(float),
        "answer": answer,
        "labels": ("a", "b", "c"),
        "truth": truth,
        "confidence": rng.random((n, 2)),
        "cost": rng.random((n, 2)),
        "latency": rng.random((n, 2)),
        "probability": rng.dirichlet([1, 1, 1], (n, 2)),
        "features": {"length": rng.integers(1, 500, n)},
    }
    return Outcomes(**parts | more)


def joined(*tables):
    """The tables in one, which have the same models and labels in the same order."""
    names = ("items", "correct", "answer", "truth", "confidence", "cost", "latency", "probability")
    columns = {n: np.concatenate([getattr(t, n) for t in tables]) for n in names}
    features = {"length": np.concatenate([t.features["length"] for t in tables])}
    return replace(tables[0], **columns, features=features)


POLICIES = (
    lab.Cascade(("small", "big"), (0.6,)),
    lab.Cascade(("small", "big"), ({"a": 0.9, "b": 0.5, "c": 0.1},)),
    lab.MajorityVote(),
    lab.MeanVote(),
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_labels_and_models_in_another_order_are_translated(policy, tmp_path):
    one, other = made(), made(seed=1)
    order = [2, 0, 1]  # of the labels
    back = np.argsort(order)
    moved = replace(
        other,
        labels=[other.labels[j] for j in order],
        answer=back[other.answer],
        truth=back[other.truth],
        probability=other.probability[:, :, order],
    ).select(models=("big", "small"))
    one.to_parquet(tmp_path / "1.parquet"), moved.to_parquet(tmp_path / "2.parquet")
    check_same(quiet(policy, tmp_path / "*.parquet"), policy.decide(joined(one, other)))


def test_a_translation_that_is_left_out_is_seen(tmp_path):
    """The test above would fail if codes were read without their labels."""
    one, other = made(), made(seed=1)
    policy = lab.Cascade(("small", "big"), ({"a": 0.9, "b": 0.5, "c": 0.1},))
    wrong = replace(other, labels=("c", "a", "b"))
    one.to_parquet(tmp_path / "1.parquet"), wrong.to_parquet(tmp_path / "2.parquet")
    found = quiet(policy, tmp_path / "*.parquet")
    assert found.asked != tuple(policy.decide(joined(one, other)).called.sum(axis=0))


def test_whole_numbers_and_fractions_of_one_feature_are_one_column(tmp_path):
    one, other = made(), made(seed=1, features={"length": np.arange(20) / 2})
    one.to_parquet(tmp_path / "1.parquet"), other.to_parquet(tmp_path / "2.parquet")
    policy = lab.RandomRouter(seed=3).fit(one)  # hashes the features: 5 and 5.0 differ
    for files in (["1.parquet", "2.parquet"], ["2.parquet", "1.parquet"]):
        found = quiet(policy, [tmp_path / name for name in files])
        check_same(found, policy.decide(joined(one, other)))


def test_groups_that_are_missing_in_a_whole_partition_are_groups(tmp_path):
    """Arrow writes such a column with a type of its own, and one of mixed names as JSON."""
    parts = [made(seed=seed, group=group) for seed, group in enumerate(
        (["easy", "hard"] * 10, [None] * 20, ["easy", None] * 10, ["easy", 7] * 10))]  # fmt: skip
    policy = lab.GroupRouter().fit(parts[0])
    groups = np.concatenate([part.group for part in parts])
    whole = replace(joined(*[replace(part, group=None) for part in parts]), group=groups)
    for number, part in enumerate(parts):
        part.to_parquet(tmp_path / f"{number}.parquet")
    check_same(quiet(policy, tmp_path / "*.parquet"), policy.decide(whole))
    check_same(
        quiet(policy, sorted(tmp_path.glob("*"), reverse=True)),
        policy.decide(whole.take(np.arange(80)[::-1])),
    )


def test_many_small_row_groups_are_read_as_large_batches(tmp_path):
    table = pq.read_table(made(2000).to_parquet(tmp_path / "0.parquet"))
    pq.write_table(table, tmp_path / "1.parquet", row_group_size=2)
    _, (part,) = partitions.partitions(tmp_path / "1.parquet")
    assert [len(one) for one in partitions.batches(part, part.table)] == [2000]


def test_a_case_by_hand(tmp_path):
    table = Outcomes(
        models=["small", "big"],
        items=["a", "b", "c"],
        correct=[[1, 0], [0, 1], [0, np.nan]],
        confidence=[[0.9, 1], [0.2, 1], [0.1, 1]],
        cost=[[1, 10], [1, 10], [1, np.nan]],
    )
    files = written(table, tmp_path, [1])
    found = quiet(lab.Cascade(("small", "big"), (0.5,)), files)
    # Item a stops at small and is right; b goes to big, which is right; big is absent on c.
    assert (found.items, found.partitions, found.asked) == (3, 2, (3, 2))
    assert (found.correct, found.graded) == (2.0, 2)
    assert (found.cost, found.priced) == (12.0, 2) and math.isnan(found.mean_cost)
    assert found.latency is None and math.isnan(found.mean_latency)
    assert "mean cost unknown (known for 2 items)" in repr(found)


def test_sums_keep_twelve_digits_where_a_plain_sum_does_not(tmp_path):
    """Large and tiny costs, in many batches: the exact sum by fractions."""
    from fractions import Fraction

    rng = np.random.default_rng(0)
    n = 4000
    cost = 10.0 ** rng.uniform(-9, 6, (n, 1))
    table = Outcomes(models=["one"], items=range(n), correct=np.ones((n, 1)), cost=cost)
    files = written(table, tmp_path, range(0, n, 400))
    exact = float(sum(Fraction(c) for c in cost[:, 0].tolist()))
    for order in (files, files[::-1]):
        assert quiet(lab.Cascade(("one",)), order).cost == pytest.approx(exact, rel=1e-14)


def test_files_of_a_pattern_and_what_other_tools_leave_beside_them(tmp_path):
    table = made()
    (tmp_path / "a" / "b").mkdir(parents=True)
    table.take(np.arange(8)).to_parquet(tmp_path / "a" / "x.parquet")
    table.take(np.arange(8, 20)).to_parquet(tmp_path / "a" / "b" / "_y.parquet")
    for name in ("_SUCCESS", "_metadata", ".x.parquet.crc", "b/_SUCCESS"):
        (tmp_path / "a" / name).write_bytes(b"")
    assert quiet(lab.MajorityVote(), f"{tmp_path}/a/**/*").items == 20
    assert quiet(lab.MajorityVote(), f"{tmp_path}/a/*").items == 8
    (tmp_path / "a" / "part[1].parquet").write_bytes((tmp_path / "a" / "x.parquet").read_bytes())
    assert quiet(lab.MajorityVote(), tmp_path / "a" / "part[1].parquet").items == 8


def test_other_writers_of_the_same_columns(tmp_path):
    """Large strings, dictionaries, small row groups, and a partition without items."""
    table = made(features={"length": np.arange(20), "kind": np.array(["x", "y"] * 10, object)})
    whole = table.to_parquet(tmp_path / "0.parquet")
    arrow = pq.read_table(whole)
    for name in ("item", "feature:kind"):
        place = arrow.schema.get_field_index(name)
        kind = pa.large_string() if name == "item" else pa.dictionary(pa.int32(), pa.string())
        arrow = arrow.set_column(place, pa.field(name, kind), arrow[name].cast(kind))
    pq.write_table(arrow, tmp_path / "1.parquet", row_group_size=3)
    pq.write_table(arrow.slice(0, 0), tmp_path / "2.parquet")
    policy = POLICIES[0]
    one = quiet(policy, whole)
    assert quiet(policy, tmp_path / "1.parquet") == one
    assert quiet(policy, tmp_path / "*.parquet").items == 40


def test_a_bar_counts_the_items(tmp_path, capsys):
    made().to_parquet(tmp_path / "1.parquet")
    lab.replay(lab.MajorityVote(), tmp_path / "1.parquet")
    assert "20.0/20.0" in capsys.readouterr().err
