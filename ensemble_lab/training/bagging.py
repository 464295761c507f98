"""Bagging: members learn from draws of the rows, and their mean or vote decides."""

from __future__ import annotations

import warnings
from numbers import Integral

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from ensemble_lab.core.votes import first_best
from ensemble_lab.training.bootstrap import drawn, outside, size_of, variance_of_mean
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.networks import Network
from ensemble_lab.training.stages import finished, fitted, seeded
from ensemble_lab.training.subspaces import Subspaces

__all__ = ["BaggingClassifier", "BaggingRegressor", "variance_of_mean"]
MOST = np.iinfo(np.int32).max


class Bagging(BaseEstimator):
    """What bagging of classes and of numbers have in common."""

    def __init__(
        self,
        estimator=None,
        n_estimators: int = 10,
        *,
        max_samples: float | int = 1.0,
        max_features: float | int = 1.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        random_state=None,
    ):
        self.estimator, self.n_estimators = estimator, n_estimators
        self.max_samples, self.max_features = max_samples, max_features
        self.bootstrap, self.oob_score = bootstrap, oob_score
        self.random_state = random_state

    def _fit(self, X: np.ndarray, y: np.ndarray, outputs: int):
        if not isinstance(self.n_estimators, Integral) or self.n_estimators < 1:
            raise ValueError(f"n_estimators={self.n_estimators!r}: an ensemble has 1 or more")
        if self.oob_score and not self.bootstrap:
            raise ValueError("oob_score needs rows that were not drawn: use bootstrap=True")
        n, d = X.shape
        r = size_of(self.max_samples, n, "max_samples", self.bootstrap)
        c = size_of(self.max_features, d, "max_features")
        draw = check_random_state(self.random_state)
        # The order of draws is scikit-learn's, so that one random_state gives the same members.
        seeds = draw.randint(MOST, size=self.n_estimators)
        parts = [self._parts(seed, (d, c), (n, r)) for seed in seeds]
        if isinstance(self._member(), Network):
            self._fit_networks(X, y, outputs, parts, int(draw.randint(MOST)))
        else:
            self._fit_one_by_one(X, y, seeds, parts)
        return self

    def _parts(self, seed: int, columns: tuple[int, int], rows: tuple[int, int]):
        draw = check_random_state(seed)
        features = drawn(draw, *columns, replace=False)
        return features, drawn(draw, *rows, replace=self.bootstrap)

    def _fit_one_by_one(self, X, y, seeds, parts) -> None:
        """Members after each other; those that are done when the keyboard interrupts stay."""

        def members():
            for seed, (features, rows) in zip(seeds, parts, strict=True):
                draw = check_random_state(seed)
                member = seeded(self._member(), lambda draw=draw: draw.randint(MOST))
                yield self._learned(member, X[:, features], y, rows), features, rows

        done = finished(members())
        self.estimators_, self.estimators_features_, self.estimators_samples_ = (
            list(part) for part in zip(*done, strict=True)
        )

    @staticmethod
    def _learned(member, X, y, rows):
        """The member, for which a row that was drawn twice counts twice."""
        if has_fit_parameter(member, "sample_weight"):
            return fitted(member, X, y, sample_weight=np.bincount(rows, minlength=len(X)))
        return fitted(member, X[rows], y[rows])

    def _fit_networks(self, X, y, outputs: int, parts, seed: int) -> None:
        """All members as one batch; those whose loss became NaN are left out."""
        network, (features, rows) = self._member(), map(np.array, zip(*parts, strict=True))
        how = {"members": len(rows), "seed": seed, "rows": rows}
        if features.shape[1] < X.shape[1]:
            how["make"] = Subspaces(network.make, features, outputs)
        found = network.train(X, y, outputs, **how)
        kept = np.flatnonzero(found.alive)
        if not len(kept):
            raise ValueError(
                "the losses of all members became NaN or infinite; use a learning_rate below"
                f" {network.learning_rate}"
            )
        self.members_ = found.some(kept)
        self.estimators_ = [self._alone(network, self.members_.some([i])) for i in range(len(kept))]
        self.estimators_features_, self.estimators_samples_ = list(features[kept]), list(rows[kept])

    def _alone(self, network: Network, members):
        one = clone(network)
        one.members_, one.n_features_in_ = members, self.n_features_in_
        return one

    def _said(self, X) -> list[np.ndarray]:
        """What every member's `_answer` is, over its own columns."""
        return [
            self._answer(member, X[:, features])
            for member, features in zip(self.estimators_, self.estimators_features_, strict=True)
        ]

    def _checked(self, X) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False)

    def _out_of_bag(self, said: np.ndarray) -> np.ndarray:
        """Mean over the members (m, n, …) that did not learn from a row; NaN where all did."""
        out = outside(self.estimators_samples_, said.shape[1])
        count = out.sum(0)
        if (never := int((count == 0).sum())) > 0:
            warnings.warn(
                f"{never} of {len(count)} rows were drawn by every member, so that nobody can judge"
                " them: they are NaN and left out of oob_score_; more members mend it",
                stacklevel=4,
            )
        wide = out.reshape(*out.shape, *[1] * (said.ndim - 2))
        total = np.where(wide, said, 0.0).sum(0)
        with np.errstate(invalid="ignore"):
            return total / count.reshape(-1, *[1] * (total.ndim - 1))


class BaggingClassifier(ClassifierMixin, Bagging):
    """Members that learn from bootstrap draws of the rows, and the mean of what they say.

    With a `NetworkClassifier` as the estimator all members learn as one batch. For anything else
    scikit-learn's `BaggingClassifier` gives the same members by the same `random_state`, on many
    cores and on sparse rows; `RandomForestClassifier` bags trees better.

    Parameters
    ----------
    estimator : classifier, optional
        By default a decision tree.
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
        They know the classes by their codes 0 to k - 1.
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
            One class only, NaN in `X`, or a setting out of its range.
        """
        if self.voting not in ("soft", "hard"):
            raise ValueError(f"voting={self.voting!r}: use 'soft' or 'hard'")
        X, y = validate_data(self, X, y)
        self.classes_, codes = encoded(y)
        self._fit(X, codes, len(self.classes_))
        if self.oob_score:
            self.oob_decision_function_ = law = self._out_of_bag(self._laws(X))
            judged = ~np.isnan(law[:, 0])
            predicted = self._winners(law[judged])
            self.oob_score_ = accuracy_score(codes[judged], predicted) if judged.any() else np.nan
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities (n, k), or shares of the votes, of the classes."""
        return self._laws(self._checked(X)).mean(0)

    def predict(self, X) -> np.ndarray:
        """The class (n,) with the most probability or votes; of a tie the first."""
        law = self.predict_proba(X)
        return self.classes_[self._winners(law)]

    def member_predictions(self, X) -> np.ndarray:
        """The class (m, n) that every member would choose alone."""
        winners = [self._winners(law) for law in self._laws(self._checked(X))]
        return self.classes_[np.stack(winners)]

    def _member(self):
        return DecisionTreeClassifier() if self.estimator is None else self.estimator

    def _alone(self, network, members):
        one = super()._alone(network, members)
        one.classes_ = np.arange(len(self.classes_))
        return one

    @staticmethod
    def _winners(law: np.ndarray) -> np.ndarray:
        return first_best(law.T)

    def _laws(self, X) -> np.ndarray:
        """Probabilities (m, n, k) that every member gives, or 1 for what it votes for."""
        if hasattr(self, "members_"):
            laws = softmax(self.members_.outputs(X).astype(float), axis=-1)
        else:
            laws = np.stack(self._said(X))
        if self.voting == "hard":
            laws = np.eye(laws.shape[-1])[np.stack([self._winners(law) for law in laws])]
        return laws

    def _answer(self, member, X) -> np.ndarray:
        """Probabilities (n, k) of all classes, whichever of them the member has met."""
        law = np.zeros((len(X), len(self.classes_)))
        if hasattr(member, "predict_proba"):
            law[:, member.classes_] = member.predict_proba(X)
        else:
            law[np.arange(len(X)), member.predict(X)] = 1.0
        return law


class BaggingRegressor(RegressorMixin, Bagging):
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
    estimators_samples_, estimators_features_ : list of m arrays
        The rows and columns that each learned from.
    oob_prediction_ : (n,) array
        Out-of-bag means of the rows that it learned from; NaN for rows that are in every draw.
    oob_score_ : float
        Their R2, those rows left out.

    References
    ----------
    Breiman, Bagging predictors, Machine Learning 1996.
    """

    def fit(self, X, y):
        """Learn from rows X (n, d) with numbers y (n,).

        Interrupted by the keyboard, it keeps the members that are trained.

        Raises
        ------
        ValueError
            NaN, or a setting out of its range.
        """
        X, y = validate_data(self, X, y, y_numeric=True)
        self._fit(X, y.astype(float), 1)
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

    def _member(self):
        return DecisionTreeRegressor() if self.estimator is None else self.estimator

    def _numbers(self, X) -> np.ndarray:
        if hasattr(self, "members_"):
            return self.members_.outputs(X)[..., 0].astype(float)
        return np.stack(self._said(X))

    def _answer(self, member, X) -> np.ndarray:
        return member.predict(X)
