"""Adaptive stopping on recorded answers, for the stopping explorer: every threshold at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ensemble_lab.answers.committees.calls import best_calls
from ensemble_lab.answers.committees.counting import count_until
from ensemble_lab.answers.committees.stopping import needed_votes
from ensemble_lab.answers.voting import MajorityVote
from ensemble_lab.catalogue import load_outcomes
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.votes import local_codes

THRESHOLDS = (0.5, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)
ALL, TWENTY, TEN = MODELS = ("all 43", "20 weakest", "10 weakest")
RANDOM, STRONGEST, WEAKEST = ORDERS = ("at random", "strongest first", "weakest first")
TIMES = (1, 2, 5, 10, 20, 50)  # how often a hard item counts
NUMBERS = (1, 3, 5, 7, 9, 11, 15, 21, 31)  # of members that a plain vote asks
DRAWN, SEED = 20, 0  # random orders
BINS = np.linspace(0, 1, 11)  # of the share of the members that are right


@dataclass(frozen=True, eq=False)
class Stopping:
    """t thresholds, k numbers of members and o orders of m members on n items."""

    asked: np.ndarray  # (t, o, n)
    right: np.ndarray  # (t, o, n)
    same: np.ndarray  # (t, o, n), the answer is that of asking all
    numbers: tuple[int, ...]  # (k,)
    plain: np.ndarray  # (k, o, n), whether the vote of the first so many is right
    each: np.ndarray  # (n, m), whether each member is right
    hard: np.ndarray  # (n,), the vote of all members is wrong

    def mix(self, times: int) -> np.ndarray:
        """The weight (n,) of each item where a hard one counts so many times; they sum to 1."""
        weight = np.where(self.hard, float(times), 1.0)
        return weight / weight.sum()

    def formula(self, times: int) -> tuple[float, float, float]:
        """The share of hard items, and how often a member is right on easy and on hard ones."""
        share = self.each.mean(axis=1)
        easy, hard = share[~self.hard].mean(), share[self.hard].mean()
        return float(self.mix(times)[self.hard].sum()), float(easy), float(hard)

    def best_number(self, times: int) -> float:
        """K*: the number of calls that Chen's formula says is best for this mix."""
        return best_calls(*self.formula(times))

    def by_difficulty(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        """Members asked on average (10,) and items (10,), by the share of right members."""
        place = np.clip(np.digitize(self.each.mean(axis=1), BINS) - 1, 0, len(BINS) - 2)
        items = np.bincount(place, minlength=len(BINS) - 1)
        asked = np.bincount(place, self.asked[at].mean(axis=0), minlength=len(BINS) - 1)
        return asked / np.where(items, items, np.nan), items


@cache
def complete() -> Outcomes:
    """GSM8K by the 43 models that answered every question, from strong to weak."""
    table = load_outcomes("gsm8k-44-llms")
    whole = np.array(table.models)[~table.absent.any(axis=0)].tolist()
    return table.select(models=MajorityVote(whole).fit(table).members)


@cache
def stopping(models: str, order: str) -> Stopping:
    """All thresholds, and plain votes of so many members, in each of the orders."""
    table = complete()
    count = {ALL: len(table.models), TWENTY: 20, TEN: 10}[models]
    table = table.select(models=table.models[-count:])
    ways = _orders(order, count)
    rows, n = np.arange(len(table)), len(table)
    codes = np.concatenate([table.answer[:, way].T for way in ways], axis=1)  # (m, o * n)
    slots = local_codes(table.answer.T)
    slots = np.concatenate([slots[way] for way in ways], axis=1)

    def vote(first: int, need: np.ndarray):
        """Members asked (o, n), the answers (o, n) and whether they are right (o, n)."""
        asked, place = count_until(slots[:first], count, need)
        silent = place < 0  # no reply could be read
        answer = np.where(silent, -1, codes[place, np.arange(codes.shape[1])]).reshape(-1, n)
        member = np.array(ways)[np.arange(len(ways))[:, None], place.reshape(-1, n)]
        right = np.where(silent.reshape(-1, n), 0.0, table.correct[rows, member])
        return asked.reshape(-1, n), answer, right

    numbers = (*(k for k in NUMBERS if k < count), count)
    _, of_all, _ = vote(count, needed_votes(1.0, count))
    found = [vote(count, needed_votes(threshold, count)) for threshold in THRESHOLDS]
    return Stopping(
        asked=np.array([asked for asked, _, _ in found]),
        right=np.array([right for _, _, right in found]),
        same=np.array([answer == of_all for _, answer, _ in found]),
        numbers=numbers,
        plain=np.array([vote(k, needed_votes(1.0, k))[2] for k in numbers]),
        each=table.correct,
        hard=MajorityVote().decide(table).correct == 0,
    )


def _orders(order: str, count: int) -> list[np.ndarray]:
    """Places of the members, which stand from strong to weak."""
    if order == RANDOM:
        rng = np.random.default_rng(SEED)
        return [rng.permutation(count) for _ in range(DRAWN)]
    return [np.arange(count) if order == STRONGEST else np.arange(count)[::-1]]
