"""Strong answers as guides: the weak model is shown what the strong one said to a like question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble_lab.answers.online.bandit import Learning
from ensemble_lab.answers.online.memory import Remembering
from ensemble_lab.core.errors import several, shown
from ensemble_lab.core.policy import ranged


@dataclass(frozen=True)
class GuidedRouter(Learning):
    """Ask a weak model with a strong answer as its guide, where that has been seen to work.

    At first the strong model answers. The weak model is asked as well, and if the strong one has
    answered a near question before, once more with that answer as a guide. These replies are only
    compared (shadow inference). Where enough of them were right, only the weak model is asked from
    then on, with the guide or, if it needs none, alone. There it is not checked any more, unless
    somebody grades its replies. The memory grows with each strong answer.

    Replay needs a table in which the weak model with a guide is a model of its own, named `guided`.
    A record without it cannot say what a guide would have changed, and is refused.

    A guide helps where near questions have the same answer. On 40 questions about ten facts it
    raised the accuracy of SmolLM2 from .33 to .83; on 40 sums, where they have other answers, it
    changed nothing (record `guided-answers`).

    Parameters
    ----------
    weak, guided, strong : str
        The weak model, what it is called when it has a guide, and the strong model.
    features : tuple of str
        Features of a question that are numbers; their Euclidean distance says how near two are.
    radius : float
        The greatest distance that counts as near.
    trust : float
        The weak model answers where ``(right + 1) / (tried + 2)`` of its graded replies to near
        questions is at least this. From 0.51 to 0.66 one right reply is enough.

    References
    ----------
    Vasilevski, Lin and Hassan, Real-time adapting routing (RAR): improving efficiency through
    continuous learning in software powered by layered foundation models, arXiv 2411.09837.

    Examples
    --------
    >>> policy = GuidedRouter("small", "small with a guide", "big", features=("kind",))
    >>> learner = policy.begin(policy.models, np.random.default_rng(0))
    >>> models = {
    ...     "small": lambda item: "Paris" if "answer:" in item else "?",
    ...     "big": lambda item: "Paris",
    ... }
    >>> for question in ("Capital of France?", "France's capital?", "Where is the Louvre?"):
    ...     reply = learner.ask(models, question, {"kind": 1.0})
    ...     print(reply.answer, learner.asked)  # small, small with a guide, big
    Paris [1. 0. 1.]
    Paris [2. 1. 2.]
    Paris [2. 2. 2.]
    """

    weak: str
    guided: str
    strong: str
    features: tuple[str, ...]
    radius: float = ranged(1.0, 0, 1e6, "greatest distance to a question in the memory")
    trust: float = ranged(0.6, 0.51, 1, "share of right replies that the weak model needs")

    def __post_init__(self):
        super().__post_init__()
        for name in self.models:
            if not isinstance(name, str):
                raise ValueError(f"GuidedRouter names {shown(name)}; give three names of models")
        if len(set(self.models)) < 3:
            raise ValueError(f"GuidedRouter names {shown(self.models)}; give each its own name")
        features = tuple(several(self.features, "GuidedRouter.features"))
        if not features or not all(isinstance(name, str) for name in features):
            raise ValueError(
                f"GuidedRouter.features are {shown(features)}; give names, such as"
                " ('embedding_00', 'embedding_01')"
            )
        object.__setattr__(self, "features", features)

    @property
    def models(self) -> tuple[str, str, str]:
        """The weak model, the same with a guide, and the strong one: for `begin`."""
        return self.weak, self.guided, self.strong

    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> Remembering:
        if missing := [name for name in self.models if name not in models]:
            raise ValueError(
                f"there are no replies of {shown(missing[0])} among those of {shown(models)}:"
                f" record the weak model with guides as {shown(self.guided)}, or ask live models:"
                " policy.begin(policy.models, rng).ask(models, question, features)"
            )
        return Remembering(self, models, rng)
