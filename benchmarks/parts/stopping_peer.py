"""Adaptive stopping beside the authors' package, on the same answers in the same order."""

from time import perf_counter

import numpy as np

import ensemble_lab as lab
from benchmarks.parts.compare import record, side_by_side
from benchmarks.parts.peers import PeerFailed, check_installed

ROUNDS, ORDERS = 5, 200
PEER = "AdaptiveConsistency==1.0.0"


def complete():
    """GSM8K by the 43 models that answered every question, in a random order."""
    table = lab.load_outcomes("gsm8k-44-llms")
    whole = np.array(table.models)[~table.absent.any(axis=0)]
    return table.select(models=np.random.default_rng(0).permutation(whole).tolist())


def by_package(answers):
    """Models asked and the answer, for each item, as the package's README uses it.

    A reply without a readable answer is no answer; the package is not asked about it.
    """
    from adaptive_consistency import AC, BetaStoppingCriteria

    rule, found = AC(stop_criteria=BetaStoppingCriteria(0.95)), []
    for row in answers:
        said, asked, told = [], 0, None
        for answer in row:
            asked += 1
            if answer < 0:
                continue
            said.append(answer)
            told = rule.should_stop(said, return_dict=True)
            if told["stop"]:
                break
        found.append((asked, None if told is None else told["most_common"]))
    return found


def stopping_replay(quick):
    """One order of 43 models by the policy and by the package; and 200 orders by the replay."""
    check_installed("adaptive_consistency", f"pip install --no-deps {PEER}")
    table = complete()
    table = table.take(np.arange(60)) if quick else table
    answers, policy = table.answer.tolist(), lab.AdaptiveConsistency()

    def ours():
        return policy.decide(table)

    mine, theirs = ours(), by_package(answers)
    asked = [count for count, _ in theirs] == mine.called.sum(axis=1).tolist()
    if not asked or [code for _, code in theirs] != mine.answer.tolist():
        raise PeerFailed("the package asks other models or gives other answers")
    timed = side_by_side(ours, lambda: by_package(answers), 1 if quick else ROUNDS)
    spent = []
    for _ in range(1 if quick else ROUNDS):
        start = perf_counter()
        replay = lab.replay_stopping(table, orders=ORDERS)
        spent.append(perf_counter() - start)
    return record(
        "stopping-replay",
        1000 * timed.ours,
        1000 * timed.peer,
        "ms",
        goal="20 times as quick with the same decisions; 200 orders under 1 s",
        peer_is=f"{PEER}, its Beta rule at 0.95, called after each answer until it stops",
        items=len(table),
        members=len(table.models),
        same_decisions=len(theirs),
        asked=float(mine.called.sum(axis=1).mean()),
        orders=ORDERS,
        replay_seconds=float(np.median(spent)),
        asked_in_all_orders=float(replay.asked.mean()),
        spread=timed.spread,
    )
