"""The votes and Condorcet explorers: any outcomes, any state, the same traces, honest words."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.answers.voting import Vote
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.explorers import explore
from ensemble_lab.explorers.answers import condorcet
from ensemble_lab.explorers.answers.votes import votes
from ensemble_lab.explorers.answers.votes.vote_replay import RIGHT_OR_WRONG, by_likeness
from ensemble_lab.widgets.explorer import Failing
from ensemble_lab.widgets.panel import Panel
from ensemble_lab.widgets.still import still
from tests.support.any_state import any_setting
from tests.support.any_state import named as traces


@pytest.fixture(scope="module")
def gsm8k():
    return explore("votes", lab.load_outcomes("gsm8k-44-llms"))


@pytest.fixture(scope="module")
def imdb():
    return explore("votes", lab.load_outcomes("imdb-services"))


@pytest.fixture(scope="module")
def halves():
    """Of the first one's table: what is fitted on, and what is shown."""
    return lab.load_outcomes("gsm8k-44-llms").split(0.5, 0)


def share(picture, name):
    """Where the dot of a name stands."""
    return traces(picture)[name]["x"][0]


def square(picture):
    """The heat map's numbers (m, m)."""
    return np.array(traces(picture)["pairs"]["z"], float)


def failing(explorer):
    return next(view for view in explorer.presets.values() if isinstance(view, Failing))


@given(st.data())
def test_any_jury_is_worth_what_condorcet_says(data):
    explorer = explore("condorcet")
    state = explorer.state(**data.draw(any_setting(explorer.controls)))
    picture = explorer.drawn(state)
    truth = float(lab.condorcet(state["members"], state["accuracy"], state["correlation"]))
    assert traces(picture)["this jury, here"]["y"] == [pytest.approx(truth, abs=1e-5)]
    assert f"{truth:.1%}" in picture.finding or state["members"] == 1


@pytest.mark.parametrize("correlation", [0.02, 0.3, 0.8])
def test_a_large_jury_comes_near_its_ceiling(correlation):
    large = float(lab.condorcet(20_001, 0.7, correlation))
    assert condorcet.ceiling(0.7, correlation) == pytest.approx(large, abs=1e-3)
    assert condorcet.ceiling(0.7, 0.0) == 1.0 and condorcet.ceiling(0.3, 0.0) == 0.0
    assert condorcet.ceiling(0.7, 1.0) == 0.7


@pytest.mark.parametrize(
    ("rule", "policy"),
    [("majority", lab.MajorityVote()), ("log-odds weights", lab.WeightedVote())],
)
def test_the_picture_says_what_the_policy_does(gsm8k, halves, rule, policy):
    fit, half = halves
    members = gsm8k.state()["members"]
    decision = replace(policy, members=members).fit(fit).decide(half)
    picture = gsm8k.picture(rule=rule)
    assert share(picture, "vote") == pytest.approx(decision.accuracy, abs=1e-6)
    assert f"{decision.accuracy:.1%}" in picture.finding
    best = fit.select(models=members).best_single().model
    alone = half.correct[:, half.columns([best])[0]]
    assert share(picture, "picked beforehand") == pytest.approx(alone.mean(), abs=1e-6)
    assert f"({alone.mean():.1%}), picked beforehand" in picture.finding
    assert f"Picked beforehand: {best}" in picture.text
    up, down = (decision.correct > alone), (decision.correct < alone)
    assert picture.table().loc["rescued", "share"] == pytest.approx(up.mean())
    assert f"{up.sum():,} items rescued, {down.sum():,} ruined" in picture.finding
    right = (half.select(models=members).correct == 1).sum(axis=1)
    of = dict(zip(half.items.tolist(), right.tolist()))
    for name, which in (("rescued", up), ("ruined", down)):
        drawn = traces(picture)[name]
        assert set(drawn["customdata"]) == set(half.items[which].tolist())
        assert np.round(drawn["x"]).tolist() == [of[item] for item in drawn["customdata"]]


def test_the_best_in_hindsight_is_named_where_it_is_another(gsm8k, imdb, halves):
    half = halves[1]
    picture = gsm8k.picture(**gsm8k.presets["the five best"])
    alone = dict(zip(half.models, half.accuracy()))
    members = gsm8k.presets["the five best"]["members"]
    best = max(members, key=alone.get)
    assert best == "claude-3-5-sonnet-20241022" and "gpt-4o-2024-08-06 (95.6%)" in picture.finding
    assert f"in hindsight {best} is best ({alone[best]:.1%})" in picture.finding
    assert share(picture, "best in hindsight") == pytest.approx(alone[best], abs=1e-6)
    assert picture.table().loc[f"{best} (best in hindsight)", "share"] == alone[best]
    same = imdb.picture()
    assert "hindsight" not in same.finding and not same.table().index.str.contains("hindsi").any()
    assert share(same, "best in hindsight") == share(same, "picked beforehand")


def test_heat_map_and_condorcet_are_the_measured_ones(gsm8k, halves):
    picture = gsm8k.picture(correlation=0.4)
    members = traces(picture)["each member"]["customdata"]
    part = halves[1].select(models=members)
    corr = lab.error_correlation(part)
    order = by_likeness(corr)
    named = picture.layout["yaxis2"]["ticktext"]
    assert [name.replace("<br>", "") for name in named] == [members[i] for i in order]
    off = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(square(picture)[off], corr[np.ix_(order, order)][off], atol=1e-3)
    low, high = (traces(picture)["pairs"][end] for end in ("zmin", "zmax"))
    assert low <= corr[off].min() < low + 0.1 and high - 0.1 < corr[off].max() <= high
    for name, rho in (("this", 0.4), ("as measured", lab.mean_pairwise(corr))):
        drawn = share(picture, f"Condorcet {'at ' if rho == 0.4 else ''}{name}")
        truth = float(lab.condorcet(10, part.accuracy().mean(), rho))
        assert drawn == pytest.approx(truth, abs=1e-5)


def test_those_whose_errors_go_together_stand_together():
    families = np.array([0, 1, 2, 0, 1, 2, 0])
    corr = np.where(families[:, None] == families, 0.8, 0.1)
    assert np.count_nonzero(np.diff(families[by_likeness(corr)])) == 2
    assert sorted(by_likeness(np.full((4, 4), np.nan))) == [0, 1, 2, 3]


def test_presets_show_what_they_promise(gsm8k, imdb, halves):
    weak, best = (gsm8k.presets[f"the {name}"] for name in ("ten weakest", "five best"))
    assert "more than" in gsm8k.picture(**weak).finding
    accuracy = dict(zip(halves[0].models, halves[0].accuracy()))
    assert max(accuracy[m] for m in weak["members"]) < min(accuracy[m] for m in best["members"])
    copies = gsm8k.presets["three most alike"]["members"]
    assert all("405B" in name for name in copies)  # one model on three hosts
    assert failing(imdb)["rule"] == "highest confidence"
    picture = imdb.picture(**failing(imdb))
    assert "points fewer than Google" in picture.finding
    assert traces(picture)["vote"]["marker"]["symbol"] == "x"
    for explorer in (gsm8k, imdb):
        assert sum(isinstance(view, Failing) for view in explorer.presets.values()) == 1


def test_the_more_are_let_vote_the_better_the_weak_are(gsm8k, halves):
    pictures = {share: gsm8k.picture(voters=share) for share in range(10, 101, 10)}
    moves = still(gsm8k)["layout"]["sliders"][0]["steps"]
    titles = [step["args"][1]["title.text"] for step in moves]
    assert titles == [picture.finding for picture in pictures.values()]
    assert titles[0].startswith("One member") and titles[4].startswith("5 of 10 members")
    vote = {part: share(picture, "vote") for part, picture in pictures.items()}
    assert vote[100] > vote[40] > vote[10] == share(pictures[100], "picked beforehand")
    accuracy = dict(zip(halves[0].models, halves[0].accuracy()))
    voters = {part: traces(shown)["each member"]["customdata"] for part, shown in pictures.items()}
    assert voters[100] == sorted(voters[100], key=accuracy.get, reverse=True)
    assert voters[50] == voters[100][:5]


def test_one_model_has_no_number_of_voters():
    table = Outcomes(models=["a"], items=range(4), correct=[[1], [1], [0], [1]],
                     answer=[[0]] * 4, labels="xy")  # fmt: skip
    explorer = explore("votes", table)
    assert "no vote" in explorer.picture().finding
    assert "voters" not in explorer.state() and "one model" in explorer.missing["voters"]
    with pytest.raises(ValueError, match="needs two"):
        explorer.state(voters=50)


def test_a_state_copied_before_there_was_a_number_of_voters_still_reads(gsm8k):
    state = gsm8k.state()
    del state["voters"]
    old = {"explorer": "votes", "version": 1, "state": state}
    assert gsm8k.read(old) == gsm8k.state(voters=100)


def test_words_and_table_say_what_the_heat_map_shows(gsm8k):
    picture = gsm8k.picture()
    z, members = square(picture), traces(picture)["each member"]["customdata"]
    pair = traces(picture)["pairs"]["customdata"]
    row, column = np.unravel_index(np.nanargmax(z), z.shape)
    words = picture.text.split("go together most for ")[1].split(", least")[0]
    assert all(name in words for name in pair[row][column].split("<br>"))
    assert f"({np.nanmax(z):.2f})" in words
    each = picture.table()["error correlation"].dropna()
    assert each.index.tolist() == [f"member: {name}" for name in members]
    np.testing.assert_allclose(sorted(each), sorted(np.nanmean(z, axis=1)), atol=1e-3)


def test_right_or_wrong_only_is_a_majority_over_correctness(gsm8k, halves):
    members = gsm8k.presets["the five best"]["members"]
    drawn = share(gsm8k.picture(members=members, rule=RIGHT_OR_WRONG), "vote")
    right = halves[1].select(models=members).correct
    assert drawn == pytest.approx(np.mean(right.sum(axis=1) > 2.5), abs=1e-6)


def test_rules_without_their_fields_are_explained(gsm8k):
    assert "confidence" in gsm8k.missing["rule: highest confidence"]
    with pytest.raises(ValueError, match="not an option"):
        gsm8k.state(rule="highest confidence")
    bare = explore("votes", lab.load_outcomes("gsm8k-openai-2021"))  # correctness only
    assert bare.controls[1].options == (RIGHT_OR_WRONG,)
    assert "answer" in bare.missing["rule: majority"]
    assert bare.card(bare.state(), bare.items[0])["said"].iloc[0] == "not recorded"
    with pytest.raises(ValueError, match="answer"):
        explore(lab.MajorityVote(), lab.load_outcomes("gsm8k-openai-2021"))


@dataclass(frozen=True)
class LastVote(Vote):
    """A vote of a reader's own: the last member decides."""

    def _elect(self, outcomes, columns):
        return np.full(len(outcomes), len(columns) - 1), None


def test_a_policy_starts_with_its_own_rule_members_and_weights():
    imdb = lab.load_outcomes("imdb-services")
    policy = lab.WeightedVote(("Vader", "Google"), weights={"Vader": 5.0, "Google": 1.0})
    explorer = explore(policy, imdb)
    state = explorer.state()
    assert state["rule"] == "log-odds weights" and set(state["members"]) == {"Vader", "Google"}
    card = explorer.card(state, imdb.items[0])
    assert card.loc["Vader", "weight"] == 5.0
    assert card.loc["the vote", "said"] == card.loc["Vader", "said"]
    # Tie: the member that the policy lists first decides, though it is the worse one.
    for policy in (lab.MajorityVote(("Vader", "Google")), LastVote()):
        explorer = explore(policy, imdb)
        picture = explorer.picture()
        assert explorer.state()["rule"] in ("majority", "LastVote")
        assert share(picture, "vote") < share(picture, "picked beforehand")


def test_a_hundred_models_have_no_names_beside_the_heat_map():
    answer = np.random.default_rng(0).integers(0, 2, (50, 100))
    table = Outcomes(models=[f"model {j}" for j in range(100)], items=range(50), correct=answer,
                     answer=answer, labels="ab")  # fmt: skip
    crowd = explore("votes", table)
    assert len(crowd.state()["members"]) == 10
    whole = crowd.picture(members=table.models)
    assert square(whole).shape == (100, 100) and not whole.layout["yaxis2"]["showticklabels"]


def test_many_members_have_boxes_and_those_of_a_preset_come_first(gsm8k):
    panel = Panel(gsm8k, live=False)
    boxes = panel.inputs["members"]
    label, grid = boxes.widget.children
    panel.presets["the five best"].click()
    assert [box.value for box in grid.children] == [True] * 5 + [False] * 39
    assert boxes.read() == panel.state["members"] and "5 of 44" in label.value
    order = grid.children
    grid.children[7].value = True  # a click moves nothing
    assert grid.children is order and len(panel.state["members"]) == 6 and "6 of 44" in label.value


def test_dots_stand_for_several_items_where_there_are_many(imdb):
    picture = imdb.picture(**failing(imdb))
    drawn = traces(picture)["ruined"]
    assert len(drawn["customdata"]) < 3000
    assert any("a dot is" in note["text"] for note in picture.layout["annotations"])
    assert max(map(abs, drawn["y"])) <= -picture.layout["yaxis3"]["range"][0]


def test_members_of_whom_nothing_is_graded_are_said_so():
    table = Outcomes(models=["a", "b"], items=range(4), correct=[[1, np.nan]] * 4,
                     answer=[[0, 0]] * 4, labels="xy")  # fmt: skip
    assert "graded" in votes.explorer(table).picture(members=["b"]).finding
