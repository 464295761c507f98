"""Petals' route through a swarm of servers, and where a new server should stand.

Many servers hold overlapping spans of blocks. A client wants the quickest way through all blocks;
a server that joins wants to hold the blocks that the swarm can compute least of.

References
----------
Borzunov et al., Distributed inference and fine-tuning of large language models over the internet,
NeurIPS 2023.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ensemble_lab.core.errors import several, shown
from ensemble_lab.models.settings import number, whole


@dataclass(frozen=True)
class Server:
    """A server of a swarm: which blocks it holds, how fast it is, how far away.

    Parameters
    ----------
    first, last : int
        It holds the blocks from `first` to `last`, `last` not included.
    block_seconds : float
        Seconds a block takes for one token.
    round_trip : float
        Seconds of a round trip between the client and this server, on top of its blocks.

    Raises
    ------
    ValueError
        It holds no block, or a time is negative or infinite.

    Examples
    --------
    >>> Server(0, 12, block_seconds=0.002, round_trip=0.05)
    Server(first=0, last=12, block_seconds=0.002, round_trip=0.05)
    """

    first: int
    last: int
    block_seconds: float
    round_trip: float = 0.0

    def __post_init__(self):
        first, last = whole(self.first, "first"), whole(self.last, "last")
        if not 0 <= first < last:
            raise ValueError(
                f"a server from block {shown(first)} to {shown(last)} holds none; give"
                " 0 <= first < last"
            )
        for name in ("block_seconds", "round_trip"):
            if not 0 <= number(getattr(self, name), name) < math.inf:
                raise ValueError(
                    f"{name}={shown(getattr(self, name))} is not a time; give seconds from 0 up"
                )


def quickest_route(servers: Sequence[Server], blocks: int) -> list[tuple[int, int, int]]:
    """The way through all blocks that takes the least time, by Dijkstra's algorithm.

    Half a round trip leads to each server of the way and half a one from it, and each block costs
    its server's time. A server is left where another one takes over, which may be before its end.

    Parameters
    ----------
    servers : sequence of Server
    blocks : int
        All blocks, 0 to ``blocks - 1``, must be passed in order.

    Returns
    -------
    list of (int, int, int)
        The place of each server in `servers`, its first block, and the one behind its last.

    Raises
    ------
    ValueError
        A block that no server holds, or what is no swarm.

    Examples
    --------
    >>> near, far = Server(0, 4, 0.010, 0.01), Server(2, 6, 0.001, 0.02)
    >>> quickest_route([near, far], 6)
    [(0, 0, 2), (1, 2, 6)]
    """
    servers = _swarm(servers, blocks)
    # A state is (block to come next, server that we are at). Staying costs a block of that server;
    # going to another one costs half a round trip from the old, and half a one to the new.
    start = (0.0, 0, -1, ())
    heap, done = [start], set()
    while heap:
        seconds, block, at, route = heapq.heappop(heap)
        if (block, at) in done:
            continue
        done.add((block, at))
        if block == blocks and at == -1:
            return _spans(route)
        if at >= 0:
            leave = seconds + servers[at].round_trip / 2
            heapq.heappush(heap, (leave, block, -1, route))
            if block < servers[at].last:
                more = seconds + servers[at].block_seconds
                heapq.heappush(heap, (more, block + 1, at, (*route, at)))
            continue
        for i, server in enumerate(servers):
            if server.first <= block < server.last:
                # The first block at once, so that no server is visited for nothing.
                reach = seconds + server.round_trip / 2 + server.block_seconds
                heapq.heappush(heap, (reach, block + 1, i, (*route, i)))
    held = {block for one in servers for block in range(one.first, one.last)}
    missing = min(set(range(blocks)) - held)
    raise ValueError(f"no server holds block {missing} of {blocks}; add one that does")


def weakest_window(servers: Sequence[Server], blocks: int, holds: int) -> int:
    """Where a server that joins should begin: the window that the swarm can compute least of.

    A block's throughput is the sum over its servers, 1 / `block_seconds` each. Windows are compared
    by their throughputs in increasing order, so by the weakest block first, then by the next one;
    of equal windows the first is taken. No block of the swarm ever gets weaker.

    Parameters
    ----------
    servers : sequence of Server
        Those that are there already; there may be none.
    blocks : int
    holds : int
        Blocks that the new server can hold, 1 to `blocks`.

    Returns
    -------
    int
        Its first block.

    Raises
    ------
    ValueError
        It holds no block or more than there are, or what is no swarm.

    Examples
    --------
    >>> weakest_window([Server(0, 4, 0.01), Server(0, 2, 0.01)], blocks=6, holds=3)
    3
    """
    servers = _swarm(servers, blocks)
    if not 0 < whole(holds, "holds") <= blocks:
        raise ValueError(f"holds={shown(holds)} of {blocks} blocks; give 1 to {blocks}")
    throughput = [
        # `fsum` adds exactly, so that equal windows are equal in any order of the servers
        math.fsum(
            1 / one.block_seconds if one.block_seconds else math.inf
            for one in servers
            if one.first <= block < one.last
        )
        for block in range(blocks)
    ]
    starts = range(blocks - holds + 1)
    return min(starts, key=lambda start: sorted(throughput[start : start + holds]))


def _swarm(servers, blocks) -> list[Server]:
    if whole(blocks, "blocks") < 1:
        raise ValueError(f"blocks={shown(blocks)}; give 1 or more")
    servers = several(servers, "servers")
    for one in servers:
        if not isinstance(one, Server):
            raise ValueError(f"{shown(one)} is no Server; give Server(first, last, block_seconds)")
        if one.last > blocks:
            raise ValueError(f"{shown(one)} holds more than the {blocks} blocks that there are")
    return servers


def _spans(route: Sequence[int]) -> list[tuple[int, int, int]]:
    """Runs of equal entries: (server, first block, block behind the last)."""
    spans: list[tuple[int, int, int]] = []
    for block, server in enumerate(route):
        if spans and spans[-1][0] == server:
            spans[-1] = (server, spans[-1][1], block + 1)
        else:
            spans.append((server, block, block + 1))
    return spans
