"""What notebook 08 says of its tables, computed again by its own functions."""

from functools import cache

import nbformat
import numpy as np

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed
from tests.support.processes import ROOT

SEEDS = range(5)
NOTEBOOK = "08_bagging"


@cache
def names():
    """The functions and tables of the notebook, without what its cells print or measure."""
    found = {"lab": lab}
    wanted = (
        "parameters",
        "helpers",
        "helpers-2",
        "tree",
        "one-split",
        "repeat",
        "parts",
        "forecast",
        "against",
    )
    for cell in nbformat.read(ROOT / f"notebooks/{NOTEBOOK}.ipynb", as_version=4).cells:
        if cell.id in wanted:
            exec(cell.source, found)
        if cell.id in ("neighbours", "compare", "forecast-table", "fails-one"):
            exec(cell.source.split("second =")[0].split("found =")[0].split("measured =")[0]
                 .split("beside =")[0], found)  # fmt: skip
    return found


@cache
def compared(table, learner):
    """(splits, 5): one model, a member, bag, out-of-bag, most frequent class."""
    own = names()
    return np.array([own["one_split"](own["tables"][table], own[learner], s) for s in SEEDS])


def gain(table, learner):
    """Points, split by split, of the bag over one model on all rows."""
    found = compared(table, learner)
    return found[:, 2] - found[:, 0]


@cache
def parts(method):
    """A dict from the rows of the notebook's table to (2,) of as many splits."""
    own = names()
    runs = [own["one_repetition"](own["methods"][method], s) for s in range(2)]
    return dict(zip(own["NAMES"], np.array(runs).T))


@cache
def beside(table):
    """(splits, 5): one neighbour, scaled, bag, forest, neighbour less bag."""
    own = names()
    return np.array([own["against"](own["tables"][table], s) for s in SEEDS])


METHODS = "deep trees", "8 random pixels a question", "stumps", "3 neighbours"


def eight_predict():
    """Nearer to what is measured than independence is, and within a third of it."""
    for method in METHODS:
        found = {name: values.mean() for name, values in parts(method).items()}
        measured = found["… measured"]
        off = abs(found["… predicted from 8"] - measured)
        assert off < measured / 3
        assert off < abs(found["variance of the mean, if independent"] - measured) / 3
    return True


def shares(method):
    """Of a member's error: bias², shared variance, own variance."""
    found = {name: values.mean() for name, values in parts(method).items()}
    whole, shared = found["… bias² + σ²"], found["ρ"] * found["σ²"]
    return np.array([found["bias² (and noise)"], shared, found["σ²"] - shared]) / whole


def all_add_up():
    for method in METHODS:
        found = parts(method)
        for one, other in (("error of a member", "… bias² + σ²"),
                           ("error of the bag", "… bias² + measured variance")):  # fmt: skip
            np.testing.assert_allclose(found[one], found[other], rtol=1e-9)
    return True


def trees_are_mostly_own_variance():
    _, shared, own = shares("deep trees")
    found = parts("deep trees")
    most_left = found["bias² (and noise)"].mean() > found["error of the bag"].mean() / 2
    return own > 0.5 and shared < 0.1 and most_left


def random_pixels_are_less_alike():
    one, other = parts("deep trees"), parts("8 random pixels a question")
    return (other["ρ"] < one["ρ"]).all() and (
        other["error of a member"] > one["error of a member"]
    ).all()


def neighbours_alone_are_as_good():
    found = parts("3 neighbours")
    off = found["error of one model"] - found["error of the bag"]
    return abs(off.mean()) < found["error of the bag"].std(ddof=1)


@cache
def less_extreme():
    """The largest probability of a bag, of a tree and of bags with random pixels."""
    own = names()
    tops = []
    for method in ("deep trees", "8 random pixels a question"):
        bags, _, _ = own["repeated"](own["methods"][method], 0)
        tops += [bags.max(-1).mean(), bags.mean(1).max(-1).mean()]
    return tops[0] > 0.99 and tops[1] < 0.8 and tops[3] < tops[1]


CLAIMS = [
    Claim("The gain is about {10} points on digits and {20} points on few digits",
          lambda: (gain("digits", "tree").mean(), gain("few digits", "tree").mean()), 1.5),
    Claim("Members are worse than one tree that learns from all rows, and the bag is clearly better"
          " than that tree",
          lambda: all((compared(t, "tree")[:, 1] < compared(t, "tree")[:, 0]).all()
                      and (gain(t, "tree") > 5).all() for t in ("digits", "few digits"))),
    Claim("On tumours one tree is right on {94} %, and the gain is smaller than its spread",
          lambda: compared("tumours", "tree")[:, 0].mean(), 0.5),
    Claim("the gain is smaller than its spread",
          lambda: gain("tumours", "tree").mean() < gain("tumours", "tree").std(ddof=1)),
    Claim("where more than one answer in ten is wrong",
          lambda: compared("few digits", "neighbours")[:, 0].mean() < 90),
    Claim("about {1} point, where trees gain twenty",
          lambda: gain("few digits", "neighbours").mean(), 0.5),
    Claim("so it is worse than one model on all rows",
          lambda: (compared("few digits", "neighbours")[:, 1]
                   < compared("few digits", "neighbours")[:, 0]).all()),
    Claim("and gain about a point at best",
          lambda: max(gain(t, "neighbours").mean() for t in names()["tables"]) < 1.5),
    Claim("**Out-of-bag is close to held-out** on digits and on tumours",
          lambda: max(abs((compared(t, k)[:, 3] - compared(t, k)[:, 2]).mean())
                      for t in ("digits", "tumours") for k in ("tree", "neighbours")) < 1),
    Claim("as for trees on few digits",
          lambda: (compared("few digits", "tree")[:, 3]
                   - compared("few digits", "tree")[:, 2]).mean() < -3),
    Claim("Two corrections make the parts add up", all_add_up),
    Claim("eight members predict what 32 do", eight_predict),
    Claim("most of a tree's error is variance, and members share little of it",
          trees_are_mostly_own_variance),
    Claim("ρ falls, and with it the shared variance. But single trees are worse",
          random_pixels_are_less_alike),
    Claim("most of the error is bias, and averaging leaves it", lambda: shares("stumps")[0] > 0.9),
    Claim("about half of the digits stay wrong",
          lambda: 0.4 < parts("stumps")["… the bag"].mean() < 0.65),
    Claim("members share a third of it",
          lambda: abs(parts("3 neighbours")["ρ"].mean() - 1 / 3) < 0.05),
    Claim("One model on all rows is as good as the bag, within the spread",
          neighbours_alone_are_as_good),
    Claim("Averaging makes the trees' probabilities less extreme", less_extreme),
    Claim("With random pixels the probabilities are even less extreme", less_extreme),
    Claim("has the same bias as a tree, and is wrong on few digits",
          lambda: (parts("deep trees")["… the mean of all bags"]
                   < parts("deep trees")["share of wrong digits: a member"] / 3).all()),
    Claim("random pixels make the better bag",
          lambda: (parts("8 random pixels a question")["… the bag"]
                   < parts("deep trees")["… the bag"]).all()),
    Claim("**On images one lookup beats 32 bagged trees**, by several points",
          lambda: all((beside(t)[:, 4] > 3).all() for t in ("digits", "few digits"))),
    Claim("A random forest beats the bag there on every split",
          lambda: all((beside(t)[:, 3] > beside(t)[:, 2]).all() for t in ("digits", "few digits"))),
    Claim("but it stays behind the lookup",
          lambda: all((beside(t)[:, 3] < beside(t)[:, 0]).all() for t in ("digits", "few digits"))),
    Claim("because its trees are less alike", random_pixels_are_less_alike),
    Claim("On tumours the bag wins", lambda: (beside("tumours")[:, 4] < 0).all()),
    Claim("After scaling that lead is gone",
          lambda: beside("tumours")[:, 1].mean() >= beside("tumours")[:, 2].mean()),
    Claim("about {37} % of the rows are **out of the bag**",
          lambda: 100 * (1 - 1 / 800) ** 800, 0.5),
]  # fmt: skip

GIVEN = [
    "About 37 %, which is 1/e",
    "draw of the same 120 points",
    "Do this 32 times",
    "cost 32 times the memory and the time of one model",
]

test_claims_hold = claims_hold(NOTEBOOK, CLAIMS)
test_figures_are_claimed = figures_are_claimed(NOTEBOOK, CLAIMS, GIVEN)
