"""Speed of the gateway: what it adds to a call, its rate beside the direct one, gaps of streams.

Mock, gateway and client are three processes on one machine; direct calls and calls through the
gateway alternate, in an order that alternates too.
"""

import asyncio
import time

import numpy as np

from benchmarks.parts.compare import record
from benchmarks.parts.gateway import both, streamed, timed

ROUNDS, CALLS, TOGETHER = 15, 40, 16


def _rounds(model, wait, quick):
    """Milliseconds (rounds, calls) of the direct path and of the gateway's, interleaved."""
    rounds, calls = (2, 10) if quick else (ROUNDS, CALLS)
    found = {"direct": [], "ours": []}
    with both(wait) as (mock, gateway):
        ways = [("direct", mock, "a"), ("ours", gateway, model)]

        async def measure():
            for _, address, name in ways:
                await timed(address, name, 20)
            for turn in range(rounds):
                for way, address, name in ways[:: 1 if turn % 2 else -1]:
                    found[way].append(await timed(address, name, calls))

        asyncio.run(measure())
    return {way: 1e3 * np.array(rows) for way, rows in found.items()}


def _overhead(name, model, goal, quick):
    added, spread, direct, ours = {}, {}, 0.0, 0.0
    for wait in (0.0, 0.02):
        found = _rounds(model, wait, quick)
        pairs = np.median(found["ours"], axis=1) - np.median(found["direct"], axis=1)
        tail = np.quantile(found["ours"], 0.99) - np.quantile(found["direct"], 0.99)
        key = f"{1e3 * wait:g} ms"
        added[key] = {"p50": round(float(np.median(pairs)), 2), "p99": round(float(tail), 2)}
        spread[key] = [round(float(end), 2) for end in (pairs.min(), pairs.max())]
        direct, ours = float(np.median(found["direct"])), float(np.median(found["ours"]))
    return record(
        name,
        ours,
        direct,
        "ms",
        goal=goal,
        peer_is="the mock of 20 ms asked without the gateway",
        added_ms_by_mock=added,
        spread_of_p50=spread,
    )


def gateway_overhead(quick):
    """What a pass-through adds at concurrency 1."""
    goal = "adds at most 1.5 ms at the median and 2.5 ms at the 99th percentile"
    return _overhead("gateway-overhead", "a", goal, quick)


def gateway_vote_of_three(quick):
    """What a vote of three adds at concurrency 1, its calls at the same time."""
    goal = "adds at most 1 + 0.8 x 3 = 3.4 ms at the median"
    return _overhead("gateway-vote-of-three", "vote", goal, quick)


def gateway_throughput(quick):
    """Completions a second with 16 clients and a mock of 20 ms."""
    rounds, calls = (2, 5) if quick else (6, 40)
    rates = {"direct": [], "ours": []}
    with both(0.02) as (mock, gateway):
        ways = [("direct", mock), ("ours", gateway)]

        async def rate(address, calls):
            start = time.perf_counter()
            await asyncio.gather(*(timed(address, "a", calls) for _ in range(TOGETHER)))
            return TOGETHER * calls / (time.perf_counter() - start)

        async def measure():
            for _, address in ways:
                await rate(address, 5)
            for turn in range(rounds):
                for way, address in ways[:: 1 if turn % 2 else -1]:
                    rates[way].append(await rate(address, calls))

        asyncio.run(measure())
    ratios = np.array(rates["ours"]) / rates["direct"]
    return record(
        "gateway-throughput",
        float(np.median(rates["ours"])),
        float(np.median(rates["direct"])),
        "completions/s",
        higher_is_better=True,
        goal="at least 0.7 of direct (LiteLLM's published: 0.21)",
        peer_is="the mock of 20 ms asked without the gateway, 16 clients",
        spread=[round(float(end), 3) for end in (ratios.min(), ratios.max())],
    )


def stream_gap(quick):
    """What the gateway adds to the way of a frame: 64 frames, 20 ms apart, 8 and 64 streams."""
    added, spread, lost, disordered = {}, {}, 0, 0
    rounds, frames = (1, 8) if quick else (5, 64)
    with both(0.02, frames) as (mock, gateway):

        async def all_of(address, streams):
            return await asyncio.gather(*(streamed(address, "a") for _ in range(streams)))

        ways = [("direct", mock), ("ours", gateway)]
        ends = {}
        for streams in (8, 64):
            ends[streams] = {"direct": [], "ours": []}
            for _, address in ways:
                asyncio.run(all_of(address, streams))
            for turn in range(rounds):
                for way, address in ways[:: 1 if turn % 2 else -1]:
                    found = asyncio.run(all_of(address, streams))
                    numbers = [[number for number, _, _ in one] for one in found]
                    lost += sum(frames - len(one) for one in numbers)
                    disordered += sum(one != sorted(one) for one in numbers)
                    # How much longer the gap was where it came than where it was sent.
                    gaps = np.concatenate(
                        [np.diff([c for _, _, c in one]) - np.diff([s for _, s, _ in one])
                         for one in found]
                    )  # fmt: skip
                    ends[streams][way].append(1e3 * float(np.quantile(gaps, 0.99)))
            pairs = np.subtract(ends[streams]["ours"], ends[streams]["direct"])
            added[streams] = round(float(np.median(pairs)), 2)
            spread[streams] = [round(float(end), 2) for end in (pairs.min(), pairs.max())]
    return record(
        "stream-gap",
        float(np.median(ends[8]["ours"])),
        float(np.median(ends[8]["direct"])),
        "ms",
        goal="adds at most 1 ms at the 99th percentile with 8 streams, 5 ms with 64; none lost",
        peer_is="the mock's stream without the gateway, 8 streams",
        added_p99_ms_by_streams=added,
        spread=spread,
        frames_lost=lost,
        streams_out_of_order=disordered,
    )


RECORDS = {
    "gateway-overhead": gateway_overhead,
    "gateway-vote-of-three": gateway_vote_of_three,
    "gateway-throughput": gateway_throughput,
    "stream-gap": stream_gap,
}
