"""The table itself: its three states, its parts, its baselines and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble_lab.core.checks import check_states
from ensemble_lab.core.outcomes import Outcomes, Single
from ensemble_lab.core.states import ABSENT, UNPARSED
from tests.support.strategies import outcomes

NAN = np.nan


def small(**changes) -> Outcomes:
    parts = {"models": ["a", "b"], "items": ["x", "y"], "correct": [[1, 0], [0, 1]]} | changes
    return Outcomes(**parts)


@given(outcomes())
def test_states_are_apart_and_arrays_are_read_only(table):
    assert not (table.absent & table.unparsed).any()
    assert np.isnan(table.correct[table.absent]).all()
    assert not (table.correct[table.unparsed] > 0).any()
    assert ((table.correct >= 0) & (table.correct <= 1) | np.isnan(table.correct)).all()
    arrays = [table.items, table.correct, table.answer, table.truth, table.probability, table.cost]
    arrays += [table.group, *table.features.values()]
    for array in filter(lambda a: a is not None, arrays):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]


def test_the_owner_of_an_array_cannot_change_the_table():
    mine = np.array([[1.0, 0.0], [0.0, 1.0]])
    table = small(correct=mine)
    mine[:] = 7
    assert table.correct.max() == 1


@given(outcomes(min_items=2), st.data())
def test_select_and_take_keep_rows_and_columns_together(table, data):
    models = data.draw(st.lists(st.sampled_from(table.models), min_size=1, unique=True))
    items = data.draw(st.lists(st.sampled_from(table.items.tolist()), min_size=1, unique=True))
    part = table.select(models=models, items=items)
    assert part.models == tuple(models) and part.items.tolist() == items
    for i, item in enumerate(items):
        row = table.items.tolist().index(item)
        assert part.truth[i] == table.truth[row]
        assert all(part.features[k][i] == v[row] for k, v in table.features.items())
        assert table.group is None or part.group[i] == table.group[row]
        for j, model in enumerate(models):
            column = table.models.index(model)
            for name in ("correct", "answer", "confidence", "cost", "latency", "probability"):
                if getattr(table, name) is not None:
                    kept, was = getattr(part, name)[i, j], getattr(table, name)[row, column]
                    np.testing.assert_array_equal(kept, was)
            if table.model_group is not None:
                assert part.model_group[j] == table.model_group[column]


@given(outcomes(min_items=2), st.floats(0.05, 0.95), st.integers(0, 99))
def test_split_is_disjoint_covers_all_and_repeats(table, fraction, seed):
    if not 0 < round(fraction * len(table)) < len(table):
        with pytest.raises(ValueError, match="leaves one part empty"):
            table.split(fraction, seed)
        return
    first, second = table.split(fraction, seed)
    assert len(first) == round(fraction * len(table))
    parts = first.items.tolist() + second.items.tolist()
    assert sorted(parts, key=str) == sorted(table.items.tolist(), key=str)
    again, _ = table.split(fraction, seed)
    assert again.items.tolist() == first.items.tolist()


@given(outcomes())
def test_blinded_hides_truth_and_nothing_else(table):
    blind = table.blinded()
    assert blind.truth is None and np.isnan(blind.correct).all()
    assert blind.answer is table.answer and blind.cost is table.cost


def test_absent_is_not_wrong():
    table = Outcomes(
        models=["rare", "plain", "half"],
        items=range(4),
        correct=[[1, 1, NAN], [NAN, 1, 1], [NAN, 0, 1], [NAN, 0, NAN]],
    )
    np.testing.assert_allclose(table.accuracy(), [1, 0.5, 1])
    np.testing.assert_allclose(table.coverage(), [0.25, 1, 0.5])
    assert table.best_single() == Single("plain", 0.5)
    assert table.best_single(coverage=0.5) == Single("half", 1.0)
    assert table.oracle() == 0.75  # right, right, right, and the last has only a wrong answer
    # 2, 2, 2 and 1 guessers between two options
    assert table.chance_oracle(2) == pytest.approx((3 * 0.75 + 0.5) / 4)


def test_unparsed_is_wrong_and_covered():
    table = small(correct=[[0, NAN], [1, 1]], answer=[[UNPARSED, ABSENT], [0, 0]], labels=["cat"])
    np.testing.assert_allclose(table.accuracy(), [0.5, 1])
    assert table.summary().loc["a"].to_dict() == {"accuracy": 0.5, "coverage": 1, "unparsed": 0.5}
    assert table.summary().loc["b", "coverage"] == 0.5


def test_chance_oracle_by_items_own_options_and_on_the_oracles_items():
    table = Outcomes(
        models=["a", "b"],
        items=range(3),
        correct=[[1, 0], [0, 0], [NAN, NAN]],
        features={"n_options": [2, 10, 4]},
    )
    assert table.oracle() == 0.5
    assert table.chance_oracle() == pytest.approx((0.75 + 0.19) / 2)
    with pytest.raises(ValueError, match="options=…"):
        small().chance_oracle()


def test_partial_credit_and_means_leave_out_what_is_unknown():
    table = small(correct=[[0.5, NAN], [0.25, 0.75]], cost=[[1, NAN], [3, 2]])
    assert table.oracle() == pytest.approx(0.625)
    assert table.summary()["mean cost"].tolist() == [2, 2]
    assert "mean cost" in table._repr_html_()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"correct": [[1, 0], [0, 1.5]]},
            r"correct is 1\.5 for item 'y', model 'b'; it must be in",
        ),
        ({"correct": [[1, "no"], [0, 1]]}, "correct does not hold numbers.*'no'"),
        ({"cost": [[1, -2], [0, 1]]}, "cost is -2 for item 'x', model 'b'"),
        ({"items": ["x", "x"]}, "item 'x' is there more than once"),
        ({"items": [(1, 2), (3, 4)]}, r"items have shape \(2, 2\)"),
        ({"models": "ab"}, r"pass a list"),
        ({"models": ["a", 2]}, "model 2 is int; names are strings"),
        ({"models": ["a", "a"]}, "model 'a' is there more than once"),
        ({"correct": [[1, 0]]}, r"correct has shape \(1, 2\)"),
        ({"answer": [[0, 1], [0, 2]], "labels": ["n", "y"]}, "code 2 and there are 2 labels"),
        ({"answer": [[0.0, 1], [0, 1]], "labels": ["n", "y"]}, "integer codes"),
        ({"labels": ["n", "n"]}, "label 'n' is there more than once"),
        ({"labels": [NAN]}, "a label is missing"),
        ({"probability": [[[1], [1]], [[1], [0.5]]], "labels": ["n"]}, "0.5 for item 'y', model"),
        ({"features": {"long": [1]}}, r"feature 'long' has shape \(1,\)"),
        ({"model_group": ["a"]}, "model_group has 1 entries for 2 models"),
    ],
)
def test_bad_values_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([[0, -1], [0, 0]], "0 for item 'x', model 'b'.*absent"),
        ([[-2, 0], [0, 0]], "1 for item 'x', model 'a'.*no answer"),
    ],
)
def test_contradictions_are_refused_in_files_and_allowed_for_scrambling(answer, words):
    table = small(answer=answer, labels=["n"])
    with pytest.raises(ValueError, match=words):
        check_states(table)


def test_labels_are_strings_or_numbers():
    with pytest.raises(TypeError, match=r"label \(1, 2\) is tuple"):
        small(labels=[(1, 2)])
    assert small(labels=np.array([3, 4])).labels == (3, 4)


def test_selections_that_leave_nothing_or_name_no_model():
    table = small(models=["gpt-4", "claude"])
    with pytest.raises(KeyError, match="no model 'gpt4' in the outcomes; did you mean 'gpt-4'"):
        table.select(models=["gpt4"])
    with pytest.raises(KeyError, match="no item 'z'"):
        table.select(items=["z"])
    assert table.select(items="x").items.tolist() == ["x"]
    for empty in ({"models": []}, {"items": []}, {"items": [False, False]}):
        with pytest.raises(ValueError, match="left|leaves"):
            table.select(**empty)
    with pytest.raises(ValueError, match="mask has shape"):
        table.select(items=[True])
    for fraction in (0, 1, NAN):
        with pytest.raises(ValueError, match="outside"):
            table.split(fraction)


@settings(max_examples=20)
@given(outcomes())
def test_nothing_graded_is_said(table):
    blind = table.blinded()
    for ask in (blind.best_single, blind.oracle, lambda: blind.chance_oracle(2)):
        with pytest.raises(ValueError, match="graded|correctness known"):
            ask()
