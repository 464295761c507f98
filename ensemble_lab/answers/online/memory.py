"""What a `GuidedRouter` remembers: strong answers, and how the weak model did near them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ensemble_lab.answers.online.learner import BanditLearner
from ensemble_lab.core.errors import check_known, shown
from ensemble_lab.core.online import Feedback
from ensemble_lab.core.reply import Model, Reply, as_reply
from ensemble_lab.models.asking.given import first_of, named_models, one_row

if TYPE_CHECKING:
    from ensemble_lab.answers.online.guides import GuidedRouter


def with_guide(item: str, question: str, answer: str) -> str:
    """The prompt that shows a question and its answer before the question that is asked.

    Examples
    --------
    >>> print(with_guide("What is 3 + 4?", "What is 2 + 2?", "2 + 2 = 4"))
    A similar question and its answer:
    What is 2 + 2?
    2 + 2 = 4
    <BLANKLINE>
    Now answer this question:
    What is 3 + 4?
    """
    return (
        f"A similar question and its answer:\n{question}\n{answer}\n\n"
        f"Now answer this question:\n{item}"
    )


class Answer(NamedTuple):
    """What the strong model answered, the texts None after a replay."""

    point: list[float]
    question: str | None
    answer: str | None


class Trial(NamedTuple):
    """A graded reply of the weak model: `way` is 0 alone, 1 with a guide."""

    point: list[float]
    way: int
    grade: float


class Remembering(BanditLearner):
    """The learner of a `GuidedRouter`; `ask` is a step of it with live models."""

    def __init__(self, policy: GuidedRouter, models: tuple[str, ...], rng: np.random.Generator):
        super().__init__(policy, models, rng)
        self.arms = [models.index(name) for name in policy.models]  # weak, guided, strong
        self.answers: list[Answer] = []
        self.trials: list[Trial] = []

    def ask(
        self,
        models: Mapping[str, Model],
        item: str,
        features: Mapping[str, float] | Callable,
    ) -> Reply:
        """Answer one question with live models, and learn from the replies.

        A reply of the weak model counts as right where its answer equals the strong model's. What
        asks the learner again and again is a model itself, which `record` and `run` take::

            guided = lambda item: learner.ask(models, item, features)

        Parameters
        ----------
        models : mapping of name to callable
            The weak and the strong model.
        item : str
            The question.
        features : mapping of name to number, or callable
            Of the question; or what computes them from a list of questions.

        Returns
        -------
        Reply
            The strong model's, or the weak model's where it is trusted. Cost and tokens are those
            of all calls, shadow inference too; the latency is that of the reply.

        Raises
        ------
        TypeError
            A question that is no text.
        UnknownName
            `models` lacks the weak or the strong model.
        Exception
            The error of a model; nothing is learned of this question then.
        """
        if not isinstance(item, str):
            raise TypeError(f"the question is {shown(item)}; give text: a guide is put before it")
        models, policy = named_models(models), self.policy
        for name in (policy.weak, policy.strong):
            check_known(name, models, "model", "models given")
        known = one_row(first_of(features([item])) if callable(features) else features)
        time = self.last + 1
        asked = self.choose(known, time)
        context = self.pending[time, asked[0]]
        try:
            replies = {
                arm: as_reply(self._reply(models, arm, item, context["point"])) for arm in asked
            }
        except BaseException:  # Ctrl-C as well
            for arm in asked:
                del self.pending[time, arm]
                self.asked[arm] -= 1
            raise
        reply = replies[asked[0]]
        strong = self.arms[2] in asked
        context |= {"question": item, "answer": reply.text or str(reply.answer)}
        for arm, one in replies.items():
            same = reply.answer is not None and one.answer == reply.answer
            cost, latency = (math.nan if x is None else x for x in (one.cost, one.latency))
            self.learn(Feedback(time, arm, float(same) if strong else math.nan, cost, latency))
        return replace(reply, **{name: _total(replies, name) for name in ("cost", "tokens")})

    def _reply(self, models: Mapping[str, Model], arm: int, item: str, point: list[float]):
        if arm != self.arms[1]:
            return models[self.models[arm]](item)
        near = self.guide(point)
        if near.question is None:
            raise ValueError(
                "the question that is near has no text: it is from a replay. Ask live models with a"
                " learner that replayed nothing"
            )
        return models[self.policy.weak](with_guide(item, near.question, near.answer))

    def _context(self, features: Mapping[str, Any]) -> dict:
        point = []
        for name in self.policy.features:
            check_known(name, features, "feature", "item")
            value = features[name]
            if not isinstance(value, Real | np.bool_) or not math.isfinite(value):
                raise ValueError(f"{shown(name)} is {shown(value)}; give a finite number")
            point.append(float(value))
        return {"point": point, "question": None, "answer": None}

    def guide(self, point: Sequence[float]) -> Answer | None:
        """The nearest strong answer within the radius; of equals, the first; None without one."""
        away = _distances(self.answers, point)
        near = away.size and away.min() <= self.policy.radius
        return self.answers[int(away.argmin())] if near else None

    def shares(self, point: Sequence[float]) -> np.ndarray:
        """How sure a right reply of the weak model is near a point: alone and with a guide, (2,).

        The means of Beta posteriors from uniform priors, by its graded replies within the radius.
        """
        right, tried = np.ones(2), np.full(2, 2.0)
        for i in np.flatnonzero(_distances(self.trials, point) <= self.policy.radius):
            right[self.trials[i].way] += self.trials[i].grade
            tried[self.trials[i].way] += 1
        return right / tried

    def _pick(
        self, time: int, context: Any, available: np.ndarray | None, prices: np.ndarray | None
    ) -> tuple[int, ...]:
        weak, guided, strong = self.arms
        guides = (guided,) if self.guide(context["point"]) else ()
        trusted = self._scores(context) >= self.policy.trust
        wanted = (strong, weak, *guides)  # the weak model's replies are shadows
        if trusted[weak]:
            wanted = (weak,)  # it needs no guide there
        elif guides and trusted[guided]:
            wanted = (guided,)
        if available is None:
            return wanted
        usable = tuple(arm for arm in wanted if available[arm])
        return usable or tuple(arm for arm in (strong, *guides, weak) if available[arm])[:1]

    def _scores(self, context: dict) -> np.ndarray:
        """The shares of right replies of the weak model near a question, 0 for others: (m,)."""
        scores = np.zeros(len(self.models))
        scores[self.arms[:2]] = self.shares(context["point"])
        return scores

    def _learn(self, arm: int, context: dict, grade: float) -> None:
        if arm in self.arms[:2]:
            self.trials.append(Trial(context["point"], self.arms.index(arm), grade))
        elif arm == self.arms[2] and grade >= 0.5:  # a wrong answer guides nobody
            self.answers.append(Answer(**context))

    def _check_context(self, context: Any) -> None:
        if not isinstance(context, dict) or set(context) != set(Answer._fields):
            raise ValueError("its pending replies have no question")
        self._check_answer(**context)

    def _check_answer(self, point: Any, question: Any, answer: Any) -> None:
        self._check_point(point)
        if not all(text is None or isinstance(text, str) for text in (question, answer)):
            raise ValueError(f"a question is {shown(question)} with the answer {shown(answer)}")

    def _check_point(self, point: Any) -> None:
        numbers = isinstance(point, list) and all(
            type(x) in (int, float) and math.isfinite(x) for x in point
        )
        if not numbers or len(point) != len(self.policy.features):
            raise ValueError(f"a question has the features {shown(point)}")

    def _state(self) -> dict:
        return super()._state() | {"answers": self.answers, "trials": self.trials}

    def _restore_state(self, found: Mapping) -> None:
        super()._restore_state(found)
        self.answers = [Answer(*one) for one in found["answers"]]
        self.trials = [Trial(*one) for one in found["trials"]]
        for one in self.answers:
            self._check_answer(*one)
        for point, way, grade in self.trials:
            self._check_point(point)
            graded = type(grade) in (int, float) and 0 <= grade <= 1
            if type(way) is not int or way not in (0, 1) or not graded:
                raise ValueError(f"a reply near {shown(point)} has the grade {shown(grade)}")

    def _take(self, old: Self, moved: Mapping[int, int]) -> None:
        self.answers, self.trials = old.answers, old.trials


def _total(replies: Mapping[int, Reply], what: str) -> float | None:
    """The sum over all calls; unknown where that of one is."""
    amounts = [getattr(reply, what) for reply in replies.values()]
    return None if None in amounts else sum(amounts)


def _distances(some: Sequence[Answer | Trial], point: Sequence[float]) -> np.ndarray:
    """Euclidean distances of all from a point, (n,)."""
    if not some:
        return np.zeros(0)
    return np.linalg.norm(np.array([one.point for one in some]) - point, axis=1)
