"""Stacking: a final model learns from members' predictions for rows they did not learn from."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.metaestimators import available_if

from ensemble_lab.core.errors import excerpt, shown
from ensemble_lab.training.inputs.named import asked, probabilities_of
from ensemble_lab.training.inputs.rows import learned_rows, names_of
from ensemble_lab.training.labels import encoded, places
from ensemble_lab.training.stacking.out_of_fold import Stacking

METHODS = ("predict_proba", "decision_function", "predict")


def _final_has(name: str):
    """A check for `available_if`; its error names the method that the final model lacks."""

    def check(stacking) -> bool:
        final = getattr(stacking, "final_estimator_", stacking._final())
        if not hasattr(final, name):
            raise AttributeError(
                f"the final model {type(final).__name__} has no {excerpt(name)}: use predict, or a"
                " final model such as LogisticRegression"
            )
        return True

    return check


class StackingClassifier(ClassifierMixin, Stacking):
    """Members of any kind, and a final model that learns which of them to trust for what.

    The final model sees out-of-fold predictions only. From predictions for rows that members
    learned from, it would trust the member that memorises best.

    scikit-learn's `StackingClassifier` gives the same predictions on many cores, and takes sparse
    rows and sample weights. This one keeps the features that the final model learned from, blends,
    and may leave rows out of the folds. Members get a data frame unchanged, and gaps where they
    read NaN.

    Parameters
    ----------
    estimators : list of (str, estimator), optional
        By default a logistic regression on standardised features and a Gaussian naive Bayes. The
        word "drop" in place of an estimator leaves that member out.
    final_estimator : classifier, optional
        By default a logistic regression. `ConvexWeightsClassifier` learns one weight a member.
    cv : int, float, splitter, list of splits or None
        Folds, 5 by default. A share such as 0.3, or a splitter with one split, blends: that share
        of the rows is held out, drawn by a fixed seed. Members learn once from the rest, and the
        final model from their predictions for the held-out rows. Rows that no fold predicts, such
        as the first of a `TimeSeriesSplit`, are used for members only.
    stack_method : {"auto", "predict_proba", "decision_function", "predict"}
        What members pass on; "auto" takes the first that they have. With two classes one
        probability is passed on. A class is passed on as its code, a number, which suits two
        classes or a tree as the final model.
    passthrough : bool
        Give the final model the rows, too.

    Attributes
    ----------
    classes_ : (k,) array
    estimators_ : list of m estimators
        They learn the labels, as the final model does. A regressor learns their codes 0 to k - 1.
    named_estimators_ : dict
        With "drop" for those left out.
    stack_method_ : list of m str
    final_estimator_ : classifier
    stacked_ : (h, f) array
        What the final model learned from: the members' columns, one member after the other, and
        then those of X if they are passed through.
    stacked_rows_ : (h,) array
        The rows of these features, in order; all rows, unless members are blended or a splitter
        leaves some out.

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
            One class only, a label that is missing, infinity in `X`, fewer rows than folds, rows
            predicted twice, a class that a fold lacks, a final model that is not a classifier, a
            member without the method, or one that fails (named), such as one that does not read
            NaN.
        """
        X, y = learned_rows(self, X, y, gaps=True, frames=True)
        self.classes_, codes = encoded(y)
        return self._fit(X, y, codes, self.classes_)

    def predict(self, X) -> np.ndarray:
        """The final model's class (n,)."""
        return self._predictions("predict", X)

    @available_if(_final_has("predict_proba"))
    def predict_proba(self, X) -> np.ndarray:
        """The final model's probabilities (n, k)."""
        return self._predictions("predict_proba", X)

    @available_if(_final_has("decision_function"))
    def decision_function(self, X) -> np.ndarray:
        """The final model's scores (n, k), with two classes (n,)."""
        return self._predictions("decision_function", X)

    def _method(self, name: str, member) -> str:
        wanted = METHODS if self.stack_method == "auto" else (self.stack_method,)
        if not set(wanted) <= set(METHODS):
            raise ValueError(
                f"stack_method={shown(self.stack_method)}: use 'auto' or one of"
                f" {', '.join(METHODS)}"
            )
        for method in wanted:
            if hasattr(member, method):
                return method
        lacking = "predict" if self.stack_method == "auto" else self.stack_method
        raise ValueError(
            f"member {shown(name, 40)} ({type(member).__name__}) has no {excerpt(lacking)}: use"
            f" stack_method='auto', or one of {', '.join(METHODS)} that all members have"
        )

    def _targets(self, member, y, codes) -> np.ndarray:
        """Labels; a regressor learns numbers, the codes of the classes."""
        return codes if is_regressor(member) else y

    def _columns(self, who, member, method, X, rows=None) -> np.ndarray:
        """With two classes the probability of the second; a class as its code."""
        if method == "predict_proba":
            proba = probabilities_of(who, member, X, self.classes_, names_of(self), rows)
            return proba[:, 1:] if len(self.classes_) == 2 else proba
        if method == "predict" and (is_classifier(member) or hasattr(member, "classes_")):
            answer = asked(who, member, "predict", X, names_of(self), rows)
            return places(self.classes_, answer, who).astype(float)[:, None]
        return super()._columns(who, member, method, X, rows)

    @staticmethod
    def _default_members() -> list[tuple]:
        logistic = make_pipeline(StandardScaler(), LogisticRegression())
        return [("logistic", logistic), ("bayes", GaussianNB())]

    @staticmethod
    def _default_final(y=None):
        return LogisticRegression()


class StackingRegressor(RegressorMixin, Stacking):
    """Members of any kind, and a final model that learns from their predictions.

    As `StackingClassifier`, for numbers; scikit-learn's `StackingRegressor` gives the same where
    their variance is 1 or more.

    Parameters
    ----------
    estimators : list of (str, regressor), optional
        By default a ridge regression on standardised features and a tree of depth 5.
    final_estimator : regressor, optional
        By default a ridge regression, which shrinks less where the numbers are smaller than 1.
        `ConvexWeightsRegressor` learns one share a member.
    cv : int, float, splitter or None
        Folds, or a share to blend, as in `StackingClassifier`.
    passthrough : bool
        Give the final model the rows, too.

    Attributes
    ----------
    estimators_ : list of m regressors
    named_estimators_ : dict
    final_estimator_ : regressor
    stacked_ : (h, m) array
        What the final model learned from.
    stacked_rows_ : (h,) array
        The rows of these features.

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
            As in `StackingClassifier`, and a final model that is not a regressor.
        """
        X, y = learned_rows(self, X, y, gaps=True, frames=True, numeric=True)
        return self._fit(X, y, y, None)

    def predict(self, X) -> np.ndarray:
        """The final model's numbers (n,)."""
        return self._predictions("predict", X)

    @staticmethod
    def _method(name: str, member) -> str:
        return "predict"

    @staticmethod
    def _default_members() -> list[tuple]:
        ridge = make_pipeline(StandardScaler(), RidgeCV())
        return [("ridge", ridge), ("tree", DecisionTreeRegressor(max_depth=5, random_state=0))]

    @staticmethod
    def _default_final(y=None):
        # scikit-learn's strengths of shrinking suit numbers of unit size or larger. They would
        # shrink much smaller numbers to almost nothing.
        small = 1.0 if y is None else min(1.0, float(np.var(y)) or 1.0)
        return RidgeCV(alphas=small * np.array([0.1, 1.0, 10.0]))
