"""Speed of bandits, and what their memory costs and brings when the models change."""

from importlib import import_module

import numpy as np

import ensemble_lab as lab
from benchmarks.parts.compare import record, side_by_side

ARMS = 29
RUNS = 20  # of each memory
MEMORIES = {
    "none": lab.Thompson(),
    "discount .999": lab.Thompson(discount=0.999),
    "discount .995": lab.Thompson(discount=0.995),
    "discount .99": lab.Thompson(discount=0.99),
    "discount .98": lab.Thompson(discount=0.98),
    "discount .95": lab.Thompson(discount=0.95),
    "window 50": lab.Thompson(window=50),
    "window 100": lab.Thompson(window=100),
    "window 200": lab.Thompson(window=200),
    "window 400": lab.Thompson(window=400),
}


def bandit_steps(quick):
    """Steps of Thompson sampling on 29 arms, each a choice and its grade, beside mabwiser's."""
    mab = import_module("mabwiser.mab")
    steps = 100 if quick else 2000
    right = np.random.default_rng(0).random((steps, ARMS)) < np.linspace(0.3, 0.7, ARMS)
    grades = right.astype(float).tolist()
    models = tuple(f"m{j}" for j in range(ARMS))
    rates, nan = {}, float("nan")

    def ours(policy):
        learner = policy.begin(models, np.random.default_rng(0))
        for time, row in enumerate(grades):
            (arm,) = learner.choose({}, time)
            learner.learn(lab.Feedback(time, arm, row[arm], nan, nan))

    def theirs():
        peer = mab.MAB(list(range(ARMS)), mab.LearningPolicy.ThompsonSampling(), seed=0)
        peer.fit([0], [1])
        for row in grades:
            arm = peer.predict()
            peer.partial_fit([arm], [row[arm]])

    timed = side_by_side(lambda: ours(lab.Thompson()), theirs, 1 if quick else 5)
    for policy in (lab.EpsilonGreedy(), lab.UCB1(), lab.Thompson(discount=0.99), lab.LinUCB()):
        other = side_by_side(lambda p=policy: ours(p), lambda: None, 1 if quick else 3)
        rates[repr(policy)] = round(steps / other.ours)
    return record(
        "bandit-steps",
        1e6 * timed.ours / steps,
        1e6 * timed.peer / steps,
        "µs a step of Thompson sampling",
        goal="5 times as quick and 20,000 steps a second",
        peer_is="mabwiser's ThompsonSampling: predict, then partial_fit",
        arms=ARMS,
        steps=steps,
        a_second=round(steps / timed.ours),
        others_a_second=rates,
        spread=timed.spread,
    )


def drifting(seed):
    """1,000 questions to two models in March, then 1,000 in June, when the worse one is better."""
    outcomes, rng = lab.load_outcomes("gpt-drift-primes"), np.random.default_rng(seed)
    names = (("gpt-3.5-turbo-0301", "gpt-4-0314"), ("gpt-3.5-turbo-0613", "gpt-4-0613"))
    correct = [outcomes.correct[rng.permutation(1000)][:, outcomes.columns(pair)] for pair in names]
    return lab.Outcomes(
        models=["gpt-3.5", "gpt-4"], items=range(2000), correct=np.concatenate(correct)
    )


def recovery(chosen):
    """Questions in June until 80 of the last 100 went to the better model; 1,000 if never."""
    better = np.convolve(chosen[1000:] == 0, np.ones(100), "valid") >= 80
    return int(better.argmax()) + 100 if better.any() else 1000


def bandit_memory(quick):
    """What Thompson sampling forgets against how soon it notices that the models have changed."""
    rows = {}
    streams = [drifting(seed) for seed in range(1000, 1000 + (2 if quick else RUNS))]
    for name, policy in MEMORIES.items():
        found = [policy.decide(stream, seed=seed) for seed, stream in enumerate(streams)]
        until = np.array([recovery(decision.chosen) for decision in found])
        march, june = (
            [float(d.correct[half].mean()) for d in found]
            for half in (slice(None, 1000), slice(1000, None))
        )
        rows[name] = {
            "recovers_in_share": round(float((until < 1000).mean()), 3),
            "recovery": _mean_and_spread(until[until < 1000], 0),
            "march": _mean_and_spread(march, 4),
            "june": _mean_and_spread(june, 4),
        }
    return record(
        "bandit-memory",
        rows["discount .99"]["june"][0],
        rows["none"]["june"][0],
        "accuracy in June",
        higher_is_better=True,
        goal="recovers within 1,000 questions",
        peer_is="the same Thompson sampling that forgets nothing",
        runs=len(streams),
        recovers="first time that 80 of the last 100 questions went to the better model",
        memories=rows,
    )


def _mean_and_spread(values, digits):
    """Mean and standard deviation; None where there are fewer than two."""
    if len(values) < 2:
        return None
    return [round(float(np.mean(values)), digits), round(float(np.std(values, ddof=1)), digits)]
