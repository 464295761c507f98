"""A claim that is not in the notebook, or not true, or not computed, is noticed."""

import numpy as np
import pytest

from tests.support.claims import Claim, figures_are_claimed

PROSE = "It goes from 65.9 to 86.1 %, and 1,000 items are enough."


def test_a_true_claim():
    Claim("goes from {65.9} to {86.1} %", lambda: (65.94, 86.1), 0.05).check(PROSE)
    Claim("{1,000} items", lambda: 1000).check(PROSE)
    Claim("items are enough", lambda: np.bool_(True)).check(PROSE)


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (Claim("goes from {65.9} to {86.2} %", lambda: (65.9, 86.2)), "not in the notebook"),
        (Claim("goes from {65.9} to {86.1} %", lambda: (65.9, 86.3), 0.1), "computed"),
        (Claim("goes from {65.9} to {86.1} %", lambda: 65.9), "2 numbers"),
        (Claim("{1,000} items", lambda: float("nan"), 5), "computed"),
        (Claim("items are enough", lambda: False), "False"),
        (Claim("items are enough", lambda: 1), "1"),
    ],
)
def test_a_wrong_claim(claim, why):
    with pytest.raises(AssertionError, match=why):
        claim.check(PROSE)


def test_a_figure_without_a_claim_is_found(monkeypatch):
    monkeypatch.setattr("tests.support.claims.prose", lambda notebook: PROSE + " `3 %` and $2 %$")
    claimed = [Claim("goes from {65.9} to {86.1} %", lambda: ())]
    figures_are_claimed("any", claimed, ())()
    with pytest.raises(AssertionError, match="no claim computes"):
        figures_are_claimed("any", [], ())()
    with pytest.raises(AssertionError, match="not in the notebook"):
        figures_are_claimed("any", claimed, ["a setting"])()
