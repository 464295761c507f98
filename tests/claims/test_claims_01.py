"""What notebook 01 says in words, computed again from the tables."""

from functools import cache

import numpy as np

import ensemble_lab as lab
from tests.support.claims import Claim, claims_hold, figures_are_claimed

SEEDS = range(5)
VOTES, WEIGHTS, SUREST = lab.MajorityVote(), lab.WeightedVote(), lab.MaxVote()


@cache
def table(name):
    return lab.load_outcomes(name)


def ranked(fit, coverage=0.85):
    known = [j for j in np.argsort(-fit.accuracy(), kind="stable") if fit.coverage()[j] >= coverage]
    return [fit.models[j] for j in known]


@cache
def splits(name, rule, first=0, last=None, calibrated=False):
    """Five rows: picked beforehand, best in hindsight, the vote, and its agreement with the first.

    Per cent, on the half that nothing was learned on.
    """
    rows = []
    for seed in SEEDS:
        fit, test = table(name).split(0.5, seed)
        members = ranked(fit)[first:last]
        fit, test = fit.select(models=members), test.select(models=members)
        if calibrated:
            curves = lab.Calibration().fit(fit)
            fit, test = curves.apply(fit), curves.apply(test)
        decision = rule.fit(fit).decide(test)
        repeats = np.mean(decision.answer == test.answer[:, 0])
        rows.append([test.accuracy()[0], test.accuracy().max(), decision.accuracy, repeats])
    return 100 * np.array(rows)


def gain(*setting, **more):
    """Points on the member picked beforehand (5,)."""
    rows = splits(*setting, **more)
    return rows[:, 2] - rows[:, 0]


@cache
def weak_half():
    """The ten weakest on GSM8K, on the half that is shown."""
    fit, shown = table("gsm8k-44-llms").split(0.5, 0)
    return shown.select(models=ranked(fit, 0.9)[-10:])


def plurality_beats_a_strict_majority():
    right = (weak_half().correct == 1).sum(axis=1)
    return VOTES.decide(weak_half()).accuracy > np.mean(right > 5) + 0.05


def wrong_answers(table):
    return np.where(table.answer == table.truth[:, None], -1, table.answer)


def coincide(table):
    """How often two wrong answers to one problem are the same."""
    same = pairs = 0
    for row in wrong_answers(table):
        counts = np.unique(row[row >= 0], return_counts=True)[1]
        same, pairs = same + (counts * (counts - 1)).sum(), pairs + counts.sum() ** 2 - counts.sum()
    return same / pairs


@cache
def hard_halves(seed=0):
    fit, test = table("mmlu-pro-29-llms").split(0.5, seed)
    names = ranked(fit)
    return fit.select(models=names), test.select(models=names)


def scattered(table, seed):
    """The same members wrong on the same questions, at any other option."""
    rng, options = np.random.default_rng(seed), table.features["n_options"].astype(int)[:, None]
    step = np.floor(rng.random(table.answer.shape) * (options - 1)).astype(int) + 1
    wrong = (table.answer >= 0) & (table.answer != table.truth[:, None])
    answer = np.where(wrong, (table.truth[:, None] + step) % options, table.answer)
    return lab.Outcomes(models=table.models, items=table.items, correct=table.correct,
                        answer=answer, labels=table.labels, truth=table.truth)  # fmt: skip


def scattered_votes_beat_the_best():
    for seed in SEEDS:
        _, test = hard_halves(seed)
        if VOTES.decide(scattered(test, seed)).accuracy < test.accuracy().max() + 0.02:
            return False
    return True


def distractors():
    """Half of the wrong voters on one option, where the best is outvoted; at random a quarter."""
    _, test = hard_halves()
    lost = (test.correct[:, 0] == 1) & (VOTES.decide(test).correct == 0)

    def first(table):
        rows = wrong_answers(table)[lost]
        return np.mean([np.bincount(row[row >= 0]).max() / (row >= 0).sum() for row in rows])

    return first(test) > 0.5 and first(scattered(test, 0)) < 0.27


def wrong_answers_coincide_where_options_are_few():
    at_random = coincide(scattered(hard_halves()[1], 0))
    return coincide(hard_halves()[1]) > 2.5 * at_random and coincide(weak_half()) < 0.25


def one_service_is_near_a_coin():
    accuracy = dict(zip(table("imdb-services").models, table("imdb-services").accuracy()))
    best, second, *_, worst = sorted(accuracy.values(), reverse=True)
    return worst < 0.7 and best > second + 0.02


IMDB, GSM, MMLU, ROTATED = "imdb-services", "gsm8k-44-llms", "mmlu-pro-29-llms", "imagenet-rotation"


def two_gain_a_little():
    """The surest of two calibrated services beside Google alone, over five splits."""
    pair = lab.load_outcomes("imdb-services").select(models=["Google", "Amazon"])
    gains = []
    for seed in range(5):
        half, test = pair.split(0.5, seed)
        curves = lab.Calibration().fit(half)
        vote = lab.MaxVote().fit(curves.apply(half)).decide(curves.apply(test))
        gains.append(vote.accuracy - test.accuracy()[0])
    return 0 < np.mean(gains) < 0.01 and min(gains) > 0


CLAIMS = [
    Claim(
        "A crowd of weak models can beat its best member by nine points",
        compute=lambda: 8.5 < gain(GSM, VOTES, -10).mean() < 9.5,
    ),
    Claim(
        "The vote is right on more problems than a majority of its members.",
        compute=plurality_beats_a_strict_majority,
    ),
    Claim(
        "The weak vote gains about nine points.",
        compute=lambda: 8.5 < gain(GSM, VOTES, -10).mean() < 9.5,
    ),
    Claim(
        "The strong one gains about one point on the member picked beforehand, and about nothing"
        " on the best in hindsight.",
        compute=lambda: (
            0.5 < gain(GSM, VOTES, 0, 5).mean() < 1.5
            and abs((splits(GSM, VOTES, 0, 5)[:, 2] - splits(GSM, VOTES, 0, 5)[:, 1]).mean()) < 0.6
        ),
    ),
    Claim(
        "The weights change little",
        compute=lambda: (
            abs(gain(GSM, WEIGHTS, -10).mean() - gain(GSM, VOTES, -10).mean()) < 0.7
            and abs(gain(GSM, WEIGHTS, 0, 5).mean() - gain(GSM, VOTES, 0, 5).mean()) < 0.7
        ),
    ),
    Claim(
        "All 29 models vote, and lose to the best of them by far.",
        compute=lambda: len(table(MMLU).models) == 29 and gain(MMLU, VOTES).max() < -7,
    ),
    Claim(
        "With ten options wrong answers do not scatter: models fall for the same distractor and"
        " outvote the one that knows.",
        compute=lambda: distractors() and wrong_answers_coincide_where_options_are_few(),
    ),
    Claim(
        "Scattered at random, the same errors would make a vote that beats the best model.",
        compute=scattered_votes_beat_the_best,
    ),
    Claim(
        "The log-odds weights win back a part of the loss, not all.",
        compute=lambda: (
            (gain(MMLU, WEIGHTS) > gain(MMLU, VOTES) + 1).all() and gain(MMLU, WEIGHTS).max() < 0
        ),
    ),
    Claim(
        "one member is much better than the rest, and one, made for Chinese, does little better"
        " than a coin",
        compute=one_service_is_near_a_coin,
    ),
    Claim(
        "On the reviews every vote of all four loses to the best service alone",
        compute=lambda: all(
            gain(IMDB, rule).max() < 0 for rule in (VOTES, WEIGHTS, SUREST, lab.ProductVote())
        ),
    ),
    Claim("A calibrated vote of Google and Amazon alone gains a little.", two_gain_a_little),
    Claim(
        "the same rule wins",
        compute=lambda: (
            gain(ROTATED, SUREST).min() > 0
            and splits(ROTATED, SUREST)[:, 2].mean() > splits(ROTATED, VOTES)[:, 2].mean()
        ),
    ),
    Claim(
        "calibrated, *surest* goes from {65.9} to {86.1} %",
        compute=lambda: [
            splits(IMDB, SUREST)[:, 2].mean(),
            splits(IMDB, SUREST, calibrated=True)[:, 2].mean(),
        ],
        within=0.06,
    ),
    Claim(
        "repeat Google on {94} % of the reviews, and it stays {0.46} ± {0.18} points below Google"
        " alone",
        compute=lambda: [
            splits(IMDB, SUREST, calibrated=True)[:, 3].mean(),
            -gain(IMDB, SUREST, calibrated=True).mean(),
            gain(IMDB, SUREST, calibrated=True).std(ddof=1),
        ],
        within=0.5,
    ),
]
test_claims_hold = claims_hold("01_voting", CLAIMS)
test_figures_are_claimed = figures_are_claimed(
    "01_voting",
    CLAIMS,
    given=["is right 30 % of the time is three times better than chance", "a limit below 100 %"],
)
