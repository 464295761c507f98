"""Early exits: a network that answers after a few of its layers where it is confident."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of
from ensemble_lab.training.inputs.targets import targets
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.networks import NetworkClassifier, perceptron
from ensemble_lab.training.submodels.answers import answers, check_answers
from ensemble_lab.training.submodels.losses import joint_loss
from ensemble_lab.training.submodels.thresholds import limits_of


def exit_shares(exits: int, scale: float) -> np.ndarray:
    """The share (exits,) of each exit in the loss; they add up to 1.

    Exit l has scale (1 + … + l), and the last has as much as there are exits and the sum before it.
    LayerSkip counts layers from 0, so that its first exit has no share; here it learns too.
    """
    found = scale * np.cumsum(np.arange(1.0, exits + 1))
    found[-1] = exits + scale * (exits - 1) * exits / 2
    return found / found.sum()


class EarlyExit(ClassifierMixin, BaseEstimator):
    """A small network with an exit after every hidden layer, all trained together.

    An exit is a linear layer from the hidden units to the classes. A row whose largest probability
    is above a threshold leaves there, and the layers after it are not computed. `exit_thresholds`
    finds thresholds for shares of the rows, `calibrated_threshold` one that keeps the answers.

    Parameters
    ----------
    estimator : NetworkClassifier, optional
        The settings of the network. Its `make` gives two hidden layers or more. By default three
        of 32 units.
    scale : float
        How much the early exits count in the loss, from 0: at 0 they learn nothing. See
        `exit_shares`.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : (k,) array
    members_ : Members
        With the one network, which gives the outputs of all exits.
    exits_ : int
        How many exits there are, with the end.

    References
    ----------
    Elhoushi et al., LayerSkip, ACL 2024 (the loss). Kaya, Hong and Dumitras, Shallow-deep networks,
    ICML 2019 (overthinking). Schuster et al., Confident adaptive language modeling, NeurIPS 2022
    (a row leaves above the threshold only, so that 1 is the whole network).
    """

    def __init__(
        self, estimator: NetworkClassifier | None = None, *, scale: float = 1.0, random_state=None
    ):
        self.estimator, self.scale, self.random_state = estimator, scale, random_state

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps what is learned.

        Raises
        ------
        ValueError
            A scale below 0, a network with one hidden layer or other layers than linear ones and
            activations, NaN, or one class only.
        """
        require("training networks", "torch")
        import torch

        from ensemble_lab.training.submodels.stages import Exits

        network = self._checked()
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        make = partial(Exits, network.maker(X.shape[1], len(self.classes_)))
        with torch.random.fork_rng():  # only its exits are counted
            self.exits_ = len(make().heads)
        self.members_ = network.train(
            X,
            codes,
            len(self.classes_),
            make=make,
            loss=partial(joint_loss, shares=exit_shares(self.exits_, self.scale).tolist()),
            seed=random_of(self.random_state).randint(2**31 - 1),
        )
        return self

    def staged_predict_proba(self, X) -> Iterator[np.ndarray]:
        """Probabilities (n, k) of the classes by each exit, the first one's first."""
        X = new_rows(self, X)
        outputs = self.members_.outputs(X)[0].astype(float)
        for one in np.split(outputs, self.exits_, axis=-1):
            yield answers(one)

    def confidences(self, X) -> np.ndarray:
        """The largest probability (n, exits) at each exit."""
        return np.stack([proba.max(-1) for proba in self.staged_predict_proba(X)], axis=1)

    def predict_proba(self, X, exit: int | None = None) -> np.ndarray:
        """Probabilities (n, k) of the classes by one exit, from 1; by default at the end.

        Raises
        ------
        ValueError
            An exit that is not there.
        """
        probas = list(self.staged_predict_proba(X))
        exit = self.exits_ if exit is None else exit
        if not isinstance(exit, Integral) or isinstance(exit, bool) or not 0 < exit <= self.exits_:
            raise ValueError(
                f"exit={shown(exit)}: there are exits 1 to {self.exits_}, one after each hidden"
                " layer"
            )
        return probas[exit - 1]

    def predict(self, X, exit: int | None = None) -> np.ndarray:
        """The likeliest class (n,) by one exit, from 1; by default at the end."""
        proba = self.predict_proba(X, exit)
        return self.classes_[first_best(proba.T)]

    def leave(self, X, thresholds) -> tuple[np.ndarray, np.ndarray]:
        """Compute each row only up to the exit that it leaves by.

        Parameters
        ----------
        X : (n, d) array
        thresholds : float or (exits,) sequence
            A row leaves where its largest probability is above; at 1 none leaves early. The last
            is not read: all leave there.

        Returns
        -------
        proba : (n, k) array
            Probabilities by the exit.
        exits : (n,) array of int
            The exit, from 1.

        Raises
        ------
        ValueError
            Thresholds that are no numbers or not as many as the exits, or a row whose outputs are
            NaN.
        """
        import torch

        X = new_rows(self, X)
        limits, network = limits_of(thresholds, self.exits_), self.members_.module(0)
        place = next(network.parameters()).device
        proba = np.full((len(X), len(self.classes_)), np.nan)  # a row of NaN leaves nowhere
        exits = np.empty(len(X), int)
        with torch.no_grad():
            x = self.members_.feed.rows(X).to(place)
            for e, (rows, found) in enumerate(network.leave(x, limits), start=1):
                rows = rows.cpu().numpy()
                proba[rows], exits[rows] = found.cpu().numpy(), e
        check_answers(proba)
        return proba, exits

    def overthinking(self, X, y) -> float:
        """The share of the rows (n, d) that an exit answers right and the end wrong."""
        stages = list(self.staged_predict_proba(X))
        y = targets(y)
        if y.shape != stages[0].shape[:1]:
            raise ValueError(f"{len(stages[0])} rows and y of shape {y.shape}: give a label a row")
        if not np.isin(y, self.classes_).any():
            raise ValueError(
                f"y has no label of the classes {shown(self.classes_.tolist(), 60)}: give labels of"
                " the same kind as in fit"
            )
        right = [self.classes_[first_best(proba.T)] == y for proba in stages]
        return float((np.any(right[:-1], axis=0) & ~right[-1]).mean())

    def _checked(self) -> NetworkClassifier:
        scale = self.scale
        if not isinstance(scale, Real) or isinstance(scale, bool) or not 0 <= scale < np.inf:
            raise ValueError(
                f"scale={shown(scale)}: give a number from 0, such as 1; at 0 only the end learns"
            )
        network = self.estimator
        if network is None:
            network = NetworkClassifier(partial(perceptron, hidden=(32, 32, 32)))
        check_instance(network, "estimator")
        if not isinstance(network, NetworkClassifier):
            raise ValueError(
                f"estimator is a {type(network).__name__}; give a NetworkClassifier, whose"
                " settings are read"
            )
        return network
