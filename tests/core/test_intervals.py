"""Intervals hold as often as they say, stay where values can lie, or are not given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

import ensemble_lab as lab
from ensemble_lab.core.decision import Decision
from ensemble_lab.core.intervals import bootstrap, mean_interval, share_interval, wilson
from ensemble_lab.core.reach import Takes
from tests.support import coverage_cases as cases

nan = float("nan")
ASK = lab.Cascade(("small", "big"), (0.5,))


def pair(cost, sure, **more):
    n = len(sure)
    return lab.Outcomes(
        models=["small", "big"],
        items=range(n),
        correct=np.ones((n, 2)),
        confidence=np.column_stack([sure, np.ones(n)]),
        cost=np.broadcast_to(cost, (n, 2)),
        **more,
    )


def normal(values):
    """The interval of before, which held in 61 % of the tables with rare expensive calls."""
    half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
    return values.mean() - half, values.mean() + half


# -- coverage: few tables here, 2,000 each in tests/nightly -------------------------------------

QUICK = (
    cases.share(0.982),
    cases.raw_share(0.982),
    cases.share(0.99, seed=0),
    cases.raw_share(0.99),
    cases.constant_price(0.01),
    cases.constant_price(0.03),
    cases.constant_price(0.1),
    cases.constant_price(0.03, seed=0),
    cases.three_prices(0.05, 0.1),
    cases.token_price(0.01, 1.0),
    cases.token_price(0.03, 0.5),
    cases.token_price(1.0, 1.0),
    cases.latency("Pareto 3"),
    cases.latency("lognormal 1"),
    cases.escalated_latency(0.02, "lognormal 1"),
    cases.difference(0.02, 0.0),
    cases.difference(0.02, 0.0, bootstrap),
)


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_an_interval_of_thirty_items_holds(case):
    assert case.holds(300, 30, seed=1) >= 0.91  # 93 % less two standard errors


def test_the_interval_of_before_did_not():
    def draw(rng, n):
        return normal(np.where(rng.random(n) < 0.03, 51.0, 1.0))

    assert cases.Case("normal", 1 + 50 * 0.03, draw).holds(300, 30, seed=1) < 0.75


@pytest.mark.parametrize("n", [30, 38, 50, 75, 100, 300, 1000])
def test_the_interval_of_a_share_holds_at_every_rate(n):
    right, rates = np.arange(n + 1), np.linspace(0.5, 0.99, 500)[:, None]
    chance = binom.pmf(right, n, rates)

    def holds(interval):
        low, high = interval(right / n, n)
        return (chance * ((low <= rates + 1e-12) & (rates - 1e-12 <= high))).sum(axis=1).min()

    assert holds(share_interval) >= 0.93
    assert n not in (30, 38) or holds(wilson) < 0.91  # what it is there for


# -- what they are ------------------------------------------------------------------------------


@given(st.integers(2, 400), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_one_interval_of_a_share(n, rate, level):
    """Two prices are mapped onto the share that is passed on; Wilson's is a little narrower."""
    right = np.arange(n) < round(rate * n)
    expected = mean_interval(right * 1.0, level, bounds=(0, 1))
    plain = wilson(right.mean(), n, level)
    assert expected[0] <= plain[0] + 1e-12 and plain[1] <= expected[1] + 1e-12
    shown = share_interval(right.mean(), n, level)
    np.testing.assert_allclose(shown, expected if n >= 30 else plain, atol=1e-9)
    table = pair([1.0, 50.0], np.where(right, 0.1, 0.9))
    low, high = ASK.decide(table).interval("cost", level)
    np.testing.assert_allclose((low - 1, high - 1), 50 * np.array(expected), atol=1e-7)
    assert 0 <= expected[0] <= right.mean() <= expected[1] <= 1


@given(
    st.lists(st.floats(0, 1e6), min_size=2, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_an_interval_of_costs_holds_the_mean_and_is_never_negative(prices, passed):
    n = len(prices)
    table = pair(np.column_stack([np.ones(n), prices]), np.where(passed[:n], 0.1, 0.9))
    decision = ASK.decide(table)
    for seed in (None, 0):
        low, high = decision.interval("cost", seed=seed)
        if np.isnan(low):
            assert np.isnan(high) and decision.no_interval("cost")
            continue
        assert 0 <= low <= decision.mean_cost * (1 + 1e-9) and decision.mean_cost <= high * (
            1 + 1e-9
        )
        assert not decision.no_interval("cost")


@given(st.integers(2, 200), st.integers(0, 200))
def test_no_item_or_all_items_passed_on_still_leave_room(n, passed):
    table = pair([1.0, 50.0], np.where(np.arange(n) < passed, 0.1, 0.9))
    for seed in (None, 0):
        low, high = ASK.decide(table).interval("cost", seed=seed)
        assert low < high and 1 <= low and high <= 51 + 1e-9


def test_a_price_that_cannot_differ_has_no_width():
    table = pair([0.1, 0.2], np.full(30, 0.9))
    low, high = lab.Cascade(("small",)).decide(table).interval("cost")
    assert low <= 0.1 <= high and high - low < 1e-12


def test_what_no_interval_is_given_for_and_why():
    few = pair(np.column_stack([[0.01] * 4 + [9.0], np.ones(5)]), np.full(5, 0.9))
    alone = lab.Cascade(("small",)).decide(few)
    assert np.isnan(alone.interval("cost")).all()  # [-1.7, 5.3] before
    assert "10 items" in alone.no_interval("cost")
    unpriced = ASK.decide(pair([1.0, nan], np.full(30, 0.9)))
    assert unpriced.mean_cost == 1 and np.isnan(unpriced.interval("cost")).all()
    assert "has no call with a known value" in unpriced.no_interval("cost")
    gap = ASK.decide(pair([1.0, nan], np.full(30, 0.1)))
    assert "outcomes.filled()" in gap.no_interval("cost")
    nothing = Decision(("m",), (), None, np.zeros(3, int), np.ones((3, 1), bool),
                       np.full(3, nan), None, None)  # fmt: skip
    assert np.isnan(nothing.interval()).all() and nothing.no_interval() == "no answer is graded"
    made = Decision(("m",), (), None, np.zeros(30, int), np.ones((30, 1), bool),
                    np.ones(30), np.ones(30), None)  # fmt: skip
    assert np.isnan(made.interval("cost")).all() and "took the same" in made.no_interval("cost")
    with pytest.raises(ValueError, match="no latency"):
        made.no_interval("latency")


def test_what_an_item_can_take():
    """One of the first wave is asked, in a later one nobody or all that were ever asked there."""
    values = np.tile([1.0, 2.0, 4.0, 8.0], (20, 1))
    called = np.zeros((20, 4), bool)
    called[:, 0] = True
    for together, high in ((False, 14.0), (True, 10.0)):
        reach = Takes(values, ((0, 1), (2, 3)), together).reach(np.ones(20), called)
        assert (reach.low, reach.high, reach.exact) == (1.0, high, True)
    called[0, 3] = True  # then one of the second wave is asked at a time
    reach = Takes(values, ((0, 1), (2, 3)), False).reach(np.r_[9.0, np.ones(19)], called)
    assert reach.high == 10.0


# -- the plain functions ------------------------------------------------------------------------


def test_bounds_are_facts():
    with pytest.raises(ValueError, match="outside"):
        mean_interval([0.5, 2.0], bounds=(0, 1))
    assert np.isnan(mean_interval(np.full(30, 3.0))).all()
    assert np.isnan(bootstrap(np.zeros(30))).all()  # a share, or a difference?
    low, high = mean_interval(np.zeros(30), bounds=(-1, 1))
    assert -0.2 < low < 0 < high < 0.2 and low == pytest.approx(-high)
    assert bootstrap(np.ones(30))[1] == 1 and 0.85 < bootstrap(np.ones(30))[0] < 0.95


def test_percent_are_as_wide_as_shares():
    values = np.repeat([-1.0, 0.0, 1.0], [5, 70, 25])
    np.testing.assert_allclose(mean_interval(100 * values), 100 * np.array(mean_interval(values)))


@given(st.lists(st.floats(-1e3, 1e3), min_size=10, max_size=80), st.floats(-100, 100))
def test_an_interval_holds_its_mean_and_a_mirror_turns_it(values, shift):
    values = np.array(values) + shift
    low, high = mean_interval(values)
    if np.isnan(low):
        return
    slack = 1e-9 * (1 + np.abs(values).max())
    assert low - slack <= values.mean() <= high + slack
    if (values < 0).any() and (values > 0).any():  # nothing is cut at zero
        np.testing.assert_allclose(mean_interval(-values), (-high, -low), atol=100 * slack)


# -- what is no setting --------------------------------------------------------------------------

DECIDED = lab.MajorityVote().decide(
    lab.Outcomes(
        models=["a"], items=range(3), correct=[[1], [0], [1]], answer=[[0]] * 3, labels="x"
    )
)
SHARES = [1.0, 0.0, 1.0]
LEVELS = ["0.95", None, True, [0.95], 1, 95, nan, 1j, np.array([0.9, 0.95])]
WANT_LEVEL = r"level=.*; give a float in \(0, 1\), such as 0.95"
NO_INTERVAL = {
    "level": [
        *((lambda x=x: DECIDED.interval(level=x), WANT_LEVEL) for x in LEVELS),
        *((lambda x=x: DECIDED.interval(level=x, seed=0), WANT_LEVEL) for x in LEVELS),
        *((lambda x=x: mean_interval(SHARES, level=x), WANT_LEVEL) for x in LEVELS),
        *((lambda x=x: share_interval(0.5, 9, level=x), WANT_LEVEL) for x in LEVELS),
    ],
    "seed": [
        (call, "seed=.*; use a whole number from 0 up")
        for x in ("a", 1.5, -1, True, [1, 2], 1j, {}, np.random.default_rng(0))
        for call in (
            lambda x=x: DECIDED.interval(seed=x),
            lambda x=x: bootstrap(SHARES, seed=x),
        )
    ],
    "of": [
        (call, "interval of .*; it is one of accuracy, cost, latency: name one")
        for x in (["cost"], None, 3, {"a": 1}, "costs", np.array(["cost"]))
        for call in (lambda x=x: DECIDED.interval(x), lambda x=x: DECIDED.no_interval(x))
    ],
    "bounds": [
        (lambda x=x: mean_interval(SHARES, bounds=x), "bounds=.*; give two finite numbers")
        for x in ((1,), (0, 1, 2), ("0", "1"), (1, 0), (nan, 1), (0, None), (0, np.inf), (0, 1j))
    ]
    + [
        (lambda: mean_interval(SHARES, bounds=3), "bounds is 3"),
        (lambda: mean_interval(SHARES, bounds={0: 1, 1: 2}), "bounds is a dict"),
        (lambda: mean_interval(SHARES, bounds={0, 1}), "bounds is a set"),
        (lambda: mean_interval(SHARES, bounds=(0, 0.5)), r"are from 0 to 1, outside bounds=\("),
    ],
    "resamples": [
        (lambda x=x: bootstrap(SHARES, resamples=x), "resamples=.*; use a whole number from 1 up")
        for x in (0, -1, 1.5, "3", True, None, [3])
    ],
    "values": [
        (lambda: mean_interval([1j, 2]), "values holds .*; give numbers"),
        (lambda: mean_interval(np.array([1j, 2])), "values holds .*; give numbers"),
        (lambda: mean_interval(["1", "2"]), "values holds .*; give numbers"),
        (lambda: mean_interval([10**400, 1]), "values holds .*; give numbers"),
        (lambda: mean_interval([[1, 2], [3, 4]]), "values has 2 dimensions"),
        (lambda: wilson("0.5", 3), "mean holds '0.5'; give numbers"),
        (lambda: wilson(1j, 3), "mean holds 1j; give numbers"),
        (lambda: wilson(0.5, "3"), "n holds '3'; give numbers"),
    ],
}


@pytest.mark.parametrize("kind", NO_INTERVAL)
@pytest.mark.filterwarnings("error")
def test_what_is_no_setting_is_named_with_the_fix(kind):
    for call, message in NO_INTERVAL[kind]:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert len(str(caught.value)) <= 300


def test_settings_of_numpy_and_gaps_are_read():
    assert mean_interval(SHARES, np.float32(0.5)) == mean_interval(SHARES, 0.5)
    assert DECIDED.interval(seed=np.int64(3)) == DECIDED.interval(seed=3)
    assert mean_interval([1, None, 0], bounds=np.array([0, 1])) == mean_interval([1, 0])
