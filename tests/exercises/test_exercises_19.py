"""The checks of notebook 19 refuse what people get wrong, written in other ways than theirs."""

import math
from itertools import pairwise

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.exercises.which_model_where import check_erlang_c, check_little, check_placement

# -- Erlang C -------------------------------------------------------------------------------------


def by_states(servers, load, wait=None, chance=None):
    """The exercise by the sum over all states; parts may be exchanged."""
    states = [load**k / math.factorial(k) for k in range(servers)]
    queue = load**servers / math.factorial(servers) * servers / (servers - load)
    found = queue / (sum(states) + queue)
    told = found if chance is None else chance(servers, load)
    return told, found / (servers - load) if wait is None else wait(servers, load)


def test_other_ways_to_erlang_c_pass():
    assert check_erlang_c(by_states)
    assert check_erlang_c(lambda c, a: (lab.erlang_c(c, a), lab.mmc_wait(c, a, 1.0)))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda c, a: by_states(c, a, chance=lab.erlang_b), "go away (Erlang B)"),
        (lambda c, a: by_states(c, a, chance=lambda c, a: a / c), "all of them busy at once?"),
        (lambda c, a: by_states(c, a, chance=lambda c, a: 1 - lab.erlang_c(c, a)), "not to wait?"),
        (lambda c, a: by_states(c, a, wait=lab.erlang_c), "For how long does somebody wait"),
        (lambda c, a: by_states(c, a, wait=lambda c, a: 1 / (c - a)), "Does everybody?"),
        (lambda c, a: by_states(c, a, wait=lambda c, a: 1 + lab.mmc_wait(c, a, 1)), "itself"),
        (lambda c, a: by_states(c, a, wait=lambda c, a: a * lab.mmc_wait(c, a, 1)), "number"),
        (lambda c, a: by_states(c, a, wait=lambda c, a: lab.mmc_wait(1, a / c, 1)), "one server?"),
        (lambda c, a: by_states(c, a)[0], "return"),
        (lambda c, a: (0.3, 0.1), "for 1 servers"),
    ],
)  # fmt: skip
def test_wrong_waits_are_refused_with_their_hint(wrong, hint):
    verdict = check_erlang_c(wrong)
    assert not verdict and hint in verdict.message


# -- Little's formula -----------------------------------------------------------------------------


def area(arrived, left):
    """The integral of the number in the system, step by step."""
    moments = sorted([(at, 1) for at in arrived] + [(at, -1) for at in left])
    inside = total = 0.0
    for (at, step), (after, _) in pairwise(moments):
        inside += step
        total += inside * (after - at)
    return total, moments[-1][0] - moments[0][0]


def both_sides(arrived, left, waits, services, number=None, product=None):
    total, seconds = area(arrived, left)
    told = sum(w + s for w, s in zip(waits, services, strict=True)) / seconds
    return (
        total / seconds if number is None else number(arrived, left, waits, services, seconds),
        told if product is None else product(arrived, left, waits, services, seconds),
    )


def test_another_way_to_both_sides_passes():
    assert check_little(both_sides)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"number": lambda a, d, w, s, t: sum(w + s) / t}, "Can they ever differ?"),
        ({"number": lambda a, d, w, s, t: sum(d - a) / len(a)}, "mean time of a job"),
        ({"number": lambda a, d, w, s, t: sum(d - a) / max(d)}, "clock start at zero"),
        ({"number": lambda a, d, w, s, t: sum(d - a) / (a[-1] - a[0])}, "in which it comes?"),
        ({"number": lambda a, d, w, s, t: sum(d - a - s) / t}, "being served still"),
        ({"product": lambda a, d, w, s, t: sum(d - a) / t}, "so no bug can show"),
        ({"product": lambda a, d, w, s, t: sum(w) / t}, "only the wait?"),
        ({"product": lambda a, d, w, s, t: sum(s) / t}, "only the service?"),
        ({"product": lambda a, d, w, s, t: np.median(w + s) * len(a) / t}, "a mean or a median?"),
        ({"product": lambda a, d, w, s, t: np.mean(w + s)}, "What is the other?"),
    ],
)
def test_wrong_sides_are_refused_with_their_hint(wrong, hint):
    verdict = check_little(lambda *given: both_sides(*given, **wrong))
    assert not verdict and hint in verdict.message


# -- the cheapest placement ----------------------------------------------------------------------


def cheapest(rates, seconds, prices, limit, time=None, bill=None, more=0):
    """The exercise by trying up to 99 machines of each kind."""
    time = time or (lambda r, d: d + lab.md1_wait(r, d))
    bill = bill or (lambda n, price, d: n * price)
    found = np.zeros(seconds.shape, int)
    for i, rate in enumerate(rates):
        able = [
            (bill(n, prices[j], d), j, n)
            for j, d in enumerate(seconds[i])
            for n in [next((n for n in range(1, 99)
                            if rate / n * d < 1 and time(rate / n, d) <= limit), None)]
            if n and d <= limit
        ]  # fmt: skip
        _, kind, n = min(able)
        found[i, kind] = n + more
    return found


def test_another_right_placement_passes():
    assert check_placement(cheapest)
    assert check_placement(lambda *given: cheapest(*given).tolist())


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"time": lambda r, d: 0.0}, "also keep the limit?"),
        ({"time": lab.md1_wait}, "all the time to the answer?"),
        ({"time": lambda r, d: d / (1 - r * d)}, "all of one length?"),
        ({"bill": lambda n, price, d: price}, "of all that are needed?"),
        ({"bill": lambda n, price, d: d}, "fastest machine the cheapest?"),
        ({"bill": lambda n, price, d: n}, "fewest machines the cheapest?"),
        ({"bill": lambda n, price, d: price * d}, "Who pays for idle ones?"),
        ({"bill": lambda n, price, d: -n * price}, "or the largest?"),
        ({"more": 1}, "one machine less"),
    ],
)
def test_wrong_placements_are_refused_with_their_hint(wrong, hint):
    verdict = check_placement(lambda *given: cheapest(*given, **wrong))
    assert not verdict and hint in verdict.message
