"""The settings of every bandit: they begin a learner, or resume one from its file."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from ensemble_lab.answers.online.learner import FORMAT, BanditLearner, described
from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.core.online import OnlinePolicy
from ensemble_lab.core.policy import model_names, ranged


@dataclass(frozen=True)
class Learning(OnlinePolicy):
    """An online policy whose learner goes into a file. Subclasses define `_learner`."""

    @abstractmethod
    def _learner(self, models: tuple[str, ...], rng: np.random.Generator) -> BanditLearner:
        """An untrained learner."""

    def begin(self, models: tuple[str, ...], rng: np.random.Generator) -> BanditLearner:
        """An untrained learner with `choose`, `learn` and `save`, for one thread at a time.

        Where several threads answer, hold a lock around each of these calls.

        Parameters
        ----------
        models : tuple of m str
        rng : numpy.random.Generator
            Where all random numbers come from.
        """
        if not isinstance(rng, np.random.Generator):
            raise ValueError(f"rng is {shown(rng)}; give a Generator: default_rng(seed)")
        return self._learner(model_names(models, "models"), rng)

    def resume(self, path: str | os.PathLike, models: tuple[str, ...]) -> BanditLearner:
        """The learner that `save` wrote: it chooses as if it had never stopped.

        Parameters
        ----------
        path : path
            A file that `save` of a learner of this policy wrote.
        models : tuple of m str
            The models that it chose from, in the same order.

        Raises
        ------
        ValueError
            No such file or another one, another policy, other settings or other models.
        """
        if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
            raise ValueError(f"there is no file {shown(str(path), 150)}; give one that save wrote")
        try:
            found = json.loads(Path(path).read_bytes())
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                raise ValueError("it was not written by save")
            for name, now in (("policy", described(self)), ("models", list(models))):
                if found[name] != now:
                    raise ValueError(f"its {name} is {shown(found[name])}, not {shown(now)}")
            learner = self.begin(models, np.random.default_rng())
            learner._restore(found)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError,
                RecursionError) as error:  # fmt: skip
            why = excerpt(f"{error.args[0] if error.args else error}", 180)
            raise ValueError(
                f"{shown(Path(path).name, 40)} cannot be resumed: {why}; begin anew"
            ) from None
        return learner


@dataclass(frozen=True)
class Bandit(Learning):
    """Asks one model an item: the one with the best score, less `cost_weight` times its price.

    The scores are estimates of accuracies, so a price that changes is followed at once: nothing has
    to be learned again.
    """

    _: KW_ONLY
    cost_weight: float = ranged(0.0, 0, 1e9, "accuracy that is worth 1 USD")
