"""Explorers say that items were not used for fitting only where they know it."""

import numpy as np
import pytest

import ensemble_lab as lab

CLAIMS = ("not used for fitting", "nothing was fitted on", "had no say")
OPEN = "chosen by you; these items may have been used"


def noise(rng, n=40, m=3):
    """Models right on 60 %, confidences that mean nothing."""
    right = rng.random((n, m)) < 0.6
    return lab.Outcomes(
        models=[*"abc"][:m],
        items=range(n),
        correct=right * 1.0,
        answer=right.astype(int),
        truth=np.ones(n, int),
        labels=["no", "yes"],
        confidence=rng.random((n, m)),
        cost=np.tile([1.0, 1.5, 2.0][:m], (n, 1)),
        features={"length": rng.random(n)},
    )


TABLE = noise(np.random.default_rng(0))
HERE = (
    "cascade",
    "votes",
    lab.BudgetCascade(4.5),
    lab.BudgetCascade(4.5, per_label=True),
    lab.LearnedSelector("a", "b"),
    lab.MajorityVote(),
    lab.WeightedVote(),
)
ELSEWHERE = (
    lab.BudgetCascade(4.5).fit(TABLE),
    lab.BudgetCascade(4.5, per_label=True).fit(TABLE),
    lab.Cascade(("a", "b"), (0.37,)),
    lab.Cascade(("b",)),
    lab.LearnedSelector("a", "b").fit(TABLE),
    lab.LearnedSelector("a", "b", threshold=0.4),
    lab.MajorityVote(("a", "b")),
    lab.MajorityVote().fit(TABLE),
    lab.WeightedVote().fit(TABLE),
    lab.WeightedVote(weights={"a": 1.0, "b": 0.5, "c": 2.0}),
)


def name(what):
    return what if isinstance(what, str) else repr(what)[:60]


@pytest.mark.parametrize("what", HERE, ids=name)
def test_what_is_fitted_here_is_fitted_on_the_other_half(what):
    text = lab.explore(what, TABLE).picture().text
    assert any(claim in text for claim in CLAIMS) and OPEN not in text


@pytest.mark.parametrize("policy", ELSEWHERE, ids=name)
def test_what_comes_fitted_may_know_the_items(policy):
    text = lab.explore(policy, TABLE).picture().text
    assert OPEN in text and not any(claim in text for claim in CLAIMS)


def test_another_rule_than_the_one_that_came_is_fitted_here():
    explorer = lab.explore(lab.WeightedVote().fit(TABLE), TABLE)
    text = explorer.picture(rule="majority").text
    assert "nothing was fitted on" in text and OPEN not in text


def test_two_models_by_thresholds_of_the_other_half():
    pair = TABLE.select(models=["a", "b"])
    assert "had no say" in lab.explore("escalate", pair).picture().text


def test_a_policy_that_saw_the_items_looks_better_and_is_told_apart():
    rng, shown = np.random.default_rng(0), {OPEN: [], CLAIMS[0]: []}
    while len(shown[CLAIMS[0]]) < 30:
        table = noise(rng)
        for said, policy in zip(shown, (lab.BudgetCascade(4.5).fit(table), lab.BudgetCascade(4.5))):
            explorer = lab.explore(policy, table)
            rows = explorer.table()
            assert said in explorer.picture().text
            if "here" in rows:
                shown[said].append(rows.loc[rows["here"], "accuracy"].item())
    assert np.mean(shown[OPEN]) > 0.7 and np.mean(shown[CLAIMS[0]]) < 0.65
