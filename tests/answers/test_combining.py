"""A cascade that combines: against a plain loop, and at its limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from tests.support.strategies import outcomes


@given(outcomes(min_models=3, max_models=3, labels=3), st.sampled_from([0.0, 0.3, 0.7, 1.01]))
def test_it_is_a_vote_of_those_that_a_cascade_asks(table, level):
    order, weights = table.models[:2], {table.models[0]: 0.5, table.models[1]: 0.8}
    decision = lab.CombiningCascade(order, (level,), weights).decide(table)
    plain = lab.Cascade(order, (level,)).decide(table)
    np.testing.assert_array_equal(decision.called, plain.called)
    for i in range(len(table)):
        votes = {}
        for j in (1, 0):  # a tie goes to the later stage
            sure, code = table.confidence[i, j], table.answer[i, j]
            if plain.called[i, j] and code >= 0:
                votes[code] = votes.get(code, 0.0) + weights[table.models[j]] * (
                    1.0 if np.isnan(sure) else sure
                )
        if votes:
            best = max(votes.values())
            assert votes[decision.answer[i]] == pytest.approx(best)
            assert decision.answer[i] == next(c for c, v in votes.items() if v >= best - 1e-9)


@given(outcomes(min_models=2, max_models=2, labels=3, complete=True))
def test_without_weight_for_the_small_model_it_is_the_cascade(table):
    order = table.models
    table = replace(table, confidence=np.maximum(table.confidence, 0.1))
    weights = dict(zip(order, (1e-9, 1.0), strict=True))
    ours = lab.CombiningCascade(order, (0.5,), weights).decide(table)
    np.testing.assert_array_equal(ours.answer, lab.Cascade(order, (0.5,)).decide(table).answer)


def test_weights_are_accuracies_and_what_is_wrong_is_named():
    table = lab.load_outcomes("rafdb-services")
    order = ("CNN", "Microsoft")
    fitted = lab.CombiningCascade(order, (0.9,)).fit(table)
    accuracy = table.accuracy()[table.columns(order)]
    assert list(fitted.weights.values()) == accuracy.tolist()
    with pytest.raises(KeyError, match="no model 'cnn' in the order, but in weights"):
        lab.CombiningCascade(order, (0.9,), {"cnn": 1.0})
    with pytest.raises(ValueError, match="thresholds for 2 stages"):
        lab.CombiningCascade(order)
    with pytest.raises(ValueError, match="CombiningCascade needs 'confidence'"):
        lab.CombiningCascade(order, (0.9,)).decide(replace(table, confidence=None))
