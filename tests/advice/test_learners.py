"""A bandit that is advised: its files, and that it continues as if it had never stopped."""

import json
import math
import tomllib
from dataclasses import replace

import numpy as np
import pytest

import ensemble_lab as lab
from ensemble_lab.advice.bandits import bandits
from ensemble_lab.systems.serve.settings import read_settings
from tests.advice.tables import services

TABLE = services()


def told(learner, table, times):
    """Which models it asks for these rows, with the grades told at once."""
    asked = []
    for time in times:
        features = {name: values[time] for name, values in table.features.items()}
        (place,) = learner.choose(features | {"group": table.group[time]}, time)
        grade = float(table.correct[time, place])
        learner.learn(lab.Feedback(time, place, grade, math.nan, math.nan))
        asked.append(place)
    return asked


@pytest.mark.parametrize("name", sorted(bandits(TABLE)))
def test_a_bandit_continues_where_the_table_ends(name, tmp_path):
    policy, path = bandits(TABLE)[name], tmp_path / "advised.toml"
    whole = policy.decide(TABLE).chosen.tolist()
    files = lab.save_advised(policy, path, TABLE.take(np.arange(200)))
    assert [file.name for file in files] == ["advised.toml", "advised.state.json"]
    learner = lab.load_learner(path)
    assert learner.models == TABLE.models and learner.last == 199
    assert told(learner, TABLE, range(200, 250)) == whole[200:250]
    learner.save(files[1])  # and once more
    assert told(lab.load_learner(path), TABLE, range(250, 300)) == whole[250:]


def test_what_is_advised_by_time_is_saved_and_said_on_the_page(tmp_path):
    n, rng = 240, np.random.default_rng(0)
    chance = np.where(np.arange(n)[:, None] < n // 2, [0.95, 0.3], [0.3, 0.95])
    table = lab.Outcomes(models=["a", 'b "2"'], items=range(n), correct=rng.random((n, 2)) < chance)
    shuffled = rng.permutation(n)
    advice = lab.advise(table.take(shuffled), time=shuffled.tolist(), progress=False)
    assert isinstance(advice.policy, lab.OnlinePolicy)
    path = tmp_path / "advised.toml"
    files = lab.save_advised(advice.policy, path, advice.outcomes)
    page = lab.write_advice(advice, tmp_path / "report.html", files).read_text("utf-8")
    assert "lab.load_learner(&#x27;advised.toml&#x27;)" in page
    # The state is that after the rows in the order of time, where the second model leads.
    learner = lab.load_learner(path)
    learner.choose({}, n)
    one, two = advice.policy.learned(table), lab.load_learner(path)
    assert [one.choose({}, n + i) for i in range(20)] == [two.choose({}, n + i) for i in range(20)]


def test_the_gateway_and_load_policy_say_what_to_do_instead(tmp_path):
    path = tmp_path / "advised.toml"
    lab.save_advised(lab.Thompson(), path, TABLE)
    with pytest.raises(ValueError, match=r"learns from the grades .* load_learner\(path\)"):
        lab.load_policy(path)
    with pytest.raises(ValueError, match=r"learns from the grades .* load_learner\(path\)"):
        read_settings(path)
    fitted = tmp_path / "fitted.toml"
    lab.save_advised(lab.Cascade(("small", "big"), (0.6,)), fitted, TABLE)
    with pytest.raises(ValueError, match="no state of a policy that learns; load_policy reads"):
        lab.load_learner(fitted)


def test_what_has_no_state_names_its_equal(tmp_path):
    with pytest.raises(ValueError, match=r"no state .* EpsilonGreedy\(0.0\), which follows the le"):
        lab.save_advised(lab.FollowTheLeader(), tmp_path / "a.toml", TABLE)


PAYING = [
    lab.BudgetBandit(900.0, 400),
    lab.BudgetBandit(900.0, 400, lab.UCB1(scale=0.3), least=0.02),
    lab.BudgetBandit(900.0, 400, lab.Thompson(discount=0.99)),
    lab.CombinatorialBandit("any", size=2, budget=0.4, of=lab.LinThompson()),
    lab.Thompson(cost_weight=0.1),
]


@pytest.mark.parametrize("policy", PAYING, ids=repr)
def test_a_bandit_that_pays_continues_too(policy, tmp_path):
    path, first = tmp_path / "advised.toml", TABLE.take(np.arange(200))
    files = lab.save_advised(policy, path, first)
    learner = lab.load_learner(path)
    assert learner.policy == policy and learner.last == 199
    prices = np.nanmean(first.cost, axis=0)
    whole = policy.learned(first, prices=prices)
    assert np.array_equal(learner.asked, whole.asked)
    if isinstance(policy, lab.BudgetBandit):
        assert 0 < learner.spent == whole.spent and learner.left == whole.left
    for time in range(200, 250):
        asked = whole.choose({}, time, prices=prices)
        assert learner.choose({}, time, prices=prices) == asked
        for place in asked:
            grade = float(TABLE.correct[time, place])
            for one in (whole, learner):
                one.learn(lab.Feedback(time, place, grade, float(prices[place]), math.nan))
        learner.save(files[1])
        learner = lab.load_learner(path)


def test_a_budget_needs_prices_and_rows_to_come(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(ValueError, match="horizon=300 ends within the 300 rows of the table"):
        lab.save_advised(lab.BudgetBandit(50.0, 300), path, TABLE)
    for policy in PAYING:
        with pytest.raises(ValueError, match="needs prices, and the table has no cost of 'small'"):
            lab.save_advised(policy, path, replace(TABLE, cost=None))
    assert not list(tmp_path.iterdir())
    lab.save_advised(PAYING[0], path, TABLE)
    text = path.read_text("utf-8")
    for old, new, why in (
        ('kind = "Thompson"', 'kind = "Tompson"', "no policy 'Tompson'"),
        ('kind = "Thompson"', 'kind = "Cascade"', "no policy 'Cascade'"),
        ('{kind = "Thompson"}', "3", "BudgetBandit.of is 3"),
    ):
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(ValueError, match=f"cannot be continued: .*{why}"):
            lab.load_learner(path)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "advised.toml"
    linear = bandits(TABLE)["LinUCB"]
    _, state = lab.save_advised(linear, path, TABLE)
    text, learned = path.read_text("utf-8"), json.loads(state.read_text())
    table = tomllib.loads(text)["policies"]["advised"]
    assert set(table) == {"kind", "features", "groups", "centre", "spread", "models", "state"}
    for old, new, why in (
        ('kind = "LinUCB"', 'kind = "LinUBC"', "'LinUBC'"),
        ('kind = "LinUCB"', 'kind = "FollowTheLeader"', "FollowTheLeader"),
        ('kind = "LinUCB"', 'kind = "Cascade"', "no policy 'Cascade'"),
        ('"small", "middle"', '"middle", "small"', "its models is"),
        ("state.json", "gone.json", "there is no file"),
        ("spread = [", "spread = [0.0, ", "spread"),
        ("centre = [", "centre = [nan, ", "centre"),
        ('state = "', 'state = 3 # "', "no state"),
        ("[policies.advised]", "[policies.advised", "not TOML"),
    ):
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(ValueError, match=f"'advised.toml' cannot be continued: .*{why}"):
            lab.load_learner(path)
    path.write_text(text, "utf-8")
    learned["learned"]["graded"][0] = math.inf
    state.write_text(json.dumps(learned))
    with pytest.raises(ValueError, match="cannot be continued: .*graded does not fit 3 models"):
        lab.load_learner(path)


def test_learned_hears_what_arrives_before_the_next_item():
    table = replace(TABLE.take(np.arange(10)), features={}, group=None)
    policy = lab.UCB1()
    assert not policy.learned(table).pending
    assert [item for item, _ in sorted(policy.learned(table, delay=2).pending)] == [8, 9]
    assert policy.learned(table, delay=2).graded.sum() == 8


@pytest.mark.parametrize(
    "old, new, why",
    [
        ('"advised.state.json"', '"../other/advised.state.json"', "no file beside it"),
        ("[policies.advised]", "z = " + "[" * 100_000 + "\n[policies.advised]", "nested too deep"),
        ("models =", "centre = []\nspread = []\nmodels =", "a Thompson reads no numbers"),
    ],
)
def test_a_file_that_was_edited_is_refused(old, new, why, tmp_path):
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "advised.toml"
    lab.save_advised(lab.Thompson(), path, TABLE)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=f"'advised.toml' cannot be continued: .*{why}"):
        lab.load_learner(path)


def test_a_linear_learner_hears_who_is_available_and_who_joins(tmp_path):
    path = tmp_path / "advised.toml"
    lab.save_advised(bandits(TABLE)["LinUCB"], path, TABLE)
    learner, n = lab.load_learner(path), len(TABLE)
    known = {name: values[0] for name, values in TABLE.features.items()} | {"group": TABLE.group[0]}
    for place in range(3):
        flags = [place == other for other in range(3)]
        assert learner.choose(known, n + place, available=flags) == (place,)
    more = learner.with_models((*learner.models, "new"))
    assert more.models[-1] == "new" and more.last == n + 2
    assert more.choose(known, n + 3, available=[False] * 3 + [True]) == (3,)
    with pytest.raises(ValueError, match="give a mapping"):
        more.choose(None, n + 4)


def test_what_a_program_has_learned_further_is_not_overwritten(tmp_path):
    path = tmp_path / "advised.toml"
    _, state = lab.save_advised(lab.UCB1(), path, TABLE)
    lab.save_advised(lab.UCB1(), path, TABLE)  # nothing is lost: the same again
    learner, n = lab.load_learner(path), len(TABLE)
    learner.choose({}, n)
    before = learner.save(state).read_bytes()
    with pytest.raises(ValueError, match=f"learned from items up to {n}, more .* move it away"):
        lab.save_advised(lab.UCB1(), path, TABLE)
    assert state.read_bytes() == before
