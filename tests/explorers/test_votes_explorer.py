"""The votes and Condorcet explorers: any outcomes, any state, the same traces, honest words."""

import json
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
from ensemble_lab.explorers.answers.votes.vote_replay import RIGHT_OR_WRONG
from ensemble_lab.widgets.still import still
from tests.support.strategies import outcomes as tables

BARS, TICKS, RESCUED, RUINED, HEAT = 0, 1, 4, 5, 6


@pytest.fixture(scope="module")
def gsm8k():
    return lab.load_outcomes("gsm8k-44-llms")


@pytest.fixture(scope="module")
def imdb():
    return lab.load_outcomes("imdb-services")


def states(explorer):
    """Random states of an explorer, as JSON would hold them."""

    def values(control):
        one = st.sampled_from(control.options)
        if control.kind != "many":
            return one
        return st.lists(one, min_size=1, unique=True)

    return st.fixed_dictionaries({c.name: values(c) for c in explorer.controls})


def forms(picture):
    return [(trace["type"], trace.get("name", "").split(" at ")[0]) for trace in picture.traces]


@pytest.mark.slow
@given(st.data())
def test_any_table_and_state_has_the_same_traces(data):
    table = data.draw(tables(with_confidence=None))
    if np.isnan(table.correct).all():
        with pytest.raises(ValueError, match="graded"):
            explore("votes", table)
        return
    explorer = explore("votes", table)
    first = explorer.picture()
    for _ in range(3):
        state = explorer.state(**data.draw(states(explorer)))
        picture, again = explorer.drawn(state), explorer.drawn(state)
        assert forms(picture) == forms(first)
        assert json.dumps([again.traces, again.layout]) == json.dumps(
            [picture.traces, picture.layout], allow_nan=False
        )
        assert picture.finding and picture.text
        assert not picture.table().empty
        card = explorer.card(state, data.draw(st.sampled_from(table.items.tolist())))
        many = -(-len(state["members"]) * state.get("voters", 100) // 100)
        assert len(set(state["members"]) & set(card.index)) == many
    explorer.figure()


@given(st.data())
def test_any_jury_has_the_same_traces(data):
    explorer = explore("condorcet")
    state = explorer.state(**data.draw(states(explorer)))
    picture = explorer.drawn(state)
    assert [t["type"] for t in picture.traces] == ["scatter"] * 6
    drawn = picture.traces[5]["y"][0]
    truth = lab.condorcet(state["members"], state["accuracy"], state["correlation"])
    assert drawn == pytest.approx(float(truth), abs=1e-5)
    assert f"{float(truth):.1%}" in picture.finding or state["members"] == 1


@pytest.mark.parametrize("correlation", [0.02, 0.3, 0.8])
def test_a_large_jury_comes_near_its_ceiling(correlation):
    large = float(lab.condorcet(20_001, 0.7, correlation))
    assert condorcet.ceiling(0.7, correlation) == pytest.approx(large, abs=1e-3)
    assert condorcet.ceiling(0.7, 0.0) == 1.0 and condorcet.ceiling(0.3, 0.0) == 0.0
    assert condorcet.ceiling(0.7, 1.0) == 0.7


def test_the_picture_says_what_the_policy_does(gsm8k):
    fit, shown = gsm8k.split(0.5, 0)
    explorer = explore("votes", gsm8k)
    members = explorer.state()["members"]
    assert len(members) == 10
    for rule, policy in (
        ("majority", lab.MajorityVote()),
        ("log-odds weights", lab.WeightedVote()),
    ):
        decision = replace(policy, members=members).fit(fit).decide(shown)
        picture = explorer.picture(rule=rule)
        assert picture.traces[0]["x"][1] == pytest.approx(decision.accuracy, abs=1e-6)
        assert f"{decision.accuracy:.1%}" in picture.finding
        best = fit.select(models=members).best_single().model
        alone = shown.correct[:, shown.columns([best])[0]]
        table = picture.table()
        up, down = (decision.correct > alone), (decision.correct < alone)
        assert table.loc["rescued", "share"] == pytest.approx(up.mean())
        assert f"{up.sum():,} items rescued, {down.sum():,} ruined" in picture.finding
        assert set(picture.traces[RESCUED]["customdata"]) == set(shown.items[up].tolist())
        assert set(picture.traces[RUINED]["customdata"]) == set(shown.items[down].tolist())
        heights = np.round(picture.traces[RESCUED]["x"]).astype(int)
        right = (shown.select(models=members).correct == 1).sum(axis=1)
        of = dict(zip(shown.items.tolist(), right.tolist()))
        assert heights.tolist() == [of[i] for i in picture.traces[RESCUED]["customdata"]]


def test_heat_map_and_condorcet_are_the_measured_ones(gsm8k):
    _, shown = gsm8k.split(0.5, 0)
    explorer = explore("votes", gsm8k, correlation=0.4)
    picture = explorer.picture()
    named = picture.layout["yaxis3"]["ticktext"]
    members = picture.traces[1]["customdata"]
    assert [text.split()[-1] for text in named] == [str(i + 1) for i in range(10)]
    part = shown.select(models=members)
    corr = lab.error_correlation(part)
    drawn = np.array(
        [[np.nan if v is None else v for v in row] for row in picture.traces[HEAT]["z"]]
    )
    off = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(drawn[off], corr[off], atol=1e-5)
    mean = part.accuracy().mean()
    for trace, rho in ((2, 0.4), (3, lab.mean_pairwise(corr))):
        truth = float(lab.condorcet(10, mean, rho))
        assert picture.traces[trace]["x"][0] == pytest.approx(truth, abs=1e-5)


def test_presets_show_what_they_promise(gsm8k, imdb):
    explorer = explore("votes", gsm8k)
    weak, best = (explorer.presets[f"the {name}"] for name in ("ten weakest", "five best"))
    assert "more than the best" in explorer.picture(**weak).finding
    fit, _ = gsm8k.split(0.5, 0)
    accuracy = dict(zip(gsm8k.models, fit.accuracy()))
    assert max(accuracy[m] for m in weak["members"]) < min(accuracy[m] for m in best["members"])
    copies = explorer.presets["the three most alike"]["members"]
    assert all("405B" in name for name in copies)  # one model on three hosts
    failing = {title: view for title, view in explore("votes", imdb).presets.items()}
    title = next(title for title in failing if title.startswith("fails"))
    assert failing[title]["rule"] == "highest confidence"
    assert "fewer than the best" in explore("votes", imdb).picture(**failing[title]).finding


def test_the_still_figure_is_dragged_along_the_number_of_voters(gsm8k):
    explorer = explore("votes", gsm8k)
    figure = still(explorer)
    titles, shares, shown = [], [], {}
    for step in figure["layout"]["sliders"][0]["steps"]:
        traces, moved, which = step["args"]
        titles.append(moved["title.text"])
        shown[int(step["label"])] = traces["customdata"][which.index(TICKS)]
        shares.append(traces["x"][which.index(BARS)][:2])
    assert list(shown) == list(range(10, 101, 10)) and len(set(titles)) == 10
    assert titles[0].startswith("One member") and titles[4].startswith("5 of 10 members")
    best, vote = np.transpose(shares)
    assert len(set(best)) == 1 and vote[0] == best[0]  # the best is among the voters all along
    assert vote[-1] > vote[3] > vote[0]  # of these, more heads are better
    fit, _ = gsm8k.split(0.5, 0)
    accuracy = dict(zip(gsm8k.models, fit.accuracy()))
    order = [accuracy[name] for name in shown[100]]
    assert order == sorted(order, reverse=True) and shown[50] == shown[100][:5]
    for share, title in zip(shown, titles):
        assert explorer.picture(voters=share).finding == title


def test_one_model_has_no_number_of_voters():
    table = Outcomes(models=["a"], items=range(4), correct=[[1], [1], [0], [1]],
                     answer=[[0]] * 4, labels="xy")  # fmt: skip
    explorer = explore("votes", table)
    assert "voters" not in explorer.state() and "one model" in explorer.missing["voters"]
    with pytest.raises(ValueError, match="needs two"):
        explorer.state(voters=50)


def test_a_state_copied_before_there_was_a_number_of_voters_still_reads(gsm8k):
    explorer = explore("votes", gsm8k)
    state = explorer.state()
    del state["voters"]
    old = {"explorer": "votes", "version": 1, "state": state}
    assert explorer.read(old) == explorer.state(voters=100)


def test_words_and_table_say_what_the_heat_map_shows(gsm8k):
    picture = explore("votes", gsm8k).picture()
    z = np.array([[np.nan if v is None else v for v in row] for row in picture.traces[HEAT]["z"]])
    members = picture.traces[TICKS]["customdata"]
    pair = {members[i] for i in np.unravel_index(np.nanargmax(z), z.shape)}
    words = picture.text.split("go together most for ")[1].split(", least")[0]
    assert all(name in words for name in pair) and f"({np.nanmax(z):.2f})" in words
    each = picture.table()["error correlation"].dropna()
    assert each.index.tolist() == [f"member: {name}" for name in members]
    np.testing.assert_allclose(each, np.nanmean(z, axis=1), atol=1e-5)


def test_right_or_wrong_only_is_a_majority_over_correctness(gsm8k):
    _, shown = gsm8k.split(0.5, 0)
    explorer = explore("votes", gsm8k)
    members = explorer.presets["the five best"]["members"]
    drawn = explorer.picture(members=members, rule=RIGHT_OR_WRONG).traces[0]["x"][1]
    right = shown.select(models=members).correct
    assert drawn == pytest.approx(np.mean(right.sum(axis=1) > 2.5), abs=1e-6)


def test_rules_without_their_fields_are_explained(gsm8k):
    explorer = explore("votes", gsm8k)  # no confidences
    assert "confidence" in explorer.missing["rule: highest confidence"]
    with pytest.raises(ValueError, match="no option"):
        explorer.state(rule="highest confidence")
    bare = explore("votes", lab.load_outcomes("gsm8k-openai-2021"))  # correctness only
    assert bare.controls[1].options == (RIGHT_OR_WRONG,)
    assert "answer" in bare.missing["rule: majority"]
    assert bare.card(bare.state(), bare.items[0])["said"].iloc[0] == "not recorded"
    with pytest.raises(ValueError, match="answer"):
        explore(lab.MajorityVote(), lab.load_outcomes("gsm8k-openai-2021"))


def test_a_policy_starts_with_its_own_rule_members_and_weights(imdb):
    policy = lab.WeightedVote(("Vader", "Google"), weights={"Vader": 5.0, "Google": 1.0})
    explorer = explore(policy, imdb)
    state = explorer.state()
    assert state["rule"] == "log-odds weights" and set(state["members"]) == {"Vader", "Google"}
    card = explorer.card(state, imdb.items[0])
    assert card.loc["Vader", "weight"] == 5.0
    assert card.loc["the vote", "said"] == card.loc["Vader", "said"]
    # Tie: the member that the policy lists first decides, though it is the worse one.
    first = explore(lab.MajorityVote(("Vader", "Google")), imdb).picture().traces[0]["x"]
    assert first[1] < first[0]


@dataclass(frozen=True)
class LastVote(Vote):
    """A vote of a reader's own: the last member decides."""

    def _elect(self, outcomes, columns):
        return np.full(len(outcomes), len(columns) - 1), None


def test_a_vote_of_ones_own_can_be_explored(imdb):
    explorer = explore(LastVote(), imdb)
    assert explorer.state()["rule"] == "LastVote"
    assert explorer.picture().traces[0]["x"][1] < explorer.picture().traces[0]["x"][0]


def test_one_model_one_item_and_a_hundred_models():
    rng = np.random.default_rng(0)

    def table(n, m):
        answer = rng.integers(0, 4, (n, m))
        names = [f"model {j}" for j in range(m)]
        truth = np.zeros(n, int)
        return Outcomes(models=names, items=np.arange(n), correct=answer == 0, answer=answer,
                        labels="abcd", truth=truth)  # fmt: skip

    one_model = explore("votes", table(20, 1))
    assert "no vote" in one_model.picture().finding
    assert "only item" in explore("votes", table(1, 3)).picture().text
    crowd = explore("votes", table(50, 100))
    assert len(crowd.state()["members"]) == 10
    whole = crowd.figure(members=crowd.controls[0].options)
    assert np.shape(whole.data[HEAT].z) == (100, 100)
    with pytest.raises(ValueError, match="empty"):
        crowd.state(members=[])


def test_dots_stand_for_several_items_where_there_are_many(imdb):
    explorer = explore("votes", imdb)
    failing = next(view for title, view in explorer.presets.items() if title.startswith("fails"))
    picture = explorer.picture(**failing)
    assert len(picture.traces[RUINED]["customdata"]) < 3000
    assert "a dot is" in picture.layout["yaxis2"]["title"]["text"]
    assert max(map(abs, picture.traces[RUINED]["y"])) <= -picture.layout["yaxis2"]["range"][0]


def test_state_travels_as_json(gsm8k):
    explorer = explore("votes", gsm8k, rule="log-odds weights")
    text = explorer.to_json(correlation=0.25)
    assert explorer.read(text) == explorer.state(correlation=0.25)
    with pytest.raises(KeyError, match="no item"):
        explorer.card(explorer.state(), "nobody")


def test_members_of_whom_nothing_is_graded_are_said_so():
    table = Outcomes(models=["a", "b"], items=range(4), correct=[[1, np.nan]] * 4,
                     answer=[[0, 0]] * 4, labels="xy")  # fmt: skip
    assert "graded" in votes.explorer(table).picture(members=["b"]).finding
