"""What notebook 03 claims, computed again from the recordings."""

from functools import cache

import numpy as np

import ensemble_lab as lab
from ensemble_lab import metrics
from tests.support.claims import Claim, claims_hold, figures_are_claimed

NOTEBOOK = "03_routing"
SPLITS = range(5)
REVIEWS = ("imdb", "waimai", "shop")
FACES = ("rafdb", "expw")


@cache
def table(name):
    return lab.load_outcomes(name)


exam, school = (lambda name=name: table(name) for name in ("routellm-mmlu", "routellm-gsm8k"))


@cache
def halves(name):
    return [table(name).split(0.5, split) for split in SPLITS]


def scores(router, fit, test):
    found = router.fit(fit).scores(test.blinded())
    return found[:, 1] - found[:, 0]


ROUTERS = {
    "length": lab.LengthRouter(),
    "subject": lab.GroupRouter(),
    "clusters": lab.ClusterRouter(),
    "nearest": lab.NeighbourRouter(),
    "similarity": lab.SimilarityRouter(),
    "elo": lab.EloRouter(),
    "knora": lab.DynamicSelection(vote=False),
    "both": lab.NeighbourRouter(groups=True),
    "gap": lab.GapRouter(),
    "factors": lab.FactorRouter(),
    "classifiers": lab.QualityRouter(),
}
SUBJECTS = ("subject", "both")


@cache
def apgr(name, router):
    """APGR (5 splits,)."""
    return np.array([metrics.apgr(scores(ROUTERS[router], fit, test), *test.correct.T)
                     for fit, test in halves(name)])  # fmt: skip


@cache
def paired(name, other):
    """Difference and lower end (5 splits, 2) of the classifiers against another router."""
    return np.array([
        metrics.apgr_difference(scores(ROUTERS["classifiers"], fit, test),
                                scores(ROUTERS[other], fit, test), *test.correct.T)[:2]
        for fit, test in halves(name)
    ])  # fmt: skip


def classifiers_on_top():
    tops = []
    for name, without in (("routellm-mmlu", ()), ("routellm-gsm8k", SUBJECTS)):
        means = {r: apgr(name, r).mean() for r in ROUTERS if r not in without}
        tops.append(max(means, key=means.get) == "classifiers")
    return all(tops)


@cache
def leads():
    """Subject to lead in points, for each split's table."""
    found = []
    for fit, _ in halves("routellm-mmlu"):
        groups, means = lab.GroupRouter().fit(fit).fitted.state
        lead = 100 * (means.by_group[:, 1] - means.by_group[:, 0])
        found.append(dict(zip(groups, lead, strict=True)))
    return found


def middle_half():
    return all(np.subtract(*np.quantile(list(lead.values()), [0.75, 0.25])) < 10
               for lead in leads())  # fmt: skip


def island():
    """Share of moral scenarios among the questions far right on the map."""
    far = exam().features["embedding_00"] > 40
    return (exam().group[far] == "moral_scenarios").mean()


@cache
def windows():
    """Points (23, 5, 2) of the subject router and of the oracle, for each first rank and split."""
    pro = table("mmlu-pro-29-llms")
    ranked = [pro.models[j] for j in np.argsort(-pro.accuracy(), kind="stable")]
    found = np.empty((len(ranked) - 6, len(SPLITS), 2))
    for first in range(len(found)):
        pool = pro.select(models=ranked[first : first + 7])
        pool = pool.take(~np.isnan(pool.correct).any(axis=1))
        for split in SPLITS:
            fit, test = pool.split(0.5, split)
            alone = test.accuracy()[int(fit.accuracy().argmax())]
            routed = lab.GroupRouter().fit(fit).decide(test).accuracy
            found[first, split] = 100 * (routed - alone), 100 * (test.oracle() - alone)
    return found


def specialist():
    """Whether mathstral is in the window of the largest gain and is sent most of it."""
    pro = table("mmlu-pro-29-llms")
    ranked = [pro.models[j] for j in np.argsort(-pro.accuracy(), kind="stable")]
    best = int(windows()[..., 0].mean(axis=1).argmax())
    fit, test = pro.select(models=ranked[best : best + 7]).split(0.5, 0)
    calls = lab.GroupRouter().fit(fit).decide(test).calls
    return max(calls, key=calls.get) == "mathstral-7B"


@cache
def aiq(maker=None, factor=1.0):
    """AIQ in points of the router and of the single models."""
    prices = lab.load_prices()
    prices.loc[prices["maker"] == maker, ["input", "output"]] *= factor
    pool = table("mmlu-pro-29-llms").select(models=list(prices.index))
    pool = pool.take(~np.isnan(pool.correct).any(axis=1))
    fit, test = lab.priced(pool, 250, prices).split(0.5, 0)
    weights = [*np.arange(0, 0.1, 0.01).round(2), *np.arange(0.1, 1.01, 0.05).round(2)]
    way = lab.frontier(lab.GroupRouter().fit(fit), test, cost_weight=weights)
    alone = test.cost.mean(axis=0)
    between = way["cost"].min(), alone[int(fit.accuracy().argmax())]
    areas = (metrics.aiq(way["cost"], way["accuracy"], between),
             metrics.aiq(alone, test.accuracy(), between))  # fmt: skip
    return 100 * np.array(areas)


def every_list():
    makers = lab.load_prices()["maker"].unique()
    return np.array([aiq(), *(aiq(maker, f) for maker in makers for f in (0.5, 2.0))])


@cache
def services(name):
    """Points of the router, its price, points of the cascade, of the oracle: (5, 4)."""
    rows = []
    for fit, test in halves(f"{name}-services"):
        best = int(fit.accuracy().argmax())
        price, right = test.cost[:, best].mean(), test.accuracy()[best]
        first = fit.models[int(fit.cost.mean(axis=0).argmin())]
        routed = lab.LabelRouter(first=first).fit(fit).decide(test)
        cascade = lab.BudgetCascade(fit.cost[:, best].mean(), max_stages=2).fit(fit).decide(test)
        rows.append([100 * (routed.accuracy - right), routed.mean_cost / price,
                     100 * (cascade.accuracy - right), 100 * (test.oracle() - right)])  # fmt: skip
    return np.array(rows)


@cache
def by_price():
    """Points over the mixture at 1/4 and 1/2 of GPT-4's price: (2 routers, 5 splits, 2)."""
    weights, found = np.linspace(0.1, 0.6, 51).tolist(), np.empty((2, len(SPLITS), 2))
    for at, router in enumerate((lab.GroupRouter(), lab.QualityRouter())):
        for split, (fit, test) in enumerate(halves("routellm-mmlu")):
            price, right = test.cost.mean(axis=0), test.accuracy()
            way = lab.frontier(router.fit(fit), test, cost_weight=weights).sort_values("cost")
            paid = np.array([0.25, 0.5]) * price[1]
            bought = np.interp(paid, way["cost"], way["accuracy"])
            found[at, split] = 100 * (bought - np.interp(paid, price, right))
    return found


def sent_first_are_longer():
    """By how much (2, 5) the half that is sent first is longer than the mean, as a share."""
    found = []
    for router in (lab.GroupRouter(), lab.QualityRouter()):
        for fit, test in halves("routellm-mmlu"):
            length = test.features["prompt_chars"]
            first = np.argsort(-scores(router, fit, test), kind="stable")[: len(test) // 2]
            found.append(length[first].mean() / length.mean() - 1)
    return min(found)


def none_is_sent():
    """Whether on imdb the router keeps the best service's answer to each review, on all splits."""
    sent = []
    for fit, test in halves("imdb-services"):
        decision = lab.LabelRouter(first="Vader").fit(fit).decide(test)
        sent.append((decision.chosen != int(fit.accuracy().argmax())).sum())
    return sum(sent) == 0


@cache
def on_school():
    """APGR of the oracle, and the noise floor."""
    weak, strong = school().correct.T
    return metrics.apgr(strong - weak, weak, strong), metrics.noise_floor(weak, strong)


CLAIMS = [
    Claim("Two models answered {1,319} school problems: Mixtral is right on {64} % of them, GPT-4"
          " on {86} %", lambda: (len(school()), *(100 * school().accuracy())), (0, 0.5, 0.5)),
    Claim("An oracle, which knows who is right, has {1.12}.", lambda: on_school()[0], 0.005),
    Claim("The oracle is nine points away.", lambda: abs(services("imdb")[:, 3].mean() - 9) < 0.5),
    Claim("The middle half of the subjects lies within ten points", middle_half),
    Claim("On *moral_scenarios* GPT-4 leads by more than 30 points: these questions make up most of"
          " the island on the map.",
          lambda: all(lead["moral_scenarios"] > 30 for lead in leads()) and island() > 0.8),
    Claim("On *high_school_mathematics* Mixtral is ahead.",
          lambda: all(lead["high_school_mathematics"] < -20 for lead in leads())),
    Claim("Counting characters is better than a random order on both tables",
          lambda: all((apgr(name, "length") > 0.55).all()
                      for name in ("routellm-mmlu", "routellm-gsm8k"))),
    Claim("nearest questions without it are worse, and with it they gain next to nothing",
          lambda: apgr("routellm-mmlu", "nearest").mean() < apgr("routellm-mmlu", "subject").mean()
          and 0 < (apgr("routellm-mmlu", "both") - apgr("routellm-mmlu", "subject")).mean() < 0.01),
    Claim("The classifiers are on top on both tables.", classifiers_on_top),
    Claim("a random order of the whole school table has 0.5 ± {0.020}", lambda: on_school()[1],
          0.0005),
    Claim("The gain is positive in all ten splits, and small on the exam: about {0.02} of APGR.",
          lambda: paired("routellm-mmlu", "subject")[:, 0].mean(), 0.005),
    Claim("The gain is positive in all ten splits",
          lambda: (paired("routellm-mmlu", "subject")[:, 0] > 0).all()
          and (paired("routellm-gsm8k", "length")[:, 0] > 0).all()),
    Claim("On a single half the interval is above zero in four of five splits.",
          lambda: (paired("routellm-mmlu", "subject")[:, 1] > 0).sum() == 4),
    Claim("the mean gain is larger, but a half has only {660} problems",
          lambda: len(halves("routellm-gsm8k")[0][0]), 1),
    Claim("the interval is above zero in two of five splits",
          lambda: (paired("routellm-gsm8k", "length")[:, 1] > 0).sum() == 2
          and paired("routellm-gsm8k", "length")[:, 0].mean()
          > paired("routellm-mmlu", "subject")[:, 0].mean()),
    Claim("The largest gain is in a window with a specialist", specialist),
    Claim("Where one model is best in every subject (ranks 4 to 10) a table of subjects has nothing"
          " to choose.", lambda: (windows()[3, :, 0] == 0).all()),
    Claim("The oracle promises {16} to {36} points everywhere",
          lambda: (np.floor(windows()[..., 1].min()), np.ceil(windows()[..., 1].max()))),
    Claim("The router is more than a point above the single models at every price list.",
          lambda: (every_list() @ [1, -1] > 1).all()),
    Claim("One provider's price moves it by less than half a point",
          lambda: abs(every_list()[:, 0] - aiq()[0]).max() < 0.5),
    Claim("the router gains on the best service, for less than its price, and more than the"
          " cascade", lambda: all((services(n)[:, 0] > services(n)[:, 2]).all()
                                  and (services(n)[:, 0] > 0.3).all()
                                  and (services(n)[:, 1] < 0.75).all() for n in FACES)),
    Claim("On spoken digits it gains a third of a point.",
          lambda: abs(services("audiomnist")[:, 0].mean() - 1 / 3) < 0.05),
    Claim("it gains nothing, and the oracle is five to nine points away",
          lambda: all(abs(services(n)[:, 0].mean()) < 0.1
                      and 4.8 < services(n)[:, 3].mean() < 9.2 for n in REVIEWS)),
    Claim("On imdb the router sends nothing at all", none_is_sent),
    Claim("Both gain one to two points on the random mixture of the same price.",
          lambda: ((by_price().mean(axis=1) > 1) & (by_price().mean(axis=1) < 2)).all()),
    Claim("the questions that are sent first are longer than average, by a fifth or more",
          lambda: sent_first_are_longer() > 0.2),
    Claim("For a quarter of GPT-4's price the table of subjects is ahead of the classifiers, on all"
          " five splits.", lambda: (by_price()[0, :, 0] > by_price()[1, :, 0]).all()),
    Claim("The same router gains nothing or five points, by which seven models it has.",
          lambda: windows()[..., 0].mean(axis=1).max() > 5
          and abs(windows()[..., 0].mean(axis=1)).min() == 0),
]  # fmt: skip
GIVEN = ["The grey band has 95 % of all random orders."]

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
