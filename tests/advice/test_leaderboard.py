"""The leaderboard: scores are those of a loop, the hidden half has no say, openings are counted."""

import json
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.advice.folds import folds_of
from ensemble_lab.core.decision import ABSTAINED
from tests.advice.tables import services

BIG, SMALL = lab.Cascade(("big",)), lab.Cascade(("small",))


@pytest.fixture
def board(tmp_path):
    return lab.Leaderboard(services(), budget=6, seed=3, path=tmp_path / "openings.jsonl")


def test_halves_are_those_of_the_seed(board):
    public, hidden = services().split(0.5, 3)
    assert board.public.items.tolist() == public.items.tolist()
    board.enter("middle", lab.Cascade(("middle",)))
    found = board.open().loc["middle"]
    assert found.accuracy == pytest.approx(public.accuracy()[1])
    assert found.hidden == pytest.approx(hidden.accuracy()[1])
    assert found.cost == found.hidden_cost == 4 and found["rank"] == 1


def test_a_policy_that_learns_is_judged_on_other_rows_than_those_of_its_fit(board):
    """By a loop over the rows of each fold; on all rows at once the score is another one."""
    policy = lab.StackedAnswers()
    public, right = board.public, []
    fold = folds_of(len(public), 5, np.random.default_rng(3))
    for k in range(5):
        kept = [i for i in range(len(public)) if fold[i] != k]
        held = [i for i in range(len(public)) if fold[i] == k]
        right += policy.fit(public.take(kept)).decide(public.take(held)).correct.tolist()
    entry = board.enter("stacking", policy)
    assert entry.score.accuracy == pytest.approx(np.mean(right))
    seen = policy.fit(public).decide(public).accuracy
    assert entry.score.accuracy != pytest.approx(seen)
    _, hidden = services().split(0.5, 3)
    board = replace_budget(board)
    board.enter("stacking", policy)
    assert board.open().hidden["stacking"] == policy.fit(public).decide(hidden).accuracy


def replace_budget(board):
    return lab.Leaderboard(services(), seed=3, path=board.path)


def test_what_is_over_the_budget_is_named_and_not_ranked(board):
    entry = board.enter("big", BIG)
    assert "over the budget, not ranked" in repr(entry)
    assert "over" not in repr(board.enter("small", SMALL))
    table = board.table()
    assert table.index.tolist() == ["small", "big"] and table["within"].tolist() == [True, False]
    assert table["rank"].iloc[0] == 1 and table["rank"].isna().tolist() == [False, True]
    assert table.accuracy["big"] > table.accuracy["small"]


def test_a_price_that_is_not_known_is_not_within_a_budget(tmp_path):
    cost = np.tile([1.0, 4.0, 10.0], (300, 1))
    cost[:, 0] = np.nan
    board = lab.Leaderboard(services(cost=cost), budget=99, path=tmp_path / "o")
    assert not board.enter("small", SMALL).within and board.enter("big", BIG).within


def test_equal_entries_are_ranked_by_price(tmp_path):
    same = np.tile(np.arange(300)[:, None] % 2.0, (1, 3))
    board = lab.Leaderboard(services(correct=same), path=tmp_path / "o")
    for name in ("big", "small", "middle"):
        board.enter(name, lab.Cascade((name,)))
    assert board.table().index.tolist() == ["small", "middle", "big"]


@dataclass(frozen=True)
class Peeks(lab.Policy):
    """Answers with a right model, where it can see one."""

    def choose(self, outcomes):
        n, m = outcomes.correct.shape
        best = np.nan_to_num(outcomes.correct).argmax(axis=1)
        return lab.Choice(best, np.ones((n, m), bool))


@dataclass(frozen=True)
class PeeksInDecide(Peeks):
    def decide(self, outcomes, *, parallel=True):
        return lab.MajorityVote().decide(outcomes)


@dataclass(frozen=True)
class AnswersWhatItKnows(lab.Policy):
    """Gives no answer unless the first model is very sure."""

    def choose(self, outcomes):
        sure = outcomes.confidence[:, 0] > 0.85
        return lab.Choice(np.where(sure, 0, ABSTAINED), np.ones(outcomes.correct.shape, bool))


def test_a_policy_that_looks_at_what_is_right_sees_nothing(board):
    """The oracle of this table is far above its first model, which the policy is left with."""
    found = board.enter("peeks", Peeks()).score.accuracy
    assert found == pytest.approx(board.public.accuracy()[0])
    assert found < board.public.oracle() - 0.1
    with pytest.raises(ValueError, match="PeeksInDecide has a `decide` of its own.*`choose`"):
        board.enter("decides", PeeksInDecide())


def test_no_answer_is_a_wrong_answer(board):
    policy = AnswersWhatItKnows()
    decision = policy.decide(board.public)
    assert decision.coverage < 0.6 and decision.accuracy > 0.6
    found = board.enter("silent", policy).score.accuracy
    assert found == pytest.approx(np.nansum(decision.correct) / len(decision))


def test_the_second_opening_says_that_it_is_one(board):
    board.enter("small", SMALL)
    assert board.openings() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert board.open().opened_before.tolist() == [0]
    assert board.openings() == 1
    again = replace_budget(board)  # another object, another process: the file knows
    again.enter("middle", lab.Cascade(("middle",)))
    with pytest.warns(UserWarning, match="opened before, 1 time: .* no longer honest"):
        assert again.open().opened_before.tolist() == [1]
    with pytest.warns(UserWarning, match="opened before, 2 times"):
        again.open()
    lines = [json.loads(line) for line in board.path.read_text().splitlines()]
    assert [line["entries"] for line in lines] == [["small"], ["middle"], ["middle"]]
    assert all(line["when"].startswith("20") for line in lines)


def test_another_half_is_counted_for_itself(board):
    board.enter("small", SMALL)
    board.open()
    assert lab.Leaderboard(services(), seed=4, path=board.path).openings() == 0
    assert lab.Leaderboard(services(), seed=3, path=board.path).openings() == 1


def test_an_opening_that_cannot_be_noted_is_none(tmp_path):
    board = lab.Leaderboard(services(), path=tmp_path / "no such folder" / "o")
    board.enter("small", SMALL)
    with pytest.raises(ValueError, match="the half stays closed"):
        board.open()


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"version": 2, "half": "x"}', '{"version": 1}', "9" * 5000]
)
def test_a_file_that_is_no_record_of_openings_is_refused(board, line):
    board.path.write_text(line + "\n")
    board.enter("small", SMALL)
    for call in (board.openings, board.open):
        with pytest.raises(ValueError, match="line 1, is no opening"):
            call()
    assert board.path.read_text() == line + "\n"


def test_the_hidden_half_has_no_say_in_the_public_scores(tmp_path):
    """With every hidden grade turned round, the public table is the same."""
    table = services()
    place = {item: i for i, item in enumerate(table.items.tolist())}
    _, hidden = table.split(0.5, 0)
    rows = [place[item] for item in hidden.items.tolist()]
    turned, truth = table.correct.copy(), table.truth.copy()
    turned[rows], truth[rows] = 1 - turned[rows], (truth[rows] + 1) % 3
    policies = {"small": SMALL, "vote": lab.WeightedVote(), "stacking": lab.StackedAnswers()}
    both = []
    for outcomes in (table, replace(table, correct=turned, truth=truth)):
        board = lab.Leaderboard(outcomes, path=tmp_path / "o")
        for name, policy in policies.items():
            board.enter(name, policy)
        both.append(board.table())
    assert both[0].equals(both[1])
