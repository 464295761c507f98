"""Notebook 01's checks refuse what people get wrong, written in other ways than the checks' own."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import ensemble_lab as lab
from ensemble_lab.exercises.voting import check_log_odds_weights, check_plurality


def test_other_right_ways_pass_too():
    assert check_log_odds_weights(lambda f, t, k: lab.WeightedVote(classes=k).fit(f).weights)
    assert check_log_odds_weights(lambda f, t, k: 3 * log_odds(accuracy(f), k))
    assert check_plurality(lambda outcomes: lab.MajorityVote().decide(outcomes).answer)
    assert check_plurality(lambda outcomes: elect(outcomes).tolist())


def elect(outcomes, skip=(-1, -2), first=1, quorum=0.0, sort=False):
    """Plurality, with its parts exchanged: what a wrong solution amounts to."""
    found = []
    for row in outcomes.answer.tolist():
        codes = [code for code in row[::first] if code not in skip]
        votes = Counter(sorted(codes) if sort else codes)
        code, top = votes.most_common(1)[0] if votes else (-1, 0)
        found.append(max(code, -1) if top > quorum else -1)
    return np.array(found)


def by_correctness(outcomes):
    """The right answer where more than half are right, else the first member's."""
    won = np.nansum(outcomes.correct, axis=1) > len(outcomes.models) / 2
    return np.where(won, outcomes.truth, outcomes.answer[:, 0])


def by_right_members(outcomes):
    """The answer of the first member who is right, where there is one."""
    right = np.nan_to_num(outcomes.correct) == 1
    return outcomes.answer[np.arange(len(outcomes)), right.argmax(axis=1)]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (by_correctness, "a vote knows the answers only"),
        (by_right_members, "a vote knows the answers only"),
        (lambda o: elect(o, skip=()), "missing answers were counted"),
        (
            lambda o: np.array(
                [
                    max(Counter(np.maximum(r, -1).tolist()).most_common(1)[0][0], -1)
                    for r in o.answer
                ]
            ),
            "missing answers were counted",
        ),
        (lambda o: elect(o, quorum=2.5), "silent ones count as wrong"),
        (lambda o: elect(o, sort=True), "lowest code"),
        (
            lambda o: np.array(
                [np.bincount(r[r >= 0]).argmax() if (r >= 0).any() else -1 for r in o.answer]
            ),
            "lowest code",
        ),
        (lambda o: elect(o, first=-1), "listed last"),
        (lambda o: np.zeros(len(o), int), "the code elected"),
        (lambda o: 1.0, "codes, one an item"),
        (lambda o: [o.labels[code] for code in elect(o)], "not the labels"),
        (lambda o: np.where(elect(o) < 0, np.nan, elect(o)), "return -1"),
        (lambda: None, "TypeError"),
    ],
)
def test_wrong_votes_are_refused_with_their_hint(wrong, hint):
    verdict = check_plurality(wrong)
    assert not verdict
    assert hint in verdict.message


def accuracy(outcomes, more=1):
    graded = (~np.isnan(outcomes.correct)).sum(axis=0)
    return (np.nansum(outcomes.correct, axis=0) + more) / (graded + 2 * more)


def log_odds(p, k):
    with np.errstate(divide="ignore"):
        return np.log(p * (k - 1) / (1 - p))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda fit, test, k: log_odds(accuracy(test), k), "the rows they will be judged on"),
        (
            lambda fit, test, k: log_odds((accuracy(fit) + accuracy(test)) / 2, k),
            "seen the test rows",
        ),
        (lambda fit, test, k: log_odds(accuracy(fit), 2), "number of classes is forgotten"),
        (
            lambda fit, test, k: np.log2(accuracy(fit) / (1 - accuracy(fit))),
            "number of classes is forgotten",
        ),
        (lambda fit, test, k: log_odds(accuracy(fit), k + 1), "k - 1 wrong answers"),
        (lambda fit, test, k: abs(log_odds(accuracy(fit), k)), "keep the sign"),
        (lambda fit, test, k: log_odds(accuracy(fit), k).clip(0), "negative weight"),
        (lambda fit, test, k: accuracy(fit), "log-odds"),
        (lambda fit, test, k: log_odds(accuracy(fit, more=0), k), "not finite"),
        (lambda fit, test, k: log_odds(fit.correct.mean(axis=0), k), "leave those items out"),
        (lambda fit, test, k: -log_odds(accuracy(fit), k), "for accuracies"),
        (lambda fit, test, k: np.zeros(5), "for accuracies"),
        (lambda fit, test, k: {"a": 1.0}, "is missing"),
        (lambda fit, test, k: [1.0], "return 5 weights"),
    ],
)
def test_wrong_weights_are_refused_with_their_hint(wrong, hint):
    verdict = check_log_odds_weights(wrong)
    assert not verdict
    assert hint in verdict.message


def test_codes_and_weights_go_by_name_where_they_have_one():
    def by_item(outcomes):
        return pd.Series(elect(outcomes), index=outcomes.items).sample(frac=1, random_state=0)

    assert check_plurality(by_item)
    assert check_plurality(lambda outcomes: by_item(outcomes).to_dict())

    def by_member(fit, test, classes):
        return pd.Series(log_odds(accuracy(fit), classes), index=fit.models).sort_values()

    assert check_log_odds_weights(by_member)
    assert check_log_odds_weights(lambda *case: by_member(*case).to_dict())
    renamed = check_log_odds_weights(lambda *case: by_member(*case).rename({"c": "see"}))
    assert not renamed and "'c' is missing" in renamed.message
    lacking = check_log_odds_weights(lambda *case: by_member(*case).drop("a").to_dict())
    assert not lacking and "'a' is missing" in lacking.message
