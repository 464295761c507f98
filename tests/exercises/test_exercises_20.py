"""The checks of notebook 20 refuse what people get wrong, written in other ways than theirs."""

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.exercises.serving import check_budget, check_hedge, check_usage

# -- a budget -------------------------------------------------------------------------------------


def by_gateway(failed, price, most):
    """The exercise by the gateway's own budget."""
    budget, found = lab.systems.Budget(1 / price, most), []
    for bad in failed:
        budget.earn()
        found.append(bool(bad) and budget.spend())
    return found


def counted(failed, price, most, start=0, keep=None, take=None):
    """With fractions of a retry; parts may be exchanged."""
    share, tokens, found = 1 / price, start, []
    for bad in failed.tolist():
        tokens = min(tokens + share, keep if keep is not None else most)
        found.append(bad and tokens > 1 - 1e-9)
        tokens -= (take if take is not None else 1) * found[-1]
    return found


def test_other_ways_to_a_budget_pass():
    assert check_budget(by_gateway)
    assert check_budget(counted)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda f, p, m: f.tolist(), "every failed request"),
        (lambda f, p, m: counted(f, p, m, keep=1e9), "long quiet time"),
        (lambda f, p, m: counted(f, p, m, start=m), "before the first request?"),
        (lambda f, p, m: counted(f, p, m, take=0), "in requests?"),
        (lambda f, p, m: counted(f, p, m, take=1 / p), "in requests?"),
        (lambda f, p, m: [not x for x in counted(f, p, m)], "or who is not?"),
        (lambda f, p, m: [bool(b) and i % p == p - 1 for i, b in enumerate(f)], "none is due"),
        (lambda f, p, m: sum(counted(f, p, m)), "booleans"),
    ],
)
def test_wrong_budgets_are_refused_with_their_hint(wrong, hint):
    verdict = check_budget(wrong)
    assert not verdict and hint in verdict.message


# -- second calls ---------------------------------------------------------------------------------


def in_turn(first, second, after, load, time=None, work=None):
    """One request after the other; parts may be exchanged."""
    times, worked = [], 0.0
    for f, s in zip(first.tolist(), second.tolist()):
        late = f > after
        times.append(min(f, after + s) if late else f)
        worked += f + s * late
    found = sum(times) / len(times), load * worked / first.sum()
    return (
        found[0] if time is None else time(first, second, after),
        found[1] if work is None else work(first, second, after, load),
    )


def test_another_way_to_second_calls_passes():
    assert check_hedge(in_turn)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"time": lambda f, s, d: np.minimum(f, s).mean()}, "at once, or after some time?"),
        ({"time": lambda f, s, d: np.mean([x if x <= d else d + y for x, y in zip(f, s)])},
         "still be the quicker one"),
        ({"time": lambda f, s, d: f.mean()}, "first calls only"),
        ({"time": lambda f, s, d: np.minimum(f, d).mean()}, "only sent"),
        ({"work": lambda f, s, d, r: r}, "Who does the work"),
        ({"work": lambda f, s, d, r: r + r * np.mean(f > d)}, "You count second calls"),
        ({"work": lambda f, s, d, r: r * (f + s).sum() / f.sum()}, "every request"),
        ({"work": lambda f, s, d, r: r * s[f > d].sum() / f.sum()}, "first ones done, too?"),
    ],
)  # fmt: skip
def test_wrong_second_calls_are_refused_with_their_hint(wrong, hint):
    verdict = check_hedge(lambda *given: in_turn(*given, **wrong))
    assert not verdict and hint in verdict.message


# -- the usage of a vote --------------------------------------------------------------------------


def added(prompt, completion, told, price, tokens=None, cost=None, known=None):
    """Call by call; parts may be exchanged."""
    used, usd, whole = 0, 0.0, True
    for p, c, t, (reads, writes) in zip(prompt.tolist(), completion.tolist(), told, price):
        if t:
            used += p + c
            usd += p * reads / 1e6 + c * writes / 1e6
        else:
            whole = False
    case = prompt, completion, told, price
    return (
        used if tokens is None else tokens(*case),
        usd if cost is None else cost(*case),
        whole if known is None else known(*case),
    )


def test_another_way_to_the_usage_passes():
    assert check_usage(added)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"tokens": lambda p, c, t, usd: sum(p) + sum(c)}, "whose reply never came?"),
        ({"tokens": lambda p, c, t, usd: int(c @ t)}, "that were read used, too?"),
        ({"tokens": lambda p, c, t, usd: int(p[t][0] + c[t][0])}, "of one call, or of the vote?"),
        ({"cost": lambda p, c, t, usd: float(p @ usd[:, 0] + c @ usd[:, 1]) / 1e6}, "never came?"),
        ({"cost": lambda p, c, t, usd: float(t * p @ usd[:, 0] + t * c @ usd[:, 1])},
         "how many tokens?"),
        ({"cost": lambda p, c, t, usd: float(t * p @ usd[:, 1] + t * c @ usd[:, 0]) / 1e6},
         "Which price is for"),
        ({"known": lambda p, c, t, usd: True}, "Is the sum known"),
        ({"known": lambda p, c, t, usd: t[0]}, "that the first call told"),
    ],
)  # fmt: skip
def test_wrong_usages_are_refused_with_their_hint(wrong, hint):
    verdict = check_usage(lambda *given: added(*given, **wrong))
    assert not verdict and hint in verdict.message
