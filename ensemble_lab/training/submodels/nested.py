"""Nested networks: the first hidden units are a network of their own."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.core.missing import require
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.networks import NetworkClassifier, perceptron
from ensemble_lab.training.submodels.answers import answers
from ensemble_lab.training.submodels.losses import joint_loss

if TYPE_CHECKING:
    from ensemble_lab.training.batched.members import Members

RULES = {"all": 0, "sandwich": 2}  # rule to random widths a step
WIDTHS = 0.125, 0.25, 0.5, 1.0


class NestedNetwork(ClassifierMixin, BaseEstimator):
    """A small network whose first hidden units are smaller networks, all trained together.

    The network of width 1/2 is the first half of the units of every hidden layer, with the weights
    between them. One training gives all widths, and one set of weights holds them. A layer without
    a normalisation over a batch is needed: slimmable networks keep other statistics of batch
    normalisation for every width, or measure them anew. Here there are none.

    Parameters
    ----------
    estimator : NetworkClassifier, optional
        The settings of the network. Its `make` gives linear layers with activations between them,
        such as `perceptron`. By default one hidden layer of 64 units.
    widths : sequence of floats
        Shares of the hidden units that answers are asked for, with 1 among them.
    rule : {"all", "sandwich"}
        What each step trains: all `widths`, as in MatFormer; or the smallest, the whole and two
        random ones between them, as in US-Nets, so that every width can be used.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : (k,) array
    members_ : Members
        With the one network, at full width.

    References
    ----------
    Devvrit et al., MatFormer, NeurIPS 2024. Yu and Huang, Universally slimmable networks and
    improved training techniques, ICCV 2019 (sandwich rule). Valipour et al., SortedNet, 2023.
    """

    def __init__(
        self,
        estimator: NetworkClassifier | None = None,
        *,
        widths=WIDTHS,
        rule: str = "all",
        random_state=None,
    ):
        self.estimator, self.widths, self.rule = estimator, widths, rule
        self.random_state = random_state

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps what is learned.

        Raises
        ------
        ValueError
            Widths that the network cannot have or that lack 1, another rule, a network that is not
            linear layers and activations, NaN, or one class only.
        """
        require("training networks", "torch")
        from ensemble_lab.training.submodels.slices import Nested, whole

        widths, network = self._checked()
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        plain = network.maker(X.shape[1], len(self.classes_))
        random = RULES[self.rule]
        if random:
            widths = [widths[0], widths[-1]]
        heads = len(widths) + random
        members = network.train(
            X,
            codes,
            len(self.classes_),
            make=partial(Nested, plain, widths, random),
            loss=partial(joint_loss, shares=[1 / heads] * heads),
            seed=random_of(self.random_state).randint(2**31 - 1),
        )
        self.members_ = whole(members, plain)
        return self

    def at(self, width) -> Members:
        """The network of a width, alone; its weights are views of the whole network's.

        Parameters
        ----------
        width : float or sequence of floats
            The share of the hidden units, or one for each hidden layer (mix and match), in the list
            `widths` or not.

        Raises
        ------
        ValueError
            A share of 0 or less or above 1, one that leaves a fraction of a unit, or not one a
            layer.
        """
        from ensemble_lab.training.submodels.slices import sliced

        return sliced(self.members_, width)

    def predict_proba(self, X, width=1.0) -> np.ndarray:
        """Probabilities (n, k) of the classes, by the network of a width; see `at`."""
        X = new_rows(self, X)
        return answers(self.at(width).outputs(X)[0].astype(float))

    def predict(self, X, width=1.0) -> np.ndarray:
        """The likeliest class (n,), by the network of a width; see `at`."""
        proba = self.predict_proba(X, width)
        return self.classes_[first_best(proba.T)]

    def _checked(self) -> tuple[list[float], NetworkClassifier]:
        if not isinstance(self.rule, str) or self.rule not in RULES:
            raise ValueError(f"rule={shown(self.rule)}: use one of {', '.join(RULES)}")
        given = self.widths.tolist() if hasattr(self.widths, "tolist") else self.widths
        numbers = isinstance(given, list | tuple) and all(
            isinstance(one, Real) and not isinstance(one, bool) and 0 < one <= 1 for one in given
        )
        if not numbers or len(set(given)) < 2 or 1 not in given:
            raise ValueError(
                f"widths={shown(self.widths)}: give two or more different shares above 0 up to 1,"
                " with 1 among them, such as (0.25, 0.5, 1)"
            )
        network = self.estimator
        if network is None:
            network = NetworkClassifier(partial(perceptron, hidden=64))
        check_instance(network, "estimator")
        if not isinstance(network, NetworkClassifier):
            raise ValueError(
                f"estimator is a {type(network).__name__}; give a NetworkClassifier, whose"
                " settings are read"
            )
        return sorted({float(one) for one in given}), network
