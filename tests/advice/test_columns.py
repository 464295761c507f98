"""A clock and clusters: what is read with certainty, and what is refused."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab.advice.columns import clock, clusters, of_rows

TABLE = lab.Outcomes(models=["a", "b"], items=range(3), correct=[[0, 1]] * 3)


@pytest.mark.parametrize(
    "values",
    [
        [1, "2026-01-31", "2026-02-01"],  # 1 would be a nanosecond after 1970
        [Decimal(1), Decimal(2), Decimal(10)],
        [True, False, True],
        ["1_0", "2", "3"],
        ["2026-01-31 09:00 EST", "2026-01-31 10:00 UTC", "2026-01-31 09:30 UTC"],
    ],
)
def test_a_clock_that_is_in_doubt_is_refused(values):
    with pytest.raises(ValueError, match="neither a number nor a date"):
        clock(TABLE, values)


def test_a_clock_in_nanoseconds_keeps_its_order():
    now = 1_700_000_000_000_000_000
    assert clock(TABLE, [now + 1, now, now + 3]).tolist() == [1, 0, 3]
    assert clock(TABLE, [5.5, 2, 3]).tolist() == [5.5, 2, 3]
    with pytest.raises(ValueError, match="give a time that is finite"):
        clock(TABLE, [1.0, 10**400, 2])


def test_values_lose_the_rows_that_the_table_loses():
    rows = np.array([True, False, True, True])
    dates = np.array(["2026-01-01", "2026-01-09", "2026-01-03", "2026-01-02"], "M8[ns]")
    for given in (dates, pd.Series(dates), (one for one in pd.Series(dates))):
        assert clock(TABLE, of_rows(given, rows)).tolist() == [0, 172800, 86400]
    assert clusters(TABLE, of_rows(["u", "v", "v", "u"], rows)).tolist() == [0, 1, 0]
    for given in (5, pd.DataFrame({"u": range(4)})):
        with pytest.raises(ValueError, match="give"):
            clusters(TABLE, of_rows(given, rows))
