"""`run`: live equals replay, calls included, and only the models needed are called."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.reply import Reply
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.models.asking.live import record, run
from tests.support.policies import every_policy, learning_policies
from tests.support.strategies import outcomes


class Recorded:
    """One column of a table as a live model; its items are row numbers."""

    def __init__(self, table: Outcomes, column: int):
        self.table, self.column, self.asked = table, column, 0

    def __call__(self, row: int) -> Reply:
        self.asked += 1
        at, table = (row, self.column), self.table
        code = table.answer[at]
        measures = {
            name: getattr(table, name)[at]
            for name in ("confidence", "cost", "latency", "tokens")
            if getattr(table, name) is not None
        }
        proba = None
        if table.probability is not None and not np.isnan(table.probability[at]).any():
            proba = dict(zip(table.labels, table.probability[at], strict=True))
        return Reply(table.labels[code] if code >= 0 else None, probability=proba, **measures)


def assert_live_equals_replay(policy, table: Outcomes, row: int, parallel: bool):
    models = {name: Recorded(table, j) for j, name in enumerate(table.models)}
    # Who is asked live says something: what was never asked is a reply that cannot be read.
    heard = np.where(table.answer == ABSENT, UNPARSED, table.answer)
    table = replace(table, answer=heard)
    replay = policy.decide(table, parallel=parallel)
    features = {name: values[row] for name, values in table.features.items()}
    group = None if table.group is None else table.group[row]
    known = {"features": features, "group": group, "labels": table.labels}
    live = run(policy, models, row, **known, parallel=parallel)
    assert len(live) == 1 and live.models == table.models
    assert live.called[0].tolist() == replay.called[row].tolist(), policy
    assert [m.asked for m in models.values()] == replay.called[row].astype(int).tolist(), policy
    assert live.answers[0] == replay.answers[row], policy
    assert live.abstained[0] == replay.abstained[row], policy
    assert max(live.chosen[0], -1) == max(replay.chosen[row], -1), policy
    for name in ("cost", "latency"):
        if getattr(replay, name) is not None:
            now, then = getattr(live, name)[0], getattr(replay, name)[row]
            np.testing.assert_allclose(now, then, err_msg=f"{name} of {policy}")
    assert np.isnan(live.correct).all()


def with_features(table: Outcomes, seed: int) -> Outcomes:
    rng = np.random.default_rng(seed)
    n = len(table)
    features = {"length": rng.integers(1, 500, n), "odd": rng.random(n)}
    return replace(table, features=features, group=rng.choice(["easy", "hard"], n).tolist())


def with_probabilities(table: Outcomes, seed: int) -> Outcomes:
    rng = np.random.default_rng(seed)
    shape = table.correct.shape
    return replace(table, probability=rng.dirichlet(np.ones(len(table.labels)), shape))


@settings(max_examples=40)
@given(outcomes(min_models=3), st.data())
def test_live_equals_replay_for_every_policy(table, data):
    table = with_probabilities(with_features(table, 0), 1)
    if data.draw(st.booleans(), label="confidences only"):
        table = replace(table, probability=None)
    row = data.draw(st.integers(0, len(table) - 1))
    parallel = data.draw(st.booleans())
    for policy in every_policy(table.models, table.labels):
        if not (isinstance(policy, lab.RankVote) and table.probability is None):
            assert_live_equals_replay(policy, table, row, parallel)


@settings(max_examples=15)
@given(
    outcomes(min_items=12, max_items=20, min_models=2, max_models=3, labels=3, complete=True),
    st.booleans(),
)
def test_live_equals_replay_for_what_was_fitted(table, parallel):
    right = table.correct.copy()
    right[0], right[1] = 1, 0  # something to learn for the selector
    table = with_features(replace(table, correct=right), 2)
    for policy in learning_policies(table.models):
        fitted = policy.fit(table)
        for row in (0, 5, len(table) - 1):
            assert_live_equals_replay(fitted, table, row, parallel)


def sure(answer, confidence=0.9, **more):
    return lambda item: Reply(answer, confidence=confidence, **more)


def forbidden(item):
    raise AssertionError("this model was not needed")


def test_a_model_that_is_not_needed_is_never_called():
    models = {"small": sure("yes"), "big": forbidden, "idle": forbidden}
    assert run(lab.Cascade(("small", "big"), (0.8,)), models, "?").answers == ["yes"]
    chosen = lab.HeuristicSelector("small", "big", "length", 5)
    decision = run(chosen, models, "?", features={"length": 1})
    assert decision.calls == {"small": 1, "big": 0, "idle": 0}
    agreed = lab.AgreementCascade((("small", "same"), ("big",)))
    assert run(agreed, models | {"same": sure("yes")}, "?").answers == ["yes"]
    gave_up = run(lab.Cascade(("small", "big"), (0.95,), abstain=(0.92, 0)), models, "?")
    assert gave_up.answers == [None] and gave_up.called.sum() == 1


@pytest.mark.parametrize("policy", [lab.MajorityVote(), lab.AgreementCascade((("a", "b"),))])
def test_threads_really_run_together(policy):
    barrier = threading.Barrier(2, timeout=20)

    def meet(item):
        barrier.wait()  # breaks unless both are inside at once
        return "met"

    assert run(policy, {"a": meet, "b": meet}, "?").answers == ["met"]


def test_in_sequence_one_after_the_other_in_one_thread():
    inside, seen = [], []

    def model(item):
        assert not inside
        inside.append(1)
        seen.append(threading.get_ident())
        inside.pop()
        return "ok"

    models = {"a": model, "b": model, "c": model}
    run(lab.MajorityVote(), models, "?", parallel=False)
    assert len(seen) == 3 and len(set(seen)) == 1


def test_costs_and_times_of_a_wave():
    models = {"a": sure("x", latency=1.0, cost=1), "b": sure("y", latency=3.0, cost=2)}
    together = run(lab.MajorityVote(), models, "?")
    assert together.latency.tolist() == [3] and together.cost.tolist() == [3]
    assert run(lab.MajorityVote(), models, "?", parallel=False).latency.tolist() == [4]
    cascade = lab.Cascade(("a", "b"), (0.95,))
    assert run(cascade, models, "?").latency.tolist() == [4]


def test_what_a_policy_lacks_is_named():
    bare = {"small": lambda item: "yes", "big": lambda item: "no"}
    with pytest.raises(ValueError, match="Cascade needs 'confidence'"):
        run(lab.Cascade(("small", "big"), (0.5,)), bare, "?")
    with pytest.raises(ValueError, match="RankVote needs 'probability'"):
        run(lab.RankVote(), bare, "?")
    with pytest.raises(KeyError, match="no model 'smal' in the models given; did you mean 'small'"):
        run(lab.Cascade(("smal", "big"), (0.5,)), bare, "?")
    with pytest.raises(KeyError, match="no feature 'length'"):
        run(lab.HeuristicSelector("small", "big", "length", 5), bare, "?")
    with pytest.raises(TypeError, match="models is function; name them"):
        run(lab.MajorityVote(), forbidden, "?")


def test_a_label_that_was_not_listed_is_added_behind_the_others():
    said = run(lab.MajorityVote(), {"a": sure("yes")}, "?", labels=["ja", "nein"])
    assert said.labels == ("ja", "nein", "yes") and said.answers == ["yes"]
    probabilities = {"a": sure("x", probability={"x": 0.4, "z": 0.6})}
    meant = run(lab.MeanVote(), probabilities, "?", labels=["x", "y"])
    assert meant.labels == ("x", "y", "z") and meant.answers == ["z"]


def test_a_failing_model_is_named():
    def broken(item):
        raise TimeoutError("no reply in 30 s")

    with pytest.raises(TimeoutError) as caught:
        run(lab.MajorityVote(), {"good": sure("x"), "broken": broken}, "?")
    assert "'broken' failed" in caught.value.__notes__[0]


def test_without_labels_the_answers_seen_are_the_labels():
    models = {"a": sure("x"), "b": sure("z"), "c": sure("z")}
    assert run(lab.MajorityVote(), models, "?").answers == ["z"]
    unparsed = run(lab.MajorityVote(), {"a": lambda item: None}, "?")
    assert unparsed.answers == [None] and not unparsed.abstained.any()  # it is wrong


def test_recorded_then_replayed_equals_run(tmp_path):
    rng = np.random.default_rng(0)
    replies = {
        name: [
            Reply(str(a), confidence=c, cost=p, latency=p)
            for a, c in zip(rng.integers(0, 3, 40), rng.random(40).round(1), strict=True)
        ]
        for name, p in {"small": 1.0, "middle": 3.0, "big": 10.0}.items()
    }
    models = {name: column.__getitem__ for name, column in replies.items()}
    truth = [str(t) for t in rng.integers(0, 3, 40)]
    table = record(models, range(40), tmp_path / "r.jsonl", truth=truth, progress=False)
    policy = lab.Cascade(("small", "middle", "big"), (0.6, 0.3))
    replay = policy.decide(table)
    live = [run(policy, models, i, labels=table.labels) for i in range(40)]
    assert [d.answers[0] for d in live] == replay.answers
    assert [d.cost[0] for d in live] == replay.cost.tolist()
    assert (np.concatenate([d.called for d in live]) == replay.called).all()


@pytest.mark.parametrize("labels", [None, ["A", "B"]])
def test_an_answer_that_no_threshold_knows_defers_live_too(labels):
    models = {"small": sure("I am not sure", 0.99), "big": sure("B")}
    policy = lab.Cascade(("small", "big"), ({"A": 0.5, "B": 0.9},))
    decision = run(policy, models, "?", labels=labels)
    assert decision.answers == ["B"] and decision.called.all()
