"""Negative correlation: networks that learn together, with a reward for disagreement."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.ambiguity import checked_members
from ensemble_lab.training.batched.losses import cross_entropy, learns, squared_error, weighted_mean
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import check_count, check_instance, random_of
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.networks import Network, NetworkClassifier, NetworkRegressor

if TYPE_CHECKING:
    import torch


def distance_from_mean(output: torch.Tensor) -> torch.Tensor:
    """Squared distance (m, B) of the members' outputs (m, B, k) from their mean.

    The mean is held constant: a member learns to differ from the others, not to move them. Members
    whose outputs are NaN are left out.
    """
    finite = output.detach().where(output.detach().isfinite(), output.new_tensor(float("nan")))
    return ((output - finite.nanmean(0)) ** 2).sum(-1)


@learns("numbers")
def regression_loss(outputs, targets, weights, *, strength: float) -> torch.Tensor:
    """Squared error (m,) minus `strength` times the distance from the mean.

    Its gradient is twice that of Liu and Yao's, (f_i - y) - strength (f_i - mean): at 0 members
    learn on their own, at 1 all are moved by the error of the mean, as one large network.
    """
    apart = weighted_mean(distance_from_mean(outputs), weights)
    return squared_error(outputs, targets, weights) - strength * apart


@learns("classes")
def classification_loss(outputs, targets, weights, *, strength: float) -> torch.Tensor:
    """Cross-entropy (m,) minus `strength` times the distance of probabilities from the mean."""
    apart = weighted_mean(distance_from_mean(outputs.softmax(-1)), weights)
    return cross_entropy(outputs, targets, weights) - strength * apart


def corrected_targets(predictions, y, strength: float = 0.5) -> np.ndarray:
    """Targets (m, n) with which plain squared error learns negative correlation.

    Member i learns from y + strength (f_i - mean). At the exchange its gradient, f_i - target, is
    Liu and Yao's, (f_i - y) - strength (f_i - mean). So members exchange predictions once in a
    while instead of at every step, and any regressor that can go on learning (`partial_fit`) can be
    a member. The corrections sum to 0 over the members.

    Parameters
    ----------
    predictions : (m, n) array
        What m members said of n rows at the last exchange.
    y : (n,) array
    strength : float
        lambda, in [0, 1]; at 0 all learn from y.

    Raises
    ------
    ValueError
        Shapes that do not fit, NaN, or a strength outside [0, 1].

    References
    ----------
    Chan and Kasabov, Fast neural network ensemble learning via negative-correlation data
    correction, IEEE Transactions on Neural Networks 2005.

    Examples
    --------
    >>> corrected_targets([[1.0, 4.0], [3.0, 4.0]], [2.0, 5.0], strength=0.5)
    array([[1.5, 5. ],
           [2.5, 5. ]])
    """
    predictions, y = checked_members(predictions, y)
    check_strength(strength)
    return y + strength * (predictions - predictions.mean(axis=0))


def check_strength(strength) -> None:
    """Refuse a strength with which members would diverge."""
    if isinstance(strength, bool) or not isinstance(strength, Real) or not 0 <= strength <= 1:
        raise ValueError(
            f"strength={shown(strength)}: use 0 (members learn on their own) to 1; above that the"
            " members diverge"
        )


class NegativeCorrelation(BaseEstimator):
    """What negative correlation of classes and of numbers share."""

    def __init__(
        self,
        estimator: Network | None = None,
        n_estimators: int = 10,
        *,
        strength: float = 0.5,
        random_state=None,
    ):
        self.estimator, self.n_estimators = estimator, n_estimators
        self.strength, self.random_state = strength, random_state

    def _fit(self, X, y, outputs: int, network: Network, loss):
        check_strength(self.strength)
        check_count(self.n_estimators, "n_estimators", "an ensemble has 1 or more members")
        check_instance(network, "estimator")
        if not isinstance(network, Network):
            raise ValueError(
                f"the member {type(network).__name__} is not a network, and members learn together"
                " step by step: use a NetworkRegressor or NetworkClassifier"
            )
        found = network.train(
            X,
            y,
            outputs,
            members=self.n_estimators,
            seed=random_of(self.random_state).randint(2**31 - 1),
            loss=partial(loss, strength=self.strength),
            same_order=True,
        )
        self.members_ = found.some(np.flatnonzero(found.alive))
        return self

    def _outputs(self, X) -> np.ndarray:
        X = new_rows(self, X)
        return self.members_.outputs(X).astype(float)


class NegativeCorrelationRegressor(RegressorMixin, NegativeCorrelation):
    """Networks that learn a number together; their mean is the answer.

    Each is pulled to the target, and pushed away from the mean of all by `strength` times its
    distance (Liu and Yao's penalty, the mean held constant in the gradient). All members see the
    same rows at the same time, since the penalty needs all outputs for a row.

    Where one network fits well, one larger network does as well as many. The method is here for
    learning; bagging is the safer tool.

    Parameters
    ----------
    estimator : NetworkRegressor, optional
        The settings of each member.
    n_estimators : int
        m.
    strength : float
        lambda, in [0, 1]; 0 trains members on their own.
    random_state : int, RandomState or None

    Attributes
    ----------
    members_ : Members
        Those whose loss stayed finite.

    References
    ----------
    Liu and Yao, Ensemble learning via negative correlation, Neural Networks 1999.
    Brown, Wyatt and Tiňo, Managing diversity in regression ensembles, JMLR 2005.
    """

    def fit(self, X, y):
        """Learn from rows X (n, d) with numbers y (n,).

        Interrupted by the keyboard, it keeps what is learned.

        Raises
        ------
        ValueError
            A strength outside [0, 1], a member that is not a network, NaN, or all losses NaN.
        """
        X, y = learned_rows(self, X, y, numeric=True)
        network = NetworkRegressor() if self.estimator is None else self.estimator
        return self._fit(X, y.astype(float), 1, network, regression_loss)

    def member_predictions(self, X) -> np.ndarray:
        """The prediction (m, n) of every member."""
        return self._outputs(X)[..., 0]

    def predict(self, X) -> np.ndarray:
        """The mean (n,) of the members."""
        return self.member_predictions(X).mean(0)


class NegativeCorrelationClassifier(ClassifierMixin, NegativeCorrelation):
    """Networks that learn classes together; the mean of their probabilities is the answer.

    As in `NegativeCorrelationRegressor`, with cross-entropy as the error and the penalty on the
    probabilities, whose distances are bounded.

    Parameters
    ----------
    estimator : NetworkClassifier, optional
        The settings of each member.
    n_estimators, strength, random_state
        As in `NegativeCorrelationRegressor`.

    Attributes
    ----------
    classes_ : (k,) array
    members_ : Members
        Those whose loss stayed finite.

    References
    ----------
    Liu and Yao, Ensemble learning via negative correlation, Neural Networks 1999.
    """

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps what is learned.

        Raises
        ------
        ValueError
            As in `NegativeCorrelationRegressor`, and one class only.
        """
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        network = NetworkClassifier() if self.estimator is None else self.estimator
        return self._fit(X, codes, len(self.classes_), network, classification_loss)

    def predict_proba(self, X) -> np.ndarray:
        """Mean probabilities (n, k) of the classes."""
        return softmax(self._outputs(X), axis=-1).mean(0)

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[first_best(proba.T)]

    def member_predictions(self, X) -> np.ndarray:
        """The class (m, n) that every member would choose alone."""
        outputs = self._outputs(X)
        return self.classes_[np.stack([first_best(one.T) for one in outputs])]
