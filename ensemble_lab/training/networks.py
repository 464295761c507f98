"""Small networks with scikit-learn's interface, which learn alone or as an ensemble's members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.training.batched.losses import cross_entropy, learned_by, squared_error
from ensemble_lab.training.batched.members import Members
from ensemble_lab.training.batched.trainer import train_members
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import random_of
from ensemble_lab.training.inputs.targets import unit_of, weights_of
from ensemble_lab.training.labels import encoded

if TYPE_CHECKING:
    from torch import nn


def perceptron(inputs: int, outputs: int, hidden: int | tuple[int, ...] = 32) -> nn.Module:
    """Hidden layers of tanh units, one or as many as numbers; a row of one number each output."""
    require("a network", "torch")
    from torch import nn

    sizes = hidden if isinstance(hidden, tuple) else (hidden,)
    layers = []
    for size in sizes:
        layers += [nn.Linear(inputs, size), nn.Tanh()]
        inputs = size
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class Network(BaseEstimator):
    """What networks for classes and for numbers share.

    Parameters
    ----------
    make : callable
        ``make(inputs, outputs)`` gives a `torch.nn.Module` from (B, inputs) to (B, outputs). A
        fitted network is pickled with it: use a function with a name at the top of a module, or a
        `functools.partial` of one. A lambda cannot be pickled.
    epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW. Features should be of similar size: put a `StandardScaler` before it.
    device : str, optional
        A GPU where there is one.
    random_state : int, RandomState or None
        Of initial weights and order.
    progress : bool
        Show a bar while many learn together.
    """

    def __init__(
        self,
        make: Callable[[int, int], nn.Module] = perceptron,
        epochs: int = 50,
        batch_size: int = 32,
        learning_rate: float = 0.01,
        weight_decay: float = 0.0,
        device: str | None = None,
        random_state=None,
        progress: bool = False,
    ):
        self.make, self.epochs, self.batch_size = make, epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.device, self.random_state, self.progress = device, random_state, progress

    def train(self, X, y, outputs: int, members: int = 1, seed=None, **how) -> Members:
        """Train m networks like this one as one batch.

        Numbers are standardised by the mean and the standard deviation of `y`, and the networks'
        predictions and losses are returned in its unit, so the unit does not change what is
        learned.

        Parameters
        ----------
        X : (n, d) array
        y : (n,) array
            Codes 0, 1, … or numbers.
        outputs : int
        members : int
        seed : int, optional
            By default drawn from `random_state`.
        **how
            As in `train_members`, such as `rows` and `weights`; `loss` and `make` too.

        Raises
        ------
        ValueError
            All losses became NaN; or what `train_members` raises.
        """
        if seed is None:
            seed = random_of(self.random_state).randint(2**31 - 1)
        settings = {
            "make": self.maker(X.shape[1], outputs),
            "loss": self._loss,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "device": self.device,
            "progress": self.progress,
        }
        settings |= how
        unit = None
        if learned_by(settings["loss"]) == "numbers":
            unit = unit_of(y, settings.get("weights"))
        if unit is not None:
            y = (y - unit[0]) / unit[1]
            if settings.get("validation") is not None:
                held, truth = settings["validation"]
                settings["validation"] = held, (truth - unit[0]) / unit[1]
        found = train_members(X=X, y=y, members=members, seed=seed, **settings)
        if unit is not None:
            with np.errstate(over="ignore"):  # for numbers whose squares are too large for a float
                losses = found.losses.astype(float) * unit[1] * unit[1]
            found = replace(found, unit=unit, losses=losses)
        if not found.alive.any():
            raise ValueError(
                "the losses of all members became NaN or infinite; use a learning_rate below"
                f" {shown(self.learning_rate)}"
            )
        return found

    def maker(self, inputs: int, outputs: int) -> Callable[[], nn.Module]:
        """A function that makes such a network for so many columns and outputs."""
        return partial(self.make, inputs, outputs)

    def _fit(self, X, y, outputs: int, sample_weight):
        weights = None
        if sample_weight is not None:
            weights = weights_of(sample_weight, X)[None]
        self.members_ = self.train(X, y, outputs, weights=weights)
        return self

    def _outputs(self, X) -> np.ndarray:
        X = new_rows(self, X)
        return self.members_.outputs(X)[0]  # (n, k)


class NetworkClassifier(ClassifierMixin, Network):
    """A small network that classifies.

    In a `BaggingClassifier`, `SnapshotEnsemble` or `NegativeCorrelationClassifier` all members are
    trained at once. For one network, `sklearn.neural_network.MLPClassifier` does as well.

    Attributes
    ----------
    classes_ : (k,) array
    members_ : Members
        With the one network.
    """

    _loss = staticmethod(cross_entropy)

    def fit(self, X, y, sample_weight=None):
        """Learn from rows X (n, d) of classes y (n,)."""
        X, y = learned_rows(self, X, y, weights=sample_weight)
        self.classes_, codes = encoded(y)
        return self._fit(X, codes, len(self.classes_), sample_weight)

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k) of the classes."""
        return softmax(self._outputs(X).astype(float), axis=-1)

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(-1)]


class NetworkRegressor(RegressorMixin, Network):
    """A small network for regression, trained with squared error of standardised targets.

    Attributes
    ----------
    members_ : Members
        With the one network.
    """

    _loss = staticmethod(squared_error)

    def fit(self, X, y, sample_weight=None):
        """Learn from rows X (n, d) with numbers y (n,)."""
        X, y = learned_rows(self, X, y, numeric=True, weights=sample_weight)
        return self._fit(X, y.astype(float), 1, sample_weight)

    def predict(self, X) -> np.ndarray:
        """Numbers (n,)."""
        return self._outputs(X)[:, 0].astype(float)
