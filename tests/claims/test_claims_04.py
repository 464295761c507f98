"""What notebook 04 says of bandits, memory, prices and logs, computed again."""

from functools import cache

import numpy as np

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed

MARCH, JUNE = ("gpt-3.5-turbo-0301", "gpt-4-0314"), ("gpt-3.5-turbo-0613", "gpt-4-0613")
RUNS, SEEDS = 10, 3

# -- primes ---------------------------------------------------------------------------------------


@cache
def primes():
    return lab.load_outcomes("gpt-drift-primes")


def months():
    """In percent: GPT-4 and GPT-3.5 in March, then in June."""
    right = dict(zip(primes().models, 100 * primes().accuracy(), strict=True))
    return [right[name] for name in (MARCH[1], MARCH[0], JUNE[1], JUNE[0])]


def drifting(seed):
    rng = np.random.default_rng(seed)
    halves = [primes().correct[rng.permutation(1000)][:, primes().columns(p)]
              for p in (MARCH, JUNE)]  # fmt: skip
    return lab.Outcomes(
        models=["GPT-3.5", "GPT-4"], items=range(2000), correct=np.concatenate(halves)
    )


@cache
def remembered(discount):
    """Percent right in March and in June, means of the runs; and when each notices June."""
    done = [lab.Thompson(discount=discount).decide(drifting(s), seed=s) for s in range(RUNS)]
    march, june = (
        100 * np.mean([d.correct[half].mean() for d in done])
        for half in (slice(None, 1000), slice(1000, None))
    )
    until = []
    for one in done:
        better = one.chosen[1000:] == 0
        ends = (t for t in range(100, 1001) if better[t - 100 : t].sum() >= 80)
        until.append(next(ends, 1000))
    return march, june, np.array(until)


def nine_of_ten_never_notice():
    return bool((remembered(1.0)[2] == 1000).sum() == 9)


def short_memory_is_quicker_and_worse_in_march():
    marches = [remembered(g)[0] for g in (0.99, 0.98, 0.95)]
    medians = [np.median(remembered(g)[2]) for g in (0.99, 0.98, 0.95)]
    return bool((np.diff(marches) < 0).all() and (np.diff(medians) < 0).all())


def ten_grades_are_too_few():
    return bool((np.array(remembered(0.9)[:2]) < remembered(0.95)[:2]).all())


def asked_after(policy, **offer):
    """Share of calls to GPT-4 in questions 501 to 510 of March."""
    calm = primes().select(models=list(MARCH))
    orders = (np.random.default_rng(s).permutation(1000) for s in range(RUNS))
    done = [policy.decide(calm.take(o), seed=s, **offer) for s, o in enumerate(orders)]
    return np.mean([d.chosen[500:510] == 1 for d in done])


def follows_at_once():
    prices = np.tile(primes().select(models=list(MARCH)).cost.mean(axis=0), (1000, 1))
    prices[500:, 1] *= 2
    there = np.ones((1000, 2), bool)
    there[500:700, 1] = False
    priced = asked_after(lab.Thompson(cost_weight=20.0), prices=prices)
    return bool(priced < 0.1 and asked_after(lab.Thompson(), available=there) == 0)


@cache
def march(kind):
    """Shares of GPT-4 in each 250 numbers of March, and of right answers: means of the runs."""
    calm, found = primes().select(models=list(MARCH)), []
    price = calm.cost.mean(axis=0)
    budget = 1000 * price.mean()
    for s in range(RUNS):
        stream = calm.take(np.random.default_rng(s).permutation(1000))
        if kind == "joins":
            who = joining(stream, s)
        elif kind == "spends":
            who = lab.Thompson().decide(stream, seed=s).chosen
            who = np.where(np.cumsum(price[who]) <= budget, who, -1)
        else:
            who = lab.BudgetBandit(budget, 1000).decide(stream, seed=s, prices=price).chosen
        right = (who >= 0) & (stream.correct[np.arange(1000), who] == 1)
        found.append([*(who.reshape(4, 250) == 1).mean(axis=1), right.mean()])
    return 100 * np.mean(found, axis=0)


def joining(stream, s):
    learner, who = lab.Thompson().begin(stream.models[:1], np.random.default_rng(s)), []
    for t, grades in enumerate(stream.correct):
        if t == 250:
            learner = learner.with_models(stream.models)
        who += learner.choose({}, t)
        learner.learn(lab.Feedback(t, who[-1], grades[who[-1]], np.nan, np.nan))
    return np.array(who)


def a_coin():
    return 100 * primes().select(models=list(MARCH)).accuracy().mean()


def spends_early():
    return bool((np.diff(march("keeps")[:4]) < 0).all() and march("keeps")[0] > 90)


# -- exams ----------------------------------------------------------------------------------------


@cache
def many():
    table = lab.load_outcomes("mmlu-pro-29-llms")
    return table.select(models=[name for name in table.models if name != "DeepSeek-Coder-V2"])


def right(decision):
    return np.nan_to_num(decision.correct)


@cache
def examined(policy, by_subject=False):
    """Percent right (s,), regret against the best model (s,), share of calls to it (s,)."""
    best, found = int(many().accuracy().argmax()), []
    for s in range(SEEDS):
        order = np.random.default_rng(100 + s).permutation(len(many()))
        if by_subject:
            order = order[np.argsort(np.asarray(many().group)[order], kind="stable")]
        table = many().take(order)
        done = policy.decide(table, seed=s)
        regret = np.nan_to_num(table.correct[:, best]).sum() - right(done).sum()
        found.append((100 * right(done).mean(), regret, (done.chosen == best).mean()))
    return np.array(found).T


def percent(policy):
    return examined(policy)[0].mean()


def best_of_pool():
    return 100 * np.nan_to_num(many().correct).mean(axis=0).max()


def spread_over_orders():
    """In points, of UCB1: eight orders."""
    orders = (np.random.default_rng(200 + s).permutation(len(many())) for s in range(8))
    return 100 * np.std([right(lab.UCB1().decide(many().take(o))).mean() for o in orders], ddof=1)


def four_times_the_regret():
    return bool(3.5 < examined(lab.UCB1())[1].mean() / examined(lab.Thompson())[1].mean() < 4.5)


def half_of_the_calls():
    return bool(0.45 < examined(lab.UCB1())[2].mean() < 0.55)


def greedy_is_spread_more():
    spreads = [examined(p)[1].std() for p in (lab.EpsilonGreedy(0.05), lab.UCB1(), lab.Thompson())]
    return bool(spreads[0] > 2 * max(spreads[1:]))


def loses_more_by_subject():
    return bool(examined(lab.Thompson(), True)[1].mean() > examined(lab.Thompson())[1].mean())


def subjects_in_hindsight():
    whole, subject = np.nan_to_num(many().correct), np.asarray(many().group)
    best = sum(whole[subject == s].sum(axis=0).max() for s in set(subject)) / len(whole)
    return bool(1 < 100 * best - best_of_pool() < 2)


APART = lab.Thompson(by="group", strength=0)
BORROWS = lab.Thompson(by="group", strength=100)


def gains_nothing_sure():
    gain = percent(BORROWS) - percent(lab.Thompson())
    return bool(abs(gain) < examined(BORROWS)[0].std(ddof=1))


# -- a log ----------------------------------------------------------------------------------------


@cache
def logged():
    """Plain means, estimates by inverse propensity, and the truth, of mathstral and Llama-2."""
    two = many().select(models=["mathstral-7B", "Llama-2-70b-hf"])
    science = np.isin(two.group, ["math", "physics", "chemistry", "engineering"])
    chance = np.where(science, 0.9, 0.1)
    chosen = (np.random.default_rng(0).random(len(two)) > chance).astype(int)
    propensity, every = np.where(chosen == 0, chance, 1 - chance), np.arange(len(two))
    grade = two.correct[every, chosen]
    plain = [grade[chosen == j].mean() for j in (0, 1)]
    by = [(grade / propensity)[chosen == j].sum() / len(two) for j in (0, 1)]
    return plain, by, two.accuracy(), two.correct[science].mean(0) < two.correct[~science].mean(0)


def plain_means_are_wrong_and_weights_right():
    plain, by, truth, _ = logged()
    return bool(plain[0] < plain[1] and by[0] > by[1] and truth[0] > truth[1])


CLAIMS = [
    Claim("GPT-4 was right on {84} % of 1,000 numbers, GPT-3.5 on {52} %. In June, under the same"
          " names, GPT-4 was right on {50} % and GPT-3.5 on {68} %", months, 0.5),
    Claim("The best model is right on {70.2} %", best_of_pool, 0.05),
    Claim("is right on {67.9} %; UCB1 on {60.5} %",
          lambda: (percent(lab.Thompson()), percent(lab.UCB1())), 0.05),
    Claim("with four times the regret", four_times_the_regret),
    Claim("differs by {0.5} points (a standard deviation) from order to order",
          spread_over_orders, 0.15),
    Claim("half of its calls go to models that are not the best", half_of_the_calls),
    Claim("over orders its regret is spread more widely than that of the others",
          greedy_is_spread_more),
    Claim("Subject by subject Thompson sampling loses some more", loses_more_by_subject),
    Claim("9 of 10 runs never do", nine_of_ten_never_notice),
    Claim("{52.8} % of June's answers are right", lambda: remembered(1.0)[1], 0.05),
    Claim("A memory of 100 costs {1.2} points in March",
          lambda: remembered(1.0)[0] - remembered(0.99)[0], 0.06),
    Claim("In June it wins {10.9} points",
          lambda: remembered(0.99)[1] - remembered(1.0)[1], 0.06),
    Claim("A shorter memory notices sooner and pays more in calm times",
          short_memory_is_quicker_and_worse_in_march),
    Claim("At 0.9 both months get worse", ten_grades_are_too_few),
    Claim("Within ten questions it asks the other model", follows_at_once),
    Claim("{98} % of its first 250 numbers are its own", lambda: march("joins")[1], 0.5),
    Claim("{44.5} % of all answers are right", lambda: march("spends")[4], 0.05),
    Claim("keeps a cheap answer for each number to come and is right on {65.1} %",
          lambda: march("keeps")[4], 0.05),
    Claim("It spends early all the same", spends_early),
    Claim("a coin that asks GPT-4 every other time would be right on {67.9} %", a_coin, 0.05),
    Claim("The plain means name the wrong model.", plain_means_are_wrong_and_weights_right),
    Claim("Questions of science are harder for both", lambda: bool(logged()[3].all())),
    Claim("The order is right again.", plain_means_are_wrong_and_weights_right),
    Claim("In hindsight subjects are worth less than two points", subjects_in_hindsight),
    Claim("Learning each of them apart costs {9.2} points",
          lambda: percent(lab.Thompson()) - percent(APART), 0.06),
    Claim("undoes the harm and gains nothing that stands out of the spread", gains_nothing_sure),
    Claim("It is right on {45.8} %", lambda: percent(lab.Thompson(discount=0.99)), 0.05),
]  # fmt: skip
GIVEN = []

test_claims_hold = claims_hold("04_routing_while_the_world_moves", CLAIMS)
test_figures_are_claimed = figures_are_claimed("04_routing_while_the_world_moves", CLAIMS, GIVEN)
