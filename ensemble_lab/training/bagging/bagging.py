"""Bagging: members learn from draws of the rows, and their mean or vote decides."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ensemble_lab.core.errors import shown
from ensemble_lab.core.votes import first_best
from ensemble_lab.training.bagging.bag import Bag
from ensemble_lab.training.bagging.bootstrap import variance_of_mean
from ensemble_lab.training.inputs.named import asked, probabilities_of
from ensemble_lab.training.labels import encoded, places

__all__ = ["BaggingClassifier", "BaggingRegressor", "variance_of_mean"]


class BaggingClassifier(ClassifierMixin, Bag):
    """Members that learn from bootstrap draws of the rows, and the mean of what they say.

    With a `NetworkClassifier` as the estimator all members learn as one batch. For anything else
    scikit-learn's `BaggingClassifier` gives the same members by the same `random_state`, on many
    cores and on sparse rows; `RandomForestClassifier` bags trees better.

    Parameters
    ----------
    estimator : classifier, optional
        By default a decision tree. Its own `random_state` is not used.
    n_estimators : int
        m.
    max_samples, max_features : float or int
        Rows that are drawn for each member, and columns (a random subspace, without replacement).
    bootstrap : bool
        Draw rows with replacement.
    oob_score : bool
        Judge every row by the members that did not learn from it.
    voting : {"soft", "hard"}
        Mean of probabilities, or one vote a member. Members without probabilities vote.
    random_state : int, RandomState or None

    Attributes
    ----------
    classes_ : (k,) array
    estimators_ : list of m classifiers
        Each takes its own columns, and knows the classes by their labels: a `class_weight` names
        these. Fewer than asked for where training was interrupted, or where the loss of a network
        became NaN.
    members_ : Members or None
        The networks as one batch; None where members learned one by one.
    estimators_samples_, estimators_features_ : list of m arrays
        The rows and columns that each learned from.
    oob_decision_function_ : (n, k) array
        Out-of-bag probabilities of the rows that it learned from; NaN for rows that are in every
        draw.
    oob_score_ : float
        Their accuracy, those rows left out.

    References
    ----------
    Breiman, Bagging predictors, Machine Learning 1996.
    Ho, The random subspace method for constructing decision forests, IEEE TPAMI 1998.
    """

    _default = DecisionTreeClassifier

    def __init__(
        self,
        estimator=None,
        n_estimators: int = 10,
        *,
        max_samples: float | int = 1.0,
        max_features: float | int = 1.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        voting: str = "soft",
        random_state=None,
    ):
        super().__init__(
            estimator,
            n_estimators,
            max_samples=max_samples,
            max_features=max_features,
            bootstrap=bootstrap,
            oob_score=oob_score,
            random_state=random_state,
        )
        self.voting = voting

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps the members that are trained.

        Raises
        ------
        ValueError
            One class only, infinity in `X`, NaN there where a member takes none (networks do not),
            a label that is missing, a member that is no classifier or that fails (named), a setting
            out of its range, or networks of different shapes or whose losses all became NaN.

        Warns
        -----
        UserWarning
            Rows that are in every draw, or a network whose loss became NaN: it is named, and the
            rest decides.
        """
        if self.voting not in ("soft", "hard"):
            raise ValueError(f"voting={shown(self.voting)}: use 'soft' or 'hard'")
        X, y = self._read(X, y)
        self.classes_, codes = encoded(y)
        self._fit(X, y, codes, len(self.classes_))
        if self.oob_score:
            self.oob_decision_function_ = proba = self._out_of_bag(self._probabilities(X))
            judged = ~np.isnan(proba[:, 0])
            predicted = self._winners(proba[judged])
            self.oob_score_ = accuracy_score(codes[judged], predicted) if judged.any() else np.nan
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k), or shares of the votes, of the classes."""
        return self._probabilities(self._checked(X)).mean(0)

    def predict(self, X) -> np.ndarray:
        """The class (n,) with the most probability or votes; of a tie the first."""
        proba = self.predict_proba(X)
        return self.classes_[self._winners(proba)]

    def member_predictions(self, X) -> np.ndarray:
        """The class (m, n) that every member would choose alone."""
        winners = [self._winners(proba) for proba in self._probabilities(self._checked(X))]
        return self.classes_[np.stack(winners)]

    def _network(self, network, members, columns: int):
        one = super()._network(network, members, columns)
        one.classes_ = self.classes_
        return one

    @staticmethod
    def _winners(proba: np.ndarray) -> np.ndarray:
        return first_best(proba.T)

    def _probabilities(self, X) -> np.ndarray:
        """Probabilities (m, n, k) that every member gives, or 1 for what it votes for."""
        if self.members_ is None:
            probas = self._answers(X)
        else:
            probas = softmax(self.members_.outputs(X).astype(float), axis=-1)
        if self.voting == "hard":
            probas = np.eye(probas.shape[-1])[np.stack([self._winners(proba) for proba in probas])]
        return probas

    def _answer(self, who, member, X, names) -> np.ndarray:
        """Probabilities (n, k) of all classes, whichever of them the member has met."""
        if hasattr(member, "predict_proba"):
            return probabilities_of(who, member, X, self.classes_, names)
        predicted = asked(who, member, "predict", X, names)
        return np.eye(len(self.classes_))[places(self.classes_, predicted, who)]


class BaggingRegressor(RegressorMixin, Bag):
    """Members that learn from bootstrap draws of the rows, and the mean of their numbers.

    With a `NetworkRegressor` as the estimator all members learn as one batch. For anything else
    scikit-learn's `BaggingRegressor` gives the same members by the same `random_state`, on many
    cores and on sparse rows; `RandomForestRegressor` bags trees better.

    Parameters
    ----------
    estimator : regressor, optional
        By default a decision tree.
    n_estimators, max_samples, max_features, bootstrap, oob_score, random_state
        As in `BaggingClassifier`.

    Attributes
    ----------
    estimators_ : list of m regressors
    members_ : Members or None
    estimators_samples_, estimators_features_ : list of m arrays
        As in `BaggingClassifier`.
    oob_prediction_ : (n,) array
        Out-of-bag means of the rows that it learned from; NaN for rows that are in every draw.
    oob_score_ : float
        Their R2, those rows left out.

    References
    ----------
    Breiman, Bagging predictors, Machine Learning 1996.
    """

    _default = DecisionTreeRegressor

    def fit(self, X, y):
        """Learn from rows X (n, d) with numbers y (n,).

        Interrupted by the keyboard, it keeps the members that are trained.

        Raises
        ------
        ValueError
            As in `BaggingClassifier`, and a member that is no regressor.

        Warns
        -----
        UserWarning
            As in `BaggingClassifier`.
        """
        X, y = self._read(X, y, numeric=True)
        self._fit(X, y.astype(float), y.astype(float), 1)
        if self.oob_score:
            self.oob_prediction_ = mean = self._out_of_bag(self._numbers(X))
            judged = ~np.isnan(mean)
            self.oob_score_ = r2_score(y[judged], mean[judged]) if judged.sum() > 1 else np.nan
        return self

    def predict(self, X) -> np.ndarray:
        """Numbers (n,)."""
        return self.member_predictions(X).mean(0)

    def member_predictions(self, X) -> np.ndarray:
        """The number (m, n) that every member gives."""
        return self._numbers(self._checked(X))

    def _numbers(self, X) -> np.ndarray:
        if self.members_ is None:
            return self._answers(X)
        return self.members_.outputs(X)[..., 0].astype(float)

    def _answer(self, who, member, X, names) -> np.ndarray:
        return asked(who, member, "predict", X, names)
