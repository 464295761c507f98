"""Speed of many models in one: experts beside transformers', exits and widths beside the whole.

Run with ``make bench BENCH=submodels``.
"""

from statistics import median

import torch

from benchmarks.parts.compare import record
from benchmarks.parts.exiting import SHARES, Savers
from benchmarks.parts.expert_layers import EXPERTS, IMPLEMENTATIONS, K, Layers
from ensemble_lab.instruments import Meter

TOKENS = (64, 128, 256, 512)
ROUNDS = 31
LEARNABLE = Layers(64, 128)  # of the size that learns on a CPU
WIDER = Layers(256, 512)
SLOW = "batched_mm"  # it copies the weights for each token: a few rounds tell


def experts_vs_transformers(quick):
    """The record is the sum over sizes of batches, at the smaller width; the wider is beside it."""
    tokens, rounds = ((64,), 1) if quick else (TOKENS, ROUNDS)
    with torch.no_grad():
        narrow, wide = (measured(layers, tokens, rounds) for layers in (LEARNABLE, WIDER))
    quickest = min(IMPLEMENTATIONS, key=lambda name: total(narrow, name))
    return record(
        "experts-vs-transformers",
        total(narrow, "ours"),
        total(narrow, quickest),
        "s",
        goal="at least 1, and 1.5 beside eager",
        peer_is=f"transformers' MixtralSparseMoeBlock by {quickest}, its quickest here",
        experts=EXPERTS,
        k=K,
        ratio_to_eager=total(narrow, "eager") / total(narrow, "ours"),
        by_width={
            f"{layers.d} x {layers.hidden}": by_tokens(found)
            for layers, found in ((LEARNABLE, narrow), (WIDER, wide))
        },
    )


def measured(layers, tokens, rounds):
    """Median seconds of each layer's call, by the number of tokens; they alternate."""
    found = {}
    for n in tokens:
        calls = layers.calls(n)
        times = {name: [] for name in calls}
        for i in range(rounds):
            for name in calls if i % 2 == 0 else reversed(calls):
                if name == SLOW and i > 2:
                    continue
                with Meter(layers.device) as meter:
                    calls[name]()
                times[name].append(meter.seconds)
        found[n] = {name: median(spent) for name, spent in times.items()}
    return found


def total(found, name):
    return sum(times[name] for times in found.values())


def by_tokens(found):
    """Seconds, and how many times the quickest peer and eager take ours."""
    return {
        str(n): {
            "seconds": times,
            "ratio": min(times[name] for name in IMPLEMENTATIONS) / times["ours"],
            "ratio_to_eager": times["eager"] / times["ours"],
        }
        for n, times in found.items()
    }


def exits_saved(quick):
    """Seconds to answer rows with exits beside the whole network; widths are beside it.

    The accuracies are of one short training, and move by points with its length: no claim.
    """
    savers = Savers((16, 16, 16, 16), 2, 1) if quick else Savers()
    calls, times = savers.calls(), {}
    for i in range(2 if quick else ROUNDS + 1):
        for name in calls if i % 2 == 0 else reversed(calls):
            with Meter("cpu") as meter:
                calls[name]()
            if i:  # the first round warms up
                times.setdefault(name, []).append(meter.seconds)
    seconds = {name: median(times[name]) for name in calls}
    costs, accuracies = savers.multiply_adds(), savers.accuracies()
    return record(
        "exits-saved",
        seconds["exits"],
        seconds["whole"],
        "s",
        goal="none of its own; seconds beside multiply-adds",
        peer_is="the whole network of the same shape, on the same rows",
        hidden=savers.hidden,
        rows=len(savers.rows),
        shares_asked=SHARES,
        accuracy_of_the_exits_end=savers.end_accuracy(),
        by_setting={
            name: {
                "seconds": seconds[name],
                "ratio": seconds["whole"] / seconds[name],
                "expected_by_multiply_adds": costs["whole"] / costs[name],
                "accuracy": accuracies[name],
            }
            for name in calls
        },
    )


RECORDS = {"experts-vs-transformers": experts_vs_transformers, "exits-saved": exits_saved}
