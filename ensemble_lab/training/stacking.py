"""Stacking: a final model learns from what members say of rows that they did not learn from."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from ensemble_lab.training.labels import encoded
from ensemble_lab.training.out_of_fold import Stacking

METHODS = ("predict_proba", "decision_function", "predict")


def _final_has(name: str):
    """A check for `available_if`, whose error says what the final model lacks."""

    def check(stacking) -> bool:
        final = getattr(stacking, "final_estimator_", stacking._final())
        if not hasattr(final, name):
            raise AttributeError(
                f"the final model {type(final).__name__} has no {name}: use predict, or a final"
                " model such as LogisticRegression"
            )
        return True

    return check


class StackingClassifier(ClassifierMixin, Stacking):
    """Members of any kind, and a final model that learns from their answers whom to trust for what.

    The final model sees out-of-fold answers only: shown what members say of rows that they learned
    from, it would believe whoever remembers best.

    scikit-learn's `StackingClassifier` gives the same answers on many cores, and takes data frames,
    sparse rows and sample weights. This one keeps the features that the final model learned from
    and blends.

    Parameters
    ----------
    estimators : list of (str, estimator), optional
        By default a logistic regression on standardised features and a Gaussian naive Bayes.
    final_estimator : classifier, optional
        By default a logistic regression. `ConvexWeightsClassifier` learns one weight a member.
    cv : int, float, splitter or None
        Folds, 5 by default. A share such as 0.3, or a splitter with one split, blends: that share
        of the rows is held out, drawn by a fixed seed, members learn from the rest once, and the
        final model from what they say of the held-out rows.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}
        What members pass on; "auto" takes the first that they have. Of two probabilities one is
        passed on. A class is passed on as its code, a number, which suits two classes or a tree
        as the final model.
    passthrough : bool
        Show the final model the rows, too.

    Attributes
    ----------
    classes_ : (k,) array
    estimators_ : list of m estimators
        They know the classes by their codes 0 to k - 1, as the final model does.
    named_estimators_ : dict
    stack_method_ : list of m str
    final_estimator_ : classifier
    stacked_ : (h, f) array
        What the final model learned from: the members' columns, one member after the other, and
        then those of X if they are passed through.
    stacked_rows_ : (h,) array
        Whose features these are; all rows, unless the members are blended.

    References
    ----------
    Wolpert, Stacked generalization, Neural Networks 1992.
    Ting and Witten, Issues in stacked generalization, Journal of Artificial Intelligence Research
    1999 (probabilities as features).
    """

    def __init__(
        self,
        estimators=None,
        final_estimator=None,
        *,
        cv=None,
        stack_method: str = "auto",
        passthrough: bool = False,
    ):
        super().__init__(estimators, final_estimator, cv=cv, passthrough=passthrough)
        self.stack_method = stack_method

    def fit(self, X, y):
        """Learn from rows X (n, d) of classes y (n,).

        Interrupted by the keyboard, it keeps the members that are done.

        Raises
        ------
        ValueError
            One class only, NaN in `X`, fewer rows than folds, a class that a fold lacks, a final
            model that is no classifier, a member without the method, or one that fails (named).
        """
        X, y = validate_data(self, X, y)
        self.classes_, codes = encoded(y)
        return self._fit(X, codes, len(self.classes_))

    def predict(self, X) -> np.ndarray:
        """The final model's class (n,)."""
        said = self.features(X)
        return self.classes_[self.final_estimator_.predict(said)]

    @available_if(_final_has("predict_proba"))
    def predict_proba(self, X) -> np.ndarray:
        """The final model's probabilities (n, k)."""
        said = self.features(X)
        return self.final_estimator_.predict_proba(said)

    @available_if(_final_has("decision_function"))
    def decision_function(self, X) -> np.ndarray:
        """The final model's scores (n, k), with two classes (n,)."""
        said = self.features(X)
        return self.final_estimator_.decision_function(said)

    def _method(self, name: str, member) -> str:
        wanted = METHODS if self.stack_method == "auto" else (self.stack_method,)
        for method in wanted:
            if hasattr(member, method):
                return method
        raise ValueError(
            f"member {name!r} ({type(member).__name__}) has no {self.stack_method}: use"
            f" stack_method='auto', or one of {', '.join(METHODS)} that all members have"
        )

    @staticmethod
    def _default_members() -> list[tuple]:
        logistic = make_pipeline(StandardScaler(), LogisticRegression())
        return [("logistic", logistic), ("bayes", GaussianNB())]

    @staticmethod
    def _default_final():
        return LogisticRegression()


class StackingRegressor(RegressorMixin, Stacking):
    """Members of any kind, and a final model that learns from their predictions.

    As `StackingClassifier`, for numbers; scikit-learn's `StackingRegressor` gives the same.

    Parameters
    ----------
    estimators : list of (str, regressor), optional
        By default a ridge regression on standardised features and a tree of depth 5.
    final_estimator : regressor, optional
        By default a ridge regression. `ConvexWeightsRegressor` learns one share a member.
    cv : int, float, splitter or None
        Folds, or a share to blend, as in `StackingClassifier`.
    passthrough : bool
        Show the final model the rows, too.

    Attributes
    ----------
    estimators_ : list of m regressors
    named_estimators_ : dict
    final_estimator_ : regressor
    stacked_ : (h, m) array
        What the final model learned from.
    stacked_rows_ : (h,) array
        Whose features these are.

    References
    ----------
    Breiman, Stacked regressions, Machine Learning 1996.
    """

    def fit(self, X, y):
        """Learn from rows X (n, d) with numbers y (n,).

        Interrupted by the keyboard, it keeps the members that are done.

        Raises
        ------
        ValueError
            NaN, fewer rows than folds, a final model that is no regressor, or a member that fails
            (named).
        """
        X, y = validate_data(self, X, y, y_numeric=True)
        return self._fit(X, y, None)

    def predict(self, X) -> np.ndarray:
        """The final model's numbers (n,)."""
        said = self.features(X)
        return self.final_estimator_.predict(said)

    @staticmethod
    def _method(name: str, member) -> str:
        return "predict"

    @staticmethod
    def _default_members() -> list[tuple]:
        ridge = make_pipeline(StandardScaler(), RidgeCV())
        return [("ridge", ridge), ("tree", DecisionTreeRegressor(max_depth=5, random_state=0))]

    @staticmethod
    def _default_final():
        return RidgeCV()
