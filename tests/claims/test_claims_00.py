"""What notebook 00 claims, computed again from the recordings."""

from functools import cache

import numpy as np
from sklearn.metrics import roc_auc_score

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed

explorer = cache(lambda: lab.explore("escalate"))


@cache
def table(name):
    return lab.load_outcomes(name)


def accuracy(name):
    return dict(zip(table(name).models, 100 * table(name).accuracy(), strict=True))


@cache
def held_out(name, order, most_right=False, splits=10):
    """Price (% of the last model's) and points (mean, spread) of each, chosen on the other half."""
    runs = []
    for split in range(splits):
        fit, test = table(name).select(models=order).split(0.5, split)
        levels = [*np.unique(np.quantile(fit.confidence[:, 0], np.arange(100) / 100)), 1.01]
        rows = lab.frontier(lab.Cascade(order, (0.5,)), fit, thresholds=levels)
        enough = rows[rows["accuracy"] >= fit.accuracy()[1]]
        best = rows["accuracy"].idxmax() if most_right else [*enough.index, rows.index[-1]][0]
        decision = lab.Cascade(order, rows.loc[best, "thresholds"]).decide(test)
        price = decision.mean_cost / test.cost[:, 1].mean()
        runs.append((100 * price, 100 * (decision.accuracy - test.accuracy()[1])))
    return np.mean(runs, 0), np.std(runs, 0, ddof=1)


def ibm():
    """How often it is right, its price, and the points of the cascade that costs as much."""
    rows = explorer().table()
    dear = rows["USD per 10,000"]
    same = 100 * rows["accuracy"][dear <= 25].iloc[-1]
    _, shown = table("audiomnist-services").split(0.5, 0)
    at = shown.models.index("IBM")
    return 100 * shown.accuracy()[at], 1e4 * shown.cost[:, at].mean(), same


def auc(name, small):
    column = table(name).columns((small,))[0]
    return roc_auc_score(table(name).correct[:, column], table(name).confidence[:, column])


CLAIMS = [
    Claim(
        "Together they are right more often than Microsoft alone, for two thirds of its price.",
        lambda: (lambda mean, spread: mean[1] > 3 * spread[1] and abs(mean[0] - 66.7) < 5)(
            *held_out("rafdb-services", ("CNN", "Microsoft"), most_right=True)
        ),
    ),
    Claim("IBM, for example, is right on {98.3} % of the digits for {25} USD.",
          lambda: ibm()[:2], (0.05, 0.01)),
    Claim("For 25 USD the cascade is right more often than IBM.", lambda: ibm()[2] > ibm()[0]),
    Claim(
        "On faces, Microsoft is the best of the four models, and the cascade reaches it for about"
        " half of its price.",
        lambda: accuracy("rafdb-services")["Microsoft"] == max(accuracy("rafdb-services").values())
        and 48 < held_out("rafdb-services", ("CNN", "Microsoft"))[0][0] < 54,
    ),
    Claim("the cascade gains {0.8} points on the other half, for {65} % of the price",
          lambda: held_out("rafdb-services", ("CNN", "Microsoft"), most_right=True)[0][::-1],
          (0.05, 1)),
    Claim("So the cascade pays on two of the three tasks.", lambda: pays() == [True, True, False]),
    Claim("DeepSpeech makes more mistakes",
          lambda: accuracy("audiomnist-services")["DeepSpeech"]
          < accuracy("audiomnist-services")["Microsoft"]),
    Claim("Nearly everything must be escalated.",
          lambda: held_out("imdb-services", ("Vader", "Google"))[0][0] > 95),
    Claim("Vader is also wrong more often than DeepSpeech",
          lambda: accuracy("imdb-services")["Vader"] < accuracy("audiomnist-services")["DeepSpeech"]
          and auc("imdb-services", "Vader") < 0.7 < auc("rafdb-services", "CNN")),
    Claim("with Amazon's service in the place of Vader, equal accuracy costs {87} % of Google's"
          " price",
          lambda: held_out("imdb-services", ("Amazon", "Google"))[0][0], 1),
    Claim("A first model that knows itself better would help here too",
          lambda: auc("imdb-services", "Amazon") > 0.1 + auc("imdb-services", "Vader")),
    Claim("To escalate everything costs more than the big model alone.",
          lambda: explorer().table()["USD per 10,000"][100] > 41),
]  # fmt: skip


def pays():
    """Whether each of the three tasks is as right, to a tenth of a point, for nine tenths."""
    orders = {"audiomnist-services": ("DeepSpeech", "Microsoft"),
              "rafdb-services": ("CNN", "Microsoft"),
              "imdb-services": ("Vader", "Google")}  # fmt: skip
    means = [held_out(name, order)[0] for name, order in orders.items()]
    return [bool(price < 90 and points > -0.1) for price, points in means]


GIVEN = [
    "50 % means that the confidence says nothing",
    "it is within one point of the big model's accuracy",
]
test_claims_hold = claims_hold("00_start_here", CLAIMS)
test_figures_are_claimed = figures_are_claimed("00_start_here", CLAIMS, GIVEN)
