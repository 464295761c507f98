"""Cocktail: several models answer each request; the ensemble shrinks while most of them agree."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from functools import cache
from operator import attrgetter

from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.systems.rules.fleet import Fleet, Variant
from ensemble_lab.systems.rules.planning import shares
from ensemble_lab.systems.simulator.inputs import instance
from ensemble_lab.systems.simulator.machine import Machine
from ensemble_lab.systems.simulator.requests import Requests

load = attrgetter("load")
WINDOW = 50  # votes before members are changed


class Cocktail(Fleet):
    """All variants of a model vote; the weakest is left out while the majority is comfortable.

    Every 10 s the last 50 votes are looked at. A majority of N members is comfortable if on
    average more than ``floor(N / 2) + 1`` agree: then the member that agrees least with the votes
    is left out, and machines are shared anew. A bare majority, fewer than (N + 1) / 2 on average,
    brings the member back that was left out last. What waits for a member that is left out is
    answered by another one; each member has one vote. A tie goes to the member listed first.
    The quality of an answer is whether the vote is right. Gunasekaran et al. 2022, "Cocktail: A
    Multidimensional Optimization for Model Serving in Cloud" (NSDI).

    Parameters
    ----------
    variants, sample
        As in `Fleet`.
    outcomes : Outcomes
        Recorded answers; its models are the variants, in their order. Request i asks its item i,
        counted round.
    shrink : bool
        False keeps all members.

    Raises
    ------
    ValueError
        A table without answers; a model that has not one variant for each model of the table.
    """

    period = 10.0

    def __init__(
        self,
        variants: Sequence[Sequence[Variant]],
        sample: Requests,
        outcomes: Outcomes,
        shrink: bool = True,
    ):
        super().__init__(variants, sample)
        if instance(outcomes, Outcomes, "outcomes").answer is None:
            raise ValueError("outcomes has no answers to vote on; give a table with answers")
        for model, ways in enumerate(self.variants):
            if len(ways) != len(outcomes.models):
                raise ValueError(
                    f"model {model} has {len(ways)} variants, outcomes has"
                    f" {len(outcomes.models)} models; give one variant for each of them"
                )
        self.answers, self.correct = outcomes.answer.tolist(), outcomes.correct.tolist()
        self.shrink, self.vote = shrink, cache(self._vote)  # questions come back

    def start(self, cluster):
        self.members = [list(range(len(ways))) for ways in self.variants]
        self.left_out: list[list[int]] = [[] for _ in self.variants]
        self.awaited: dict[int, int] = {}  # answers that a request waits for
        self.given: dict[int, list[int]] = {}  # members that have answered it
        self.recent = [deque(maxlen=WINDOW) for _ in self.variants]  # members that agreed
        super().start(cluster)

    def first(self, machines):
        jobs = [(m, v) for m, members in enumerate(self.members) for v in members]
        return dict(zip(jobs, shares([self.work(*job) for job in jobs], machines), strict=True))

    def arrange(self, wanted, cluster):
        super().arrange(wanted, cluster)
        self.crews: list[dict[int, list[Machine]]] = [{} for _ in self.variants]
        for model, machines in enumerate(self.holders):
            for machine in machines:
                member = self.jobs[machine.number][1]
                self.crews[model].setdefault(member, []).append(machine)

    def place(self, task, cluster):
        crews = self.crews[task.model].values()
        first, *others = [min(crew, key=load) for crew in crews]
        self.awaited[task.request], self.given[task.request] = len(crews), []
        for machine in others:
            cluster.send(task.copy(), machine)
        return first

    def after(self, task, machine, cluster):
        request = task.request
        self.awaited[request] -= 1
        self.given[request].append(self.held[machine.number][1])
        if self.awaited[request]:
            return False
        members = sorted(set(self.given.pop(request)))
        agree, right = self.vote(request % len(self.answers), *members)
        cluster.quality[request] = right
        if members == self.members[task.model]:  # not asked before the last change
            self.recent[task.model].append(agree)
        return True

    def _vote(self, item: int, *members: int) -> tuple[list[int], float]:
        """The members that agree with the vote on an item, and whether it is right."""
        answers = [self.answers[item][v] for v in members]
        votes = Counter(answer for answer in answers if answer >= 0)
        if not votes:
            return [], 0.0
        winner = votes.most_common(1)[0][0]  # of equal ones the first member's
        agree = [v for v, answer in zip(members, answers, strict=True) if answer == winner]
        return agree, float(self.correct[item][agree[0]])

    def tick(self, cluster):
        changes = [self.change(model) for model in range(len(self.members))]
        if any(changes):
            self.arrange(Counter(self.first(len(cluster.machines))), cluster)

    def change(self, model: int) -> bool:
        """Leave a member out or bring one back; whether that was so."""
        members, recent = self.members[model], self.recent[model]
        if not self.shrink or len(recent) < WINDOW:
            return False
        mean = sum(map(len, recent)) / WINDOW
        if mean > len(members) // 2 + 1:
            weakest = min(reversed(members), key=lambda v: sum(v in agree for agree in recent))
            members.remove(weakest)
            self.left_out[model].append(weakest)
        elif mean < (len(members) + 1) / 2 and self.left_out[model]:
            members.append(self.left_out[model].pop())
            members.sort()
        else:
            return False
        recent.clear()
        return True
