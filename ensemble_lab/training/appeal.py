"""A small network and its judge, trained together for a cascade."""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.batched.losses import learns, weighted_mean
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.inputs.settings import check_instance, random_of
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.networks import Network, NetworkClassifier

if TYPE_CHECKING:
    import torch


@learns("classes")
def appeal_loss(outputs, targets, weights, *, price: float) -> torch.Tensor:
    """Cross-entropy (m,) of the rows that are kept, and the price of those that are not.

    The last output is the judge's: with ``keep = sigmoid(it)`` the loss of a row is
    ``keep * cross_entropy - price * log(keep)``. The keep that is best for a row is
    ``min(1, price / cross_entropy)``.
    """
    from torch.nn.functional import softplus

    logits, judge = outputs[..., :-1], outputs[..., -1]
    own = logits.gather(-1, targets[..., None])[..., 0]
    surprise = logits.logsumexp(-1) - own
    return weighted_mean(judge.sigmoid() * surprise + price * softplus(-judge), weights)


class AppealClassifier(ClassifierMixin, BaseEstimator):
    """A small network that learns with its answers which rows to pass to a big model.

    One more output, the judge, learns the probability of keeping a row. A row that is kept costs
    its cross-entropy; one that is passed on costs `price`, since the big model is taken to be right
    (the paper's black box). So the network need not learn the rows that it passes on. Use
    `keep_probability` as the confidence of the small model of a `Cascade`, and compare it with the
    largest probability of a plain network: on the digits the plain one ranks errors better.

    Parameters
    ----------
    estimator : NetworkClassifier, optional
        The settings of the network.
    price : float
        Of passing a row on, in nats: rows of a higher cross-entropy are passed on. The paper's
        beta.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : (k,) array
    members_ : Members
        With the one network.

    References
    ----------
    Li et al., AppealNet, DAC 2021. AXNet (Peng et al., ICCAD 2018) joins an approximator and the
    predictor of its safety in the same way: the error is multiplied by the probability of keeping.
    """

    def __init__(self, estimator: Network | None = None, *, price: float = 0.3, random_state=None):
        self.estimator, self.price, self.random_state = estimator, price, random_state

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps what is learned.

        Raises
        ------
        ValueError
            A price that is not above 0, a member that is not a network for classes, NaN, or one
            class only.
        """
        if isinstance(self.price, bool) or not isinstance(self.price, Real) or not self.price > 0:
            raise ValueError(
                f"price={shown(self.price)}: give a number above 0, in nats, such as 0.3; at 0 all"
                " rows would be passed on"
            )
        network = NetworkClassifier() if self.estimator is None else self.estimator
        check_instance(network, "estimator")
        if not isinstance(network, NetworkClassifier):
            raise ValueError(
                f"estimator is a {type(network).__name__}; give a NetworkClassifier, whose"
                " settings are read"
            )
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        self.members_ = network.train(
            X,
            codes,
            len(self.classes_) + 1,
            seed=random_of(self.random_state).randint(2**31 - 1),
            loss=partial(appeal_loss, price=float(self.price)),
        )
        return self

    def _outputs(self, X) -> np.ndarray:
        X = new_rows(self, X)
        return self.members_.outputs(X)[0].astype(float)  # (n, k + 1)

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k) of the classes, as if every row were kept."""
        return softmax(self._outputs(X)[:, :-1], axis=-1)

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[first_best(proba.T)]

    def keep_probability(self, X) -> np.ndarray:
        """The judge's probability (n,) that the small network should answer."""
        return expit(self._outputs(X)[:, -1])
