"""Checks of notebook 19: Erlang C, Little's formula on both sides, and the cheapest placement."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: Erlang C ---------------------------------------------------------------------------------


def _lost(servers, load) -> float:
    """Erlang B: those who find all servers busy go away."""
    lost = 1.0
    for k in range(1, servers + 1):
        lost = load * lost / (k + load * lost)
    return lost


def _chance(servers, load, *known) -> float:
    lost, busy = _lost(servers, load), load / servers
    return lost / (1 - busy + busy * lost)


def _wait(servers, load, *known) -> float:
    return _chance(servers, load) / (servers - load)


def _terms(servers, load) -> list[float]:
    return [load**k / math.factorial(k) for k in range(servers + 1)]


def _twice(servers, load) -> float:
    """Counts the state in which exactly all are busy a second time."""
    *_, last = terms = _terms(servers, load)
    last /= 1 - load / servers
    return last / (sum(terms) + last)


CHANCE_MISTAKES = (
    (_lost, "Do those who find all servers busy go away (Erlang B), or do they wait?"),
    (lambda c, a: a / c,
     "This is how often one server is busy. How often are all of them busy at once?"),
    (lambda c, a: (a / c) ** c, "Are the servers busy independently of one another?"),
    (lambda c, a: 1 - _chance(c, a), "Is this the chance to wait, or not to wait?"),
    (lambda c, a: 1 - math.exp(-a) * sum(_terms(c, a)[:-1]),
     "Is this for endless servers? With c of them, how fast do jobs leave when more are there?"),
    (_twice, "Is the state in which exactly all servers are busy counted twice?"),
    (lambda c, a: _lost(c, a) / (1 - a / c),
     "Your numerator counts the states with a queue. Does the sum of all states count them, too?"),
    (lambda c, a: _chance(c - 1, a) if c - 1 > a else 1.0,
     "Does your loop go up to the last server?"),
    (lambda c, a: _chance(c + 1, a), "Does your loop end at the last server?"),
    (lambda c, a: _chance(c, a / c), "Is the load that of one server, or of all together?"),
    (lambda c, a: _terms(c, a)[-1] / (1 - a / c),
     "Do the chances of all states sum to one?"),
)  # fmt: skip
WAIT_MISTAKES = (
    (lambda c, a, *known: _chance(c, a),
     "This is the chance to wait. For how long does somebody wait who has to?"),
    (lambda c, a, *known: 1 / (c - a),
     "This is the wait of those who have to wait. Does everybody?"),
    (lambda c, a, *known: _chance(c, a) / (1 - a / c),
     "How many servers work while somebody waits: one, or all?"),
    (lambda c, a, *known: _wait(c, a) + 1, "Is the service itself a part of the wait?"),
    (lambda c, a, *known: _chance(c, a) / c,
     "How much faster do jobs leave than they come, while all servers are busy?"),
    (lambda c, a, *known: (a / c) / (1 - a / c), "Is this for one server?"),
    (lambda c, a, *known: a * _wait(c, a),
     "Is this the number who wait, or the time that one of them waits?"),
    (lambda c, a, *known: _lost(c, a) / (c - a),
     "Which chance belongs here: to wait, or to be lost?"),
)  # fmt: skip


def _of_servers(what: str) -> Callable[..., str]:
    return lambda at, c, a, *known: f"for {c} servers and {a:g} erlang, {what}"


check_erlang_c = Check(
    """Check a function that tells how long jobs wait for several servers.

    It takes ``(servers, load)`` and returns (chance, wait): the chance that a job must wait, and
    the mean wait of all jobs, in mean services. Arrivals are Poisson, services exponential, and
    `load` is in erlang, below `servers`.
    """,
    cases=lambda: [(1, 0.7), (2, 1.6), (4, 2.5), (10, 8.0)],
    parts=[
        Part("the chance", _chance, CHANCE_MISTAKES, _of_servers("the chance to wait"),
             key="chance"),
        Part("the wait", _wait, WAIT_MISTAKES, _of_servers("the mean wait in services"),
             key="wait"),
    ],
    success="ten servers in one queue at 8 erlang let four in ten jobs wait, a fifth of a service"
    " on average; ten queues of one server each would let them wait four services",
)  # fmt: skip

# -- 2: Little's formula ---------------------------------------------------------------------------


def _span(arrived, left) -> float:
    return float(left.max() - arrived.min())


def _number(arrived, left, waits, services) -> float:
    return float((left - arrived).sum() / _span(arrived, left))


def _rate_times(time: Callable, span: Callable = _span, of: Callable = np.mean) -> Callable:
    """Rate times time with its parts exchanged."""

    def product(arrived, left, waits, services, *known) -> float:
        rate = len(arrived) / span(arrived, left)
        return float(rate * of(time(arrived, left, waits, services)))

    return product


def _told(arrived, left, waits, services):
    return waits + services


def _seen_by_arrivals(arrived, left, waits, services) -> float:
    """Mean number that each job finds when it comes."""
    return float(np.mean([(arrived < at).sum() - (left <= at).sum() for at in arrived]))


def _most(arrived, left, waits, services) -> float:
    return float(max((arrived <= at).sum() - (left <= at).sum() for at in arrived))


NUMBER_MISTAKES = (
    (_rate_times(_told),
     "Both sides of yours come from the waits that were told. Can they ever differ?"),
    (_seen_by_arrivals, "Is your mean one over time, or over the moments at which jobs come?"),
    (_most, "Is this the mean number, or the largest?"),
    (lambda a, d, w, s: float((d - a).sum() / (a.max() - a.min())),
     "Does the last job leave at the moment in which it comes?"),
    (lambda a, d, w, s: float((d - a).sum() / d.max()),
     "Does your clock start at zero, or with the first arrival?"),
    (lambda a, d, w, s: float((d - a).sum() / (d[-1] - a[0])),
     "Is the job that came last also the one that leaves last?"),
    (lambda a, d, w, s: float((d - a).mean()),
     "This is the mean time of a job. How many jobs are there at a moment, on average?"),
    (lambda a, d, w, s: float(((d - a) - s).sum() / _span(a, d)),
     "Is a job that is being served still in the system?"),
    (lambda a, d, w, s: float(s.sum() / _span(a, d)),
     "Is a job that waits already in the system?"),
)  # fmt: skip
PRODUCT_MISTAKES = (
    (_rate_times(lambda a, d, w, s: d - a),
     "Which times did the simulator tell? Yours are those of the other side, so no bug can show."),
    (_rate_times(lambda a, d, w, s: w), "Is the time in the system only the wait?"),
    (_rate_times(lambda a, d, w, s: s), "Is the time in the system only the service?"),
    (lambda a, d, w, s, *known: float((w + s).mean()), "Time is one factor. What is the other?"),
    (lambda a, d, w, s, *known: len(a) / _span(a, d), "The rate is one factor. What is the other?"),
    (_rate_times(_told, lambda a, d: float(a.max() - a.min())),
     "Over which seconds is your rate: those of the other side, or only while jobs came?"),
    (_rate_times(_told, lambda a, d: float(d.max())),
     "Does your clock start at zero, or with the first arrival?"),
    (_rate_times(_told, lambda a, d: float(d[-1] - a[0])),
     "Is the job that came last also the one that leaves last?"),
    (_rate_times(_told, of=np.median), "Is the time in Little's formula a mean or a median?"),
    (lambda a, d, w, s, *known: (len(a) - 1) / len(a) * _rate_times(_told)(a, d, w, s),
     "How many jobs came in all?"),
)  # fmt: skip


def _paths():
    """Two servers; what the simulator tells of the waits is right, shifted, or of the wrong job."""
    for seed, n in enumerate((6, 8, 9)):
        rng = draws(seed)
        arrived = np.cumsum(rng.exponential(1.0, n)) + 2.0
        services = rng.uniform(0.5, 4.0, n)
        services[-2] = 9.0  # the last to come is not the last to leave
        free, started = [0.0, 0.0], np.empty(n)
        for i in range(n):
            k = int(np.argmin(free))
            started[i] = max(free[k], arrived[i])
            free[k] = started[i] + services[i]
        waits = started - arrived
        told = (waits, waits + 0.5, np.maximum(waits - services / 2, 0))[seed]
        yield tuple(np.round(one, 3) for one in (arrived, started + services, told, services))


def _of_path(what: str) -> Callable[..., str]:
    return lambda at, a, d, *known: f"for {len(a)} jobs, {what}"


check_little = Check(
    """Check a function that counts both sides of Little's formula apart.

    It takes ``(arrived, left, waits, services)``, all (n,) in seconds, and returns (number,
    product): the mean over time of the number of jobs in the system, by `arrived` and `left`, and
    the rate times the mean time in the system that the simulator tells in `waits` and `services`.
    Time runs from the first arrival to the last departure.
    """,
    cases=_paths,
    parts=[
        Part("the number", _number, NUMBER_MISTAKES, _of_path("the mean number in the system"),
             key="number"),
        Part("the product", _rate_times(_told), PRODUCT_MISTAKES,
             _of_path("the rate times the time that was told"), key="product"),
    ],
    success="the first simulator's sides agree, the other two tell wrong waits; you found it"
    " without knowing the right ones",
)  # fmt: skip

# -- 3: the cheapest placement ---------------------------------------------------------------------


def _latency(rate: float, seconds: float) -> float:
    """Mean of M/D/1, from arrival to answer."""
    if rate * seconds >= 1:
        return math.inf
    return seconds + rate * seconds**2 / (2 * (1 - rate * seconds))


def _placed(
    latency: Callable = _latency,
    bill: Callable = lambda n, price, seconds: n * price,
    share: Callable = lambda rate, n: rate / n,
) -> Callable:
    """The cheapest kind of machine for each model, with parts exchanged."""

    def cheapest(rates, seconds, prices, limit) -> np.ndarray:
        machines = np.zeros(seconds.shape, int)
        for i, rate in enumerate(rates):
            need = {}
            for j, took in enumerate(seconds[i]):
                if latency(0.0, took) <= limit:
                    need[j] = next(
                        n for n in count(1) if n > 99 or latency(share(rate, n), took) <= limit
                    )
            kind = min(need, key=lambda j: bill(need[j], prices[j], seconds[i, j]))
            machines[i, kind] = need[kind]
        return machines

    return cheapest


_cheapest = _placed()


def _wait_only(rate, seconds) -> float:
    return _latency(rate, seconds) - seconds


def _exponential(rate, seconds) -> float:
    return seconds / (1 - rate * seconds) if rate * seconds < 1 else math.inf


def _able(rate, seconds) -> float:
    return 0.0 if rate * seconds < 1 else math.inf


def _one_more(rates, seconds, prices, limit) -> np.ndarray:
    found = _cheapest(rates, seconds, prices, limit)
    return found + (found > 0)


def _one_kind(rates, seconds, prices, limit) -> np.ndarray:
    """The kind that is cheapest for the first model, for all."""
    first = int(_cheapest(rates, seconds, prices, limit)[0].argmax())
    only = np.full_like(seconds, 1e9)
    only[:, first] = seconds[:, first]
    if (seconds[:, first] > limit).any():
        return np.zeros(seconds.shape, int)
    return _cheapest(rates, only, prices, limit)


PLACEMENT_MISTAKES = (
    (_placed(_able), "The machines can do the work. Do they also keep the limit?"),
    (_placed(_wait_only), "Does the limit hold for the wait, or for all the time to the answer?"),
    (_placed(_exponential),
     "Are services exponential, or all of one length? Where does the two in the formula go?"),
    (_placed(bill=lambda n, price, took: price),
     "Is the bill that of one machine, or of all that are needed?"),
    (_placed(bill=lambda n, price, took: took), "Is the fastest machine the cheapest?"),
    (_placed(bill=lambda n, price, took: n), "Are the fewest machines the cheapest?"),
    (_placed(bill=lambda n, price, took: price * took),
     "Price times seconds is the bill of one request on a busy machine. Who pays for idle ones?"),
    (_placed(bill=lambda n, price, took: -n * price),
     "Do you take the least bill, or the largest?"),
    (_one_more, "Is one machine less still enough?"),
    (_one_kind, "May each model have another kind of machine?"),
    (lambda r, s, p, x: _placed()(np.full_like(r, r.sum()), s, p, x),
     "Does each model get the requests of all?"),
    (lambda r, s, p, x: (_cheapest(r, s, p, x) > 0).astype(int),
     "How many machines of that kind are needed?"),
)  # fmt: skip


def _fleets():
    for seed, (m, k, limit) in enumerate(((2, 3, 0.9), (3, 3, 0.7), (3, 4, 1.1))):
        rng = draws(39 + seed)
        rates = np.round(rng.uniform(1, 9, m), 1)
        speed = np.sort(rng.uniform(0.12, 0.9, k))
        seconds = np.round(speed * rng.uniform(0.7, 1.3, (m, k)), 2)
        prices = np.round(1.2 / speed * rng.uniform(0.5, 1.5, k), 2)
        yield rates, seconds, prices, limit


check_placement = Check(
    """Check a function that finds the cheapest machines that keep a limit.

    It takes ``(rates, seconds, prices, limit)`` and returns (m, k) whole numbers: how many machines
    of each kind each model gets, all of a model of one kind. A request for model i takes
    ``seconds[i, j]`` on a machine of kind j, whose price is ``prices[j]`` an hour. Each of n
    machines gets 1 / n of the model's Poisson `rates`, and a queue of its own. The mean time from
    arrival to answer must not exceed `limit` seconds.
    """,
    cases=_fleets,
    parts=[
        Part("an entry", _cheapest, PLACEMENT_MISTAKES,
             lambda at, rates, seconds, prices, limit: f"for {len(rates)} models and"
             f" {len(prices)} kinds of machines at a limit of {limit:g} s, the entry of model"
             f" {at[0]} and kind {at[1]}",
             asked="whole numbers of machines, one row a model"),
    ],
    success="each model has the fewest machines of the kind that is cheapest for it, and all"
    " answer in time",
)  # fmt: skip
