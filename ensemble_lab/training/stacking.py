"""Stacking: a final model learns from what members say of rows that they did not learn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from ensemble_lab.training.folds import Splits, splits_of
from ensemble_lab.training.labels import encoded
from ensemble_lab.training.stages import finished, fitted

METHODS = ("predict_proba", "decision_function", "predict")


class Stacking(_BaseComposition):
    """What stacking of classes and of numbers have in common."""

    def __init__(self, estimators=None, final_estimator=None, *, cv=None, passthrough=False):
        self.estimators, self.final_estimator = estimators, final_estimator
        self.cv, self.passthrough = cv, passthrough

    def get_params(self, deep: bool = True) -> dict:
        """Parameters, those of the members by name among them, such as ``tree__max_depth``."""
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters; a member by its name, and its own as ``tree__max_depth``."""
        return self._set_params("estimators", **params)

    def _fit(self, X: np.ndarray, y: np.ndarray, classes: int | None):
        splits = splits_of(self.cv, X, y, classes)
        final = clone(self._final())
        if is_classifier(final) != is_classifier(self):
            kind = "classifier" if is_classifier(self) else "regressor"
            raise ValueError(f"the final model {type(final).__name__} is no {kind}: use one")
        done = finished(self._members(self._named(), X, y, splits))
        names, self.estimators_, self.stack_method_, said = map(list, zip(*done, strict=True))
        self.named_estimators_ = dict(zip(names, self.estimators_, strict=True))
        judged = np.concatenate([rows for _, rows in splits])
        order = np.argsort(judged)
        self.stacked_rows_ = judged[order]
        self.stacked_ = self._beside(np.hstack(said)[order], X[self.stacked_rows_])
        self.final_estimator_ = _named_fit(
            "the final model", final, self.stacked_, y[judged[order]]
        )
        return self

    def _members(self, named, X, y, splits: Splits) -> Iterator[tuple]:
        """Member after member: name, what will predict, how, and what it says of the judged rows.

        Nothing that judges a row has learned from it. What will predict has learned from all rows
        or, where members are blended, once and for all from those that are not judged.
        """
        for name, member in named:
            method, who = self._method(name, member), f"member {name!r}"
            said = []
            for rows, judged in splits:
                one = _named_fit(who, clone(member), X[rows], y[rows])
                said.append(columns(one, method, X[judged]))
            if len(splits) > 1:
                one = _named_fit(who, clone(member), X, y)
            yield name, one, method, np.vstack(said)

    def _named(self) -> list[tuple]:
        named = self._default_members() if self.estimators is None else self.estimators
        pairs = isinstance(named, list | tuple) and all(
            isinstance(one, list | tuple) and len(one) == 2 for one in named
        )
        if not pairs or not named:
            raise ValueError(f"estimators={named!r}: give a list of (name, estimator), 1 or more")
        self._validate_names([name for name, _ in named])
        return named

    def _final(self):
        return self._default_final() if self.final_estimator is None else self.final_estimator

    def _beside(self, said: np.ndarray, X: np.ndarray) -> np.ndarray:
        return np.hstack([said, X]) if self.passthrough else said

    def features(self, X) -> np.ndarray:
        """What the final model sees (n, f) of new rows X (n, d), column by column as in `stacked_`.

        No `transform`: of the rows that members learned from, only `stacked_` is honest.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        pairs = zip(self.estimators_, self.stack_method_, strict=True)
        return self._beside(np.hstack([columns(one, method, X) for one, method in pairs]), X)


def columns(member, method: str, X: np.ndarray) -> np.ndarray:
    """What a member says of rows X (n, d), as columns; of two probabilities the second."""
    said = np.asarray(getattr(member, method)(X), float)
    if said.ndim == 1:
        return said[:, None]
    return said[:, 1:] if method == "predict_proba" and said.shape[1] == 2 else said


def _named_fit(who: str, model, X, y):
    """The fitted model; what it cannot learn from is told with its name."""
    try:
        return fitted(model, X, y)
    except Exception as error:
        raise ValueError(f"{who} ({type(model).__name__}) failed to learn: {error}") from error


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
