"""Speed of pairs of networks: several seeds of a GAN in one batch, and in a loop.

Run with ``make bench BENCH=pairs``.
"""

from benchmarks.parts.adversarial_pairs import Pairs
from benchmarks.parts.compare import record, side_by_side

PAIRS = 5  # timed, each with seeds of its own
QUICK = Pairs(members=2, steps=20)


def seeds_vs_loop(quick):
    task, found = QUICK if quick else Pairs(), {"ours": [], "peer": []}

    def training(side, train):  # each call takes the next seeds; the first, to warm up, from 0
        return lambda: found[side].append(train(len(found[side]) * task.members))

    sides = training("ours", task.ours), training("peer", task.loop)
    timed = side_by_side(*sides, 1 if quick else PAIRS)
    return record(
        "seeds-vs-loop",
        timed.ours,
        timed.peer,
        "s",
        goal="at least 3",
        peer_is="a loop over seeds in plain PyTorch, with the same fused Adam",
        spread=timed.spread,
        members=task.members,
        steps=task.steps,
        modes_covered_of_8={side: runs[1:] for side, runs in found.items()},
    )


RECORDS = {"seeds-vs-loop": seeds_vs_loop}
