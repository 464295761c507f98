"""What notebook 20 says of retries, budgets and second calls, computed again."""

import json

import httpx2
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import ensemble_lab as lab
from ensemble_lab.explorers.systems import serving_replay as replay
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

SEEDS = range(5)


def mean(retries, load=1.1, guard=replay.NOTHING, hedge=replay.OFF):
    """Requests answered in the hour, over seeds."""
    return np.mean([replay.serve(retries, hedge, guard, load, s).goodput for s in SEEDS])


def one_call_answers_more():
    return bool(mean(replay.ONCE) > mean(replay.BUDGET) + 0.1 > mean(replay.UNLIMITED) + 0.1)


def hour(retries, guard=replay.NOTHING):
    """The hour at 1.1 times the capacity, for each seed."""
    return [replay.serve(retries, replay.OFF, guard, 1.1, s) for s in SEEDS]


def from_minute(at):
    return replay.BINS[:-1] >= at


def less_work_comes_than_servers_can_do():
    later = [one.requests[from_minute(40)] for one in hour(replay.ONCE)]
    return all(bool(work.max() < 1 and work[:4].mean() > work[4:].mean()) for work in later)


def all_are_answered_from_minute_50_on():
    found = [one.answered for one in hour(replay.BUDGET)]
    return all(bool(one[from_minute(50)].min() > 0.99 and one[20] < 0.9) for one in found)


def a_breaker_does_nearly_as_much():
    breaker, stops = (mean(replay.BUDGET, guard=g) for g in (replay.BREAKER, replay.STOPS))
    after = [one.after for one in hour(replay.BUDGET, replay.BREAKER)]
    return bool(stops - 0.05 < breaker < stops and min(after) > 0.99)


def busy_while_nobody_is_answered():
    down = [one.calls[one.answered < 0.01] for one in hour(replay.UNLIMITED)]
    return all(bool(len(work) > 5 and work.min() > 1) for work in down)


def kicked(load, horizon=2400, since=1800, **how):
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        calm = lab.poisson_arrivals(4 * load, horizon=horizon, rng=rng)
        arrivals = np.sort(np.concatenate([calm, 300 + rng.random(400)]))
        services = rng.exponential(1.0, len(arrivals))
        tried = lab.serve_with_retries(arrivals, services, 4, 20.0, rng=rng, **how)
        found.append(np.isfinite(tried.answered[arrivals > since]).mean())
    return np.mean(found)


def down_for_ever_at_0_4():
    return bool(kicked(0.4, budget=None) < 0.02)


def a_tenth_is_too_much_at_0_95():
    return bool(kicked(0.95) < 0.02 and kicked(0.8) > 0.98)


def back_within_an_hour_of_the_kick_at_0_3():
    return bool(kicked(0.3, budget=None) < 0.5 and kicked(0.3, 4200, 3900, budget=None) > 0.98)


def second_calls_pay_and_cost():
    at_rest = mean(replay.ONCE, 0.6, hedge=replay.HEDGED) > mean(replay.ONCE, 0.6)
    return bool(at_rest and mean(replay.ONCE, 1.0, hedge=replay.HEDGED)
                < mean(replay.ONCE, 1.0) - 0.1)  # fmt: skip


def others_wait_longer_for_it():
    pairs = [
        [replay.serve(replay.ONCE, hedge, replay.NOTHING, rate, s).quantile(0.95)
         for hedge in (replay.OFF, replay.HEDGED)]
        for rate in (0.6, 0.8) for s in SEEDS
    ]  # fmt: skip
    return all(alone < hedged for alone, hedged in pairs)


def servers_that_stop_help_most():
    stops = mean(replay.BUDGET, guard=replay.STOPS)
    return bool(stops > mean(replay.BUDGET, guard=replay.BREAKER) > mean(replay.ONCE))


def second_calls_save_what_is_lost():
    lost = [1 - mean(replay.ONCE, 0.6, hedge=hedge) for hedge in (replay.OFF, replay.HEDGED)]
    return bool(0 < lost[1] < 0.15 * lost[0])


def served_at_most():
    curves = lab.load_curves()
    return curves.groupby("configuration").served_rate.max()[["eagle", "plain"]].to_numpy()


def added():
    """Milliseconds that the gateway adds, as recorded with a server of 20 ms."""
    records = json.loads((ROOT / "benchmarks/results/systems.json").read_text())
    by_name = {one["name"]: one for one in records}
    names = "gateway-overhead", "gateway-vote-of-three"
    return [by_name[name]["added_ms_by_mock"]["20 ms"]["p50"] for name in names]


def live_asks_as_replay_does():
    """Three cascades on digits, asked one by one, against the thresholds on all at once."""
    pixels, digits = load_digits(return_X_y=True)
    small = LogisticRegression(max_iter=2000).fit(pixels[:300], digits[:300])
    big = KNeighborsClassifier(3).fit(pixels[:898], digits[:898])
    new, levels = pixels[-150:], (0.6, 0.87, 0.99)

    def member(model):
        def reply(messages):
            row = np.array(messages[-1]["content"].split(), float)
            chances = model.predict_proba(row[None])[0]
            return lab.Reply(str(chances.argmax()), confidence=float(chances.max()))

        return lab.Member(reply)

    policies = {f"at-{level}": lab.Cascade(("small", "big"), (level,)) for level in levels}
    members = {"small": member(small), "big": member(big)}
    with lab.start_gateway(policies, members) as gateway, httpx2.Client() as client:

        def called(name, row):
            chat = [{"role": "user", "content": " ".join(f"{pixel:g}" for pixel in row)}]
            body = {"model": name, "messages": chat}
            found = client.post(f"{gateway.url}/chat/completions", json=body, timeout=60)
            return "big" in found.raise_for_status().headers["x-ensemble-called"]

        live = np.array([[called(name, row) for row in new] for name in policies])
    unsure = small.predict_proba(new).max(1) < np.array(levels)[:, None]
    return bool((live == unsure).all() and 0 < unsure.mean() < 1)


NOTEBOOK = "20_serving_an_ensemble"
GIVEN = ["In its busiest five minutes 1.1 times as much work comes as they can do"]  # `rush`
CLAIMS = [
    Claim("from minute 40 on it is less than they can do, and falls.",
          less_work_comes_than_servers_can_do),
    Claim("the service is back within an hour of the kick, not within half an hour",
          back_within_an_hour_of_the_kick_at_0_3),
    Claim("from minute 50 on all get an answer again", all_are_answered_from_minute_50_on),
    Claim("A breaker does nearly as much without their help", a_breaker_does_nearly_as_much),
    Claim("servers were busy all the time that nobody got an answer",
          busy_while_nobody_is_answered),
    Claim("takes {1} ms longer than without it, and a vote of three {3} ms longer", added, 1),
    Claim("Live and replay ask the big model for the same digits, one by one.",
          live_asks_as_replay_does),
    Claim("At rest the second call saves nearly all that a slow moment would have lost.",
          second_calls_save_what_is_lost),
    Claim("the time within which 95 in 100 are answered grows", others_wait_longer_for_it),
    Claim("after the 95th percentile loses fewer requests at rest, and more near capacity.",
          second_calls_pay_and_cost),
    Claim("it served at most {68} requests a second, and the same model without a draft {103}",
          served_at_most, 0.5),
    Claim("In this hour one call each answers more than retries with a budget",
          one_call_answers_more),
    Claim("two retries keep them down for ever.", down_for_ever_at_0_4),
    Claim("At 0.95 a budget of a tenth is too much, too.", a_tenth_is_too_much_at_0_95),
    Claim("In the rush it is work on top, and the same rule loses requests",
          second_calls_pay_and_cost),
    Claim("What helps most is that servers stop what nobody waits for.",
          servers_that_stop_help_most),
]  # fmt: skip

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
