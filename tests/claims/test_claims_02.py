"""What notebook 02 claims, computed again from the recordings."""

from dataclasses import replace
from functools import cache

import numpy as np
from sklearn.metrics import roc_auc_score

import ensemble_lab as lab
from ensemble_lab.explorers.answers.ranking import predicted
from tests.support.claims import Claim, claims_hold, figures_are_claimed

SPLITS = range(5)
HALF = 0.0005  # USD, half of Microsoft's price of a face
CHEAPEST = {"rafdb": "CNN", "expw": "CNN", "audiomnist": "DeepSpeech", "fluent": "DeepSpeech",
            "imdb": "Vader", "waimai": "Bixin", "shop": "Bixin"}  # fmt: skip


@cache
def table(name):
    return lab.load_outcomes(f"{name}-services")


def swept(fit, order):
    levels = [*np.unique(np.quantile(fit.confidence[:, 0], np.arange(100) / 100)), 1.01]
    return lab.frontier(lab.Cascade(order, (0.5,)), fit, thresholds=levels)


@cache
def parity(name):
    """How often the small model is right, its AUC, and the price of equal accuracy."""
    runs = []
    for split in SPLITS:
        fit, test = table(name).split(0.5, split)
        order = CHEAPEST[name], fit.best_single().model
        fit, test = fit.select(models=order), test.select(models=order)
        rows = swept(fit, order)
        enough = rows[rows["accuracy"] >= fit.accuracy()[1]].index
        decision = lab.Cascade(order, rows.loc[[*enough, rows.index[-1]][0], "thresholds"])
        auc = roc_auc_score(test.correct[:, 0], test.confidence[:, 0])
        price = decision.decide(test).mean_cost / test.cost[:, 1].mean()
        runs.append((test.accuracy()[0], auc, price))
    return np.mean(runs, 0)


def ranks():
    """Rank correlations with the price: of the AUC, and of how often the small one is right."""
    right, auc, price = np.argsort(np.argsort([parity(name) for name in CHEAPEST], 0), 0).T
    return np.corrcoef(auc, price)[0, 1], np.corrcoef(right, price)[0, 1]


@cache
def budgets():
    """Accuracy (5 splits, %) of single model, mixture, chain, and chain by label."""
    runs = []
    for split in SPLITS:
        fit, test = table("rafdb").split(0.5, split)
        alone = dict(zip(test.models, test.accuracy(), strict=True))
        chains = [lab.BudgetCascade(HALF, per_label=by).fit(fit).decide(test) for by in (0, 1)]
        row = alone["CNN"], (alone["CNN"] + alone["Microsoft"]) / 2
        runs.append([*row, *(chain.accuracy for chain in chains)])
    return 100 * np.array(runs).T


@cache
def first_stage(first):
    """Points against Microsoft alone and USD per 10,000, of the most accurate threshold."""
    runs = []
    for split in SPLITS:
        fit, test = (
            h.select(models=(first, "Microsoft")) for h in table("rafdb").split(0.5, split)
        )
        rows = swept(fit, fit.models)
        level = rows.loc[rows["accuracy"].idxmax(), "thresholds"]
        decision = lab.Cascade(fit.models, level).decide(test)
        runs.append((100 * (decision.accuracy - test.accuracy()[1]), 1e4 * decision.mean_cost))
    return np.mean(runs, 0), np.std(runs, 0, ddof=1)


@cache
def selected(blind):
    """Points of the learned selector above the mixture of its price: mean and spread."""
    exam, runs = lab.load_outcomes("routellm-mmlu"), []
    for split in SPLITS:
        fit, test = exam.split(0.5, split)
        if blind:
            mix = np.random.default_rng(split).permutation
            fit, test = (replace(h, features={k: mix(v) for k, v in h.features.items()})
                         for h in (fit, test))  # fmt: skip
        selector = lab.LearnedSelector(*exam.models).fit(fit)
        low, high = fit.cost.mean(axis=0)
        level = np.quantile(selector.chance(fit), (high / 2 - low) / (high - low))
        decision = replace(selector, threshold=float(level)).decide(test)
        ends = test.cost.mean(axis=0)
        mixture = np.interp(decision.mean_cost, ends, test.accuracy())
        runs.append((100 * (decision.accuracy - mixture), decision.mean_cost / ends[1]))
    return np.mean(runs, 0), np.std(runs, 0, ddof=1)


def precision(label, least=0.0):
    """How often (%) CNN is right where it gives that answer with that confidence or more."""
    faces, column = table("rafdb"), table("rafdb").columns(("CNN",))[0]
    given = faces.answer[:, column] == faces.labels.index(label)
    given &= faces.confidence[:, column] >= least
    return 100 * (faces.truth[given] == faces.labels.index(label)).mean()


def last_stage():
    """Whether Face++ is last in each learned chain, and more right there than Microsoft."""
    found = []
    for split in SPLITS:
        fit, test = table("rafdb").split(0.5, split)
        chain = lab.BudgetCascade(HALF).fit(fit)
        asked = chain.decide(test).called[:, test.columns(chain.order[-1:])[0]]
        here = dict(zip(test.models, test.take(asked).accuracy(), strict=True))
        found.append(
            chain.order[1:] == ("Microsoft", "Face++") and here["Face++"] > here["Microsoft"]
        )
    return all(found)


def ties(name):
    sure = table(name).confidence[:, table(name).columns(("Bixin",))[0]]
    return (sure == sure.max()).mean() > 0.4 and parity(name)[2] > 0.99


CLAIMS = [
    Claim("At 0.97 the cascade *overshoots*: it is right more often than the big model alone",
          lambda: predicted(0.97, 0.6, 0.9).accuracy.max() > 0.93),
    Claim("The higher the AUC, the lower the price of equal accuracy, mostly: *fluent* is the"
          " exception. How often the small model is right says little",
          lambda: ranks()[0] < -0.7 and abs(ranks()[1]) < 0.2),
    Claim("Microsoft is right on {72} % of all faces in *rafdb*, but on {55} % of those that CNN"
          " gets wrong", lambda: (100 * table("rafdb").accuracy()[2],
                                 100 * table("rafdb").correct[:, 2][cnn() == 0].mean()), 0.5),
    Claim("that is why *waimai* and *shop* cost the full price",
          lambda: ties("waimai") and ties("shop")),
    Claim("CNN hardly ever answers *disgust*.", lambda: answers("disgust") < 0.002),
    Claim("of its answers *fear* only {10} % are right, of its answers *surprise* {95} %",
          lambda: (precision("fear"), precision("surprise")), 0.5),
    Claim("So a *fear* that CNN is very sure of means less than such a *surprise*",
          lambda: precision("fear", 0.9) < 20 and precision("surprise", 0.9) > 90),
    Claim("A chain with confidences gains about {6} points more for the same money.",
          lambda: (budgets()[2] - budgets()[1]).mean(), 0.5),
    Claim("The best single model within the budget is Face++. The random mixture is better",
          lambda: 0.6 < table("rafdb").accuracy()[1] < budgets()[1].min() / 100
          and table("rafdb").cost[0, 1] < 1.001 * HALF),
    Claim("A threshold for each label gains another point here.",
          lambda: 0.5 < (budgets()[3] - budgets()[2]).mean() < 2),
    Claim("The learned order ends with Face++", last_stage),
    Claim("The gain holds on new items.",
          lambda: first_stage("Google")[0][0] > 3 * first_stage("Google")[1][0]),
    Claim("Google's service costs more for a face than Microsoft's.",
          lambda: first_stage("Google")[0][1] > 15),
    Claim("The selector gains half a point on the random mixture, and the one that knows nothing"
          " gains nothing.", lambda: 0.4 < selected(False)[0][0] < 0.75
          and abs(selected(True)[0][0]) < 0.15),
    Claim("It spends more than half: questions that look hard are longer.",
          lambda: selected(False)[0][1] > 0.55 > selected(True)[0][1]),
    Claim("On faces, the cascade gained about six points on its mixture.",
          lambda: abs((budgets()[2] - budgets()[1]).mean() - 6) < 0.5),
]  # fmt: skip
GIVEN = [
    "A small model is right on 60 % of the items, a big one on 90 %",
    "each row adds up to 100 %",
    "A small call costs 1 USD",
]


def cnn():
    return table("rafdb").correct[:, table("rafdb").columns(("CNN",))[0]]


def answers(label):
    faces = table("rafdb")
    return (faces.answer[:, faces.columns(("CNN",))[0]] == faces.labels.index(label)).mean()


test_claims_hold = claims_hold("02_cascades", CLAIMS)
test_figures_are_claimed = figures_are_claimed("02_cascades", CLAIMS, GIVEN)
