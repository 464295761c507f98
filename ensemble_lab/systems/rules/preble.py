"""Preble: send a prompt where its beginning was read, unless that machine has enough to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from functools import lru_cache

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.simulator.cluster import Rule
from ensemble_lab.systems.simulator.inputs import positive, whole


class Cached(Rule, ABC):
    """Machines that keep the blocks they read; the least recently used leave first.

    A subclass says in `choose` which machine takes a prompt. What a machine keeps lies outside the
    capacity of its engine.

    Parameters
    ----------
    block : int
        Tokens of a block.
    cache : int
        Blocks that a machine keeps.

    Attributes
    ----------
    hits, tokens : int
        Tokens of the prompts that were found in a cache, and all of them.
    """

    def __init__(self, block: int = 512, cache: int = 1000):
        self.block, self.cache = whole(block, "block"), whole(cache, "cache")

    def start(self, cluster):
        if cluster.requests.blocks is None:
            raise ValueError("the requests have no blocks; a cache of prefixes needs their ids")
        self.chains = prefixes(cluster.requests.blocks)
        self.holders = {}  # of a prefix, as bits of a number
        self.kept = [{} for _ in cluster.machines]  # prefixes in the order of their last use
        self.hits = self.tokens = 0

    @abstractmethod
    def choose(self, task, cached: list[int], cluster) -> int:
        """The number of the machine; `cached` has the tokens that each holds of the prompt."""

    def place(self, task, cluster):
        chain, prompt, cached = self.chains[task.request], task.prompt, [0] * len(self.kept)
        left = (1 << len(cached)) - 1  # who holds all prefixes up to here, as bits
        for depth, prefix in enumerate(chain):
            still = left & self.holders.get(prefix, 0)
            if still != left and depth:
                held = min(depth * self.block, prompt)
                for number in places(left ^ still):
                    cached[number] = held
            left = still
            if not left:
                break
        if chain:
            for number in places(left):
                cached[number] = min(len(chain) * self.block, prompt)
        number = self.choose(task, cached, cluster)
        self._keep(chain, number)
        hit = min(cached[number], max(task.prompt - 1, 0))  # a step reads one token at least
        self.hits, self.tokens = self.hits + hit, self.tokens + task.prompt
        task.prompt -= hit
        return cluster.machines[number]

    def _keep(self, chain, number):
        kept, holders, bit = self.kept[number], self.holders, 1 << number
        for prefix in reversed(chain):  # the end of a prompt leaves before its beginning
            if kept.pop(prefix, None) is None:
                holders[prefix] = holders.get(prefix, 0) | bit
            kept[prefix] = True
        for _ in range(len(kept) - self.cache):
            prefix = next(iter(kept))
            del kept[prefix]
            holders[prefix] ^= bit


@lru_cache(4096)
def places(bits: int) -> tuple[int, ...]:
    """The places of the bits that are set."""
    return tuple(place for place in range(bits.bit_length()) if bits >> place & 1)


def prefixes(blocks) -> list[list[int]]:
    """A number for each beginning of each prompt, equal where all blocks up to there are equal."""
    numbers: dict[tuple[int, int], int] = {}
    found = []
    for ids in blocks:
        before, chain = -1, []
        for block in ids:
            before = numbers.setdefault((before, block), len(numbers))
            chain.append(before)
        found.append(chain)
    return found


class Preble(Cached):
    """Exploit what a machine has read, or explore where the work is least.

    If a machine holds more than half of a prompt, the least loaded of those that hold most of it
    takes it; but if that is the most loaded one of all, `steal` times as loaded as the least
    loaded, the latter takes it. Otherwise the machine takes it whose work, with the tokens that it
    would have to read, is least. Work is counted over the last `window` seconds: reading, and an
    average answer's share of full steps. Srivatsa et al. 2024, "Preble: Efficient Distributed
    Prompt Scheduling for LLM Serving".

    Parameters
    ----------
    block, cache : int
        As in `Cached`.
    window : float
        Seconds.
    steal : float
        At least 1.
    """

    def __init__(
        self, block: int = 512, cache: int = 1000, window: float = 180.0, steal: float = 1.5
    ):
        super().__init__(block, cache)
        self.window, self.steal = positive(window, "window", " s"), positive(steal, "steal")
        if self.steal < 1:
            raise ValueError(f"steal={shown(steal)}; give a number from 1 up")

    def start(self, cluster):
        super().start(cluster)
        n = len(cluster.machines)
        self.reads, self.count = [0] * n, [0] * n  # tokens and prompts of the last `window` seconds
        self.recent = deque()
        engines = [machine.engine for machine in cluster.machines]
        # Of a prompt, of an average answer's token in full steps, and of a token that is read.
        self.seconds = [(e.prompt, e.step / e.slots + e.per_task, e.per_token) for e in engines]
        self.turn = [-1] * n  # the last request of each machine: equal ones take turns
        self.answers = self.written = 0

    def choose(self, task, cached, cluster):
        recent, reads, count = self.recent, self.reads, self.count
        while recent and recent[0][0] < cluster.now - self.window:
            _, m, tokens = recent.popleft()
            reads[m] -= tokens
            count[m] -= 1
        answer = self.written / self.answers if self.answers else 0.0

        machines = zip(self.seconds, reads, count, self.turn, cached, strict=True)
        longest = max(cached)
        if longest > task.prompt - longest:
            loads = [
                ((prompt + answer * share) * n + token * read, turn)
                for (prompt, share, token), read, n, turn, _ in machines
            ]
            holders = [m for m, held in enumerate(cached) if held == longest]
            number, least = min(holders, key=loads.__getitem__), min(loads)
            if loads[number][0] == max(loads)[0] >= self.steal * least[0]:
                number = loads.index(least)
        else:
            loads = [
                ((prompt + answer * share) * n + token * (read + task.prompt - held), turn)
                for (prompt, share, token), read, n, turn, held in machines
            ]
            number = loads.index(min(loads))
        tokens = task.prompt - cached[number]
        reads[number] += tokens
        count[number] += 1
        self.turn[number] = task.request
        recent.append((cluster.now, number, tokens))
        return number

    def after(self, task, machine, cluster):
        self.answers += 1
        self.written += task.output
        return True
