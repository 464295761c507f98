"""What all stacking shares: features are what members say of rows they did not learn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import check_is_fitted, validate_data

from ensemble_lab.training.folds import Splits, splits_of
from ensemble_lab.training.stages import finished, fitted


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
        self.final_estimator_ = named_fit("the final model", final, self.stacked_, y[judged[order]])
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
                one = named_fit(who, clone(member), X[rows], y[rows])
                said.append(columns(one, method, X[judged]))
            if len(splits) > 1:
                one = named_fit(who, clone(member), X, y)
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


def named_fit(who: str, model, X, y):
    """The fitted model; what it cannot learn from is told with its name."""
    try:
        return fitted(model, X, y)
    except Exception as error:
        raise ValueError(f"{who} ({type(model).__name__}) failed to learn: {error}") from error
