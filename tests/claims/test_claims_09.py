"""What notebook 09 says about boosting, computed again on one or two of its five splits."""

from functools import cache, partial

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ensemble_lab.explorers.training import boosting_replay as moons
from ensemble_lab.training import (
    AdaBoostClassifier,
    GradientBoostingRegressor,
    NetworkRegressor,
    perceptron,
)
from tests.support.claims import Claim, claims_hold, figures_are_claimed

SPLITS = range(1)
SHORT, LONG = 60, 300


def digits(split):
    X, y = load_digits(return_X_y=True)
    return train_test_split(X, y, train_size=500, random_state=split, stratify=y)


@cache
def boosted(split, noise=0.0):
    """Training and held-out errors of every round, and the last weight on wrong labels."""
    X, new, y, truth = digits(split)
    draw = np.random.default_rng(split)
    wrong = draw.permutation(500) < round(500 * noise)
    y = np.where(wrong, (y + draw.integers(1, 10, 500)) % 10, y)
    tree = DecisionTreeClassifier(max_depth=5)
    model = AdaBoostClassifier(tree, LONG, random_state=split).fit(X, y)
    inside, held = (
        1 - np.array(list(model.staged_score(*pair))) for pair in ((X, y), (new, truth))
    )
    return inside, held, model.sample_weights_[-1][wrong].sum()


@cache
def bagged(split, noise):
    """Held-out errors of bags of SHORT and LONG trees."""
    X, new, y, truth = digits(split)
    draw = np.random.default_rng(split)
    wrong = draw.permutation(500) < round(500 * noise)
    y = np.where(wrong, (y + draw.integers(1, 10, 500)) % 10, y)
    bag = BaggingClassifier(n_estimators=LONG, random_state=split).fit(X, y)
    votes = np.eye(10)[[tree.predict(new).astype(int) for tree in bag.estimators_]].cumsum(0)
    return [np.mean(votes[size - 1].argmax(1) != truth) for size in (SHORT, LONG)]


def ahead(noise, size):
    """By how much AdaBoost has fewer errors than a bag of the same size, by split."""
    at = (SHORT, LONG).index(size)
    return np.array([bagged(s, noise)[at] - boosted(s, noise)[1][size - 1] for s in SPLITS])


def fell():
    inside, held, _ = boosted(0)
    return bool(0.2 < held[-1] / held[inside.argmin()] < 0.42)


def on_clean_moons():
    """Mean held-out errors of 60 rounds, as the explorer has them."""
    return moons.rounds(3, 0.0, 1.0).held.mean(0)


@cache
def on_moons(noise, rate, rounds=LONG):
    """Mean held-out errors on the half moons, trees of depth 3, and of a bag of SHORT trees."""
    held, bags = [], []
    new, truth = moons.moons(moons.HELD_OUT, len(moons.DRAWS), moons.NOISE)
    for seed in moons.DRAWS[:2]:
        X, label, _ = moons._draw(seed, noise)
        model = AdaBoostClassifier(
            DecisionTreeClassifier(max_depth=3), rounds, learning_rate=rate, random_state=seed
        ).fit(X, label)
        errors = 1 - np.array(list(model.staged_score(new, truth)))
        held.append(np.r_[errors, np.full(rounds - len(errors), errors[-1])])
        bag = BaggingClassifier(n_estimators=SHORT, random_state=seed).fit(X, label)
        bags.append(1 - bag.score(new, truth))
    return np.mean(held, axis=0), np.mean(bags)


def rises_and_goes_on():
    held, bag = on_moons(0.2, 1.0)
    return bool(held.argmin() < 10 and held[SHORT - 1] > held.min() + 0.02
                and held[-1] > held[SHORT - 1] > bag)  # fmt: skip


def small_steps():
    held, bag = on_moons(0.2, 0.1)
    return bool(held[SHORT - 1] < bag and held[-1] > held[SHORT - 1])


# -- the patients -------------------------------------------------------------------------------


def parts(split):
    X, new, y, truth = train_test_split(*load_diabetes(return_X_y=True), random_state=split)
    X, check, y, checked = train_test_split(X, y, test_size=0.25, random_state=split)
    return (X, y), (check, checked), (new, truth)


def chosen(model, learn, check, test):
    """Error on the part to choose on, and test error, at the stage that is best there."""
    model.fit(*learn)
    errors = [[np.sqrt(np.mean((p - truth) ** 2)) for p in model.staged_predict(X)]
              for X, truth in (check, test)]  # fmt: skip
    at = int(np.argmin(errors[0]))
    return errors[0][at], errors[1][at]


def trees(rate, depth, stages=200):
    tree = DecisionTreeRegressor(max_depth=depth)
    return GradientBoostingRegressor(tree, stages, learning_rate=rate, random_state=0)


@cache
def tuned_trees(split):
    """The depth that is chosen, and its test error."""
    found = {depth: chosen(trees(0.1, depth), *parts(split)) for depth in (1, 2, 3)}
    best = min(found, key=lambda depth: found[depth][0])
    return best, found[best][1]


def network_and_line(split):
    (X, y), _, (new, truth) = parts(split)
    scale, centre, unit = StandardScaler().fit(X), y.mean(), y.std()
    scaled = [(scale.transform(A), (b - centre) / unit) for A, b in parts(split)]
    small = NetworkRegressor(partial(perceptron, hidden=8), epochs=10, batch_size=512)
    model = GradientBoostingRegressor(small, 15, learning_rate=0.3, random_state=0)
    line = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11))).fit(X, y)
    error = np.sqrt(np.mean((line.predict(new) - truth) ** 2))
    return unit * chosen(model, *scaled)[1], error


def networks_and_lines():
    errors = np.array([(tuned_trees(s)[1], *network_and_line(s)) for s in [0]])
    trees, networks, lines = errors.T
    return bool((networks < trees).all() and abs(networks.mean() - lines.mean()) < 1.5)


def large_rate():
    errors = [[chosen(trees(rate, 2, 60), *parts(s))[1] for s in range(5)] for rate in (1.0, 0.3)]
    return bool(np.mean(errors[0]) > np.mean(errors[1]) + 2)


def loss_turns():
    X, new, y, truth = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    model = trees(0.1, 3, 60).fit(X, y)
    inside, held = ([np.mean((p - right) ** 2) for p in model.staged_predict(Z)]
                    for Z, right in ((X, y), (new, truth)))  # fmt: skip
    return bool((np.diff(inside) < 0).all() and held[-1] > 1.03 * min(held))


def singles_win():
    X, new, y, truth = digits(0)
    errors = [1 - one.fit(X, y).score(new, truth) for one in (SVC(), KNeighborsClassifier(3))]
    return bool(max(errors) < min(boosted(0)[1][-1], bagged(0, 0.0)[-1]))


CLAIMS = [
    Claim("The vote now makes no mistake on the images it learned from.",
          lambda: bool(boosted(0)[0].min() == 0)),
    Claim("and on the digits the held-out error falls to a third", fell),
    Claim("where the classes overlap, trees of depth 3 are best after a few rounds",
          lambda: bool(on_clean_moons().argmin() < 10)),
    Claim("That is no rule: on the half moons it rises.",
          lambda: bool(on_clean_moons()[-1] > on_clean_moons().min() + 0.01)),
    Claim("the training loss keeps falling, and the held-out loss turns", loss_turns),
    Claim("but its error stays above that of the smaller rates", large_rate),
    Claim("The chosen trees are stumps, on every split.",
          lambda: {tuned_trees(s)[0] for s in range(2)} == {1}),
    Claim("The networks beat them on every split too, and a straight line is as good as the"
          " networks.", networks_and_lines),
    Claim("with a fifth of the labels wrong the bag is ahead on every split",
          lambda: bool((ahead(0.2, SHORT) < 0).all())),
    Claim("At 300 rounds that is gone: the two are level.",
          lambda: bool(abs(ahead(0.2, LONG).mean()) < 0.012)),
    Claim("With a tenth of the labels wrong AdaBoost is ahead after 300 rounds, on every split",
          lambda: bool((ahead(0.1, LONG) > 0).all())),
    Claim("A large part of the weight lies on examples where there is nothing to learn",
          lambda: bool(min(boosted(s, 0.2)[2] for s in SPLITS) > 0.4)),
    Claim("the held-out error rises after a few rounds, and 300 rounds are worse than 60",
          rises_and_goes_on),
    Claim("Steps of 0.1 instead of 1 have fewer errors than the bag after 60 rounds, on each of"
          " five draws. But they too get worse when they go on.", small_steps),
    Claim("one support vector machine beats 300 boosted trees on the digits", singles_win),
    Claim("On this task both single models beat both ensembles.", singles_win),
    Claim("The curve of AdaBoost still falls at the end", lambda: bool(
        np.mean([boosted(s, 0.2)[1][-1] - boosted(s, 0.2)[1][-100] for s in SPLITS]) < -0.003)),
]  # fmt: skip
GIVEN = ["a stage that is right on 40 % of ten digits"]

test_claims_hold = claims_hold("09_boosting", CLAIMS)
test_figures_are_claimed = figures_are_claimed("09_boosting", CLAIMS, GIVEN)
