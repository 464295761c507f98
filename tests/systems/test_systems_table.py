"""What every rule of the table holds, whatever its paper."""

from dataclasses import replace

import numpy as np
import pytest

from ensemble_lab.systems.rules.fleet import Fleet
from ensemble_lab.systems.simulator.cluster import Rule, serve_requests
from ensemble_lab.systems.simulator.machine import Machine
from ensemble_lab.systems.simulator.requests import Requests
from ensemble_lab.systems.table import ENGINE, RULES, compare_rules, draw_scene

KNOWS_OUTPUTS = {"Llumnix"}  # here a machine keeps memory for the whole of an answer
ALL = pytest.mark.parametrize("name", RULES)


def bursty(seed=0, n=900, rate=9.0):
    """Arrivals in bursts (gamma, squared coefficient of variation 4), lengths as of chats."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.gamma(0.25, 4 / rate, n))
    prompt, output = rng.lognormal(6.5, 1, n), rng.lognormal(5, 0.8, n)
    return Requests(arrival, prompt.astype(int), 1 + output.astype(int))


SCENE = draw_scene(bursty(), 0)


class Watched:
    """Notes what a rule decides, and checks what it may."""

    def __init__(self, rule):
        self.rule, self.log, self.closed, self.ended = rule, [], [], {}
        place, admit, after = rule.place, rule.admit, rule.after

        def placed(task, cluster):
            if not self.log:
                self.watch(cluster)
            machine = place(task, cluster)
            self.log.append((cluster.now, "place", task.request, machine and machine.number))
            return machine

        def admitted(machine, cluster):
            task = admit(machine, cluster)
            if task is not None:
                self.log.append((cluster.now, "admit", task.request, machine.number))
                assert machine in cluster.on
                if isinstance(rule, Fleet):
                    assert task.model in machine.models
            return task

        def ended(task, machine, cluster):
            self.ended.setdefault(task.request, cluster.now)
            return after(task, machine, cluster)

        rule.place, rule.admit, rule.after = placed, admitted, ended

    def watch(self, cluster):
        close = cluster._close
        cluster._close = lambda task: (self.closed.append(task.request), close(task))

    def until(self, time):
        return [decision for decision in self.log if decision[0] <= time]


@ALL
def test_each_request_is_answered_or_dropped_once(name):
    watched = Watched(RULES[name](SCENE))
    served = SCENE.serve(watched.rule)
    assert sorted(watched.closed) == list(range(len(SCENE.requests)))
    answered = ~served.dropped
    assert answered.any()
    when = served.requests.arrival[answered]
    assert (when <= served.started[answered]).all()
    assert (served.started[answered] < served.first[answered]).all()
    assert (served.first[answered] <= served.finished[answered]).all()
    assert (served.busy <= served.paid + 1e-6).all()
    assert ((served.quality >= 0) & (served.quality <= 1)).all()


@ALL
def test_the_same_seed_gives_the_same_times(name):
    one, two = (SCENE.serve(RULES[name](SCENE)) for _ in range(2))
    for field in ("started", "first", "finished", "quality", "busy", "paid"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


@ALL
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_no_rule_knows_the_future(name, share):
    if name in KNOWS_OUTPUTS:
        pytest.skip("its paper knows how long an answer is")
    trace = SCENE.requests
    now = float(trace.arrival[int(share * len(trace))])
    watched = Watched(RULES[name](SCENE))
    SCENE.serve(watched.rule)
    rng, n = np.random.default_rng(1), len(trace)
    later = trace.arrival > now
    open_ = np.array([watched.ended.get(i, np.inf) > now for i in range(n)])
    scrambled = Requests(
        np.where(later, now + (trace.arrival - now) * 0.5 + 1e-3, trace.arrival),
        np.where(later, rng.integers(1, 4000, n), trace.prompt),
        # What is not answered yet may take longer than it did; what has not come may be anything.
        np.where(later, rng.integers(1, 900, n), trace.output + open_ * rng.integers(0, 900, n)),
        np.where(later, rng.integers(0, 4, n), trace.model),
        np.where(later, rng.uniform(20, 90, n), trace.limit),
        tuple((i % 3, i) if later[i] else ids for i, ids in enumerate(trace.blocks)),
    )
    other = Watched(RULES[name](SCENE))
    replace(SCENE, requests=scrambled).serve(other.rule)
    decisions = watched.until(now)
    assert len(decisions) > 100
    assert other.until(now) == decisions


@ALL
def test_one_request_alone_is_answered(name):
    alone = replace(SCENE, requests=Requests([5.0], [10], [3], [2], 60.0, ((1,),)))
    served = alone.serve(RULES[name](alone))
    assert not served.dropped.any()
    assert served.latency[0] < 60


@ALL
def test_a_rule_for_other_models_is_refused(name):
    trace = SCENE.requests
    more = Requests(
        trace.arrival, trace.prompt, trace.output, np.where(trace.arrival > 50, 5, 0), trace.limit
    )
    rule = RULES[name](SCENE)
    if not isinstance(rule, Fleet):
        return  # it has no variants: any machine answers any model
    with pytest.raises(ValueError, match=r"ask for 6 models, \w+ has variants of 4; give variants"):
        replace(SCENE, requests=more).serve(rule)


@ALL
def test_too_few_machines_are_refused_or_enough(name):
    few = replace(SCENE, machines=2, requests=SCENE.requests.faster(0.05))
    try:
        served = few.serve(RULES[name](few))
    except ValueError as error:
        assert "machines cannot hold" in str(error)
        assert "add machines" in str(error)
    else:
        assert not served.dropped.all()


def test_the_default_rule_answers_everything_on_the_same_machines():
    served = SCENE.serve(Rule())
    plain = serve_requests(
        SCENE.requests, [Machine(i, ENGINE) for i in range(SCENE.machines)], Rule()
    )
    assert not served.dropped.any()
    np.testing.assert_array_equal(served.finished, plain.finished)
    assert set(served.quality) == {SCENE.variants[0][0].accuracy}


def test_the_table_has_a_row_a_rule_and_means_over_scenes():
    scenes = [SCENE, draw_scene(bursty(), 1)]
    rules = {name: RULES[name] for name in ("least loaded", "Clipper")}
    table = compare_rules(scenes, rules)
    assert table.index.tolist() == list(rules)
    rows = [one.serve(rules["Clipper"](one)).row() for one in scenes]
    for column in rows[0]:
        values = [row[column] for row in rows]
        assert table.loc["Clipper", column] == pytest.approx(np.mean(values))
        assert table.attrs["spread"].loc["Clipper", column] == pytest.approx(np.std(values))
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_rules([])


def test_seeds_draw_models_limits_and_answers_and_leave_the_trace():
    one, same, other = (draw_scene(bursty(), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.requests.arrival, other.requests.arrival)
    np.testing.assert_array_equal(one.requests.model, same.requests.model)
    assert (one.requests.model != other.requests.model).any()
    assert (one.requests.limit != other.requests.limit).any()
    assert (one.outcomes.answer != other.outcomes.answer).any()
    assert len(one.sample) + len(one.requests) == 900
    assert one.sample.arrival[-1] <= one.requests.arrival[0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: draw_scene(bursty(n=10), 0), "10 requests are too few"),
        (lambda: draw_scene(bursty(), 0, popularity=(0.5, 0.4)), "give shares that sum to 1"),
    ],
)
def test_bad_scenes_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
