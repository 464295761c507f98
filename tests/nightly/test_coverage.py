"""Intervals of 95 % hold the true mean in at least 93 % of 2,000 simulated tables each."""

import pytest

from tests.support.coverage_cases import CASES

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("n", [30, 100, 300, 1000, 10_000])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_interval_holds_as_often_as_it_says(case, n):
    assert case.holds(2000, n, seed=n) >= 0.93
