"""Strong answers as guides: exact streams of toy models, a reference, a state, refusals."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.answers.online.memory import with_guide
from ensemble_lab.core.errors import UnknownName

NAMES = ("weak", "guided", "strong")
POLICY = lab.GuidedRouter(*NAMES, features=("x",), radius=0.4)
HELP = {"known": True, "guide": False, "never": None}  # what the weak model needs for a kind
PLACE = {"known": 0.0, "guide": 1.0, "never": 2.0}


class Models:
    """Questions are "kind number"; the strong model answers with the number times two.

    The weak one does so for a kind that it knows, and for another if its guide is of that kind.
    """

    def __init__(self):
        self.asked = []

    def strong(self, item):
        self.asked.append(("strong", item))
        number = item.split()[1]
        return lab.Reply(2 * int(number), cost=1.0, latency=2.0, tokens=3, text=f"It is {number}*2")

    def weak(self, item):
        self.asked.append(("weak", item))
        kind, number = item.splitlines()[-1].split()
        shown = [line.split()[0] for line in item.splitlines()[1:2]]
        right = HELP[kind] or (HELP[kind] is False and shown == [kind])
        return lab.Reply(2 * int(number) if right else None, cost=0.1, latency=0.5, tokens=1)

    def given(self):
        return {"weak": self.weak, "strong": self.strong}


def begun(policy=POLICY):
    return policy.begin(policy.models, np.random.default_rng(0))


def known(item):
    kind, number = item.split()
    return {"x": PLACE[kind] + int(number) / 100}


def ask(learner, models, *items):
    return [learner.ask(models.given(), item, known(item)) for item in items]


# -- live, where what the models do is known ------------------------------------------------------


def test_a_guide_that_was_right_once_saves_the_strong_model():
    learner, models = begun(), Models()
    replies = ask(learner, models, "guide 1", "guide 2", "guide 3", "guide 5")
    assert [one.answer for one in replies] == [2, 4, 6, 10]
    prompts = [with_guide(f"guide {n}", "guide 1", "It is 1*2") for n in (2,)]
    prompts += [with_guide(f"guide {n}", "guide 2", "It is 2*2") for n in (3, 5)]
    assert models.asked == [
        ("strong", "guide 1"),
        ("weak", "guide 1"),  # a shadow: it is only compared
        ("strong", "guide 2"),
        ("weak", "guide 2"),
        ("weak", prompts[0]),
        ("weak", prompts[1]),
        ("weak", prompts[2]),
    ]
    assert [one.cost for one in replies] == pytest.approx([1.1, 1.2, 0.1, 0.1])
    assert replies[1].tokens == 5 and replies[1].latency == 2.0  # nobody waits for the shadows


def test_a_stream_asks_the_strong_model_only_where_it_must():
    learner, models = begun(replace(POLICY, radius=0.005)), Models()
    items = [f"{kind} 7" for _ in range(10) for kind in HELP]
    replies = ask(learner, models, *items)
    assert [one.answer for one in replies] == [14] * 30
    strong = [item for name, item in models.asked if name == "strong"]
    assert [strong.count(f"{kind} 7") for kind in HELP] == [1, 2, 10]
    alone = [item for name, item in models.asked if name == "weak" and "\n" not in item]
    assert [alone.count(f"{kind} 7") for kind in HELP] == [10, 2, 10]


def test_nearness_ends_at_the_radius():
    learner, models = begun(replace(POLICY, radius=0.015)), Models()
    ask(learner, models, "known 10", "known 11", "known 13", "known 12")
    assert [item for name, item in models.asked if name == "strong"] == ["known 10", "known 13"]


def test_more_trust_needs_more_shadow_replies():
    found = {}
    for trust in (0.6, 0.75, 0.8):
        learner, models = begun(replace(POLICY, radius=0.005, trust=trust)), Models()
        ask(learner, models, *["known 7"] * 8)
        found[trust] = sum(name == "strong" for name, _ in models.asked)
    assert found == {0.6: 1, 0.75: 2, 0.8: 3}  # 2/3, 3/4 and 4/5 after 1, 2 and 3 right replies


def test_it_is_a_model_that_run_and_record_take(tmp_path):
    learner, models = begun(), Models()

    def guided(item):
        return learner.ask(models.given(), item, lambda items: {"x": [known(items[0])["x"]]})

    items = ["guide 1", "guide 2", "guide 3", "guide 4"]
    table = lab.record({"guided": guided}, items, tmp_path / "r.jsonl", truth=[2, 4, 6, 8],
                       progress=False)  # fmt: skip
    assert table.correct.tolist() == [[1.0]] * 4
    assert table.cost[:, 0].tolist() == pytest.approx([1.1, 1.2, 0.1, 0.1])
    decision = lab.run(lab.Cascade(("guided",)), {"guided": guided}, "guide 5")
    assert decision.answers[0] == 10 and decision.cost[0] == pytest.approx(0.1)


def test_the_strong_model_is_asked_again_after_bad_grades():
    learner, models = begun(replace(POLICY, radius=0.005)), Models()
    ask(learner, models, "known 7", "known 7")
    assert learner.choose({"x": 0.07}, 2) == (0,)
    learner.learn(lab.Feedback(2, 0, 0.0, math.nan, math.nan))  # 1 of 2: not trusted any more
    assert learner.choose({"x": 0.07}, 3) == (2, 0, 1)


def test_an_error_of_a_model_loses_nothing(tmp_path):
    learner, models = begun(), Models()
    ask(learner, models, "guide 1")
    before = json.loads(learner.save(tmp_path / "a.json").read_text())

    def broken(item):
        raise RuntimeError("no connection")

    with pytest.raises(RuntimeError, match="no connection"):
        learner.ask(models.given() | {"weak": broken}, "guide 2", known("guide 2"))
    after = json.loads(learner.save(tmp_path / "b.json").read_text())
    assert {k: v for k, v in after.items() if k != "last"} == {
        k: v for k, v in before.items() if k != "last"
    }
    assert ask(learner, models, "guide 2")[0].answer == 4


def test_answers_that_nobody_could_parse_agree_with_nothing():
    learner = begun()
    models = {"weak": lambda item: None, "strong": lambda item: None}
    for _ in range(3):
        learner.ask(models, "?", {"x": 0.0})
    assert not learner.answers and learner.asked.tolist() == [3, 0, 3]


# -- replay ---------------------------------------------------------------------------------------


def reference(points, correct, radius, trust):
    """Who is asked, item by item, as it is described: a list of positions for each."""
    answered, trials, asked = [], [], []
    for x, grades in zip(points, correct):
        guided = any(abs(x - other) <= radius for other in answered)
        share = []
        for way in (0, 1):
            near = [grade for other, of, grade in trials if of == way and abs(x - other) <= radius]
            share.append((sum(near) + 1) / (len(near) + 2))
        who = [2, 0] + [1] * guided
        if share[0] >= trust:
            who = [0]
        elif guided and share[1] >= trust:
            who = [1]
        asked.append(who)
        trials += [(x, arm, grades[arm]) for arm in who if arm < 2]
        answered += [x] if 2 in who and grades[2] == 1 else []
    return asked


def recorded(points, correct, names=NAMES):
    return lab.Outcomes(
        models=names, items=range(len(points)), correct=correct, features={"x": points}
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.055, 0.305, 5.0]), st.floats(0.52, 1))
def test_a_replay_asks_whom_the_description_says(seed, radius, trust):
    rng = np.random.default_rng(seed)
    points = rng.random(25).round(2)
    correct = (rng.random((25, 3)) < [0.4, 0.6, 0.8]).astype(float)
    policy = replace(POLICY, radius=radius, trust=trust)
    decision = policy.decide(recorded(points, correct))
    expected = reference(points, correct, radius, trust)
    assert decision.chosen.tolist() == [who[0] for who in expected]
    assert [np.flatnonzero(row).tolist() for row in decision.called] == [
        sorted(who) for who in expected
    ]
    order = [2, 0, 1]  # the models of a table stand in any order
    again = policy.decide(recorded(points, correct[:, order], [NAMES[i] for i in order]))
    np.testing.assert_array_equal(again.called, decision.called[:, order])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 999), st.data())
def test_cells_that_it_did_not_ask_for_and_late_grades_change_nothing(seed, data):
    rng = np.random.default_rng(seed)
    points, correct = rng.random(25).round(1), rng.integers(0, 2, (25, 3)).astype(float)
    table, delay = recorded(points, correct), data.draw(st.integers(0, 8))
    found = POLICY.decide(table, delay=delay)
    changed = np.where(found.called, correct, 1 - correct)
    again = POLICY.decide(replace(table, correct=changed), delay=delay)
    np.testing.assert_array_equal(found.called, again.called)


def test_a_table_without_guided_replies_is_refused_and_the_fix_is_named():
    table = recorded([0.0], [[1.0, 1.0]], ("weak", "strong"))
    with pytest.raises(ValueError, match=r"no replies of 'guided'.*record the weak model with"):
        POLICY.decide(table)
    with pytest.raises(ValueError, match=r"ask live models: policy\.begin\(policy\.models, rng\)"):
        POLICY.begin(("weak", "strong"), np.random.default_rng(0))


def test_a_model_that_is_away_is_not_asked():
    learner = begun()
    assert learner.choose({"x": 0.0}, 0, available=[True, True, False]) == (0,)  # no guide is near
    learner = begun()
    ask(learner, Models(), "guide 1")
    for flags, asked in (
        ([True, True, False], (0, 1)),  # no strong answer: the first one's is given
        ([False, True, True], (2, 1)),
        ([False, False, True], (2,)),
        ([False, False, False], ()),
    ):
        assert learner.choose({"x": 1.01}, learner.last + 1, available=flags) == asked


# -- state ----------------------------------------------------------------------------------------


def test_it_stops_after_each_step_and_goes_on_as_if_it_had_not(tmp_path):
    items = [f"{kind} {n % 4}" for n in range(8) for kind in HELP]
    whole, models = begun(), Models()
    expected = ask(whole, models, *items)
    learner, again = begun(), Models()
    for item, reply in zip(items, expected):
        assert ask(learner, again, item)[0].answer == reply.answer
        learner = POLICY.resume(learner.save(tmp_path / "s.json"), POLICY.models)
    assert again.asked == models.asked
    assert (learner.answers, learner.trials) == (whole.answers, whole.trials)


def test_between_a_question_and_its_late_grades_it_can_be_saved(tmp_path):
    learner = begun()
    ask(learner, Models(), "guide 1")
    asked = learner.choose({"x": 1.02}, 5)
    learner = POLICY.resume(learner.save(tmp_path / "s.json"), POLICY.models)
    for arm in asked:
        learner.learn(lab.Feedback(5, arm, 1.0, math.nan, math.nan))
    assert learner.shares([1.02]).tolist() == [0.5, 2 / 3] and len(learner.answers) == 2
    joined = learner.with_models(("other", *NAMES))
    assert joined.choose({"x": 1.02}, 6) == (2,)


@pytest.mark.parametrize(
    "place, value",
    [
        (("answers", 0, 0), [1.0, 2.0]),
        (("answers", 0, 0), ["x"]),
        (("answers", 0, 1), 3),
        (("answers", 0), [[1.0]]),
        (("answers",), 3),
        (("trials", 0, 0), []),
        (("trials", 0, 1), 2),
        (("trials", 0, 1), True),
        (("trials", 0, 2), 1.5),
        (("trials", 0, 2), "1"),
        (("pending", 0, 2, "point"), None),
        (("pending", 0, 2, "answer"), 7),
        (("pending", 0, 2), None),
        (("models",), ["a", "b", "c"]),
    ],
)
def test_a_state_that_it_cannot_have_is_refused(place, value, tmp_path):
    learner = begun()
    ask(learner, Models(), "guide 1", "guide 2")
    learner.choose({"x": 0.0}, 9)
    path = learner.save(tmp_path / "s.json")
    state = json.loads(path.read_text())
    inner = state
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"'s\.json' cannot be resumed: .*; begin anew"):
        POLICY.resume(path, POLICY.models)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"weak": "strong"}, "give each its own name"),
        ({"guided": None}, "give three names of models"),
        ({"strong": 3}, "give three names of models"),
        ({"features": ()}, "features are"),
        ({"features": (1,)}, "features are"),
        ({"radius": -1}, "radius"),
        ({"radius": math.nan}, "radius"),
        ({"trust": 0.5}, "trust"),
        ({"trust": 1.1}, "trust"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(POLICY, **change)


def test_questions_that_cannot_be_asked_are_refused():
    learner, models = begun(), Models()
    with pytest.raises(TypeError, match="the question is 3; give text"):
        learner.ask(models.given(), 3, {"x": 0.0})
    with pytest.raises(UnknownName, match="strong"):
        learner.ask({"weak": models.weak}, "guide 1", {"x": 0.0})
    with pytest.raises(UnknownName, match="feature 'x'"):
        learner.ask(models.given(), "guide 1", {"y": 0.0})
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="give a finite number"):
            learner.ask(models.given(), "guide 1", {"x": value})
    assert not models.asked and learner.last == -1


def test_a_memory_without_texts_guides_nobody():
    learner = POLICY.learned(recorded([0.0, 0.0, 0.0], [[0, 1, 1]] * 3))
    with pytest.raises(ValueError, match="has no text: it is from a replay"):
        learner.ask(Models().given(), "guide 1", {"x": 0.0})
