"""The same draws through simpy, an independent simulator; who is inside at `until` has NaN."""

from __future__ import annotations

import numpy as np
import simpy


def fcfs(arrivals, services, servers, until=None):
    """Departures (n,) of a queue in order of arrival."""
    env, left = simpy.Environment(), np.full(len(arrivals), np.nan)
    pool = simpy.Resource(env, servers)

    def job(i):
        with pool.request() as turn:
            yield turn
            yield env.timeout(services[i])
            left[i] = env.now

    env.process(_source(env, arrivals, job))
    env.run(until)
    return left


def priority(arrivals, services, servers, rank, preemptive, until=None):
    """Departures (n,) where the least rank is served first, and may interrupt."""
    env, left = simpy.Environment(), np.full(len(arrivals), np.nan)
    kind = simpy.PreemptiveResource if preemptive else simpy.PriorityResource
    pool = kind(env, servers)

    def job(i):
        rest = services[i]
        while rest is not None:
            # By its number a resumed job has its place again.
            with pool.request(priority=(rank[i], i)) as turn:
                yield turn
                since = env.now
                try:
                    yield env.timeout(rest)
                    left[i], rest = env.now, None
                except simpy.Interrupt:
                    rest -= env.now - since

    env.process(_source(env, arrivals, job))
    env.run(until)
    return left


def tandem(arrivals, services, servers, until=None):
    """Departures (n,) of a pipeline."""
    env, left = simpy.Environment(), np.full(len(arrivals), np.nan)
    pools = [simpy.Resource(env, one) for one in servers]

    def job(i):
        for pool, service in zip(pools, services[i]):
            with pool.request() as turn:
                yield turn
                yield env.timeout(service)
        left[i] = env.now

    env.process(_source(env, arrivals, job))
    env.run(until)
    return left


def _source(env, arrivals, job):
    for i, at in enumerate(arrivals):
        if at > env.now:
            yield env.timeout(at - env.now)
        env.process(job(i))


def hedged(arrivals, services, servers, after, until=None):
    """Departures (n,) where each job is tried again after a while, and the first try counts."""
    env, left = simpy.Environment(), np.full(len(arrivals), np.nan)
    pool = simpy.Resource(env, servers)

    def attempt(service):
        try:
            with pool.request() as turn:
                yield turn
                yield env.timeout(service)
        except simpy.Interrupt:
            pass

    def job(i):
        tries = [env.process(attempt(services[i][0]))]
        yield tries[0] | env.timeout(after)
        if tries[0].is_alive:
            tries.append(env.process(attempt(services[i][1])))
            yield tries[0] | tries[1]
        left[i] = env.now
        for one in tries:
            if one.is_alive:
                one.interrupt()

    env.process(_source(env, arrivals, job))
    env.run(until)
    return left


def policy(called, seconds, waves, arrivals, servers):
    """Answers (n,): every model a pool; the models of a wave are asked together."""
    env, done = simpy.Environment(), np.full(len(arrivals), np.nan)
    pools = [simpy.Resource(env, one) for one in servers]

    def call(i, j):
        with pools[j].request() as turn:
            yield turn
            yield env.timeout(seconds[i, j])

    def job(i):
        for wave in waves:
            asked = [env.process(call(i, j)) for j in wave if called[i, j]]
            yield env.all_of(asked)
        done[i] = env.now

    env.process(_source(env, arrivals, job))
    env.run()
    return done
