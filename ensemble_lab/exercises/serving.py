"""Checks of notebook 20: a budget of retries, when a second call pays, and the usage of a vote."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble_lab.exercises.check import Check, Part
from ensemble_lab.exercises.draws import draws

# -- 1: a budget of retries ------------------------------------------------------------------------


def _bucket(
    first: Callable = lambda price, most: 0,
    cap: Callable = lambda price, most: price * most,
    cost: Callable = lambda price, saved: price,
    refused: Callable = lambda saved: saved,
    earns: Callable = lambda failed: True,
    enough: Callable = lambda saved, price: saved >= price,
    late: bool = False,
) -> Callable:
    """Which requests are tried again, with parts exchanged; `late` saves after the decision."""

    def retried(failed, price, most) -> np.ndarray:
        saved, found = first(price, most), np.zeros(len(failed), bool)
        for i, bad in enumerate(failed):
            if earns(bad) and not late:
                saved = min(saved + 1, cap(price, most))
            if bad and enough(saved, price):
                found[i], saved = True, saved - cost(price, saved)
            elif bad:
                saved = refused(saved)
            if earns(bad) and late:
                saved = min(saved + 1, cap(price, most))
        return found

    return retried


_retried = _bucket()


def _by_count(failed, price, most) -> np.ndarray:
    """Each failed request whose number divides by the price."""
    return failed & ((np.arange(len(failed)) + 1) % price == 0)


BUDGET_MISTAKES = (
    (lambda f, p, m: f.copy(), "That is every failed request. When is there too little saved?"),
    (_bucket(cap=lambda p, m: np.inf),
     "After a long quiet time, how many retries may come at once?"),
    (_bucket(cap=lambda p, m: m), "Are at most so many requests saved, or so many retries?"),
    (_bucket(first=lambda p, m: p * m), "What is saved before the first request?"),
    (_bucket(cost=lambda p, s: 1), "What does a retry cost, in requests?"),
    (_bucket(cost=lambda p, s: s), "Does a retry take all that is saved, or its price?"),
    (_bucket(refused=lambda s: 0), "Does a request that is not tried again lose what was saved?"),
    (_bucket(earns=lambda bad: not bad), "Which requests save: those that went well, or all?"),
    (_bucket(earns=lambda bad: bad), "Which requests save: those that failed, or all?"),
    (_bucket(enough=lambda s, p: s > p), "Is a retry allowed when exactly its price is saved?"),
    (_bucket(late=True), "Has the request that fails already saved its own share?"),
    (_by_count, "A retry every so many requests: what if none is due just then?"),
    (lambda f, p, m: ~_retried(f, p, m), "Do you return who is tried again, or who is not?"),
)  # fmt: skip


def _failures():
    """Quiet times, storms, and failures one by one."""
    quiet, storm = np.zeros(14, bool), np.ones(9, bool)
    rng = draws(4)
    yield np.concatenate([quiet, storm, quiet[:3], storm[:4]]), 3, 2
    yield rng.random(40) < 0.35, 4, 3
    yield np.concatenate([storm[:6], quiet[:7], storm[:5], rng.random(16) < 0.6]), 2, 3


check_budget = Check(
    """Check a function that says which failed requests a budget lets be tried again.

    It takes ``(failed, price, most)``: whether each of n requests fails, in their order, (n,). Each
    request saves one token, also one that fails, before it is known to fail. A retry costs `price`
    tokens. At most `price` times `most` are kept, and none are there at the start. It returns (n,)
    booleans: whether each request is tried again.
    """,
    cases=_failures,
    parts=[
        Part("whether a request is tried again", _retried, BUDGET_MISTAKES,
             lambda at, failed, price, most: f"at a price of {price} tokens, at most"
             f" {price * most} of them kept, request {at[0]} (from 0)",
             asked="{} booleans, one a request"),
    ],
    success="in a storm the retries are a fixed share of the requests, and a quiet day pays for a"
    " few of them only",
)  # fmt: skip

# -- 2: when a second call pays --------------------------------------------------------------------


def _seconds(first, second, after, load) -> float:
    return float(np.where(first <= after, first, np.minimum(first, after + second)).mean())


def _load(first, second, after, load, *known) -> float:
    return float(load * (first.sum() + second[first > after].sum()) / first.sum())


def _stopped(first, second, after, load, *known) -> float:
    """The load where the loser is stopped."""
    done = np.where(first <= after, first, np.minimum(first, after + second))
    other = np.where(first <= after, 0.0, np.minimum(second, np.maximum(first - after, 0)))
    return float(load * (done + other).sum() / first.sum())


SECONDS_MISTAKES = (
    (lambda f, s, d, r: float(np.minimum(f, s).mean()),
     "When is the second call sent: at once, or after some time?"),
    (lambda f, s, d, r: float(np.where(f <= d, f, np.minimum(f, s)).mean()),
     "The second call begins later than the first. When is its answer there?"),
    (lambda f, s, d, r: float(np.where(f <= d, f, d + s).mean()),
     "May the first call still be the quicker one, after the second was sent?"),
    (lambda f, s, d, r: float(np.where(f <= d, f, np.minimum(f, d + s))[f > d].mean()),
     "Is the mean that of the requests with a second call, or of all?"),
    (lambda f, s, d, r: float(np.median(np.where(f <= d, f, np.minimum(f, d + s)))),
     "Is a mean asked for, or a median?"),
    (lambda f, s, d, r: float(np.where(f <= d, f, np.maximum(f, d + s)).mean()),
     "Which of the two answers is taken: the first to come, or the last?"),
    (lambda f, s, d, r: float(np.minimum(f, d).mean()),
     "At that time the second call is only sent. When is the answer there?"),
    (lambda f, s, d, r: float(np.where(f <= d, f, f + s).mean()),
     "Does the second call wait for the first one to end?"),
    (lambda f, s, d, r: float(f.mean()), "That is the mean with first calls only."),
)  # fmt: skip
LOAD_MISTAKES = (
    (lambda f, s, d, r, *known: float(r), "Who does the work of the second calls?"),
    (lambda f, s, d, r, *known: float(r * (1 + (f > d).mean())),
     "You count second calls. Do they take as long as the first ones?"),
    (lambda f, s, d, r, *known: float(r * (f.sum() + s.sum()) / f.sum()),
     "Does every request have a second call?"),
    (lambda f, s, d, r, *known: float(r * (f.sum() + f[f > d].sum()) / f.sum()),
     "Whose seconds do servers work in the second calls: the first ones'?"),
    (lambda f, s, d, r, *known: float(r + s[f > d].mean()),
     "Seconds of work and a load are added here. How many times as much work is there?"),
    (_stopped, "Do servers stop when the other answer is there, or work to the end?"),
    (lambda f, s, d, r, *known: float(r * s[f > d].sum() / f.sum()),
     "That is the load of second calls. Are the first ones done, too?"),
    (lambda f, s, d, r, *known: float((f.sum() + s[f > d].sum()) / f.sum()),
     "How many times as much work this is, you have. What was the load before?"),
    (lambda f, s, d, r, *known: float(r * _seconds(f, s, d, r) / f.mean()),
     "Is the load lower because answers come sooner? What do the slower calls do meanwhile?"),
)  # fmt: skip


def _calls():
    """Services with a slow moment now and then; of all lengths; and of nearly one length."""
    for seed, (n, after, load) in enumerate(((12, 2.0, 0.6), (9, 1.0, 0.9), (10, 1.5, 0.3))):
        rng = draws(20 + seed)
        first, second = rng.exponential(1.2, (2, n)) + 0.3
        first[rng.permutation(n)[:2]] += 4
        yield np.round(first, 2), np.round(second, 2), after, load


def _of_calls(what: str) -> Callable[..., str]:
    return lambda at, first, second, after, load, *known: (
        f"for {len(first)} requests, second calls after {after:g} s and a load of {load:g}, {what}"
    )


check_hedge = Check(
    """Check a function that says what second calls bring, and what they cost.

    It takes ``(first, second, after, load)``: the seconds of work of each request's first call and
    of a second one, (n,) each; when the second is sent if the first is not answered by then; and
    how busy the servers are with first calls alone. Nobody waits for a server. The first answer
    counts, and servers do every call to its end. It returns (seconds, load): the mean time to the
    answer, and how busy the servers are with second calls.
    """,
    cases=_calls,
    parts=[
        Part("the mean time", _seconds, SECONDS_MISTAKES, _of_calls("the mean time to the answer"),
             key="seconds"),
        Part("the load", _load, LOAD_MISTAKES, _of_calls("the load with second calls"),
             key="load"),
    ],
    success="a second call saves seconds as long as servers are idle; above a load of 1 there is"
    " nobody to do it, and all wait",
)  # fmt: skip

# -- 3: the usage of a vote ------------------------------------------------------------------------


def _tokens(prompt, completion, told, price, *known) -> int:
    return int((prompt + completion)[told].sum())


def _cost(prompt, completion, told, price, *known) -> float:
    return float((np.stack([prompt, completion], 1)[told] * price[told]).sum() / 1e6)


def _all_told(prompt, completion, told, price, *known) -> bool:
    return bool(told.all())


TOKENS_MISTAKES = (
    (lambda p, c, t, usd: int((p + c).sum()),
     "What do you know of a call whose reply never came?"),
    (lambda p, c, t, usd: int((p + c)[t][0]), "Is it the usage of one call, or of the vote?"),
    (lambda p, c, t, usd: int((p + c)[t][-1]), "Is it the usage of one call, or of the vote?"),
    (lambda p, c, t, usd: int((p + c)[t].max()), "Is it the usage of one call, or of the vote?"),
    (lambda p, c, t, usd: int(c[t].sum()), "Are the tokens that were read used, too?"),
    (lambda p, c, t, usd: int(p[t].sum()), "Are the tokens that were written used, too?"),
    (lambda p, c, t, usd: int(p[t].max() + c[t].sum()),
     "All members read the same prompt. Is it read once, or by each of them?"),
    (lambda p, c, t, usd: int((p + c)[t].mean()), "Is it a mean, or a sum?"),
)  # fmt: skip
COST_MISTAKES = (
    (lambda p, c, t, usd, *k: float((np.stack([p, c], 1) * usd).sum() / 1e6),
     "What do you know of a call whose reply never came?"),
    (lambda p, c, t, usd, *k: float((np.stack([p, c], 1)[t] * usd[t]).sum()),
     "A price is for how many tokens?"),
    (lambda p, c, t, usd, *k: float((np.stack([p, c], 1)[t] * usd[t]).sum() / 1e3),
     "A price is for how many tokens?"),
    (lambda p, c, t, usd, *k: float((np.stack([c, p], 1)[t] * usd[t]).sum() / 1e6),
     "Which price is for tokens that are read, and which for those that are written?"),
    (lambda p, c, t, usd, *k: float(((p + c)[t] * usd[t, 0]).sum() / 1e6),
     "Do tokens that are written have a price of their own?"),
    (lambda p, c, t, usd, *k: float(((p + c)[t].sum()) * usd[t].mean() / 1e6),
     "Does each call have its own price?"),
    (lambda p, c, t, usd, *k: float((np.stack([p, c], 1)[t] * usd[t][:1]).sum() / 1e6),
     "Does each call have its own price?"),
    (lambda p, c, t, usd, *k: float((np.stack([p, c], 1)[t] * usd[t]).sum() / 1e6 / t.sum()),
     "Is it the price of a call, or of the vote?"),
)  # fmt: skip
KNOWN_MISTAKES = (
    (lambda p, c, t, usd, *k: True, "Is the sum known where a reply never came?"),
    (lambda p, c, t, usd, *k: not t.all(), "Do you return whether it is known, or unknown?"),
    (lambda p, c, t, usd, *k: bool(t[0]), "Is it enough that the first call told its usage?"),
    (lambda p, c, t, usd, *k: bool(t[-1]), "Is it enough that the last call told its usage?"),
    (lambda p, c, t, usd, *k: bool(t.mean() > 0.5),
     "Is it enough that most of the calls told their usage?"),
)  # fmt: skip


def _votes():
    """A vote of three with a retry that was given up; one with a second reply; one as planned."""
    for seed, told in enumerate(("1011", "11111", "110", "0111", "001", "111")):
        rng, n = draws(seed), len(told)
        prompt = rng.integers(90, 130, n)
        completion = rng.integers(3, 80, n)
        price = np.round(rng.uniform(0.1, 3.0, n), 2)
        yield (
            prompt,
            completion,
            np.array([c == "1" for c in told]),
            np.stack([price, 4 * price], 1),
        )


def _of_vote(what: str) -> Callable[..., str]:
    return lambda at, prompt, completion, told, price, *known: (
        f"for {len(prompt)} calls, of which {int(told.sum())} told their usage, {what}"
    )


check_usage = Check(
    """Check a function that adds up what a vote used.

    It takes ``(prompt, completion, told, price)`` of all calls that a vote made, retries included:
    tokens that were read and written, (c,) each; whether the reply came and told them, (c,) - a
    call that was given up may have numbers that nobody told; and USD per million tokens that are
    read and per million that are written, (c, 2). It returns (tokens, cost, known): the tokens that
    were told, what they cost in USD, and whether this is all.
    """,
    cases=_votes,
    parts=[
        Part("the tokens", _tokens, TOKENS_MISTAKES, _of_vote("the tokens that were told"),
             key="tokens"),
        Part("the cost", _cost, COST_MISTAKES, _of_vote("their cost in USD"), key="cost",
             alike=lambda got, wanted, *case: np.allclose(got, wanted, rtol=1e-6, atol=0)),
        Part("whether this is all", _all_told, KNOWN_MISTAKES, _of_vote("whether this is all"),
             key="known"),
    ],
    success="a vote pays for every call, tried again or not; where a reply never came its cost is"
    " not known, and no number should say that it is",
)  # fmt: skip
