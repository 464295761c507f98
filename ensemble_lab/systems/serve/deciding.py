"""Policies live over members: the steps of `ensemble_lab.run`, asynchronous."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble_lab.core.decision import COMBINED, Decision
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.policy import Policy
from ensemble_lab.core.states import MEASURES
from ensemble_lab.models.asking.given import first_of, known_labels, one_row
from ensemble_lab.models.asking.live import deciding, unasked
from ensemble_lab.systems.serve.confidence import last_question
from ensemble_lab.systems.serve.hearing import Heard, gathered, sum_or_none
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.protocol import ApiError, completion, repaired, summed
from ensemble_lab.systems.serve.why import explained
from ensemble_lab.systems.serve.wire import UpstreamError

Features = Callable[[list[str]], Mapping[str, Sequence]]
REFUSED = (400, 413, 422)  # the request is at fault: no other member is asked


@dataclass(frozen=True)
class Served:
    """A policy as the gateway runs it.

    Parameters
    ----------
    policy : Policy
        Fitted where it needs to be.
    features : callable, optional
        From a list of questions to features, such as `QuestionFeatures`, for a router. The question
        is the text of the user's last message.
    labels : tuple, optional
        All labels, where a rule depends on their number; see `ensemble_lab.run`.
    """

    policy: Policy
    features: Features | None = None
    labels: tuple[Hashable, ...] = ()

    def __post_init__(self):
        one = self.policy
        if isinstance(one, type) or not isinstance(one, Policy):
            given = f"the class {one.__name__}" if isinstance(one, type) else shown(one)
            raise TypeError(f"policy is {given}; give an object such as MajorityVote()")
        if self.features is not None and not callable(self.features):
            raise TypeError(
                f"features is {shown(self.features)}; give a function of a list of questions"
            )
        object.__setattr__(self, "labels", known_labels(self.labels))

    def check(self, members: Mapping[str, Member], name: str) -> None:
        """Refuse a policy that could not answer the first question.

        Raises
        ------
        ValueError
            A model that is no member, features that are not given, a member without `parse` or
            `confidence` where the policy compares answers or reads confidences.
        """
        where, names = f"policy {shown(name, 40)}", tuple(members)
        try:
            waves = self.policy.waves(names)
            for one in (one for wave in waves for one in wave):
                check_known(one, names, "model", "members")
            row = {} if self.features is None else one_row(first_of(self.features(["probe"])))
            table = unasked(names, row, "probe", self.labels)
            self.policy.choose(table)
        except (ValueError, TypeError, LookupError) as error:
            raise ValueError(f"{where}: {error}") from None
        asked = [one for wave in waves for one in wave]
        deferring = [one for wave in waves[:-1] for one in wave] or asked
        for what, among in {"answer": asked, "confidence": deferring}.items():
            gone = {what: None} | ({"probability": None} if what == "confidence" else {})
            if what == "answer":
                gone |= {"probability": None}
            try:
                self.policy.choose(replace(table, **gone))
            except ValueError:
                _refuse_silent(what, among, members, where)


def _refuse_silent(what: str, names: list, members: Mapping[str, Member], where: str) -> None:
    setting = {"answer": "parse", "confidence": "confidence"}[what]
    for name in names:
        one = members[name]
        if getattr(one, setting) is None and not one.local:
            fix = "'last number' or 'exact'" if setting == "parse" else "'logprobs' or agreement"
            raise ValueError(
                f"{where} reads the {what} of {shown(name, 40)}, which has no {setting}: give it"
                f" {setting}, such as {fix}"
            )


@dataclass(frozen=True)
class Answered:
    """A policy's answer to one chat.

    Parameters
    ----------
    decision : Decision
        Of one item.
    body : dict
        The completion for the client.
    heard : mapping of str to Heard
        Each member that replied.
    failed : mapping of str to str
        Each member that did not, and how.
    again : mapping of str to int
        Members that were asked again, or by a second call as the first was slow: how often.
    usage : dict
        Token counts of the calls that were answered.
    cost : float or None
        USD of all calls; None where one is not known.
    waited : float
        Seconds in which a member was waited for.
    rule : str
        Which rule fired.
    features : mapping of str to value
        Of the question, where the policy is served with `features`.
    """

    decision: Decision
    body: dict = field(repr=False)
    heard: Mapping[str, Heard] = field(repr=False)
    failed: Mapping[str, str]
    again: Mapping[str, int]
    usage: dict
    cost: float | None
    waited: float
    rule: str
    features: Mapping[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> list[str]:
        """The members that were asked, and those that judged their answers."""
        judges = [one.judge for one in self.heard.values() if one.judge]
        return [*dict.fromkeys([*self.heard, *self.failed, *judges])]

    @property
    def failures(self) -> dict[str, str]:
        """How each of them failed, if one did."""
        judges = {one.judge: one.judge_failed for one in self.heard.values() if one.judge_failed}
        return {**judges, **self.failed}


async def answer(
    name: str,
    served: Served,
    members: Mapping[str, Member],
    body: Mapping[str, Any],
    deadline: float,
) -> Answered:
    """Run a policy on a chat, asking only the members that it needs.

    A member that fails counts as one whose reply has no answer: it casts no vote, and a cascade
    goes on to the next. Only where that leaves no answer its error is raised.

    Parameters
    ----------
    name : str
        The model's name for the client.
    served : Served
    members : mapping of name to Member
    body : mapping
        A chat completion's request, checked.
    deadline : float
        On the clock of `time.monotonic`.

    Raises
    ------
    UpstreamError
        No member gave an answer, and one failed; or a member refused the request.
    """
    question, group = last_question(body), (body.get("metadata") or {}).get("group")
    features = served.features and served.features([question])
    row = {} if features is None else one_row(first_of(features))
    try:
        steps = deciding(served.policy, tuple(members), row, group, served.labels)
        asked, waited = next(steps, None), 0.0
    except ValueError as error:
        raise ApiError(400, f"{name}: {error}", param="metadata") from None
    heard: dict[str, Heard] = {}
    errors: dict[str, UpstreamError] = {}

    async def hear(one: str) -> dict:
        try:
            found = await members[one].hear(body, deadline, members)
        except UpstreamError as error:
            if error.status in REFUSED:
                raise
            errors[one] = error
            return dict.fromkeys(MEASURES)
        heard[one] = found
        return found.line

    decision = None
    while asked:
        start = time.perf_counter()
        lines = await gathered([hear(one) for one in asked])
        waited += time.perf_counter() - start
        try:
            asked = steps.send(lines)
        except StopIteration as end:
            asked, decision = None, end.value
    heard = {one: heard[one] for one in members if one in heard}  # not as they came
    if decision is None:  # no member is needed: the answer was stored
        decision = served.policy.decide(unasked(tuple(members), row, group, served.labels))
    chosen = decision.chosen[0]
    source = decision.models[chosen] if chosen >= 0 else None
    if errors and (source in errors or (source is None and decision.answers[0] is None)):
        raise errors[source] if source in errors else next(iter(errors.values()))
    usage = summed(one.usage for one in heard.values())
    if source is not None:
        made = repaired(heard[source].body)
    else:
        label = decision.answers[0] if chosen == COMBINED else None
        made = completion(name, None if label is None else str(label), usage)
    costs = [one.line["cost"] for one in heard.values()]
    again = {one: reply.unknown for one, reply in heard.items() if reply.unknown}
    again |= {one: error.tried for one, error in errors.items() if error.tried}
    cost = None if errors or again else sum_or_none(costs)
    failed = {one: error.kind for one, error in errors.items()}
    rule = explained(served.policy, decision, heard, question, row, group)
    made = {**made, "model": name, "usage": usage}
    return Answered(decision, made, heard, failed, again, usage, cost, waited, rule, row)
