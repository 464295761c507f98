"""An engine under load: rates and curves in any form are the same; what cannot be is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ensemble_lab as lab
from tests.contracts.registry import contract, quiet, refused

RATES = [1, 3, 20]
ENGINE = {"step": 0.01, "per_task": 0.002, "prompt": 0.003, "per_token": 1e-5, "slots": 4}
LOAD = {"seconds": 5, "in_flight": 9, "prompt": 30, "output": 6}
CURVE = {"requested_rate": [5.0, 20.0, 30.0], "latency_mean_s": [0.10, 0.16, 0.22]}


def plainly(rate) -> tuple[float, float]:
    """Served rate and mean latency of requests that one engine serves, a step at a time."""
    n, now = int(rate * 5), 0.0
    due, ends, left = [i / rate for i in range(n)], [], {}
    while len(ends) < n:
        come = [i for i in range(n) if due[i] <= now + 1e-12 and i not in left]
        if not left.keys() - set(ends) and not come:
            now = due[len(left)]
            continue
        running = [i for i in left if left[i]]
        new = come[: 4 - len(running)]
        left.update(dict.fromkeys(new, 6))
        running += new
        now += len(new) * (0.003 + 30e-5) + 0.01 + 0.002 * len(running)
        for i in running:
            left[i] -= 1
            if not left[i]:
                ends.append(i)
                due.append(now)  # the end of request ends[k] stands at n + k
    last = due[n:]
    sent = [max(due[i], last[i - 9]) if i >= 9 else due[i] for i in range(n)]
    return n / last[-1], sum(e - s for e, s in zip(last, sent, strict=True)) / n


@contract("replay_load", "Engine")
def test_rates_in_any_form_are_replayed_alike():
    engine = lab.Engine(**ENGINE)
    wanted = lab.replay_load(engine, RATES, **LOAD)
    for row, rate in zip(wanted.itertuples(), RATES, strict=True):
        assert (row.served_rate, row.latency_mean_s) == pytest.approx(plainly(rate), rel=1e-9)
    forms = tuple(RATES), np.array(RATES, np.float32), pd.Series(RATES), pl.Series(RATES)
    for rates in forms:
        pd.testing.assert_frame_equal(lab.replay_load(engine, rates, **LOAD), wanted)
    for rates in (None, [], "60", ["60"], [1, None], [-1], [0], [np.nan], [np.inf], [[1]], [True]):
        with refused():
            lab.replay_load(engine, rates)
    wrong = {"seconds": (0, "60", None), "in_flight": (0, 1.5, "9"), "output": (0, 2.5, "6")}
    for name, values in (wrong | {"prompt": (-1, 2.5, None)}).items():
        for value in values:
            with refused():
                lab.replay_load(engine, RATES, **LOAD | {name: value})
    for other in (None, 0.01, lab.Engine):
        with refused():
            lab.replay_load(other, RATES)


@contract("plateau_rate")
def test_a_plateau_is_what_a_round_of_all_slots_takes():
    seconds = 6 * (0.01 + 4 * 0.002) + 4 * (0.003 + 30e-5)
    assert lab.plateau_rate(lab.Engine(**ENGINE), prompt=30, output=6) == pytest.approx(4 / seconds)
    for engine, load in ((None, {}), (lab.Engine(**ENGINE), {"output": 0})):
        with refused():
            lab.plateau_rate(engine, **load)


@contract("fit_engine")
def test_curves_in_any_form_are_fitted_alike():
    load = {"slots": 8, "seconds": 5, "output": 6}
    wanted = lab.fit_engine(CURVE, **load)
    found = lab.replay_load(wanted, CURVE["requested_rate"], seconds=5, output=6)
    assert found.latency_mean_s.tolist() == pytest.approx(CURVE["latency_mean_s"], rel=0.1)
    backwards = pd.DataFrame(CURVE).iloc[::-1].assign(configuration="mine")
    for curves in (pd.DataFrame(CURVE), pl.DataFrame(CURVE), backwards):
        again = lab.fit_engine(curves, **load)
        assert (again.step, again.per_task) == pytest.approx(
            (wanted.step, wanted.per_task), rel=1e-6
        )
    few = {name: values[:1] for name, values in CURVE.items()}
    for curves in (None, [1, 2], {}, few, CURVE | {"latency_mean_s": [0.1, 0.2]}, pd.DataFrame()):
        with refused():
            lab.fit_engine(curves)
    for bad in (0, -1, np.nan, np.inf, None, "fast"):
        for name in CURVE:
            with refused(), quiet():
                lab.fit_engine(CURVE | {name: [bad, *CURVE[name][1:]]})
    for slots in (0, 2.5, None, "8"):
        with refused():
            lab.fit_engine(CURVE, slots)
