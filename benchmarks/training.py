"""Speed of the training level: many small networks in one batch, and one after another.

Run with ``make bench BENCH=training``. Its peer comes by
``pip install --no-deps torchensemble==0.2.0``.
"""

from dataclasses import replace
from statistics import mean, median

from benchmarks.parts.compare import record, side_by_side
from benchmarks.parts.on_gpu import has_gpu
from benchmarks.parts.training_peers import Task, accuracy, check_peer, peer_version
from ensemble_lab.instruments import Meter

SEEDS = 5  # timed pairs, each with a seed of its own
ON_CPU = Task(members=32, epochs=20)
ON_GPU = Task(members=256, epochs=5, device="cuda")  # the peer takes minutes
QUICK = {"members": 2, "epochs": 1}
WORTH_IT = 1.1  # a member costs at most so many times what it costs at best


def compared(name, task, peer, quick, **more):
    """Our seconds to train the ensemble against a peer's; both are judged on held-out rows."""
    wholes = {"ours": [], "peer": []}

    def training(side, train):  # each call takes the next seed; the first, to warm up, seed 0
        return lambda: wholes[side].append(train(len(wholes[side])))

    sides = training("ours", task.ours), training("peer", peer)
    timed = side_by_side(*sides, 1 if quick else SEEDS, task.device)
    judged = {side: [accuracy(fitted) for fitted in runs[1:]] for side, runs in wholes.items()}
    spread = max(max(of) - min(of) for of in judged.values())
    apart = mean(judged["ours"]) - mean(judged["peer"])
    return record(
        name,
        timed.ours,
        timed.peer,
        "s",
        task.device,
        spread=timed.spread,
        members=task.members,
        epochs=task.epochs,
        held_out_accuracy=judged,
        accuracy_within_seed_spread=abs(apart) <= spread,
        **more,
    )


def sized(task, quick):
    return replace(task, **QUICK) if quick else task


def bagging_vs_loop(quick):
    task = sized(ON_CPU, quick)
    peer_is = "a loop over members in plain PyTorch, with the same fused AdamW"
    goal = "at least 4"
    return compared("bagging-vs-loop", task, task.loop, quick, goal=goal, peer_is=peer_is)


def bagging_vs_torchensemble(quick):
    return beside_torchensemble("bagging-vs-torchensemble", ON_CPU, quick, "at least 10")


def bagging_gpu_vs_torchensemble(quick):
    return beside_torchensemble("bagging-gpu-vs-torchensemble", ON_GPU, quick, "at least 50")


def beside_torchensemble(name, task, quick, goal):
    """The peer without workers, as it is by default, or with two where that is quicker."""
    check_peer()
    task = sized(task, quick)
    replace(task, **QUICK).torchensemble(0, 2)  # workers start, and stay
    alone = seconds(lambda: task.torchensemble(0), task.device)
    two = seconds(lambda: task.torchensemble(0, 2), task.device)
    workers = 2 if two < alone else None
    return compared(
        name,
        task,
        lambda seed: task.torchensemble(seed, workers),
        quick,
        goal=goal,
        peer_is=f"torchensemble {peer_version()}, BaggingClassifier(n_jobs={workers}), the quicker",
        peer_seconds_by_workers={"1": alone, "2": two},
    )


def cost_of_members(quick):
    """Seconds a member in wholes of 1, 2, 4, … networks, and in a loop; medians of rounds."""
    epochs, most = (1, 2) if quick else (5, 8)
    tasks = [Task(2**i, epochs) for i in range(most + 1)]
    tasks[0].ours(0), tasks[0].loop(0)  # warm up
    times, one_by_one = {task.members: [] for task in tasks}, []
    for seed in range(1 if quick else SEEDS):
        one_by_one.append(seconds(lambda s=seed: tasks[0].loop(s)))
        for task in tasks:
            times[task.members].append(seconds(lambda t=task, s=seed: t.ours(s)))
    each = {members: median(found) / members for members, found in times.items()}
    least = min(each.values())
    return record(
        "cost-of-members",
        least,
        median(one_by_one),
        "s a member",
        goal="none of its own; drawn",
        peer_is="a loop over members in plain PyTorch",
        epochs=epochs,
        seconds_a_member={str(members): cost for members, cost in each.items()},
        seconds_of_all={str(members): cost * members for members, cost in each.items()},
        # More members than these are no cheaper each.
        batching_pays_up_to=min(m for m, cost in each.items() if cost <= WORTH_IT * least),
        batching_beats_the_loop_from=min(
            (m for m, cost in each.items() if cost < median(one_by_one)), default=None
        ),
    )


def seconds(call, device="cpu"):
    with Meter(device) as meter:
        call()
    return meter.seconds


RECORDS = {
    "bagging-vs-loop": bagging_vs_loop,
    "cost-of-members": cost_of_members,
    "bagging-vs-torchensemble": bagging_vs_torchensemble,
}
if has_gpu():
    RECORDS["bagging-gpu-vs-torchensemble"] = bagging_gpu_vs_torchensemble
