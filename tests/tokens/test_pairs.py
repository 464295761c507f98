"""Pairs of a target and a draft: measured, and refused where they are none."""

import pytest

import ensemble_lab as lab
from ensemble_lab.tokens.measure import measure_pair
from ensemble_lab.tokens.pairs import pair_of
from tests.support.tiny_llama import save_tiny_llama


@pytest.mark.parametrize(
    "wrong",
    [{"alpha": 1.2, "c": 0.1}, {"alpha": 0.5}, {"alpha": 0.5, "c": -1}, {"alpha": 0.5, "c": 0.1,
     "gamma": 0}, {"alpha": 0.5, "c": 0.1, "beta": 2}, {"alpha": float("nan"), "c": 0.1}],
)  # fmt: skip
def test_what_is_no_pair_is_refused(wrong):
    with pytest.raises(ValueError, match="not a pair"):
        pair_of(wrong)


def test_a_pair_is_measured(tmp_path):
    target = lab.load(save_tiny_llama(tmp_path, None), device="cpu")
    prompts = ("the small model", "the big model answers")
    pair = measure_pair(target, prompts, target, 3, max_new_tokens=24, temperature=1.0, seed=0)
    assert pair.alpha == 1.0 and pair.gamma == 3  # its own draft: all are accepted
    assert pair.low <= pair.speedup <= pair.high
    assert pair.c > 0 and pair.v > 0 and pair.formula == pytest.approx(4 / (3 * pair.c + pair.v))
    lab.explore("speedup", pair)
