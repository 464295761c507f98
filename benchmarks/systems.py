"""The systems level: events a second beside simpy, real traffic under rules, a recorded engine.

Run with ``python -m benchmarks systems --json benchmarks/results/systems.json``.
"""

from functools import partial
from importlib.metadata import version

import numpy as np

import ensemble_lab as lab
from benchmarks.explorers import slider_of
from benchmarks.parts import replaying, through_gateway
from benchmarks.parts.compare import record, side_by_side
from benchmarks.parts.peers import check_installed
from benchmarks.parts.recorded_engine import plateau_error
from benchmarks.parts.systems_rules import azure_trace

ROUNDS = 5
CLASSES = ("urgent", "usual", "batch")


def events_vs_simpy(quick):
    """One pool of ten servers, and other rules, at a load of .8: an arrival and a departure a job.

    Both are given the same arrivals and services, and the departures are compared.
    """
    check_installed("simpy", "pip install simpy")
    from tests.systems import peers

    systems, servers, jobs = lab.systems, 10, 2_000 if quick else 100_000
    rng = np.random.default_rng(0)
    arrivals = systems.poisson_arrivals(0.8 * servers, jobs=jobs, rng=rng)
    services, rank = rng.exponential(size=jobs), rng.integers(0, 3, jobs)
    two = np.stack([services, services[::-1]], axis=1)
    kind = [CLASSES[one] for one in rank]
    urgent = [
        (systems.Priority(servers, CLASSES, preemptive), preemptive) for preemptive in (False, True)
    ]

    def ours(rule, drawn=services):
        return lambda: systems.simulate(arrivals, drawn, rule, kind).finished

    def by_class(preemptive):
        return lambda: peers.priority(arrivals, services, servers, rank, preemptive)

    pairs = {
        "FCFS": (
            ours(systems.FCFS(servers)),
            lambda: peers.fcfs(arrivals, services, servers),
        ),
        **{
            "Priority" + ", preemptive" * preemptive: (ours(rule), by_class(preemptive))
            for rule, preemptive in urgent
        },
        "Tandem": (
            ours(systems.Tandem((servers, servers)), two),
            lambda: peers.tandem(arrivals, two, (servers, servers)),
        ),
    }
    differ, ratio, timed = {}, {}, {}
    for name, (mine, theirs) in pairs.items():
        differ[name] = float(np.abs(mine() - theirs()).max())
        timed[name] = side_by_side(mine, theirs, 1 if quick else ROUNDS)
        ratio[name] = round(timed[name].ratio, 1)
    pool = timed["FCFS"]
    return record(
        "events-vs-simpy",
        2 * jobs / pool.ours,
        2 * jobs / pool.peer,
        "events/s",
        higher_is_better=True,
        goal="at least 4 times simpy, 1 million events a second with one pool",
        peer_is=f"simpy {version('simpy')}, a process a job, on the same arrivals and services",
        spread=pool.spread,
        ratio_by_rule=ratio,
        largest_difference_s=max(differ.values()),
    )


RECORDS = {
    "events-vs-simpy": events_vs_simpy,
    "azure-trace": azure_trace,
    "plateau-error": plateau_error,
    "slider-queues": partial(slider_of, "queues"),
    **through_gateway.RECORDS,
    **replaying.RECORDS,
}
