"""Live is replay, also for replies that lack something, or say what nobody has seen."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reply import Reply
from ensemble_lab.core.states import MEASURES
from ensemble_lab.models.asking.live import record, run
from tests.support.policies import every_policy, learning_policies

NAN = float("nan")
MODELS = ("small", "middle", "big")
SEEN = ("a", "b")

answers = st.sampled_from(["a", "b", "b", "unseen", "", "A", 7, 0.5, True, None, NAN])
probabilities = st.sampled_from(
    [{"a": 0.75, "b": 0.25}, {"b": 1.0}, {"a": 0.5, "unseen": 0.5}, {"unseen": 1.0}, {7: 1.0}]
)


def replies(told):
    """Replies in which a measure is told, or told now and then: `told` leaves out "never"."""
    gaps = st.just(NAN) if told else st.sampled_from([None, NAN])

    def measure(*values):
        return st.one_of(gaps, st.sampled_from(values))

    return st.builds(
        Reply,
        answers,
        confidence=measure(0.0, 0.3, 0.5, 0.7, 1.0),
        cost=measure(0.0, 0.1, 2.5),
        latency=st.sampled_from([0.0, 0.5, NAN]),  # None is timed, each time anew
        tokens=measure(0, 3),
        probability=st.one_of(st.none(), probabilities),
    )


def outcome_of(call, *given, **named):
    """What came out, an error as its type and text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*given, **named)
    except (ValueError, KeyError) as error:
        return type(error).__name__, str(error)


def numbers(values):
    """A measure that nobody told is not known: NaN."""
    return NAN if values is None else values[0]


def assert_same(policy, live, replay, row=0):
    if isinstance(live, tuple) or isinstance(replay, tuple):
        assert live == replay, policy
        return
    assert live.answers[0] == replay.answers[row], policy
    assert type(live.answers[0]) is type(replay.answers[row]), policy
    assert live.called[0].tolist() == replay.called[row].tolist(), policy
    assert live.abstained[0] == replay.abstained[row], policy
    for name in ("cost", "latency"):
        now, then = getattr(live, name), getattr(replay, name)
        then = NAN if then is None else then[row]
        np.testing.assert_allclose(numbers(now), then, err_msg=f"{name} of {policy}")


def fitted():
    rng = np.random.default_rng(0)
    answer = rng.integers(0, 2, (40, 3))
    truth = rng.integers(0, 2, 40)
    table = Outcomes(
        models=MODELS,
        items=range(40),
        correct=(answer == truth[:, None]).astype(float),
        answer=answer,
        labels=SEEN,
        truth=truth,
        confidence=rng.random((40, 3)).round(1),
        cost=np.tile([0.1, 0.2, 0.5], (40, 1)),
        features={"length": rng.integers(1, 500, 40)},
        group=rng.choice(["easy", "hard"], 40).tolist(),
    )
    return [policy.fit(table) for policy in learning_policies(MODELS)]


POLICIES = [*every_policy(MODELS, SEEN), *fitted()]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(data=st.data(), parallel=st.booleans())
def test_one_item_is_decided_live_as_in_its_recording(tmp_path_factory, policy, data, parallel):
    said = data.draw(st.tuples(*[replies(told=False)] * len(MODELS)))
    models = {name: (lambda item, r=r: r) for name, r in zip(MODELS, said, strict=True)}
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    facts = {"features": {"length": [300]}, "group": ["hard"]}
    table = record(models, ["?"], path, **facts, progress=False)
    # In a recording of more items somebody would tell each measure now and then.
    gaps = np.full(table.correct.shape, NAN)
    table = replace(table, **{n: gaps for n in MEASURES if getattr(table, n) is None})
    replay = outcome_of(policy.decide, table, parallel=parallel)
    about = {"features": {"length": 300}, "group": "hard"}
    about |= {"labels": table.labels, "parallel": parallel}
    assert_same(policy, outcome_of(run, policy, models, "?", **about), replay)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(data=st.data(), parallel=st.booleans())
def test_each_item_of_several_is_decided_live_as_in_the_recording(
    tmp_path_factory, policy, data, parallel
):
    said = data.draw(
        st.lists(st.tuples(*[replies(told=True)] * len(MODELS)), min_size=2, max_size=4)
    )
    models = {name: (lambda i, j=j: said[i][j]) for j, name in enumerate(MODELS)}
    path = tmp_path_factory.mktemp("r") / "r.jsonl"
    lengths = [300, 100, 0, 250][: len(said)]
    facts = {"features": {"length": lengths}, "group": ["hard"] * len(said)}
    table = record(models, range(len(said)), path, **facts, progress=False)
    replay = outcome_of(policy.decide, table, parallel=parallel)
    for row, length in enumerate(lengths):
        if isinstance(policy, lab.RankVote) and all(r.probability is None for r in said[row]):
            continue  # of this item alone nobody would know that there are probabilities
        about = {"features": {"length": length}, "group": "hard"}
        about |= {"labels": table.labels, "parallel": parallel}
        assert_same(policy, outcome_of(run, policy, models, row, **about), replay, row)


def sure(answer, **about):
    return lambda item: Reply(answer, **about)


def test_an_answer_without_probabilities_is_read_from_its_confidence(tmp_path):
    """Of three questions the second is one where "b" gives none, the third where nobody does."""
    proba = {"x": 0.55, "y": 0.45}
    said = {
        "a": [
            Reply("x", 0.9, probability=proba),
            Reply("x", 0.9, probability=proba),
            Reply("x", 0.6),
        ],
        "b": [Reply("y", 0.9, probability={"y": 0.7, "x": 0.3}), Reply("y", 0.9), Reply("y", 0.7)],
    }
    models = {name: (lambda i, told=told: told[i]) for name, told in said.items()}
    with pytest.warns(
        UserWarning, match="3 of 6 replies give no probabilities: they are NaN, .* confidence"
    ):
        table = record(models, range(3), tmp_path / "r.jsonl", progress=False)
    for vote in (lab.MeanVote(), lab.ProductVote(), lab.MaxVote(), lab.MedianVote()):
        assert vote.decide(table).answers == ["y", "y", "y"], vote
        assert [run(vote, models, i).answers[0] for i in range(3)] == ["y", "y", "y"], vote
    logits = replace(table, confidence=np.where(np.isnan(table.confidence), NAN, 7.0))
    with pytest.raises(ValueError, match="model 'a' has a confidence of 7"):
        lab.MeanVote().decide(logits)
    assert lab.MeanVote().decide(logits.take([0])).answers == ["y"]  # nothing is read from them


@pytest.mark.parametrize("confidence", [None, NAN])
def test_a_small_model_that_does_not_say_how_sure_it_is_defers(confidence):
    cascade = lab.Cascade(("small", "big"), (0.5,))
    models = {"small": sure("a", confidence=confidence), "big": sure("b", confidence=0.9)}
    decision = run(cascade, models, "?")
    assert decision.answers == ["b"] and decision.called.all()


def test_no_model_gives_a_confidence():
    cascade = lab.Cascade(("small", "big"), (0.5,))
    with pytest.raises(ValueError, match="Cascade needs 'confidence'"):
        run(cascade, {"small": lambda item: "a", "big": lambda item: "b"}, "?")


def test_no_model_gives_a_confidence_this_time():
    """As in a recording in which other items have confidences."""
    cascade, vote = lab.Cascade(("small", "big"), (0.5,)), lab.MeanVote(("big", "small"))
    models = {"small": sure("a"), "big": sure("b")}
    decision = run(cascade, models, "?")
    assert decision.answers == ["b"] and decision.called.all()
    assert run(vote, models, "?").answers == ["b"]


@pytest.mark.parametrize("cost", [None, NAN])
def test_a_price_that_is_not_told_is_not_known(cost):
    cascade = lab.Cascade(("small", "big"), (0.5,))
    models = {"small": sure("a", confidence=0.9, cost=cost), "big": sure("b", cost=9)}
    decision = run(cascade, models, "?")
    assert decision.answers == ["a"] and np.isnan(decision.mean_cost)
