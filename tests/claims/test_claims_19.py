"""What notebook 19 says of queues, cascades under load, an engine and the rules, computed again."""

import warnings
from dataclasses import replace
from functools import cache

import numpy as np

import ensemble_lab as lab
from ensemble_lab.explorers.systems import queues_replay as queues
from ensemble_lab.systems.table import ENGINE, RULES
from tests.support.claims import Claim, claims_hold, figures_are_claimed

SEEDS = range(5)


def quiet(function, *given, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*given, **more)


# -- queues ---------------------------------------------------------------------------------------


def ratio(rate, overhead=0.0):
    return lab.pooled_wait(rate, 1.0, 2, overhead) / lab.pooled_wait(rate / 2, 1.0)


def always_half():
    return bool(np.allclose([ratio(rate) for rate in np.linspace(0.05, 1.95, 39)], 0.5))


def mean_wait(rule, arrivals, overhead=0, rate=1.0):
    return queues.serve(rule, arrivals, overhead, rate).waits.mean()


def gained(arrivals):
    """The pipeline's wait over that with one machine each."""
    return mean_wait(queues.PIPELINE, arrivals) / mean_wait(queues.ALONE, arrivals)


def bursts_gain_more_or_little():
    return bool(gained(queues.OWN) < 0.47 and gained(queues.COMMON) > 0.85)


def a_tenth_for_common_bursts():
    return bool(0.05 < 1 - gained(queues.COMMON) < 0.15)


def break_even(rate):
    overheads = np.linspace(0, 0.3, 301)
    return max(o for o in overheads if rate * (0.5 + o) < 1 and ratio(rate, o) <= 1)


def from_a_fifth_to_nothing():
    found = [break_even(rate) for rate in (0.1, 0.8, 1.2, 1.6, 1.9)]
    return bool(0.19 < found[0] < 0.21 and found[-1] < 0.02 and (np.diff(found) < 0).all())


def a_twentieth():
    """Ten servers with one queue, against ten with a queue each, at 80 %."""
    return bool(18 < lab.mmc_wait(1, 0.8, 1.0) / lab.mmc_wait(10, 8.0, 1.0) < 22)


@cache
def pipeline(cv, first, seed):
    """Mean wait of all, and the 99th percentile of B."""
    arrivals = lab.gamma_arrivals(1.2, cv, jobs=20_000, rng=seed)
    kind = np.where(np.random.default_rng(seed).random(20_000) < 0.5, "A", "B").astype(object)
    rule = lab.Priority(1, ("A", "B")) if first else lab.FCFS(1)
    waits = lab.simulate(arrivals, np.full(20_000, 0.5), rule, kind).waits
    return waits.mean(), np.quantile(waits[kind == "B"], 0.99)


def a_first_keeps_the_mean():
    pairs = [(pipeline(1.0, False, s), pipeline(1.0, True, s)) for s in SEEDS]
    return all(bool(np.isclose(a[0], b[0]) and b[1] > 1.4 * a[1]) for a, b in pairs)


def bursts_wait_ten_times_as_long():
    found = [pipeline(3.0, False, s)[0] / pipeline(1.0, False, s)[0] for s in SEEDS]
    return bool(8 < np.mean(found) < 15)


# -- a cascade under load -------------------------------------------------------------------------


@cache
def ways(seed):
    """Rows of `under_load` at 5 and 6.5 digits a second, and the price of the cascade's share."""
    table = lab.load_outcomes("audiomnist-services")
    small, big = "DeepSpeech", "Microsoft"
    took = {"DeepSpeech": 0.1, "Microsoft": 1.0, "IBM": 1.0, "Google": 1.0}

    def tail(policy, outcomes, servers, rates):
        services = {name: took[name] for name in outcomes.models}
        return quiet(lab.under_load, policy, outcomes, servers, rates, services, jobs=10_000, rng=0)

    fit, test = table.split(0.5, seed)
    levels = np.linspace(0, 1.01, 102).tolist()
    tried = lab.frontier(lab.Cascade((small, big), (0.5,)), fit, thresholds=levels)
    enough = tried[tried.accuracy >= fit.accuracy()[fit.columns((big,))[0]]]
    cascade = lab.Cascade((small, big), enough.sort_values("cost").thresholds.iloc[0])
    spread = [{small: k, big: 6 - k} for k in range(1, 6)]
    best = min(spread, key=lambda one: tail(cascade, fit, one, [6.5]).p99[0])
    third = {small: 1, "IBM": 3, big: 2}
    vote = tail(lab.MajorityVote(), test.select(models=tuple(third)), third, [5.0])
    alone = tail(lab.MajorityVote(), test.select(models=(big,)), {big: 6}, [5.0, 6.5])
    return tail(cascade, test, best, [5.0, 6.5]), alone, vote


def cascade_is_as_right():
    """On every split of the five."""
    pairs = [(one.iloc[0], alone.iloc[0]) for one, alone, _ in map(ways, SEEDS)]
    return all(bool(a.accuracy >= b.accuracy and 0.15 < a.cost / b.cost < 0.19) for a, b in pairs)


def cascade_has_the_shorter_tail():
    return all(bool(one.p99[0] < alone.p99[0] and one.p99[0] > 1.0) for one, alone, _ in
               map(ways, SEEDS))  # fmt: skip


def only_the_cascade_is_able():
    return all(bool(alone.overloaded[1] and not one.overloaded[1] and not alone.overloaded[0])
               for one, alone, _ in map(ways, SEEDS))  # fmt: skip


def vote_is_overloaded():
    return all(bool(v.overloaded[0] and v.busiest[0] == "Microsoft") for *_, v in map(ways, SEEDS))


# -- the engine -----------------------------------------------------------------------------------


def eagle_is_slower():
    curves = lab.load_curves()
    both = [curves[curves.configuration == name].set_index("requested_rate")
            for name in ("eagle", "plain")]  # fmt: skip
    eagle, plain = both
    # Each of its rates lies below the next one of plain, and still takes longer.
    slower = [eagle.latency_mean_s[r] > np.interp(r, plain.index, plain.latency_mean_s)
              for r in eagle.index]  # fmt: skip
    share = eagle.served_rate.max() / plain.served_rate.max()
    return bool(all(slower) and 0.62 < share < 0.7)


# -- the rules ------------------------------------------------------------------------------------


@cache
def compared():
    """The table for the first seed."""
    hour = lab.load_trace("azure-conversation")
    requests = lab.Requests(hour.arrival_s, hour.prompt_tokens, hour.output_tokens)
    return lab.compare_rules([lab.draw_scene(requests, 0)])


def shepherd_refuses():
    row = compared().loc["SHEPHERD"]
    return bool(row.dropped > 0.05 and row.late < 0.03)


def infaas_is_quick_and_less_right():
    table = compared()
    least = table.loc["least loaded"]
    row = table.loc["INFaaS"]
    return bool(row["median"] == table["median"].min() and row.quality < least.quality - 0.04
                and row.machine_seconds < 0.7 * least.machine_seconds)  # fmt: skip


def cocktail_is_right_and_slow():
    table = compared()
    return bool(table.quality.idxmax() == table["median"].idxmax() == "Cocktail")


def a_little_quicker():
    table = compared()
    least = table.loc["least loaded", "median"]
    return bool(all(0.9 * least < table.loc[name, "median"] < least
                    for name in ("DistServe", "Preble")))  # fmt: skip


def do_nothing():
    table = compared()
    same = (("Andes", "least loaded"), ("FastServe", "least loaded"),
            ("AlpaServe", "a model a machine"))  # fmt: skip
    return all(np.allclose(table.loc[one], table.loc[other], rtol=1e-4) for one, other in same)


@cache
def short_of_memory():
    """Rows of three rules at 1.6 times the rate, with room for 16,000 tokens."""
    hour, small = lab.load_trace("azure-conversation"), replace(ENGINE, capacity=16_000)
    requests = lab.Requests(hour.arrival_s, hour.prompt_tokens, hour.output_tokens).faster(1.6)
    rules = {name: RULES[name] for name in ("least loaded", "FastServe", "Andes")}
    return lab.compare_rules([lab.draw_scene(requests, 0, engine=small)], rules)


@cache
def bursts_of_code():
    """Rows of two rules at twice the rate, means over the seeds."""
    hour = lab.load_trace("azure-code")
    requests = lab.Requests(hour.arrival_s, hour.prompt_tokens, hour.output_tokens).faster(2)
    rules = {name: RULES[name] for name in ("a model a machine", "AlpaServe")}
    scenes = [lab.draw_scene(requests, s, popularity=[1 / 12] * 12, limit=10) for s in SEEDS]
    return lab.compare_rules(scenes, rules)


def the_slowest_pay():
    table = short_of_memory()
    return bool((table.p99[["FastServe", "Andes"]] > 1.4 * table.p99["least loaded"]).all())


def shortens_the_tail():
    table = bursts_of_code()
    return bool(0.7 < table.p99["AlpaServe"] / table.p99["a model a machine"] < 0.8)


CLAIMS = [
    Claim("**Pooling halves the wait at every rate** for random arrivals", always_half),
    Claim("gains more for bursts of each model's own, and little for common ones.",
          bursts_gain_more_or_little),
    Claim("The explorer's **common bursts** gain about a tenth.", a_tenth_for_common_bursts),
    Claim("From a fifth of a service at a low rate to nearly nothing where machines are full.",
          from_a_fifth_to_nothing),
    Claim("Yet ten servers with *one* queue let a job wait a twentieth of what ten servers with a"
          " queue each do", a_twentieth),
    Claim("So **A first** changes nothing in the mean, and everything for B.",
          a_first_keeps_the_mean),
    Claim("And the same rate in bursts waits ten times as long.", bursts_wait_ten_times_as_long),
    Claim("The cascade is at least as right as the large model, at a sixth of its price.",
          cascade_is_as_right),
    Claim("Its slowest answers need both models, and yet its tail is the shorter one",
          cascade_has_the_shorter_tail),
    Claim("With 1.3 times the requests six machines are too few for the large model alone, and"
          " enough for the cascade.", only_the_cascade_is_able),
    Claim("its two machines for the large model are overloaded.", vote_is_overloaded),
    Claim("is slower than plain at every rate, alone too, and full at two thirds of it.",
          eagle_is_slower),
    Claim("**SHEPHERD** refuses more than one request in twenty; of those that it answers, few are"
          " late.", shepherd_refuses),
    Claim("**INFaaS** is quick and cheap, as it answers with smaller variants",
          infaas_is_quick_and_less_right),
    Claim("It is the most right, and the slowest by far.", cocktail_is_right_and_slow),
    Claim("**DistServe** and **Preble** are a little quicker than *least loaded*",
          a_little_quicker),
    Claim("do what *least loaded* does, and **AlpaServe**, which finds groups of one"
          " machine best, what *a model a machine* does", do_nothing),
    Claim("the median falls from {13.6} seconds (*least loaded*) to {8.1} (**FastServe**) and {8.5}"
          " (**Andes**)", lambda: tuple(short_of_memory()["median"]), 0.06),
    Claim("and the slowest requests pay for it.", the_slowest_pay),
    Claim("**AlpaServe** shortens the tail of *a model a machine* by a quarter", shortens_the_tail),
    Claim("and refuses {4} % of the requests.",
          lambda: 100 * bursts_of_code().dropped["AlpaServe"], 0.5),
]  # fmt: skip
GIVEN = [
    "memory for only 16,000 tokens a machine, and 1.6 times the rate",
    "All servers are busy 80 % of the time.",
    "With 1.3 times the requests",
]

test_claims_hold = claims_hold("19_which_model_where", CLAIMS)
test_figures_are_claimed = figures_are_claimed("19_which_model_where", CLAIMS, GIVEN)
