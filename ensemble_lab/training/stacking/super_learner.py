"""The super learner's final models: one weight a member, none negative, together 1.

Weights of that kind cannot undo one member by another, so that few rows are enough to learn them.

References
----------
van der Laan, Polley and Hubbard, Super learner, Statistical Applications in Genetics and Molecular
Biology 2007.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from ensemble_lab.core.errors import shown
from ensemble_lab.training.inputs.rows import learned_rows, new_rows
from ensemble_lab.training.labels import encoded

LEAST = np.finfo(float).eps  # a member that gave the right class no chance is not ruled out for it
NEAR = 1e-9  # nats a row
STEPS = 100


def convex_least_squares(residuals: np.ndarray) -> np.ndarray:
    """Weights (m,) of 0 or more that sum to 1 and make ``|residuals @ weights|`` least.

    A row of ones asks for the sum of 1, and division by the sum found makes it exact: for weights
    of sum t the two squares are t² q + c² (1 - t)², whose least over t grows with q.

    Parameters
    ----------
    residuals : (n, m) array
        Of every member.
    """
    c = np.abs(residuals).max() * np.sqrt(len(residuals)) or 1.0  # so that both squares count
    rows = np.vstack([residuals / c, np.ones(residuals.shape[1])])
    found, _ = nnls(rows, np.r_[np.zeros(len(residuals)), 1.0])
    return found / found.sum()


def likeliest_mixture(chances: np.ndarray) -> np.ndarray:
    """Weights (m,) of 0 or more that sum to 1 and make the mean of ``log(chances @ weights)`` most.

    Each step goes towards the best weights of a parabola that touches the mean, which is a problem
    of least squares, and halves until the mean has grown enough. The mean is concave: it is at
    most ``max(slope) - 1`` below its highest, and there the steps end.

    Parameters
    ----------
    chances : (n, m) array
        What every member gives to the class that is right, above 0.

    References
    ----------
    Wang, On fast computation of the non-parametric maximum likelihood estimate of a mixing
    distribution, Journal of the Royal Statistical Society B 2007.
    """
    weights = np.full(chances.shape[1], 1 / chances.shape[1])
    for _ in range(STEPS):
        scaled = chances / (chances @ weights)[:, None]
        slope = scaled.mean(0)  # (m,); its mean under the weights is 1
        if slope.max() - 1 < NEAR:
            break
        towards = convex_least_squares(scaled - 2) - weights
        rise, step = slope @ towards, 1.0
        while np.log1p(step * (scaled @ towards)).mean() < step * rise / 3 and step > NEAR:
            step /= 2
        weights = weights + step * towards
    return weights


class ConvexWeightsRegressor(RegressorMixin, BaseEstimator):
    """Weighted mean of the members' predictions, with the convex weights of least squared error.

    A final model for a `StackingRegressor`. With a scale and a shift of its own besides,
    ``LinearRegression(positive=True)`` does the like.

    Attributes
    ----------
    weights_ : (m,) array
        The share of each member.
    """

    def fit(self, X, y):
        """Learn from predictions X (n, m) of m members and the numbers y (n,)."""
        X, y = learned_rows(self, X, y, numeric=True)
        self.weights_ = convex_least_squares(X - y[:, None])
        return self

    def predict(self, X) -> np.ndarray:
        """Numbers (n,)."""
        X = new_rows(self, X)
        return X @ self.weights_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # where columns are no predictions of y
        return tags


class ConvexWeightsClassifier(ClassifierMixin, BaseEstimator):
    """Mixture of the members' probabilities, with the convex weights of least log loss.

    A final model for a `StackingClassifier` whose members give probabilities.

    Attributes
    ----------
    classes_ : (k,) array
    weights_ : (m,) array
        The share of each member.
    """

    def fit(self, X, y):
        """Learn from the probabilities of m members, side by side, and the classes y (n,).

        Parameters
        ----------
        X : (n, m k) array
            With two classes (n, m): the probability of the second.
        y : (n,) array

        Raises
        ------
        ValueError
            Columns that do not hold probabilities of these classes.
        """
        X, y = learned_rows(self, X, y)
        self.classes_, codes = encoded(y)
        probas = self._probabilities(X)  # (n, m, k)
        self.weights_ = likeliest_mixture(np.maximum(probas[np.arange(len(y)), :, codes], LEAST))
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k) of the classes."""
        X = new_rows(self, X)
        probas = self._probabilities(X)
        return np.einsum("nmk,m->nk", probas, self.weights_)

    def predict(self, X) -> np.ndarray:
        """The likeliest class (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(-1)]

    def _probabilities(self, X: np.ndarray) -> np.ndarray:
        (n, columns), k = X.shape, len(self.classes_)
        if k == 2:
            probas = np.stack([1 - X, X], axis=-1)
        elif columns % k:
            raise ValueError(
                f"X has {columns:d} columns, no multiple of {k:d} classes: give every member's"
                " probabilities, or leave passthrough out"
            )
        else:
            probas = X.reshape(n, -1, k)
        bad = (probas < -1e-6) | (np.abs(probas.sum(-1, keepdims=True) - 1) > 1e-3)
        if bad.any():
            row, member, _ = np.argwhere(bad)[0]
            raise ValueError(
                f"row {row:d} of member {member:d} is {shown(probas[row, member])}, which are no"
                " probabilities: use members with predict_proba"
            )
        return probas
