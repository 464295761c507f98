"""Cocktail: several models answer each request; the ensemble shrinks while most of them agree."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from ensemble_lab.core.errors import shown
from ensemble_lab.systems.rules.fleet import Fleet, Variant, shares
from ensemble_lab.systems.simulator.requests import Requests

WINDOW = 50  # votes before members are changed


class Cocktail(Fleet):
    """All variants of a model vote; the weakest is left out while the majority is comfortable.

    A majority of N members is comfortable if on average over 50 votes more than
    ``floor(N / 2) + 1`` agree: then the member that agrees least with the votes is left out, and
    its machines are switched off when they are idle. A bare majority, fewer than (N + 1) / 2 on
    average, brings the member back that was left out last. A tie goes to the member listed first.
    The quality of an answer is whether the vote is right. Gunasekaran et al. 2022, "Cocktail: A
    Multidimensional Optimization for Model Serving in Cloud" (NSDI).

    Parameters
    ----------
    variants, sample
        As in `Fleet`.
    answers : array_like of int (items, members)
        Recorded answers: request i is item i, counted round; a member is a variant. Below 0: none.
    truth : array_like of int (items,)
    shrink : bool
        False keeps all members.

    Raises
    ------
    ValueError
        A model that has not one variant for each column; other numbers of items.
    """

    period = 10.0

    def __init__(
        self, variants: Sequence[Sequence[Variant]], sample: Requests, answers, truth,
        shrink: bool = True,
    ):  # fmt: skip
        super().__init__(variants, sample)
        answers, truth = np.asarray(answers), np.asarray(truth)
        if answers.ndim != 2 or truth.shape != answers.shape[:1]:
            raise ValueError(
                f"answers has shape {answers.shape}, truth {truth.shape}; give (items, members)"
                " and (items,)"
            )
        for model, ways in enumerate(self.variants):
            if len(ways) != answers.shape[1]:
                raise ValueError(
                    f"model {model} has {len(ways)} variants, the answers have"
                    f" {shown(answers.shape[1])} members; give one variant a member"
                )
        self.answers, self.truth, self.shrink = answers.tolist(), truth.tolist(), shrink

    def start(self, cluster):
        self.members = [list(range(len(ways))) for ways in self.variants]
        self.left_out: list[list[int]] = [[] for _ in self.variants]
        self.pending: dict[int, list[int]] = {}  # members whose answers are awaited
        self.asked: dict[int, list[int]] = {}
        self.recent = [deque(maxlen=WINDOW) for _ in self.variants]  # (votes of the winner, who)
        super().start(cluster)
        self.crew: dict[tuple[int, int], list] = {}
        for machine in cluster.machines:
            self.crew.setdefault(self.jobs[machine.number], []).append(machine)

    def first(self, machines):
        jobs = [(m, v) for m, ways in enumerate(self.variants) for v in range(len(ways))]
        work = [self.expected[m] * self.times[m][v].each for m, v in jobs]
        return dict(zip(jobs, shares(work, machines), strict=True))

    def place(self, task, cluster):
        request, members = task.request, list(self.members[task.model])
        self.pending[request], self.asked[request] = list(members), members
        first, *others = (
            min(self.crew[task.model, v], key=lambda machine: machine.load) for v in members
        )
        for machine in others:
            cluster.send(task.copy(), machine)
        return first

    def after(self, task, machine, cluster):
        request = task.request
        waiting = self.pending[request]
        waiting.remove(self.jobs[machine.number][1])
        if waiting:
            return False
        del self.pending[request]
        item = request % len(self.truth)
        given = {v: self.answers[item][v] for v in self.asked.pop(request)}
        votes = Counter(answer for answer in given.values() if answer >= 0)
        winner, most = votes.most_common(1)[0] if votes else (-1, 0)
        cluster.quality[request] = float(votes[winner] > 0 and winner == self.truth[item])
        self.recent[task.model].append((most, {v for v, a in given.items() if a == winner}))
        if self.shrink and len(self.recent[task.model]) == WINDOW:
            self.change(task.model)
        return True

    def change(self, model: int) -> None:
        """Leave a member out or bring one back, by the recent votes."""
        members, recent = self.members[model], self.recent[model]
        mean = sum(most for most, _ in recent) / WINDOW
        if mean > len(members) // 2 + 1:
            weakest = min(reversed(members), key=lambda v: sum(v in who for _, who in recent))
            members.remove(weakest)
            self.left_out[model].append(weakest)
        elif mean < (len(members) + 1) / 2 and self.left_out[model]:
            members.append(self.left_out[model].pop())
            members.sort()
        else:
            return
        recent.clear()

    def tick(self, cluster):
        for (model, v), machines in self.crew.items():
            for machine in machines:
                if v in self.members[model]:
                    cluster.switch_on(machine, self.variants[model][v].load)
                elif not machine.load:
                    cluster.switch_off(machine)
