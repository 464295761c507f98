"""What notebook 20 says of retries, budgets and second calls, computed again."""

import numpy as np

import ensemble_lab as lab
from ensemble_lab.explorers.systems import serving_replay as replay
from tests.support.claims import Claim, claims_hold, figures_are_claimed

SEEDS = range(5)


def mean(retries, load=1.1, guard=replay.NOTHING, hedge=replay.OFF):
    """Requests answered in the hour, over seeds."""
    return np.mean([replay.serve(retries, hedge, guard, load, s).goodput for s in SEEDS])


def one_call_answers_more():
    return bool(mean(replay.ONCE) > mean(replay.BUDGET) + 0.1 > mean(replay.UNLIMITED) + 0.1)


def kicked(load, **how):
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        calm = lab.poisson_arrivals(4 * load, horizon=2400, rng=rng)
        arrivals = np.sort(np.concatenate([calm, 300 + rng.random(400)]))
        services = rng.exponential(1.0, len(arrivals))
        tried = lab.serve_with_retries(arrivals, services, 4, 20.0, rng=rng, **how)
        found.append(np.isfinite(tried.answered[arrivals > 1800]).mean())
    return np.mean(found)


def down_for_ever_at_0_4():
    return bool(kicked(0.4, budget=None) < 0.02 and kicked(0.95) < 0.02 and kicked(0.8) > 0.98)


def second_calls_pay_and_cost():
    at_rest = mean(replay.ONCE, 0.6, hedge=replay.HEDGED) > mean(replay.ONCE, 0.6)
    return bool(at_rest and mean(replay.ONCE, 1.0, hedge=replay.HEDGED)
                < mean(replay.ONCE, 1.0) - 0.1)  # fmt: skip


def servers_that_stop_help_most():
    stops = mean(replay.BUDGET, guard=replay.STOPS)
    return bool(stops > mean(replay.BUDGET, guard=replay.BREAKER) > mean(replay.ONCE))


def second_calls_save_what_is_lost():
    lost = [1 - mean(replay.ONCE, 0.6, hedge=hedge) for hedge in (replay.OFF, replay.HEDGED)]
    return bool(0 < lost[1] < 0.15 * lost[0])


def served_at_most():
    curves = lab.load_curves()
    return curves.groupby("configuration").served_rate.max()[["eagle", "plain"]].to_numpy()


NOTEBOOK = "20_serving_an_ensemble"
GIVEN = ["In its busiest five minutes 1.1 times as much work comes as they can do"]  # `rush`
CLAIMS = [
    Claim("At rest the second call saves nearly all that a slow moment would have lost.",
          second_calls_save_what_is_lost),
    Claim("after the 95th percentile loses fewer requests at rest, and more near capacity.",
          second_calls_pay_and_cost),
    Claim("it served at most {68} requests a second, and the same model without a draft {103}",
          served_at_most, 0.5),
    Claim("In this hour one call each answers more than retries with a budget",
          one_call_answers_more),
    Claim("two retries keep them down for ever. At 0.95 a budget of a tenth is too much, too.",
          down_for_ever_at_0_4),
    Claim("In the rush it is work on top, and the same rule loses requests",
          second_calls_pay_and_cost),
    Claim("What helps most is that servers stop what nobody waits for.",
          servers_that_stop_help_most),
]  # fmt: skip

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
